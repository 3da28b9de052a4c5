"""Which rock crops out where in a SIMULATED landscape, and what it looks like relative to the mean rock.

Debris on a glacier is rock of the walls it came from, so its spectrum must be one that also lies beside it: each rock
is an offset to the logarithm of the fitted mean of all rock, and debris takes the offset of its source.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from core.simulate.land.place import Place
from core.simulate.noise import F32, fractal, stream

# Factors on the mean rock in blue, green, red, nir, swir1, swir2: representative shapes after the ECOSTRESS library
# (Meerdink et al. 2019, 10.1016/j.rse.2019.05.015), rounded; iron reddens, carbonate and mica absorb at 2.2–2.35 µm.
ROCKS: Mapping[str, tuple[float, float, float, float, float, float]] = {
    "granite": (1.30, 1.28, 1.28, 1.25, 1.20, 1.20),
    "leucogranite": (1.85, 1.80, 1.75, 1.65, 1.50, 1.45),
    "gneiss": (1.05, 1.05, 1.05, 1.03, 1.05, 1.05),
    "schist": (0.85, 0.86, 0.86, 0.85, 0.90, 0.82),
    "slate": (0.70, 0.68, 0.64, 0.58, 0.60, 0.60),
    "limestone": (1.35, 1.38, 1.40, 1.35, 1.25, 1.02),
    "sandstone": (0.95, 1.08, 1.25, 1.25, 1.25, 1.20),
    "red_sandstone": (0.70, 0.82, 1.40, 1.45, 1.35, 1.25),
    "basalt": (0.60, 0.55, 0.50, 0.48, 0.52, 0.58),
    "andesite": (0.80, 0.78, 0.78, 0.78, 0.85, 0.90),
    "serpentinite": (0.75, 0.80, 0.75, 0.72, 0.85, 0.75),
}


def layer_rocks(bed: F32, place: Place, pixel_m: float, seed: int) -> F32:
    """Logarithm of the factor of the rock in place, (6, h, w) float32: folded layers of the rocks of the place."""
    rng = stream(seed, "lithology")
    shape = (bed.shape[0], bed.shape[1])
    strike, dip = float(rng.uniform(0.0, 2.0 * np.pi)), float(rng.uniform(-1.0, 1.0))
    row, col = np.indices(shape, dtype=np.float32)
    thick_m = float(np.exp(rng.uniform(np.log(700.0), np.log(5000.0))))
    fold = fractal(shape, rng, 3.2, 12000.0 / pixel_m, 1200.0 / pixel_m)
    along = (np.cos(strike) * row + np.sin(strike) * col) * pixel_m * 0.5 + bed * dip
    layer = along / np.float32(thick_m) + 1.1 * fold
    names = [place.rocks[int(i)] for i in rng.integers(len(place.rocks), size=64)]
    table = (
        np.log(np.array([ROCKS[name] for name in names]))
        + rng.normal(0.0, 0.1, (64, 1))
        + rng.normal(0.0, 0.02, (64, 6))
    )
    out = table.T.astype(np.float32)[:, np.floor(layer).astype(np.intp) % 64]
    return np.stack([ndimage.gaussian_filter(band, 60.0 / pixel_m) for band in out]).astype(np.float32)
