"""One raster onto a piece of the lattice.

Promises: pixel centres are where they were (no half-pixel shift); nodata never mixes into a value and never grows or
shrinks: a pixel is valid where the source pixel under its centre is, or, when pixels are merged, where at least half
of it is; values are averaged in the units in which that is right. Averaging (area-weighted) where the source is more
than 1.5 times finer than the lattice, bilinear otherwise, nearest for classes.
Memory: the source is read in windows of at most 16 M values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio import Env
from rasterio.crs import CRS as RasterCRS
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from core.config import FileConfig, MaskConfig
from core.grid import Lattice, PixelWindow
from core.ingest.raster import SESSION, Raster
from core.ingest.source_grid import SourceGrid, SourcePart, on_lattice
from core.sensors import Sensor
from core.stopwatch import WAIT, Stopwatch

_MERGE_FROM = 1.5  # source pixels per lattice pixel, along a side
_SOURCE_VALUES = 1 << 24
_TILE_PX = 1024
_MIN_TILE_PX = 32
_TOLERANCE_PX = 0.01  # of GDAL's interpolated transformation; its usual 0.125 is a shift that can be measured


def tiles_of(window: PixelWindow, density: float, n_bands: int) -> Iterator[PixelWindow]:
    """Cut a block so that the source under each piece stays within the bound on memory."""
    affordable = int(math.sqrt(_SOURCE_VALUES / n_bands) / max(density, 1e-9))
    step = min(_TILE_PX, max(_MIN_TILE_PX, affordable))
    for row in range(window.row0, window.row1, step):
        for col in range(window.col0, window.col1, step):
            yield PixelWindow(row, min(row + step, window.row1), col, min(col + step, window.col1))


def warp_values(
    dataset: Raster,
    grid: SourceGrid,
    file: FileConfig,
    sensor: Sensor,
    lattice: Lattice,
    tile: PixelWindow,
    density: float,
    watch: Stopwatch,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The bands of one file on a tile: (band, h, w) float32 in the units of the sensor, and (h, w) where all are valid.

    The bands come in the order of `file.bands`. Raises rasterio's errors.
    """
    numbers = list(file.bands.values())
    values = np.full((len(numbers), *tile.shape), np.nan, dtype=np.float32)
    valid = np.zeros(tile.shape, dtype=bool)
    merge = density > _MERGE_FROM
    parts = list(grid.parts(lattice, tile, density))
    if len(parts) > 1:  # pixels on a seam have something of both sides
        sums, weights = warp_sums(dataset, grid, file, sensor, lattice, tile, density, watch)
        valid = weights >= 0.5
        np.divide(sums, weights, out=values, where=valid)
        parts = []
    for part in parts:
        with watch.on(WAIT):
            source = _read(dataset, file, numbers, part.window, sensor)
        source_valid = np.asarray(np.isfinite(source).all(axis=0))
        if not source_valid.any():
            continue
        # Together, or GDAL drops pixels beside a void of one band, in files that hold several.
        source[:, ~source_valid] = np.nan
        if merge:
            part_values = _merge(source, part, grid, lattice, tile, density)
        else:
            part_values = _warp(source, part, grid, lattice, tile, Resampling.bilinear)
        part_valid = _warp_valid(source_valid, part, grid, lattice, tile, merge=merge, density=density)
        part_valid &= np.isfinite(part_values).all(axis=0) & ~valid
        np.copyto(values, part_values, where=part_valid)
        valid |= part_valid
    if sensor.resampling == "decibel":
        with np.errstate(divide="ignore", invalid="ignore"):
            np.multiply(np.log10(values, out=values), np.float32(10.0), out=values)
        valid &= np.isfinite(values).all(axis=0)
    return values, valid


