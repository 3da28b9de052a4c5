"""Null: looks at nothing and answers "not observed" for everything, so that the machinery can be timed without pixels.

It reads no band: its only need is the sensor that dates pixels, so nothing is decoded but which scene each is from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.models.protocol import Inputs, ModelSpec, Need
from core.windows import WindowLattice


@dataclass(frozen=True)
class Null:
    """window_px and stride_px as a network's would be."""

    window_px: int = 384
    stride_px: int = 192

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec("null", (Need("optical", ()),), WindowLattice(self.window_px, self.stride_px))

    def weights(self) -> NDArray[np.float32]:
        return np.ones((self.window_px, self.window_px), dtype=np.float32)

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        return np.full((len(inputs["optical"]), self.window_px, self.window_px), np.nan, dtype=np.float32)
