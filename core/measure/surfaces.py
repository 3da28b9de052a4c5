"""Surfaces of a mapped glacier: clean ice and snow, debris, lakes; by spectral rules or by a model that tells them.

What is inside the glacier and neither ice, snow nor water is debris: the rule of Paul, Huggel & Kääb 2004
(10.1016/j.rse.2003.11.007) and of the global maps of Scherler et al. 2018 (10.1029/2018GL080158). That the glacier was
mapped, debris and all, is taken as given; nothing here finds debris outside. What cannot be told (not observed, or so
dark that it may be in shadow) belongs to no class of a pixel. For the areas, which add up to that of the glacier, it is
taken to be as the rest; where the rest is too little, there are no areas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, SystemicError
from core.models.band_ratio import BandRatio
from core.train.classes import CLEAN_ICE, DEBRIS, LAKE, UNLABELLED, Scheme

Float32 = NDArray[np.float32]
Codes = NDArray[np.uint8]
BANDS = ("green", "red", "nir", "swir1")
# What a model's class means on a mapped glacier; all others say nothing of the surface. Snow there lies on ice; bare
# ground and plants there are debris and what grows on it.
_MEANING = {
    "clean_ice": CLEAN_ICE,
    "snow": CLEAN_ICE,
    "debris": DEBRIS,
    "non_glacial": DEBRIS,
    "vegetation": DEBRIS,
    "lake": LAKE,
}


@dataclass(frozen=True)
class SurfaceThresholds:
    """ice: of clean ice, red / SWIR1 of at least its `ratio`; without SWIR1 a red of at least `vnir_red` or a
    (green − nir) / (green + nir) of at least `vnir`. Off glaciers that rule needs both, against bright rock; on one,
    either is enough, or new snow, as bright in the near infrared, would be debris. `blue` and `method` are not used.

    A lake is at least `ndwi` of (green − nir) / (green + nir) (McFeeters 1996, 10.1080/01431169608948714), darker than
    `water_nir`, and no steeper than `water_slope_deg` where the slope is known; the first is higher than for training
    labels, because wet ice reaches 0.2. Below `dark` in green nothing is told. These four are round numbers, unchecked
    but on the points of `tests/unit/measure/test_surfaces_usgs.py`, whose lakes are of one basin.
    """

    ice: BandRatio = field(default_factory=BandRatio)
    ndwi: float = 0.3
    water_nir: float = 0.12
    water_slope_deg: float = 8.0
    dark: float = 0.05


@dataclass(frozen=True)
class Surfaces:
    """Ice of one glacier by surface. clean_ice, debris, lake: (h, w) float32 share of each pixel; together they are the
    ice where the surface is known and 0 elsewhere, ready for `core.measure.outline.outline`. known_fraction: share of
    the ice area. Areas are None where that is too little; else they add up to the area of the glacier."""

    clean_ice: Float32
    debris: Float32
    lake: Float32
    known_fraction: float
    area_clean_ice_km2: float | None = None
    area_debris_km2: float | None = None
    area_lake_km2: float | None = None


def surfaces_by_rule(
    bands: Mapping[str, Float32], slope_deg: Float32 | None = None, thresholds: SurfaceThresholds = SurfaceThresholds()
) -> Codes:
    """Codes of `core.train.classes` (h, w), CLEAN_ICE, DEBRIS, LAKE or UNLABELLED, of pixels that are glacier.

    bands: green, red, nir and, if there is one, swir1: reflectance (h, w), NaN = not observed; slope_deg: (h, w), NaN =
    unknown, which rules no lake out. A pixel without one of green, red, nir is unlabelled; one without swir1 is judged
    by the weaker rule. Seasonal snow on debris is clean ice: areas of debris are those of the scene.
    Raises SystemicError if a band is missing.
    """
    missing = [name for name in BANDS[:3] if name not in bands]
    if missing:
        raise SystemicError("surfaces_by_rule", found=f"no {', '.join(missing)}", expected=", ".join(BANDS[:3]))
    green, red, nir = (bands[name] for name in BANDS[:3])
    swir1 = bands.get("swir1", np.full(green.shape, np.nan, dtype=np.float32))
    t = thresholds
    with np.errstate(invalid="ignore"):
        total = green + nir
        difference = np.where(total > 1e-4, (green - nir) / np.maximum(total, np.float32(1e-4)), 0)
        infrared = red >= t.ice.ratio * np.maximum(swir1, np.float32(1e-4))
        visible = (difference >= t.ice.vnir) | (red >= t.ice.vnir_red)
        water = (difference >= t.ndwi) & (nir < t.water_nir)
        if slope_deg is not None:
            water &= ~(slope_deg > t.water_slope_deg)
        known = np.isfinite(green) & np.isfinite(red) & np.isfinite(nir) & (green >= t.dark)
    ice = np.where(np.isfinite(swir1), infrared, visible)
    codes = np.where(water, LAKE, np.where(ice, CLEAN_ICE, DEBRIS))
    return np.where(known, codes, UNLABELLED).astype(np.uint8)


def surfaces_by_class(classes: NDArray[np.integer], scheme: Scheme) -> Codes:
    """Indices of a model's classes (h, w), 255 = not observed → codes as of `surfaces_by_rule`.

    Raises ConfigError for a scheme that does not tell clean ice from debris.
    """
    if not {"clean_ice", "debris"} <= set(scheme.classes):
        raise ConfigError(
            f"class scheme {scheme.name!r}", found=", ".join(scheme.classes), expected="classes clean_ice and debris"
        )
    table = np.full(256, UNLABELLED, dtype=np.uint8)
    for index, name in enumerate(scheme.classes):
        table[index] = _MEANING.get(name, UNLABELLED)
    return np.asarray(table[classes])


def divide_surfaces(
    codes: Codes, ice: Float32, area_km2: Float32, total_km2: float | None = None, min_known: float = 0.5
) -> Surfaces:
    """The ice of one glacier by surface.

    codes: (h, w), see `surfaces_by_rule`; any code but the three is unknown. ice: (h, w) share of each pixel that is
    ice of this glacier; area_km2: (h, w). total_km2: area of the glacier, by default that of the ice; more if a part
    that was not observed is counted in it. min_known: share of the ice area whose surface must be known. What is
    unknown is divided in the proportions of what is known.
    """
    clean_ice, debris, lake = (np.where(codes == code, ice, np.float32(0)) for code in (CLEAN_ICE, DEBRIS, LAKE))
    parts = np.array([np.sum(share * area_km2, dtype=np.float64) for share in (clean_ice, debris, lake)])
    whole, known = float(np.sum(ice * area_km2, dtype=np.float64)), float(parts.sum())
    fraction = min(1.0, known / whole) if whole > 0 else 0.0
    if known <= 0 or fraction < min_known:
        return Surfaces(clean_ice, debris, lake, fraction)
    clean_ice_km2, debris_km2, lake_km2 = (
        float(a) for a in parts / known * (whole if total_km2 is None else total_km2)
    )
    return Surfaces(clean_ice, debris, lake, fraction, clean_ice_km2, debris_km2, lake_km2)
