"""Sets of references: made from GeoTIFFs or NetCDF-4/HDF5 files, written as JSON or Parquet, opened with xarray.

The formats are kerchunk's (version 1 of its JSON; the Parquet of fsspec's LazyReferenceMapper). Targets are written as
absolute URLs, or relative to the folder of the set, so that both can be moved together: where a target is no longer
there, reading says which. A window that is read through a set costs the bytes of the chunks that it touches.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr
from affine import Affine

from core.errors import ConfigError
from core.objects import Objects
from core.virtual.files import absolute, filesystem, public, read_range, scheme, storage_error, suffix
from core.virtual.hdf5 import hdf5_file
from core.virtual.join import join
from core.virtual.layout import Range, VirtualArray, VirtualFile
from core.virtual.store import MADE_HERE, PARQUET_SUFFIXES, encode_inline, reference_store, relative_to
from core.virtual.tiff import tiff_file

RECORD_SIZE = 100_000  # references per file of Parquet
_THREADS = 8
_VERSION = 1


@dataclass(frozen=True)
class ArraySummary:
    """One array of a set. n_bytes: of other files that it refers to."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    n_chunks: int
    n_bytes: int


@dataclass(frozen=True)
class Summary:
    """What was made. skipped: (name, why) of what the files hold and the set does not."""

    out: str
    files: tuple[str, ...]
    arrays: tuple[ArraySummary, ...]
    skipped: tuple[tuple[str, str], ...]

    @property
    def n_chunks(self) -> int:
        return sum(a.n_chunks for a in self.arrays)

    @property
    def n_bytes(self) -> int:
        return sum(a.n_bytes for a in self.arrays)


def make_references(
    urls: Sequence[str], out: str, *, relative: bool = False, progress: Callable[[int, int], None] | None = None
) -> Summary:
    """One set of references of all files, written to `out`: `.json`, or `.parq` for a folder of Parquet.

    urls: paths, s3:// or http(s)://; several must be of one grid, either the same again and again, which are stacked in
    the order given, or GeoTIFF tiles side by side. relative: targets below the folder of `out` are written relative to
    it. progress: is told (files read, files). Raises ConfigError naming the file that differs or has no references.
    """
    end = suffix(out)
    if end != ".json" and end not in PARQUET_SUFFIXES:
        raise ConfigError(out, found=f"suffix {end!r}", expected="NAME.json, or NAME.parq for a folder of Parquet")
    if not urls:
        raise ConfigError(out, found="no file", expected="at least one GeoTIFF or NetCDF-4/HDF5 file")
    if scheme(out) == "http":
        raise ConfigError(out, found="http", expected="a path or s3://")
    files: list[VirtualFile] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for file in pool.map(virtual_file, urls):
            files.append(file)
            if progress is not None:
                progress(len(files), len(urls))
    joined = join(files)
    shorten = (lambda target: relative_to(target, out)) if relative else (lambda target: target)
    write = _write_json if end == ".json" else _write_parquet
    write(joined, out, shorten)
    arrays = tuple(
        ArraySummary(name, a.dims, a.shape, a.dtype.name, len(a.refs), a.n_bytes) for name, a in joined.arrays.items()
    )
    return Summary(absolute(out), tuple(file.url for file in files), arrays, joined.skipped)


def virtual_file(url: str) -> VirtualFile:
    """The references of one file, by what it begins with."""
    try:
        size = filesystem(url).size(url)
    except FileNotFoundError:
        raise ConfigError(public(url), found="no such file", fix="check the path") from None
    except Exception as error:
        raise storage_error(error, url) from None
    first = read_range(url, 0, min(8, size or 0))
    if first[:2] in (b"II", b"MM"):
        return tiff_file(url)
    if first.startswith(b"\x89HDF"):
        return hdf5_file(url)
    raise ConfigError(public(url), found=f"a file that begins with {first!r}", expected="GeoTIFF, NetCDF-4 or HDF5")


def open_references(url: str) -> xr.Dataset:
    """The set as a dataset, lazily and as stored: scale_factor, add_offset and nodata are told and not applied.

    Rasters get coordinates x and y of their pixel centres. Raises PoisonError naming what is not there.
    """
    store = reference_store(url)
    try:
        dataset: xr.Dataset = xr.open_zarr(store, consolidated=True, chunks=None, mask_and_scale=False, zarr_format=2)
    except Exception as error:
        raise storage_error(error, url, "set of references") from None
    placed: xr.Dataset = dataset.assign_coords(_centres(dataset))
    return placed


