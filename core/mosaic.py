"""The mosaic: probability and scene of every mapped pixel, one Zarr group per zone, one shard per block.

Written whole blocks at a time by whoever mapped them; readers follow the commit markers of the run, so a block
without one does not exist, whatever bytes lie there. `xr.open_zarr` opens it with coordinates and CRS.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import PoisonError, SystemicError
from core.grid import Block, Lattice, PixelWindow
from core.layout import RunLayout
from core.ledger import Ledger
from core.measure import MosaicWindow
from core.objects import Backend, Objects, join_url, zarr_location
from core.shards import BlockArray, group_objects, put_shard
from core.stitch import LEVELS, NOT_OBSERVED
from core.tiles import SceneRef
from core.tiles.arrays import SteadyArray, open_steady, zarr_errors

PROBABILITY, SCENE = "probability", "scene"
_CACHE_BYTES = 1 << 29
_MAP_AGAIN = "`icefleet retry` and the next run map the block again"


class Mosaic:
    """The probability mosaics of one run. Construct one inside each process."""

    def __init__(self, run_url: str, backend: Backend = "obstore") -> None:
        self._objects = Objects(run_url)
        self.url, self.backend = self._objects.url, backend
        self._open: dict[Lattice, tuple[SteadyArray, SteadyArray]] = {}

    def write_block(
        self, lattice: Lattice, block: Block, probability: NDArray[np.uint8], scene: NDArray[np.uint8]
    ) -> None:
        """Write the two shards of a block. Raises SystemicError, before any byte, if a shape is not the block's."""
        window = lattice.block_window(block)
        for name, array in ((PROBABILITY, probability), (SCENE, scene)):
            if array.shape != window.shape or array.dtype != np.uint8 or block.zone != lattice.zone:
                raise SystemicError(
                    f"{name} of {block.name}",
                    found=f"{array.dtype} {array.shape}",
                    expected=f"uint8 {window.shape} on {lattice}",
                )
        stored, numbered = self._arrays(lattice, create=True)
        key, chunk = RunLayout.probability(lattice.zone), (block.row, block.col)
        put_shard(self._objects, f"{key}/{PROBABILITY}", stored, chunk, probability)
        put_shard(self._objects, f"{key}/{SCENE}", numbered, chunk, scene)

    def read_block(self, lattice: Lattice, block: Block) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """(probability, scene) of a committed block. Raises PoisonError if its bytes are gone or corrupt."""
        window = lattice.block_window(block)
        where = slice(window.row0, window.row1), slice(window.col0, window.col1)
        stored, numbered = self._arrays(lattice, create=False)
        with zarr_errors(f"{self.url} {block.name}", fix=_MAP_AGAIN):
            return np.asarray(stored[where], np.uint8), np.asarray(numbered[where], np.uint8)

    def _arrays(self, lattice: Lattice, *, create: bool) -> tuple[SteadyArray, SteadyArray]:
        if lattice not in self._open:
            key = RunLayout.probability(lattice.zone)
            if create and self._objects.get_or_none(f"{key}/zarr.json") is None:
                for name, data in group_objects(key, lattice, _ARRAYS, {"title": "probability of glacier"}).items():
                    self._objects.create(name, data)
            store, path = zarr_location(self.url, key, self.backend)
            where = join_url(self.url, key)
            try:
                _, (probability, scene) = open_steady(store, path, (PROBABILITY, SCENE), where)
            except FileNotFoundError as error:
                raise PoisonError(where, found="no mosaic", expected="the arrays that mapping wrote") from error
            self._open[lattice] = probability, scene
        return self._open[lattice]


_ARRAYS = (
    BlockArray(
        PROBABILITY,
        "uint8",
        NOT_OBSERVED,
        {
            "long_name": f"probability of glacier × {LEVELS}",
            "units": "1",
            "scale_factor": 1 / LEVELS,
            "_FillValue": NOT_OBSERVED,
            "ancillary_variables": SCENE,
        },
    ),
    BlockArray(
        SCENE,
        "uint8",
        0,
        {"long_name": "number of the scene in the commit marker of the block; 0 = not observed"},
    ),
)


