"""Reflectance of the SIMULATED surfaces, one table.

Representative means, rounded to what the literature shows for the six Landsat / Sentinel-2 bands, not measurements:
snow, firn and ice after Zeng et al. 1984 (Annals of Glaciology 5), Warren 1982 (doi:10.1029/RG020i001p00067) and Hall &
Riggs 1995; debris, rock, vegetation and water after the ECOSTRESS spectral library (Meerdink et al. 2019,
doi:10.1016/j.rse.2019.05.015); the spread within a class is of the size that Paul et al. 2013 report for scenes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.simulate.noise import F32

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")


@dataclass(frozen=True)
class Spectrum:
    """Mean reflectance in the order of BANDS, and its spread as a share of the mean.

    texture: of brightness that neighbours have in common; grain: of each pixel alone. Both move all bands together,
    which is most of the covariance of a natural surface.
    """

    mean: tuple[float, float, float, float, float, float]
    texture: float
    grain: float


SPECTRA: dict[str, Spectrum] = {
    "snow": Spectrum((0.88, 0.87, 0.85, 0.76, 0.09, 0.07), 0.025, 0.015),
    "firn": Spectrum((0.68, 0.68, 0.65, 0.55, 0.055, 0.04), 0.05, 0.03),
    "ice": Spectrum((0.47, 0.47, 0.43, 0.31, 0.03, 0.025), 0.13, 0.06),
    "debris": Spectrum((0.115, 0.135, 0.155, 0.18, 0.20, 0.17), 0.12, 0.08),
    "rock": Spectrum((0.125, 0.14, 0.153, 0.19, 0.24, 0.215), 0.16, 0.08),
    "till": Spectrum((0.165, 0.19, 0.21, 0.25, 0.30, 0.27), 0.10, 0.07),
    "vegetation": Spectrum((0.045, 0.085, 0.065, 0.33, 0.21, 0.11), 0.16, 0.07),
    "forest": Spectrum((0.022, 0.038, 0.026, 0.22, 0.10, 0.045), 0.12, 0.10),
    "lake": Spectrum((0.085, 0.115, 0.075, 0.025, 0.008, 0.005), 0.04, 0.02),
    "sea": Spectrum((0.055, 0.04, 0.022, 0.010, 0.004, 0.003), 0.08, 0.05),
}
CLOUD = Spectrum((0.70, 0.70, 0.71, 0.72, 0.56, 0.44), 0.08, 0.01)

# Share of the light on flat open ground that comes from the sky: Rayleigh falls with wavelength, so shadows are blue.
SKYLIGHT: F32 = np.array([0.24, 0.17, 0.125, 0.075, 0.03, 0.02], dtype=np.float32)
# Scattered into the view without touching the ground: what an atmospheric correction leaves behind.
HAZE: F32 = np.array([0.008, 0.005, 0.003, 0.002, 0.001, 0.001], dtype=np.float32)
# Noise of the instrument, independent in every band and pixel.
INSTRUMENT_NOISE = 0.003
