"""Scenes for tests of ingest: small rasters over one block, and the configurations that name them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.enums import Resampling

from core.config import Config, SceneConfig
from core.grid import Block, Lattice, Zone
from core.ingest import ingest_block
from core.ingest.block import NO_OUTLINES
from core.ingest.compose import BlockComposer
from core.search.store import BlockScenes
from core.stopwatch import Stopwatch
from core.tiles import TileRead, TileStore

ZONE = Zone("utm45n")
RES_M = 120
LATTICE = Lattice(ZONE, RES_M)
BLOCK = Block(ZONE, 226, 15)
WINDOW = LATTICE.block_window(BLOCK)
XMIN, YMIN, XMAX, YMAX = BLOCK.bounds_m
UTM = "EPSG:32645"
STEP = 0.01  # reflectance per lattice pixel in the linear fields
DATE = dt.date(2000, 10, 30)
OPTICAL = ("blue", "green", "red", "nir", "swir1", "swir2")
BANDS = {band: i for i, band in enumerate(OPTICAL, start=1)}
A_SOURCE = {"product": "sentinel2_l2a"}  # of what is only found: a configuration lists scenes or names sources


def raster(
    path: Path,
    bands: np.ndarray,
    transform: Affine,
    crs: str | None = UTM,
    *,
    point: bool = False,
    overviews: Sequence[int] = (),
    resampling: Resampling = Resampling.average,
    **profile: Any,
) -> Path:
    bands = bands[None] if bands.ndim == 2 else bands
    count, height, width = bands.shape
    with rasterio.open(
        path, "w", "GTiff", width, height, count, crs, transform, bands.dtype, **{"nodata": None, **profile}
    ) as d:
        d.write(bands)
        if point:
            d.update_tags(AREA_OR_POINT="Point")
    if overviews:
        with rasterio.open(path, "r+") as d:
            d.build_overviews(list(overviews), resampling)
    return path


def grid(
    res: float = 100.0, shift: float = 0.0, around: float = 1000.0, block: Block = BLOCK
) -> tuple[Affine, int, int]:
    """Transform, rows and columns of a raster in the zone's own CRS that covers the block and `around` metres."""
    xmin, _, xmax, ymax = block.bounds_m
    n = math.ceil((xmax - xmin + 2 * around) / res) + 1
    return Affine(res, 0, xmin - around + shift, 0, -res, ymax + around - shift), n, n


def grid_in(
    crs: str,
    res: float | tuple[float, float],
    zone: Zone,
    bounds_m: tuple[float, float, float, float],
    around: int = 12,
) -> tuple[Affine, int, int]:
    """Transform, rows and columns of a raster in any CRS that covers a rectangle of a zone and `around` pixels.

    res: in the units of the CRS; longitudes run on past 180 across the antimeridian.
    """
    xmin, ymin, xmax, ymax = bounds_m
    x, y = np.meshgrid(np.linspace(xmin, xmax, 9), np.linspace(ymin, ymax, 9))
    u, v = Transformer.from_crs(zone.epsg, crs, always_xy=True).transform(x, y)
    if crs == "EPSG:4326" and np.ptp(u) > 180:
        u = u % 360.0
    du, dv = res if isinstance(res, tuple) else (res, res)
    # Nodes at odd fractions, as archives have them.
    west, north = (math.floor(u.min() / du) - around + 0.317) * du, (math.ceil(v.max() / dv) + around - 0.219) * dv
    cols, rows = math.ceil(np.ptp(u) / du) + 2 * around + 2, math.ceil(np.ptp(v) / dv) + 2 * around + 2
    return Affine(du, 0, west, 0, -dv, north), rows, cols


def centres(transform: Affine, rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    """(u, v) of every pixel centre."""
    col, row = np.meshgrid(np.arange(cols) + 0.5, np.arange(rows) + 0.5)
    return transform @ (col, row)


def zone_metres(transform: Affine, rows: int, cols: int, crs: str, zone: Zone = ZONE) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) in the zone of every pixel centre of a raster."""
    return Transformer.from_crs(crs, zone.epsg, always_xy=True).transform(*centres(transform, rows, cols))


def linear_fields(
    transform: Affine, rows: int, cols: int, crs: str = UTM, block: Block = BLOCK, res_m: int = RES_M
) -> np.ndarray:
    """(2, rows, cols): where each source pixel's centre lies on the lattice, by column and by row, times STEP."""
    xmin, _, _, ymax = block.bounds_m
    x, y = zone_metres(transform, rows, cols, crs, block.zone)
    return np.stack([(x - xmin) / res_m, (ymax - y) / res_m]).astype(np.float32) * np.float32(STEP)


def scene(
    path: Path | str,
    bands: Mapping[str, int],
    name: str = "a",
    sensor: str = "optical",
    mask: Mapping[str, Any] | None = None,
    *,
    date: dt.date = DATE,
    product: str | None = None,
    dn_offset: int = 0,
    **file: Any,
) -> dict[str, Any]:
    return {
        "id": name,
        "sensor": sensor,
        "date": date.isoformat(),
        "files": [{"path": str(path), "bands": dict(bands), **file}],
        "mask": mask,
        "product": product,
        "dn_offset": dn_offset,
    }


def config(
    *scenes: Mapping[str, Any],
    res_m: int = RES_M,
    composite: str | None = None,
    sensor: str | None = None,
    sources: Sequence[Mapping[str, Any]] = (),
) -> Config:
    sensors = {s["sensor"] for s in scenes} | ({sensor} if sensor else set())
    return Config.model_validate(
        {
            "name": "test",
            "year": 2000,
            "inventory": "outlines.gpkg",
            "scenes": list(scenes),
            "sources": list(sources),
            "sensors": {name: {"res_m": res_m, "composite": composite} for name in sensors},
        }
    )


def found(*scenes: Mapping[str, Any]) -> BlockScenes:
    """As a search would have answered."""
    return BlockScenes(tuple(SceneConfig.model_validate(s) for s in scenes))


def searching(composite: str | None = None, res_m: int = RES_M) -> Config:
    """A configuration that lists no scene of `optical` and searches for them."""
    return config(sensor="optical", composite=composite, res_m=res_m, sources=[A_SOURCE])


@contextmanager
def composing(made: Config, sensor: str, block: Block, **more: Any) -> Iterator[BlockComposer]:
    """The composer of a block, for looking at one tile of it."""
    more = {"found": None, "outlines_m": NO_OUTLINES, **more}
    with BlockComposer(made, sensor, block, more["found"], more["outlines_m"], Stopwatch()) as composer:
        yield composer


def ingested(store: TileStore, made: Config, sensor: str = "optical", block: Block = BLOCK, **more: Any) -> TileRead:
    ingest_block(made, store, block, sensor, **more)
    return stored(store, made, sensor, block)


def stored(store: TileStore, made: Config, sensor: str = "optical", block: Block = BLOCK) -> TileRead:
    epoch = made.epoch_of(sensor)
    lattice = store.lattice(epoch, block.zone, sensor)
    return store.read(epoch, block.zone, sensor, lattice.block_window(block))


def flat(value: float = 0.5, n_bands: int = 1, dtype: str = "float32") -> tuple[np.ndarray, Affine]:
    transform, rows, cols = grid()
    return np.full((n_bands, rows, cols), value, dtype=dtype), transform


def truncate(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
