"""Tile windows: chips cut from tile stores, where inventories say what is glacier.

Glaciers are drawn by area to a power, so that neither the few large nor the countless small ones are all that is seen;
a part of the windows lies beside glaciers, where false positives are made. Sensors come from their own resolution onto
the grid of the chips exactly as the mapper brings them there. A sensor that the store lacks is left out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from core.errors import ConfigError
from core.grid import Block, Lattice, PixelWindow, Zone
from core.inventory import read_inventory
from core.resample import on_lattice, source_window
from core.sensors import sensor
from core.tiles import TileStore
from core.train.chip import Chip
from core.train.infrared import infrared_table, with_infrared
from core.train.labels import OutlineRules, hillshade, outline_labels, weak_surfaces

_MARGIN_M = 5000.0


@dataclass(frozen=True)
class TileWindows:
    """name: of the site, in scores; store: URL of a tile store; epochs: (sensor, epoch) of what to read; year: decimal,
    of the images; inventory: files; regions: only glaciers of those, if any; anchor: windows lie where this sensor has
    tiles; res_m, size_px: of the chips; exclude: west, south, east, north in degrees of ground that is kept for tests,
    neither seen nor labelled; area_power: 0 draws every glacier alike, 1 every km² alike; beside: share of the windows
    that are up to two windows off a glacier; min_km2: smaller glaciers are labelled but not aimed at; weak_classes:
    surfaces by rules; sun: its azimuth and elevation in the images, degrees: with a `dem` those rules then know shade;
    infrared: folder of points that short-wave bands which the image lacks are IMPUTED from (`core.train.infrared`).
    """

    name: str
    store: str
    epochs: tuple[tuple[str, str], ...]
    year: float
    inventory: tuple[str, ...]
    res_m: int
    size_px: int
    regions: tuple[str, ...] = ()
    exclude: tuple[tuple[float, float, float, float], ...] = ()
    anchor: str = "optical"
    area_power: float = 0.5
    beside: float = 0.15
    min_km2: float = 0.05
    weak_classes: bool = False
    sun: tuple[float, float] | None = None
    infrared: str | None = None
    rules: OutlineRules = field(default_factory=OutlineRules)
    backend: str = "obstore"

    def draw(self, rng: np.random.Generator) -> Chip:
        site = self._sites
        at = int(rng.choice(len(site.glaciers), p=site.chance))
        zone = Zone(str(site.glaciers["zone"].iloc[at]))
        xmin, ymin, xmax, ymax = shapely.bounds(site.projected[at])
        x, y = rng.uniform(xmin, xmax), rng.uniform(ymin, ymax)
        if rng.random() < self.beside:
            x, y = (v + self.size_px * self.res_m * rng.uniform(-2, 2) for v in (x, y))
        row, col = Lattice(zone, self.res_m).to_pixels(np.array([x]), np.array([y]))
        half = self.size_px // 2
        first_row, first_col = int(row[0]) - half, int(col[0]) - half
        window = PixelWindow(first_row, first_row + self.size_px, first_col, first_col + self.size_px)
        return self.chip(zone, window, str(site.glaciers["o1region"].iloc[at]))

    def chip(self, zone: Zone, window: PixelWindow, region: str = "") -> Chip:
        """The chip of any window of a zone's lattice."""
        lattice = Lattice(zone, self.res_m)
        store = _store(self.store, self.backend)
        values = {}
        for name, epoch in self.epochs:
            if not any(block.startswith(zone.name) for block in _committed(self.store, self.backend, epoch, name)):
                continue
            source = store.lattice(epoch, zone, name)
            have = source_window(lattice, window, source)
            read = store.read(epoch, zone, name, have, sensor(name).band_names)
            found = on_lattice(read.values, name, source, have, lattice, window)
            if np.isfinite(found).any():
                values[name] = np.ascontiguousarray(found, dtype=np.float32)
        outlines, years = self._near(zone, lattice, window)
        labels = outline_labels(outlines, years, self.year, lattice, window, self.rules)
        x, y = np.meshgrid(*lattice.centres_m(window))
        lon, lat = zone.unproject_points(x.ravel(), y.ravel())
        hidden = np.zeros(len(lon), dtype=bool)
        for west, south, east, north in self.exclude:
            hidden |= (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
        kept_for_tests = hidden.reshape(window.shape)
        glacier = np.where(kept_for_tests, np.float32(np.nan), labels.glacier)
        values = {name: np.where(kept_for_tests, np.float32(np.nan), v) for name, v in values.items()}
        if self.infrared and "optical" in values:
            values["optical"] = with_infrared(values["optical"], infrared_table(self.infrared))
        middle = len(lon) // 2 + window.shape[1] // 2
        return Chip(
            values,
            glacier,
            weak_surfaces(values, glacier, self._incidence(values)) if self.weak_classes else None,
            float(self.res_m),
            f"{self.name}:{zone.name}-{window.row0}-{window.col0}",
            region,
            float(lat[middle]),
            float(lon[middle]),
            max(labels.weight, 0.05),
        )

    def _incidence(self, values: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32] | None:
        if self.sun is None or "dem" not in values:
            return None
        return hillshade(values["dem"][sensor("dem").band_index("elevation_m")], self.res_m, *self.sun)

    def longitudes(self) -> NDArray[np.float64]:
        """Of the glaciers that are aimed at, degrees."""
        return np.asarray(self._sites.glaciers["cenlon"], dtype=np.float64)

    @cached_property
    def _sites(self) -> _Sites:
        return _sites(self)

    def _near(
        self, zone: Zone, lattice: Lattice, window: PixelWindow
    ) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
        """Outlines, of whatever home zone, that may reach into the window or its ring, in the metres of the zone."""
        glaciers = self._sites.all
        xmin, ymin, xmax, ymax = lattice.bounds_m(window.pad(int(_MARGIN_M / self.res_m)))
        lon, lat = zone.unproject_points(np.array([xmin, xmin, xmax, xmax]), np.array([ymin, ymax, ymin, ymax]))
        if lon.max() - lon.min() > 180:  # across 180°, where the table is continuous on either side
            lon = np.where(lon < 0, lon + 360, lon)
        found = np.unique(
            np.concatenate(
                [
                    glaciers.sindex.query(shapely.box(lon.min() + k, lat.min(), lon.max() + k, lat.max()))
                    for k in (-360, 0, 360)
                ]
            )
        ).astype(np.int64)
        rows = glaciers.iloc[found]
        return zone.project(rows.geometry.to_numpy()), _years(rows)


@dataclass(frozen=True, eq=False)
class _Sites:
    """glaciers: those to aim at, with their chance and their outlines in their zones; all: every outline."""

    glaciers: gpd.GeoDataFrame
    projected: NDArray[np.object_]
    chance: NDArray[np.float64]
    all: gpd.GeoDataFrame


@lru_cache(maxsize=8)
def _sites(source: TileWindows) -> _Sites:
    table = read_inventory(list(source.inventory), None).glaciers
    table = table[table.geometry.notna()].reset_index(drop=True)
    epoch = dict(source.epochs).get(source.anchor)
    if epoch is None:
        raise ConfigError("data.epochs", found=str(dict(source.epochs)), expected=f"the epoch of {source.anchor!r}")
    tiles = _committed(source.store, source.backend, epoch, source.anchor)
    chosen = table[table["geometry_area_km2"] >= source.min_km2]
    if source.regions:
        chosen = chosen[chosen["o1region"].isin(source.regions)]
    places = zip(chosen["zone"], chosen["cenlon"], chosen["cenlat"], strict=True)
    covered = np.array([_block(zone, lon, lat) in tiles for zone, lon, lat in places], dtype=bool)
    chosen = chosen[covered]
    if chosen.empty:
        raise ConfigError(
            source.store,
            found=f"{len(tiles)} tiles of {source.anchor} in epoch {epoch}, none under a glacier that is asked for",
            expected="glaciers of the inventory where there are tiles",
            fix="`icefleet ingest` a configuration with this inventory first",
        )
    projected = np.empty(len(chosen), dtype=object)
    for zone in chosen["zone"].unique():
        here = (chosen["zone"] == zone).to_numpy()
        projected[here] = Zone(str(zone)).project(chosen.geometry.to_numpy()[here])
    chance = chosen["geometry_area_km2"].to_numpy(np.float64) ** source.area_power
    return _Sites(chosen, projected, chance / chance.sum(), table)


def _block(zone: str, lon: float, lat: float) -> str:
    x, y = Zone(zone).project_points(np.array([lon]), np.array([lat]))
    lattice = Lattice(Zone(zone), 120)
    row, col = lattice.to_pixels(x, y)
    return Block(Zone(zone), int(row[0] // lattice.block_px), int(col[0] // lattice.block_px)).name


def _years(rows: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """Decimal years of the outlines, NaN where no date is stated."""
    dates = rows["src_date"].to_numpy()
    return np.array(
        [d.year + (d.timetuple().tm_yday - 0.5) / 365.25 if isinstance(d, dt.date) else np.nan for d in dates]
    )


@lru_cache(maxsize=8)
def _store(url: str, backend: str) -> TileStore:
    return TileStore(url, backend)


@lru_cache(maxsize=64)
def _committed(url: str, backend: str, epoch: str, name: str) -> frozenset[str]:
    """Names of the blocks that have tiles, listed once."""
    return frozenset(_store(url, backend).committed(epoch, name))
