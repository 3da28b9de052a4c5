"""All scenes of one block and sensor, ranked and composited tile by tile.

The tiles are fixed squares of the block, so that a tile comes out the same whether the whole block is stored or a
window of it is read. Scenes are opened when they are first needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cached_property
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from core.config import Config, SceneConfig
from core.grid import Block, Lattice, PixelWindow
from core.ingest.composite import RANKED, TILE_PX, Composite, at_once, composite
from core.ingest.observe import Observer
from core.ingest.raster import read_header, remote
from core.ingest.recipe import composite_of, native_res_m, scenes_of
from core.ingest.score import LOOK_M, cost, glacier_pixels, score
from core.search.store import BlockScenes
from core.sensors import sensor as registered
from core.stopwatch import WAIT, Stopwatch
from core.terrain import slope_deg
from core.tiles import MAX_SCENES, RejectedScene, SceneRef, SceneScore

Float32 = NDArray[np.float32]
Number = NDArray[np.uint8]
_READERS = 8  # files, side by side


class BlockComposer:
    """A context: closes the rasters that it opened.

    found: of a search, after the listed scenes; outlines_m: for ranking; unusable: scenes that are not to be tried.
    """

    def __init__(
        self,
        config: Config,
        sensor: str,
        block: Block,
        found: BlockScenes | None,
        outlines_m: NDArray[np.object_],
        watch: Stopwatch,
        unusable: Sequence[RejectedScene] = (),
    ) -> None:
        self.sensor, self.block, self.watch = registered(sensor), block, watch
        self.strategy = composite_of(config, sensor)
        self.lattice = Lattice(block.zone, native_res_m(config, sensor))
        self.window = self.lattice.block_window(block)
        self._outlines_m, self._unusable = outlines_m, tuple(unusable)
        self._listed, self._found = scenes_of(config, sensor), _not_listed(found, scenes_of(config, sensor))
        self._stack = ExitStack()
        self._pool = ThreadPoolExecutor(_READERS)
        self._looks: list[Observer] = []
        self._left_out: list[RejectedScene] = []
        self.scores: tuple[SceneScore, ...] = ()

    def __enter__(self) -> BlockComposer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        self._stack.close()

    @property
    def scenes(self) -> list[SceneRef]:
        """What the numbers of a composite count, from 1."""
        return [scene.ref for scene in self._candidates]

    @property
    def bytes_read(self) -> int:
        return sum(scene.bytes_read for scene in [*self._all, *self._looks])

    @property
    def failed_search(self) -> RejectedScene | None:
        """The searched scene whose failure was the last error; None if it was not one."""
        searched = {scene.id for scene in self._found.scenes}
        for scene in [*self._looks, *self._all]:
            if scene.failure is not None and scene.scene.id in searched:
                error = scene.failure
                return RejectedScene(scene.scene.id, f"cannot be read: {error.where}: {error.found}")
        return None

    def tiles(self, window: PixelWindow) -> Iterator[PixelWindow]:
        """The fixed tiles of the block that a window touches."""
        for row in range(self.window.row0, self.window.row1, TILE_PX):
            for col in range(self.window.col0, self.window.col1, TILE_PX):
                tile = PixelWindow(row, row + TILE_PX, col, col + TILE_PX).intersect(self.window)
                if not tile.intersect(window).empty:
                    yield tile

    def composites(self, tiles: Sequence[PixelWindow]) -> Iterator[tuple[PixelWindow, Float32, Number]]:
        """Fixed tiles: (tile, values (band, h, w) float32, number (h, w) uint8, 0 = not observed)."""
        step = at_once(self.strategy, len(self._candidates), self.sensor)
        rim = 1 if self.sensor.slope else 0
        for start in range(0, len(tiles), step):
            group = list(tiles[start : start + step])
            made = composite(self.strategy, self._candidates, self.sensor, [tile.pad(rim) for tile in group])
            while made:  # each is let go as soon as it is handed on
                tile, part = group.pop(0), made.pop(0)
                yield (tile, *(self._sloped(part, tile) if rim else (part.values, part.number)))

    def whole(self) -> tuple[Float32, Number]:
        """The whole block."""
        values = np.full((len(self.sensor.bands), *self.window.shape), np.nan, dtype=np.float32)
        number = np.zeros(self.window.shape, dtype=np.uint8)
        for tile, part, numbers in self.composites(list(self.tiles(self.window))):
            where = tile.slices(self.window)
            values[(slice(None), *where)], number[where] = part, numbers
        return values, number

    def tile(self, tile: PixelWindow) -> tuple[Float32, Number]:
        """One fixed tile."""
        _, values, number = next(self.composites([tile]))
        return values, number

    def _sloped(self, part: Composite, tile: PixelWindow) -> tuple[Float32, Number]:
        """The tile without its rim, and the slope of its elevations in its band."""
        values, number, inner = part.values, part.number, (slice(1, -1), slice(1, -1))
        elevation = np.where(number > 0, values[0], np.float32(np.nan))
        values, number = np.ascontiguousarray(values[(slice(None), *inner)]), np.ascontiguousarray(number[inner])
        slope = values[self.sensor.band_index(self.sensor.slope)]
        slope[:] = slope_deg(elevation, self.lattice, tile)
        number[~np.isfinite(slope)] = 0
        return values, number

    def bands(self, used: Collection[str]) -> list[str]:
        """Bands that all of the scenes named have, in the order of the sensor."""
        have = [scene.bands for scene in self._all if scene.scene.id in used]
        common = frozenset.intersection(*have) if have else frozenset()
        return [band for band in self.sensor.band_names if band in common]

    def rejected(self, used: Collection[str]) -> list[RejectedScene]:
        """Why each scene that could have given a pixel and is not among `used` gave none."""
        searched = {scene.id for scene in self._found.scenes}
        out = [*self._found.rejected, *self._unusable, *self._left_out]
        named = {scene.id for scene in out}
        for scene in self._all:
            name = scene.scene.id
            if name in used or name in named or (name not in searched and not scene.reaches):
                continue
            if not scene.reaches:
                reason = "outside the block"
            elif scene.any_valid:
                reason = "hidden by earlier scenes"
            elif scene.any_known:
                reason = "masked (cloud, shadow or fill) wherever it lies in the block"
            elif scene.opened:
                reason = "no valid pixel in the block"
            elif name in searched:
                reason = "not needed: earlier scenes observed every pixel"
            else:
                continue
            out.append(RejectedScene(name, reason))
        return out

    @cached_property
    def _all(self) -> list[Observer]:
        without = {scene.id for scene in self._unusable}
        scenes = [scene for scene in [*self._listed, *self._found.scenes] if scene.id not in without]
        with self.watch.on(WAIT):
            list(self._pool.map(_fetch_header, {file.path for s in scenes for file in s.files if not file.variable}))
        return [self._observer(scene, self.lattice) for scene in scenes]

    @cached_property
    def _candidates(self) -> list[Observer]:
        """The scenes to composite, best first."""
        near = [scene for scene in self._all if scene.reaches]
        if self.strategy in RANKED:
            near = self._ranked(near)
        for scene in near[MAX_SCENES:]:
            self._left_out.append(
                RejectedScene(scene.scene.id, f"beyond the {MAX_SCENES} scenes that a block can name")
            )
        return near[:MAX_SCENES]

    def _ranked(self, near: list[Observer]) -> list[Observer]:
        """By cost, then the newest; without those that show nothing of the glaciers."""
        look = Lattice(self.block.zone, max(LOOK_M, self.lattice.res_m))
        window = look.block_window(self.block)
        glaciers = glacier_pixels(self._outlines_m, look, window)
        self._looks = [self._observer(scene.scene, look, overviews=True) for scene in near]
        scored = [score(scene, self.sensor, window, glaciers) for scene in self._looks]
        order = sorted(
            range(len(near)), key=lambda k: (cost(scored[k]), -near[k].scene.date.toordinal(), near[k].scene.id)
        )
        self.scores = tuple(scored[k] for k in order)
        blind = [k for k in order if scored[k].coverage * (1 - scored[k].cloud) == 0]
        for k in blind:
            why = "all cloud over the glaciers" if scored[k].coverage else "no pixel over the glaciers"
            self._left_out.append(RejectedScene(near[k].scene.id, f"{why} of the block"))
        return [near[k] for k in order if k not in blind]

    def _observer(self, scene: SceneConfig, lattice: Lattice, *, overviews: bool = False) -> Observer:
        what = f"scene {scene.id}, block {self.block.name}"
        window = lattice.block_window(self.block)
        return Observer(scene, self.sensor, lattice, window, what, self._stack, self.watch, self._pool, overviews)


def _not_listed(found: BlockScenes | None, listed: Sequence[SceneConfig]) -> BlockScenes:
    """What was found, less what the configuration lists as well: there it says how the scene is to be read."""
    if found is None:
        return BlockScenes((), ())
    known = {scene.id for scene in listed}
    return BlockScenes(tuple(scene for scene in found.scenes if scene.id not in known), found.rejected)


def _fetch_header(path: str) -> None:
    """Into the memory of `read_header`, for many files at once; who needs it meets the error."""
    if remote(path):
        with suppress(Exception):
            read_header(path)
