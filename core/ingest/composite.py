"""Compositing: many scenes, one tile, and for every pixel the scene that it comes from.

Works on fixed tiles of a block (`TILE_PX`), each by itself: a pixel depends on its scenes and on nothing else that is
asked for, so tiles that are stored and tiles that are made when they are read are the same.

- `first`: the first scene of the list that observed the pixel, all bands at once.
- `best_scene`: the same, the scenes ranked by how well they show the glaciers of the block (`core.ingest.score`).
- `least_snow`: of all scenes the one with the lowest NDSI there, as seasonal snow only ever raises it; a pixel bright
  both in blue and in SWIR is thin or missed cloud, whose NDSI is low too, and comes last.
- `median`: the median of each band; the scene is the one whose values are nearest to it.
- `mosaic`: the scenes are pieces of one raster; pieces that meet in a pixel share it by weight, so there is no seam,
  and the scene is the one of most weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.grid import PixelWindow
from core.ingest.observe import Observer
from core.sensors import Sensor

TILE_PX = 512
MEDIAN_SCENES = 24  # of one pixel at most; at 512 px and six bands they hold 151 MB
CLOUD_BLUE, CLOUD_SWIR = 0.30, 0.20  # snow is dark in SWIR, rock in blue; bright in both is cloud
Float32 = NDArray[np.float32]
# (values (band, h, w), number (h, w): k = from scenes[k − 1], 0 = not observed)
Composite = tuple[Float32, NDArray[np.uint8]]
Strategy = Callable[[Sequence[Observer], Sensor, PixelWindow], Composite]


def first(scenes: Sequence[Observer], sensor: Sensor, tile: PixelWindow) -> Composite:
    """Once every pixel is observed the rest of the list is not opened."""
    values, number = _empty(sensor, tile)
    for k, scene in enumerate(scenes, start=1):
        if number.all():
            break
        if scene.reaches:
            seen = scene.observe(tile)
            new = seen.valid & (number == 0)
            np.copyto(values, seen.values, where=new)
            number[new] = k
    return values, number


def least_snow(scenes: Sequence[Observer], sensor: Sensor, tile: PixelWindow) -> Composite:
    """Raises nothing for scenes without SWIR or green: they come after all that have them, in their order."""
    values, number = _empty(sensor, tile)
    lowest = np.full(tile.shape, np.inf, dtype=np.float32)
    for k, scene in enumerate(scenes, start=1):
        if scene.reaches:
            seen = scene.observe(tile)
            snow = _snow(seen.values, sensor)
            new = seen.valid & ((snow < lowest) | (number == 0))
            np.copyto(values, seen.values, where=new)
            np.copyto(lowest, snow, where=new)
            number[new] = k
    return values, number


def median(scenes: Sequence[Observer], sensor: Sensor, tile: PixelWindow) -> Composite:
    """Of the first `MEDIAN_SCENES` scenes that observed the pixel."""
    stack: list[Float32] = []
    index: list[NDArray[np.uint8]] = []
    count = np.zeros(tile.shape, dtype=np.uint8)
    for k, scene in enumerate(scenes, start=1):
        if (count == MEDIAN_SCENES).all():
            break
        if not scene.reaches:
            continue
        seen = scene.observe(tile)
        new = seen.valid & (count < MEDIAN_SCENES)
        count += new
        if not new.any():
            continue
        if len(stack) < MEDIAN_SCENES:
            stack.append(np.where(new, seen.values, np.float32(np.nan)))
            index.append(np.where(new, np.uint8(k), np.uint8(0)))
            continue
        for values, number in zip(stack, index, strict=True):  # into the gaps of those before
            here = new & (number == 0)
            np.copyto(values, seen.values, where=here)
            number[here] = k
            new &= ~here
    if not stack:
        return _empty(sensor, tile)
    values, nearest = _median(np.stack(stack))
    number = np.take_along_axis(np.stack(index), np.maximum(nearest, 0)[None], axis=0)[0]
    return values, np.where(nearest >= 0, number, np.uint8(0))


def mosaic(scenes: Sequence[Observer], sensor: Sensor, tile: PixelWindow) -> Composite:
    """A pixel is observed where the pieces together carry at least half of its weight."""
    values, number = _empty(sensor, tile)
    covered, most = np.zeros(tile.shape, np.float32), np.zeros(tile.shape, np.float32)
    sums, total = np.zeros_like(values), np.zeros_like(values)
    for k, scene in enumerate(scenes, start=1):
        if scene.reaches:
            part, weight = scene.sums(tile)
            sums += part
            total[[band in scene.bands for band in sensor.band_names]] += weight
            covered += weight
            number[weight > most] = k
            np.maximum(most, weight, out=most)
    enough = covered >= 0.5
    np.divide(sums, total, out=values, where=enough & (total > 0))
    if sensor.resampling == "decibel":
        values = np.float32(10.0) * np.log10(values)
    number[~enough] = 0
    return values, number


STRATEGIES: dict[str, Strategy] = {
    "first": first,
    "best_scene": first,
    "least_snow": least_snow,
    "median": median,
    "mosaic": mosaic,
}
RANKED = frozenset({"best_scene", "least_snow", "median"})


def _empty(sensor: Sensor, tile: PixelWindow) -> Composite:
    return np.full((len(sensor.bands), *tile.shape), np.nan, dtype=np.float32), np.zeros(tile.shape, dtype=np.uint8)


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
