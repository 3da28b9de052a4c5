"""Terrain: slope of an elevation model on the lattice.

Computed after projection, in metres on the ground: the pixel is corrected for the scale of the projection, which is
conformal, so one factor holds for all directions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.grid import Lattice, PixelWindow, pixel_area_km2


def slope_deg(elevation_m: NDArray[np.float32], lattice: Lattice, window: PixelWindow) -> NDArray[np.float32]:
    """Slope in degrees, (h, w) float32 on `window`, of (h + 2, w + 2) elevations on `window.pad(1)`; NaN = unknown.

    Central differences (Zevenbergen & Thorne 1987, 10.1002/esp.3290120107); a one-sided one beside an unknown pixel;
    unknown where both neighbours along an axis are.
    """
    side_m = np.sqrt(pixel_area_km2(lattice, window)).astype(np.float32) * np.float32(1000.0)
    east = _difference(elevation_m[1:-1])
    south = _difference(elevation_m[:, 1:-1].T).T
    return np.asarray(np.degrees(np.arctan(np.hypot(east, south) / side_m)), dtype=np.float32)


def _difference(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change per pixel along the last axis, without its first and last pixel."""
    before, here, after = z[:, :-2], z[:, 1:-1], z[:, 2:]
    central = (after - before) / np.float32(2.0)
    return np.where(np.isfinite(central), central, np.where(np.isfinite(after), after - here, here - before))
