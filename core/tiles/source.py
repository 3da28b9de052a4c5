"""Where the mapper gets the tiles of a sensor from: a store, scenes that are read on the fly (`core.ingest.virtual`),
or nowhere, because the run has none of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.grid import Lattice, PixelWindow, Zone
from core.sensors import sensor as registered
from core.tiles.read import TileRead
from core.tiles.store import TileStore


class TileSource(Protocol):
    """The tiles of one sensor in one zone."""

    @property
    def lattice(self) -> Lattice: ...

    def read(self, window: PixelWindow, bands: Sequence[str]) -> TileRead:
        """Any window of the lattice, as `TileStore.read`."""
        ...


@dataclass(frozen=True)
class StoredTiles:
    """Tiles that were ingested. res_m: of the lattice."""

    store: TileStore
    epoch: str
    zone: Zone
    sensor: str
    res_m: int

    @property
    def lattice(self) -> Lattice:
        return Lattice(self.zone, self.res_m)

    def read(self, window: PixelWindow, bands: Sequence[str]) -> TileRead:
        return self.store.read(self.epoch, self.zone, self.sensor, window, bands)


@dataclass(frozen=True)
class NoTiles:
    """A sensor that a run has nothing of: not observed anywhere."""

    sensor: str
    lattice: Lattice

    def read(self, window: PixelWindow, bands: Sequence[str]) -> TileRead:
        for band in bands:
            registered(self.sensor).band_index(band)
        values = np.full((len(bands), *window.shape), np.nan, dtype=np.float32)
        return TileRead(window, tuple(bands), values, np.full(window.shape, -1, dtype=np.int16), ())
