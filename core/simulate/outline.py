"""Polygons of SIMULATED glaciers: smooth contours of the ice, cut by smooth divides, in metres of the site.

Promise: neighbours share their divide vertex for vertex, without gap or overlap, at both dates, because all of them
are faces of one noded set of lines; the outline of the mapped year lies within the inventory's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import contourpy
import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray

from core.simulate.divides import label_glaciers
from core.simulate.glacier import Ice
from core.simulate.noise import F32, F64
from core.simulate.place import to_pixels, to_zone

Geometries = NDArray[np.object_]
_MIN_HOLE_KM2 = 0.006
_MIN_PART_KM2 = 0.012
_MIN_GLACIER_KM2 = 0.05


@dataclass(frozen=True)
class Outlines:
    """One entry per glacier: then = inventory (Polygon, never empty), now = mapped year (may be empty or in parts)."""

    then: Geometries
    now: Geometries


def draw_outlines(ice: Ice, terrain: F32, transform: Affine, smallest_km2: float) -> Outlines:
    """Outlines at both dates in the metres of `transform` (scene pixels → zone), ordered by area, largest first."""
    label, n = label_glaciers(ice.then, terrain, transform.a, smallest_km2)
    then, now = _contour(ice.then, transform), _contour(ice.now, transform)
    lines = np.concatenate([shapely.boundary([then, now]), _divides(label, transform @ Affine.scale(2))])
    noded = shapely.union_all(lines)
    faces = shapely.get_parts(shapely.polygonize([noded]))
    inner = shapely.point_on_surface(faces)
    shapely.prepare([then, now])
    in_then, in_now = shapely.contains(then, inner), shapely.contains(now, inner)
    col, row = to_pixels(transform @ Affine.scale(2), shapely.get_x(inner), shapely.get_y(inner))
    owner = label[np.clip(row, 0, label.shape[0] - 1).astype(int), np.clip(col, 0, label.shape[1] - 1).astype(int)]
    wholes = [shapely.union_all(faces[in_then & (owner == i)]) for i in range(n)]
    parts, part_owner = shapely.get_parts(wholes, return_index=True)
    big = shapely.area(parts) >= _MIN_GLACIER_KM2 * 1e6
    parts, part_owner = parts[big], part_owner[big]
    # Faces are small and lie wholly inside one glacier, so a point decides where each belongs at the later date too.
    tree = shapely.STRtree(parts)
    face, part = tree.query(inner, predicate="within")
    still = in_now[face]
    later = np.array([_without_crumbs(shapely.union_all(faces[face[still & (part == i)]])) for i in range(len(parts))])
    order = np.argsort(-shapely.area(parts), kind="stable")
    return Outlines(parts[order], later[order])


def _contour(field: F32, transform: Affine) -> shapely.Geometry:
    """The ground where `field` > 0, without tiny holes and parts: one MultiPolygon in zone metres."""
    rows, cols = field.shape
    padded = np.full((rows + 2, cols + 2), -1.0, dtype=np.float32)
    padded[1:-1, 1:-1] = field
    at = np.arange(max(rows, cols) + 2) - 0.5  # centres of pixels, in pixel corners
    generator = contourpy.contour_generator(at[: cols + 2], at[: rows + 2], padded, fill_type="OuterOffset")
    points, offsets, *_ = cast("tuple[list[F64], list[NDArray[np.uint32]]]", generator.filled(0.0, np.inf))
    xy = np.concatenate(points)
    x, y = to_zone(transform, xy[:, 0], xy[:, 1])
    ring_of = [np.diff(o).astype(int) for o in offsets]
    ring = np.repeat(np.arange(sum(map(len, ring_of))), np.concatenate(ring_of))
    rings = np.asarray(shapely.linearrings(np.column_stack([x, y]), indices=ring), dtype=object)
    polygon = np.repeat(np.arange(len(ring_of)), [len(r) for r in ring_of])
    hole = np.concatenate([np.arange(len(r)) > 0 for r in ring_of])
    keep = shapely.area(shapely.polygons(rings)) >= np.where(hole, _MIN_HOLE_KM2, _MIN_PART_KM2) * 1e6
    keep &= keep[np.flatnonzero(~hole)][polygon]
    _, dense = np.unique(polygon[keep], return_inverse=True)
    polygons = np.asarray(shapely.polygons(rings[keep], indices=dense), dtype=object)
    return shapely.make_valid(shapely.MultiPolygon(list(polygons)))


def _divides(label: NDArray[np.int32], transform: Affine) -> Geometries:
    """The lines between labels, each arc between junctions simplified and rounded off once, its ends kept."""
    shapes = rasterio.features.shapes(label, transform=transform)
    cells = np.array([shapely.geometry.shape(s) for s, _ in shapes])
    arcs = shapely.get_parts(shapely.line_merge(shapely.union_all(shapely.boundary(cells))))
    arcs = shapely.simplify(arcs, 0.9 * transform.a)
    for _ in range(2):
        arcs = _cut_corners(arcs)
    return arcs


def _cut_corners(lines: Geometries) -> Geometries:
    """Chaikin's corner cutting (1974) on every line at once; end points stay, so that junctions hold."""
    xy, line = shapely.get_coordinates(lines, return_index=True)
    inner = line[1:] == line[:-1]
    a, b, of = xy[:-1][inner], xy[1:][inner], line[1:][inner]
    cut = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], axis=1)
    start = np.flatnonzero(np.diff(of, prepend=-1))
    end = np.flatnonzero(np.diff(of, append=of[-1] + 1))
    cut[start, 0], cut[end, 1] = a[start], b[end]
    return np.asarray(shapely.linestrings(cut.reshape(-1, 2), indices=np.repeat(of, 2)), dtype=object)


def _without_crumbs(shape: shapely.Geometry) -> shapely.Geometry:
    """Drop parts too small to be seen."""
    parts = shapely.get_parts(shape)
    kept = parts[shapely.area(parts) >= _MIN_PART_KM2 * 1e6 / 4]
    if len(kept) == 1:
        return cast("shapely.Geometry", kept[0])
    return shapely.MultiPolygon(list(kept)) if len(kept) else shapely.Polygon()
