"""How well a scene shows the glaciers of a block: what of them it hides, and how much snow lies beside them.

After DL4GAM (Diaconu et al. 2025, 10.1029/2025EA004197), which ranks the scenes of a glacier by cloud over the
glacier and 50 m around it and by the mean NDSI off the glaciers, a sign of seasonal snow. Here for a block at once,
looked at in reduced copies on a lattice of 120 m.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.coverage import coverage_share
from core.grid import Lattice, PixelWindow
from core.ingest.observe import Observer
from core.sensors import Sensor
from core.tiles import SceneScore

LOOK_M = 120
SNOW_NDSI = 0.4  # Hall et al. 1995, 10.1016/0034-4257(95)00137-P


def cost(score: SceneScore) -> float:
    """Hidden share of the glaciers plus half the snow beside them, so that what can be seen weighs more."""
    hidden = 1.0 - score.coverage * (1.0 - score.cloud)
    return hidden + 0.5 * (score.snow if score.snow is not None else 1.0)


def glacier_pixels(outlines_m: NDArray[np.object_], lattice: Lattice, window: PixelWindow) -> NDArray[np.bool_]:
    """Pixels of the look that a glacier touches, which is some 50 m around it; all in a block without glaciers."""
    near = np.asarray(coverage_share(outlines_m, lattice, window) > 0)
    return near if near.any() else np.ones(window.shape, dtype=bool)


def score(scene: Observer, sensor: Sensor, window: PixelWindow, glaciers: NDArray[np.bool_]) -> SceneScore:
    """Look at one scene. window: of the lattice of the look; glaciers: see `glacier_pixels`."""
    if not scene.reaches:
        return SceneScore(scene.scene.id, 0.0, 0.0, None)
    seen = scene.observe(window)
    hidden = ~seen.valid & seen.known
    covered = int(np.count_nonzero((seen.valid | hidden) & glaciers))
    cloud = int(np.count_nonzero(hidden & glaciers)) / covered if covered else 0.0
    coverage = covered / max(1, int(np.count_nonzero(glaciers)))
    snow = _snow(seen.values, seen.valid & ~glaciers, sensor)
    # To six digits, in which even one pixel of the largest look is more than nothing.
    return SceneScore(scene.scene.id, round(coverage, 6), round(cloud, 6), None if snow is None else round(snow, 6))


def _snow(values: NDArray[np.float32], where: NDArray[np.bool_], sensor: Sensor) -> float | None:
    names = sensor.band_names
    if not {"green", "swir1"} <= set(names) or not where.any():
        return None
    green, swir = values[names.index("green")][where], values[names.index("swir1")][where]
    told = np.isfinite(green) & np.isfinite(swir)
    if not told.any():
        return None
    ndsi = (green[told] - swir[told]) / np.maximum(green[told] + swir[told], 1e-4)
    return float(np.mean(ndsi > SNOW_NDSI))
