"""Block-sharded Zarr groups: arrays over a whole zone in which one shard is one block, with coordinates and CRS.

Built in memory and then put object by object, so that it is the same on every backend, that many processes may write
it at once (all write the same bytes) and that the group's own `zarr.json`, which makes it visible, comes last.
Inner chunks are 256 px and end in a checksum, so a flipped byte is found when it is read.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
import zarr.storage
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from core.grid import Lattice
from core.objects import Objects

INNER_PX = 256
_DIMENSIONS = ("band", "y", "x")


@dataclass(frozen=True)
class BlockArray:
    """One array of a group. n_bands: None for (y, x), else (band, y, x); fill: what was never written reads as."""

    name: str
    dtype: str
    fill: np.generic | float | int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    n_bands: int | None = None


def group_objects(
    key: str,
    lattice: Lattice,
    arrays: Sequence[BlockArray],
    attributes: Mapping[str, Any],
    bands: Sequence[str] = (),
) -> dict[str, bytes]:
    """Every object of an empty group under `key`, the group's own metadata last; deterministic.

    lattice: of the whole zone. bands: names of the band coordinate. About 30 kB, whatever the zone: the coordinates
    are straight lines, which bit-shuffling all but removes.
    """
    objects: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        _build(zarr.storage.MemoryStore(objects), key, lattice, arrays, attributes, bands)
    data = {k: bytes(v.to_bytes()) for k, v in objects.items() if k.startswith(f"{key}/")}
    return dict(sorted(data.items(), key=lambda item: (item[0] == f"{key}/zarr.json", item[0])))


def encode_shard(array: zarr.Array[Any], chunk: tuple[int, ...], data: NDArray[Any]) -> bytes | None:
    """The stored bytes of one whole shard; None if it holds nothing but fill, which Zarr does not store.

    chunk: its coordinates; data: exactly its shape and dtype. Writing through the array instead would fetch the
    standing shard first (zarr 3.1 always does), and fail if that one is corrupt; one encoded object is put whole.
    """
    prototype = default_buffer_prototype()
    plain = array.async_array
    spec = array.metadata.get_chunk_spec(chunk, plain.config, prototype)
    buffer = prototype.nd_buffer.from_numpy_array(np.ascontiguousarray(data))
    (encoded,) = sync(plain.codec_pipeline.encode([(buffer, spec)]))
    return None if encoded is None else encoded.to_bytes()


def put_shard(objects: Objects, key: str, array: zarr.Array[Any], chunk: tuple[int, ...], data: NDArray[Any]) -> int:
    """Write one whole shard of the array at `key` as one object; its size in bytes, 0 for nothing but fill."""
    name = f"{key}/{array.metadata.encode_chunk_key(chunk)}"
    encoded = encode_shard(array, chunk, data)
    if encoded is None:
        objects.delete(name)
        return 0
    objects.put(name, encoded)
    return len(encoded)


def _build(
    store: zarr.storage.MemoryStore,
    key: str,
    lattice: Lattice,
    arrays: Sequence[BlockArray],
    attributes: Mapping[str, Any],
    bands: Sequence[str],
) -> None:
    group = zarr.create_group(store, path=key, zarr_format=3, attributes={"Conventions": "CF-1.11", **attributes})
    n, inner = lattice.block_px, min(INNER_PX, lattice.block_px)
    for array in arrays:
        leading = () if array.n_bands is None else (array.n_bands,)
        group.create_array(
            array.name,
            shape=(*leading, *lattice.shape),
            shards=(*leading, n, n),
            chunks=(*leading, inner, inner),
            dtype=array.dtype,
            compressors=_compressors(np.dtype(array.dtype).itemsize),
            fill_value=array.fill,
            dimension_names=_DIMENSIONS[1 - len(leading) :],
            attributes={**array.attributes, "grid_mapping": "spatial_ref"},
        )
    _coordinates(group, lattice, bands)
    zarr.consolidate_metadata(store, path=key)


def _coordinates(group: zarr.Group, lattice: Lattice, bands: Sequence[str]) -> None:
    x, y = lattice.centres_m(lattice.window)
    for name, values, axis in (("y", y, "Y"), ("x", x, "X")):
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=values.shape,
            dtype="float64",
            compressors=BloscCodec(cname="zstd", clevel=9, shuffle=BloscShuffle.bitshuffle, typesize=8),
            dimension_names=(name,),
            attributes={
                "standard_name": f"projection_{name}_coordinate",
                "long_name": f"{name} of the pixel centre",
                "units": "m",
                "axis": axis,
            },
        )
        array[:] = values
    if bands:
        band = group.create_array(
            "band",
            shape=(len(bands),),
            chunks=(len(bands),),
            dtype=str,
            dimension_names=("band",),
            attributes={"long_name": "band"},
        )
        band[:] = np.array(bands, dtype=object)
    reference = group.create_array("spatial_ref", shape=(), dtype="int64", attributes=_crs_attributes(lattice))
    reference[...] = lattice.zone.epsg


def _compressors(typesize: int) -> tuple[BloscCodec, Crc32cCodec]:
    shuffle = BloscShuffle.noshuffle if typesize == 1 else BloscShuffle.shuffle
    return BloscCodec(cname="zstd", clevel=3, shuffle=shuffle, typesize=typesize), Crc32cCodec()


def _crs_attributes(lattice: Lattice) -> dict[str, Any]:
    """CF grid mapping, plus the two attributes that GDAL and rioxarray read."""
    a = lattice.transform(lattice.window)
    return {
        **lattice.zone.crs.to_cf(),
        "spatial_ref": lattice.zone.crs.to_wkt(),
        "GeoTransform": " ".join(repr(float(v)) for v in (a.c, a.a, a.b, a.f, a.d, a.e)),
    }
