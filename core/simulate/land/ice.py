"""SIMULATED ice of one landscape: mass balance and shallow-ice flow, from the last advance through three mapped years.

Promise: thickness on coarse cells for the advance (about 1850) and for each mapped year, never thicker later, and the
speed at the surface. Debris slows the melt of what it covers, so covered tongues reach far down and thin in place,
while clean ones retreat. Ice flows and thins; it is no forecast of anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from core.simulate.glacier import FLOW, MAX_DIFFUSIVITY, diffuse
from core.simulate.land.place import Place
from core.simulate.land.relief import MARGIN_CELLS
from core.simulate.noise import F64, fractal, ramp, stream

YEARS = (2000, 2012, 2024)
_SPIN_UP_YEARS, _SPIN_UP_STEPS = 600.0, 150
_SETTLE_YEARS, _SETTLE_STEPS = 120.0, 40
_MOST_ICE = 0.45  # share of the ground at the advance


@dataclass(frozen=True)
class Ice:
    """All (n, n) float64 on coarse cells. advance_m: thickness at the last advance; thick_m: one per mapped year;
    ela_m: equilibrium line of the mapped years; cell_m: side of a cell."""

    bed_m: F64
    advance_m: F64
    thick_m: tuple[F64, ...]
    ela_m: F64
    cell_m: float


def grow(bed: F64, place: Place, cell_m: float, seed: int) -> Ice:
    """Glaciers in balance with a lower equilibrium line, then melting towards the mapped years."""
    rng = stream(seed, "ice")
    inner = bed[MARGIN_CELLS:-MARGIN_CELLS, MARGIN_CELLS:-MARGIN_CELLS]
    land = inner[inner > 0.0] if place.sea else inner
    line = float(np.quantile(land, 1.0 - place.above_ela))
    shape = (bed.shape[0], bed.shape[1])
    ela = line + 0.03 * place.relief_m * fractal(shape, rng, 3.0, 90.0, 8.0) + 0.6 * place.relief_m * _border(bed) ** 2
    rise, warming = float(rng.uniform(20.0, 90.0)), float(rng.uniform(15.0, 70.0))
    stays = _stays(bed, cell_m, float(rng.uniform(0.95, 1.5)))
    # Two cells become one for the long way to balance.
    half = bed.reshape(bed.shape[0] // 2, 2, bed.shape[1] // 2, 2).mean(axis=(1, 3))
    inner_half = slice(MARGIN_CELLS // 2, -MARGIN_CELLS // 2)
    for _ in range(4):
        line_m = ela[::2, ::2] - rise
        nothing = np.zeros_like(half)
        small = _run(half, nothing, line_m, stays[::2, ::2], place, 2.0 * cell_m, _SPIN_UP_YEARS, _SPIN_UP_STEPS)
        # Ice on a high plateau feeds itself (the higher, the more snow); few mountains are buried like that.
        if float((small[inner_half, inner_half] > 20.0).mean()) < (0.75 if place.sea else _MOST_ICE):
            break
        ela = ela + 0.06 * place.relief_m
    start = np.maximum(np.kron(half + small, np.ones((2, 2))) - bed, 0.0)
    start = np.where(np.kron(small, np.ones((2, 2))) > 0.0, start, 0.0)
    advance = _run(bed, start, ela - rise, stays, place, cell_m, _SETTLE_YEARS, _SETTLE_STEPS)
    now, states = advance, []
    for years, above in ((110.0, 0.0), (12.0, warming), (12.0, warming)):
        now = np.minimum(_run(bed, now, ela + above, stays, place, cell_m, years, max(int(years / 2.0), 6)), now)
        states.append(now)
    return Ice(bed, advance, tuple(states), ela, cell_m)


def _border(bed: F64) -> F64:
    """0 inside, 1 at the outer border of the margin: no ice piles up against the end of the world."""
    n = bed.shape[0]
    at = np.abs((np.arange(n) + 0.5) / n * 2.0 - 1.0)
    inner = 1.0 - MARGIN_CELLS / n
    return np.asarray(ramp(np.maximum(at[:, None], at[None, :]), inner, 1.0), dtype=np.float64)


def _stays(bed: F64, cell_m: float, steepest: float) -> F64:
    """Share of the snowfall that stays: steep faces shed it, hollows below them keep it."""
    gy, gx = np.gradient(bed, cell_m)
    stays = ramp(np.hypot(gx, gy), steepest, 0.55)
    hollow = (ndimage.gaussian_filter(bed, 3.0) - bed) / (0.35 * cell_m)
    return np.asarray(stays * np.clip(1.0 + 0.6 * hollow, 0.0, 2.0), dtype=np.float64)


def _run(bed: F64, thick: F64, ela: F64, stays: F64, place: Place, cell_m: float, years: float, steps: int) -> F64:
    """Thickness (m) after `years` of mass balance and flow; in the sea ice breaks off where it would float."""
    step = years / steps
    for _ in range(steps):
        surface = bed + thick
        above = surface - ela
        balance = place.gradient_per_year * above
        # Rock that melts out gathers down-glacier; 90 % less melt under a decimetre or more (Østrem 1959).
        shelter = 1.0 - 0.88 * min(1.15 * place.debris, 1.0) * ramp(above, -30.0, -350.0)
        balance = np.where(
            balance > 0.0,
            np.minimum(balance, place.most_snow_m) * stays,
            np.maximum(1.3 * balance * shelter, -place.most_melt_m),
        )
        surface = diffuse(surface + step * balance, bed, thick, cell_m, step)
        thick = np.maximum(surface - bed, 0.0)
        if place.sea:
            thick = np.where(thick > -1.12 * bed, thick, 0.0)
    # Steep, fast ice under heavy snowfall can swing from cell to cell in steps of some years: an ice fall has no teeth.
    calm = ndimage.median_filter(thick, size=5)
    thick = np.where(np.abs(thick - calm) > 15.0 + 0.35 * calm, np.minimum(thick, calm), thick)
    thick = np.where((thick < 0.5 * calm) & (calm > 20.0), 0.7 * calm, thick)
    # The split steps leave stripes on flat ice of some metres: rounded off, where there is ice all around.
    surface = ndimage.gaussian_filter(bed + thick, 2.2)
    deep = ramp(ndimage.minimum_filter(thick, 7), 20.0, 70.0)
    return np.asarray(np.maximum(thick + deep * (surface - bed - thick), 0.0), dtype=np.float64)


def flow(ice: Ice, year: int) -> tuple[F64, F64, F64]:
    """(speed m a⁻¹ at the surface, its direction as (down rows, along columns) unit vectors), year: index of YEARS."""
    thick = ice.thick_m[year]
    surface = ndimage.gaussian_filter(ice.bed_m + thick, 2.0)
    gy, gx = np.gradient(surface, ice.cell_m)
    slope = np.hypot(gx, gy)
    # n = 3: the surface moves 5/4 as fast as the column on the mean.
    diffusivity = np.minimum(FLOW * thick**5 * slope**2, MAX_DIFFUSIVITY)
    speed = 1.25 * diffusivity * slope / np.maximum(thick, 10.0)
    norm = np.maximum(slope, 1e-6)
    return np.minimum(ndimage.gaussian_filter(speed, 0.7), 1500.0), -gy / norm, -gx / norm
