"""Tiles that are made when they are read: archives are mapped from where they lie, and no copy is stored.

The same composer, the same fixed tiles and the same encoding as ingest, so a virtual tile holds the numbers that a
stored one would; only where scenes of a block have different bands does a stored block keep those that all have, and
a virtual one those that all of a tile have. Where the raster is on the lattice already, its pixels pass through
unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.config import Config
from core.grid import Block, Lattice, PixelWindow, Zone
from core.ingest.compose import BlockComposer
from core.ingest.recipe import native_res_m
from core.search.store import BlockScenes
from core.sensors import sensor as registered
from core.stopwatch import Stopwatch
from core.tiles import SceneRef, TileRead
from core.tiles.encoding import decode, encode


class VirtualTiles:
    """One sensor of one zone. found_of: what a search found for a block; outlines_m: for ranking, see `ingest_block`.

    A scene that cannot be read is an error here, searched or not: half of a block may have been mapped with it.
    """

    def __init__(
        self,
        config: Config,
        sensor: str,
        zone: Zone,
        found_of: Callable[[Block], BlockScenes | None],
        outlines_m: NDArray[np.object_],
        watch: Stopwatch | None = None,
    ) -> None:
        self._config, self._sensor, self._found_of, self._outlines_m = config, sensor, found_of, outlines_m
        self.lattice = Lattice(zone, native_res_m(config, sensor))
        self._watch = watch or Stopwatch()

    def read(self, window: PixelWindow, bands: Sequence[str]) -> TileRead:
        """Any window. bytes_read: of source pixels, as decoded. Raises PoisonError naming file and block."""
        entry = registered(self._sensor)
        wanted = [entry.band_index(band) for band in bands]
        values = np.full((len(wanted), *window.shape), np.nan, dtype=np.float32)
        scene = np.full(window.shape, -1, dtype=np.int16)
        number_of: dict[SceneRef, int] = {}
        n_bytes = 0
        for block in [] if window.empty else self.lattice.blocks(window):
            composer = BlockComposer(
                self._config, self._sensor, block, self._found_of(block), self._outlines_m, self._watch
            )
            with composer:
                for tile, made, number in composer.composites(list(composer.tiles(window))):
                    present = [k for k in range(len(entry.bands)) if np.isfinite(made[k][number > 0]).all()]
                    stored, _ = encode(made, number > 0, present, entry)
                    piece = tile.intersect(window)
                    here, there = piece.slices(tile), piece.slices(window)
                    seen = number[here] > 0
                    for k, band in enumerate(wanted):
                        if band in present:
                            plane = decode(stored[band][here], entry)
                            np.copyto(values[k][there], plane, where=seen)
                    refs = composer.scenes
                    index = np.full(len(refs) + 1, -1, dtype=np.int16)
                    for n in np.flatnonzero(np.bincount(number[here].ravel(), minlength=len(refs) + 1)[1:]):
                        index[n + 1] = number_of.setdefault(refs[n], len(number_of))
                    scene[there] = index[number[here]]
                n_bytes += composer.bytes_read
        return TileRead(window, tuple(bands), values, scene, tuple(number_of), n_bytes)
