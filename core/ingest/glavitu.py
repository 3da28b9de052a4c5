"""Training tiles of GlaViTU (HDF5, DOI 10.11582/2024.00168), streamed from a local disk, S3 or http(s).

Headers are read without pixels, pixels a tile at a time, so that a file of 243 GB costs the memory of one tile. Values
come out in the units of our sensors: σ0 as decibels, labels as classes, padding removed, and 0, with which the archive
fills what it does not have, as NaN. Where the values turn out to be scaled to 0…1, which the training code of the
authors allows, nothing is guessed: that is an error until the ranges are given.
Unchecked against the archive itself: the order of orbits and of outline classes, and what `padding_*` count.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config import FileConfig, SceneConfig
from core.errors import ConfigError, IcefleetError, PoisonError
from core.virtual.files import RangeFile, public, storage_error
from core.virtual.place import unpadded
from core.virtual.tree import Hdf5Tree, Variable

UNLABELLED = 255
ORBITS = ("asc", "desc")  # channels of the radar arrays
# Array of a tile → channels.
CHANNELS = {"optical": 6, "dem": 2, "co_pol_sar": 2, "cross_pol_sar": 2, "in_sar": 2, "thermal": 1}
LABELS = {"outlines": 2, "bright_dark_outlines": 3}
_NEEDED = ("optical", "dem")
_ZERO_IS_NOTHING = ("optical", "co_pol_sar", "cross_pol_sar", "in_sar", "thermal")
_LOG10_FLOOR = 1e-6  # the authors scale log10(σ0 + 1e-6)

# Sensor → its bands, each an array of the tile and a channel.
SOURCES: dict[str, dict[str, tuple[str, int]]] = {
    "optical_toa": {band: ("optical", i) for i, band in enumerate(("blue", "green", "red", "nir", "swir1", "swir2"))},
    "dem": {"elevation_m": ("dem", 0), "slope_deg": ("dem", 1)},
    **{f"sar_sigma0_{o}": {"vv_db": ("co_pol_sar", i), "vh_db": ("cross_pol_sar", i)} for i, o in enumerate(ORBITS)},
    **{f"coherence_{o}": {"coh12": ("in_sar", i)} for i, o in enumerate(ORBITS)},
    "thermal": {"kelvin": ("thermal", 0)},
}
Ranges = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class TileHeader:
    """One tile. bounds: (west, south, east, north) without padding, in `epsg`; rows, cols: of the stored arrays that
    are not padding; arrays: the names of those it has."""

    name: str
    region: str
    subregion: str
    epsg: int
    bounds: tuple[float, float, float, float]
    rows: slice
    cols: slice
    arrays: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start

    @property
    def sensors(self) -> tuple[str, ...]:
        """Sensors of which the tile has the arrays of a band; whether they hold anything, only their pixels tell."""
        return tuple(s for s, bands in SOURCES.items() if any(array in self.arrays for array, _ in bands.values()))


@dataclass(frozen=True)
class Tile:
    """Pixels of one tile. values: sensor → (band, h, w) in the order of `SOURCES`, NaN where there is none; sensors
    without any pixel are left out. outlines, bright_dark: (h, w) class, or 255."""

    header: TileHeader
    values: Mapping[str, NDArray[np.float32]]
    outlines: NDArray[np.uint8] | None
    bright_dark: NDArray[np.uint8] | None


class TileFile:
    """An open file of tiles. ranges: the file below, with counts of what was read. For one thread at a time."""

    def __init__(self, path: str, tree: Hdf5Tree) -> None:
        self.path, self._tree, self.ranges = path, tree, tree.ranges

    def names(self) -> list[str]:
        return self._tree.names("")

    def headers(self) -> Iterator[TileHeader]:
        """Every tile in the order of the names; no pixel is read. Raises PoisonError naming file and tile."""
        for name in self.names():
            yield self.header(name)

    def header(self, name: str) -> TileHeader:
        where = self._where(name)
        with self._errors(where):
            attrs = self._tree.attrs(name)
            arrays = tuple(n.rpartition("/")[2] for n in self._tree.names(name))
            missing = [a for a in _NEEDED if a not in arrays]
            if missing:
                raise PoisonError(where, found=f"no array {missing[0]!r}", expected=" and ".join(_NEEDED))
            keys = ("xmin", "ymin", "xmax", "ymax", "height", "width", "epsg")
            lost = [key for key in keys if key not in attrs]
            if lost:
                raise PoisonError(where, found=f"no attribute {lost[0]!r}", expected=", ".join(keys))
            west, south, east, north = (float(attrs[key]) for key in keys[:4])
            if not (west < east and south < north):
                raise PoisonError(
                    where, found=f"bounds {west, south, east, north}", expected="west < east, south < north"
                )
            try:
                rows, cols = unpadded(attrs, int(attrs["height"]), int(attrs["width"]), where)
            except ConfigError as error:
                raise PoisonError(where, found=error.found, expected=error.expected) from None
            region, subregion = str(attrs.get("region", "")), str(attrs.get("subregion", ""))
            return TileHeader(
                name, region, subregion, int(attrs["epsg"]), (west, south, east, north), rows, cols, arrays
            )

    def claimed(self, name: str) -> tuple[int, tuple[float, float, float, float]] | None:
        """(EPSG code, bounds) that a tile claims, however broken it is; None if it claims none."""
        with suppress(PoisonError, KeyError, TypeError, ValueError), self._errors(self._where(name)):
            attrs = self._tree.attrs(name)
            west, south, east, north = (float(attrs[key]) for key in ("xmin", "ymin", "xmax", "ymax"))
            if west < east and south < north:
                return int(attrs["epsg"]), (west, south, east, north)
        return None

    def read(self, tile: TileHeader | str, *, ranges: Ranges | None = None) -> Tile:
        """The pixels of one tile.

        ranges: array → (lowest, highest) of every channel, for archives whose values were scaled to 0…1 between them;
        those of the radar arrays are of log10(σ0 + 1e-6). Raises PoisonError naming file and tile if an array is
        corrupt, cut or of another shape; ConfigError if values are scaled and no ranges are given.
        """
        header = tile if isinstance(tile, TileHeader) else self.header(tile)
        where = self._where(header.name)
        with self._errors(where):
            stored = {name: self._pixels(header, name, n) for name, n in CHANNELS.items() if name in header.arrays}
            if ranges is None:
                _refuse_scaled(stored["dem"], where)
            physical = {name: _physical(name, pixels, ranges, where) for name, pixels in stored.items()}
            values = {}
            for sensor, bands in SOURCES.items():
                planes = [_plane(physical, array, channel, header.shape) for array, channel in bands.values()]
                if any(np.isfinite(plane).any() for plane in planes):
                    values[sensor] = np.stack(planes)
            labels = [
                _classes(self._pixels(header, name, n)) if name in header.arrays else None for name, n in LABELS.items()
            ]
        return Tile(header, values, *labels)

    def heights(self, tile: TileHeader) -> tuple[float, float]:
        """(lowest, highest) number in the middle row of elevations and slopes; (0, 0) if there is none."""
        with self._errors(self._where(tile.name)):
            row = self._middle_row(tile)
            known = row[np.isfinite(row)]
            return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)

    def check_units(self, tile: TileHeader) -> None:
        """Raises ConfigError if the values of a tile are scaled; reads its middle row of elevations."""
        with self._errors(self._where(tile.name)):
            _refuse_scaled(self._middle_row(tile), self._where(tile.name))

    def _middle_row(self, tile: TileHeader) -> NDArray[Any]:
        middle = (tile.rows.start + tile.rows.stop) // 2
        return self._pixels(tile, "dem", CHANNELS["dem"], slice(middle, middle + 1))

    def _pixels(self, header: TileHeader, name: str, channels: int, rows: slice | None = None) -> NDArray[Any]:
        """(channel, h, w) as stored, without padding."""
        where = self._where(header.name)
        array: Variable | None = self._tree.variable(f"{header.name}/{name}")
        if array is None:
            raise PoisonError(where, found=f"{name!r} is no array", expected=f"(height, width, {channels})")
        if len(array.shape) != 3 or array.shape[2] != channels or array.shape[0] < header.rows.stop:
            raise PoisonError(where, found=f"{name} of shape {array.shape}", expected=f"(height, width, {channels})")
        if array.shape[1] < header.cols.stop or array.dtype.kind not in "iufb":
            raise PoisonError(where, found=f"{name} of {array.shape} {array.dtype}", expected="numbers that fill it")
        try:
            # Whole rows lie together: one read, where cut rows would be one each.
            got = np.asarray(array.values[rows or header.rows])[:, header.cols]
            self._tree.check()
        except IcefleetError:
            raise
        except Exception as error:
            self._tree.check()
            raise storage_error(error, self.path, name) from None
        return got.transpose(2, 0, 1)

    def _where(self, tile: str) -> str:
        return f"{public(self.path)} tile {tile}"

    @contextmanager
    def _errors(self, where: str) -> Iterator[None]:
        try:
            yield
        except IcefleetError as error:
            if error.where == where:
                raise
            raise type(error)(where, found=error.found, expected=error.expected, fix=error.fix) from None
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            named = storage_error(self.ranges.failed or error, self.path)
            raise type(named)(where, found=named.found, expected=named.expected, fix=named.fix) from None


@contextmanager
def open_tiles(path: str) -> Iterator[TileFile]:
    """A file of tiles: path, s3:// or http(s)://. Raises PoisonError, RefusedError or TransientError."""
    with RangeFile(path) as ranges:
        tree = Hdf5Tree.over(ranges)
        try:
            yield TileFile(path, tree)
        finally:
            tree.file.close()


