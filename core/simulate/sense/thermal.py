"""SIMULATED surface temperature in the late morning: air by height, sun by slope and albedo, and ice that cannot warm.

Debris lies on ice at 0 °C: the thinner it is the colder it stays, and even a metre of it does not reach the warmth of
the rock beside it. Temperature rises with thickness and levels off at some decimetres, as maps of thickness from
thermal images assume (Mihalcea et al. 2008); the constants are representative, not fitted.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from core.simulate.land.land import Land
from core.simulate.noise import F32, fractal, stream
from core.simulate.sense.day import Day
from core.simulate.sense.optical import Optical

_FREEZING_K = 273.15
_THICK_M = 0.25  # e-folding of the debris that shields its surface from the ice
_MOST = 0.85  # share of the warmth of dry rock that thick debris reaches


def warmth(land: Land, day: Day, optical: Optical, number: int) -> F32:
    """(1, h, w) float32 kelvin, NaN under masked cloud; of the resolution of a thermal band (100 m)."""
    rng = stream(land.seed, "thermal", str(number))
    air = day.air_c + _FREEZING_K
    sun_c = float(rng.uniform(14.0, 26.0)) * np.sin(np.radians(day.sun.elevation_deg)) ** 0.5
    direct = np.clip(day.direct * (1.0 - day.sky.shade), 0.0, 1.6)
    rock = air + sun_c * direct * (1.0 - optical.albedo) - 2.5 * (1.0 - direct.clip(0.0, 1.0))
    rock = rock - 0.45 * np.maximum(rock - air, 0.0) * optical.vegetation
    bare_ice = np.minimum(air + 1.0, _FREEZING_K)
    shield = (_MOST + float(rng.uniform(-0.12, 0.08))) * (1.0 - np.exp(-land.debris.thick_m / _THICK_M))
    covered = bare_ice + shield * (rock - bare_ice)
    # Where rock is colder than the ice (shadow, winter) debris follows the rock.
    covered = np.minimum(covered, rock)
    inset = np.maximum(0.7 * land.debris.cliff, land.debris.pond)
    covered = covered * (1.0 - inset) + inset * np.clip(air, bare_ice, _FREEZING_K + 4.0)
    cover = land.debris.cover
    kelvin = rock * (1.0 - land.glacier) + land.glacier * (cover * covered + (1.0 - cover) * bare_ice)
    water = np.clip(air + 1.0, _FREEZING_K, _FREEZING_K + 9.0)
    wet = np.maximum(land.lake, land.sea)
    kelvin = kelvin * (1.0 - wet) + wet * (water * (1.0 - land.melange) + land.melange * _FREEZING_K)
    kelvin = kelvin * (1.0 - day.snow) + day.snow * np.minimum(air, _FREEZING_K)
    kelvin = kelvin * (1.0 - day.sky.opacity) + day.sky.opacity * (air.min() - 12.0)
    kelvin = ndimage.gaussian_filter(kelvin, 45.0 / land.res_m)
    drift = 0.5 * fractal(kelvin.shape, rng, 3.0, 6000.0 / land.res_m)
    kelvin = kelvin + drift + 0.35 * rng.standard_normal(kelvin.shape, dtype=np.float32)
    return np.where(np.isnan(optical.surface[0]), np.nan, kelvin)[None].astype(np.float32)
