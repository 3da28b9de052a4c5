"""Compositing: many scenes, and for every pixel of a tile the scene that it comes from.

Works on fixed tiles of a block (`TILE_PX`), each by itself: a pixel depends on its scenes and on nothing else that is
asked for, so tiles that are stored and tiles that are made when they are read are the same. Scene after scene goes
over all tiles at hand, so that a scene is opened once and read once.

- `first`: the first scene of the list that observed the pixel, all bands at once.
- `best_scene`: the same, the scenes ranked by how well they show the glaciers of the block (`core.ingest.score`).
- `least_snow`: of all scenes the one with the lowest NDSI there, as seasonal snow only ever raises it; a pixel bright
  both in blue and in SWIR is thin or missed cloud, whose NDSI is low too, and comes last.
- `median`: the median of each band over the best `MEDIAN_SCENES` scenes that observed the pixel; the scene is the one
  whose values are nearest to it.
- `mosaic`: the scenes are pieces of one raster; pieces that meet in a pixel share it by weight, so there is no seam,
  and the scene is the one of most weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.grid import PixelWindow
from core.ingest.observe import Observer
from core.sensors import Sensor

TILE_PX = 512
MEDIAN_SCENES = 24
CLOUD_BLUE, CLOUD_SWIR = 0.30, 0.20  # snow is dark in SWIR, rock in blue; bright in both is cloud
_WHOLE = 0.99999  # of the weight of a pixel; resampling rounds
_STACK_BYTES = 600 << 20  # what the scenes of a median may hold at once
Float32 = NDArray[np.float32]


class Composite(Protocol):
    """A tile while it is made, and then: values (band, h, w), number (h, w): k = from the k-th scene, 0 = none."""

    values: Float32
    number: NDArray[np.uint8]

    def __init__(self, sensor: Sensor, tile: PixelWindow) -> None: ...

    @property
    def done(self) -> bool:
        """Whether no further scene can change it."""
        ...

    def add(self, k: int, scene: Observer) -> None:
        """Take what the k-th scene (from 1) has of the tile."""
        ...

    def finish(self) -> None:
        """All scenes were added."""
        ...


class First:
    """Also `best_scene`, of ranked scenes."""

    def __init__(self, sensor: Sensor, tile: PixelWindow) -> None:
        self.sensor, self.tile = sensor, tile
        self.values = np.full((len(sensor.bands), *tile.shape), np.nan, dtype=np.float32)
        self.number = np.zeros(tile.shape, dtype=np.uint8)

    @property
    def done(self) -> bool:
        return bool(self.number.all())

    def add(self, k: int, scene: Observer) -> None:
        seen = scene.observe(self.tile)
        new = seen.valid & (self.number == 0)
        np.copyto(self.values, seen.values, where=new)
        self.number[new] = k

    def finish(self) -> None:
        pass


class LeastSnow(First):
    """Scenes without SWIR or green come after all that have them, in their order."""

    def __init__(self, sensor: Sensor, tile: PixelWindow) -> None:
        super().__init__(sensor, tile)
        self.lowest = np.full(tile.shape, np.inf, dtype=np.float32)

    @property
    def done(self) -> bool:
        return False

    def add(self, k: int, scene: Observer) -> None:
        seen = scene.observe(self.tile)
        snow = _snow(seen.values, self.sensor)
        new = seen.valid & ((snow < self.lowest) | (self.number == 0))
        np.copyto(self.values, seen.values, where=new)
        np.copyto(self.lowest, snow, where=new)
        self.number[new] = k


class Median(First):
    """Holds every scene of the tile until it is finished."""

    def __init__(self, sensor: Sensor, tile: PixelWindow) -> None:
        super().__init__(sensor, tile)
        self.stack: list[Float32] = []
        self.index: list[NDArray[np.uint8]] = []  # per pixel, because a scene may fill the gaps of several before it
        self.count = np.zeros(tile.shape, dtype=np.uint8)

    @property
    def done(self) -> bool:
        return bool((self.count == MEDIAN_SCENES).all())

    def add(self, k: int, scene: Observer) -> None:
        seen = scene.observe(self.tile)
        new = seen.valid & (self.count < MEDIAN_SCENES)
        self.count += new
        if len(self.stack) < MEDIAN_SCENES:
            if new.any():
                self.stack.append(np.where(new, seen.values, np.float32(np.nan)))
                self.index.append(np.where(new, np.uint8(k), np.uint8(0)))
            return
        for values, index in zip(self.stack, self.index, strict=True):
            here = new & (index == 0)
            np.copyto(values, seen.values, where=here)
            index[here] = k
            new &= ~here

    def finish(self) -> None:
        if self.stack:
            self.values, nearest = _median(np.stack(self.stack))
            number = np.take_along_axis(np.stack(self.index), np.maximum(nearest, 0)[None], axis=0)[0]
            self.number = np.where(nearest >= 0, number, np.uint8(0))
        self.stack, self.index = [], []


class Mosaic(First):
    """A pixel is observed where the pieces together carry at least half of its weight.

    Where pieces overlap, the first that knows all of a pixel gives it: the rim of another, which knows it only in
    part, is not mixed in. Pieces may lack bands.
    """

    def __init__(self, sensor: Sensor, tile: PixelWindow) -> None:
        super().__init__(sensor, tile)
        self.sums, self.total = np.zeros_like(self.values), np.zeros_like(self.values)
        self.whole = np.zeros(self.values.shape, dtype=bool)
        self.covered, self.most = np.zeros(tile.shape, np.float32), np.zeros(tile.shape, np.float32)

    @property
    def done(self) -> bool:
        return False

    def add(self, k: int, scene: Observer) -> None:
        sums, weight = scene.sums(self.tile)
        mine = np.array([band in scene.bands for band in self.sensor.band_names])[:, None, None] & ~self.whole
        whole, part = mine & (weight > _WHOLE), mine & (weight <= _WHOLE)
        np.copyto(self.sums, sums, where=whole)
        np.copyto(self.total, weight, where=whole)
        np.add(self.sums, sums, out=self.sums, where=part)
        np.add(self.total, weight, out=self.total, where=part)
        self.whole |= whole
        self.covered += weight
        self.number[weight > self.most] = k
        np.maximum(self.most, weight, out=self.most)

    def finish(self) -> None:
        enough = self.covered >= 0.5
        np.divide(self.sums, self.total, out=self.values, where=enough & (self.total > 0))
        if self.sensor.resampling == "decibel":
            self.values = np.float32(10.0) * np.log10(self.values)
        self.number[~enough] = 0


STRATEGIES: dict[str, Callable[[Sensor, PixelWindow], Composite]] = {
    "first": First,
    "best_scene": First,
    "least_snow": LeastSnow,
    "median": Median,
    "mosaic": Mosaic,
}
RANKED = frozenset({"best_scene", "least_snow", "median"})


def composite(
    strategy: str, scenes: Sequence[Observer], sensor: Sensor, tiles: Sequence[PixelWindow]
) -> list[Composite]:
    """One composite of each tile. Once every pixel is settled the rest of the list is not opened."""
    made = [STRATEGIES[strategy](sensor, tile) for tile in tiles]
    for k, scene in enumerate(scenes, start=1):
        open_ = [part for part in made if not part.done]
        if not open_:
            break
        for part in open_:
            part.add(k, scene)
    for part in made:
        part.finish()
    return made


def at_once(strategy: str, n_scenes: int, sensor: Sensor) -> int:
    """How many tiles may be made together: all, unless every scene of them has to be held."""
    if strategy != "median":
        return 1 << 16
    tile_bytes = min(n_scenes, MEDIAN_SCENES) * len(sensor.bands) * TILE_PX**2 * 4
    return max(1, _STACK_BYTES // max(1, tile_bytes))


def _snow(values: Float32, sensor: Sensor) -> Float32:
    """NDSI where it can be told, 2 above it where it is likely cloud, 9 where it cannot be told: (h, w).

    Corrected for the atmosphere, shadow comes out below 0, which is no NDSI of −1.
    """
    names = sensor.band_names
    if not {"blue", "green", "swir1"} <= set(names):
        return np.full(values.shape[1:], 9.0, dtype=np.float32)
    blue, green, swir = (np.maximum(values[names.index(band)], 0) for band in ("blue", "green", "swir1"))
    ndsi = (green - swir) / np.maximum(green + swir, np.float32(1e-4))
    cloud = (blue > CLOUD_BLUE) & (swir > CLOUD_SWIR)
    return np.where(np.isfinite(ndsi), ndsi + np.float32(2.0) * cloud, np.float32(9.0)).astype(np.float32)


def _median(stack: Float32) -> tuple[Float32, NDArray[np.int64]]:
    """(median (band, h, w), position in the stack of the scene nearest to it (h, w), −1 where none observed).

    A band at a time, which bounds memory; sorted instead of `nanmedian`, which takes the slow way: NaN sort last.
    """
    n, n_bands, *shape = stack.shape
    middle = np.full((n_bands, *shape), np.nan, dtype=np.float32)
    distance, seen = np.zeros((n, *shape), dtype=np.float32), np.zeros((n, *shape), dtype=bool)
    for b in range(n_bands):
        plane = stack[:, b]
        finite = np.isfinite(plane)
        count = np.count_nonzero(finite, axis=0)
        ranked = np.sort(plane, axis=0)
        low = np.take_along_axis(ranked, np.maximum((count - 1) // 2, 0)[None], axis=0)[0]
        high = np.take_along_axis(ranked, np.minimum(count // 2, n - 1)[None], axis=0)[0]
        middle[b] = np.where(count > 0, (low + high) / np.float32(2.0), np.float32(np.nan))
        distance += np.where(finite, np.abs(plane - middle[b]), np.float32(0.0))
        seen |= finite
    nearest = np.argmin(np.where(seen, distance, np.float32(np.inf)), axis=0)
    return middle, np.where(seen.any(axis=0), nearest, -1)
