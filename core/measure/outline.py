"""Outlines: from the ice share of pixels to polygons.

The outline is the line on which the share is one half, interpolated between pixel centres (marching squares). Along a
divide the shares of two neighbours add up to one, so both get the same line, to rounding, and never overlap.
"""

from __future__ import annotations

from typing import Any, cast

import contourpy
import numpy as np
import shapely
from numpy.typing import NDArray

from core.grid import Lattice, PixelWindow
from core.measure.frame import framed

FloatArray = NDArray[np.float64]
_POLYGON = 3  # shapely type id


def outline(ice: NDArray[np.float32], lattice: Lattice, window: PixelWindow) -> shapely.Geometry:
    """Polygon or MultiPolygon in zone metres around ice ≥ 0.5; an empty polygon if there is none.

    ice: (rows, cols) share of each pixel of `window` that is ice of this glacier.
    """
    rows, cols = np.nonzero(ice >= 0.5)
    if len(rows) == 0:
        return shapely.Polygon()
    # Crop to the ice and its rim, then frame with zeros, so that every ring closes.
    r0, r1 = max(0, int(rows.min()) - 1), min(ice.shape[0], int(rows.max()) + 2)
    c0, c1 = max(0, int(cols.min()) - 1), min(ice.shape[1], int(cols.max()) + 2)
    z = framed(ice[r0:r1, c0:c1]).astype(np.float64)
    generator = _contours(z)
    points, offsets = cast("tuple[list[FloatArray], list[NDArray[np.uint32]]]", generator.filled(0.5, np.inf))
    if not points:
        return shapely.Polygon()
    to_x, to_y = lattice.centres_m(window)
    x0, y0 = to_x[0] + (c0 - 1) * lattice.res_m, to_y[0] - (r0 - 1) * lattice.res_m
    xy = np.concatenate(points)
    xy = np.column_stack([x0 + xy[:, 0] * lattice.res_m, y0 - xy[:, 1] * lattice.res_m])
    lengths = np.concatenate([np.diff(o.astype(np.int64)) for o in offsets])
    rings = np.asarray(shapely.linearrings(xy, indices=np.repeat(np.arange(len(lengths)), lengths)), dtype=object)
    polygon_of_ring = np.repeat(np.arange(len(offsets)), [len(o) - 1 for o in offsets])
    return tidy(np.asarray(shapely.polygons(rings, indices=polygon_of_ring), dtype=object))


def _contours(z: FloatArray) -> contourpy.SerialContourGenerator:
    """As `contourpy.contour_generator(z=z)`, without its search for masked values, which takes as long as the lines."""
    index = np.indices(z.shape, dtype=np.float64)
    return contourpy.SerialContourGenerator(
        index[1],
        index[0],
        z,
        cast(Any, None),
        corner_mask=False,
        line_type=contourpy.LineType.Separate,
        fill_type=contourpy.FillType.OuterOffset,
        quad_as_tri=False,
        z_interp=contourpy.ZInterp.Linear,
        x_chunk_size=0,
        y_chunk_size=0,
    )


def tidy(polygons: NDArray[np.object_]) -> shapely.Geometry:
    """Polygons of one glacier → one valid (multi)polygon; rings that touch at a saddle point are set right."""
    whole = _together(polygons[shapely.area(polygons) > 0])
    if shapely.is_valid(whole):
        return whole
    parts = shapely.get_parts(shapely.make_valid(whole, method="structure", keep_collapsed=False))
    return _together(parts[shapely.get_type_id(parts) == _POLYGON])


def _together(polygons: NDArray[np.object_]) -> shapely.Geometry:
    whole = polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)
    return cast(shapely.Geometry, whole)
