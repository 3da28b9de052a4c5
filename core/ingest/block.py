"""One block of one sensor: every scene that touches it, composited and committed.

Deterministic: the same scenes give the same bytes, which is what makes two writers of one block harmless. A scene that
a search found and that cannot be read is left out and named with its reason; one that the configuration lists is an
error. Memory: the block in float32 and as stored, one plane in float64, one tile of each scene that is composited (at
most 16 M source values at a time) and GDAL's cache of 256 MB, however many and however large the scenes are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config import Config
from core.coverage import coverage_share
from core.errors import ConfigError, PoisonError
from core.grid import Block, Lattice
from core.ingest.compose import BlockComposer
from core.ingest.recipe import native_res_m, scenes_of, scenes_recipe, sources_of
from core.search.store import BlockScenes
from core.stopwatch import WARP, WRITE, Stopwatch
from core.tiles import RejectedScene, SceneRef, TileMarker, TileStore

NO_OUTLINES: NDArray[np.object_] = np.array([], dtype=object)


def ingest_block(
    config: Config,
    store: TileStore,
    block: Block,
    sensor: str,
    watch: Stopwatch | None = None,
    found: BlockScenes | None = None,
    outlines_m: NDArray[np.object_] = NO_OUTLINES,
) -> TileMarker:
    """Make one tile from the scenes of the configuration and commit it; a committed block is left as it is.

    found: what a search found for this block, after the scenes that the configuration lists. outlines_m: of the zone,
    in its metres, for the ranking of scenes. Only pixels where every band of a scene is valid and its mask is clear
    count as observed by it. The bands of the tile are those that all scenes in use have. A block that no scene reaches
    is committed as not observed. watch: is told what waits, warps and writes. Raises PoisonError naming the file and
    the block if a listed raster cannot be read to its end, ConfigError if the sensor has no scenes or the tiles are
    from others.
    """
    if not scenes_of(config, sensor) and not sources_of(config, sensor):
        raise ConfigError(
            f"ingest of {sensor}", found="no scene", fix=f"add `scenes` with `sensor: {sensor}`, or `sources`"
        )
    epoch, res_m = config.epoch_of(sensor), native_res_m(config, sensor)
    store.create(epoch, block.zone, sensor, res_m, scenes_recipe(config, sensor))
    standing = store.marker(epoch, sensor, block)
    if standing is not None:
        return standing
    watch = watch or Stopwatch()
    unusable: list[RejectedScene] = []
    bytes_read = 0
    while True:
        composer = BlockComposer(config, sensor, block, found, outlines_m, watch, unusable)
        try:
            with composer, watch.on(WARP):
                values, number = composer.whole()
            break
        except PoisonError:
            # From the start without it: what it gave to other tiles is no longer to be trusted.
            bad = composer.failed_search
            if bad is None:
                raise
            unusable.append(bad)
        finally:
            bytes_read += composer.bytes_read
    scenes, number = _used(number, composer.scenes)
    lattice = Lattice(block.zone, res_m)
    with watch.on(WRITE):
        return store.write_block(
            epoch,
            sensor,
            block,
            lattice.block_window(block),
            values,
            number,
            scenes=scenes,
            bands=composer.bands({scene.id for scene in scenes}),
            rejected=composer.rejected({scene.id for scene in scenes}),
            scores=composer.scores,
            bytes_read=bytes_read,
        )


def _used(number: NDArray[np.uint8], scenes: Sequence[SceneRef]) -> tuple[list[SceneRef], NDArray[np.uint8]]:
    """The scenes that gave a pixel, in their order, and the pixels renumbered to them."""
    there = [k for k in np.unique(number).tolist() if k > 0]
    new = np.zeros(len(scenes) + 1, dtype=np.uint8)
    new[there] = np.arange(1, len(there) + 1)
    return [scenes[k - 1] for k in there], new[number]


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
