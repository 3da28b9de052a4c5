"""Checks on the values of the rows of a release, geometry apart. Each yields findings and raises nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from core.release.finding import Finding, about
from core.release.owners import Owners
from core.release.schema import (
    BELOW_MINIMUM,
    CLASSES,
    HYPSOMETRY,
    MEASURED,
    OUTLINE,
    SIGMA_PARTS,
    STATUSES,
    SURFACE,
    SURFACE_AREAS,
    WITH_AREA,
)
from core.release.table import SENTINEL

_NEEDED_IF_MEASURED = (
    "area_km2",
    "area_sigma_km2",
    "observed_fraction",
    "scene_date_min",
    "scene_date_max",
    "scenes",
    "sensors",
    "geometry",
)
_ONLY_WITH_AREA = ("area_km2", "area_sigma_km2", *SIGMA_PARTS, *SURFACE_AREAS, "front_length_m", "front_change_m")
_NEVER_NEGATIVE = ("lmax_m", "front_length_m")
_UNIQUE = {OUTLINE: "part", HYPSOMETRY: "band_m", SURFACE: "class"}
_SUM_TOLERANCE = 1e-9
_ROUNDING = 1e-6  # of sums that whoever wrote the rows made in another order


def check_area_rows(key: str, table: pa.Table, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything about glacier_area that a row says of itself."""
    rows = _frame(table)
    rows["geometry"] = [None if null else "" for null in table.column("geometry").is_null().to_pylist()]
    ids = rows["rgi_id"]
    yield from about("status", key, ids[~rows["status"].isin(STATUSES)], f"status is none of {', '.join(STATUSES)}")
    measured = rows["status"] == MEASURED
    for column in _NEEDED_IF_MEASURED:
        empty = rows[column].isna() | ((rows[column] == "") if column in ("scenes", "sensors") else False)
        yield from about("measured", key, ids[measured & empty], f"measured without {column}")
    other = rows["status"].isin(set(STATUSES) - set(WITH_AREA))
    reasonless = rows["status_reason"].fillna("") == ""
    yield from about("reason", key, ids[other & reasonless], "not measured, and status_reason does not say why")
    for column in _ONLY_WITH_AREA:
        yield from about("reason", key, ids[other & rows[column].notna()], f"not measured, but {column} has a value")
    yield from _below_minimum(key, rows, manifest)
    fraction = rows["observed_fraction"]
    wrong = fraction.notna() & ~fraction.between(0.0, 1.0)
    yield from about("observed-fraction", key, ids[wrong], "observed_fraction is outside 0 … 1")
    for column in (str(c) for c in rows if str(c).startswith("area_") or c in _NEVER_NEGATIVE):
        yield from about("negative", key, ids[rows[column] < 0], f"{column} is negative")
    dated = rows["scene_date_min"].notna() & rows["scene_date_max"].notna()
    backwards = dated & (rows["scene_date_min"] > rows["scene_date_max"])
    yield from about("dates", key, ids[backwards], "scene_date_min is after scene_date_max")
    yield from _sums(key, rows)
    lowest, median, highest = (rows[name] for name in ("zmin_m", "zmed_m", "zmax_m"))
    unordered = (lowest > median) | (median > highest) | (lowest > highest)
    yield from about("elevations", key, ids[unordered], "not zmin_m ≤ zmed_m ≤ zmax_m")
    baseless = rows["front_change_m"].notna() & rows["front_length_m"].isna()
    yield from about("front-length", key, ids[baseless], "front_change_m without front_length_m")


def check_outline_rows(key: str, table: pa.Table, owners: Owners) -> Iterator[Finding]:
    """glacier_outline: classes, areas, owners."""
    rows = _frame(table)
    ids = rows["rgi_id"]
    yield from about("class", key, ids[~rows["class"].isin(CLASSES)], f"class is none of {', '.join(CLASSES)}")
    yield from about("negative", key, ids[rows["area_km2"] < 0], "area_km2 is negative")
    orphans = owners.strangers(ids)
    yield from about("outline-owner", key, orphans, "has outline parts but no measured row in glacier_area")


def check_unique(key: str, name: str, table: pa.Table) -> Iterator[Finding]:
    """One row of a table of a region for what it has one row of. table: all its files."""
    columns = ["rgi_id", *([_UNIQUE[name]] if name in _UNIQUE else [])]
    rows = table.select(columns).to_pandas()
    twice = rows["rgi_id"][rows.duplicated()].drop_duplicates()
    yield from about("unique-row", key, twice, f"several rows of one {' and '.join(columns)}")