def _centres(dataset: xr.Dataset) -> dict[str, Any]:
    for array in dataset.data_vars.values():
        text = array.attrs.get("GeoTransform")
        if text is None or "y" not in array.dims or {"x", "y"} & set(dataset.coords):
            continue
        transform = Affine.from_gdal(*map(float, str(text).split()))
        if transform.b == transform.d == 0:
            x = transform.c + transform.a * (np.arange(array.sizes["x"]) + 0.5)
            y = transform.f + transform.e * (np.arange(array.sizes["y"]) + 0.5)
            return {"x": ("x", x), "y": ("y", y)}
    return {}


def _metadata(file: VirtualFile) -> dict[str, Any]:
    """Keys of Zarr 2 that hold JSON."""
    made: dict[str, Any] = {}
    groups = {g for name in file.arrays for g in _above(name)} | set(file.groups) | {""}
    for group in sorted(groups):
        prefix = f"{group}/" if group else ""
        made[f"{prefix}.zgroup"] = {"zarr_format": 2}
        made[f"{prefix}.zattrs"] = dict(file.groups.get(group, {}))
    made[".zattrs"][MADE_HERE] = _VERSION
    for name, array in file.arrays.items():
        made[f"{name}/.zarray"] = {
            "zarr_format": 2,
            "shape": list(array.shape),
            "chunks": list(array.chunks),
            "dtype": array.dtype.str,
            "order": "C",
            "fill_value": _fill(array),
            "compressor": array.compressor,
            "filters": [dict(f) for f in array.filters] or None,
            "dimension_separator": ".",
        }
        made[f"{name}/.zattrs"] = {**array.attrs, "_ARRAY_DIMENSIONS": list(array.dims)}
    return made


def _above(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _fill(array: VirtualArray) -> Any:
    if array.fill is None or isinstance(array.fill, (int, bool)):
        return array.fill
    if math.isfinite(array.fill):
        return array.fill
    return "NaN" if math.isnan(array.fill) else "Infinity" if array.fill > 0 else "-Infinity"


def _write_json(file: VirtualFile, out: str, shorten: Callable[[str], str]) -> None:
    metadata = _metadata(file)
    refs: dict[str, Any] = {".zmetadata": json.dumps({"zarr_consolidated_format": 1, "metadata": metadata})}
    refs |= {key: json.dumps(value) for key, value in metadata.items()}
    for name, array in file.arrays.items():
        for index, ref in array.refs.items():
            key = f"{name}/{'.'.join(map(str, index)) or '0'}"
            refs[key] = encode_inline(ref) if isinstance(ref, bytes) else [shorten(ref[0]), ref[1], ref[2]]
    folder, name = absolute(out).rsplit("/", 1)
    Objects(folder).put(name, json.dumps({"version": 1, "refs": refs}).encode())


def _write_parquet(file: VirtualFile, out: str, shorten: Callable[[str], str]) -> None:
    objects = Objects(absolute(out))
    for key, _ in objects.list():  # a set that was here before may have had more
        objects.delete(key)
    metadata: Mapping[str, Any] = {
        "zarr_consolidated_format": 1,
        "metadata": _metadata(file),
        "record_size": RECORD_SIZE,
    }
    for name, array in file.arrays.items():
        grid = [-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True)]
        rows: list[Range | bytes | None] = [None] * math.prod(grid)
        for index, ref in array.refs.items():
            rows[int(np.ravel_multi_index(index, grid)) if grid else 0] = ref
        for record in range(-(-len(rows) // RECORD_SIZE)):
            part = rows[record * RECORD_SIZE : (record + 1) * RECORD_SIZE]
            part += [None] * (RECORD_SIZE - len(part) if record else 0)
            objects.put(f"{name}/refs.{record}.parq", _parquet(part, shorten))
    objects.put(".zmetadata", json.dumps(metadata).encode())  # last: without it there is no set


def _parquet(rows: Sequence[Range | bytes | None], shorten: Callable[[str], str]) -> bytes:
    ranges = [None if row is None or isinstance(row, bytes) else row for row in rows]
    table = pa.table(
        {
            "path": pa.array([shorten(r[0]) if r else None for r in ranges], pa.string()).dictionary_encode(),
            "offset": pa.array([r[1] if r else 0 for r in ranges], pa.int64()),
            "size": pa.array([r[2] if r else 0 for r in ranges], pa.int64()),
            "raw": pa.array([row if isinstance(row, bytes) else None for row in rows], pa.binary()),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
