"""Reading a window of tiles, across blocks and beyond the zone.

Each shard region is fetched once, and every pixel that a marker promises is checked: fill where a scene was observed
means that a shard is gone, which Zarr itself would pass off as data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.errors import PoisonError
from core.grid import Block, PixelWindow
from core.shards import INNER_PX
from core.tiles.arrays import INGEST_AGAIN, OpenArrays, zarr_errors
from core.tiles.encoding import decode, is_fill
from core.tiles.group import NOT_WRITTEN, SCENE
from core.tiles.marker import SceneRef, TileMarker
from core.urls import join_url

_READERS = 16


@dataclass(frozen=True, eq=False)
class TileRead:
    """A window of tiles.

    values: (band, h, w) float32, NaN where not observed or where the block lacks the band; scene: (h, w) int16,
    index into `scenes`, −1 = not observed; bytes_read: as decoded, of every chunk that was opened, whole.
    """

    window: PixelWindow
    bands: tuple[str, ...]
    values: NDArray[np.float32]
    scene: NDArray[np.int16]
    scenes: tuple[SceneRef, ...]
    bytes_read: int = 0

    @property
    def observed(self) -> NDArray[np.bool_]:
        return self.scene >= 0


def read_window(
    arrays: OpenArrays, window: PixelWindow, wanted: Sequence[int], committed: Sequence[tuple[Block, TileMarker]]
) -> TileRead:
    """Read the bands `wanted` (positions) of `window` from the committed blocks that it touches."""
    held = [(block, marker) for block, marker in committed if marker.observed_fraction > 0]
    scenes = tuple(dict.fromkeys(scene for _, marker in held for scene in marker.scenes))
    number = {scene: i for i, scene in enumerate(scenes)}
    out = TileRead(
        window,
        tuple(arrays.sensor.band_names[i] for i in wanted),
        np.full((len(wanted), *window.shape), np.nan, dtype=np.float32),
        np.full(window.shape, -1, dtype=np.int16),
        scenes,
    )
    with ThreadPoolExecutor(_READERS) as pool:
        planes = list(pool.map(lambda bm: _read_scene(arrays, *bm), held))
        futures = [
            pool.submit(
                _read_piece, arrays, block, marker, piece, _cut(plane, piece, block, arrays), number, wanted, out
            )
            for (block, marker), plane in zip(held, planes, strict=True)
            for piece in _pieces(arrays.lattice.block_window(block), window)
        ]
        n_bytes = sum(plane.nbytes for plane in planes) + sum(future.result() for future in futures)
    return replace(out, bytes_read=n_bytes)


def _cut(plane: NDArray[np.uint8], piece: PixelWindow, block: Block, arrays: OpenArrays) -> NDArray[np.uint8]:
    return plane[piece.slices(arrays.lattice.block_window(block))]


def _read_scene(arrays: OpenArrays, block: Block, marker: TileMarker) -> NDArray[np.uint8]:
    """The scene numbers of a whole block: a few kilobytes as stored, so one request is cheaper than its parts."""
    window = arrays.lattice.block_window(block)
    key = join_url(arrays.url, arrays.chunk_key(SCENE, (block.row, block.col)))
    with zarr_errors(key):
        scene = np.asarray(arrays.scene[window.row0 : window.row1, window.col0 : window.col1])
    highest = int(scene.max())
    if highest > len(marker.scenes):
        raise PoisonError(
            key,
            found="no such shard" if highest == NOT_WRITTEN else f"scene number {highest}",
            expected=f"the {len(marker.scenes)} scenes of its marker",
            fix=INGEST_AGAIN,
        )
    return scene


def _pieces(block: PixelWindow, window: PixelWindow) -> Iterator[PixelWindow]:
    """The part of a block that a window shares, in pieces that are read at once.

    A whole block is one request. Zarr fetches the inner chunks of a part one after the other, so a part goes by rows
    of inner chunks, which are then fetched side by side.
    """
    part = block.intersect(window)
    if part == block:
        yield part
        return
    first = block.row0 + (part.row0 - block.row0) // INNER_PX * INNER_PX
    for row in range(first, part.row1, INNER_PX):
        yield PixelWindow(max(row, part.row0), min(row + INNER_PX, part.row1), part.col0, part.col1)


def _read_piece(
    arrays: OpenArrays,
    block: Block,
    marker: TileMarker,
    piece: PixelWindow,
    scene: NDArray[np.uint8],
    number: Mapping[SceneRef, int],
    wanted: Sequence[int],
    out: TileRead,
) -> int:
    """Read one piece of one block into its place, and say how many bytes were decoded for it.

    Pieces are disjoint, so no lock is needed.
    """
    where = slice(piece.row0, piece.row1), slice(piece.col0, piece.col1)
    observed = scene > 0
    if not observed.any():
        return 0
    data_key = join_url(arrays.url, arrays.chunk_key(arrays.sensor.name, (0, block.row, block.col)))
    low, high = min(wanted, default=0), max(wanted, default=-1) + 1
    with zarr_errors(data_key):
        stored = np.asarray(arrays.data[(slice(low, high), *where)])
    rows, cols = piece.slices(out.window)
    for i, band in enumerate(wanted):
        if arrays.sensor.band_names[band] not in marker.bands:
            continue
        plane = stored[band - low]
        if (is_fill(plane, arrays.sensor) & observed).any():
            raise PoisonError(
                data_key,
                found="no such shard, or fill where a scene was observed",
                expected="the values that its marker promises",
                fix=INGEST_AGAIN,
            )
        np.copyto(out.values[i, rows, cols], decode(plane, arrays.sensor), where=observed)
    lookup = np.array([-1, *(number[scene_ref] for scene_ref in marker.scenes)], dtype=np.int16)
    out.scene[rows, cols] = lookup[scene]
    return _decoded_bytes(arrays, arrays.lattice.block_window(block), piece) if wanted else 0


def _decoded_bytes(arrays: OpenArrays, block: PixelWindow, piece: PixelWindow) -> int:
    """Bytes of the inner chunks that a piece touches; each holds every band."""
    rows = (piece.row1 - block.row0 - 1) // INNER_PX - (piece.row0 - block.row0) // INNER_PX + 1
    cols = (piece.col1 - block.col0 - 1) // INNER_PX - (piece.col0 - block.col0) // INNER_PX + 1
    pixel = len(arrays.sensor.bands) * arrays.sensor.numpy_dtype.itemsize
    return rows * cols * INNER_PX**2 * pixel
