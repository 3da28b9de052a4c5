"""Debris rule: clean ice by the band ratio, and debris on ice where ground is gentle, bare and not open water.

After Paul, Huggel & Kääb 2004 (10.1016/j.rse.2003.11.007): supraglacial debris looks like any other debris, but lies
on gentle slopes. Two things differ from the paper. Vegetation is told by NDVI, not by a hue. And its neighbourhood
step, which keeps only debris that touches clean ice, is left out, because it needs the whole glacier and not a window:
every gentle bare ground within the buffer of an outline counts, so moraines, outwash and valley floors are mapped too.

Radar, where there is any, takes out smooth water, which is dark, gentle and bare like debris. It judges debris alone:
wet snow is as dark to it as water. Steep ground in its shadow is dark too, but too steep for debris already.

Elevation and radar are optional, of a run, a block or a pixel: without radar its test is left out, without slope the
rule is the band ratio. The answer is a logistic membership, 0.5 exactly at each threshold, the larger of both classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.models.band_ratio import BANDS, BandRatio
from core.models.protocol import Inputs, ModelSpec, Need
from core.windows import WindowLattice

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class DebrisRule:
    """Thresholds: ratio, blue (reflectance) of clean ice, see `BandRatio`; debris below slope_deg (degrees, the
    paper's) and below ndvi, and above vv_db (dB of σ0). That 0.3 is where vegetation begins, and −18 dB where smooth
    water ends, are round numbers of common practice, unchecked. softness: width of all of them, relative.

    Raises ConfigError for thresholds that cannot work.
    """

    ratio: float = 2.0
    blue: float = 0.08
    slope_deg: float = 24.0
    ndvi: float = 0.3
    vv_db: float = -18.0
    softness: float = 0.1
    window_px: int = 256

    def __post_init__(self) -> None:
        if self.softness <= 0:
            raise ConfigError("model.parameters.softness", found=str(self.softness), expected="more than 0")
        if not 0 < self.slope_deg < 90:
            raise ConfigError("model.parameters.slope_deg", found=str(self.slope_deg), expected="degrees, 0 to 90")
        if not 0 < self.ndvi < 1:
            raise ConfigError("model.parameters.ndvi", found=str(self.ndvi), expected="more than 0 and less than 1")
        if not -60 < self.vv_db < 0:
            raise ConfigError("model.parameters.vv_db", found=str(self.vv_db), expected="decibels, −60 to 0")

    @property
    def spec(self) -> ModelSpec:
        names = ("ratio", "blue", "slope_deg", "ndvi", "vv_db", "softness")
        needs = (
            Need("optical", BANDS),
            Need("dem", ("slope_deg",), optional=True),
            Need("sar_sigma0", ("vv_db",), optional=True),
        )
        lattice = WindowLattice(self.window_px, self.window_px)
        return ModelSpec("debris_rule", needs, lattice, tuple(sorted((k, getattr(self, k)) for k in names)))

    def weights(self) -> Float32:
        return self._ice.weights()

    def predict(self, inputs: Inputs) -> Float32:
        ice = self._ice.predict(inputs)
        red, nir = (inputs["optical"][:, BANDS.index(band)] for band in ("red", "nir"))
        debris = np.minimum(self._below(inputs["dem"][:, 0], self.slope_deg), self._below(_ndvi(red, nir), self.ndvi))
        not_water = 1 - self._below(inputs["sar_sigma0"][:, 0], self.vv_db)
        debris = np.where(np.isnan(not_water), debris, np.minimum(debris, not_water))
        either = np.maximum(ice, debris)  # NaN where either is
        return np.asarray(np.where(np.isnan(debris), ice, either), dtype=np.float32)

    @cached_property
    def _ice(self) -> BandRatio:
        return BandRatio(ratio=self.ratio, blue=self.blue, softness=self.softness, window_px=self.window_px)

    def _below(self, value: Float32, threshold: float) -> Float32:
        """Logistic in (threshold − value) / (softness · |threshold|), NaN kept."""
        steps = np.clip((threshold - value) / (self.softness * abs(threshold)), -30, 30)
        return np.asarray(1.0 / (1.0 + np.exp(-steps)), dtype=np.float32)


def _ndvi(red: Float32, nir: Float32) -> Float32:
    """(nir − red) / (nir + red); 0 where both are dark, which shows no vegetation."""
    total = nir + red
    dark = total <= np.float32(1e-4)
    return np.where(dark, np.float32(0), (nir - red) / np.where(dark, np.float32(1), total)).astype(np.float32)
