"""Runs: a way of mapping through the real pipeline, plan to release, over areas to search; read back as pixels.

The inventory of such a run is the area to search and no outline of any glacier, so that no outline helps a map. The
tiles of a place are stored once; every way has a run of its own, which is opened again if it is there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from benchmarks.obia.ways import Way
from core.config import load_config
from core.coverage import coverage_packed, coverage_share
from core.grid import Lattice, PixelWindow, Zone
from core.layout import ReleaseLayout
from core.prepare import prepare
from core.release.schema import AREA, OUTLINE, SURFACE
from core.urls import local_path
from jobs.run import execute

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """What a release says. parts: polygons of glacier_outline, debris: of glacier_surface, in the metres of the zone;
    rows: glacier_area; seconds: of this session."""

    url: str
    rows: pd.DataFrame
    parts: NDArray[np.object_]
    debris: NDArray[np.object_]
    seconds: float

    @property
    def flags(self) -> dict[str, int]:
        """What the rules did on all glaciers together: flag → objects."""
        out: dict[str, int] = {}
        for word in ";".join(self.rows["flags"]).split(";"):
            flag, colon, count = word.partition(":")
            if colon:
                out[flag] = out.get(flag, 0) + int(count)
        return out

    def mapped(self, lattice: Lattice, window: PixelWindow) -> Bool:
        """(h, w) pixels of which at least half is mapped."""
        return coverage_share(self.parts, lattice, window) >= 0.5

    def mapped_debris(self, lattice: Lattice, window: PixelWindow) -> Bool:
        return coverage_share(self.debris, lattice, window) >= 0.5

    def shares(self, of: Bool, lattice: Lattice, window: PixelWindow) -> NDArray[np.float64]:
        """(parts,) of the ground of each part, the share that lies on pixels `of` of the window."""
        boxes = [lattice.cover(tuple(b)).intersect(window) for b in shapely.bounds(self.parts).reshape(-1, 4).tolist()]
        covers = coverage_packed(self.parts, boxes, lattice)
        inside = [float(c[of[box.slices(window)]].sum()) for c, box in zip(covers, boxes, strict=True)]
        return np.array(inside) / np.maximum([float(c.sum()) for c in covers], 1e-9)


def run_way(config: Path, way: Way, zone: Zone, inventory: Path | None, overrides: Sequence[str] = ()) -> Found:
    """inventory: the areas, of which nothing beyond is mapped; None for that of the configuration.
    Raises RuntimeError if a unit failed."""
    began = time.perf_counter()
    areas = [] if inventory is None else [f"inventory={inventory}", "measure.advance_m=0", "grid.buffer_m=0"]
    prepared = prepare(load_config(config, [*way.overrides, *areas, *overrides]))
    driven = execute(prepared, quiet=True)
    if not driven.clean:
        raise RuntimeError(f"{prepared.run.url}: not every unit succeeded; see `icefleet status`")
    seconds = time.perf_counter() - began
    folder = local_path(prepared.run.release_url)
    assert folder is not None, "configurations of this benchmark have local paths"
    year = prepared.run.config.year
    parts, debris = (
        _polygons(folder, year, name, zone, of) for name, of in ((OUTLINE, "glacier"), (SURFACE, "debris"))
    )
    rows = pd.DataFrame(gpd.read_parquet(folder / ReleaseLayout(year).table(AREA)).drop(columns="geometry"))
    return Found(prepared.run.url, rows, parts, debris, seconds)


def _polygons(folder: Path, year: int, table: str, zone: Zone, of: str) -> NDArray[np.object_]:
    """Of one class, in the metres of the zone; none if the release has no such table, because no row is in it."""
    path = folder / ReleaseLayout(year).table(table)
    if not path.exists():
        return np.empty(0, dtype=object)
    rows = gpd.read_parquet(path)
    found: NDArray[np.object_] = zone.project(np.asarray(rows[rows["class"] == of].geometry.array, dtype=object))
    return found


def write_area(path: Path, name: str, region: str, bounds_m: tuple[float, float, float, float], zone: Zone) -> Path:
    """An inventory of one area to search: a box in the metres of a zone."""
    # Corners alone would bend away from the box between them.
    box = shapely.segmentize(shapely.box(*bounds_m), 500.0)
    table = gpd.GeoDataFrame({"rgi_id": [name], "o1region": [region]}, geometry=[box], crs=f"EPSG:{zone.epsg}")
    table.to_crs(4326).to_file(path)
    return path
