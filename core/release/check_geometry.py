"""Checks on the geometry of a release. Each yields findings and raises nothing.

Two tolerances, both of one origin: where an outline lies within the pixel that it crosses is not known better than
about a quarter of the pixel on average, so an area may be off by its perimeter × res_m / 4. The area of a row may
differ from that of its geometry by this + 2 %, and two glaciers may overlap by this, taken over the perimeter of the
overlap (a sliver half a pixel wide passes, a full row of pixels does not), or by one pixel. Ground that was not seen
may be drawn in whole while the area counts a share of it, so the hidden part of an outline is allowed on top. So are
four pixels for each part: a body of a few pixels that all hold a share of ice is drawn by its peak alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from core.release.finding import Finding, about
from core.release.measures import area_km2, perimeter_km, to_degrees, to_equal_area
from core.release.table import bbox_array

AREA_TOLERANCE = 0.02
SMALL_BODY_PX = 4
POLYGONAL = (int(shapely.GeometryType.POLYGON), int(shapely.GeometryType.MULTIPOLYGON))
LINEAR = (int(shapely.GeometryType.LINESTRING), int(shapely.GeometryType.MULTILINESTRING))
_BOX_TOLERANCE_DEG = 1e-9


def check_shapes(
    key: str, table: pa.Table, shapes: NDArray[np.object_], kinds: tuple[int, ...] = POLYGONAL
) -> Iterator[Finding]:
    """Type, validity, range and the bbox column. kinds: type ids that the table may hold."""
    ids = np.asarray(table.column("rgi_id").to_pylist(), dtype=object)
    there = ~shapely.is_missing(shapes)
    wrong_type = there & ~np.isin(shapely.get_type_id(shapes), kinds)
    names = " or ".join(shapely.GeometryType(kind).name.lower() for kind in kinds)
    yield from about("geometry-type", key, ids[wrong_type], f"geometry is no {names}")
    yield from about("geometry-valid", key, ids[there & shapely.is_empty(shapes)], "geometry is empty, expected null")
    invalid = there & ~shapely.is_valid(shapes)
    reasons = "; ".join(str(r) for r in shapely.is_valid_reason(shapes[invalid][:1]))
    yield from about("geometry-valid", key, ids[invalid], f"geometry is not valid ({reasons})")
    bounds = shapely.bounds(shapes)
    beyond = there & out_of_range(bounds)
    yield from about("geometry-bounds", key, ids[beyond], "geometry reaches beyond ±180° or ±90°; split it")
    near = np.isclose(bbox_array(table), bounds, rtol=0, atol=_BOX_TOLERANCE_DEG, equal_nan=True).all(axis=1)
    yield from about("bbox", key, ids[~near], "bbox is not the bounds of the geometry")


def check_areas(
    key: str, table: pa.Table, shapes: NDArray[np.object_], res_m: float, hidden_km2: NDArray[np.float64]
) -> Iterator[Finding]:
    """area_km2 against the area of the geometry.

    hidden_km2: per row, the part of the inventory's outline that was not observed.
    Rows without an area (not_observed, quarantined) carry the inventory's outline, whose area is not theirs. Invalid
    geometries and those out of range are left out, they are findings already.
    """
    ids = np.asarray(table.column("rgi_id").to_pylist(), dtype=object)
    stated = np.asarray(table.column("area_km2").to_numpy(), dtype=float)
    unusable = np.isnan(stated) | ~shapely.is_valid(shapes) | out_of_range(shapely.bounds(shapes))
    shapes = without(shapes, unusable)
    drawn = area_km2(shapes)
    bodies = np.maximum(shapely.get_num_geometries(shapes), 1)  # a missing shape has none
    allowed = AREA_TOLERANCE * np.abs(stated) + hidden_km2 + SMALL_BODY_PX * bodies * res_m**2 / 1e6
    suspects = np.flatnonzero(np.abs(drawn - stated) > allowed)
    allowed[suspects] += perimeter_km(shapes[suspects]) * res_m / 4e3
    off = suspects[np.abs(drawn - stated)[suspects] > allowed[suspects]]
    for i in off[:1]:
        message = f"area_km2 is {stated[i]:.4f}, its geometry has {drawn[i]:.4f} km² (± {allowed[i]:.4f})"
        yield from about("area-geometry", key, [ids[i], *ids[off[1:]]], message)


def overlapping_pairs(
    shapes: NDArray[np.object_], res_m: float, group: NDArray[np.int64] | None = None
) -> list[tuple[int, int, float]]:
    """(i, j, km²) of pairs that overlap beyond the tolerance, i < j.

    shapes: degrees, or None; invalid ones and those out of range are left out, they are findings already.
    group: if given, only pairs of different groups are looked at.
    """
    usable = shapely.is_valid(shapes) & ~out_of_range(shapely.bounds(shapes))
    flat = to_equal_area(without(shapes, ~usable))
    left, right = shapely.STRtree(flat).query(flat, predicate="intersects")
    once = left < right
    if group is not None:
        once &= group[left] != group[right]
    left, right = left[once], right[once]
    common = np.asarray(shapely.intersection(flat[left], flat[right]), dtype=object)
    area = shapely.area(common) / 1e6
    large = area > res_m**2 / 1e6
    allowed = perimeter_km(to_degrees(common[large])) * res_m / 4e3
    worse = np.flatnonzero(large)[area[large] > allowed]
    return [(int(left[k]), int(right[k]), float(area[k])) for k in worse]


def check_overlaps(key: str, ids: NDArray[np.object_], shapes: NDArray[np.object_], res_m: float) -> Iterator[Finding]:
    """No pixel belongs to two glaciers. One finding per pair."""
    for i, j, area in overlapping_pairs(shapes, res_m):
        yield overlap_finding(key, str(ids[i]), str(ids[j]), area)


def overlap_finding(key: str, one: str, other: str, area: float) -> Finding:
    return Finding("overlap", key, f"{one} and {other} overlap by {area:.4f} km²")


def out_of_range(bounds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows of (n, 4) bounds that reach beyond ±180° or ±90°; False for NaN."""
    beyond: NDArray[np.bool_] = np.any(np.abs(bounds) > np.array([180.0, 90.0] * 2), axis=1)
    return beyond


def without(shapes: NDArray[np.object_], rows: NDArray[np.bool_]) -> NDArray[np.object_]:
    """A copy with None in these rows."""
    copy = shapes.copy()
    copy[rows] = None
    return copy
