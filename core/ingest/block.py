"""One block of one sensor: every scene that touches it, composited and committed.

The first scene of the list that observed a pixel gives it, all bands at once, and its number is kept per pixel.
Deterministic: the same scenes give the same bytes, which is what makes two writers of one block harmless.
Memory: the block in float32 and as stored, one plane in float64, one tile of one scene (at most 16 M source values)
and GDAL's cache of 256 MB: a process peaks at 1.0 GB for six bands at 10 m, 0.5–0.9 GB at 30 m, however many and
however large the scenes are.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config import Config, FileConfig, MaskConfig, SceneConfig
from core.coverage import coverage_share
from core.errors import ConfigError
from core.grid import Block, Lattice, PixelWindow
from core.ingest.raster import open_raster, raster_errors, read_header
from core.ingest.recipe import native_res_m, scenes_of, scenes_recipe
from core.ingest.warp import SourceGrid, tiles_of, warp_clear, warp_values
from core.sensors import Sensor
from core.sensors import sensor as registered
from core.stopwatch import WAIT, WARP, WRITE, Stopwatch
from core.tiles import MAX_SCENES, RejectedScene, SceneRef, TileMarker, TileStore


def ingest_block(
    config: Config, store: TileStore, block: Block, sensor: str, watch: Stopwatch | None = None
) -> TileMarker:
    """Make one tile from the scenes of the configuration and commit it; a committed block is left as it is.

    Only pixels where every band of a scene is valid and its mask is clear count as observed by it. The bands of the
    tile are those that all scenes in use have. Once every pixel is observed the rest of the list is not opened.
    A block that no scene reaches is committed as not observed. watch: is told what waits, warps and writes. Raises
    PoisonError naming the file and the block if a raster cannot be read to its end, ConfigError if the sensor has no
    scenes or the tiles are from others.
    """
    entry, scenes = registered(sensor), scenes_of(config, sensor)
    if not scenes:
        raise ConfigError(f"ingest of {sensor}", found="no scene", fix=f"add `scenes` with `sensor: {sensor}`")
    epoch, res_m = config.tile_epoch, native_res_m(config, sensor)
    store.create(epoch, block.zone, sensor, res_m, scenes_recipe(config, sensor))
    standing = store.marker(epoch, sensor, block)
    if standing is not None:
        return standing
    watch = watch or Stopwatch()
    canvas = _Canvas.empty(entry, Lattice(block.zone, res_m), block, watch)
    with watch.on(WARP):
        for scene in scenes:
            if canvas.full:
                break
            _add_scene(canvas, scene)
    with watch.on(WRITE):
        return store.write_block(
            epoch,
            sensor,
            block,
            canvas.window,
            canvas.values,
            canvas.number,
            scenes=canvas.used,
            bands=[band for band in entry.band_names if band in canvas.bands] if canvas.used else [],
            rejected=canvas.rejected,
        )


def ingest_oracle_block(
    store: TileStore,
    block: Block,
    epoch: str,
    res_m: int,
    outlines: NDArray[np.object_],
    date: dt.date,
    recipe: Mapping[str, Any] | None = None,
) -> TileMarker:
    """Make a tile of the sensor `oracle` from the outlines themselves; a committed block is left as it is.

    outlines: shapely (multi)polygons in the metres of the block's zone; every pixel is observed. recipe: makes sure of
    the arrays with `TileStore.create`; without it they must exist, or ConfigError is raised. SystemicError if they
    have another resolution.
    """
    if recipe is not None:
        store.create(epoch, block.zone, "oracle", res_m, recipe)
    lattice = Lattice(block.zone, res_m)
    standing = store.marker(epoch, "oracle", block)
    if standing is not None:
        return standing
    window = lattice.block_window(block)
    share = coverage_share(outlines, lattice, window)
    return store.write_block(
        epoch,
        "oracle",
        block,
        window,
        share[None],
        np.ones(window.shape, dtype=np.uint8),
        scenes=[SceneRef("oracle", date, "oracle")],
    )


@dataclass
class _Canvas:
    """The tile while it is made. values: (band, h, w); number: (h, w), 0 = not observed yet; bands: of all in use."""

    sensor: Sensor
    lattice: Lattice
    block: Block
    window: PixelWindow
    values: NDArray[np.float32]
    number: NDArray[np.uint8]
    used: list[SceneRef]
    rejected: list[RejectedScene]
    bands: set[str]
    watch: Stopwatch

    @classmethod
    def empty(cls, sensor: Sensor, lattice: Lattice, block: Block, watch: Stopwatch) -> _Canvas:
        window = lattice.block_window(block)
        values = np.full((len(sensor.bands), *window.shape), np.nan, dtype=np.float32)
        number = np.zeros(window.shape, dtype=np.uint8)
        return cls(sensor, lattice, block, window, values, number, [], [], set(sensor.band_names), watch)

    @property
    def full(self) -> bool:
        return bool(self.number.all())


def _add_scene(canvas: _Canvas, scene: SceneConfig) -> None:
    """Give the scene's valid pixels to those of the canvas that have none yet."""
    if len(canvas.used) == MAX_SCENES:
        canvas.rejected.append(RejectedScene(scene.id, f"beyond the {MAX_SCENES} scenes that a block can name"))
        return
    what = f"scene {scene.id}, block {canvas.block.name}"
    with ExitStack() as stack:
        layers = []
        for file in scene.files:
            layer = _Layer.open(stack, canvas, file, file.crs, what)
            if layer is None:
                return
            layers.append((layer, file))
        mask = None
        if scene.mask is not None:
            mask = _Layer.open(stack, canvas, scene.mask, scene.files[0].crs, what)
        densest = max(layer.density for layer, _ in layers)
        taken = seen = False
        for tile in tiles_of(canvas.window, densest, max(len(file.bands) for _, file in layers)):
            got, valid = _add_tile(canvas, scene, layers, mask, tile, what)
            taken, seen = taken or got, seen or valid
    if taken:
        canvas.used.append(SceneRef(scene.id, scene.date, scene.sensor))
        canvas.bands &= {band for file in scene.files for band in file.bands}
    else:
        reason = "hidden by earlier scenes" if seen else "no valid pixel in the block"
        canvas.rejected.append(RejectedScene(scene.id, reason))


