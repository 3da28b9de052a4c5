"""A SIMULATED landscape in three years as files that `icefleet run` takes, with the truth of every glacier.

    python -m benchmarks.history_world SEED FOLDER [--site himalaya] [--px 1024]

Promise: the landscape lies pixel for pixel on one block of the lattice, in the zone of its place, so that no number of
the truth is resampled; the inventory is that of the first year and the same for every run; the truth is the ellipsoidal
area of the outlines themselves. Glaciers that the border cuts are in the inventory, so that nobody takes their ice for
an advance of others, but in a second-order region of their own (`CUT`) and not in the truth. A folder that is complete
is opened as it is. Landscapes are those of `core.simulate.history`, whose later years are drawn each by itself and may
number glaciers otherwise; here a later outline is what is left of the first one. The years share terrain and rock, as
real ones do, and each has a day and noise of its own. Nothing here shows a real place.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import yaml
from affine import Affine
from numpy.typing import NDArray

from benchmarks.history_images import REFLECTANCE, SENSORS, dem_year, image_path, write_images
from core.errors import ConfigError
from core.grid import Block, Lattice, PixelWindow, Zone
from core.grid.lattice import BLOCK_M, TOP_M
from core.grid.zone import home_zone, home_zones
from core.ingest import ingest_oracle_block
from core.prepare import Prepared
from core.sensors import sensor as registered
from core.simulate.glacier import Ice
from core.simulate.land.ice import YEARS
from core.simulate.land.land import Land, build_land
from core.simulate.land.place import Place
from core.simulate.outline import Outlines, draw_outlines
from core.simulate.site import Site
from core.simulate.tables import site_tables
from core.tiles import TileStore

RES_M = 30
WHOLE, CUT = "01", "02"  # second-order regions of glaciers inside the landscape and of those that its border cuts
_INVENTORY, _TRUTH, _OUTLINES, _WORLD = "outlines.gpkg", "truth.parquet", "outlines.parquet", "world.json"
_SMALLEST_KM2 = 0.15  # as `core.simulate.history` divides the ice
_SLIVER_M2 = 1.0


@dataclass(frozen=True)
class HistoryWorld:
    """folder: absolute; archetype: kind of mountains; dates: of the images, one per year, none without images."""

    folder: Path
    seed: int
    archetype: str
    region: str
    block: Block
    dates: dict[int, dt.date]

    @property
    def inventory(self) -> Path:
        """Outlines of the first year, columns of RGI 7."""
        return self.folder / _INVENTORY

    def truth(self) -> gpd.GeoDataFrame:
        """A row per whole glacier and year: rgi_id, year, area_km2 (ellipsoidal), area_debris_km2, simulated, geometry
        (EPSG:4326, empty when it is gone)."""
        return gpd.read_parquet(self.folder / _TRUTH)

    @property
    def o2region(self) -> str:
        """Second-order region of the whole glaciers, whose sum the truth knows."""
        return f"{self.region}-{WHOLE}"

    def outlines_m(self, year: int) -> NDArray[np.object_]:
        """The outlines of a year in the metres of the zone, those that the border cuts included, as the inventory."""
        rows = gpd.read_parquet(self.folder / _OUTLINES).query("year == @year")
        return self.block.zone.project(np.asarray(rows.geometry.array, dtype=object))

    def write_config(self, year: int, model: str) -> Path:
        """The configuration of a run; model: oracle, band_ratio, debris_rule, … or checkpoint:PATH.

        Raises ConfigError for a year without images, unless the model is the oracle.
        """
        name, _, path = model.partition(":")
        if name != "oracle" and year not in self.dates:
            raise ConfigError(f"{self.folder}: year {year}", found="no images", expected=str(sorted(self.dates)))
        settings = {
            "name": f"history-{self.seed}",
            "simulated": True,
            "year": year,
            "inventory": [_INVENTORY],
            "output": "runs",
            "tiles": "tiles",
            "grid": {"res_m": RES_M},
            "model": {"name": name, **({"parameters": {"path": str(Path(path).resolve())}} if path else {})},
            # Coherence is a static product of one year; here each year has its own.
            "sensors": {
                name: {"res_m": RES_M, **({"epoch": str(year)} if name == "coherence" else {})} for name in SENSORS
            },
            "scenes": [self._scene(sensor, year) for sensor in SENSORS] if year in self.dates else [],
            "execution": {"workers": 1},
        }
        to = self.folder / f"{name}-{year}.yaml"
        to.write_text(f"# SIMULATED world {self.seed}\n{yaml.safe_dump(settings, sort_keys=False)}", encoding="utf-8")
        return to

    def _scene(self, sensor: str, year: int) -> dict[str, Any]:
        bands = registered(sensor).band_names[: 1 if sensor == "dem" else None]
        path, scale = image_path(sensor, year), {"scale": REFLECTANCE} if sensor == "optical" else {}
        file = {"path": path, "bands": {band: i for i, band in enumerate(bands, 1)}, **scale}
        date = self.dates[dem_year() if sensor == "dem" else year]
        return {"id": f"SIM-{Path(path).stem}", "sensor": sensor, "date": date, "files": [file]}


def write_history_world(
    seed: int, folder: Path, site: str | None = None, px: int = 1024, *, images: bool = True
) -> HistoryWorld:
    """Make the world of a seed, or open it if the folder holds it.

    px: side of the landscape, a multiple of 16, at most the block's 1024; a smaller one lies in the middle of the block
    with nothing around it. images: without them only the oracle can map. Raises ConfigError if the folder holds
    another world, or if the landscape is larger than a block.
    """
    asked = {"seed": seed, "site": site, "px": px, "images": images}
    folder = folder.resolve()
    if (folder / _WORLD).exists():
        record = json.loads((folder / _WORLD).read_text())
        if record["asked"] != asked:
            raise ConfigError(str(folder), found=str(record["asked"]), expected=str(asked), fix="use another folder")
        return _opened(folder, record)
    if px > BLOCK_M // RES_M:
        raise ConfigError(
            "size of a simulated history", found=f"{px} px", expected=f"at most {BLOCK_M // RES_M}, a block"
        )
    lands = {year: build_land(seed, px, float(RES_M), k, site) for k, year in enumerate(YEARS)}
    place = lands[YEARS[0]].place
    block = place_block(place)
    window = middle(Lattice(block.zone, RES_M).block_window(block), px)
    folder.mkdir(parents=True, exist_ok=True)
    _write_tables(folder, lands, block.zone, window)
    dates = write_images(folder, lands, block.zone, Lattice(block.zone, RES_M).transform(window)) if images else {}
    record = {
        "asked": asked,
        "archetype": place.archetype,
        "region": place.region,
        "block": block.name,
        "dates": {str(year): date.isoformat() for year, date in dates.items()},
    }
    # Last, because it says that the rest is there.
    (folder / _WORLD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return _opened(folder, record)


def place_block(place: Place) -> Block:
    """The block nearest to a place of which no corner or side lies in another zone."""
    zone = home_zone(place.lon, place.lat)
    x, y = (float(v[0]) for v in zone.project_points(np.array([place.lon]), np.array([place.lat])))
    row, col = int((TOP_M - y) // BLOCK_M), int(x // BLOCK_M)
    steps = sorted(((r, c) for r in range(-4, 5) for c in range(-4, 5)), key=lambda s: (abs(s[0]) + abs(s[1]), s))
    blocks = (Block(zone, row + r, col + c) for r, c in steps)
    found = next((block for block in blocks if _in_its_zone(block)), None)
    if found is None:
        raise ConfigError(f"place at {place.lat:.2f}, {place.lon:.2f}", found="no block wholly in its zone")
    return found


def lay_truth(prepared: Prepared, world: HistoryWorld) -> None:
    """Make the oracle's tiles from the true outlines of the year of the run, before ingestion makes them from the
    inventory, which is of the first year; ingestion leaves committed tiles as they are. After `Prepared.write`."""
    config = prepared.run.config
    store, outlines = TileStore(config.tiles, config.storage.backend), world.outlines_m(config.year)
    epoch, res_m, date = config.epoch_of("oracle"), prepared.run.resolution("oracle"), dt.date(config.year, 7, 1)
    for block in prepared.plan.tile_blocks:
        ingest_oracle_block(store, block, epoch, res_m, outlines, date)


def _opened(folder: Path, record: dict[str, Any]) -> HistoryWorld:
    dates = {int(year): dt.date.fromisoformat(date) for year, date in record["dates"].items()}
    block, asked = Block.parse(record["block"]), record["asked"]
    return HistoryWorld(folder, asked["seed"], record["archetype"], record["region"], block, dates)


def _in_its_zone(block: Block) -> bool:
    xmin, ymin, xmax, ymax = block.bounds_m
    side = shapely.get_coordinates(shapely.segmentize(shapely.box(xmin, ymin, xmax, ymax), BLOCK_M / 8))
    return bool((home_zones(*block.zone.unproject_points(side[:, 0], side[:, 1])) == block.zone.name).all())


def middle(whole: PixelWindow, px: int) -> PixelWindow:
    """Where a landscape of px² lies in its block."""
    margin = (whole.row1 - whole.row0 - px) // 2
    row, col = whole.row0 + margin, whole.col0 + margin
    return PixelWindow(row, row + px, col, col + px)


def _write_tables(folder: Path, lands: Mapping[int, Land], zone: Zone, window: PixelWindow) -> None:
    """The inventory of the first year, and outlines and truth of all."""
    lattice = Lattice(zone, RES_M)
    west, south, _, _ = lattice.bounds_m(window)
    first = lands[YEARS[0]]
    drawn, whole = draw_years(lands)
    if not whole.any():
        raise ConfigError("simulated history", found="no glacier inside its borders", fix="take another seed or site")
    site = _site(first, zone, window)
    moved = {y: shapely.transform(s, lambda xy: xy + np.array([west, south])) for y, s in drawn.items()}
    years = []
    for year, land in lands.items():
        tables = site_tables(
            site,
            Outlines(moved[YEARS[0]], moved[year]),
            zone,
            first.surface_m,
            land.debris.cover,
            lattice.transform(window),
            np.ones(len(whole), dtype=np.float32),
            [""] * len(whole),
        )
        columns = tables.truth.drop(columns=["observed", "observed_fraction", "special"])
        years.append(columns.assign(year=year, archetype=site.title, whole=whole))
    o2region = np.where(whole, f"{site.o1region}-{WHOLE}", f"{site.o1region}-{CUT}")
    (folder / _INVENTORY).unlink(missing_ok=True)
    tables.inventory.assign(o2region=o2region).to_file(folder / _INVENTORY, layer="SIMULATED_glaciers", driver="GPKG")
    outlines = gpd.GeoDataFrame(pd.concat(years, ignore_index=True), crs="EPSG:4326")
    outlines.to_parquet(folder / _OUTLINES)
    outlines[outlines["whole"]].drop(columns="whole").to_parquet(folder / _TRUTH)


def draw_years(lands: Mapping[int, Land]) -> tuple[dict[int, NDArray[np.object_]], NDArray[np.bool_]]:
    """(year → outlines in the metres of the landscape, which glaciers its border leaves whole).

    Glacier i is the same in all years, divides are those of the first, and no glacier grows.
    """
    first, *later = lands.values()
    side, two = first.px * first.res_m, 2.0 * first.res_m
    transform = Affine(first.res_m, 0.0, 0.0, 0.0, -first.res_m, side)
    ground = (first.surface_m - first.ice_m).astype(np.float32)
    drawn = [
        draw_outlines(
            Ice(first.edge, np.minimum(land.edge, first.edge), first.surface_m, first.below_ela_m),
            ground,
            transform,
            _SMALLEST_KM2,
        )
        for land in later
    ]
    then = drawn[0].then
    shapes = [then, *(what_is_left(then, d.now) for d in drawn)]
    whole = shapely.within(then, shapely.box(two, two, side - two, side - two))
    return dict(zip(lands, shapes, strict=True)), np.asarray(whole, dtype=bool)


def what_is_left(then: NDArray[np.object_], now: NDArray[np.object_]) -> NDArray[np.object_]:
    """The ground of each of `then` that any of `now` covers, without slivers; an empty polygon where there is none.

    Two drawings of the same ice may differ in number and order of glaciers, by rounding where lines cross.
    """
    parts, of = shapely.get_parts(shapely.intersection(then, shapely.union_all(now)), return_index=True)
    keep = shapely.area(parts) > _SLIVER_M2
    left = [parts[keep & (of == i)] for i in range(len(then))]
    return np.array([_one(list(some)) for some in left], dtype=object)


def _one(parts: list[shapely.Polygon]) -> shapely.Geometry:
    return shapely.MultiPolygon(parts) if len(parts) > 1 else parts[0] if parts else shapely.Polygon()


def _site(land: Land, zone: Zone, window: PixelWindow) -> Site:
    """The place in the words of the tables."""
    place = land.place
    return Site(
        name=f"history-{land.seed}",
        title=place.archetype,
        o1region=place.region,
        o2region=f"{place.region}-01",
        zone=zone.name,
        lon=place.lon,
        lat=place.lat,
        px=window.row1 - window.row0,
        pixel_m=float(RES_M),
        base_m=place.base_m,
        steepness=1.0,
        above_ela=place.above_ela,
        ela_rise_m=0.0,
        gradient_per_year=place.gradient_per_year,
        tree_line_m=None,
        inventory_date=dt.date(YEARS[0], 8, 15),
        scenes=(),
        sea=place.sea > 0.0,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--site", help="kind of mountains; none: drawn by the seed")
    parser.add_argument("--px", type=int, default=1024)
    asked = parser.parse_args(arguments)
    world = write_history_world(asked.seed, asked.folder, asked.site, asked.px)
    areas = world.truth().groupby("year")["area_km2"].agg(["size", "sum"])
    print(f"SIMULATED {world.archetype}, region {world.region}, {world.block.name}\n{areas}")


if __name__ == "__main__":
    main()
