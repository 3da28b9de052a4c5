"""Tiles by name: archives of one-degree tiles that are computed, not searched.

The names of the tiles that a block needs follow from where it lies; whether they exist is asked of the archive once
each, many at a time. Absent is an answer: of the Copernicus DEM it is the ocean and becomes a raster of height 0, of
others a reason. A refusal or a fault is an error and never an absence, or a lost connection would flood the Alps.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
import posixpath
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
import shapely
from numpy.typing import NDArray

from core.config import FileConfig, SceneConfig
from core.errors import ConfigError
from core.objects import Objects
from core.search import web
from core.search.stac import read_bytes
from core.sensors import Product, ProductBand, nearest
from core.tiles import RejectedScene
from core.urls import join_url

THREADS = 32
MARGIN_DEG = 0.01  # for interpolation, slopes and grids that lie half a pixel off the whole degree
NORTH_SEASON, SOUTH_SEASON = "summer", "winter"  # end of melt; the archive's seasons are those of the north
_MONTHS = ("winter", "winter", *3 * ("spring",), *3 * ("summer",), *3 * ("fall",), "winter")
_SEASON_DATE = {
    "winter": dt.date(2020, 1, 15),
    "spring": dt.date(2020, 4, 15),
    "summer": dt.date(2020, 7, 15),
    "fall": dt.date(2020, 10, 15),
}


@dataclass(frozen=True, order=True)
class Cell:
    """One degree by one degree, by its south-western corner: lat −90 … 89, lon −180 … 179."""

    lat: int
    lon: int

    @property
    def name(self) -> str:
        return corner_name(self.lat, self.lon)

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        return self.lon, self.lat, self.lon + 1, self.lat + 1


def corner_name(lat: int, lon: int) -> str:
    """`N46E008`; the equator is N00, Greenwich E000, 180° W180."""
    return f"{'N' if lat >= 0 else 'S'}{abs(lat):02d}{'E' if lon >= 0 else 'W'}{abs(lon):03d}"


@dataclass(frozen=True)
class Tiling:
    """How an archive names its tiles.

    tile: its name of a cell; key: of the file of a band, below the folder of the archive, from the tile, the band and
    the season; column: of a band in a lookup table. date: the middle of what the tile was made from. ocean: where an
    absent tile is the sea, the box (w, s, e, n) that it would have, unless `withheld` says that land of the cell is not
    released.
    """

    tile: Callable[[Cell], str]
    key: Callable[[str, str, str], str]
    date: Callable[[str], dt.date]
    column: Callable[[str], str] = str
    seasonal: bool = False
    ocean: Callable[[Cell], tuple[float, float, float, float]] | None = None
    withheld: Callable[[Cell], bool] = lambda cell: False


def _copernicus(cell: Cell, code: int) -> str:
    name = cell.name
    return f"Copernicus_DSM_COG_{code}_{name[:3]}_00_{name[3:]}_00_DEM"


def _copernicus_box(cell: Cell, spacing_s: float) -> tuple[float, float, float, float]:
    """(w, s, e, n) of a tile: half a pixel west and north of its degrees, for its points lie on whole seconds.

    spacing_s: seconds of arc between rows; between columns it grows towards the poles (Copernicus DEM Product
    Handbook, 10.5270/ESA-c5d3d65).
    """
    poleward = cell.lat if cell.lat >= 0 else -cell.lat - 1
    times = next(
        t for below, t in ((50, 1.0), (60, 1.5), (70, 2.0), (80, 3.0), (85, 5.0), (90, 10.0)) if poleward < below
    )
    dx, dy = times * spacing_s / 7200, spacing_s / 7200
    west, south, east, north = cell.bounds
    return west - dx, south + dy, east - dx, north + dy


def _copernicus_tiling(code: int, withheld: Callable[[Cell], bool]) -> Tiling:
    return Tiling(
        tile=lambda cell: _copernicus(cell, code),
        key=lambda tile, band, season: f"{tile}/{tile}.tif",
        date=lambda season: dt.date(2013, 1, 1),  # TanDEM-X, December 2010 – January 2015
        ocean=lambda cell: _copernicus_box(cell, code / 10),
        withheld=withheld,
    )


def _armenia_azerbaijan(cell: Cell) -> bool:
    """The public GLO-30 lacks both countries; that the list of the withheld tiles lies in this box is unchecked."""
    return 38 <= cell.lat <= 41 and 43 <= cell.lon <= 50


def _dhdt_column(band: str) -> str:
    return {"dhdt_m_a": "dhdt", "dhdt_sigma_m_a": "dhdt_err"}.get(band, band)


_DECADES = "2000-01-01_2020-01-01"
TILINGS: Mapping[str, Tiling] = {
    "copernicus_dem_30": _copernicus_tiling(10, _armenia_azerbaijan),
    "copernicus_dem_90": _copernicus_tiling(30, lambda cell: False),
    # Names are those of the upper left corner (Kellndorfer et al. 2022, 10.1038/s41597-022-01189-6); that the tile
    # below the equator is N00 rather than S00 is unchecked.
    "s1_coherence": Tiling(
        tile=lambda cell: corner_name(cell.lat + 1, cell.lon),
        key=lambda tile, band, season: f"{tile}/{tile}_{season}_vv_{band.upper()}.tif",
        date=lambda season: _SEASON_DATE[season],
        seasonal=True,
    ),
    # Hugonnet et al. 2021, 10.1038/s41586-021-03436-z, as its archives of regions unpack; that names are those of the
    # lower left corner agrees with how its readers look tiles up, and is otherwise unchecked.
    "hugonnet_dhdt": Tiling(
        tile=lambda cell: cell.name,
        key=lambda tile, band, season: f"{_dhdt_column(band)}/{tile}_{_DECADES}_{_dhdt_column(band)}.tif",
        date=lambda season: dt.date(2010, 1, 1),
        column=_dhdt_column,
    ),
}


def tiling(product: Product) -> Tiling:
    """How the tiles of a product are named: by its own name where products share a tiling, else by its tiling.

    Raises ConfigError for an unknown one.
    """
    found = TILINGS.get(product.name) or TILINGS.get(product.tiling)
    if found is None:
        fix = nearest(product.tiling, TILINGS)
        raise ConfigError(f"tiling {product.tiling!r} of {product.name}", found="no such tiling", fix=fix)
    return found


def cells_of(footprint: shapely.geometry.base.BaseGeometry) -> list[Cell]:
    """The cells within MARGIN_DEG of a footprint in lon/lat, whose longitudes may pass ±180; sorted."""
    w, s, e, n = shapely.bounds(footprint)
    lon = np.arange(math.floor(w - MARGIN_DEG), math.floor(e + MARGIN_DEG) + 1)
    lat = np.arange(max(-90, math.floor(s - MARGIN_DEG)), min(89, math.floor(n + MARGIN_DEG)) + 1)
    lons, lats = (a.ravel() for a in np.meshgrid(lon, lat))
    boxes: NDArray[np.object_] = np.asarray(
        shapely.box(lons - MARGIN_DEG, lats - MARGIN_DEG, lons + 1 + MARGIN_DEG, lats + 1 + MARGIN_DEG), dtype=object
    )
    meets = shapely.intersects(boxes, footprint)
    return sorted({Cell(int(a), (int(o) + 180) % 360 - 180) for a, o in zip(lats[meets], lons[meets], strict=True)})


class TileArchive:
    """The tiles of one product below one folder, bucket or web address, or listed in a lookup table.

    A lookup table is CSV with a column `tile` (or `file_id`) and one for each band, or one named `path`; its paths
    are relative to the table.
    """

    def __init__(self, product: Product, url: str, season: str | None = None) -> None:
        self.product, self.url, self._season = product, url, season
        self._tiling = tiling(product)
        self._table = _read_table(url) if urlsplit(url).path.lower().endswith(".csv") else None
        self._there: dict[Cell, dict[str, str]] = {}
        self._listings: dict[str, frozenset[str]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def look(self, cells: Iterable[Cell]) -> None:
        """Ask for cells not asked for yet, THREADS at a time.

        Raises ConfigError if not one of all cells is there: that is a wrong address and no ocean.
        """
        wanted = sorted(set(cells) - self._there.keys())
        if not wanted:
            return
        with ThreadPoolExecutor(THREADS) as pool:
            self._there.update(zip(wanted, pool.map(self._files, wanted), strict=True))
        if self._there and not any(self._there.values()):
            expected = next(iter(self._names(next(iter(self._there))).values()))
            raise ConfigError(self.url, found=f"none of {len(self._there)} tiles", expected=f"tiles such as {expected}")

    def scenes(self, cells: Iterable[Cell]) -> tuple[list[SceneConfig], list[RejectedScene]]:
        """(tiles that are there, and the sea between them; the others with the reason), by name."""
        scenes: list[SceneConfig] = []
        rejected: list[RejectedScene] = []
        cells = sorted(set(cells))
        self.look(cells)
        for cell in cells:
            files, name = self._there[cell], self._tiling.tile(cell)
            if files:
                scenes.append(self._scene(cell, name, files))
            elif self._tiling.ocean and not self._tiling.withheld(cell):
                scenes.append(self._ocean(cell, self._tiling.ocean(cell)))
            else:
                why = "not released to the public" if self._tiling.withheld(cell) else "no such tile"
                rejected.append(RejectedScene(name, f"{why} in {web.address(self.url)}"))
        return scenes, rejected

    def _scene(self, cell: Cell, name: str, files: Mapping[str, str]) -> SceneConfig:
        season = self._season_of(cell)
        return SceneConfig(
            id=f"{name}_{season}" if self._tiling.seasonal else name,
            sensor=self.product.sensor,
            date=self._tiling.date(season),
            files=[self._file(band, files[band.band]) for band in self.product.bands if band.band in files],
            product=self.product.name,
        )

    def _file(self, band: ProductBand, path: str) -> FileConfig:
        return FileConfig(
            path=path,
            bands={band.band: band.index},
            scale=self.product.scale if band.scale is None else band.scale,
            offset=self.product.offset if band.offset is None else band.offset,
            nodata=self.product.nodata,
            variable=band.variable,
        )

    def _ocean(self, cell: Cell, box: tuple[float, float, float, float]) -> SceneConfig:
        bounds = ",".join(f"{edge:.8f}" for edge in box)
        height = self.product.bands[0].band
        return SceneConfig(
            id=f"ocean:{cell.name}",
            sensor=self.product.sensor,
            date=self._tiling.date(""),
            files=[FileConfig(path=f"constant:0?bounds={bounds}", bands={height: 1})],
            product=self.product.name,
        )

    def _names(self, cell: Cell) -> dict[str, str]:
        """Band → key of its file."""
        name, season = self._tiling.tile(cell), self._season_of(cell)
        return {b.band: self._tiling.key(name, b.band, season) for b in self.product.bands}

    def _season_of(self, cell: Cell) -> str:
        """The season asked for, by the middle of it; else that in which the hemisphere's melt ends."""
        if self._season is None:
            return NORTH_SEASON if cell.lat >= 0 else SOUTH_SEASON
        first, last = (dt.date(2001, int(d[:2]), int(d[3:])) for d in self._season.split("/"))
        length = (last - first).days % 365
        return _MONTHS[(first + dt.timedelta(days=length // 2)).month - 1]

    def _files(self, cell: Cell) -> dict[str, str]:
        """Band → path of its file, of those that are there."""
        if self._table is not None:
            row = self._table.get(self._tiling.tile(cell), {})
            columns = {b.band: self._tiling.column(b.band) for b in self.product.bands}
            first = self.product.bands[0].band
            found = {band: row.get(c) or (row.get("path") if band == first else None) for band, c in columns.items()}
            return {band: path for band, path in found.items() if path}
        return {band: join_url(self.url, key) for band, key in self._names(cell).items() if self._is_there(key)}

    def _is_there(self, key: str) -> bool:
        if urlsplit(self.url).scheme in ("http", "https"):
            return web.exists(join_url(self.url, key))
        folder = posixpath.dirname(key)
        with self._guard:
            lock = self._locks.setdefault(folder, threading.Lock())
        with lock:
            if folder not in self._listings:
                self._listings[folder] = frozenset(k for k, _ in Objects(self.url).list(folder))
        return key in self._listings[folder]


def _read_table(url: str) -> dict[str, dict[str, str]]:
    """Tile → column → path, made absolute."""
    try:
        text = read_bytes(url).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(url, found="nothing there", expected="a lookup table of tiles") from error
    rows = csv.DictReader(io.StringIO(text))
    known = rows.fieldnames or []
    column = next((c for c in ("tile", "file_id") if c in known), None)
    if column is None:
        raise ConfigError(url, found=f"columns {', '.join(known)}", expected="`tile`, and `path` or one for each band")
    folder = posixpath.dirname(url)
    return {
        row[column]: {
            c: path if urlsplit(path).scheme or path.startswith("/") else join_url(folder, path)
            for c, path in row.items()
            if path and c != column
        }
        for row in rows
    }
