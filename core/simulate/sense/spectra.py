"""Reflectance of SIMULATED surfaces: draws from the moments fitted to real points, and from books where there are none.

Snow, ice, rock and water come from `spectra_usgs.json` (see `core.simulate.spectra_fit`): the mean of a scene is drawn
from the spread between scenes, and a pixel moves along the main axes of the spread within one. What no point shows has
representative means, rounded, with the shapes of the ECOSTRESS library (Meerdink et al. 2019,
10.1016/j.rse.2019.05.015): plants, forest, sea, floes, moist and fine-grained debris, silty lakes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from core.simulate.noise import F32, F64, fractal

INSTRUMENTS = ("sentinel2", "landsat")
# blue, green, red, nir, swir1, swir2
BOOK: dict[str, tuple[float, float, float, float, float, float]] = {
    "grass": (0.045, 0.080, 0.070, 0.30, 0.22, 0.12),
    "dry_grass": (0.075, 0.110, 0.145, 0.23, 0.31, 0.22),
    "forest": (0.022, 0.038, 0.026, 0.22, 0.10, 0.045),
    "sea": (0.055, 0.040, 0.022, 0.010, 0.004, 0.003),
    "floe": (0.72, 0.73, 0.70, 0.58, 0.05, 0.04),
    "silty_water": (0.18, 0.23, 0.19, 0.085, 0.012, 0.008),
    "clear_water": (0.045, 0.055, 0.028, 0.012, 0.006, 0.004),
    "lake_ice": (0.45, 0.46, 0.44, 0.36, 0.06, 0.05),
}
_BOOK_SPREAD = 0.16  # of the logarithm, all bands together


@dataclass(frozen=True)
class Fitted:
    """Moments of the logarithm of reflectance: mean (6,), covariances (6, 6) between scenes and within one."""

    mean: F64
    between: F64
    within: F64


@lru_cache(maxsize=1)
def moments() -> dict[str, Any]:
    """The fitted table, with its provenance."""
    path = Path(__file__).parents[1] / "spectra_usgs.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@lru_cache(maxsize=16)
def fitted(instrument: str, surface: str) -> Fitted:
    """surface: snow, ice, rock or water."""
    entry = moments()["instruments"][instrument][surface]
    return Fitted(
        np.array(entry["log_mean"]),
        np.array(entry["log_cov_between_scenes"]),
        np.array(entry["log_cov_within_scene"]),
    )


def scene_mean(instrument: str, surface: str, rng: np.random.Generator) -> F64:
    """Logarithm of the mean reflectance of a surface in one scene, (6,): fitted or from the book."""
    if surface in BOOK:
        offset = _BOOK_SPREAD * rng.standard_normal() + 0.3 * _BOOK_SPREAD * rng.standard_normal(6)
        return np.asarray(np.log(BOOK[surface]) + offset)
    fit = fitted(instrument, surface)
    # Few scenes were fitted: shrink their covariance towards its diagonal, and keep draws within 1.7 deviations.
    between = 0.95 * fit.between + 0.05 * np.diag(np.diag(fit.between))
    values, axes = _axes(between)
    draw = np.clip(rng.standard_normal(6), -1.7, 1.7) * np.sqrt(np.maximum(values, 0.0))
    away = axes @ draw
    # Six scenes exaggerate the spread of colour (their corrections differ in blue): brightness stays, colour is halved.
    return np.asarray(fit.mean + 0.45 * away + 0.55 * np.r_[np.full(4, away[:4].mean()), np.full(2, away[4:].mean())])


def texture(instrument: str, surface: str, shape: tuple[int, int], rng: np.random.Generator, res_m: float) -> F32:
    """Departure of the logarithm of reflectance from the scene's mean at each pixel, (6, h, w): the two main axes
    of the spread within scenes, each a smooth field with grain. Two thirds of the variance are left to light."""
    values, axes = _axes(fitted(instrument, surface).within)
    out = np.zeros((6, *shape), dtype=np.float32)
    for k in (-1, -2):
        field = fractal(shape, rng, 2.4, 1200.0 / res_m) + 0.25 * rng.standard_normal(shape, dtype=np.float32)
        amplitude = float(np.sqrt(max(values[k], 0.0) * 0.33 / 1.06))
        out += np.asarray(axes[:, k] * amplitude, dtype=np.float32)[:, None, None] * np.clip(field, -2.5, 2.5)
    return out


def _axes(covariance: F64) -> tuple[F64, F64]:
    """Eigenvalues and axes; libraries differ in the sign of an axis, and a seed must not."""
    values, axes = np.linalg.eigh(covariance)
    return values, axes * np.where(axes.sum(axis=0) < 0.0, -1.0, 1.0)


def mixed_neighbours(image: F32, res_m: float, radius_m: float) -> F32:
    """Mean of each band around a pixel: what neighbours and the air between throw into it."""
    return np.stack([ndimage.gaussian_filter(band, radius_m / res_m) for band in image]).astype(np.float32)
