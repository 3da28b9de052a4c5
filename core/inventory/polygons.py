"""Polygons as arrays: keep the polygonal parts of anything, and their area on the ellipsoid.

Vectorised over shapely arrays; vertices are handled in bounded chunks, so a global inventory needs little memory
beyond its own geometry.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

_CHUNK_VERTICES = 2_000_000
_POLYGON = 3

# WGS84 (EPSG:7030).
_A_M = 6_378_137.0
_F = 1 / 298.257223563
_E = (_F * (2 - _F)) ** 0.5


def only_polygons(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """Any geometries → Polygon, MultiPolygon, or None where there is no polygon of positive area."""
    geometry = np.asarray(geometry, dtype=object)
    parts, row = shapely.get_parts(geometry, return_index=True)
    # A repaired polygon is a collection of multi-geometries: two levels.
    parts, inner = shapely.get_parts(parts, return_index=True)
    row = row[inner]
    good = (shapely.get_type_id(parts) == _POLYGON) & (shapely.area(parts) > 0)
    return join_parts(parts[good], row[good], len(geometry))


def join_parts(parts: NDArray[np.object_], row: NDArray[np.int64], n: int) -> NDArray[np.object_]:
    """Polygons with the (ascending) row each belongs to → n geometries; one part stays a Polygon, none is None."""
    out = np.full(n, None, dtype=object)
    if len(parts) == 0:
        return out
    rows, first, count = np.unique(row, return_index=True, return_counts=True)
    out[rows] = parts[first]
    many = np.repeat(count > 1, count)
    if many.any():
        dense = np.unique(row[many], return_inverse=True)[1]
        out[rows[count > 1]] = shapely.multipolygons(parts[many], indices=dense)
    return out


def area_km2(geometry: NDArray[np.object_]) -> NDArray[np.float64]:
    """Area on WGS84 of lon/lat polygons: float64, km²; NaN for None.

    The rule of the RGI: project the vertices with `{'proj': 'cea'}` (equal area) and take the planar area.
    Edges are therefore straight between vertices in that plane, which is what the published RGI areas assume.
    The projection is written out (Snyder 1987, eq. 3-12 and 10-15, https://doi.org/10.3133/pp1395) because PROJ wraps
    longitudes into ±180, which would tear outlines that are continuous across the antimeridian.
    """
    geometry = np.asarray(geometry, dtype=object)
    out = np.full(len(geometry), np.nan)
    for rows in vertex_chunks(geometry):
        out[rows] = shapely.area(shapely.transform(geometry[rows], _equal_area)) / 1e6
    return out


def vertex_chunks(geometry: NDArray[np.object_]) -> Iterator[slice]:
    """Consecutive slices of about two million vertices each."""
    if len(geometry) == 0:
        return
    chunk = np.cumsum(shapely.get_num_coordinates(geometry)) // _CHUNK_VERTICES
    borders = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(geometry)]
    for start, stop in pairwise(borders):
        yield slice(start, stop)


def _equal_area(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees → metres of the ellipsoidal cylindrical equal-area projection; any longitude."""
    sin = np.sin(np.radians(lonlat[:, 1]))
    es = _E * sin
    q = (1 - _E**2) * (sin / (1 - es * es) + np.arctanh(es) / _E)
    return np.column_stack([_A_M * np.radians(lonlat[:, 0]), 0.5 * _A_M * q])
