"""Simulated chips, kept: what the simulator makes once is read from files in every epoch.

Building a world takes seconds, reading a chip milliseconds, and training wants chips in any order; so the chips of a
source are SIMULATED in the order of their seeds, world by world, and written into a folder named by what made them.
Filling goes on where it stopped, in as many processes as wanted; a file is what its seed says, whoever wrote it.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.sensors import sensor
from core.train.chip import Chip
from core.train.chipfile import evenly, load_chip, save_chip

# Seeds that one process makes together; the simulator's worlds have as many chips or a part of them.
_TOGETHER = 48


@dataclass(frozen=True)
class SimulatedChips:
    """Seeds first, first + stride, … n of them: seeds that follow each other share a world, so a stride buys variety
    with time. bands: (sensor, its bands) that are kept. site, samples: as the simulator takes them. regions: only the
    seeds whose worlds stand for one of those, if any. folder: under which the files lie, in a folder of their own for
    each recipe.
    """

    folder: str
    first: int
    n: int
    size_px: int
    res_m: int
    bands: tuple[tuple[str, tuple[str, ...]], ...]
    stride: int = 1
    site: str | None = None
    samples: str | None = None
    regions: tuple[str, ...] = ()

    def draw(self, rng: np.random.Generator) -> Chip:
        return self.chip(self.seeds[int(rng.integers(len(self.seeds)))])

    def pick(self, n: int) -> list[Chip]:
        """n different chips, evenly spaced over the seeds; all of them if there are fewer."""
        return [self.chip(seed) for seed in evenly(self.seeds, n)]

    def chip(self, seed: int) -> Chip:
        """From its file, or simulated where there is none yet."""
        path = self.path(seed)
        if not path.is_file():
            self.make(seed)
        return load_chip(path)

    def make(self, seed: int) -> None:
        from core.simulate.chips import simulate_chip

        samples = None if self.samples is None else Path(self.samples)
        chip = simulate_chip(seed, self.size_px, self.res_m, self.site, samples)
        kept = {name: _only(chip.values[name], name, bands) for name, bands in self.bands if name in chip.values}
        save_chip(self.path(seed), replace(chip, values=kept))

    @property
    def seeds(self) -> Sequence[int]:
        """Raises ConfigError if no world of these seeds lies in the regions."""
        every = range(self.first, self.first + self.n * self.stride, self.stride)
        return _in_regions(every, self.site, self.regions) if self.regions else every

    def path(self, seed: int) -> Path:
        return self.recipe_folder / f"{seed:09d}.npz"

    @property
    def recipe_folder(self) -> Path:
        recipe = {k: v for k, v in asdict(self).items() if k not in ("folder", "first", "n", "stride", "regions")}
        named = hashlib.sha256(json.dumps([recipe, _simulator()], sort_keys=True).encode()).hexdigest()
        return Path(self.folder) / f"simulated-{named[:12]}"

    def missing(self) -> list[int]:
        there = {path.name for path in self.recipe_folder.glob("*.npz")}
        return [seed for seed in self.seeds if f"{seed:09d}.npz" not in there]

    def fill(self, processes: int = 1, watch: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Simulate what is missing. watch: is told how many are done, of how many."""
        seeds = self.missing()
        parts = [[s for s in seeds if s // _TOGETHER == world] for world in sorted({s // _TOGETHER for s in seeds})]
        done = 0
        if processes <= 1:
            for part in parts:
                for seed in part:
                    self.make(seed)
                    done += 1
                    watch(done, len(seeds))
            return
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            for n in pool.map(_make_all, [self] * len(parts), parts):
                done += n
                watch(done, len(seeds))


@lru_cache(maxsize=32)
def _in_regions(seeds: range, site: str | None, regions: tuple[str, ...]) -> tuple[int, ...]:
    from core.simulate.chips import CHIPS_PER_WORLD
    from core.simulate.land.place import draw_place

    worlds = sorted({seed // CHIPS_PER_WORLD for seed in seeds})
    region = {world: draw_place(world, site).region for world in worlds}
    found = tuple(seed for seed in seeds if region[seed // CHIPS_PER_WORLD] in regions)
    if not found:
        there = ", ".join(sorted(set(region.values())))
        raise ConfigError("regions", found=", ".join(regions), expected=f"some of those that the seeds have: {there}")
    return found


def _only(values: NDArray[np.float32], name: str, bands: Sequence[str]) -> NDArray[np.float32]:
    """The other bands are not observed, which takes next to no space."""
    out = np.full_like(values, np.nan)
    at = [sensor(name).band_index(band) for band in bands]
    out[at] = values[at]
    return out


def _make_all(source: SimulatedChips, seeds: Sequence[int]) -> int:
    for seed in seeds:
        source.make(seed)
    return len(seeds)


@lru_cache(maxsize=1)
def _simulator() -> str:
    """Digest of the simulator's code: its chips are those of this version and no other."""
    root = Path(__file__).parents[1] / "simulate"
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