def _add_tile(
    canvas: _Canvas,
    scene: SceneConfig,
    layers: list[tuple[_Layer, FileConfig]],
    mask: _Layer | None,
    tile: PixelWindow,
    what: str,
) -> tuple[bool, bool]:
    """(pixels taken, pixels valid) of one scene on one tile."""
    where = tile.slices(canvas.window)
    missing = canvas.number[where] == 0
    if not missing.any():
        return False, True
    valid = np.ones(tile.shape, dtype=bool)
    planes: dict[str, NDArray[np.float32]] = {}
    if scene.mask is not None:
        valid = np.zeros(tile.shape, dtype=bool)
        if mask is not None:
            with raster_errors(scene.mask.path, what):
                valid = warp_clear(
                    mask.dataset,
                    mask.grid,
                    scene.mask.band,
                    scene.mask.invalid,
                    canvas.lattice,
                    tile,
                    mask.density,
                    canvas.watch,
                )
    for layer, file in layers:
        if not valid.any():
            return False, False
        with raster_errors(file.path, what):
            values, file_valid = warp_values(
                layer.dataset, layer.grid, file, canvas.sensor, canvas.lattice, tile, layer.density, canvas.watch
            )
        valid &= file_valid
        planes.update(zip(file.bands, values, strict=True))
    new = valid & missing
    if new.any():
        canvas.number[where][new] = len(canvas.used) + 1
        for band, plane in planes.items():
            np.copyto(canvas.values[canvas.sensor.band_index(band)][where], plane, where=new)
    return bool(new.any()), bool(valid.any())


@dataclass(frozen=True)
class _Layer:
    """An open raster that reaches the block."""

    dataset: Any
    grid: SourceGrid
    density: float

    @classmethod
    def open(
        cls, stack: ExitStack, canvas: _Canvas, file: FileConfig | MaskConfig, crs: str | None, what: str
    ) -> _Layer | None:
        """None if the raster lies elsewhere, which the header alone tells."""
        with raster_errors(file.path, what), canvas.watch.on(WAIT):
            header = read_header(file.path)
        grid = SourceGrid.of(header, crs if not header.crs_wkt else None)
        density = grid.density(canvas.lattice, canvas.window)
        if not math.isfinite(density) or not any(grid.parts(canvas.lattice, canvas.window, 0.0)):
            return None
        with raster_errors(file.path, what), canvas.watch.on(WAIT):
            return cls(stack.enter_context(open_raster(file.path)), grid, density)
