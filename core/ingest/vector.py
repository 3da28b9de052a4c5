"""Turning vectors: components along the axes of a raster's own projection → components along the axes of a zone.

Velocity mosaics hold vx and vy along the axes of a polar stereographic or UTM grid. In another projection the same
arrow has other components: 45° of longitude away from the central meridian of EPSG:3413 they would have swapped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from core.grid import Lattice, PixelWindow

_NODES = 9  # per side of a tile of at most 15 km: between them the angle is straight to 1e-4 rad but at the very pole


def axis_angle(crs_wkt: str, lattice: Lattice, window: PixelWindow) -> NDArray[np.float32]:
    """Angle in radians from the zone's x axis, anticlockwise, to the raster's x axis, at each pixel: (h, w) float32."""
    own = CRS.from_user_input(crs_wkt)
    xmin, ymin, xmax, ymax = lattice.bounds_m(window)
    x, y = np.meshgrid(np.linspace(xmin, xmax, _NODES), np.linspace(ymax, ymin, _NODES))
    to_raster = Transformer.from_crs(CRS.from_epsg(lattice.zone.epsg), own, always_xy=True)
    u, v = to_raster.transform(x, y)
    step = 1e-4 if own.is_geographic else 10.0
    x2, y2 = to_raster.transform(u + step, v, direction="INVERSE")
    # Vectors, not angles, are interpolated: an angle has a seam.
    length = np.hypot(x2 - x, y2 - y)
    return np.arctan2(_spread((y2 - y) / length, window.shape), _spread((x2 - x) / length, window.shape))


def turn(
    vx: NDArray[np.float32], vy: NDArray[np.float32], angle: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Components along axes that are turned back by `angle` (see `axis_angle`)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return vx * cos - vy * sin, vx * sin + vy * cos


def _spread(nodes: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Node values, which span the outer edges, linearly onto pixel centres."""
    out = nodes
    for axis, n in enumerate(shape):
        at = (np.arange(n) + 0.5) / n * (_NODES - 1)
        low = np.minimum(at.astype(int), _NODES - 2)
        t = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        out = np.take(out, low, axis) * (1 - t) + np.take(out, low + 1, axis) * t
    return out.astype(np.float32)
