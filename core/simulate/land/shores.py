"""Still water in a SIMULATED landscape: lakes that the ice left, the sea, and mélange before its fronts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from core.routing import fill_pits
from core.simulate.land.place import Place
from core.simulate.noise import F32, fractal, ramp

_COARSE_PX = 4


@dataclass(frozen=True)
class StillWater:
    """Shares 0–1, (h, w) float32; surface_m is the surface with lakes filled and the sea at 0."""

    lake: F32
    sea: F32
    melange: F32
    surface_m: F32


def still_water(
    surface: F32, glacier: F32, edge: F32, then: F32, till: F32, below_ela: F32, place: Place, res_m: float,
    rng: np.random.Generator,
) -> StillWater:  # fmt: skip
    """Lakes fill hollows of the ground, and the flat lowest ground that ice left since the advance; `edge` and `then`
    are positive inside the ice of the year and of the advance."""
    shape = (surface.shape[0], surface.shape[1])
    ground = surface[_COARSE_PX // 2 :: _COARSE_PX, _COARSE_PX // 2 :: _COARSE_PX].astype(np.float64)
    inside = np.zeros(ground.shape, dtype=bool)
    inside[1:-1, 1:-1] = True
    depth = fill_pits(ground, inside, 0.0) - ground
    level = ground + depth
    number, n = ndimage.label(depth > 2.0)
    km2 = np.bincount(number.ravel(), minlength=n + 1) * (_COARSE_PX * res_m / 1000.0) ** 2
    # Most hollows of a simulated bed would have been filled with gravel long ago.
    kept = (km2 > 0.02) & (km2 < 2.5) & (rng.random(n + 1) < 0.5)
    kept[0] = False
    wet = ndimage.zoom(np.where(kept[number], depth, 0.0), _COARSE_PX, order=1, mode="nearest", grid_mode=True)
    flat = ndimage.zoom(np.where(kept[number], level, 0.0), _COARSE_PX, order=0, mode="nearest", grid_mode=True)
    lake = ramp(wet, 0.5, 2.0) * (edge < -0.2)
    filled = np.where(lake > 0.3, np.maximum(flat, surface), surface)
    # At some fronts the lowest ground that was ice is a lake, dammed by the moraine of the advance.
    gy, gx = np.gradient(ndimage.gaussian_filter(surface, 60.0 / res_m), res_m)
    left = (then > 0.5) & (below_ela > 120.0) & (np.hypot(gx, gy) < 0.16) & (edge < 1.2)
    number, n = ndimage.label(ndimage.binary_opening(left, iterations=max(int(60.0 / res_m), 1)))
    km2 = np.bincount(number.ravel(), minlength=n + 1) * (res_m / 1000.0) ** 2
    dammed = (km2 > 0.02) & (km2 < 2.0) & (rng.random(n + 1) < 0.45)
    dammed[0] = False
    new = dammed[number]
    if new.any():
        low = ndimage.minimum(filled, number, np.arange(n + 1))
        filled = np.where(new, low[number] + 2.0, filled)
        lake = np.maximum(lake, new)
    sea = melange = np.zeros(shape, dtype=np.float32)
    if place.sea:
        sea = ramp(surface, 0.5, -1.0) * (glacier < 0.5)
        # Ice from a front: dense beside it, then drifting floes.
        front = (glacier >= 0.5) & ndimage.binary_dilation(sea > 0.5, iterations=2)
        away = ndimage.distance_transform_edt(~front) * res_m if front.any() else np.full(shape, 1e9)
        reach = float(rng.uniform(200.0, 4000.0)) * (rng.random() < 0.7)
        packed = fractal(shape, rng, 2.2, 1500.0 / res_m) + 2.0 * (1.0 - away / max(reach, 1.0))
        melange = ramp(packed, -0.4, 0.6) * (sea > 0.5) * ramp(away, 1.6 * reach + 1.0, 0.8 * reach)
        filled = np.where(sea > 0.5, 0.4 * melange, filled)
    lake = np.asarray(lake * (1.0 - sea), dtype=np.float32)
    return StillWater(lake, np.asarray(sea, np.float32), np.asarray(melange, np.float32), filled.astype(np.float32))
