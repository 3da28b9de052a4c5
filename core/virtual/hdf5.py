"""References of HDF5 and NetCDF-4: every chunk of every numeric array, where it lies in the file.

Written anew beside kerchunk.hdf, because that reads absent chunks of NetCDF variables as 0 instead of their fill,
refuses checksums (fletcher32), makes one chunk of a contiguous array of any size, and warns where it should fail.
What Zarr cannot express (strings, compound types, filters without a codec) is skipped by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numcodecs
import numpy as np

from core.errors import ConfigError, IcefleetError
from core.virtual.files import RangeFile, absolute, public, storage_error
from core.virtual.layout import Index, Range, VirtualArray, VirtualFile, whole_inline
from core.virtual.tree import dims_of, nodata_of, plain

_HIDDEN = ("REFERENCE_LIST", "CLASS", "DIMENSION_LIST", "NAME", "missing_value", "_FillValue", "_NCProperties")
_CONTIGUOUS_BYTES = 1 << 20
_INLINE_VALUES = 1 << 16  # coordinates and scalars up to this length are kept in the set
_INLINE_BYTES = 64 << 20  # of chunks that HDF5 left without a filter that the others have


def hdf5_file(url: str) -> VirtualFile:
    """Raises PoisonError, RefusedError or TransientError if the file cannot be read to the end of its headers."""
    target = absolute(url)
    with RangeFile(target) as ranges:
        try:
            with h5py.File(ranges, "r") as file:
                found = _walk(file, target)
        except IcefleetError:
            raise
        except Exception as error:
            raise ranges.failed or storage_error(error, target) from None
        if ranges.failed is not None:
            raise ranges.failed
    if not found.arrays:
        reasons = "; ".join(f"{name}: {why}" for name, why in found.skipped[:3])
        raise ConfigError(public(url), found=f"no array to refer to{': ' + reasons if reasons else ''}")
    return found


def _walk(file: h5py.File, target: str) -> VirtualFile:
    arrays: dict[str, VirtualArray] = {}
    groups: dict[str, Mapping[str, Any]] = {"": _attrs(file)}
    skipped: list[tuple[str, str]] = []
    for name, node in _nodes(file, ""):
        if isinstance(node, h5py.Group):
            groups[name] = _attrs(node)
            continue
        try:
            arrays[name] = _array(node, target)
        except NotImplementedError as error:
            skipped.append((name, str(error)))
    return VirtualFile(target, arrays, groups, tuple(skipped))


def _nodes(group: h5py.Group, prefix: str) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    for key in group:
        link = group.get(key, getlink=True)
        if not isinstance(link, h5py.HardLink):
            continue
        node = group[key]
        name = f"{prefix}{key}"
        if isinstance(node, (h5py.Group, h5py.Dataset)):
            yield name, node
        if isinstance(node, h5py.Group):
            yield from _nodes(node, f"{name}/")


def _attrs(node: Any) -> dict[str, Any]:
    attrs = {k: v for k, v in plain(node.attrs).items() if k not in _HIDDEN and not k.startswith("_Netcdf4")}
    return {k: v for k, v in attrs.items() if v != "DIMENSION_SCALE"}


def _array(dataset: h5py.Dataset, target: str) -> VirtualArray:
    """Raises NotImplementedError with the reason for what Zarr cannot express."""
    if dataset.shape is None or 0 in dataset.shape:
        raise NotImplementedError("it is empty")
    if dataset.dtype.kind not in "iufb":
        raise NotImplementedError(f"type {dataset.dtype}")
    if dataset.external or dataset.is_virtual:
        raise NotImplementedError("its values lie in other files")
    attrs = _attrs(dataset)
    nodata = nodata_of(dataset)
    if nodata:
        attrs["_FillValue"] = nodata[0] if math.isfinite(nodata[0]) else str(nodata[0])
    dims = tuple(d or f"phony_dim_{i}" for i, d in enumerate(dims_of(dataset)))
    layout = dataset.id.get_create_plist().get_layout()
    if layout == h5py.h5d.COMPACT or dataset.ndim == 0 or (dataset.ndim == 1 and dataset.size <= _INLINE_VALUES):
        return whole_inline(np.asarray(dataset[()]), dims, attrs)
    if dataset.chunks is None:
        filters: tuple[dict[str, Any], ...] = ()
        chunks, refs = _contiguous(dataset, target)
    else:
        filters, chunks = _filters(dataset), dataset.chunks
        refs = _chunked(dataset, target, filters)
    complete = len(refs) == math.prod(-(-n // c) for n, c in zip(dataset.shape, chunks, strict=True))
    fill = None if complete and not nodata else dataset.fillvalue.item()
    return VirtualArray(dataset.shape, chunks, dataset.dtype, dims, refs, fill, filters=filters, attrs=attrs)


def _contiguous(dataset: h5py.Dataset, target: str) -> tuple[tuple[int, ...], dict[Index, Range | bytes]]:
    """Cut into runs of at most 1 MiB that divide the array evenly, for Zarr has no shorter last chunk."""
    offset = dataset.id.get_offset()
    chunks = list(dataset.shape)
    for axis, n in enumerate(dataset.shape):
        row = math.prod(dataset.shape[axis + 1 :]) * dataset.dtype.itemsize
        chunks[axis] = max((d for d in range(1, n + 1) if n % d == 0 and d * row <= _CONTIGUOUS_BYTES), default=1)
        if row <= _CONTIGUOUS_BYTES:
            break
    if offset is None:  # nothing was ever written
        return tuple(chunks), {}
    size = math.prod(chunks) * dataset.dtype.itemsize
    grid = [n // c for n, c in zip(dataset.shape, chunks, strict=True)]
    refs: dict[Index, Range | bytes] = {
        index: (target, offset + i * size, size) for i, index in enumerate(np.ndindex(*grid))
    }
    return tuple(chunks), refs


def _filters(dataset: h5py.Dataset) -> tuple[dict[str, Any], ...]:
    plist = dataset.id.get_create_plist()
    made = []
    for i in range(plist.get_nfilters()):
        code, _, values, name = plist.get_filter(i)
        if code == h5py.h5z.FILTER_DEFLATE:
            made.append({"id": "zlib", "level": int(values[0])})
        elif code == h5py.h5z.FILTER_SHUFFLE:
            made.append({"id": "shuffle", "elementsize": dataset.dtype.itemsize})
        elif code == h5py.h5z.FILTER_FLETCHER32:
            made.append({"id": "fletcher32"})
        elif code == 32001:
            made.append({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0})
        elif code == 32015:
            made.append({"id": "zstd", "level": int(values[0]) if values else 3})
        else:
            raise NotImplementedError(f"filter {code} ({bytes(name).decode('ascii', 'replace')})")
    return tuple(made)


def _chunked(dataset: h5py.Dataset, target: str, filters: tuple[dict[str, Any], ...]) -> dict[Index, Range | bytes]:
    refs: dict[Index, Range | bytes] = {}
    bare: list[tuple[int, ...]] = []

    def add(chunk: Any) -> None:
        index = tuple(int(o) // c for o, c in zip(chunk.chunk_offset, dataset.chunks, strict=True))
        if chunk.filter_mask:
            bare.append(tuple(int(o) for o in chunk.chunk_offset))
        refs[index] = (target, int(chunk.byte_offset), int(chunk.size))

    dataset.id.chunk_iter(add)
    n_bytes = len(bare) * math.prod(dataset.chunks) * dataset.dtype.itemsize
    if n_bytes > _INLINE_BYTES:
        raise NotImplementedError(f"{len(bare)} chunks without the filters of the others")
    for offset in bare:
        mask, raw = dataset.id.read_direct_chunk(offset)
        data: Any = bytes(raw)
        codecs = [numcodecs.get_codec(dict(f)) for f in filters]
        for i, codec in reversed(list(enumerate(codecs))):
            data = data if mask >> i & 1 else codec.decode(data)
        for codec in codecs:
            data = codec.encode(np.frombuffer(data, dataset.dtype) if isinstance(data, bytes) else data)
        refs[tuple(o // c for o, c in zip(offset, dataset.chunks, strict=True))] = bytes(data)
    return refs
