"""SIMULATED mountains: stream-power landscape evolution, refined from coarse to fine, then fractal detail.

Promise: a square elevation grid in metres with connected valleys, sharp divides and hillslopes near the angle of
repose, low towards its borders so that no glacier is cut off by the edge of a site.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.routing import accumulate, fill_pits, receivers, relax_downstream
from core.simulate.noise import F32, enlarge, fractal, ramp, stream
from core.simulate.site import Site

# (scene pixels per cell, iterations, how many of them first drain every pit: dear on a fine grid)
_LEVELS = ((16, 90, 90), (8, 40, 20), (4, 16, 10), (2, 6, 1))
_MARGIN = 0.12  # evolved beyond each border and cut off, because rivers there end on a straight edge
_HILLSLOPE_KM2 = 0.2  # below this catchment a slope is a hillside, not a channel


def build_terrain(site: Site, seed: int) -> F32:
    """Elevation at scene pixels, (site.px, site.px) float32 metres; water below 0 in a site with sea."""
    margin = int(np.ceil(site.px * _MARGIN / 16)) * 16
    full = site.px + 2 * margin
    uplift = _uplift(full // 16, site, seed)
    z = 0.02 * np.asarray(fractal(uplift.shape, stream(seed, site.name, "seed surface"), 2.0, 64.0), dtype=np.float64)
    previous = 16
    for cell, iterations, drained in _LEVELS:
        if cell != previous:
            z = enlarge(z, previous // cell).astype(np.float64)
            z = z + 0.004 * fractal(z.shape, stream(seed, site.name, "roughness", str(cell)), 1.0, 24.0)
            uplift = enlarge(uplift, previous // cell, order=1).astype(np.float64)
            previous = cell
        z = evolve(z, uplift, cell * site.pixel_m / 1000.0, iterations, drained)
    fine = _bend(enlarge(z, 2), site, seed)[margin:-margin, margin:-margin] * np.float32(1000.0)
    fine = site.base_m + (fine - np.float32(fine.min())) * np.float32(site.steepness)
    if site.sea:
        fine = _island(fine, site, seed)
    return np.asarray(fine + _detail(fine, site, seed), dtype=np.float32)


def _uplift(n: int, site: Site, seed: int) -> NDArray[np.float64]:
    """Relative uplift: a massif in the middle with a ragged border."""
    at = (np.arange(n) + 0.5) / n * 2.0 - 1.0
    radius = np.hypot(at[:, None], at[None, :]) + 0.13 * fractal((n, n), stream(seed, site.name, "uplift"), 3.0, n)
    return np.asarray(0.3 + 0.7 * ramp(radius, *((1.05, 0.35) if site.sea else (1.2, 0.6))), dtype=np.float64)


def evolve(
    z: NDArray[np.float64], uplift: NDArray[np.float64], cell_km: float, iterations: int, drained: int
) -> NDArray[np.float64]:
    """Implicit steps of dz/dt = U − K √A · slope (Braun & Willett 2013, doi:10.1016/j.geomorph.2012.10.008), km.

    U/K is such that a hillside has a slope of 0.85; the borders are base level.
    """
    rate, step = 1.0 / (0.85 * np.sqrt(_HILLSLOPE_KM2)), 0.06
    border = np.ones(z.shape, dtype=bool)
    border[1:-1, 1:-1] = False
    z = np.where(border, 0.0, z)
    for i in range(iterations):
        # Lakes would never be cut through: a pit has no receiver, so its floor just rises.
        receiver, distance = receivers(fill_pits(z, ~border, 1e-5) if i < drained else z)
        catchment = accumulate(receiver, np.full(z.size, cell_km**2))
        # Where the hillside ends the channel takes over; the sum keeps the slope finite on a crest.
        pull = rate * step * np.sqrt(catchment + _HILLSLOPE_KM2) / (distance * cell_km)
        pull[receiver == np.arange(z.size)] = 0.0
        risen = z.ravel() + step * np.where(border, 0.0, uplift).ravel()
        z = relax_downstream(receiver, risen / (1.0 + pull), pull / (1.0 + pull)).reshape(z.shape)
    return z


def _bend(z: F32, site: Site, seed: int) -> F32:
    """Displace the grid by smooth noise: steepest descent on a grid leaves straight valleys, nature bends them."""
    shift = np.zeros((2, *z.shape), dtype=np.float32)
    for i, axis in enumerate(("north", "east")):
        for wavelength, amplitude in ((180.0, 7.0), (60.0, 1.6)):
            rng = stream(seed, site.name, "bend", axis, str(wavelength))
            shift[i] += amplitude * enlarge(
                fractal((z.shape[0] // 4, z.shape[1] // 4), rng, 3.0, wavelength / 4, wavelength / 10), 4
            )
    at = np.indices(z.shape, dtype=np.float32) + shift
    return np.asarray(ndimage.map_coordinates(z, at, order=1, mode="nearest"), dtype=np.float32)


def _island(z: F32, site: Site, seed: int) -> F32:
    """An ice-cap island in the sea, with one trough across it that is longer than a block of the lattice.

    The trough descends from a plateau at the left to the sea at the right, so that its glacier's length is known.
    """
    n = site.px
    y, x = np.mgrid[0:n, 0:n].astype(np.float32) / n
    shore = np.maximum(np.abs(x - 0.5) / 0.47, np.abs(y - 0.5) / 0.455)
    shore = shore + 0.06 * fractal((n, n), stream(seed, site.name, "coast"), 3.4, n / 3, 12.0)
    land = ramp(shore, 1.02, 0.72)
    plateau = 500.0 * ramp(shore, 0.98, 0.55) + z * land
    axis = 0.5 + 0.07 * np.sin(6.5 * x + 0.6) + 0.018 * np.sin(19.0 * x)
    across = np.abs(y - axis) * n * site.pixel_m / (2300.0 + 1300.0 * ramp(x, 0.6, 0.1))
    floor = 1400.0 - 1450.0 * (x - 0.08) / 0.82
    plateau = plateau + 900.0 * np.exp(-(((x - 0.075) / 0.03) ** 2) - 0.25 * across**2) * ramp(shore, 1.0, 0.93)
    trough = np.exp(-(across**2.4)) * ramp(x, 0.065, 0.115) * ramp(x, 0.97, 0.9)
    shaped = plateau + (floor - plateau) * trough
    return np.asarray(np.where(shore > 1.0, -5.0 - 60.0 * (shore - 1.0), shaped), dtype=np.float32)


def _detail(z: F32, site: Site, seed: int) -> F32:
    """Gullies and blocks below the scale of the evolved grid, in proportion to the slope."""
    gy, gx = np.gradient(ndimage.gaussian_filter(z, 2.0), site.pixel_m)
    rough = fractal(z.shape, stream(seed, site.name, "detail"), 2.8, 14.0)
    return np.asarray(0.16 * site.pixel_m * rough * np.minimum(np.hypot(gx, gy), 1.0), dtype=np.float32)
