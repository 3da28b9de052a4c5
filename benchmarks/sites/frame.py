"""Frame: a real scene with its outlines, ingested like any other and mapped by the mapper itself.

Scenes go through the real ingest into a tile store; a frame is then mapped block by block by `core.mapping`, blended
and stored in 254 steps as in every run. Only the ground that is mapped differs: a run keeps what is near outlines, a
frame is mapped whole, so that no outline helps a model, and what the buffer of a run would add is a score of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import yaml
from numpy.typing import NDArray

from core.config import Config, load_config
from core.grid import Lattice, PixelWindow, Zone
from core.inventory import read_inventory
from core.mapping import map_block, near_outlines
from core.models.protocol import Model
from core.prepare import prepare
from core.stitch import decode
from core.tiles import NoTiles, StoredTiles, TileSource, TileStore
from core.train.chip import Chip
from core.train.labels import OutlineRules
from core.train.tile_windows import TileWindows
from jobs.run import execute

Float32 = NDArray[np.float32]
RES_M = 30
BUFFER_M = 300.0
# Every outline counts whatever its date, and to its edge: a score hides nothing.
_AS_DRAWN = OutlineRules(ring_m=0.0, retreat_m_per_year=0.0, years=1e6)


@dataclass(frozen=True, eq=False)
class Frame:
    """config: of the run that filled the store; window: of the scene, on the lattice of 30 m; sensors: those in the
    store."""

    site: str
    config: Config
    zone: Zone
    window: PixelWindow
    sensors: tuple[str, ...]

    @property
    def lattice(self) -> Lattice:
        return Lattice(self.zone, RES_M)

    @cached_property
    def tiles(self) -> TileWindows:
        return TileWindows(
            name=self.site,
            store=self.config.tiles,
            epochs=tuple((name, self.config.epoch_of(name)) for name in self.sensors),
            year=self.config.year + 0.7,
            inventory=tuple(self.config.inventory),
            res_m=RES_M,
            size_px=max(self.window.shape),
            rules=_AS_DRAWN,
        )

    @cached_property
    def chip(self) -> Chip:
        """The whole frame: what the sensors saw, and the share of glacier of every pixel by the outlines."""
        return self.tiles.chip(self.zone, self.window)

    def window_chip(self, size_px: int) -> Chip:
        """A window of a net around the middle of the frame."""
        row = (self.window.row0 + self.window.row1 - size_px) // 2
        col = (self.window.col0 + self.window.col1 - size_px) // 2
        return self.tiles.chip(self.zone, PixelWindow(row, row + size_px, col, col + size_px))

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Pixels with an optical observation."""
        return np.asarray(np.isfinite(self.chip.values["optical"]).any(axis=0))

    @cached_property
    def share(self) -> Float32:
        """(h, w) share of glacier where the frame was observed, else NaN."""
        return np.where(self.seen, self.chip.glacier, np.float32(np.nan))

    @cached_property
    def outlines(self) -> NDArray[np.object_]:
        glaciers = read_inventory(list(self.config.inventory), None).glaciers
        projected: NDArray[np.object_] = self.zone.project(glaciers.geometry.dropna().to_numpy())
        return projected

    @cached_property
    def near(self) -> NDArray[np.bool_]:
        """Pixels that a run with the buffer of 300 m would map."""
        return near_outlines(self.outlines, self.lattice, self.window, BUFFER_M)

    def inside(self, west: float, south: float, east: float, north: float) -> NDArray[np.bool_]:
        """Pixels whose centre lies in a box of degrees."""
        x, y = np.meshgrid(*self.lattice.centres_m(self.window))
        lon, lat = (v.reshape(x.shape) for v in self.zone.unproject_points(x.ravel(), y.ravel()))
        return np.asarray((lon >= west) & (lon <= east) & (lat >= south) & (lat <= north))

    def map(self, model: Model, sensors: Sequence[str]) -> Float32:
        """(h, w) probability of glacier as a run with those sensors alone stores it, NaN where it tells none.

        Remembered, because tables and pictures ask for the same maps.
        """
        asked = model.spec.digest, tuple(sensors)
        if asked not in self._maps:
            self._maps[asked] = self._mapped(model, sensors)
        return self._maps[asked]

    @cached_property
    def _maps(self) -> dict[tuple[str, tuple[str, ...]], Float32]:
        return {}

    def _mapped(self, model: Model, sensors: Sequence[str]) -> Float32:
        store = TileStore(self.config.tiles, self.config.storage.backend)
        there = set(sensors) & set(self.sensors)

        def source(name: str) -> TileSource:
            if name not in there:
                return NoTiles(name, self.lattice)
            return StoredTiles(store, self.config.epoch_of(name), self.zone, name, RES_M)

        sources = {need.sensor: source(need.sensor) for need in model.spec.needs}
        # The frame itself stands for the outlines: all of it is mapped, and nothing else.
        ground = np.array([shapely.box(*self.lattice.bounds_m(self.window))], dtype=object)
        out = np.full(self.window.shape, np.nan, np.float32)
        for block in self.lattice.blocks(self.window):
            mapped = map_block(block, self.lattice, ground, sources, model, buffer_m=0.0, batch=8)
            whole = self.lattice.block_window(block)
            part = self.window.intersect(whole)
            out[part.slices(self.window)] = decode(mapped.probability)[part.slices(whole)]
        return np.where(self.seen, out, np.float32(np.nan))


def ingest(folder: Path, keys: dict[str, Any]) -> Config:
    """Write a configuration, fill its tile store with all sensors of it, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{keys['name']}.yaml"
    path.write_text(yaml.safe_dump(keys, sort_keys=False), encoding="utf-8")
    config = load_config(path)
    driven = execute(prepare(config), ingest_only=True, quiet=True)
    if not driven.clean:
        raise RuntimeError(f"{path}: ingest failed, see {config.output}")
    return config


def outline_dates(frame: Frame) -> str:
    """When the outlines in the frame were drawn, for the notes of a table: `2000-10-30 to 2009-01-01, 3 undated`."""
    glaciers = read_inventory(list(frame.config.inventory), None).glaciers
    area = shapely.box(*frame.lattice.bounds_m(frame.window))
    geometry = glaciers.geometry.to_numpy()
    told = ~shapely.is_missing(geometry)
    hit = np.zeros(len(glaciers), dtype=bool)
    hit[told] = shapely.intersects(frame.zone.project(geometry[told]), area)
    values = list(glaciers["src_date"][hit])
    dates = sorted(d for d in values if isinstance(d, dt.date) and d == d)
    undated = len(values) - len(dates)
    span = f"{dates[0]} to {dates[-1]}" if dates else "no dates"
    return f"{len(values)} outlines, {span}" + (f", {undated} undated" if undated else "")
