"""Groups and arrays of HDF5, Zarr and reference sets, under one face.

What the pixel path has to know of an array besides its values: names of dimensions, attributes as plain Python, and the
stored number that means "no value", which every container says in its own way.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import h5py
import numpy as np
import zarr
from numpy.typing import NDArray

from core.errors import ConfigError
from core.virtual.ahead import ChunkedHdf5, ReferredArray
from core.virtual.files import RangeFile, filesystem, public, read_range, storage_error, suffix
from core.virtual.store import MADE_HERE, PARQUET_SUFFIXES, Targets, targets_store, zarr_store

_HDF5_SUFFIXES = (".nc", ".nc4", ".h5", ".hdf5", ".he5", ".hdf")
_ZARR_FILES = ("zarr.json", ".zmetadata", ".zgroup", ".zarray")
_NETCDF = "_Netcdf4"  # attributes that the netCDF library leaves on its variables


@dataclass(frozen=True)
class Variable:
    """An array in its container. values: sliced like NumPy, stored numbers; dims: "" where a dimension has no name;
    nodata: the stored numbers that stand for no value."""

    values: Any
    dims: tuple[str, ...]
    attrs: Mapping[str, Any]
    nodata: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.values.dtype)
        return dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        return tuple(self.values.chunks) if self.values.chunks else None


class Tree(Protocol):
    """A container. Names are paths without a leading slash."""

    def variable(self, name: str) -> Variable | None: ...

    def attrs(self, group: str) -> Mapping[str, Any]: ...

    def names(self, group: str) -> list[str]: ...

    def check(self) -> None:
        """Raises the error that a library below has swallowed, if any."""


def kind_of(url: str) -> str:
    """`hdf5`, `zarr` or `references`: by the suffix, else by what lies there. Raises ConfigError for anything else."""
    end = suffix(url)
    if end in _HDF5_SUFFIXES or end == ".zarr":
        return "zarr" if end == ".zarr" else "hdf5"
    if end == ".json" or end in PARQUET_SUFFIXES:
        return "references"
    files = filesystem(url)
    try:
        if files.isfile(url):
            return _by_magic(url, read_range(url, 0, min(8, int(files.size(url) or 0))))
        if any(files.exists(f"{url.rstrip('/')}/{name}") for name in _ZARR_FILES):
            return "zarr"
    except OSError as error:
        raise storage_error(error, url) from None
    raise ConfigError(
        public(url), found="neither a file nor a Zarr folder", expected=".nc, .h5, .zarr, or references (.json, .parq)"
    )


def _by_magic(url: str, first: bytes) -> str:
    if first.startswith(b"\x89HDF"):
        return "hdf5"
    if first.lstrip().startswith(b"{"):
        return "references"
    if first.startswith(b"CDF"):
        raise ConfigError(public(url), found="NetCDF 3", expected="NetCDF-4", fix="convert it: nccopy -k nc4 IN OUT")
    if first[:2] in (b"II", b"MM"):
        raise ConfigError(public(url), found="a TIFF", expected="a container of arrays", fix="leave `variable` out")
    raise ConfigError(public(url), found=f"a file that begins with {first!r}", expected="HDF5, Zarr or references")


@contextmanager
def open_tree(url: str) -> Iterator[Tree]:
    """The container at a path or URL. Raises ConfigError, PoisonError, RefusedError or TransientError."""
    kind = kind_of(url)
    if kind == "hdf5":
        with RangeFile(url) as file:
            hdf5 = Hdf5Tree.over(file)
            try:
                yield hdf5
            finally:
                hdf5.file.close()
        return
    try:
        if kind == "references":
            targets = Targets(url)
            tree = ZarrTree(zarr.open_group(targets_store(targets), mode="r", zarr_format=2), targets)
        else:
            tree = ZarrTree(zarr.open_group(zarr_store(url), mode="r"))
    except Exception as error:
        raise storage_error(error, url, "Zarr group") from None
    yield tree


@dataclass(frozen=True)
class Hdf5Tree:
    """HDF5 and NetCDF-4, read with h5py."""

    file: h5py.File
    ranges: RangeFile

    @classmethod
    def over(cls, ranges: RangeFile) -> Hdf5Tree:
        try:
            return cls(h5py.File(ranges, "r"), ranges)
        except Exception as error:
            raise ranges.failed or storage_error(error, ranges.url) from None

    def variable(self, name: str) -> Variable | None:
        found = self.file.get(name)
        if not isinstance(found, h5py.Dataset) or found.shape is None:
            return None
        return Variable(ChunkedHdf5(found, self.ranges), dims_of(found), plain(found.attrs), nodata_of(found))

    def attrs(self, group: str) -> Mapping[str, Any]:
        found = self.file.get(group) if group else self.file
        return plain(found.attrs) if isinstance(found, h5py.Group) else {}

    def names(self, group: str) -> list[str]:
        found = self.file.get(group) if group else self.file
        return [f"{group}/{name}".lstrip("/") for name in found] if isinstance(found, h5py.Group) else []

    def check(self) -> None:
        if self.ranges.failed is not None:
            failed, self.ranges.failed = self.ranges.failed, None
            raise failed


def dims_of(dataset: h5py.Dataset) -> tuple[str, ...]:
    """Names of dimension scales, which is what NetCDF-4 calls its dimensions."""
    own = str(dataset.name).rsplit("/", 1)[-1]
    if dataset.ndim == 1 and dataset.is_scale:
        return (own,)
    return tuple(str(d[0].name).rsplit("/", 1)[-1] if len(d) else str(d.label) for d in dataset.dims)


def plain(attrs: Any) -> dict[str, Any]:
    """Attributes of HDF5 without NumPy, bytes and references."""
    values: dict[str, Any] = {}
    for name in attrs:
        try:
            value = attrs[name]
        except OSError:  # a type that h5py cannot read
            continue
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        if isinstance(value, (np.ndarray, np.generic)):
            value = value.tolist()
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, list):
            value = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value]
        if isinstance(value, (str, int, float, bool)) or (
            isinstance(value, list) and all(isinstance(v, (str, int, float, bool)) for v in value)
        ):
            values[name] = value
    return values


def nodata_of(dataset: h5py.Dataset) -> tuple[float, ...]:
    """`_FillValue` and `missing_value`; without them, of what the netCDF library wrote, its default fill.

    Plain HDF5 has a fill value of 0 that nobody asked for, which is no statement on the data.
    """
    declared = _declared(plain(dataset.attrs), dataset.dtype)
    if declared or dataset.dtype.itemsize == 1 or dataset.dtype.kind not in "iuf":
        return declared
    return (float(dataset.fillvalue),) if any(name.startswith(_NETCDF) for name in dataset.attrs) else ()


def _declared(attrs: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[float, ...]:
    numbers = [_number(attrs[name], dtype) for name in ("_FillValue", "missing_value") if name in attrs]
    return tuple(dict.fromkeys(n for n in numbers if n is not None))


def _number(value: Any, dtype: np.dtype[Any]) -> float | None:
    """A fill value as JSON has it. xarray writes those of floats in Zarr 3 as base64 of a little-endian double."""
    try:
        if isinstance(value, str) and value.endswith("=") and dtype.kind == "f":
            return float(struct.unpack("<d", base64.standard_b64decode(value))[0])
        return float(value[0] if isinstance(value, list) else value)
    except (ValueError, TypeError, IndexError, struct.error):
        return None


@dataclass(frozen=True)
class ZarrTree:
    """Zarr 2 and 3, and references, which are Zarr 2."""

    group: zarr.Group
    targets: Targets | None = None

    def variable(self, name: str) -> Variable | None:
        try:
            found = self.group[name]
        except KeyError:
            return None
        if not isinstance(found, zarr.Array):
            return None
        attrs = dict(found.attrs)
        metadata: Any = found.metadata
        dims: Any = attrs.get("_ARRAY_DIMENSIONS") or getattr(metadata, "dimension_names", None) or [""] * found.ndim
        values = found if self.targets is None else ReferredArray(found, name, self.targets)
        return Variable(values, tuple(d or "" for d in dims), attrs, self._nodata(found, attrs))

    def _nodata(self, array: Any, attrs: Mapping[str, Any]) -> tuple[float, ...]:
        declared = _declared(attrs, np.dtype(array.dtype))
        # In Zarr 2 the fill value of an array is its _FillValue, as xarray has it; our references tell the two apart.
        if declared or array.metadata.zarr_format == 3 or MADE_HERE in self.group.attrs or array.fill_value is None:
            return declared
        fill: NDArray[Any] = np.asarray(array.fill_value)
        return (float(fill),) if fill.dtype.kind in "iuf" else ()

    def attrs(self, group: str) -> Mapping[str, Any]:
        try:
            found = self.group[group] if group else self.group
        except KeyError:
            return {}
        return dict(found.attrs) if isinstance(found, zarr.Group) else {}

    def names(self, group: str) -> list[str]:
        try:
            found = self.group[group] if group else self.group
            return (
                [f"{group}/{name}".lstrip("/") for name, _ in found.members()] if isinstance(found, zarr.Group) else []
            )
        except Exception:  # plain http has no listings; then no name is near
            return []

    def check(self) -> None:
        return None
