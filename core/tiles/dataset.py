"""Tiles as a data set: a whole zone, lazily, with names, coordinates, units and CRS.

For people and notebooks. It shows the arrays as they are stored: pixels that were not observed decode to NaN, but
blocks that were written and never committed show too, so the pipeline reads through `TileStore.read`.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import xarray as xr
from zarr.abc.store import Store
from zarr.storage import StorePath

from core.errors import ConfigError
from core.grid import Zone
from core.layout import TileLayout
from core.objects import Backend, Objects, zarr_location


def open_sensor(
    url: str, epoch: str, zone: Zone, sensor: str, backend: Backend = "obstore", chunks: Any = None
) -> xr.Dataset:
    """The tiles of one sensor over a whole zone: variables `<sensor>` (band, y, x) and `scene` (y, x), lazy.

    chunks: None reads what is indexed when it is used; {} or "auto" gives dask arrays of whole inner chunks.
    `spatial_ref` is a coordinate, so rioxarray finds the CRS. Nothing but 30 kB of metadata is read.
    Raises ConfigError if the store holds no such tiles.
    """
    key = TileLayout.sensor(epoch, zone, sensor)
    if Objects(url).get_or_none(f"{key}/zarr.json") is None:
        raise no_tiles(url, epoch, zone, sensor)
    store, path = zarr_location(url, key, backend, read_only=True)
    # Rooted at the group itself, because xarray looks for consolidated metadata at the root of a store only.
    root = StorePath(cast(Store, store), path)
    raw: xr.Dataset = xr.open_zarr(root, chunks=chunks, consolidated=True, decode_cf=False)
    packing = raw[sensor].attrs
    for name in {"scale_factor", "add_offset"} & set(packing):
        packing[name] = np.float32(packing[name])  # JSON numbers would decode to float64, at twice the memory
    return xr.decode_cf(raw, decode_coords="all")


def no_tiles(url: str, epoch: str, zone: Zone, sensor: str) -> ConfigError:
    return ConfigError(
        url,
        found=f"no {sensor} tiles of epoch {epoch} in zone {zone.name}",
        fix="run `icefleet ingest` for it first, or correct `tiles` and `epoch`",
    )
