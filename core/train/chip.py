"""Chip: one small square of the world with everything that training needs of it, simulated or real.

All arrays lie on one grid of `res_m`, in the bands, order and units of the sensor registry, NaN where not observed,
so whoever makes chips knows nothing of models and whoever trains knows nothing of tiles, scenes or worlds. A chip is
checked when it is made; a sensor that was not there is left out of `values`, never filled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.errors import PoisonError
from core.sensors import sensor
from core.train.classes import N_SURFACES, UNLABELLED

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Chip:
    """values: sensor → (band, h, w) float32 in registry order and units, NaN = not observed.
    glacier: (h, w) float32 share of glacier ice, clean or debris-covered, 0–1; NaN = unlabelled, which no loss sees.
    classes: (h, w) uint8 codes of `core.train.classes`, 255 = unlabelled; None where nobody knows them.
    res_m: side of a pixel. origin: `simulated:SEED`, or the id of a sample or tile store. region: RGI first-order
    region `01`–`19`, "" if unknown. lat, lon: degrees of the centre. weight: how much the chip counts, more than 0.
    Raises PoisonError, naming the origin, if anything above does not hold.
    """

    values: Mapping[str, Float32]
    glacier: Float32
    classes: NDArray[np.uint8] | None
    res_m: float
    origin: str
    region: str = ""
    lat: float = 0.0
    lon: float = 0.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        shape = self.glacier.shape
        if self.glacier.dtype != np.float32 or len(shape) != 2:
            raise self._refused(f"glacier {self.glacier.dtype} {shape}", "float32 (h, w)")
        for name, values in self.values.items():
            expected = (len(sensor(name).bands), *shape)
            if values.shape != expected or values.dtype != np.float32:
                raise self._refused(f"{name} {values.dtype} {values.shape}", f"float32 {expected}")
        if self.classes is not None:
            if self.classes.shape != shape or self.classes.dtype != np.uint8:
                raise self._refused(f"classes {self.classes.dtype} {self.classes.shape}", f"uint8 {shape}")
            if ((self.classes >= N_SURFACES) & (self.classes != UNLABELLED)).any():
                raise self._refused(f"class {self.classes.max()}", f"0 to {N_SURFACES - 1}, or {UNLABELLED}")
        low, high = np.nanmin(self.glacier, initial=0.0), np.nanmax(self.glacier, initial=1.0)
        if low < 0 or high > 1:
            raise self._refused(f"share of glacier {low:g} to {high:g}", "0 to 1, or NaN")
        if not self.weight > 0:
            raise self._refused(f"weight {self.weight}", "more than 0")

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) in pixels."""
        return self.glacier.shape[0], self.glacier.shape[1]

    @property
    def labelled_fraction(self) -> float:
        """Share of pixels whose share of glacier is known."""
        return float(np.isfinite(self.glacier).mean()) if self.glacier.size else 0.0

    def cut(self, row: int, col: int, height: int, width: int) -> Chip:
        """The part that starts at (row, col), as views. Raises PoisonError if it reaches beyond the chip."""
        rows, cols = slice(row, row + height), slice(col, col + width)
        if row < 0 or col < 0 or row + height > self.shape[0] or col + width > self.shape[1]:
            raise self._refused(f"part at ({row}, {col}) of {height} × {width}", f"inside {self.shape}")
        return replace(
            self,
            values={name: values[:, rows, cols] for name, values in self.values.items()},
            glacier=self.glacier[rows, cols],
            classes=None if self.classes is None else self.classes[rows, cols],
        )

    def _refused(self, found: str, expected: str) -> PoisonError:
        return PoisonError(f"chip {self.origin}", found=found, expected=expected)
