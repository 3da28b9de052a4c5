"""The mosaic: probability and scene of every mapped pixel, one Zarr group per zone, one shard per block.

Written whole blocks at a time by whoever mapped them; readers follow the commit markers of the run, so a block
without one does not exist, whatever bytes lie there. `xr.open_zarr` opens it with coordinates and CRS.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Set
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import PoisonError, SystemicError
from core.grid import Block, Lattice, PixelWindow
from core.layout import RunLayout
from core.ledger import Ledger
from core.measure import MosaicWindow
from core.objects import Backend, Objects, zarr_location
from core.shards import BlockArray, group_objects, put_shard
from core.stitch import LEVELS, NOT_OBSERVED
from core.tiles import SceneRef
from core.tiles.arrays import SteadyArray, open_steady, zarr_errors
from core.urls import join_url

PROBABILITY, SCENE, SPREAD = "probability", "scene", "spread"
_CACHE_BYTES = 1 << 29
_MAP_AGAIN = "`icefleet retry` and the next run map the block again"


class MosaicBlock(NamedTuple):
    """One block, all (h, w) uint8. probability and spread as `core.stitch` encodes them; scene: number in the commit
    marker; spread: None where the model has one vote."""

    probability: NDArray[np.uint8]
    scene: NDArray[np.uint8]
    spread: NDArray[np.uint8] | None = None


class Mosaic:
    """The probability mosaics of one run. Construct one inside each process. spread: whether there is one."""

    def __init__(self, run_url: str, backend: Backend = "obstore", *, spread: bool = False) -> None:
        self._objects = Objects(run_url)
        self.url, self.backend = self._objects.url, backend
        self._names = (PROBABILITY, SCENE, SPREAD) if spread else (PROBABILITY, SCENE)
        self._open: dict[Lattice, tuple[SteadyArray, ...]] = {}

    def write_block(
        self,
        lattice: Lattice,
        block: Block,
        probability: NDArray[np.uint8],
        scene: NDArray[np.uint8],
        spread: NDArray[np.uint8] | None = None,
    ) -> None:
        """Write the shards of a block. Raises SystemicError, before any byte, if a shape is not the block's, or if
        there is a spread where the mosaic has none or the other way round."""
        window = lattice.block_window(block)
        given = {PROBABILITY: probability, SCENE: scene} | ({} if spread is None else {SPREAD: spread})
        if tuple(given) != self._names:
            raise SystemicError(f"mosaic of {block.name}", found=", ".join(given), expected=", ".join(self._names))
        for name, array in given.items():
            if array.shape != window.shape or array.dtype != np.uint8 or block.zone != lattice.zone:
                raise SystemicError(
                    f"{name} of {block.name}",
                    found=f"{array.dtype} {array.shape}",
                    expected=f"uint8 {window.shape} on {lattice}",
                )
        key, chunk = RunLayout.probability(lattice.zone), (block.row, block.col)
        for stored, (name, array) in zip(self._arrays(lattice, create=True), given.items(), strict=True):
            put_shard(self._objects, f"{key}/{name}", stored, chunk, array)

    def read_block(self, lattice: Lattice, block: Block) -> MosaicBlock:
        """A committed block. Raises PoisonError if its bytes are gone or corrupt."""
        window = lattice.block_window(block)
        where = slice(window.row0, window.row1), slice(window.col0, window.col1)
        arrays = self._arrays(lattice, create=False)
        with zarr_errors(f"{self.url} {block.name}", fix=_MAP_AGAIN):
            return MosaicBlock(*(np.asarray(array[where], np.uint8) for array in arrays))

    def _arrays(self, lattice: Lattice, *, create: bool) -> tuple[SteadyArray, ...]:
        if lattice not in self._open:
            key = RunLayout.probability(lattice.zone)
            wanted = [array for array in _ARRAYS if array.name in self._names]
            if create and self._objects.get_or_none(f"{key}/zarr.json") is None:
                for name, data in group_objects(key, lattice, wanted, {"title": "probability of glacier"}).items():
                    self._objects.create(name, data)
            store, path = zarr_location(self.url, key, self.backend)
            where = join_url(self.url, key)
            try:
                _, arrays = open_steady(store, path, self._names, where)
            except FileNotFoundError as error:
                raise PoisonError(where, found="no mosaic", expected="the arrays that mapping wrote") from error
            self._open[lattice] = tuple(arrays)
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
    BlockArray(
        SPREAD,
        "uint8",
        NOT_OBSERVED,
        {
            "long_name": f"standard deviation of the probability among the votes of the model × {LEVELS}",
            "units": "1",
            "scale_factor": 1 / LEVELS,
            "_FillValue": NOT_OBSERVED,
        },
    ),
)


class MosaicReader:
    """Windows of the mosaic across blocks, for one measuring unit: every block is fetched once, then kept a while.

    planned: names of the blocks of the plan. What lies outside them was not mapped on purpose and reads as not
    observed; a planned block without a commit is reported as missing.
    """

    def __init__(self, mosaic: Mosaic, ledger: Ledger, lattice: Lattice, planned: Set[str]) -> None:
        self._mosaic, self._ledger, self._lattice, self._planned = mosaic, ledger, lattice, planned
        self._blocks: OrderedDict[Block, MosaicBlock] = OrderedDict()
        self._markers: dict[Block, dict[str, Any] | None] = {}
        self._scenes: dict[SceneRef, int] = {}
        self.lost: set[str] = set()  # planned blocks that were asked for and could not be read

    def read(self, window: PixelWindow) -> tuple[MosaicWindow, tuple[SceneRef, ...], tuple[str, ...]]:
        """(window of the mosaic, the scenes its numbers mean, sensors used in its blocks)."""
        probability = np.full(window.shape, NOT_OBSERVED, dtype=np.uint8)
        scene = np.full(window.shape, -1, dtype=np.int32)
        spread: NDArray[np.uint8] | None = None
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
                stored, numbered, apart = self._block(block, int(marker["pixels"]), len(marker["scenes"]))
            except PoisonError as error:
                missing.append((block.name, str(error)))
                continue
            whole = self._lattice.block_window(block)
            inside = window.intersect(whole)
            here, there = inside.slices(window), inside.slices(whole)
            probability[here] = stored[there]
            scene[here] = self._numbers(marker)[numbered[there]]
            if apart is not None:
                spread = np.full(window.shape, NOT_OBSERVED, dtype=np.uint8) if spread is None else spread
                spread[here] = apart[there]
        self.lost |= {name for name, _ in missing}
        return (
            MosaicWindow(probability, scene, tuple(missing), spread),
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

    def _block(self, block: Block, pixels: int, n_scenes: int) -> MosaicBlock:
        if block not in self._blocks:
            fetched = self._mosaic.read_block(self._lattice, block)
            # An absent shard reads as fill, which must not pass for "not observed"; every committed scene occurs.
            told = [array for array in (fetched.probability, fetched.spread) if array is not None]
            counts = [int(np.count_nonzero(array != NOT_OBSERVED)) for array in told]
            highest = int(fetched.scene.max())
            if {*counts} != {pixels} or highest != n_scenes:
                raise PoisonError(
                    f"{self._mosaic.url} {block.name}",
                    found=f"{min(counts)} mapped pixels of {highest} scenes",
                    expected=f"{pixels} of {n_scenes}, as committed",
                    fix=_MAP_AGAIN,
                )
            self._blocks[block] = fetched
            while len(self._blocks) * len(fetched) * self._lattice.block_px**2 > _CACHE_BYTES and len(self._blocks) > 1:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block)
        return self._blocks[block]
