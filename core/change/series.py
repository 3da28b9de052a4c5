"""Series: the areas of a region at every date, as arrays of glaciers × dates.

A glacier of any release has a row; where a release has none, or no area for it, values are NaN and the status says
which. Times are those of the scenes, glacier by glacier, not just years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.change.dated import INVENTORY, Dated
from core.change.error_model import Sigma, inventory_sigma_km2
from core.change.parts import read_region
from core.errors import ConfigError
from core.release.schema import MEASURED, STATUSES, WITH_AREA, WORD_SEPARATOR

FloatArray = NDArray[np.float64]
NO_ROW = "no_row"
GAP_FILLED = "gap_filled"
STATUS_WORDS = (*STATUSES, NO_ROW)
_DAYS_A_YEAR = 365.2425
_GLACIER = ("rgi_id", "o2region", "glac_name", "cenlon", "cenlat", "area_inventory_km2", "inventory_date")
_STATE = (
    *("status", "area_km2", "area_sigma_km2", "observed_fraction", "scene_date_min", "scene_date_max"),
    *("flags", "model_digest"),
)
_PARTS = ("area_sigma_boundary_km2", "area_sigma_model_km2", "area_sigma_hidden_km2")  # not in older releases
_NO_MODEL = -1  # rows of the inventory, and glaciers without a row


@dataclass(frozen=True, eq=False)
class Series:
    """One region, n glaciers in the order of `glaciers`, k dates.

    labels: `inventory` or the year of each date; glaciers: rgi_id, o2region, glac_name, cenlon, cenlat,
    area_inventory_km2, sorted by rgi_id. area_km2, sigma, observed: (n, k), NaN where there is no area; time: (n, k)
    decimal years, NaN where unknown; status: (n, k) index into STATUS_WORDS; model: (n, k) number of the model
    digest, −1 for none; gap_filled: (n, k). inventories: number of the inventory of each date.
    """

    region: str
    labels: tuple[str, ...]
    glaciers: pd.DataFrame
    area_km2: FloatArray
    sigma: Sigma
    observed: FloatArray
    time: FloatArray
    status: NDArray[np.int8]
    model: NDArray[np.int32]
    gap_filled: NDArray[np.bool_]
    inventories: tuple[int, ...]

    @property
    def ids(self) -> NDArray[np.object_]:
        return np.asarray(self.glaciers["rgi_id"].to_numpy(), dtype=object)


def read_series(releases: Sequence[Dated], region: str, inventory: bool = False) -> Series:
    """The series of one region. inventory: put its areas and dates before those of the releases.

    Raises ConfigError if an identifier has two rows in a release, or if two releases with glaciers here have none in
    common, which means that they are of different inventories.
    """
    tables = [read_region(dated, region, (*_GLACIER, *_STATE), _PARTS) for dated in releases]
    _refuse_twins(releases, region, tables)
    _refuse_strangers(releases, region, tables)
    frames = [t.select(_GLACIER).to_pandas(date_as_object=False) for t in tables if t is not None]
    # Groupwise first takes each column's first value that is not null.
    glaciers = pd.concat(frames, ignore_index=True).groupby("rgi_id", sort=True).first().reset_index()
    shape = (len(glaciers), len(releases))
    area, sigma, sigma_model, observed, time = (np.full(shape, np.nan) for _ in range(5))
    divided = np.zeros(shape, dtype=bool)
    status = np.full(shape, STATUS_WORDS.index(NO_ROW), dtype=np.int8)
    model = np.full(shape, _NO_MODEL, dtype=np.int32)
    gap = np.zeros(shape, dtype=bool)
    place = pd.Index(glaciers["rgi_id"])
    digests: dict[str, int] = {}
    for k, (dated, table) in enumerate(zip(releases, tables, strict=True)):
        if table is None:
            continue
        row = place.get_indexer(pd.Index(table.column("rgi_id").to_pandas()))
        words = table.column("status").to_pandas()
        with_area = words.isin(WITH_AREA).to_numpy()
        status[row, k] = words.map({s: i for i, s in enumerate(STATUS_WORDS)}).to_numpy(dtype=np.int8)
        area[row, k] = np.where(with_area, _floats(table, "area_km2"), np.nan)
        sigma[row, k], sigma_model[row, k], divided[row, k] = _sigma(table, with_area)
        observed[row, k] = _floats(table, "observed_fraction")
        time[row, k] = _scene_time(table, dated.year)
        gap[row, k] = has_flag(table, GAP_FILLED)
        coded = pc.dictionary_encode(table.column("model_digest").combine_chunks())
        numbers = [digests.setdefault(name, len(digests)) for name in coded.dictionary.to_pylist()]
        model[row, k] = np.asarray(numbers, dtype=np.int32)[coded.indices.to_numpy()]
    names = [dated.inventory_digest for dated in releases]
    series = Series(
        region=region,
        labels=tuple(dated.label for dated in releases),
        glaciers=glaciers.drop(columns="inventory_date"),
        area_km2=area,
        sigma=Sigma(sigma, sigma_model, divided),
        observed=observed,
        time=time,
        status=status,
        model=model,
        gap_filled=gap,
        inventories=tuple(names.index(name) for name in names),
    )
    return _after_inventory(series, _years_of(glaciers["inventory_date"])) if inventory else series


def _after_inventory(series: Series, dates: FloatArray) -> Series:
    """The same series with the inventory as its first date."""
    stated = series.glaciers["area_inventory_km2"].to_numpy(dtype=np.float64)
    known = np.where(np.isfinite(stated), STATUS_WORDS.index(MEASURED), STATUS_WORDS.index(NO_ROW)).astype(np.int8)

    def put(first: NDArray[Any], rest: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([first[:, None], rest], axis=1)

    n = len(stated)
    return Series(
        region=series.region,
        labels=(INVENTORY, *series.labels),
        glaciers=series.glaciers,
        area_km2=put(stated, series.area_km2),
        sigma=Sigma(
            put(inventory_sigma_km2(stated), series.sigma.total),
            put(inventory_sigma_km2(stated), series.sigma.model),
            put(np.zeros(n, dtype=bool), series.sigma.cancels),
        ),
        observed=put(np.ones(n), series.observed),
        time=put(dates, series.time),
        status=put(known, series.status),
        model=put(np.full(n, _NO_MODEL, dtype=np.int32), series.model),
        gap_filled=put(np.zeros(n, dtype=bool), series.gap_filled),
        inventories=(series.inventories[0], *series.inventories),
    )


def _floats(table: pa.Table, name: str) -> FloatArray:
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)


def _sigma(table: pa.Table, with_area: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """(σ, the model's part of it, whether it is divided into parts)."""
    total = np.where(with_area, _floats(table, "area_sigma_km2"), np.nan)
    if not set(_PARTS) <= set(table.column_names):
        return total, total, np.zeros(len(total), dtype=bool)
    parts = np.stack([_floats(table, name) for name in _PARTS])
    divided = np.isfinite(parts).all(axis=0) & with_area
    quadrature = np.sqrt((parts**2).sum(axis=0))
    return np.where(divided, quadrature, total), np.where(divided, parts[1], total), divided


def _scene_time(table: pa.Table, year: int) -> FloatArray:
    """The middle of the scenes used, decimal years; the middle of the year where no scene is named."""
    first, last = (_years_of(table.column(f"scene_date_{end}").to_pandas()) for end in ("min", "max"))
    middle = (first + last) / 2.0
    return np.where(np.isfinite(middle), middle, year + 0.5)


def _years_of(dates: pd.Series) -> FloatArray:
    """Dates → decimal years, NaN for none."""
    moments = pd.to_datetime(dates)
    days = (moments - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
    return np.asarray(1970.0 + days.to_numpy(dtype=np.float64) / _DAYS_A_YEAR)


def has_flag(table: pa.Table, flag: str) -> NDArray[np.bool_]:
    """(n,) rows of glacier_area whose flags have a word."""
    words = pc.split_pattern(table.column("flags").combine_chunks(), WORD_SEPARATOR)
    hits = pc.equal(words.flatten(), flag)
    owner = pc.list_parent_indices(words)
    out = np.zeros(table.num_rows, dtype=bool)
    out[np.asarray(owner.filter(hits))] = True
    return out


def _refuse_twins(releases: Sequence[Dated], region: str, tables: Sequence[pa.Table | None]) -> None:
    for dated, table in zip(releases, tables, strict=True):
        if table is not None and pc.count_distinct(table.column("rgi_id")).as_py() < table.num_rows:
            raise ConfigError(
                f"{dated.name}, region {region}",
                found="an rgi_id with several rows",
                expected="one row per glacier",
                fix="see `icefleet verify`",
            )


def _refuse_strangers(releases: Sequence[Dated], region: str, tables: Sequence[pa.Table | None]) -> None:
    """Two releases of one region that share no glacier cannot be compared."""
    there = [(d, t.column("rgi_id")) for d, t in zip(releases, tables, strict=True) if t is not None]
    for (one, mine), (other, theirs) in pairwise(there):
        if not pc.any(pc.is_in(mine, theirs.combine_chunks())).as_py():
            raise ConfigError(
                f"{other.name}, region {region}",
                found=f"no rgi_id of {one.name} (inventories {one.inventory_digest[:8]}, {other.inventory_digest[:8]})",
                expected="releases of one inventory",
                fix="map both years with the same outlines; identifiers of RGI 6 and RGI 7 do not correspond",
            )
