"""Extent: the longitude–latitude box of geometries on a globe, across the antimeridian if that is shorter.

Follows RFC 7946, section 5: west > east means that the box crosses 180°. For catalogues; the covering bbox of the
tables stays planar, because readers filter it with plain comparisons.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Extent = tuple[float, float, float, float]  # west, south, east, north


def extent_of(shapes: NDArray[np.object_]) -> Extent | None:
    """The smallest box around all parts of all geometries (longitudes within ±180), None if there are none."""
    parts = shapely.get_parts(shapes[~shapely.is_missing(shapes)])
    return _around(shapely.bounds(parts)) if parts.size else None


def merge_extents(extents: Iterable[Extent | None]) -> Extent | None:
    """The smallest box around boxes; None for none."""
    boxes: list[Extent] = []
    for extent in extents:
        if extent is None:
            continue
        west, south, east, north = extent
        boxes += [extent] if west <= east else [(west, south, 180.0, north), (-180.0, south, east, north)]
    return _around(np.asarray(boxes)) if boxes else None


def footprint(extent: Extent) -> dict[str, Any]:
    """The box as a GeoJSON geometry, in two polygons where it crosses the antimeridian."""
    west, south, east, north = extent
    boxes = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    rings = [[[w, south], [e, south], [e, north], [w, north], [w, south]] for w, e in boxes]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings}
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}


def _around(boxes: NDArray[np.float64]) -> Extent:
    """The circle of longitudes minus its widest gap."""
    boxes = boxes[np.argsort(boxes[:, 0], kind="stable")]
    south, north = float(boxes[:, 1].min()), float(boxes[:, 3].max())
    reach = np.maximum.accumulate(boxes[:, 2])
    gaps = np.append(boxes[1:, 0] - reach[:-1], boxes[0, 0] + 360.0 - reach[-1])
    widest = int(np.argmax(gaps))
    if widest == len(boxes) - 1 or gaps[widest] <= 0:
        return float(boxes[0, 0]), south, float(reach[-1]), north
    return float(boxes[widest + 1, 0]), south, float(reach[widest]), north