def scenes_of_tiles(path: str, date: dt.date, sensors: Sequence[str] | None = None) -> list[SceneConfig]:
    """A scene per tile and sensor, for the pixel path to put on the lattice; only headers are read.

    date: the tiles say none. sensors: none for all that the tiles have. Of the DEM only the elevation is taken, for
    ingest makes the slope. Raises ConfigError for a sensor that tiles never have, or if values are scaled to 0…1.
    """
    unknown = [s for s in sensors or () if s not in SOURCES]
    if unknown:
        raise ConfigError(f"sensor {unknown[0]!r}", found="no array of the tiles", expected=", ".join(SOURCES))
    scenes = []
    with open_tiles(path) as tiles:
        for i, header in enumerate(tiles.headers()):
            if i == 0:
                tiles.check_units(header)
            for sensor in header.sensors:
                files = files_of(path, header, sensor)
                if files and (sensors is None or sensor in sensors):
                    scenes.append(SceneConfig(id=f"{header.name}-{sensor}", sensor=sensor, date=date, files=files))
    return scenes


def files_of(path: str, header: TileHeader, sensor: str) -> list[FileConfig]:
    """The arrays that give the bands of a sensor. Empty if one of them is missing: the pixel path has no bands that are
    half there."""
    by_array: dict[str, dict[str, int]] = {}
    for band, (array, channel) in SOURCES[sensor].items():
        if band != "slope_deg":
            by_array.setdefault(array, {})[band] = channel + 1
    if any(array not in header.arrays for array in by_array):
        return []
    return [
        FileConfig(
            path=path,
            variable=f"{header.name}/{array}",
            bands=bands,
            crs=f"EPSG:{header.epsg}",
            nodata=0.0 if array in _ZERO_IS_NOTHING else None,
            linear_power=array.endswith("pol_sar"),
        )
        for array, bands in by_array.items()
    ]


