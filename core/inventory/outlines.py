"""Outlines made usable: two-dimensional, continuous, valid, polygonal, or a stated reason why not.

Repairs keep the area that the ring encloses (GEOS `structure` rule: holes stay holes, overlaps count once) and each one
is noted with the area before and after. The repaired geometry is the one that every later stage sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from core.inventory.longitude import crosses_antimeridian, unwrap_longitudes, wrap_degrees
from core.inventory.polygons import area_km2, join_parts, only_polygons, vertex_chunks

_POLYGONAL = (3, 6)
_COLLECTION = 7
# A stated centre further than this outside the box of its outline is a mistake, not a rounding.
_CENTRE_TOLERANCE_DEG = 0.1


@dataclass(frozen=True)
class Note:
    """A finding about one row, before its final id is known."""

    kind: str
    row: int
    message: str
    action: str


@dataclass(frozen=True)
class Outlines:
    """geometry: Polygon, MultiPolygon or None; problem: None, or why the geometry is None. Same length as the input."""

    geometry: NDArray[np.object_]
    problem: NDArray[np.object_]
    notes: list[Note]


def clean_outlines(geometry: NDArray[np.object_]) -> Outlines:
    """Any lon/lat geometries → usable outlines. The geometry is None exactly where there is a problem.

    Works in place on `geometry`: a global inventory is 0.8 GB of vertices, of which two copies would be one too many.
    """
    deep = shapely.has_z(geometry) | shapely.has_m(geometry)
    geometry[deep] = shapely.force_2d(geometry[deep])
    problem = np.full(len(geometry), None, dtype=object)
    notes: list[Note] = []

    kind = shapely.get_type_id(geometry)
    collections = kind == _COLLECTION
    geometry[collections] = only_polygons(geometry[collections])
    notes += [
        Note("collection", int(i), "geometry collection", "its polygons are used") for i in np.flatnonzero(collections)
    ]
    foreign = ~np.isin(kind, (-1, *_POLYGONAL, _COLLECTION))
    problem[foreign] = [f"{shapely.GeometryType(int(k)).name.lower()}, not a polygon" for k in kind[foreign]]
    problem[collections & shapely.is_missing(geometry)] = "no polygon in the geometry collection"
    problem[kind == -1] = "null geometry"
    problem[shapely.is_empty(geometry) & np.isin(kind, _POLYGONAL)] = "empty geometry"
    geometry[pd.notna(problem)] = None

    bounds = shapely.bounds(geometry)
    here = ~shapely.is_missing(geometry)
    beyond = here & ~(
        np.isfinite(bounds).all(axis=1)
        & (bounds[:, 1] >= -90.0 - 1e-6)
        & (bounds[:, 3] <= 90.0 + 1e-6)
        & (bounds[:, 0] >= -540.0)
        & (bounds[:, 2] <= 540.0)
    )
    problem[beyond] = "coordinates outside the globe"
    geometry[beyond] = None

    crossing = crosses_antimeridian(geometry)
    geometry[:] = unwrap_longitudes(geometry)
    notes += [
        Note("antimeridian", int(i), "on both sides of 180°", "longitudes made continuous")
        for i in np.flatnonzero(crossing)
    ]
    notes += _repair(geometry, problem)
    # A part of a MultiPolygon that is alone is a Polygon, and rings turn one way, so that one outline has one spelling.
    alone = (shapely.get_type_id(geometry) == 6) & (shapely.get_num_geometries(geometry) == 1)
    geometry[alone] = shapely.get_geometry(geometry[alone], 0)
    for rows in vertex_chunks(geometry):
        geometry[rows] = shapely.orient_polygons(geometry[rows], exterior_cw=False)
    return Outlines(geometry, problem, notes)


def _repair(geometry: NDArray[np.object_], problem: NDArray[np.object_]) -> list[Note]:
    """Mend invalid rows in place; rows that cannot be mended get a problem."""
    bad = np.flatnonzero(~shapely.is_valid(geometry) & ~shapely.is_missing(geometry))
    if len(bad) == 0:
        return []
    before, reason = geometry[bad], shapely.is_valid_reason(geometry[bad])
    after = only_polygons(np.array([_make_valid(g) for g in before], dtype=object))
    area_before, area_after = area_km2(before), area_km2(after)
    geometry[bad] = after
    lost = shapely.is_missing(after)
    problem[bad[lost]] = "geometry could not be repaired"
    return [
        Note("not_repairable", int(i), str(why), "kept as a row without geometry")
        if gone
        else Note("repaired", int(i), f"{why}; {a:.6f} km² before, {b:.6f} km² after", "repaired, polygonal parts kept")
        for i, why, a, b, gone in zip(bad, reason, area_before, area_after, lost, strict=True)
    ]


def _make_valid(geometry: shapely.Geometry) -> shapely.Geometry | None:
    try:
        return shapely.make_valid(geometry, method="structure", keep_collapsed=False)
    except shapely.errors.GEOSException:
        return None


def subtract_rocks(
    geometry: NDArray[np.object_], owner: NDArray[np.object_], is_rock: NDArray[np.bool_]
) -> tuple[NDArray[np.object_], NDArray[np.bool_], list[Note]]:
    """Take internal rocks out of the outlines with the same owner: (geometry, which rocks found an owner, notes).

    The GLIMS database keeps nunataks as polygons of their own (`line_type` = `intrnl_rock`), where the RGI has holes.
    An outline that has the hole already is not changed.
    """
    usable = ~shapely.is_missing(geometry) & pd.notna(owner)
    rock, rows = np.flatnonzero(is_rock & usable), np.flatnonzero(~is_rock & usable)
    placed = np.zeros(len(geometry), dtype=bool)
    shared = np.intersect1d(owner[rock].astype(str), owner[rows].astype(str))
    if len(shared) == 0:
        return geometry, placed, []
    rock, rows = (r[np.isin(owner[r].astype(str), shared)] for r in (rock, rows))
    placed[rock] = True
    group = np.searchsorted(shared, owner[rock].astype(str))
    order = np.argsort(group, kind="stable")
    parts, row = shapely.get_parts(geometry[rock[order]], return_index=True)
    union = np.asarray(shapely.union_all(join_parts(parts, group[order][row], len(shared))[:, None], axis=1))

    smaller = only_polygons(shapely.difference(geometry[rows], union[np.searchsorted(shared, owner[rows].astype(str))]))
    before, after = area_km2(geometry[rows]), area_km2(smaller)
    changed = before - after > 1e-9
    out = geometry.copy()
    out[rows[changed]] = smaller[changed]
    return (
        out,
        placed,
        [
            Note("internal_rock", int(i), f"{b - a:.4f} km² of rock given as polygons of its own", "cut out as holes")
            for i, b, a in zip(rows[changed], before[changed], after[changed], strict=True)
        ],
    )


def centres(
    geometry: NDArray[np.object_], lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[Note]]:
    """Representative points in degrees: the stated ones, or a computed point on the surface where they are no use.

    A stated point is replaced if it lies more than 0.1° (of arc) outside the box of its outline, because the home zone
    follows from it. Longitudes come back in [−180, 180]. NaN where there is neither a point nor a geometry.
    """
    lon = np.where(np.isfinite(lon) & (np.abs(lon) <= 360.0), lon, np.nan)
    lat = np.where(np.isfinite(lat) & (np.abs(lat) <= 90.0), lat, np.nan)
    here = ~shapely.is_missing(geometry)
    xmin, ymin, xmax, ymax = shapely.bounds(geometry).T
    middle = (xmin + xmax) / 2
    near = lon - 360.0 * np.round((lon - middle) / 360.0)
    slack = _CENTRE_TOLERANCE_DEG / np.cos(np.radians(np.clip(lat, -89.0, 89.0)))
    inside = (
        (near >= xmin - slack)
        & (near <= xmax + slack)
        & (lat >= ymin - _CENTRE_TOLERANCE_DEG)
        & (lat <= ymax + _CENTRE_TOLERANCE_DEG)
    )
    stated = np.isfinite(lon) & np.isfinite(lat)
    wrong = here & stated & ~inside
    compute = here & ~(stated & inside)
    point = shapely.point_on_surface(geometry[compute])
    out_lon, out_lat = lon.copy(), lat.copy()
    out_lon[compute], out_lat[compute] = np.round(shapely.get_x(point), 7), np.round(shapely.get_y(point), 7)
    notes = [
        Note(
            "centre_outside",
            int(i),
            f"stated centre ({lon[i]:.4f}, {lat[i]:.4f}) is outside the outline's box",
            "replaced by a point on the outline's surface",
        )
        for i in np.flatnonzero(wrong)
    ]
    return wrap_degrees(out_lon), out_lat, notes
