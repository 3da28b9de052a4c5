"""Checks on the values of the rows of a release, geometry apart. Each yields findings and raises nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from core.release.finding import Finding, about
from core.release.schema import BELOW_MINIMUM, CLASSES, MEASURED, STATUSES, WITH_AREA
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
_SUM_TOLERANCE = 1e-9


def check_area_rows(key: str, table: pa.Table, manifest: Mapping[str, Any], region: str) -> Iterator[Finding]:
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
    for column in ("area_km2", "area_sigma_km2"):
        yield from about("reason", key, ids[other & rows[column].notna()], f"not measured, but {column} has a value")
    yield from _below_minimum(key, rows, manifest)
    fraction = rows["observed_fraction"]
    wrong = fraction.notna() & ~fraction.between(0.0, 1.0)
    yield from about("observed-fraction", key, ids[wrong], "observed_fraction is outside 0 … 1")
    for column in (str(c) for c in rows if str(c).startswith("area_")):
        yield from about("negative", key, ids[rows[column] < 0], f"{column} is negative")
    dated = rows["scene_date_min"].notna() & rows["scene_date_max"].notna()
    backwards = dated & (rows["scene_date_min"] > rows["scene_date_max"])
    yield from about("dates", key, ids[backwards], "scene_date_min is after scene_date_max")
    yield from _missing_values(key, table)
    yield from check_origin(key, table, manifest, region)


def check_outline_rows(
    key: str, table: pa.Table, manifest: Mapping[str, Any], region: str, mapped: set[str]
) -> Iterator[Finding]:
    """glacier_outline: classes, parts, owners. mapped: ids of the region's glaciers that have a mapped outline."""
    rows = _frame(table)
    ids = rows["rgi_id"]
    yield from about("class", key, ids[~rows["class"].isin(CLASSES)], f"class is none of {', '.join(CLASSES)}")
    yield from about("negative", key, ids[rows["area_km2"] < 0], "area_km2 is negative")
    orphans = sorted(set(ids) - mapped)
    yield from about("outline-owner", key, orphans, "has outline parts but no measured row in glacier_area")
    twice = rows.duplicated(["rgi_id", "part"])
    yield from about("outline-part", key, ids[twice].drop_duplicates(), "a part number is used twice")
    yield from _missing_values(key, table)
    yield from check_origin(key, table, manifest, region)


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


def _missing_values(key: str, table: pa.Table) -> Iterator[Finding]:
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
