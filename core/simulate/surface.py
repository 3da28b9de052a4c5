"""What covers each pixel of a SIMULATED site: shares of ice, snow, debris, rock, vegetation and water that add up to 1.

The share of glacier in a pixel comes from the true outline, supersampled, so that edge pixels are true mixtures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio.features
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage

from core.routing import accumulate, receivers
from core.simulate.glacier import Ice
from core.simulate.noise import F32, enlarge, fractal, ramp, reduce_mean, stream
from core.simulate.outline import Outlines
from core.simulate.site import Acquisition, Site

SUPERSAMPLING = 5
CLASSES = ("snow", "firn", "ice", "debris", "rock", "till", "vegetation", "forest", "lake", "sea")


@dataclass(frozen=True)
class Ground:
    """Everything about a site that no date changes, at scene pixels: shares 0–1 and metres, all (px, px) float32."""

    glacier: F32
    debris: F32
    surface: F32
    snow_line_m: F32
    hollow: F32
    slope: F32
    freshly_bare: F32
    lake: F32
    river: F32
    texture: F32


def glacier_share(outlines: NDArray[np.object_], shape: tuple[int, int], transform: Affine) -> F32:
    """Share of each pixel inside the outlines, by 5 × 5 points."""
    fine = (shape[0] * SUPERSAMPLING, shape[1] * SUPERSAMPLING)
    burnt = burn(outlines, np.ones(len(outlines), dtype=np.uint8), fine, transform @ Affine.scale(1.0 / SUPERSAMPLING))
    return reduce_mean(burnt, SUPERSAMPLING)


def burn(
    outlines: NDArray[np.object_], values: NDArray[np.integer], shape: tuple[int, int], transform: Affine
) -> NDArray[np.integer]:
    """Values of the outline over each pixel centre, 0 where there is none; dtype of `values`."""
    pairs = [(g, int(v)) for g, v in zip(outlines, values, strict=True) if not g.is_empty]
    if not pairs:
        return np.zeros(shape, dtype=values.dtype)
    burnt = rasterio.features.rasterize(pairs, out_shape=shape, transform=transform, dtype=values.dtype)
    return np.asarray(burnt)


def survey_ground(site: Site, seed: int, terrain: F32, ice: Ice, outlines: Outlines, transform: Affine) -> Ground:
    """The lasting cover of a site in the mapped year."""
    shape = terrain.shape
    glacier = glacier_share(outlines.now, shape, transform)
    before = burn(outlines.then, np.ones(len(outlines.then), dtype=np.uint8), shape, transform).astype(np.float32)
    gy, gx = np.gradient(ice.surface, site.pixel_m)
    slope = np.hypot(gx, gy).astype(np.float32)
    bare = np.clip(before - glacier, 0.0, 1.0)
    hollow = (ndimage.gaussian_filter(terrain, 5.0) - ndimage.gaussian_filter(terrain, 1.2)) / np.float32(
        0.25 * site.pixel_m
    )
    calm = ndimage.gaussian_filter(slope, 2.0)
    lake = bare * ramp(calm, 0.2, 0.12) * (0.0 if site.sea else 1.0)
    return Ground(
        glacier=glacier,
        debris=_debris(site, seed, ice, outlines, glacier, transform),
        surface=ice.surface,
        snow_line_m=ice.equilibrium_m,
        hollow=hollow,
        slope=slope,
        freshly_bare=bare,
        lake=np.where(lake > 0.4, np.float32(1.0), np.float32(0.0)),
        river=_rivers(terrain, site),
        texture=fractal(terrain.shape, stream(seed, site.name, "texture"), 1.6, 60.0),
    )


def cover(ground: Ground, site: Site, seed: int, acquisition: Acquisition) -> F32:
    """Shares of CLASSES at one date: (class, rows, cols) float32, each pixel adding up to 1."""
    rng = stream(seed, site.name, "season", acquisition.date.isoformat())
    z = ground.surface + 45.0 * fractal(ground.surface.shape, rng, 2.6, 60.0, 4.0)
    snow_line = ground.snow_line_m - 110.0 * acquisition.snow_patches
    snow = ramp(z - snow_line, 40.0, 260.0)
    firn = ramp(z - snow_line, -90.0, 60.0) * (1.0 - snow)
    debris = ground.debris
    on_ice = {"snow": snow, "firn": firn, "ice": 1.0 - snow - firn}

    lies = ramp(ndimage.gaussian_filter(ground.slope, 1.5), 0.95, 0.6)
    perennial = ramp(z - snow_line, 200.0, 520.0) * lies * ramp(ground.hollow, -0.3, 0.7)
    reach_m = 900.0 * acquisition.snow_patches * site.steepness
    gully = 0.6 * np.clip(ground.hollow, -1.0, 1.3) + 0.55 * fractal(z.shape, rng, 2.2, 24.0, 5.0)
    near = np.clip((z - snow_line) / max(reach_m, 1.0), -1.0, 0.6)
    seasonal = (
        ramp(gully + 1.2 * near, 0.45, 0.85) * ramp(near, -0.95, -0.5) * lies * min(1.0, 4.0 * acquisition.snow_patches)
    )
    off_snow = np.maximum(perennial, seasonal)
    green = (
        np.zeros_like(z) if site.tree_line_m is None else ramp(z, site.tree_line_m + 250.0, site.tree_line_m - 150.0)
    )
    green = green * ramp(ground.slope + 0.12 * ground.texture, 1.35, 0.8) * (1.0 - ground.freshly_bare)
    tree_line = -1e4 if site.tree_line_m is None else site.tree_line_m - 350.0
    forest = green * ramp(z + 40.0 * ground.texture, tree_line + 60.0, tree_line - 60.0)
    sea = ramp(ground.surface, 2.0, -2.0) if site.sea else np.zeros_like(z)
    stony = 1.0 - green
    till = stony * np.maximum(ground.freshly_bare, ramp(ground.slope, 0.55, 0.3))
    off_ice = {"vegetation": green - forest, "forest": forest, "till": till, "rock": stony - till}

    wet = np.maximum(ground.lake, sea)
    dry_bare = (1.0 - wet) * (1.0 - off_snow)
    gravel = dry_bare * ground.river
    shares = np.zeros((len(CLASSES), *z.shape), dtype=np.float32)
    g, rest = ground.glacier, 1.0 - ground.glacier
    for name, share in on_ice.items():
        shares[CLASSES.index(name)] += g * (1.0 - debris) * share
    shares[CLASSES.index("debris")] += g * debris
    for name, share in off_ice.items():
        shares[CLASSES.index(name)] += rest * (dry_bare - gravel) * share
    shares[CLASSES.index("till")] += rest * gravel
    shares[CLASSES.index("snow")] += rest * (1.0 - wet) * off_snow
    shares[CLASSES.index("lake")] += rest * np.where(sea > 0, 0.0, wet)
    shares[CLASSES.index("sea")] += rest * np.where(sea > 0, wet, 0.0)
    return shares


def _debris(site: Site, seed: int, ice: Ice, outlines: Outlines, glacier: F32, transform: Affine) -> F32:
    """Share of ice under debris: closed on the tongues of some glaciers, moraine stripes below rock walls on others."""
    shape = glacier.shape
    if not site.debris or not len(outlines.now):
        return np.zeros(shape, dtype=np.float32)
    n = len(outlines.now)
    number = burn(outlines.now, np.arange(1, n + 1, dtype=np.int32), shape, transform)
    index = np.arange(n + 1)
    low = ndimage.minimum(ice.surface, number, index)
    high = ndimage.maximum(ice.surface, number, index)
    height = (ice.surface - low[number]) / np.maximum(high - low, 1.0)[number]
    rng = stream(seed, site.name, "debris")
    reach = np.where(rng.random(n + 1) < site.debris, rng.uniform(0.12, 0.34, n + 1), -1.0)
    wavy = height + 0.05 * fractal(shape, rng, 2.2, 40.0)
    tongue = ramp(wavy - reach[number], 0.05, -0.03) * (reach[number] > 0)
    stripes = _moraines(ice, glacier, site)
    below = ramp(ice.surface - ice.equilibrium_m, 60.0, -120.0)
    return np.asarray(np.clip(np.maximum(tongue, stripes * below), 0.0, 1.0) * (number > 0), dtype=np.float32)


def _moraines(ice: Ice, glacier: F32, site: Site) -> F32:
    """Rock that falls on the ice below steep walls and is carried down the line of steepest descent."""
    surface = ndimage.gaussian_filter(reduce_mean(ice.surface, 2).astype(np.float64), 1.5)
    icy = reduce_mean(glacier, 2) > 0.5
    gy, gx = np.gradient(reduce_mean(ice.surface, 2), 2 * site.pixel_m)
    walls = ~icy & (np.hypot(gx, gy) > 0.62)
    source = icy & ndimage.binary_dilation(walls)
    receiver, _ = receivers(np.where(icy, surface, surface + 500.0))
    carried = accumulate(receiver, np.where(icy, source, 0.0).ravel()).reshape(surface.shape)
    passed = accumulate(receiver, icy.ravel().astype(np.float64)).reshape(surface.shape)
    share = ndimage.gaussian_filter(np.where(icy, carried, 0.0), 0.6) / (ndimage.gaussian_filter(passed, 0.6) + 12.0)
    return ramp(enlarge(share, 2, order=1), 0.13, 0.30)


def _rivers(terrain: F32, site: Site) -> F32:
    """Gravel along the streams: share 0–1."""
    ground = reduce_mean(terrain, 2).astype(np.float64)
    receiver, _ = receivers(ndimage.gaussian_filter(ground, 0.7))
    km2 = accumulate(receiver, np.full(ground.size, (2 * site.pixel_m / 1000.0) ** 2)).reshape(ground.shape)
    bed = ndimage.gaussian_filter(ramp(np.log10(km2), 0.3, 1.2), 0.7)
    return np.asarray(np.clip(enlarge(bed, 2, order=1), 0.0, 0.8), dtype=np.float32)
