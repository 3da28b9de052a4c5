"""Oracle: the share of glacier that the outlines themselves put into each pixel. For tests and benchmarks only.

It reads the `oracle` layer, which ingestion rasterises from the inventory. A run with it must give back the areas of
the inventory, so whatever it loses is the fault of grid, stitching or measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.models.protocol import Inputs, ModelSpec, Need
from core.windows import WindowLattice


@dataclass(frozen=True)
class Oracle:
    """window_px and stride_px may be set, to test stitching with overlapping windows."""

    window_px: int = 256
    stride_px: int = 256

    @property
    def spec(self) -> ModelSpec:
        lattice = WindowLattice(self.window_px, self.stride_px)
        return ModelSpec("oracle", (Need("oracle", ("coverage",)),), lattice)

    def weights(self) -> NDArray[np.float32]:
        return np.ones((self.window_px, self.window_px), dtype=np.float32)

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        return inputs["oracle"][:, 0]
