"""SIMULATED ice: a shallow-ice model that builds glaciers on the terrain and then lets them retreat.

Promise: ice thickness at the inventory's date and at the mapped year, the second nowhere thicker than the first, so a
true outline never leaves the inventory's. Ice flows and thins; it is no forecast of anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.linalg import solve_banded

from core.simulate.noise import F32, F64, enlarge, fractal, ramp, reduce_mean, stream
from core.simulate.site import Site

# Glen's law with n = 3: 2A(ρg)³/5 with A = 2.4e-24 s⁻¹ Pa⁻³ (Cuffey & Paterson 2010) and ρ = 910 kg m⁻³, per year;
# times six, as a stand-in for sliding.
FLOW = 6.0 * 2.0 * 2.4e-24 * (910.0 * 9.81) ** 3 / 5.0 * 3.156e7
MAX_DIFFUSIVITY = 2.0e6  # m² a⁻¹; beyond it an ice fall would only cost accuracy
_SPIN_UP_YEARS, _SPIN_UP_STEPS = 450.0, 150
_RETREAT_YEARS = 24
_EDGE_SQRT_M = 3.0  # √ of the thickness (9 m) that counts as a glacier


@dataclass(frozen=True)
class Ice:
    """√thickness minus its edge value at both dates, so that the outline is the zero contour.

    All (px, px) float32 at scene pixels: then = inventory date, now = mapped year; now ≤ then everywhere. surface and
    equilibrium_m (the height where the mapped year's snow lasts) in metres.
    """

    then: F32
    now: F32
    surface: F32
    equilibrium_m: F32


def grow_ice(terrain: F32, site: Site, seed: int) -> Ice:
    """Glaciers in balance with the equilibrium line of 2000, then 24 years under the higher one."""
    bed = reduce_mean(terrain, 4).astype(np.float64)
    allowed = _slope_factor(bed, site)
    wander = 90.0 * fractal(bed.shape, stream(seed, site.name, "snowfall"), 3.0, 80.0, 6.0) * site.steepness
    line = float(np.quantile(bed, 1.0 - site.above_ela))
    ela = line + wander + 2500.0 * _border(site) ** 2
    thick = _run(bed, np.zeros_like(bed), ela, allowed, site, _SPIN_UP_YEARS / _SPIN_UP_STEPS, _SPIN_UP_STEPS)
    later = _run(bed, thick, ela + site.ela_rise_m, allowed, site, 1.0, _RETREAT_YEARS)
    later = np.minimum(later, thick)
    # Never as much as the edge value, or bare rock would grow specks of ice.
    ragged = 0.7 * np.clip(fractal(terrain.shape, stream(seed, site.name, "ice edge"), 2.4, 24.0), -2.0, 2.0)
    # A calving front follows the cells of the sea; rounded off it looks like one.
    round_px = 0.9 if site.sea else 0.0
    roots = (ndimage.gaussian_filter(np.sqrt(h), round_px) for h in (thick, later))
    then, now = (enlarge(r, 4, order=2) - _EDGE_SQRT_M + ragged for r in roots)
    surface = terrain + (enlarge(bed + later, 4) - terrain) * ramp(now, -2.0, 2.0)
    return Ice(
        then, np.minimum(then, now), np.asarray(surface, dtype=np.float32), enlarge(ela + site.ela_rise_m, 4, order=1)
    )


def _border(site: Site) -> F64:
    """0 in the inner 84 % of the site, 1 at its border: the equilibrium line rises there, so no glacier is cut off."""
    n = site.px // 4
    at = np.abs((np.arange(n) + 0.5) / n * 2.0 - 1.0)
    away = np.maximum(at[:, None], at[None, :])
    return np.asarray(ramp(away, 0.9 if site.sea else 0.84, 1.0), dtype=np.float64)


def _slope_factor(bed: F64, site: Site) -> F64:
    """Share of the snowfall that stays: steep faces shed it, hollows below them keep it (mean near 1)."""
    gy, gx = np.gradient(bed, site.cell_m)
    stays = ramp(np.hypot(gx, gy), 1.15, 0.7)
    hollow = (ndimage.gaussian_filter(bed, 3.0) - bed) / (0.35 * site.cell_m)
    return np.asarray(stays * np.clip(1.0 + 0.6 * hollow, 0.0, 2.0), dtype=np.float64)


def _run(bed: F64, thick: F64, ela: F64, allowed: F64, site: Site, dt_years: float, steps: int) -> F64:
    """Thickness (m) after `steps` of mass balance and flow; calves where the bed is below the sea."""
    land = bed > (0.0 if site.sea else -np.inf)
    for _ in range(steps):
        surface = bed + thick
        balance = site.gradient_per_year * (surface - ela)
        # Snow is what the slope lets lie; melt ignores it.
        balance = np.where(
            balance > 0.0, np.minimum(balance, site.most_snow_m) * allowed, np.maximum(1.3 * balance, -site.most_melt_m)
        )
        surface = diffuse(surface + dt_years * balance, bed, thick, site.cell_m, dt_years)
        thick = np.where(land, np.maximum(surface - bed, 0.0), 0.0)
    return thick


def diffuse(surface: F64, bed: F64, thick: F64, cell_m: float, dt_years: float) -> F64:
    """One implicit step of ∂s/∂t = ∇·(Γ H⁵ |∇s|² ∇s), rows then columns (locally one-dimensional splitting)."""
    old = bed + thick
    gy, gx = np.gradient(old, cell_m)
    slope2: F64 = np.asarray(gx**2 + gy**2)
    for axis in (1, 0):
        s, h, b = (a if axis == 1 else a.T for a in (surface, thick, old))
        g = slope2 if axis == 1 else slope2.T
        # Only ice of the upper cell can flow, which keeps bare ridges from feeding the valley (Jarosch et al. 2013).
        uphill = np.where(b[:, 1:] > b[:, :-1], h[:, 1:], h[:, :-1])
        mean = 0.5 * (h[:, 1:] + h[:, :-1])
        d = np.minimum(FLOW * mean**4 * uphill * 0.5 * (g[:, 1:] + g[:, :-1]), MAX_DIFFUSIVITY)
        surface = _implicit(s, d * dt_years / cell_m**2)
        surface = surface if axis == 1 else surface.T
    return surface


def _implicit(s: F64, coupling: F64) -> F64:
    """Solve (1 − ∂ k ∂) s' = s along every row in one tridiagonal system; coupling is (rows, cols − 1)."""
    k = np.zeros((s.shape[0], s.shape[1] + 1))
    k[:, 1:-1] = coupling
    bands = np.empty((3, s.size))
    bands[1] = (1.0 + k[:, 1:] + k[:, :-1]).ravel()
    bands[0], bands[2] = -k[:, :-1].ravel(), -k[:, 1:].ravel()
    return np.asarray(solve_banded((1, 1), bands, s.ravel(), overwrite_ab=True, check_finite=False)).reshape(s.shape)
