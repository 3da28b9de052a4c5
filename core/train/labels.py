"""Labels: outlines become the share of glacier of every pixel, and surfaces where rules can tell them.

Outlines are truth of their own date, drawn by people to about a pixel. So a ring around their edges is left unlabelled,
wider where glaciers had years to retreat between outline and image, glaciers whose outline is too old are left out
altogether, and what remains counts less the older it is. The seven-class labels are weak: rules on the outline, the
spectrum and the sun, which leave a pixel unlabelled wherever they might err, and never the truth for a score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from core.coverage import coverage_share, coverage_sums
from core.errors import ConfigError
from core.grid import Lattice, PixelWindow
from core.sensors import sensor
from core.train.classes import CLEAN_ICE, DEBRIS, LAKE, NON_GLACIAL, SHADOW, SNOW, UNLABELLED, VEGETATION

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class OutlineRules:
    """ring_m: unlabelled on both sides of every edge, beyond the pixels that the edge crosses, which keep their share
    if it is 0. retreat_m_per_year: added to the ring for every year between outline and image. years: outlines further
    off than this are unlabelled. halving_years: outlines this far off count half.

    15 m per year and 10 years are rules of thumb for retreating tongues, unchecked.
    """

    ring_m: float = 0.0
    retreat_m_per_year: float = 15.0
    years: float = 10.0
    halving_years: float = 5.0

    def __post_init__(self) -> None:
        if min(self.ring_m, self.retreat_m_per_year) < 0 or min(self.years, self.halving_years) <= 0:
            raise ConfigError("labels", found=str(self), expected="no negative lengths, years more than 0")


@dataclass(frozen=True)
class OutlineLabels:
    """glacier: (h, w) float32 share, NaN = unlabelled; weight: how much these labels count, in (0, 1]."""

    glacier: Float32
    weight: float


def outline_labels(
    outlines: NDArray[np.object_],
    years: NDArray[np.float64],
    image_year: float,
    lattice: Lattice,
    window: PixelWindow,
    rules: OutlineRules = OutlineRules(),
) -> OutlineLabels:
    """Labels of one window.

    outlines: projected polygons of all glaciers in reach, not only of those inside; years: decimal date of each, NaN =
    unknown, which counts as `rules.years` off. Off the outlines the share is 0: the inventory is taken for complete.
    """
    off = np.abs(np.where(np.isfinite(years), years, image_year + rules.years) - image_year)
    share = coverage_share(outlines, lattice, window)
    glacier = share.copy()
    for width_m, which in _rings(off, rules):
        reach_px = int(np.ceil(width_m / lattice.res_m)) + 1
        wide = window.pad(reach_px)
        mine = coverage_share(outlines[which], lattice, wide)
        near = _edge_distance_px(mine) * lattice.res_m <= width_m
        glacier[near[window.slices(wide)]] = np.nan
    stale = outlines[off > rules.years]
    if len(stale):
        glacier[coverage_share(stale, lattice, window) > 0] = np.nan
    every_pixel = np.ones(window.shape, dtype=bool)
    covered = coverage_sums(outlines, [window] * len(outlines), lattice, every_pixel, window)
    counts = covered * (off <= rules.years)
    each = 0.5 ** (off / rules.halving_years)
    weight = float((counts * each).sum() / counts.sum()) if counts.sum() > 0 else 1.0
    return OutlineLabels(glacier, weight)


def _rings(off: NDArray[np.float64], rules: OutlineRules) -> list[tuple[float, NDArray[np.bool_]]]:
    """(width in metres, which outlines), by whole years so that a window needs a few passes at most."""
    ages = np.ceil(off)
    widths = [
        (rules.ring_m + rules.retreat_m_per_year * age, ages == age) for age in np.unique(ages[off <= rules.years])
    ]
    return [(float(width), which) for width, which in widths if width > 0]


def _edge_distance_px(share: Float32) -> NDArray[np.float64]:
    """Pixels to the nearest edge of an outline, 0 on it; infinite without any."""
    inside = share >= 0.5
    if inside.all() or not inside.any():
        return np.full(share.shape, np.inf)
    away = np.where(inside, distance_transform_edt(inside), distance_transform_edt(~inside))
    # The distance to the nearest pixel of the other side is half a pixel more than that to the edge between.
    return np.asarray(away - 0.5)


def signed_distance(glacier: Float32, unit_px: float) -> Float32:
    """(h, w) distance to the edge of the half-way line in `unit_px`, negative inside, clipped to ±1; NaN where glacier
    is. ±1 everywhere in a window without an edge."""
    known = np.isfinite(glacier)
    inside = np.nan_to_num(glacier) >= 0.5
    away = np.minimum(_edge_distance_px(inside.astype(np.float32)) / unit_px, 1.0)
    return np.where(known, np.where(inside, -away, away), np.nan).astype(np.float32)


@dataclass(frozen=True)
class SurfaceRules:
    """Thresholds on surface reflectance. ndsi, snow_nir: snow and ice (Hall et al. 1995; Dozier 1989); ndvi, bare_ndvi:
    vegetation above the one, bare ground below the other; ndwi, water_nir, water_slope_deg: open water (McFeeters
    1996); dark: brighter than this in green or it may be shadow; shade: cosine of the incidence below which
    ground is in its own shadow. Between two thresholds nothing is labelled. Round numbers of common practice."""

    ndsi: float = 0.4
    snow_nir: float = 0.11
    ndvi: float = 0.4
    bare_ndvi: float = 0.25
    ndwi: float = 0.2
    water_nir: float = 0.12
    water_slope_deg: float = 8.0
    dark: float = 0.05
    shade: float = 0.15


def weak_surfaces(
    values: Mapping[str, Float32],
    glacier: Float32,
    incidence_cosine: Float32 | None = None,
    rules: SurfaceRules = SurfaceRules(),
) -> NDArray[np.uint8]:
    """Codes of surfaces (h, w) by rules, 255 where they cannot tell.

    values: as of a chip; without `optical`, or where it was not observed, nothing is labelled; `dem` helps to tell
    water from shadow. glacier: share, NaN = unknown. incidence_cosine: cosine of the sun's angle to the surface
    (`hillshade`), None if the sun is unknown. Mixed pixels and what is dark inside an outline stay unlabelled: its
    look does not say whether ice or debris is there.
    """
    out = np.full(glacier.shape, UNLABELLED, dtype=np.uint8)
    if "optical" not in values:
        return out
    used = [values["optical"][sensor("optical").band_index(band)] for band in ("green", "red", "nir", "swir1")]
    green, red, nir, swir1 = used
    seen = np.isfinite(np.stack(used)).all(axis=0)
    inside, outside = seen & (glacier >= 0.99), seen & (glacier <= 0.01)
    with np.errstate(invalid="ignore", divide="ignore"):
        ndsi, ndvi, ndwi = _ratio(green, swir1), _ratio(nir, red), _ratio(green, nir)
        flat = values["dem"][1] < rules.water_slope_deg if "dem" in values else np.ones_like(seen)
        shaded = green < rules.dark
        if incidence_cosine is not None:
            shaded |= incidence_cosine < rules.shade
        white = (ndsi > rules.ndsi) & (nir > rules.snow_nir)
        water = (ndwi > rules.ndwi) & (nir < rules.water_nir) & flat & ~white
        bare = (ndvi < rules.bare_ndvi) & (ndsi < rules.ndsi / 2) & (ndwi < rules.ndwi / 2)
        green_cover = ndvi > rules.ndvi
    for code, where in (
        (SHADOW, outside & shaded & ~water),
        (NON_GLACIAL, outside & bare & ~shaded),
        (VEGETATION, outside & green_cover & ~shaded),
        (SNOW, outside & white & ~shaded),
        (DEBRIS, inside & bare & ~shaded),
        (CLEAN_ICE, inside & white & ~shaded),
        (LAKE, (inside | outside) & water),
    ):
        out[where] = code
    return out


def hillshade(elevation_m: Float32, res_m: float, sun_azimuth_deg: float, sun_elevation_deg: float) -> Float32:
    """Cosine of the angle between sun and surface normal (h, w), ≤ 0 in own shadow; NaN where the slope is unknown.

    Rows run south, columns east; azimuth clockwise from north. Cast shadow is not in it.
    """
    south, east = np.gradient(elevation_m, res_m)
    azimuth, height = np.radians(sun_azimuth_deg), np.radians(sun_elevation_deg)
    to_sun = np.cos(height) * (np.sin(azimuth) * -east + np.cos(azimuth) * south) + np.sin(height)
    return np.asarray(to_sun / np.sqrt(1 + east**2 + south**2), dtype=np.float32)


def _ratio(a: Float32, b: Float32) -> Float32:
    """(a − b) / (a + b), 0 where both are dark."""
    total = a + b
    return np.where(np.abs(total) > 1e-4, (a - b) / total, 0.0).astype(np.float32)
