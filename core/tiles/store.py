"""The tile store: whole blocks in, windows out.

Promises: a block is written whole, by aligned shards, and exists from the moment its marker does; the first commit
wins and later ones get its marker; a read touches each shard region once and gives either numbers whose checksums
match, `not observed`, or an error. Construct one inside each process; it pickles as its URL.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import SystemicError, TransientError
from core.grid import Block, Lattice, PixelWindow, Zone
from core.layout import TileLayout
from core.objects import Backend, Objects, zarr_location
from core.sensors import Sensor
from core.sensors import sensor as registered
from core.shards import put_shard
from core.tiles.arrays import OpenArrays, open_arrays
from core.tiles.encoding import encode
from core.tiles.group import SCENE, tile_objects
from core.tiles.marker import MAX_SCENES, RejectedScene, SceneRef, SceneScore, TileMarker
from core.tiles.read import TileRead, read_window
from core.tiles.recipe import check_recipe, recipe_text
from core.urls import join_url

_MARKER_READERS = 32


class TileStore:
    """The tiles under one URL.

    backend: of the arrays, `obstore` or `fsspec`; markers and recipes always go through `Objects`.
    """

    def __init__(self, url: str, backend: Backend = "obstore") -> None:
        self._objects = Objects(url)
        self.url, self.backend = self._objects.url, backend
        self._arrays: dict[tuple[str, Zone, str], OpenArrays] = {}
        self._created: dict[tuple[str, Zone, str], str] = {}
        self._markers: dict[tuple[str, str, str], TileMarker] = {}
        self._lock = threading.Lock()
        zarr_location(self.url, "", backend, read_only=True)  # an unknown backend fails here and not in a worker

    def __reduce__(self) -> tuple[object, ...]:
        return (TileStore, (self.url, self.backend))

    def create(self, epoch: str, zone: Zone, sensor: str, res_m: int, recipe: Mapping[str, Any]) -> None:
        """Make sure that the arrays exist, made from `recipe` (JSON of what the tiles are made from).

        Idempotent, and safe from many processes at once. Raises ConfigError if the store already holds tiles of this
        epoch and sensor from another recipe or at another resolution.
        """
        entry, lattice = registered(sensor), Lattice(zone, res_m)
        text = recipe_text(sensor, res_m, recipe)
        if self._created.get((epoch, zone, sensor)) == text:
            return
        recipe_key, key = TileLayout.recipe(epoch, sensor), TileLayout.sensor(epoch, zone, sensor)
        if not self._objects.create(recipe_key, text.encode()):
            check_recipe(join_url(self.url, recipe_key), epoch, self._objects.get(recipe_key), text)
        if self._objects.get_or_none(f"{key}/zarr.json") is None:
            for name, data in tile_objects(key, lattice, entry).items():
                self._objects.create(name, data)
        self._created[epoch, zone, sensor] = text

    def write_block(
        self,
        epoch: str,
        sensor: str,
        block: Block,
        window: PixelWindow,
        values: NDArray[np.float32],
        scene: NDArray[np.uint8],
        *,
        scenes: Sequence[SceneRef],
        bands: Sequence[str] | None = None,
        rejected: Sequence[RejectedScene] = (),
        scores: Sequence[SceneScore] = (),
        bytes_read: int = 0,
    ) -> TileMarker:
        """Write one whole block and commit it; returns the marker that stands.

        window: the lattice pixels that `values` (band, h, w) float32 and `scene` (h, w) uint8 hold, which must be the
        block's; scene: 0 = not observed, k = scenes[k − 1]; bands: those present (default: all), the others are
        stored as fill. Where a pixel is observed every present band must be finite.
        If the block was committed before, nothing is written and that marker is returned; two writers at once are
        safe because ingest is deterministic: they put the same bytes. One object per array; none if nothing was
        observed. Raises SystemicError, before any byte is written, for anything misaligned or contradictory.
        """
        arrays = self._open(epoch, block.zone, sensor)
        present = sorted(_positions(arrays.sensor, bands))
        _check_block(arrays, block, window, values, scene, scenes, present)
        standing = self.marker(epoch, sensor, block)
        if standing is not None:
            return standing
        observed = scene > 0
        n_observed, clipped, size = int(np.count_nonzero(observed)), 0, 0
        if n_observed:
            stored, clipped = encode(values, observed, present, arrays.sensor)
            size = put_shard(self._objects, f"{arrays.key}/{sensor}", arrays.data, (0, block.row, block.col), stored)
            size += put_shard(self._objects, f"{arrays.key}/{SCENE}", arrays.scene, (block.row, block.col), scene)
        marker = TileMarker(
            block=block.name,
            epoch=epoch,
            sensor=sensor,
            res_m=arrays.lattice.res_m,
            bands=tuple(arrays.sensor.band_names[i] for i in present),
            scenes=tuple(scenes),
            observed_fraction=n_observed / scene.size,
            n_clipped=clipped,
            bytes=size,
            write_id=uuid.uuid4().hex,
            rejected=tuple(rejected),
            bytes_read=bytes_read,
            scores=tuple(scores),
        )
        return self._commit(marker, block)

    def marker(self, epoch: str, sensor: str, block: Block) -> TileMarker | None:
        """The marker of a block, None if it is not committed. Committed ones are remembered: they never change."""
        known = self._markers.get((epoch, sensor, block.name))
        if known is not None:
            return known
        key = TileLayout.commit(epoch, sensor, block)
        data = self._objects.get_or_none(key)
        if data is None:
            return None
        marker = TileMarker.from_json(data, join_url(self.url, key))
        self._markers[epoch, sensor, block.name] = marker
        return marker

    def committed(self, epoch: str, sensor: str) -> set[str]:
        """Names of the committed blocks of an epoch and sensor: one listing."""
        listed = self._objects.list(TileLayout.commits(epoch, sensor))
        return {key.rsplit("/", 1)[1].removesuffix(".json") for key, _ in listed}

    def markers(self, epoch: str, sensor: str) -> dict[str, TileMarker]:
        """Every committed block of an epoch and sensor by name: one listing, then one small read per new marker."""
        names = sorted(self.committed(epoch, sensor))
        with ThreadPoolExecutor(_MARKER_READERS) as pool:
            found = pool.map(lambda name: self.marker(epoch, sensor, Block.parse(name)), names)
            return {name: marker for name, marker in zip(names, found, strict=True) if marker is not None}

    def lattice(self, epoch: str, zone: Zone, sensor: str) -> Lattice:
        """The lattice of the tiles. Raises ConfigError if the store holds none."""
        return self._open(epoch, zone, sensor).lattice

    def read(
        self, epoch: str, zone: Zone, sensor: str, window: PixelWindow, bands: Sequence[str] | None = None
    ) -> TileRead:
        """Any window of the zone's lattice at the resolution of the tiles, across blocks and beyond the zone.

        bands: default all, in the order asked for. Memory: the window in float32 and once more as stored, the scene
        numbers of the blocks it touches (9 MB each at 10 m), and the compressed bytes of shards wholly inside it.
        Raises PoisonError naming the key for a corrupt or missing shard; ConfigError if the store holds no such
        tiles; TransientError and SystemicError as they come.
        """
        arrays = self._open(epoch, zone, sensor)
        wanted = _positions(arrays.sensor, bands)
        blocks = [] if window.empty else list(arrays.lattice.blocks(window))
        markers = [(block, self.marker(epoch, sensor, block)) for block in blocks]
        return read_window(arrays, window, wanted, [(b, m) for b, m in markers if m is not None])

    def _open(self, epoch: str, zone: Zone, sensor: str) -> OpenArrays:
        with self._lock:
            known = self._arrays.get((epoch, zone, sensor))
            if known is None:
                known = open_arrays(self.url, epoch, zone, sensor, self.backend)
                self._arrays[epoch, zone, sensor] = known
            return known

    def _commit(self, marker: TileMarker, block: Block) -> TileMarker:
        """Create-if-absent; a lost response is resolved by reading back, so no commit is reported in vain."""
        key = TileLayout.commit(marker.epoch, marker.sensor, block)
        try:
            if self._objects.create(key, marker.to_json()):
                return marker
        except TransientError:
            standing = self.marker(marker.epoch, marker.sensor, block)
            if standing is None:
                raise
            return standing
        return TileMarker.from_json(self._objects.get(key), join_url(self.url, key))


def _positions(sensor: Sensor, bands: Sequence[str] | None) -> list[int]:
    return [sensor.band_index(band) for band in (sensor.band_names if bands is None else bands)]


def _check_block(
    arrays: OpenArrays,
    block: Block,
    window: PixelWindow,
    values: NDArray[np.float32],
    scene: NDArray[np.uint8],
    scenes: Sequence[SceneRef],
    present: Sequence[int],
) -> None:
    """Everything that must hold before the first byte is written."""
    where, lattice = f"write of {block.name} to {arrays.key}", arrays.lattice
    whole, entry = lattice.block_window(block), arrays.sensor
    shape = (len(entry.bands), *whole.shape)
    if window != whole or not lattice.window.contains(whole):
        raise SystemicError(where, found=str(window), expected=f"the whole block {whole}, inside {lattice.window}")
    if values.shape != shape or scene.shape != shape[1:]:
        raise SystemicError(where, found=f"shapes {values.shape} and {scene.shape}", expected=f"{shape}, {shape[1:]}")
    if values.dtype != np.float32 or scene.dtype != np.uint8:
        raise SystemicError(where, found=f"{values.dtype} and {scene.dtype}", expected="float32 and uint8")
    if len(scenes) > MAX_SCENES or int(scene.max()) > len(scenes):
        raise SystemicError(
            where,
            found=f"{len(scenes)} scenes and the number {scene.max()}",
            expected=f"at most {MAX_SCENES} scenes, and no number beyond them",
        )
    observed = scene > 0
    bad = [entry.band_names[i] for i in present if not np.isfinite(values[i][observed]).all()]
    if bad:
        raise SystemicError(
            where,
            found=f"{bad[0]} not finite where a scene is named",
            expected="a number in every present band of an observed pixel",
        )
