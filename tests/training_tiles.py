"""Files in the layout of the training tiles of GlaViTU, whose pixels are known functions of longitude and latitude.

Values are linear in both, so that interpolating them changes nothing; reflectance, backscatter and coherence so gently
that half a pixel is less than a step of the tile store.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

STORED, INSIDE = 128, 96  # stored and original pixels along a side
PAD = (STORED - INSIDE) // 2
STEP_DEG = 3e-4  # about 30 m
CHANNELS = {"optical": 6, "dem": 2, "co_pol_sar": 2, "cross_pol_sar": 2, "in_sar": 2, "thermal": 1}
_LABELS = {"outlines": 2, "bright_dark_outlines": 3}
_SLOPE = {"optical": 0.02, "dem": 2000.0, "co_pol_sar": 0.002, "cross_pol_sar": 0.0002, "in_sar": 0.02, "thermal": 1.0}
_BASE = {"optical": 0.1, "dem": 4000.0, "co_pol_sar": 0.1, "cross_pol_sar": 0.01, "in_sar": 0.3, "thermal": 260.0}
_BAND = {"optical": 0.1, "dem": -3980.0, "co_pol_sar": 0.05, "cross_pol_sar": 0.005, "in_sar": 0.2, "thermal": 0.0}


def truth(array: str, channel: int, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a channel (from 0) of an array holds at a place."""
    gradient = _SLOPE[array] if (array, channel) != ("dem", 1) else 1.0
    return _BASE[array] + channel * _BAND[array] + gradient * ((lon % 1.0) - 0.5 * (lat % 1.0))


@dataclass(frozen=True)
class TileAt:
    """Where a tile lies: its upper left corner, in degrees. broken: attributes that it lacks; scaled: to 0…1."""

    name: str
    west: float
    north: float
    without: Collection[str] = ()
    broken: Collection[str] = ()
    scaled: bool = False

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        return self.west, self.north - INSIDE * STEP_DEG, self.west + INSIDE * STEP_DEG, self.north

    def neighbour(self, name: str, cols: float, rows: float) -> TileAt:
        """A tile that lies so many tiles east and south of this one."""
        return TileAt(name, self.west + cols * INSIDE * STEP_DEG, self.north - rows * INSIDE * STEP_DEG)


def write_tiles(path: Path, tiles: Sequence[TileAt]) -> Path:
    with h5py.File(path, "w") as file:
        for tile in tiles:
            _write(file, tile)
    return path


def _write(file: h5py.File, tile: TileAt) -> None:
    group = file.create_group(tile.name)
    west, south, east, north = tile.bounds
    attrs = {
        "region": "HMA", "subregion": "HMA1", "tile_name": tile.name, "epsg": 4326, "height": STORED, "width": STORED,
        "original_height": INSIDE, "original_width": INSIDE, "padding_height": PAD, "padding_width": PAD,
        "xmin": west, "xmax": east, "ymin": south, "ymax": north,
    }  # fmt: skip
    group.attrs.update({key: value for key, value in attrs.items() if key not in tile.broken})
    at = (np.arange(INSIDE) + 0.5) * STEP_DEG
    lon, lat = np.meshgrid(west + at, north - at)
    for array, channels in CHANNELS.items():
        if array in tile.without:
            continue
        values = np.zeros((STORED, STORED, channels))
        inside = values[PAD : PAD + INSIDE, PAD : PAD + INSIDE]
        for channel in range(channels):
            inside[..., channel] = truth(array, channel, lon, lat)
        if tile.scaled and array == "dem":
            inside /= 9000.0
        group[array] = values
    for array, channels in _LABELS.items():
        group[array] = np.zeros((STORED, STORED, channels), dtype="uint8" if channels == 3 else "float64")
