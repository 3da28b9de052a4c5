"""Rasters that are arrays of NetCDF-4 or HDF5, Zarr, or a set of kerchunk references.

`ArrayDataset` offers what the pixel path asks of a raster, in rasterio's words: a window costs the chunks that it
touches, stored numbers come out as they are stored (scale_factor and add_offset are told, not applied), row 0 is north.
An absent chunk is fill, by the rule of all three containers; a file that is gone or cut is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from core.errors import ConfigError, IcefleetError
from core.objects import steadily
from core.sensors import nearest
from core.virtual.files import public, storage_error
from core.virtual.place import Place, place_of
from core.virtual.tree import Tree, Variable, open_tree

_MAX_NAMES = 40
_WIDER = 4  # times the columns or bands of a window that a read may take in


@contextmanager
def open_array(path: str, variable: str) -> Iterator[ArrayDataset]:
    """One array of a container: local, s3:// or http(s)://; `.nc .h5 .zarr .json .parq`, else by what lies there.

    Raises ConfigError if there is no such array, naming the nearest, or if it is no raster; PoisonError, RefusedError
    or TransientError if it cannot be read.
    """
    with open_tree(path) as tree:
        yield _dataset(tree, path, variable)


def _dataset(tree: Tree, path: str, variable: str) -> ArrayDataset:
    name = variable.strip("/")
    where = f"{public(path)} variable {variable!r}"
    try:
        found = tree.variable(name)
        if found is None:
            raise ConfigError(where, found="no such array", fix=_near(tree, name))
        if found.dtype.kind not in "iufb" or found.attrs.get("_Unsigned") == "true":
            kind = "unsigned numbers in a signed type" if found.dtype.kind == "i" else f"type {found.dtype}"
            raise ConfigError(where, found=kind, expected="an array of numbers")
        made = ArrayDataset(tree, path, found, place_of(tree, name, found, where))
        tree.check()
        return made
    except IcefleetError:
        raise
    except Exception as error:
        tree.check()
        raise storage_error(error, path) from None


def _near(tree: Tree, name: str) -> str:
    """The clause that names the nearest array: in the deepest group of the name that is there."""
    group = name.rpartition("/")[0]
    while group and not tree.names(group):
        group = group.rpartition("/")[0]
    names = tree.names(group)
    return nearest(name, names if len(names) <= _MAX_NAMES else names[:_MAX_NAMES])


class ArrayDataset:
    """An array as a raster. Attributes and methods are rasterio's of the same names; bands count from 1.

    Bands are the axis that is neither y nor x; an array of two dimensions is one band. For one thread at a time.
    """

    def __init__(self, tree: Tree, path: str, variable: Variable, place: Place) -> None:
        self._tree, self._path, self._variable, self._place = tree, path, variable, place
        self.crs: CRS | None = place.crs
        self.transform: Affine = place.transform
        self.height, self.width = place.rows.stop - place.rows.start, place.cols.stop - place.cols.start
        self.count = 1 if place.band is None else variable.shape[place.band]
        attrs, dtype = variable.attrs, variable.dtype
        # rasterio has no bool
        self._dtype = np.dtype("uint8") if dtype.kind == "b" else dtype.newbyteorder("=")
        self.dtypes = (self._dtype.name,) * self.count
        nodata = variable.nodata[0] if variable.nodata else None
        self.nodatavals: tuple[float | None, ...] = (nodata,) * self.count
        self.scales = (float(attrs.get("scale_factor", 1.0)),) * self.count
        self.offsets = (float(attrs.get("add_offset", 0.0)),) * self.count
        self._last: tuple[tuple[tuple[int, ...], Window], NDArray[Any]] | None = None

    def overviews(self, _band: int) -> list[int]:
        """None: a container holds one resolution."""
        return []

    def read(self, indexes: int | Sequence[int] | None = None, *, window: Window | None = None) -> NDArray[Any]:
        """Stored numbers of a window inside the raster: (band, h, w), or (h, w) for one band given as a number.

        Raises PoisonError, RefusedError or TransientError.
        """
        if window is None:
            window = Window(0, 0, self.width, self.height)
        numbers = [indexes] if isinstance(indexes, int) else list(indexes or range(1, self.count + 1))
        wrong = [n for n in numbers if not 1 <= n <= self.count]
        if wrong:
            raise ConfigError(public(self._path), found=f"band {wrong[0]}", expected=f"bands 1 to {self.count}")
        asked = tuple(numbers), window
        if self._last is None or self._last[0] != asked:  # masks are asked for right after the values
            self._last = asked, steadily(lambda: self._read(numbers, window))
            self._last[1].flags.writeable = False  # it may be handed out again
        values = self._last[1]
        return values[0] if isinstance(indexes, int) else values

    def read_masks(
        self, indexes: int | Sequence[int] | None = None, *, window: Window | None = None
    ) -> NDArray[np.uint8]:
        """255 where a number stands for a value, 0 where it is nodata or NaN; shaped as by `read`."""
        values = self.read(indexes, window=window)
        valid = np.ones(values.shape, dtype=bool) if values.dtype.kind != "f" else ~np.isnan(values)
        for nodata in self._variable.nodata:
            if not math.isnan(nodata):
                valid &= values != nodata
        return np.where(valid, np.uint8(255), np.uint8(0))

    def _read(self, numbers: list[int], window: Window) -> NDArray[Any]:
        place = self._place
        rows = _stored(int(window.row_off), int(window.height), place.rows, place.flip_y)
        cols = _stored(int(window.col_off), int(window.width), place.cols, place.flip_x)
        out = np.empty((len(numbers), int(window.height), int(window.width)), dtype=self._dtype)
        for bands in self._together(numbers):
            first = min(bands)
            part = self._slice(rows, cols, slice(first - 1, max(bands)))
            for i, number in enumerate(numbers):
                if number in bands:
                    out[i] = part[number - first, :: -1 if place.flip_y else 1, :: -1 if place.flip_x else 1]
        return out

    def _together(self, numbers: list[int]) -> list[set[int]]:
        """Bands that share chunks or lie side by side, so that no byte is fetched twice."""
        chunks, axis = self._variable.chunks, self._place.band
        if self._interleaved:
            return [set(numbers)]
        depth = 1 if chunks is None or axis is None else chunks[axis]
        groups: dict[int, set[int]] = {}
        for number in numbers:
            groups.setdefault((number - 1) // depth, set()).add(number)
        return list(groups.values())

    @property
    def _interleaved(self) -> bool:
        """Whether the bands of a pixel lie side by side in one piece: a band alone is a read for every pixel."""
        return self._variable.chunks is None and (self._place.band or 0) > max(self._place.x, self._place.y)

    def _whole_pixels(self, bands: slice) -> slice:
        """Bands to read: all of them where they lie side by side, unless that is far more than is asked for."""
        many = self.count > _WIDER * (bands.stop - bands.start)
        return bands if many or not self._interleaved else slice(0, self.count)

    def _whole_rows(self, cols: slice) -> slice:
        """Columns to read: all of them where HDF5 keeps an array in one piece, in which rows are one read, unless that
        is far more than is asked for."""
        if self._variable.chunks is not None or self._place.x < self._place.y:
            return cols
        width = self._variable.shape[self._place.x]
        return slice(0, width) if width <= _WIDER * (cols.stop - cols.start) else cols

    def _slice(self, rows: slice, cols: slice, bands: slice) -> NDArray[Any]:
        """(band, y, x) as stored."""
        place = self._place
        asked = {place.y: rows, place.x: cols, **({} if place.band is None else {place.band: bands})}
        wide = {**asked, place.x: self._whole_rows(cols)}
        if place.band is not None:
            wide[place.band] = self._whole_pixels(bands)
        try:
            got = np.asarray(self._variable.values[tuple(wide[axis] for axis in sorted(wide))])
            got = got[tuple(_within(asked[axis], wide[axis]) for axis in sorted(wide))]
            self._tree.check()
        except IcefleetError:
            raise
        except MemoryError:
            raise
        except Exception as error:
            self._tree.check()
            raise storage_error(error, self._path) from None
        if place.band is None:
            return got.transpose(place.y, place.x)[None]
        return got.transpose(place.band, place.y, place.x)


def _stored(first: int, n: int, inside: slice, flipped: bool) -> slice:
    """A run of rows or columns of the raster, in the order of the array."""
    start = inside.stop - first - n if flipped else inside.start + first
    return slice(start, start + n)


def _within(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)
