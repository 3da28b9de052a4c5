"""Longitudes across the antimeridian: continuous inside the project, cut at ±180 where it publishes.

A glacier at 180° arrives as a ring that jumps from 179.9 to −179.9 or as parts on both sides. `unwrap_longitudes` puts
it on one side, so that its box, its area and its projection are those of one piece of ice; `split_antimeridian` is the
inverse, as RFC 7946 (§ 3.1.9) wants it. Only the few geometries that cross are looped over.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import LinearRing, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from core.inventory.polygons import join_parts, only_polygons

_SEAM_DEG = 1e-6  # 0.1 m: how far from ±180 a vertex of a cut may lie and still belong to the cut
_POLE_DEG = 90.0 - 1e-6


def unwrap_longitudes(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """Lon/lat (multi)polygons → the same with continuous longitudes, the middle of the box in [−180, 180).

    Wider than 180° means crossing, because no glacier is: its rings are made continuous, its parts brought to the side
    of the largest, and the seam between them dissolved. A ring around a pole stays a planar polygon of 360° width; if
    it has no vertices at the pole, it is closed over it (the pole of its mean latitude). None and empty pass through.
    """
    out = np.array(geometry, dtype=object)
    for i in np.flatnonzero(crosses_antimeridian(out)):
        out[i] = _unwrap(out[i])
    bounds = shapely.bounds(out)
    turns = np.nan_to_num(-np.floor(((bounds[:, 0] + bounds[:, 2]) / 2 + 180.0) / 360.0))
    for turn in np.unique(turns[turns != 0]):
        rows = turns == turn
        out[rows] = _shift(out[rows], 360.0 * turn)
    return out


def split_antimeridian(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """Continuous longitudes → (multi)polygons within [−180, 180], cut at ±180; exterior rings counter-clockwise.

    Geometries that are inside already come back untouched. Invalid ones that have to be cut are repaired first.
    """
    out = np.array(geometry, dtype=object)
    bounds = shapely.bounds(out)
    cut = np.flatnonzero((bounds[:, 0] < -180.0) | (bounds[:, 2] > 180.0))
    if len(cut) == 0:
        return out
    whole = out[cut]
    broken = ~shapely.is_valid(whole)
    whole[broken] = shapely.make_valid(whole[broken], method="structure", keep_collapsed=False)
    low = int(np.floor((bounds[cut, 0].min() + 180.0) / 360.0))
    high = int(np.ceil((bounds[cut, 2].max() - 180.0) / 360.0))
    parts, rows = [], []
    for turn in range(low, high + 1):
        band = shapely.box(-180.0 + 360.0 * turn, -90.0, 180.0 + 360.0 * turn, 90.0)
        piece, row = shapely.get_parts(only_polygons(shapely.intersection(whole, band)), return_index=True)
        parts.append(_shift(piece, -360.0 * turn))
        rows.append(row)
    order = np.argsort(np.concatenate(rows), kind="stable")
    joined = join_parts(np.concatenate(parts)[order], np.concatenate(rows)[order], len(cut))
    # Something 360° wide meets itself again inside ±180.
    touching = ~shapely.is_valid(joined) & ~shapely.is_missing(joined)
    joined[touching] = shapely.make_valid(joined[touching], method="structure", keep_collapsed=False)
    out[cut] = shapely.orient_polygons(joined, exterior_cw=False)
    return out


def wrap_degrees(lon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes into [−180, 180); those within [−180, 180] are left as they are."""
    return np.where(np.abs(lon) <= 180.0, lon, (lon + 180.0) % 360.0 - 180.0)


def crosses_antimeridian(geometry: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Whether a box is wider than 180°: a jump at the antimeridian, or a polar cap."""
    bounds = shapely.bounds(geometry)
    return np.asarray(bounds[:, 2] - bounds[:, 0] > 180.0)


def _shift(geometry: NDArray[np.object_], degrees: float) -> NDArray[np.object_]:
    offset = np.array([degrees, 0.0])
    return np.asarray(shapely.transform(geometry, lambda xy: xy + offset), dtype=object)


def _unwrap(geometry: BaseGeometry) -> BaseGeometry:
    parts = shapely.get_parts(geometry)
    parts = parts[shapely.get_type_id(parts) == 3]
    if len(parts) == 0:
        return geometry
    polygons, polar = zip(*(_unwrap_polygon(p) for p in parts), strict=True)
    if any(polar):
        return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
    array = np.array(polygons, dtype=object)
    bounds = shapely.bounds(array)
    middle = (bounds[:, 0] + bounds[:, 2]) / 2
    turns = -np.round((middle - middle[np.argmax(shapely.area(array))]) / 360.0)
    for turn in np.unique(turns[turns != 0]):
        array[turns == turn] = _shift(array[turns == turn], 360.0 * turn)
    return array[0] if len(array) == 1 else _dissolve(array)


def _dissolve(parts: NDArray[np.object_]) -> BaseGeometry:
    """Parts that meet at the antimeridian → one; parts that are invalid stay as they are, for the repair to see."""
    if not shapely.is_valid(parts).all():
        return MultiPolygon(list(parts))
    snapped = np.asarray(shapely.transform(parts, _snap_to_seam), dtype=object)
    # Snapping can flatten a sliver at the seam.
    return shapely.union_all(only_polygons(shapely.make_valid(snapped, method="structure", keep_collapsed=False)))


def _snap_to_seam(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    seam = np.round((xy[:, 0] - 180.0) / 360.0) * 360.0 + 180.0
    return np.column_stack([np.where(np.abs(xy[:, 0] - seam) <= _SEAM_DEG, seam, xy[:, 0]), xy[:, 1]])


def _unwrap_polygon(polygon: Polygon) -> tuple[Polygon, bool]:
    """(polygon with continuous rings, whether it encloses a pole)."""
    shell, polar = _unwrap_ring(polygon.exterior)
    middle = (shell[:, 0].min() + shell[:, 0].max()) / 2
    holes = []
    for ring in polygon.interiors:
        hole, _ = _unwrap_ring(ring)
        offset = (hole[:, 0].min() + hole[:, 0].max()) / 2 - middle
        holes.append(hole - [360.0 * np.round(offset / 360.0), 0.0])
    return Polygon(shell, holes), polar


def _unwrap_ring(ring: LinearRing) -> tuple[NDArray[np.float64], bool]:
    """(vertices with continuous longitudes, whether the ring goes around a pole)."""
    xy = shapely.get_coordinates(ring)
    step = np.diff(xy[:, 0])
    step = np.where(np.abs(step) > 180.0, step - 360.0 * np.round(step / 360.0), step)
    lon = xy[0, 0] + np.concatenate([[0.0], np.cumsum(step)])
    if abs(lon[-1] - lon[0]) < 180.0:
        # Whole turns are added to the source's own numbers, so that unwrapping changes no digit of them.
        lon = xy[:, 0] + 360.0 * np.round((lon - xy[:, 0]) / 360.0)
        return np.column_stack([lon, xy[:, 1]]), False
    if np.abs(xy[:, 1]).max() >= _POLE_DEG:
        return xy, True
    pole = float(np.copysign(90.0, xy[:, 1].mean()))
    closed = np.vstack([np.column_stack([lon, xy[:, 1]]), [[lon[-1], pole], [lon[0], pole], [lon[0], xy[0, 1]]]])
    return closed, True
