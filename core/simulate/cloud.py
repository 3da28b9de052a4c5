"""The SIMULATED sky: clouds, their shadows on the ground, and the class mask that a scene comes with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.simulate.noise import F32, fractal, ramp
from core.simulate.sun import Sun

FILL, CLEAR, CLOUD, SHADOW = 0, 1, 2, 3
INVALID = (FILL, CLOUD, SHADOW)
_HEIGHT_M = 1500.0  # of the cloud above the ground


@dataclass(frozen=True)
class Sky:
    """opacity and shade (share of the direct sun taken away): (px, px) float32 0–1; mask: uint8 classes."""

    opacity: F32
    shade: F32
    mask: NDArray[np.uint8]

    @property
    def invalid(self) -> NDArray[np.bool_]:
        return np.isin(self.mask, INVALID)


def make_sky(
    shape: tuple[int, int],
    pixel_m: float,
    sun: Sun,
    share: float,
    rng: np.random.Generator,
    over: NDArray[np.bool_],
    clear: NDArray[np.bool_],
    swath_edge: bool,
) -> Sky:
    """Clouds over about `share` of the ground, besides those placed wholly over `over`.

    Neither cloud nor shadow of the rest touches `clear`. swath_edge leaves the right end of the scene empty.
    """
    billow = fractal(shape, rng, 3.3, 0.25 * min(shape))
    level = float(np.quantile(billow, 1.0 - share)) if share else float(billow.max())
    opacity = ramp(billow, level - 0.1, level + 0.55)
    forbidden = ramp(ndimage.gaussian_filter(clear.astype(np.float32), 5.0), 0.02, 0.12)
    forbidden = np.maximum(forbidden, _moved(forbidden, pixel_m, sun, -1.0))
    opacity = np.asarray(opacity * (1.0 - forbidden), dtype=np.float32)
    if over.any():
        away_m = np.asarray(ndimage.distance_transform_edt(~over), dtype=np.float32) * np.float32(pixel_m)
        opacity = np.maximum(opacity, ramp(away_m + 200.0 * np.clip(billow, -2.0, 2.0), 850.0, 550.0))
    shade = 0.85 * _moved(opacity, pixel_m, sun, 1.0)
    mask = np.full(shape, CLEAR, dtype=np.uint8)
    mask[ndimage.binary_dilation(shade > 0.06, iterations=2)] = SHADOW
    mask[ndimage.binary_dilation(opacity > 0.03, iterations=2)] = CLOUD
    if swath_edge:
        row, col = np.indices(shape, sparse=True)
        mask[col > 0.93 * shape[1] - 0.16 * row] = FILL
    return Sky(opacity, np.asarray(shade, dtype=np.float32), mask)


def _moved(field: F32, pixel_m: float, sun: Sun, direction: float) -> F32:
    """The field as it falls on the ground (direction 1), or what of the sky falls on it (−1)."""
    px = _HEIGHT_M / np.tan(np.radians(sun.elevation_deg)) / pixel_m * direction
    rows, cols = sun.step
    return np.asarray(ndimage.shift(field, (-rows * px, -cols * px), order=1, mode="constant"), dtype=np.float32)
