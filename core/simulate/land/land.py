"""A SIMULATED landscape in one year: everything about it that no date changes, on one grid of pixels.

`build_land` is deterministic in (seed, px, res_m, site, samples) and takes some seconds; chips are cut from what it
returns. The ice model is run once per seed and kept, so that other years of the same place cost less.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from core.routing import accumulate, receivers
from core.simulate.land.debris import Debris, lay_debris
from core.simulate.land.ice import YEARS, Ice, flow, grow
from core.simulate.land.lithology import layer_rocks
from core.simulate.land.place import Place, draw_place
from core.simulate.land.real_relief import real_bed
from core.simulate.land.relief import CELL_PX, build_bed, refine, roughen
from core.simulate.land.shores import still_water
from core.simulate.noise import F32, fractal, ramp, stream

_EDGE_SQRT_M = 2.6  # √ of the thickness (7 m) that counts as a glacier


@dataclass(frozen=True)
class Land:
    """(px, px) float32 unless said otherwise. surface_m: what a radar or a stereo pair sees; glacier: share of ice,
    covered or not; edge: 0 at the outline, more inside, in √metres; ice_m: thickness; speed and its direction
    (v, down, right); thinning_m_a; below_ela_m; debris; rock (6, px, px): log factor of the ground off the ice;
    till: share of fresh moraine and gravel off the ice; lake, sea, melange: shares; hollow: −1 rib … 1 hollow."""

    place: Place
    seed: int
    year: int
    res_m: float
    surface_m: F32
    glacier: F32
    edge: F32
    ice_m: F32
    speed: F32
    direction: tuple[F32, F32]
    thinning_m_a: F32
    below_ela_m: F32
    debris: Debris
    rock: F32
    till: F32
    lake: F32
    sea: F32
    melange: F32
    hollow: F32
    rock_glacier: F32

    @property
    def px(self) -> int:
        return int(self.surface_m.shape[0])


@lru_cache(maxsize=2)
def _coarse(seed: int, px: int, res_m: float, site: str | None, samples: Path | None) -> tuple[Place, Ice]:
    place = draw_place(seed, site)
    if samples is not None and not place.sea:
        bed = real_bed(samples, place, px, res_m, seed)
    else:
        bed = build_bed(place, px, res_m, seed)
    return place, grow(bed, place, CELL_PX * res_m, seed)


def build_land(
    seed: int, px: int, res_m: float, year: int = len(YEARS) - 1, site: str | None = None, samples: Path | None = None
) -> Land:
    """px a multiple of 16; year: index of `ice.YEARS`; site: name of an archetype, drawn if None; samples: the sample
    data, whose elevation models then give the relief. Raises ConfigError for an unknown site."""
    place, ice = _coarse(seed, px, res_m, site, samples)
    rng = stream(seed, "land")
    shape = (px, px)
    bed = refine(ice.bed_m)
    bed = bed + roughen(bed, place, res_m, seed)
    thick, advance = (np.maximum(refine(np.sqrt(h), 2), 0.0) for h in (ice.thick_m[year], ice.advance_m))
    local = (ndimage.gaussian_filter(bed, 4.0) - bed) / np.float32(0.3 * res_m)
    ragged = 0.5 * fractal(shape, rng, 2.4, 700.0 / res_m) + 0.8 * np.clip(local, -1.5, 1.5)
    edge = (thick - _EDGE_SQRT_M + 0.5 * np.clip(ragged, -2.5, 2.5)).astype(np.float32)
    then = (advance - _EDGE_SQRT_M + 0.5 * np.clip(ragged, -2.5, 2.5)).astype(np.float32)
    edge = _without_specks(edge, res_m)
    glacier = _share(edge)
    below_ela = refine(ice.ela_m, 1) - refine(ice.bed_m + ice.thick_m[year], 1)
    top = refine(ice.bed_m + ice.thick_m[year], 3)
    smooth = bed + (top - bed) * ramp(edge, -1.0, 2.5)
    till, walls = _moraines(smooth, edge, then, below_ela, res_m, rng)
    smooth = smooth + walls
    rock = layer_rocks(bed, place, res_m, seed)
    speed, down, right = (refine(v, 1) for v in flow(ice, year))
    # The shallow-ice speed holds for ice at its bed's melting point; most mountain glaciers are slower.
    slower = 1.0 if place.sea else float(rng.uniform(0.06, 0.45))
    speed = (np.maximum(speed, 0.0) * slower * (glacier > 0)).astype(np.float32)
    debris = lay_debris(smooth, glacier, speed, below_ela, rock, place, res_m, seed)
    tongue = (1.0 - debris.cover) * glacier
    # Ice that moves is broken by crevasses, ice that melts is rough.
    rough = fractal(shape, rng, 1.5, max(120.0 / res_m, 4.0)) * ramp(speed, 20.0, 250.0) * 3.0
    surface = smooth + debris.relief_m * glacier + rough * tongue
    creep, furrows = _rock_glaciers(surface, glacier, below_ela, place, res_m, rng)
    surface = (surface + furrows).astype(np.float32)
    water = still_water(surface, glacier, edge, then, till, below_ela, place, res_m, rng)
    gravel = _gravel(surface, res_m) * (1.0 - glacier) * (1.0 - water.sea)
    lost = ice.thick_m[max(year - 1, 0)] - ice.thick_m[max(year, 1)]
    return Land(
        place=place,
        seed=seed,
        year=year,
        res_m=res_m,
        surface_m=water.surface_m,
        glacier=(glacier * (1.0 - water.lake) * (1.0 - water.sea)).astype(np.float32),
        edge=edge,
        ice_m=thick**2,
        speed=speed,
        direction=(down, right),
        thinning_m_a=np.asarray(refine(lost, 1) / (YEARS[1] - YEARS[0]) * (glacier > 0), dtype=np.float32),
        below_ela_m=below_ela,
        debris=debris,
        rock=rock,
        till=np.maximum(till, gravel).astype(np.float32),
        lake=water.lake,
        sea=water.sea,
        melange=water.melange,
        hollow=np.clip(local, -1.0, 1.0).astype(np.float32),
        rock_glacier=creep,
    )


def _share(edge: F32) -> F32:
    """Share of a pixel inside the zero line of `edge`, taking the line as straight within the pixel."""
    gy, gx = np.gradient(edge)
    return np.asarray(np.clip(0.5 + edge / np.maximum(np.abs(gx) + np.abs(gy), 0.05), 0.0, 1.0), dtype=np.float32)


def _without_specks(edge: F32, res_m: float) -> F32:
    """No glacier below 0.02 km² and no hole below 0.01 km²: nobody maps them."""
    for sign, km2 in ((1.0, 0.02), (-1.0, 0.01)):
        number, n = ndimage.label(sign * edge > 0.0)
        small = np.bincount(number.ravel(), minlength=n + 1) * (res_m / 1000.0) ** 2 < km2
        small[0] = False
        edge = np.where(small[number], -np.float32(sign * 0.3), edge)
    return edge


def _moraines(
    surface: F32, edge: F32, then: F32, below_ela: F32, res_m: float, rng: np.random.Generator
) -> tuple[F32, F32]:
    """(share of till where ice has been or stands beside, metres of moraine walls along the line of the advance)."""
    outside = ndimage.distance_transform_edt(then < 0.0) * res_m
    inside = ndimage.distance_transform_edt(then >= 0.0) * res_m
    away = np.where(then < 0.0, outside, inside)
    gy, gx = np.gradient(ndimage.gaussian_filter(surface, 3.0), res_m)
    low = ramp(below_ela, 60.0, 260.0) * ramp(np.hypot(gx, gy), 0.75, 0.4)
    shape = (surface.shape[0], surface.shape[1])
    uneven = np.clip(0.6 + 0.5 * fractal(shape, rng, 2.2, 2000.0 / res_m), 0.0, 1.6)
    height, width = float(rng.uniform(10.0, 60.0)), max(float(rng.uniform(35.0, 75.0)), 1.2 * res_m)
    wall = height * np.exp(-((away / width) ** 2)) * uneven * low * ramp(edge, 4.0, 0.5)
    till = np.maximum(
        ramp(outside, 120.0, 20.0) * low, (then > 0.0) * ramp(edge, 1.0, -1.0) * ramp(below_ela, -50.0, 60.0)
    )
    return np.asarray(till, dtype=np.float32), np.asarray(wall, dtype=np.float32)


def _gravel(surface: F32, res_m: float) -> F32:
    """Outwash and river beds: flat ground along streams, share 0–1."""
    ground = ndimage.gaussian_filter(surface[::2, ::2].astype(np.float64), 1.0)
    receiver, _ = receivers(ground)
    km2 = accumulate(receiver, np.full(ground.size, (2.0 * res_m / 1000.0) ** 2)).reshape(ground.shape)
    wet = ndimage.gaussian_filter(np.minimum(km2, 30.0), 120.0 / (2.0 * res_m))
    gy, gx = np.gradient(ndimage.gaussian_filter(ground, 2.0), 2.0 * res_m)
    bed = ramp(wet, 0.5, 3.0) * ramp(np.hypot(gx, gy), 0.12, 0.04)
    return np.asarray(np.kron(bed, np.ones((2, 2), np.float32)), dtype=np.float32)


def _rock_glaciers(
    surface: F32, glacier: F32, below_ela: F32, place: Place, res_m: float, rng: np.random.Generator
) -> tuple[F32, F32]:
    """(share, furrows in metres) of tongues of creeping permafrost: lobed like glaciers, not in the inventory."""
    share, metres = np.zeros_like(surface), np.zeros_like(surface)
    smooth = ndimage.gaussian_filter(surface, 180.0 / res_m)
    gy, gx = np.gradient(smooth, res_m)
    slope = np.hypot(gx, gy)
    free = ndimage.gaussian_filter(glacier, 300.0 / res_m) < 0.05
    fits = np.flatnonzero(free & (slope > 0.18) & (slope < 0.5) & (below_ela > -50.0) & (below_ela < 600.0))
    count = int(rng.poisson(place.rock_glaciers * surface.size * (res_m / 1000.0) ** 2 / 100.0))
    if not fits.size:
        return share, metres
    n = surface.shape[0]
    for at in rng.choice(fits, size=count):
        long_m, wide_m = float(rng.uniform(250.0, 800.0)), float(rng.uniform(90.0, 220.0))
        r0, c0, reach = at // n, at % n, int(1.3 * long_m / res_m) + 2
        box = (slice(max(r0 - reach, 0), r0 + reach), slice(max(c0 - reach, 0), c0 + reach))
        row, col = np.mgrid[box[0].start : min(box[0].stop, n), box[1].start : min(box[1].stop, n)]
        down = np.array([-gy.ravel()[at], -gx.ravel()[at]]) / slope.ravel()[at]
        along = ((row - r0) * down[0] + (col - c0) * down[1]) * res_m
        across = ((row - r0) * down[1] - (col - c0) * down[0]) * res_m + 0.15 * wide_m * np.sin(along / 150.0)
        bulge = 1.0 - (along / long_m) ** 2 - (across / (wide_m * (1.0 + 0.3 * along / long_m))) ** 2
        body = ramp(bulge, 0.0, 0.15) * (free[box] | (glacier[box] < 0.01))
        lobes = np.cos((along + 0.6 * across**2 / wide_m) * 2.0 * np.pi / float(rng.uniform(45.0, 110.0)))
        share[box] = np.maximum(share[box], body)
        metres[box] += body * (14.0 * np.sqrt(np.maximum(bulge, 0.0)) + 2.0 * lobes)
    return share, metres
