"""SIMULATED Sentinel-1: backscatter and coherence of ascending and descending passes, with the geometry of a side view.

Every facet of ground throws its power into the range cell that it has the same distance as: slopes towards the radar
pile up (foreshortening, layover), slopes away spread out, and what lies behind a ridge gives nothing. From that one
picture follow σ0 (per flat ground, with or without the terrain in its geocoding) and γ0 with the terrain flattened
(power over the area that was lit, Small 2011, 10.1109/TGRS.2011.2120616). The radar looks along the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.simulate.land.land import Land
from core.simulate.noise import F32, F64, fractal, ramp, stream
from core.simulate.sense.day import Day
from core.simulate.sense.optical import Optical

# (γ0 VV, VH − VV) in decibels and the spread of the first between scenes: representative sizes from the literature on
# Sentinel-1 in mountains, from memory and not fitted to anything; the spread is wide because of that.
_CLASSES: Mapping[str, tuple[float, float, float]] = {
    "rock": (-9.5, -6.8, 1.2),
    "debris": (-9.0, -6.5, 1.2),
    "till": (-10.0, -7.0, 1.2),
    "grass": (-11.5, -7.5, 1.2),
    "forest": (-8.5, -5.5, 0.8),
    "ice": (-11.5, -8.0, 2.0),
    "firn": (-6.5, -5.5, 2.0),
    "wet_snow": (-18.5, -7.5, 1.5),
    "water": (-20.0, -7.5, 3.0),
    "floes": (-12.0, -7.0, 2.0),
}
_COHERENCE_DAYS = (6, 12, 24, 36, 48)


@dataclass(frozen=True)
class Pass:
    """σ0 and γ0 (2: VV, VH; dB) and coherence (5: 6 … 48 days), (band, h, w) float32; γ0 is NaN where
    the radar saw nothing."""

    sigma0: F32
    gamma0: F32
    coherence: F32


@dataclass(frozen=True)
class _View:
    """bin: range cell of each pixel as a position along its row; area: power of ground of γ0 1 (1 on flat ground times
    the cosine of the incidence); hidden: in radar shadow."""

    bin: F64
    area: F64
    hidden: NDArray[np.bool_]


def listen(land: Land, day: Day, optical: Optical, number: int, descending: bool) -> Pass:
    """One pass near the day of the optical image."""
    rng = stream(land.seed, "radar", str(number), str(descending))
    incidence = np.radians(float(rng.uniform(31.0, 45.0)))
    view = _view(land.surface_m[:, ::-1] if descending else land.surface_m, land.res_m, incidence)
    gamma = _gamma0(land, day, optical, rng)
    gamma = gamma[..., ::-1] if descending else gamma
    n_bins = int(np.ceil(view.bin.max())) + 2
    lit = _splat(view, view.area, n_bins)
    looks = float(np.exp(rng.uniform(np.log(4.0), np.log(90.0))))
    # Terrain in the geocoding: mostly right, sometimes by a coarse model, sometimes only a mean height.
    error = 0.0 if rng.random() < 0.55 else float(rng.uniform(0.03, 0.35)) if rng.random() < 0.6 else 1.0
    column = np.arange(land.px, dtype=np.float64)[None, :]
    offset = view.bin - column - float((view.bin - column).mean())
    at = view.bin - error * offset + float(rng.normal(0.0, 0.5))
    sigma0, gamma0 = [], []
    for band in gamma:
        power = _splat(view, view.area * band, n_bins)
        speckle = rng.gamma(looks, 1.0 / looks, power.shape)
        power = ndimage.gaussian_filter(power * speckle, (0.6, 0.45)) + 10.0**-2.9
        sigma0.append(_along_rows(power, at))
        flat = _along_rows(power / np.maximum(lit, 0.02), view.bin)
        gamma0.append(np.where(view.hidden, np.nan, flat))
    coherence = _coherence(land, day, optical, rng)
    coherence = coherence[..., ::-1] if descending else coherence
    coherence = np.where(view.hidden | (view.area > 4.0), 0.08 + 0.05 * rng.random(view.hidden.shape), coherence)
    with np.errstate(invalid="ignore", divide="ignore"):
        decibel = [10.0 * np.log10(np.maximum(np.stack(v), 1e-4)) for v in (sigma0, gamma0)]
    return Pass(
        *(np.ascontiguousarray(v[..., :: -1 if descending else 1], dtype=np.float32) for v in (*decibel, coherence))
    )


def _view(z: F32, res_m: float, incidence: float) -> _View:
    """The radar stands to the left of every row and looks to the right, down at `incidence` from the vertical."""
    smooth = ndimage.gaussian_filter(z.astype(np.float64), 0.6)
    slope = np.gradient(smooth, res_m, axis=1)
    column = np.arange(z.shape[1], dtype=np.float64)[None, :]
    cot = 1.0 / np.tan(incidence)
    # Higher ground is nearer to the radar.
    ground = column - smooth * cot / res_m
    ground = ground - ground.min() + 1.0
    area = np.maximum(np.cos(incidence) + np.sin(incidence) * slope, 0.0)
    ray = smooth + column * res_m * cot
    hidden = ray < np.maximum.accumulate(ray, axis=1) - 0.5 * res_m
    return _View(ground, np.where(hidden, 0.0, area), hidden)


def _splat(view: _View, power: F64, n_bins: int) -> F64:
    """Sum of power per range cell of every row, shared between the two nearest cells."""
    rows = view.bin.shape[0]
    left = np.floor(view.bin).astype(np.intp)
    share = view.bin - left
    index = (np.arange(rows, dtype=np.intp)[:, None] * n_bins + left).ravel()
    total = np.bincount(index, (power * (1.0 - share)).ravel(), rows * n_bins)
    total += np.bincount(index + 1, (power * share).ravel(), rows * n_bins)
    return np.asarray(total.reshape(rows, n_bins), dtype=np.float64)


def _along_rows(image: F64, at: F64) -> F64:
    """Linear interpolation in every row."""
    left = np.clip(np.floor(at).astype(np.intp), 0, image.shape[1] - 2)
    share = np.clip(at - left, 0.0, 1.0)
    near = np.take_along_axis(image, left, axis=1)
    return np.asarray(near * (1.0 - share) + np.take_along_axis(image, left + 1, axis=1) * share)


def _gamma0(land: Land, day: Day, optical: Optical, rng: np.random.Generator) -> F64:
    """γ0 of the ground in VV and VH, linear power, (2, h, w)."""
    shape, debris = (land.px, land.px), land.debris
    grain = 1.1 * fractal(shape, rng, 2.0, 400.0 / land.res_m) + 0.6 * rng.standard_normal(shape)
    ratio = rng.normal(0.0, 0.5)
    cover = debris.cover * (1.0 - debris.pond)
    firn = ramp(-land.below_ela_m, -20.0, 150.0)
    soil = 1.0 - land.glacier - np.maximum(land.lake, land.sea)
    shares = {
        "rock": np.maximum(soil, 0.0) * (1.0 - optical.vegetation) * (1.0 - land.till),
        "till": np.maximum(soil, 0.0) * (1.0 - optical.vegetation) * land.till,
        "grass": np.maximum(soil, 0.0) * optical.vegetation,
        "debris": land.glacier * cover,
        "ice": land.glacier * (1.0 - debris.cover) * (1.0 - firn),
        "firn": land.glacier * (1.0 - debris.cover) * firn,
        "water": np.maximum(land.lake, land.sea) * (1.0 - land.melange) + land.glacier * debris.cover * debris.pond,
        "floes": land.sea * land.melange,
    }
    wet = day.wet * np.maximum(day.snow, firn * land.glacier) * (1.0 - np.maximum(land.lake, land.sea))
    out = np.zeros((2, *shape))
    level: dict[str, float] = {name: vv + spread * rng.standard_normal() for name, (vv, _, spread) in _CLASSES.items()}
    for k in range(2):
        for name, share in shares.items():
            out[k] += share * 10.0 ** ((level[name] + k * (_CLASSES[name][1] + ratio)) / 10.0)
        drop = 10.0 ** ((level["wet_snow"] + k * _CLASSES["wet_snow"][1]) / 10.0)
        out[k] = (out[k] * (1.0 - wet) + drop * wet) * 10.0 ** (grain / 10.0)
    return out


def _creep_days(land: Land) -> float:
    """After so many days a rock glacier has lost its phase. Active ones creep by 0.1 to 2 m a year, and C band loses it
    where ground moves apart by about half a wavelength, 2.8 cm: between a week and three months, drawn per place."""
    return float(np.exp(stream(land.seed, "creep").uniform(np.log(12.0), np.log(90.0))))


def _coherence(land: Land, day: Day, optical: Optical, rng: np.random.Generator) -> F64:
    """(5, h, w): e^(−Δt/τ) by surface, times what motion leaves; an estimate of some 20 looks is never quite 0."""
    debris, shape = land.debris, (land.px, land.px)
    soil = 1.0 - land.glacier
    melt = ramp(day.air_c, -3.0, 4.0)
    rate = np.full(shape, 1.0 / float(rng.uniform(120.0, 500.0)))
    rate = rate + optical.vegetation * soil / float(rng.uniform(12.0, 30.0))
    rate = rate + land.till * soil / 300.0 + land.rock_glacier / _creep_days(land)
    # Covered ice settles, slumps and melts under its cover even where it no longer flows.
    rate = rate + land.glacier * debris.cover * (1.0 / 60.0 + melt / float(rng.uniform(12.0, 40.0)))
    rate = rate + land.glacier * (1.0 - debris.cover) * (1.0 / 25.0 + melt / 3.0)
    rate = rate + day.snow * (0.01 + 0.25 * day.wet + 0.08 * day.fresh)
    rate = rate + np.maximum(np.maximum(land.lake, land.sea), land.glacier * debris.pond) * 2.0
    level = float(rng.uniform(0.8, 0.95)) - 0.04 * np.abs(fractal(shape, rng, 2.0, 800.0 / land.res_m))
    looks = float(rng.uniform(15.0, 60.0))
    out = []
    for days in _COHERENCE_DAYS:
        # Strain within the window blurs the phase: a few centimetres of differential motion are enough.
        moved = land.speed * days / 365.0
        true = level * np.exp(-days * rate) * np.exp(-((moved / 0.9) ** 1.2))
        true = ndimage.gaussian_filter(true, 35.0 / land.res_m)
        spread = (1.0 - true**2) / np.sqrt(2.0 * looks)
        floor = np.sqrt(true**2 + (1.0 - true**2) * np.pi / (4.0 * looks))
        noise = ndimage.gaussian_filter(rng.standard_normal(shape), 0.6) * 1.8
        out.append(np.clip(floor + spread * noise, 0.0, 0.99))
    return np.stack(out)
