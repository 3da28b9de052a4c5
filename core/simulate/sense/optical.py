"""SIMULATED optical images: reflectance at the surface and at the top of the atmosphere, as an instrument has it.

A pixel is the linear mixture of its surfaces, lit by the sun where no ridge stands before it, by the sky and by the
slopes across the valley: so shadows are dark and blue, and snow in them is brighter than rock in the light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.simulate.land.land import Land
from core.simulate.noise import F32, fractal, ramp, stream
from core.simulate.sense.day import Day
from core.simulate.sense.spectra import INSTRUMENTS, mixed_neighbours, scene_mean, texture

# Light of the open sky relative to the sun's on flat ground at sea level, and path reflectance there (Rayleigh and some
# aerosol, after Vermote et al. 1997, 10.1109/36.581987), blue … swir2. Both thin out with the air above.
_SKYLIGHT = np.array([0.30, 0.20, 0.14, 0.075, 0.02, 0.01], dtype=np.float32)
_PATH = np.array([0.085, 0.050, 0.028, 0.012, 0.002, 0.001], dtype=np.float32)
_CLOUD = np.array([0.70, 0.70, 0.71, 0.72, 0.56, 0.44], dtype=np.float32)
_SCALE_HEIGHT_M = 8000.0


@dataclass(frozen=True)
class Optical:
    """surface, top: reflectance at the surface and at the top of the atmosphere, (6, h, w) float32, NaN where masked or
    not seen. albedo (h, w): of the ground in the light of a flat day, which the thermal image needs. shadow: ground so
    dark that nothing can be told. vegetation: share of plants."""

    surface: F32
    top: F32
    albedo: F32
    shadow: F32
    vegetation: F32
    instrument: str


def look(land: Land, day: Day, number: int) -> Optical:
    """The `number`-th optical image of a landscape."""
    rng = stream(land.seed, "optical", str(number))
    instrument = INSTRUMENTS[int(rng.random() < 0.4)]
    flat, plants = _ground(land, day, instrument, rng)
    lit, shadow = _light(flat, land, day, rng)
    top = _through_air(lit, land, day, rng)
    seen, top = _instrument(_correct(lit, land, day, rng), top, land, day, instrument, rng)
    albedo = np.asarray((flat[:3].mean(axis=0) + flat[3]) / 2.0, dtype=np.float32)
    return Optical(seen, top, albedo, shadow, plants, instrument)


def _ground(land: Land, day: Day, instrument: str, rng: np.random.Generator) -> tuple[F32, F32]:
    """(reflectance of flat, evenly lit ground (6, h, w), share of plants)."""
    shape, res_m = (land.px, land.px), land.res_m

    def tone(surface: str) -> F32:
        return np.asarray(scene_mean(instrument, surface, rng)[:, None, None], dtype=np.float32)

    rock = tone("rock")
    grain = texture(instrument, "rock", shape, rng, res_m)
    # Old slopes are varnished, fresh rock is greyer; moist fines are darker at 1.6 and 2.2 µm. How much, and which way
    # for brightness, differs from place to place, so that no colour by itself means debris.
    redder = float(rng.uniform(0.0, 0.25)) * np.array([-0.8, -0.2, 0.5, 0.5, 0.4, 0.3], dtype=np.float32)
    moist = float(rng.uniform(0.0, 0.22)) * np.array([-0.5, -0.5, -0.5, -0.6, -1.0, -1.1], dtype=np.float32)
    shift = rng.normal(0.0, 0.11) + rng.normal(0.0, 0.025, 6)
    bare = np.exp(rock + 0.9 * land.rock + grain + (redder - 0.1 * moist)[:, None, None] * (1.0 - land.till))
    covered = np.exp(rock + 0.9 * land.debris.rock + 0.55 * grain + (moist + shift.astype(np.float32))[:, None, None])
    till_shift = np.float32(rng.normal(0.06, 0.1))
    bare = bare * np.exp(till_shift * land.till)
    plants, forest = _plants(land, day, rng)
    green = float(np.clip(0.5 + day.season_c / 12.0 + rng.normal(0.0, 0.2), 0.0, 1.0))
    meadow = green * np.exp(tone("grass")) + (1.0 - green) * np.exp(tone("dry_grass"))
    leafy = np.exp(0.5 * grain)
    soil = bare * (1.0 - plants) + plants * ((1.0 - forest) * meadow + forest * np.exp(tone("forest"))) * leafy
    ice = np.exp(tone("ice") + texture(instrument, "ice", shape, rng, res_m))
    # Dust and meltwater darken the lowest ice.
    dust = ramp(land.below_ela_m, 0.0, 500.0) * float(rng.uniform(0.0, 0.5))
    ice = ice * (1.0 - dust) + dust * 0.6 * (ice + covered) / 2.0
    firn = ramp(-land.below_ela_m, -20.0, 160.0)
    snow_tone, snow_grain = tone("snow"), texture(instrument, "snow", shape, rng, res_m)
    snow = np.exp(snow_tone + snow_grain)
    ice = ice * (1.0 - firn) + firn * 0.8 * np.exp(snow_tone + 1.5 * snow_grain)
    silt = float(rng.uniform(0.0, 1.0)) * np.ones(shape, dtype=np.float32)
    silt = np.clip(silt + 0.5 * fractal(shape, rng, 2.0, 1500.0 / res_m), 0.0, 1.0)
    pond = silt * np.exp(tone("silty_water")) + (1.0 - silt) * np.exp(tone("clear_water"))
    lake = np.exp(0.6 * tone("water")) * pond**0.4
    frozen = ramp(day.air_c, -4.0, -9.0)
    lake, pond = (w * (1.0 - frozen) + frozen * np.exp(tone("lake_ice")) for w in (lake, pond))
    debris = land.debris
    dirty_ice = 0.45 * ice + 0.55 * covered
    rubble = covered * (1.0 - debris.cliff) + debris.cliff * dirty_ice
    rubble = rubble * (1.0 - debris.pond) + debris.pond * pond
    on_ice = ice * (1.0 - debris.cover) + debris.cover * rubble
    ground = soil * (1.0 - land.glacier) + land.glacier * on_ice
    water = np.maximum(land.lake, land.sea) * (1.0 - land.melange)
    ground = ground * (1.0 - land.lake) + land.lake * lake
    sea = np.exp(tone("sea")) * (1.0 - land.melange) + land.melange * np.exp(tone("floe") + snow_grain)
    ground = ground * (1.0 - land.sea) + land.sea * sea
    cover = day.snow * (1.0 - water * (1.0 - frozen)) * (1.0 - 0.5 * land.melange)
    # Snow that lies only some days is clean; old snow at low ground is not.
    age = 1.0 - 0.25 * (1.0 - day.fresh) * ramp(day.air_c, -2.0, 8.0)
    ground = ground * (1.0 - cover) + cover * snow * age
    return np.asarray(ground, dtype=np.float32), (plants * (1.0 - land.glacier) * (1.0 - cover)).astype(np.float32)


def _plants(land: Land, day: Day, rng: np.random.Generator) -> tuple[F32, F32]:
    """(share of plants on ground without ice, share of forest in them)."""
    shape = (land.px, land.px)
    gy, gx = np.gradient(ndimage.gaussian_filter(land.surface_m, 2.0), land.res_m)
    slope = np.hypot(gx, gy)
    wander = 130.0 * fractal(shape, rng, 2.4, 2500.0 / land.res_m)
    height = -land.below_ela_m + wander
    sparse = float(rng.uniform(0.15, 1.0))
    grass = ramp(height, -land.place.grass_m + 200.0, -land.place.grass_m - 350.0) * ramp(slope, 1.1, 0.55) * sparse
    patchy = ramp(fractal(shape, rng, 2.3, 500.0 / land.res_m, 3.0), -1.6, 0.4)
    forest = ramp(height, -land.place.tree_m + 80.0, -land.place.tree_m - 120.0)
    plants = np.clip(grass * (0.35 + 0.65 * patchy) + 0.8 * forest, 0.0, 1.0)
    return (plants * (1.0 - 0.93 * land.till) * (1.0 - 0.8 * land.rock_glacier)).astype(np.float32), forest


def _light(flat: F32, land: Land, day: Day, rng: np.random.Generator) -> tuple[F32, F32]:
    """(reflectance as it leaves the ground, relative to flat ground in the sun; where it is too dark to tell)."""
    air = np.exp(-np.clip(land.surface_m, 0.0, None) / _SCALE_HEIGHT_M)
    low_sun = min(1.0 / max(np.sin(np.radians(day.sun.elevation_deg)), 0.25), 3.0) ** 0.5
    haze = float(rng.uniform(0.6, 1.5)) * low_sun
    direct = day.direct * (1.0 - day.sky.shade)
    out = np.empty_like(flat)
    around = mixed_neighbours(flat * np.minimum(direct, 1.5), land.res_m, 350.0)
    walls = np.clip(1.0 - day.open_sky, 0.0, 1.0) + 0.12
    for b in range(6):
        sky = _SKYLIGHT[b] * haze * air
        # Light that bounced off the surroundings once; snow basins fill their own shadows.
        light = ((1.0 - sky) * direct + sky * day.open_sky) + 0.9 * walls * around[b]
        out[b] = flat[b] * light
    dark = ramp(direct, 0.12, 0.03) * ramp(out[:4].mean(axis=0), 0.06, 0.035)
    return out, np.asarray(dark * (1.0 - land.lake) * (1.0 - land.sea), dtype=np.float32)


def _through_air(lit: F32, land: Land, day: Day, rng: np.random.Generator) -> F32:
    """Reflectance at the top of the atmosphere."""
    air = np.exp(-np.clip(land.surface_m, 0.0, None) / _SCALE_HEIGHT_M)
    haze = float(rng.uniform(0.75, 1.7))
    passes = 1.0 - np.array([1.1, 0.9, 0.75, 0.6, 0.5, 0.6], dtype=np.float32) * _PATH * haze
    path = (_PATH * haze)[:, None, None] * (0.25 + 0.75 * air)
    return np.asarray(lit * passes[:, None, None] + path, dtype=np.float32)


def _correct(lit: F32, land: Land, day: Day, rng: np.random.Generator) -> F32:
    """What an atmospheric correction gives for reflectance at the surface: a residual haze, and with some processors
    a part of the light of slopes taken out, too much of it in shadow."""
    error = (_PATH * np.float32(rng.normal(0.0, 0.12)))[:, None, None]
    if rng.random() < 0.35:
        strength = float(rng.uniform(0.3, 0.9))
        level = np.clip(day.direct, 0.25, 1.7) ** np.float32(strength)
        return np.asarray(np.maximum(lit / level + error, 0.001), dtype=np.float32)
    return np.asarray(np.maximum(lit + error, 0.001), dtype=np.float32)


def _instrument(
    surface: F32, top: F32, land: Land, day: Day, instrument: str, rng: np.random.Generator
) -> tuple[F32, F32]:
    """Cloud, blur, noise, coarse steps, stripes without data, and the mask."""
    billow = 1.0 + 0.08 * fractal((land.px, land.px), rng, 2.4, 80.0)
    sky = day.sky
    old = instrument == "landsat" and rng.random() < 0.3
    noise = 0.006 if old else float(rng.uniform(0.0008, 0.0035))
    # 20 m bands of Sentinel-2, 30 m of Landsat, seen on the grid of the chip.
    own_m = (10.0, 10.0, 10.0, 10.0, 20.0, 20.0) if instrument == "sentinel2" else (30.0,) * 6
    # A seasonal composite hides the clouds and calms the noise; the ground of several days is in it.
    for image in (surface, top):
        for b in range(6):
            band = image[b] * (1.0 - sky.opacity) + _CLOUD[b] * billow * sky.opacity
            sigma = 0.42 * np.sqrt(max((own_m[b] / land.res_m) ** 2 - 0.3, 0.05))
            band = ndimage.gaussian_filter(band, sigma) if sigma > 0.3 else band
            band = band + np.float32(noise) * rng.standard_normal(band.shape, dtype=np.float32)
            if old:  # eight bits, and snow beyond the range of the high gain
                step = (1.0 if b < 3 else 0.8 if b == 3 else 0.55) / 255.0
                band = np.minimum(np.rint(band / step), 255.0) * np.float32(step)
            image[b] = np.clip(band, 0.0001, 1.6)
    hidden = np.zeros((land.px, land.px), dtype=bool)
    if day.cloud == "masked":
        hidden = ndimage.binary_dilation(sky.invalid, iterations=2)
    elif day.cloud == "ragged":
        hidden = (sky.opacity > 0.35) | ((sky.shade > 0.5) & (fractal(hidden.shape, rng, 2.0, 60.0) > 0.0))
    if old and rng.random() < 0.5:
        hidden = hidden | _slc_gaps(land.px, land.res_m, rng)
    surface[:, hidden] = top[:, hidden] = np.nan
    return surface, top


def _slc_gaps(px: int, res_m: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Landsat 7 since 2003: slanting stripes without data, 33 lines of 30 m apart, widest at the edge of the scene."""
    row, col = np.indices((px, px), sparse=True)
    low, high = (float(w) for w in np.sort(rng.uniform(0.0, 13.0, 2)))
    width = np.linspace(low, high, px)[None, :] * 30.0
    phase = (row * res_m - 0.14 * col * res_m + float(rng.uniform(0.0, 990.0))) % 990.0
    return np.asarray(phase < width)
