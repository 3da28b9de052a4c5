"""The scenes of a configuration, checked before anything is spent on them.

Every header is opened once. Whatever would fail or mislead later (missing file, missing band, no CRS, a mask of
another scene, scenes of another mountain range) is a ConfigError that says where in the configuration to mend it.
"""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from rasterio.crs import CRS as RasterCRS
from rasterio.errors import CRSError, RasterioError

from core.config import Config, FileConfig, SceneConfig
from core.errors import ConfigError, IcefleetError, SystemicError, TransientError
from core.ingest.raster import RasterHeader, classify, error_text, public, read_header, same_crs
from core.sensors import sensor as registered
from core.sensors.products import product

Bounds = tuple[float, float, float, float]  # lonmin, latmin, lonmax, latmax; lonmax may pass 180
Source = tuple[str, str | None]  # path and variable
Headers = dict[Source, RasterHeader | Exception]
_READERS = 16
_NODES = 21


@dataclass(frozen=True)
class SceneInfo:
    """One scene as its headers describe it. res_m: of its finest file, metres; n_glaciers: whose boxes it touches."""

    id: str
    sensor: str
    date: dt.date
    bands: tuple[str, ...]
    bounds: Bounds
    res_m: float
    n_glaciers: int


@dataclass(frozen=True)
class SceneReport:
    """All scenes, and what an operator should know of them. notes: one sentence each."""

    scenes: tuple[SceneInfo, ...]
    notes: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of the scenes that touch no glacier."""
        return tuple(scene.id for scene in self.scenes if scene.n_glaciers == 0)


def check_scenes(config: Config, glacier_bounds: gpd.GeoDataFrame | NDArray[np.float64]) -> SceneReport:
    """Open every header of the configuration and compare it with what the configuration says.

    glacier_bounds: one row per glacier, (lonmin, latmin, lonmax, latmax) in degrees, or outlines in EPSG:4326.
    Raises ConfigError for the first scene that cannot work, and if no scene at all touches a glacier.
    """
    boxes = glacier_bounds.bounds if isinstance(glacier_bounds, gpd.GeoDataFrame) else glacier_bounds
    glaciers = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    for number, scene in enumerate(config.scenes):
        _check_names(f"scenes.{number} ({scene.id})", scene)
    files: dict[Source, None] = dict.fromkeys(
        source
        for s in config.scenes
        for source in [*((f.path, f.variable) for f in s.files), *([(s.mask.path, s.mask.variable)] if s.mask else [])]
    )
    with ThreadPoolExecutor(_READERS) as pool:
        headers = dict(zip(files, pool.map(_header_or_error, files), strict=True))
    notes: list[str] = []
    infos = [
        _check_scene(f"scenes.{number} ({scene.id})", scene, headers, glaciers, notes)
        for number, scene in enumerate(config.scenes)
    ]
    report = SceneReport(tuple(infos), tuple(notes))
    if infos and len(glaciers) and len(report.missing) == len(infos):
        raise ConfigError(
            "scenes",
            found=f"scenes over {_extent(np.array([info.bounds for info in infos]))}, which touch no glacier",
            expected=f"scenes over the glaciers, {_extent(glaciers)}",
            fix="check `scenes`, `inventory` and `regions`",
        )
    return report


def _check_names(where: str, scene: SceneConfig) -> None:
    """What needs no file: sensor, bands, each band once."""
    try:
        sensor = registered(scene.sensor)
        for file in scene.files:
            for band in file.bands:
                sensor.band_index(band)
    except ConfigError as error:
        raise ConfigError(
            f"{where}: {error.where}", found=error.found, expected=error.expected, fix=error.fix
        ) from error
    if not sensor.raster:
        raise ConfigError(f"{where}: sensor {scene.sensor!r}", found="a sensor that is not made from scenes")
    if scene.product is not None:
        product(scene.product)
    bands = [band for file in scene.files for band in file.bands]
    twice = sorted({band for band in bands if bands.count(band) > 1})
    if twice:
        raise ConfigError(f"{where}: files", found=f"band {twice[0]!r} in two files", expected="each band once")


def _header_or_error(source: Source) -> RasterHeader | Exception:
    try:
        return read_header(*source)
    except (RasterioError, OSError, IcefleetError) as error:
        return error


def _header(where: str, source: Source, headers: Headers) -> RasterHeader:
    header, path = headers[source], source[0]
    if isinstance(header, RasterHeader):
        return header
    if isinstance(header, ConfigError):
        raise ConfigError(
            f"{where} {header.where}", found=header.found, expected=header.expected, fix=header.fix
        ) from header
    if not path.startswith("/vsi") and "://" not in path and not Path(path).exists():
        raise ConfigError(
            f"{where} {path}",
            found="no such file",
            fix="correct the path; relative ones start at the configuration's folder",
        ) from header
    named = classify(header, path, where)
    if isinstance(named, (SystemicError, TransientError)):
        raise named from header  # the network or the credentials, not the configuration
    raise ConfigError(
        f"{where} {public(path)}", found=error_text(header), expected="a raster that GDAL can open"
    ) from header


def _check_scene(
    where: str,
    scene: SceneConfig,
    headers: Headers,
    glaciers: NDArray[np.float64],
    notes: list[str],
) -> SceneInfo:
    footprints, sizes = [], []
    crs = ""
    for j, file in enumerate(scene.files):
        here = f"{where}: files.{j}"
        header = _header(here, (file.path, file.variable), headers)
        crs = _check_file(f"{here} {public(file.path)}", file, header)
        footprints.append(_footprint(header, crs))
        sizes.append(_pixel_m(header, crs))
        declared = {(header.scales[i - 1], header.offsets[i - 1]) for i in file.bands.values()} - {(1.0, 0.0)}
        if declared and (file.scale, file.offset) == (1.0, 0.0):
            notes.append(f"{scene.id}: {public(file.path)} declares scale, offset {declared.pop()}, not applied")
    if scene.mask is not None:
        here = f"{where}: mask"
        mask = _header(here, (scene.mask.path, scene.mask.variable), headers)
        _check_mask(f"{here} {public(scene.mask.path)}", scene, scene.mask.band, mask, headers)
    bounds = _common(footprints)
    info = SceneInfo(
        scene.id,
        scene.sensor,
        scene.date,
        tuple(b for b in registered(scene.sensor).band_names if any(b in f.bands for f in scene.files)),
        bounds,
        min(sizes),
        _touching(bounds, glaciers),
    )
    if info.n_glaciers == 0:
        notes.append(f"{scene.id} touches no glacier")
    return info


def _check_file(where: str, file: FileConfig, header: RasterHeader) -> str:
    """The CRS that holds for the file."""
    highest = max(file.bands.values())
    if highest > header.count:
        band = next(name for name, number in file.bands.items() if number == highest)
        raise ConfigError(where, found=f"{header.count} bands", expected=f"band {highest} for {band!r}")
    for name, number in file.bands.items():
        dtype = np.dtype(header.dtypes[number - 1])
        if dtype.kind == "c":
            raise ConfigError(where, found=f"complex numbers in band {number} ({name})", expected="real numbers")
        if file.nodata is not None and dtype.kind in "iu" and not _fits(file.nodata, dtype):
            raise ConfigError(
                where, found=f"nodata {file.nodata:g}", expected=f"a value of {dtype}", fix="correct or drop `nodata`"
            )
    if header.transform.is_identity:
        raise ConfigError(
            where, found="no georeference", expected="a raster on a map grid", fix="warp it to one first (gdalwarp)"
        )
    return _check_crs(where, file.crs, header)


def _check_crs(where: str, configured: str | None, header: RasterHeader) -> str:
    if configured is None:
        if not header.crs_wkt:
            raise ConfigError(where, found="no CRS", fix="add `crs: EPSG:…` to this file")
        return header.crs_wkt
    try:
        wanted = RasterCRS.from_user_input(configured)
    except (CRSError, ValueError) as error:
        raise ConfigError(f"{where}: crs", found=repr(configured), expected="e.g. EPSG:32645") from error
    if header.crs_wkt and not same_crs(wanted.to_wkt(), header.crs_wkt):
        own = CRS.from_wkt(header.crs_wkt)
        name = ":".join(own.to_authority() or ()) or own.name
        raise ConfigError(f"{where}: crs", found=configured, expected=f"{name}, as the file says", fix="drop `crs`")
    return str(wanted.to_wkt())


def _check_mask(where: str, scene: SceneConfig, band: int, mask: RasterHeader, headers: Headers) -> None:
    """The mask lies where the first file lies, to within one of its own pixels; its pixels may be larger."""
    first = _header(where, (scene.files[0].path, scene.files[0].variable), headers)
    if band > mask.count:
        raise ConfigError(where, found=f"{mask.count} bands", expected=f"band {band}")
    own = first.crs_wkt or _check_crs(where, scene.files[0].crs, first)
    if mask.crs_wkt and RasterCRS.from_wkt(mask.crs_wkt) != RasterCRS.from_wkt(own):
        raise ConfigError(where, found=f"CRS {CRS.from_wkt(mask.crs_wkt).name}", expected=f"{CRS.from_wkt(own).name}")
    pixel = max(abs(mask.transform.a) + abs(mask.transform.b), abs(mask.transform.d) + abs(mask.transform.e))
    ours, theirs = np.array(_corners(first)), np.array(_corners(mask))
    if not mask.crs_wkt and (mask.height, mask.width) != (first.height, first.width):
        found = f"{mask.height} × {mask.width} pixels without a CRS"
        raise ConfigError(where, found=found, expected=f"{first.height} × {first.width}, as the scene")
    if np.abs(ours - theirs).max() > pixel:
        raise ConfigError(
            where,
            found=f"{mask.height} × {mask.width} pixels over {_plain(theirs)}",
            expected=f"{first.height} × {first.width} pixels over {_plain(ours)}, as the scene",
            fix="give the mask of this scene",
        )


def _fits(value: float, dtype: np.dtype[np.generic]) -> bool:
    info = np.iinfo(dtype)  # type: ignore[type-var]
    return float(value).is_integer() and info.min <= value <= info.max


def _corners(header: RasterHeader) -> list[tuple[float, float]]:
    w, h = header.width, header.height
    return [header.transform @ corner for corner in ((0, 0), (w, 0), (w, h), (0, h))]


def _plain(corners: NDArray[np.float64]) -> str:
    low, high = corners.min(axis=0), corners.max(axis=0)
    return f"({low[0]:.8g}, {low[1]:.8g}) – ({high[0]:.8g}, {high[1]:.8g})"


def _footprint(header: RasterHeader, crs: str) -> Bounds:
    """(lonmin, latmin, lonmax, latmax); continuous across the antimeridian, so lonmax may pass 180."""
    col, row = np.meshgrid(np.linspace(0, header.width, _NODES), np.linspace(0, header.height, _NODES))
    a = header.transform
    x, y = a.a * col.ravel() + a.b * row.ravel() + a.c, a.d * col.ravel() + a.e * row.ravel() + a.f
    lon, lat = Transformer.from_crs(CRS.from_user_input(crs), CRS.from_epsg(4326), always_xy=True).transform(x, y)
    finite = np.isfinite(lon) & np.isfinite(lat)
    if not finite.any():
        return (np.nan, np.nan, np.nan, np.nan)
    lon, lat = np.asarray(lon)[finite], np.asarray(lat)[finite]
    if np.ptp(lon) > 180 and not CRS.from_user_input(crs).is_geographic:
        lon = np.where(lon < 0, lon + 360, lon)
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def _common(bounds: list[Bounds]) -> Bounds:
    """What all files of a scene cover."""
    a = np.array(bounds)
    return float(a[:, 0].max()), float(a[:, 1].max()), float(a[:, 2].min()), float(a[:, 3].min())


def _pixel_m(header: RasterHeader, crs: str) -> float:
    """Side of the middle pixel in metres (root of its area)."""
    col, row = header.width // 2, header.height // 2
    corners = [header.transform @ c for c in ((col, row), (col + 1, row), (col + 1, row + 1), (col, row + 1))]
    x, y = np.array(corners).T
    to_lonlat = Transformer.from_crs(CRS.from_user_input(crs), CRS.from_epsg(4326), always_xy=True)
    area, _ = Geod(ellps="WGS84").polygon_area_perimeter(*to_lonlat.transform(x, y))
    return float(np.sqrt(abs(area)))


def _touching(bounds: Bounds, glaciers: NDArray[np.float64]) -> int:
    west, south, east, north = bounds
    tall = (glaciers[:, 1] <= north) & (glaciers[:, 3] >= south)
    wide = np.zeros(len(glaciers), dtype=bool)
    for turn in (-360.0, 0.0, 360.0):
        wide |= (glaciers[:, 0] + turn <= east) & (glaciers[:, 2] + turn >= west)
    return int(np.count_nonzero(tall & wide))


def _extent(bounds: NDArray[np.float64]) -> str:
    west, south = np.nanmin(bounds[:, :2], axis=0)
    east, north = np.nanmax(bounds[:, 2:], axis=0)
    return f"{west:.3f}…{east:.3f}° E, {south:.3f}…{north:.3f}° N"
