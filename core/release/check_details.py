"""Checks on the tables that say more of a measured glacier: hypsometry, fronts, surfaces. Each yields findings only.

What such a table repeats of glacier_area must be what glacier_area says. The line of a front may be longer or shorter
than its length by 2 % and a pixel: that one is of the zone's metres, whose scale is off by less than 1 %.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from core.release.finding import Finding, about
from core.release.measures import length_km
from core.release.owners import Owners
from core.release.schema import BAND_M, SURFACE_AREAS, SURFACES, THOUSANDTHS, WATER_SOURCES, WATERS

SAME = 1e-6
LENGTH_TOLERANCE = 0.02


def check_hypsometry(key: str, table: pa.Table, owners: Owners) -> Iterator[Finding]:
    """table: all bands of a region, in the order of the file."""
    rows = table.to_pandas()
    ids = rows["rgi_id"]
    yield from about("hypsometry-owner", key, owners.strangers(ids), "has hypsometry but no measured row")
    crooked = ids[rows["band_m"] % BAND_M != 0].drop_duplicates()
    yield from about("hypsometry-band", key, crooked, f"band_m is no multiple of {BAND_M}")
    outside = ids[~rows["thousandths"].between(0, THOUSANDTHS)].drop_duplicates()
    yield from about("hypsometry-share", key, outside, f"thousandths are outside 0 … {THOUSANDTHS}")
    total = rows.groupby("rgi_id")["thousandths"].sum()
    wrong = total[total != THOUSANDTHS]
    message = f"thousandths add up to {wrong.iloc[0]}, expected {THOUSANDTHS}" if len(wrong) else ""
    yield from about("hypsometry-share", key, wrong.index, message)
    place = pd.MultiIndex.from_frame(rows[["rgi_id", "band_m"]])
    if not place.is_monotonic_increasing:
        yield Finding("hypsometry-order", key, "rows are not in the order of rgi_id and band_m")


def check_front(
    key: str, table: pa.Table, shapes: NDArray[np.object_], owners: Owners, res_m: float
) -> Iterator[Finding]:
    """glacier_front. shapes: its lines in degrees."""
    columns = ["rgi_id", "front_length_m", "front_change_m", "front_observed_fraction", "water", "water_source"]
    rows = table.select(columns).to_pandas()
    ids = rows["rgi_id"]
    strangers = owners.strangers(ids)
    yield from about("front-owner", key, strangers, "has a front but no measured row in glacier_area")
    yield from about("front-water", key, ids[~rows["water"].isin(WATERS)], f"water is none of {', '.join(WATERS)}")
    other = ids[~rows["water_source"].isin(WATER_SOURCES)]
    yield from about("front-water", key, other, f"water_source is none of {', '.join(WATER_SOURCES)}")
    outside = ids[~rows["front_observed_fraction"].between(0.0, 1.0)]
    yield from about("front-fraction", key, outside, "front_observed_fraction is outside 0 … 1")
    known = ~ids.isin(strangers)
    dry = known & np.isnan(owners.values(ids, "front_length_m"))
    yield from about("front-length", key, ids[dry], "has a front, but no front_length_m in glacier_area")
    for column in ("front_length_m", "front_change_m"):
        unlike = known & ~dry & ~_same(rows[column], owners.values(ids, column))
        yield from about("front-length", key, ids[unlike], f"{column} is not that of glacier_area")
    stated, drawn = rows["front_length_m"].to_numpy(), 1000.0 * length_km(shapes)
    off = np.flatnonzero(~(np.abs(drawn - stated) <= LENGTH_TOLERANCE * stated + res_m))
    for i in off[:1]:
        message = f"front_length_m is {stated[i]:.1f}, its line has {drawn[i]:.1f} m"
        yield from about("front-length", key, ids.iloc[off], message)


def check_surface(key: str, table: pa.Table, owners: Owners) -> Iterator[Finding]:
    """glacier_surface."""
    rows = table.select(["rgi_id", "class", "area_km2"]).to_pandas()
    ids = rows["rgi_id"]
    strangers = owners.strangers(ids)
    yield from about("surface-owner", key, strangers, "has a surface but no measured row in glacier_area")
    yield from about("class", key, ids[~rows["class"].isin(SURFACES)], f"class is none of {', '.join(SURFACES)}")
    yield from about("negative", key, ids[rows["area_km2"] < 0], "area_km2 is negative")
    for name, column in zip(SURFACES, SURFACE_AREAS, strict=True):
        chosen = rows[(rows["class"] == name) & ~ids.isin(strangers)]
        other = ~_same(chosen["area_km2"], owners.values(chosen["rgi_id"], column))
        yield from about("surface-area", key, chosen["rgi_id"][other], f"area of {name} is not {column}")


def _same(found: pd.Series, expected: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Both missing, or the same but for rounding."""
    same: NDArray[np.bool_] = np.isclose(found.to_numpy(dtype=float), expected, rtol=SAME, atol=1e-12, equal_nan=True)
    return same
