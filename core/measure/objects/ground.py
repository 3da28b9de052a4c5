"""The ground of one glacier: all that the object step may look at, cropped to the bounding box of its own pixels.

Nothing outside that box is ever read, and nothing outside `mine` counts. Two windows that hold the same glacier
therefore give the same ground, whatever else they show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.measure.objects.rules import ELEVATION, LayerArrays

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]
OLD_GROUND = 0.5  # a pixel belongs to the old outline if at least this share of its ground lies inside


@dataclass(frozen=True)
class Ground:
    """One glacier's ground, all arrays (h, w) of the box.

    box: where it lies in the window. mine: pixels that the glacier owns, wholly or in part. probability: float32 as
    it was mapped, NaN where not observed. area_km2: owned ground of each pixel, 0 elsewhere. inside: share of the
    owned ground that lies inside the old outline. layers: of the whole window; ask `layer` for the part in the box.
    """

    box: tuple[slice, slice]
    mine: Bool
    probability: NDArray[np.float32]
    area_km2: Float64
    inside: Float64
    res_m: float
    layers: LayerArrays

    @property
    def old(self) -> Bool:
        """Pixels of the old outline."""
        return self.mine & (self.inside >= OLD_GROUND)

    def layer(self, name: str) -> Float64:
        """(h, w) float64, NaN = unknown. Raises ConfigError if the layer is not on the window of the glacier."""
        if name == "probability":
            return self.probability.astype(np.float64)
        if name == "inside":
            return self.inside
        whole = self.layers[name]
        part = whole[self.box]
        if part.shape != self.mine.shape:
            raise ConfigError(
                f"layer {name}",
                found=f"shape {whole.shape}",
                expected="the shape of the glacier's window",
                fix="read every layer on the window of the ownership",
            )
        return part.astype(np.float64)

    def has(self, name: str) -> bool:
        """Whether a layer is there to be asked for."""
        return name in ("probability", "inside") or name in self.layers

    def elevation_range_m(self) -> tuple[float, float]:
        """(lowest, highest) elevation of the old outline's ground, NaN where none is known."""
        known = self.layer(ELEVATION)[self.old]
        known = known[np.isfinite(known)]
        return (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)


def crop_ground(
    probability: NDArray[np.float32],
    share: NDArray[np.float32],
    own: NDArray[np.float32],
    area_km2: NDArray[np.float32],
    res_m: float,
    layers: LayerArrays,
) -> Ground | None:
    """The ground of a glacier in its window; None if it owns no pixel.

    probability, share, own: (rows, cols), the last two as in `core.measure.Ownership`; area_km2: of each whole pixel.
    """
    mine = share > 0
    rows, cols = np.flatnonzero(mine.any(axis=1)), np.flatnonzero(mine.any(axis=0))
    if not rows.size:
        return None
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
    share, own, mine = share[box], own[box], mine[box]
    inside = np.zeros(mine.shape)
    # Along a divide a pixel is shared, and yet all of this glacier's part of it lies inside its outline.
    np.divide(own, share, out=inside, where=mine, dtype=np.float64)
    return Ground(
        box=box,
        mine=mine,
        probability=probability[box],
        area_km2=np.asarray(share * area_km2[box], dtype=np.float64),
        inside=np.minimum(inside, 1.0),
        res_m=float(res_m),
        layers=layers,
    )
