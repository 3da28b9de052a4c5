"""The Zarr group of one (epoch, zone, sensor): its two arrays and their CF metadata (`core.shards` does the rest)."""

from __future__ import annotations

from typing import Any

from core.grid import Lattice
from core.sensors import Sensor
from core.shards import BlockArray, group_objects

SCENE = "scene"
NOT_WRITTEN = 255
_PLAIN_GROUP = b'{"zarr_format": 3, "node_type": "group", "attributes": {}}'


def tile_objects(key: str, lattice: Lattice, sensor: Sensor) -> dict[str, bytes]:
    """Every object of an empty tile group under `key`, its own metadata last.

    lattice: of the whole zone at the resolution of the tiles. The parents become groups too, so that readers may
    start at the root of the store or at an epoch.
    """
    data = BlockArray(
        sensor.name,
        sensor.dtype,
        sensor.numpy_dtype.type(sensor.fill),
        _data_attributes(sensor),
        n_bands=len(sensor.bands),
    )
    scene = BlockArray(
        SCENE,
        "uint8",
        NOT_WRITTEN,
        {
            "long_name": "number of the scene in the marker of the block; pixels of 0 and 255 are not observed",
            "flag_values": [0, NOT_WRITTEN],
            "flag_meanings": "not_observed not_written",
        },
    )
    attributes = {
        "title": f"{sensor.long_name}, {lattice.zone.name}, {lattice.res_m} m",
        "sensor": sensor.name,
        "zone": lattice.zone.name,
        "res_m": lattice.res_m,
    }
    above = ["/".join(key.split("/")[:depth]) for depth in range(1, key.count("/") + 1)]
    parents = dict.fromkeys(("zarr.json", *(f"{folder}/zarr.json" for folder in above)), _PLAIN_GROUP)
    return {**parents, **group_objects(key, lattice, [data, scene], attributes, sensor.band_names)}


def _data_attributes(sensor: Sensor) -> dict[str, Any]:
    units = {band.units for band in sensor.bands}
    attributes: dict[str, Any] = {
        "long_name": sensor.long_name,
        "ancillary_variables": SCENE,
        "band_long_names": [band.long_name for band in sensor.bands],
        "band_common_names": [band.common_name for band in sensor.bands],
    }
    if len(units) == 1:
        attributes["units"] = units.pop()
    if sensor.standard_name:
        attributes["standard_name"] = sensor.standard_name
    if sensor.dtype != "float32":
        attributes |= {"scale_factor": sensor.scale_factor, "add_offset": sensor.add_offset}
        attributes["_FillValue"] = int(sensor.fill)
    return attributes