def _refuse_scaled(dem: NDArray[Any], where: str) -> None:
    """Elevations and slopes that all lie in 0…1 are of no mountain."""
    if dem.size and np.nanmin(dem) >= 0 and 0 < np.nanmax(dem) <= 1:
        raise ConfigError(
            where,
            found=f"elevations between {np.nanmin(dem[0]):.3g} and {np.nanmax(dem[0]):.3g}: scaled values",
            expected="metres",
            fix="give the ranges that they were scaled with",
        )


def _physical(name: str, pixels: NDArray[Any], ranges: Ranges | None, where: str) -> NDArray[np.float32]:
    values = pixels.astype(np.float64)
    if name == "optical":  # one band may well be 0
        nothing = np.broadcast_to((values == 0).all(axis=0), values.shape)
    else:
        nothing = (values == 0) if name in _ZERO_IS_NOTHING else np.zeros(values.shape, dtype=bool)
    scaled = ranges is not None
    if ranges is not None:
        if len(ranges.get(name, ())) != len(values):
            raise ConfigError(where, found=f"ranges of {name}: {ranges.get(name)}", expected=f"{len(values)} channels")
        low, high = (np.array(side)[:, None, None] for side in zip(*ranges[name], strict=True))
        values = values * (high - low) + low
    if name.endswith("pol_sar"):
        power = 10.0**values - _LOG10_FLOOR if scaled else values
        nothing = nothing | ~(power > 0)
        values = 10.0 * np.log10(np.where(nothing, 1.0, power))
    return np.where(nothing | ~np.isfinite(values), np.nan, values).astype(np.float32)


def _plane(
    physical: Mapping[str, NDArray[np.float32]], array: str, channel: int, shape: tuple[int, int]
) -> NDArray[np.float32]:
    return physical[array][channel] if array in physical else np.full(shape, np.nan, dtype=np.float32)


def _classes(one_hot: NDArray[Any]) -> NDArray[np.uint8]:
    """(class, h, w) → (h, w): 255 where no class, or more than one, is set."""
    one = (one_hot != 0).sum(axis=0) == 1
    return np.where(one, one_hot.argmax(axis=0), UNLABELLED).astype(np.uint8)
