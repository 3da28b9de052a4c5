"""Terrain: slope and aspect of an elevation model on the lattice.

Computed after projection, in metres on the ground: the pixel is corrected for the scale of the projection, which is
conformal, so one factor holds for all directions. Aspects are relative to true north, which is not where the columns
of a lattice point: degrees off within a UTM zone, any angle in UPS.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.grid import Lattice, PixelWindow, Zone, pixel_area_km2

Float32 = NDArray[np.float32]


def slope_deg(elevation_m: NDArray[np.float32], lattice: Lattice, window: PixelWindow) -> NDArray[np.float32]:
    """Slope in degrees, (h, w) float32 on `window`, of (h + 2, w + 2) elevations on `window.pad(1)`; NaN = unknown.

    Central differences (Zevenbergen & Thorne 1987, 10.1002/esp.3290120107); a one-sided one beside an unknown pixel;
    unknown where both neighbours along an axis are.
    """
    east, south = rise_m(elevation_m)
    return steepness_deg(east, south, pixel_area_km2(lattice, window))


def rise_m(elevation_m: Float32) -> tuple[Float32, Float32]:
    """Change of elevation per pixel, metres, (eastwards, southwards) along rows and columns: both (h, w) float32 of
    (h + 2, w + 2) elevations, by the differences of `slope_deg`. Divided by the side of a pixel it is the gradient."""
    return _difference(elevation_m[1:-1]), _difference(elevation_m[:, 1:-1].T).T


def steepness_deg(east: Float32, south: Float32, area_km2: Float32) -> Float32:
    """Slope in degrees of what `rise_m` gives, any shape; area_km2: ellipsoidal area of each pixel."""
    side_m = np.sqrt(area_km2).astype(np.float32) * np.float32(1000.0)
    return np.asarray(np.degrees(np.arctan(np.hypot(east, south) / side_m)), dtype=np.float32)


def aspect_deg(east: float, south: float, convergence_deg: float) -> float:
    """Direction in which ground falls whose elevation changes by `east` and `south` along the axes of the lattice:
    degrees clockwise from true north, in [0, 360). `convergence_deg`: see there."""
    grid = np.degrees(np.arctan2(-east, south))
    return float(grid + convergence_deg) % 360.0 % 360.0  # twice: −1e-17 % 360 is 360


def convergence_deg(zone: Zone, x: float, y: float) -> float:
    """Meridian convergence at a point in zone metres, degrees: what a bearing from the northing axis of the zone lacks
    of the bearing from true north, clockwise. PROJ computes it."""
    lon, lat = zone.unproject_points(np.array([x]), np.array([y]))
    return float(zone.convergence_deg(lon, lat)[0])


def _difference(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change per pixel along the last axis, without its first and last pixel."""
    before, here, after = z[:, :-2], z[:, 1:-1], z[:, 2:]
    central = (after - before) / np.float32(2.0)
    known = np.isfinite(central)
    if known.all():
        return central
    return np.where(known, central, np.where(np.isfinite(after), after - here, here - before))
