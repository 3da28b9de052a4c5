"""What elevation models and offset tracking say of SIMULATED land: height, slope, speed, rate of thinning."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from core.simulate.land.land import Land
from core.simulate.noise import F32, fractal, stream


def elevation(land: Land) -> F32:
    """(2, h, w): metres with the blur, waves and age of a global model, and its slope in degrees."""
    rng = stream(land.seed, "dem")
    shape = (land.px, land.px)
    # The model was made some years before or after: the tongues stood higher or lower.
    z = land.surface_m + float(rng.uniform(-8.0, 14.0)) * land.thinning_m_a
    z = ndimage.gaussian_filter(z, float(rng.uniform(8.0, 32.0)) / land.res_m)
    wave = fractal(shape, rng, 2.4, float(rng.uniform(300.0, 1500.0)) / land.res_m)
    z = z + float(rng.uniform(0.3, 2.2)) * wave + float(rng.uniform(0.05, 0.4)) * rng.standard_normal(shape)
    z = np.where(land.sea > 0.5, np.round(z * 0.1) * 0.1, z)
    return np.stack([z, slope_of(z.astype(np.float32), land.res_m)]).astype(np.float32)


def slope_of(z: F32, res_m: float) -> F32:
    """Slope in degrees by central differences, as `core.terrain`, on square pixels of exactly res_m."""
    south, east = np.gradient(z, res_m)
    return np.asarray(np.degrees(np.arctan(np.hypot(east, south))), dtype=np.float32)


def velocity(land: Land) -> F32:
    """(3, h, w): speed, eastward and northward, m a⁻¹, with the blur and the noise of offset tracking on 120 m."""
    rng = stream(land.seed, "velocity")
    down, right = land.direction
    noise_m = float(np.exp(rng.uniform(np.log(0.5), np.log(6.0))))
    sigma = 130.0 / land.res_m
    parts = []
    for component in (land.speed * right, -land.speed * down):
        smooth = ndimage.gaussian_filter(component, 0.6 * sigma)
        error = fractal((land.px, land.px), rng, 1.5, 1200.0 / land.res_m, 2.0 * sigma)
        parts.append(smooth + noise_m * error)
    east, north = parts
    return np.stack([np.hypot(east, north), east, north]).astype(np.float32)


def thinning(land: Land) -> F32:
    """(2, h, w): rate of elevation change m a⁻¹ (negative where ice thins) and its standard error."""
    rng = stream(land.seed, "dhdt")
    sigma = float(rng.uniform(0.1, 0.6))
    change = ndimage.gaussian_filter(-land.thinning_m_a, 90.0 / land.res_m)
    noisy = change + sigma * fractal((land.px, land.px), rng, 2.0, 1500.0 / land.res_m, 200.0 / land.res_m)
    return np.stack([noisy, np.full_like(noisy, sigma)]).astype(np.float32)