def warp_sums(
    dataset: Raster,
    grid: SourceGrid,
    file: FileConfig,
    sensor: Sensor,
    lattice: Lattice,
    tile: PixelWindow,
    density: float,
    watch: Stopwatch,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sums of weight × value, (band, h, w), and of weights, (h, w), over the valid pixels of one file.

    Added over the pieces of one raster and divided, they are what resampling the whole raster would have given, up to
    and across the seams, where a piece by itself can only repeat its last pixel. Of decibels: sums of power.
    """
    numbers = list(file.bands.values())
    sums = np.zeros((len(numbers), *tile.shape), dtype=np.float32)
    weights = np.zeros(tile.shape, dtype=np.float32)
    merge = density > _MERGE_FROM
    rim = math.ceil(density) + 1 if merge else 1
    for part in grid.parts(lattice, tile, density):
        with watch.on(WAIT):
            source = _read(dataset, file, numbers, part.window, sensor)
        valid = np.asarray(np.isfinite(source).all(axis=0))
        if not valid.any():
            continue
        layers = np.concatenate([np.where(valid, source, np.float32(0)), valid[None].astype(np.float32)])
        padded = np.pad(layers, ((0, 0), (rim, rim), (rim, rim)))
        if merge:
            warped = _merge(padded, part.widened(rim), grid, lattice, tile, density, nodata=None)
        else:
            warped = _warp(padded, part.widened(rim), grid, lattice, tile, Resampling.bilinear, nodata=None)
        sums += warped[:-1]
        weights += warped[-1]
    return sums, weights


def warp_clear(
    dataset: Raster,
    grid: SourceGrid,
    mask: MaskConfig,
    lattice: Lattice,
    tile: PixelWindow,
    density: float,
    watch: Stopwatch,
) -> NDArray[np.bool_]:
    """Where a mask says none of its classes and bits, nearest pixel: (h, w). Unknown counts as masked."""
    clear = np.zeros(tile.shape, dtype=bool)
    bits = sum(1 << bit for bit in set(mask.bits))
    for part in grid.parts(lattice, tile, density):
        with watch.on(WAIT):
            classes = dataset.read(mask.band, window=part.window)
            known = dataset.read_masks(mask.band, window=part.window) > 0
        ok = ~np.isin(classes, mask.invalid) & known
        if bits:
            ok &= (classes.astype(np.int64) & bits) == 0
        clear |= _warp_valid(ok, part, grid, lattice, tile, merge=False, density=density)
    return clear


def _read(dataset: Raster, file: FileConfig, numbers: list[int], window: Window, sensor: Sensor) -> NDArray[np.float32]:
    """(band, h, w) in the units in which averaging is right; NaN where there is no value."""
    stored = dataset.read(numbers, window=window)
    valid = dataset.read_masks(numbers, window=window) > 0 if file.nodata is None else stored != file.nodata
    values: NDArray[np.float32] = stored.astype(np.float32)
    if file.scale != 1.0:
        values *= np.float32(file.scale)
    if file.offset:
        values += np.float32(file.offset)
    if sensor.resampling == "decibel":
        if not file.linear_power:
            values /= np.float32(10.0)
            np.power(np.float32(10.0), values, out=values)
        valid &= values > 0  # the logarithm of nothing; archives also write 0 where they know nothing
    values[~(valid & np.isfinite(values))] = np.nan
    return values


def _warp_valid(
    valid: NDArray[np.bool_],
    part: SourcePart,
    grid: SourceGrid,
    lattice: Lattice,
    tile: PixelWindow,
    *,
    merge: bool,
    density: float,
) -> NDArray[np.bool_]:
    """A mask on the tile: nearest pixel, or at least half of the lattice pixel. Beyond the raster nothing is valid."""
    rim = math.ceil(density) + 1
    padded = np.pad(valid, rim).astype(np.float32 if merge else np.uint8)[None]
    if merge:
        return np.asarray(_merge(padded, part.widened(rim), grid, lattice, tile, density)[0] >= 0.5)
    return np.asarray(_warp(padded, part.widened(rim), grid, lattice, tile, Resampling.nearest)[0] >= 0.5)


def _merge(
    source: NDArray[Any],
    part: SourcePart,
    grid: SourceGrid,
    lattice: Lattice,
    tile: PixelWindow,
    density: float,
    nodata: float | None = math.nan,
) -> NDArray[Any]:
    """(band, h, w): the mean of the source pixels under each pixel of the tile.

    GDAL's average takes the box between two opposite corners of the pixel, of which little is left where the raster
    lies aslant (a line, at 45°), and nothing across 180°. There: the mean of interpolated values, at least as many as
    source pixels.
    """
    if grid.boxy(lattice, tile):
        return _warp(source, part, grid, lattice, tile, Resampling.average, nodata)
    times = math.ceil(density)
    fine = _warp(source, part, grid, lattice, tile, Resampling.bilinear, nodata, times)
    height, width = tile.shape
    samples = fine.reshape(len(fine), height, times, width, times)
    known = np.isfinite(samples)
    count = np.count_nonzero(known, axis=(2, 4)).astype(np.float32)
    total = np.sum(samples, axis=(2, 4), where=known)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))


def _warp(
    source: NDArray[Any],
    part: SourcePart,
    grid: SourceGrid,
    lattice: Lattice,
    tile: PixelWindow,
    resampling: Resampling,
    nodata: float | None = math.nan,
    times: int = 1,
) -> NDArray[Any]:
    """(band, h, w) onto the tile, `times` as fine: NaN is nodata of floats unless there is none, and 0 lies around.

    Through a WarpedVRT, because `rasterio.warp.reproject` interpolates the transformation to 0.125 px at best. Pixels
    that are on the lattice already are copied: the same, and many times faster.
    """
    count, height, width = source.shape
    nodata = nodata if source.dtype == np.float32 else None
    held = on_lattice(part, grid, lattice) if times == 1 else None
    if held:
        return _copied(source, held, tile, 0 if nodata is None else nodata)
    with Env(SESSION), MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=source.dtype,
            crs=_raster_crs(grid.crs_wkt),
            transform=part.transform,
            nodata=nodata,
        ) as written:
            written.write(source)
        with (
            memory.open() as cut,
            WarpedVRT(
                cut,
                src_crs=_raster_crs(grid.crs_wkt, across=part.across),
                crs=_raster_crs(f"EPSG:{lattice.zone.epsg}"),
                transform=lattice.transform(tile) @ Affine.scale(1 / times),
                height=tile.shape[0] * times,
                width=tile.shape[1] * times,
                resampling=resampling,
                nodata=nodata,
                tolerance=_TOLERANCE_PX,
                # Otherwise GDAL widens the bilinear kernel by the ratio of the pixels, and its samples no longer sum
                # to the place that they stand for: up to 0.05 px of shift.
                **({"XSCALE": 1, "YSCALE": 1} if resampling == Resampling.bilinear else {}),
                # GDAL looks for the source of a tile at a few points of its rim, between which the pole may lie.
                **({"SOURCE_EXTRA": max(height, width)} if grid.geographic else {}),
            ) as warped,
        ):
            return np.asarray(warped.read())


def _copied(source: NDArray[Any], held: PixelWindow, tile: PixelWindow, around: float) -> NDArray[Any]:
    """(band, h, w) of the tile from a source that holds the pixels `held`."""
    out = np.full((len(source), *tile.shape), around, dtype=source.dtype)
    shared = held.intersect(tile)
    if not shared.empty:
        out[(slice(None), *shared.slices(tile))] = source[(slice(None), *shared.slices(held))]
    return out


@lru_cache(maxsize=1024)
def _raster_crs(text: str, *, across: bool = False) -> RasterCRS:
    """across: GDAL's own word for longitudes that run from 0 to 360, which a CRS with a code of EPSG must not have."""
    crs = RasterCRS.from_user_input(text)
    if not across:
        return crs
    wkt = re.sub(r',AUTHORITY\["[^"]*","[^"]*"\]\]$', "]", crs.to_wkt())
    return RasterCRS.from_wkt(f'{wkt[:-1]},EXTENSION["CENTER_LONG","180"]]')
