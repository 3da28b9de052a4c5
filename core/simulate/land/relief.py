"""SIMULATED relief: stream-power mountains that ice has worked on, so that valleys have a U profile and flat floors.

Promise: bed and ground in metres on a coarse grid of `CELL_PX` pixels with a margin all around, because ice and rivers
come from beyond the border of what is looked at; `refine` adds what a pixel shows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.routing import accumulate, fill_pits, receivers, relax_downstream
from core.simulate.land.place import Place
from core.simulate.noise import F32, F64, enlarge, fractal, ramp, stream
from core.simulate.terrain import evolve

CELL_PX = 4  # pixels per coarse cell
MARGIN_CELLS = 40
# Coarse cells per cell, iterations, how many drain every pit. No finer: ice wipes out what small streams cut.
_LEVELS = ((4, 90, 90), (2, 40, 16))
_CHANNEL_KM2 = 1.5
_MEAN_SLOPE = 0.60  # of the steepest massifs


def build_bed(place: Place, px: int, pixel_m: float, seed: int) -> F64:
    """Ground without ice, (n, n) float64 metres on coarse cells, n = px / CELL_PX + 2 · MARGIN_CELLS."""
    n = px // CELL_PX + 2 * MARGIN_CELLS
    cell_km = CELL_PX * pixel_m / 1000.0
    rng = stream(seed, "relief")
    first = _LEVELS[0][0]
    m = n // first
    uplift = 0.45 + 0.55 * ramp(fractal((m, m), rng, 3.0, m / 1.5, 4.0), -1.2, 0.8).astype(np.float64)
    z = 0.02 * fractal((m, m), rng, 2.0, 64.0).astype(np.float64)
    previous = first
    for cells, iterations, drained in _LEVELS:
        if cells != previous:
            z = enlarge(z, previous // cells).astype(np.float64)
            z = z + 0.004 * fractal(z.shape, rng, 1.0, 24.0)
            uplift = enlarge(uplift, previous // cells, order=1).astype(np.float64)
            previous = cells
        z = evolve(z, uplift, cells * cell_km, iterations, drained)
    z = _bend(enlarge(z, previous).astype(np.float64), rng)
    bed = _carve(z * 1000.0, cell_km, float(rng.uniform(40.0, 170.0)))
    return _lift(bed, place, CELL_PX * pixel_m, rng)


def _bend(z: F64, rng: np.random.Generator) -> F64:
    """Displace the grid by smooth noise: steepest descent on a grid leaves straight valleys, nature bends them."""
    at = np.indices(z.shape, dtype=np.float32)
    for axis in (0, 1):
        for wavelength, amplitude in ((110.0, 5.0), (40.0, 0.8)):
            at[axis] += amplitude * fractal((z.shape[0], z.shape[1]), rng, 3.0, wavelength, wavelength / 3.0)
    return np.asarray(ndimage.map_coordinates(z, at, order=1, mode="nearest"), dtype=np.float64)


def _carve(z: F64, cell_km: float, floor_m: float) -> F64:
    """Widen the valleys: height above the channel h becomes h²/(h + floor), more so along large streams."""
    inside = np.zeros(z.shape, dtype=bool)
    inside[1:-1, 1:-1] = True
    filled = fill_pits(z, inside, 0.02)
    receiver, _ = receivers(filled)
    km2 = accumulate(receiver, np.full(z.size, cell_km**2))
    at_root = receiver == np.arange(z.size)
    channel = (km2 > _CHANNEL_KM2) | at_root
    follow = np.where(channel, 0.0, 1.0)
    height = relax_downstream(receiver, np.where(channel, filled.ravel(), 0.0), follow).reshape(z.shape)
    stream_km2 = relax_downstream(receiver, np.where(channel, km2, 0.0), follow).reshape(z.shape)
    # Neighbours drain to different points of the channel: smooth, or flanks get steps.
    height = ndimage.gaussian_filter(height, 2.0)
    floor = floor_m * np.clip(ndimage.gaussian_filter(stream_km2, 2.0) / 12.0, 0.05, 3.0) ** 0.6
    above = np.maximum(filled - height, 0.0)
    return np.asarray(np.minimum(filled, height) + above**2 / (above + floor), dtype=np.float64)


def _lift(z: F64, place: Place, cell_m: float, rng: np.random.Generator) -> F64:
    """Give the ground the heights of its place; headwalls steepen, the sea covers its share."""
    inner = z[MARGIN_CELLS:-MARGIN_CELLS, MARGIN_CELLS:-MARGIN_CELLS]
    low, high = float(np.quantile(inner, 0.005)), float(np.quantile(inner, 0.999))
    share = np.clip((z - low) / (high - low), -0.2, 1.3)
    # Less than 1 steepens the low ground, more than 1 the high: cirque walls over gentle floors.
    share = np.sign(share) * np.abs(share) ** float(rng.uniform(0.85, 1.15))
    z = share * place.relief_m
    steep = float(np.hypot(*np.gradient(z, cell_m)).mean())
    z = place.base_m + z * min(1.0, _MEAN_SLOPE / steep)
    if place.sea:
        level = float(np.quantile(z[MARGIN_CELLS:-MARGIN_CELLS, MARGIN_CELLS:-MARGIN_CELLS], place.sea))
        z = z - level
        z = np.where(z < 0.0, 1.6 * z - 5.0, z)
    return np.asarray(z, dtype=np.float64)


def crop(coarse: NDArray[np.floating]) -> F32:
    """The coarse cells under the pixels, without the margin, float32."""
    return np.asarray(coarse[MARGIN_CELLS:-MARGIN_CELLS, MARGIN_CELLS:-MARGIN_CELLS], dtype=np.float32)


def refine(coarse: NDArray[np.floating], order: int = 3) -> F32:
    """A coarse field at pixels, without the margin: (px, px) float32."""
    pad = 4
    inner = coarse[MARGIN_CELLS - pad : pad - MARGIN_CELLS, MARGIN_CELLS - pad : pad - MARGIN_CELLS]
    return enlarge(inner, CELL_PX, order)[pad * CELL_PX : -pad * CELL_PX, pad * CELL_PX : -pad * CELL_PX]


def roughen(bed: F32, place: Place, pixel_m: float, seed: int) -> F32:
    """Gullies, ribs and blocks below the scale of the coarse cells, in proportion to the slope: metres to add.

    Ribs run down the slope: noise is stretched along the fall line by looking it up at coordinates across it.
    """
    rng = stream(seed, "roughness")
    smooth = ndimage.gaussian_filter(bed, 150.0 / pixel_m)
    gy, gx = np.gradient(smooth, pixel_m)
    steep = np.minimum(np.hypot(gx, gy), 1.2).astype(np.float32)
    out = np.zeros_like(bed)
    for wavelength_m, amplitude in ((700.0, 0.045), (300.0, 0.055), (120.0, 0.05)):
        longest = max(wavelength_m / pixel_m, 4.0)
        noise = fractal((bed.shape[0], bed.shape[1]), rng, 2.6, 1.6 * longest, max(0.5 * longest, 2.0))
        ribs = 0.6 - np.abs(noise)  # sharp valleys between round ribs upside down: gullies
        out += np.float32(amplitude * wavelength_m) * (0.5 * noise - ribs * 0.5 * np.float32(place.gullies))
    return np.asarray(out * np.clip((steep - 0.12) / 0.5, 0.0, 1.6), dtype=np.float32)