class MosaicReader:
    """Windows of the mosaic across blocks, for one measuring unit: every block is fetched once, then kept a while.

    planned: names of the blocks of the plan. What lies outside them was not mapped on purpose and reads as not
    observed; a planned block without a commit is reported as missing.
    """

    def __init__(self, mosaic: Mosaic, ledger: Ledger, lattice: Lattice, planned: Set[str]) -> None:
        self._mosaic, self._ledger, self._lattice, self._planned = mosaic, ledger, lattice, planned
        self._blocks: OrderedDict[Block, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = OrderedDict()
        self._markers: dict[Block, dict[str, Any] | None] = {}
        self._scenes: dict[SceneRef, int] = {}
        self.lost: set[str] = set()  # planned blocks that were asked for and could not be read

    def read(self, window: PixelWindow) -> tuple[MosaicWindow, tuple[SceneRef, ...], tuple[str, ...]]:
        """(window of the mosaic, the scenes its numbers mean, sensors used in its blocks)."""
        probability = np.full(window.shape, NOT_OBSERVED, dtype=np.uint8)
        scene = np.full(window.shape, -1, dtype=np.int32)
        missing: list[tuple[str, str]] = []
        sensors: set[str] = set()
        for block in self._lattice.blocks(window):
            if block.name not in self._planned:
                continue
            marker = self._marker(block)
            if marker is None:
                missing.append((block.name, self._why(block)))
                continue
            sensors |= set(marker["sensors"])
            try:
                stored, numbered = self._block(block, int(marker["pixels"]), len(marker["scenes"]))
            except PoisonError as error:
                missing.append((block.name, str(error)))
                continue
            whole = self._lattice.block_window(block)
            inside = window.intersect(whole)
            here, there = inside.slices(window), inside.slices(whole)
            probability[here] = stored[there]
            scene[here] = self._numbers(marker)[numbered[there]]
        self.lost |= {name for name, _ in missing}
        return (
            MosaicWindow(probability, scene, tuple(missing)),
            tuple(self._scenes),
            tuple(sorted(sensors)),
        )

    def _marker(self, block: Block) -> dict[str, Any] | None:
        if block not in self._markers:
            self._markers[block] = self._ledger.read("map", block.name)
        return self._markers[block]

    def _why(self, block: Block) -> str:
        failure = self._ledger.failure("map", block.name)
        return failure.message if failure else "it has no commit"

    def _numbers(self, marker: dict[str, Any]) -> NDArray[np.int32]:
        """Scene number within the block → index into the scenes of this reader; 0 → −1."""
        refs = [SceneRef(s["id"], dt.date.fromisoformat(s["date"]), s["sensor"]) for s in marker["scenes"]]
        return np.array([-1, *(self._scenes.setdefault(ref, len(self._scenes)) for ref in refs)], dtype=np.int32)

    def _block(self, block: Block, pixels: int, n_scenes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if block not in self._blocks:
            stored, numbered = self._mosaic.read_block(self._lattice, block)
            # An absent shard reads as fill, which must not pass for "not observed"; every committed scene occurs.
            found, highest = int(np.count_nonzero(stored != NOT_OBSERVED)), int(numbered.max())
            if (found, highest) != (pixels, n_scenes):
                raise PoisonError(
                    f"{self._mosaic.url} {block.name}",
                    found=f"{found} mapped pixels of {highest} scenes",
                    expected=f"{pixels} of {n_scenes}, as committed",
                    fix=_MAP_AGAIN,
                )
            self._blocks[block] = stored, numbered
            while len(self._blocks) * 2 * self._lattice.block_px**2 > _CACHE_BYTES and len(self._blocks) > 1:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block)
        return self._blocks[block]
