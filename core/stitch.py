"""Stitching: overlapping window scores become one probability per pixel.

Sums and weights stay apart until `divide`, in float32 and in the order of the window lattice, so the result does not
depend on block, batch or worker. Encoded as uint8: 0–254 is probability · 254, 255 is not observed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.grid import PixelWindow

NOT_OBSERVED = 255
LEVELS = 254


class Canvas:
    """Weighted sums over the pixels of `area`."""

    def __init__(self, area: PixelWindow) -> None:
        self.area = area
        self._sum = np.zeros(area.shape, dtype=np.float32)
        self._weight = np.zeros(area.shape, dtype=np.float32)

    def add(self, scores: NDArray[np.float32], weights: NDArray[np.float32], window: PixelWindow) -> None:
        """Add one window. scores: (h, w) float32, NaN adds nothing; weights: (h, w), strictly positive."""
        inside = window.intersect(self.area)
        if inside.empty:
            return
        score, weight = scores[inside.slices(window)], weights[inside.slices(window)]
        seen = np.isfinite(score)
        here = inside.slices(self.area)
        self._sum[here] += np.where(seen, score * weight, np.float32(0))
        self._weight[here] += np.where(seen, weight, np.float32(0))

    def divide(self) -> NDArray[np.float32]:
        """The blended score: (h, w) float32, NaN where no window saw the pixel."""
        out = np.full(self.area.shape, np.nan, dtype=np.float32)
        np.divide(self._sum, self._weight, out=out, where=self._weight > 0)
        return out


def gaussian_weights(size_px: int) -> NDArray[np.float32]:
    """exp(−r²/2) on [−1, 1]² at pixel centres: GlaViTU's blending weight (10.1038/s41467-024-54956-x)."""
    axis = (np.arange(size_px) + 0.5) / size_px * 2 - 1
    return np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 2).astype(np.float32)


def encode(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probability in [0, 1], NaN = not observed → uint8 (see module)."""
    seen = np.isfinite(probability)
    levels = np.rint(np.clip(np.where(seen, probability, 0.0), 0.0, 1.0) * LEVELS)
    return np.where(seen, levels, NOT_OBSERVED).astype(np.uint8)


def decode(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Inverse of `encode`, to within 1/508."""
    table = np.arange(256, dtype=np.float32) / LEVELS
    table[NOT_OBSERVED] = np.nan
    return np.asarray(table[stored], dtype=np.float32)