def check_origin(key: str, table: pa.Table, manifest: Mapping[str, Any], region: str) -> Iterator[Finding]:
    """Rows name the run, model, year and region that the manifest and the folder name."""
    wanted = {"run_id": manifest.get("run_id"), "model_digest": manifest.get("model_digest")}
    wanted |= {"year": manifest.get("year"), "o1region": region}
    for column, value in wanted.items():
        if column not in table.column_names:
            continue
        found = table.column(column).unique().to_pylist()
        if any(f != value for f in found):
            yield Finding("origin", key, f"{column} is {found[:3]}, expected {value!r} in every row")


def check_region_area(key: str, published: pa.Table, regions: list[pa.Table]) -> Iterator[Finding]:
    """region_area against the sums of the glaciers. regions: `region_area` of each region, computed anew."""
    expected = {(r["o1region"], r["o2region"]): r for t in regions for r in t.to_pylist()}
    found = {(r["o1region"], r["o2region"]): r for r in published.to_pylist()}
    if len(found) != published.num_rows:
        yield Finding("region-area", key, "a region has several rows")
    for region in sorted(expected.keys() ^ found.keys(), key=str):
        where = "missing" if region in expected else "there, but has no glaciers"
        yield Finding("region-area", key, f"the row of region {_name(region)} is {where}")
    for region in sorted(expected.keys() & found.keys(), key=str):
        for column, value in expected[region].items():
            got = found[region][column]
            close = isinstance(value, float) and isinstance(got, float)
            same = np.isclose(got, value, rtol=_SUM_TOLERANCE, atol=_SUM_TOLERANCE) if close else got == value
            if not same:
                message = f"region {_name(region)}: {column} is {got}, the glaciers give {value}"
                yield Finding("region-area", key, message)


def _below_minimum(key: str, rows: pd.DataFrame, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    below = rows["status"] == BELOW_MINIMUM
    ids, area, minimum = rows["rgi_id"], rows["area_km2"], manifest.get("min_area_km2")
    yield from about("below-minimum", key, ids[below & area.isna()], "below_minimum without area_km2")
    if isinstance(minimum, int | float):
        large = below & (area >= minimum)
        yield from about("below-minimum", key, ids[large], f"below_minimum, but not smaller than {minimum} km²")


def _sums(key: str, rows: pd.DataFrame) -> Iterator[Finding]:
    """σ against its parts, and the area against those of its surfaces."""
    ids, parts = rows["rgi_id"], rows[list(SIGMA_PARTS)].to_numpy(dtype=float)
    some = np.isfinite(parts).any(axis=1) & ~np.isfinite(parts).all(axis=1)
    yield from about("area-sigma", key, ids[some], "some parts of area_sigma_km2 are null, expected all or none")
    square = np.sum(parts**2, axis=1)
    other = _differ(rows["area_sigma_km2"].to_numpy(dtype=float) ** 2, square)
    yield from about("area-sigma", key, ids[other], "area_sigma_km2² is not the sum of the squares of its parts")
    surfaces = rows[list(SURFACE_AREAS)].to_numpy(dtype=float).sum(axis=1)
    other = _differ(rows["area_km2"].to_numpy(dtype=float), surfaces)
    yield from about("surface-sum", key, ids[other], f"area_km2 is not {' + '.join(SURFACE_AREAS)}")


def _differ(stated: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows whose total is known and not what is stated."""
    differ: NDArray[np.bool_] = np.isfinite(total) & ~np.isclose(stated, total, rtol=_ROUNDING, atol=1e-12)
    return differ


def check_missing(key: str, table: pa.Table) -> Iterator[Finding]:
    """Missing is null: neither NaN nor −9999."""
    ids = np.asarray(table.column("rgi_id").to_pylist(), dtype=object)
    for field in table.schema:
        if not pa.types.is_floating(field.type):
            continue
        column = table.column(field.name)
        values = np.asarray(column.to_numpy(), dtype=float)
        wrong = (values == SENTINEL) | (~np.isfinite(values) & ~np.asarray(column.is_null()))
        yield from about("missing-value", key, ids[wrong], f"{field.name} is −9999, NaN or infinite instead of null")


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.drop_columns(["geometry", "bbox"]).to_pandas(date_as_object=False)
    return frame


def _name(region: tuple[str, str | None]) -> str:
    return region[0] if region[1] is None else f"{region[0]}/{region[1]}"
