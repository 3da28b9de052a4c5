"""SIMULATED training chips: all sensors and the truth, deterministic by seed, made in worlds and cut from them.

`simulate_chip(seed, …)` is a pure function of its arguments, in any process and any order. Building a world takes
seconds and cutting a chip milliseconds, so seeds that follow each other share one (`CHIPS_PER_WORLD`, of which each day
has half), and `chips` streams them in that order: give each process a run of whole worlds. Every origin says
`simulated:SEED`; nothing made here is an observation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.simulate.land.ice import YEARS
from core.simulate.land.land import Land, build_land
from core.simulate.noise import F32, stream
from core.simulate.sense.day import Day, see_day
from core.simulate.sense.ground import elevation, thinning, velocity
from core.simulate.sense.optical import Optical, look
from core.simulate.sense.radar import listen
from core.simulate.sense.thermal import warmth
from core.train.chip import Chip
from core.train.classes import (
    CLEAN_ICE,
    DEBRIS,
    LAKE,
    MELANGE,
    NON_GLACIAL,
    OCEAN,
    ROCK_GLACIER,
    SHADOW,
    SNOW,
    VEGETATION,
)

WORLD_PX = 1024
CHIPS_PER_WORLD = 48
DAYS = 2
_TRIES = 6


def simulate_chip(seed: int, size_px: int, res_m: float, site: str | None = None, samples: Path | None = None) -> Chip:
    """The chip of a seed: size_px² pixels of res_m (10–60 m) with every sensor; site: an archetype of
    `core.simulate.land.place`, drawn if None; samples: the sample data, whose elevation models then give the relief.

    Raises ConfigError if the size is no part of a world or the site is unknown.
    """
    if not 16 <= size_px <= WORLD_PX:
        raise ConfigError("size of a simulated chip", found=f"{size_px} px", expected=f"16 to {WORLD_PX} px")
    world, number = divmod(seed, CHIPS_PER_WORLD)
    day = number * DAYS // CHIPS_PER_WORLD
    land, (values, classes) = _land(world, res_m, site, samples), _seen(world, res_m, day, site, samples)
    row, col = _corner(land, size_px, seed)
    box = (slice(row, row + size_px), slice(col, col + size_px))
    return Chip(
        values={name: _cut(bands, box, seed, name) for name, bands in values.items()},
        glacier=land.glacier[box].copy(),
        classes=classes[box].copy(),
        res_m=res_m,
        origin=f"simulated:{seed}",
        region=land.place.region,
        lat=land.place.lat,
        lon=land.place.lon,
    )


def chips(
    seeds: Iterable[int], size_px: int, res_m: float, site: str | None = None, samples: Path | None = None
) -> Iterator[Chip]:
    """A chip per seed, made when it is asked for."""
    for seed in seeds:
        yield simulate_chip(seed, size_px, res_m, site, samples)


def classify(land: Land, day: Day, optical: Optical) -> NDArray[np.uint8]:
    """The surface that holds most of each pixel, codes of `core.train.classes`."""
    out = np.full(land.glacier.shape, NON_GLACIAL, dtype=np.uint8)
    out[optical.vegetation > 0.5] = VEGETATION
    out[land.rock_glacier > 0.5] = ROCK_GLACIER
    out[day.snow > 0.5] = SNOW
    ice = land.glacier >= 0.5
    cover = land.debris.cover
    out[ice] = np.where(cover[ice] >= 0.5, DEBRIS, CLEAN_ICE)
    out[ice & (cover * land.debris.pond > 0.5)] = LAKE
    out[optical.shadow > 0.5] = SHADOW
    out[land.lake > 0.5] = LAKE
    sea = land.sea > 0.5
    out[sea] = np.where(land.melange[sea] > 0.5, MELANGE, OCEAN)
    return out


@lru_cache(maxsize=2)
def _land(world: int, res_m: float, site: str | None, samples: Path | None) -> Land:
    year = int(stream(world, "year").integers(len(YEARS)))
    return build_land(world, WORLD_PX, res_m, year, site, samples)


@lru_cache(maxsize=1)
def _seen(
    world: int, res_m: float, number: int, site: str | None, samples: Path | None
) -> tuple[dict[str, F32], NDArray[np.uint8]]:
    """Every sensor's picture of a world on one of its days, and the classes."""
    land = _land(world, res_m, site, samples)
    day = see_day(land, number)
    optical = look(land, day, number)
    up, down = (listen(land, day, optical, number, descending) for descending in (False, True))
    either = (up, down)[int(stream(world, "pass").integers(2))]
    values = {
        "optical": optical.surface,
        "optical_toa": optical.top,
        "thermal": warmth(land, day, optical, number),
        "dem": elevation(land),
        "sar_sigma0": either.sigma0,
        "sar_sigma0_asc": up.sigma0,
        "sar_sigma0_desc": down.sigma0,
        "sar_gamma0": either.gamma0,
        "sar_gamma0_asc": up.gamma0,
        "sar_gamma0_desc": down.gamma0,
        "coherence": (0.5 * (up.coherence + down.coherence)).astype(np.float32),
        "coherence_asc": up.coherence,
        "coherence_desc": down.coherence,
        "velocity": velocity(land),
        "dhdt": thinning(land),
    }
    return values, classify(land, day, optical)


def _corner(land: Land, size_px: int, seed: int) -> tuple[int, int]:
    """Where the chip lies: the best of a few random places, so that most chips hold ice, and covered ice above all."""
    rng = stream(seed, "corner")
    best, found = (0, 0), -1.0
    for _ in range(int(rng.integers(1, _TRIES + 1))):
        row, col = (int(v) for v in rng.integers(0, land.px - size_px + 1, 2))
        box = (slice(row, row + size_px, 4), slice(col, col + size_px, 4))
        ice, cover = land.glacier[box], land.debris.cover[box]
        # A tongue between its slopes teaches more than ice from edge to edge.
        mixed = min(float(ice.mean()), 0.35) - 0.5 * max(float(ice.mean()) - 0.7, 0.0)
        worth = mixed + 2.0 * min(float((ice * cover).mean()), 0.2) + 2.0 * float(land.melange[box].mean())
        if worth > found:
            best, found = (row, col), worth
    return best


def _cut(bands: F32, box: tuple[slice, slice], seed: int, name: str) -> F32:
    """A copy of the part of each band; views would keep the world alive."""
    return np.ascontiguousarray(bands[(slice(None), *box)], dtype=np.float32)
