"""Band ratio: the classical rule of glacier inventories, the baseline beside every other model.

Ice and snow are bright in the visible and dark in the short-wave infrared: red / SWIR1 above a threshold, with a
minimum of blue against shadow (Paul et al. 2013, Annals of Glaciology 54(63), 10.3189/2013AoG63A296), or NDSI
(Hall et al. 1995). It maps clean ice and seasonal snow alike and misses debris-covered ice. Where a scene has no
SWIR1, a visible / near-infrared rule stands in: bright in the visible and darker in the near infrared than in green,
(green − nir) / (green + nir) above a threshold and red at least `vnir_red`: snow and ice fall off towards the near
infrared, rock and vegetation rise. It is weaker, and rows made with it carry only the sensors' names, not its word.

The answer is a logistic membership that is 0.5 exactly at the rule's threshold; `softness` is the width, relative to
the threshold. It is not a calibrated probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.models.protocol import Inputs, ModelSpec, Need
from core.windows import WindowLattice

Float32 = NDArray[np.float32]
BANDS = ("blue", "green", "red", "nir", "swir1")
METHODS = ("ratio", "ndsi")


@dataclass(frozen=True)
class BandRatio:
    """Thresholds in reflectance. method: `ratio` or `ndsi`. Raises ConfigError for another one."""

    method: str = "ratio"
    ratio: float = 2.0
    ndsi: float = 0.4
    blue: float = 0.08
    vnir: float = 0.06
    vnir_red: float = 0.30
    softness: float = 0.1
    window_px: int = 256

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError("model.parameters.method", found=repr(self.method), expected=" or ".join(METHODS))
        if self.softness <= 0:
            raise ConfigError("model.parameters.softness", found=str(self.softness), expected="more than 0")

    @property
    def spec(self) -> ModelSpec:
        parameters = tuple(sorted((k, v) for k, v in vars(self).items() if k != "window_px"))
        lattice = WindowLattice(self.window_px, self.window_px)
        return ModelSpec("band_ratio", (Need("optical", BANDS),), lattice, parameters)

    def weights(self) -> Float32:
        return np.ones((self.window_px, self.window_px), dtype=np.float32)

    def predict(self, inputs: Inputs) -> Float32:
        blue, green, red, nir, swir1 = np.moveaxis(inputs["optical"], 1, 0)
        infrared = self._swir(blue, green, red, swir1)
        has_swir = np.isfinite(swir1)
        return infrared if has_swir.all() else np.where(has_swir, infrared, self._vnir(green, red, nir))

    def _swir(self, blue: Float32, green: Float32, red: Float32, swir1: Float32) -> Float32:
        if self.method == "ndsi":
            snow = self._member(_normalised(green, swir1), self.ndsi)
        else:
            snow = self._member(red / np.maximum(swir1, np.float32(1e-4)), self.ratio)
        return np.minimum(snow, self._member(blue, self.blue))

    def _vnir(self, green: Float32, red: Float32, nir: Float32) -> Float32:
        return np.minimum(self._member(_normalised(green, nir), self.vnir), self._member(red, self.vnir_red))

    def _member(self, value: NDArray[np.floating], threshold: float) -> Float32:
        """Logistic in (value − threshold) / (softness · threshold), NaN kept."""
        steps = np.clip((value - threshold) / (self.softness * abs(threshold)), -30, 30)
        return np.asarray(1.0 / (1.0 + np.exp(-steps)), dtype=np.float32)


def _normalised(a: Float32, b: Float32) -> Float32:
    """(a − b) / (a + b), and −1 where both are dark."""
    total = a + b
    return np.where(total > 1e-4, (a - b) / np.maximum(total, 1e-4), np.where(np.isnan(total), np.nan, -1.0)).astype(
        np.float32
    )
