"""A raster of one value over a box of longitudes and latitudes: what stands for open sea where a DEM has no tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from core.errors import ConfigError

CONSTANT = "constant:"
_PER_DEGREE = 3600  # as the elevation models beside it, so that both fade into each other over one pixel


@dataclass(frozen=True)
class Constant:
    """Written `constant:0?bounds=WEST,SOUTH,EAST,NORTH` (EPSG:4326); quacks like rasterio."""

    value: float
    bounds: tuple[float, float, float, float]

    @classmethod
    def parse(cls, path: str) -> Constant:
        """Raises ConfigError for anything that is not written so."""
        try:
            parts = urlsplit(path)
            west, south, east, north = (float(v) for v in parse_qs(parts.query)["bounds"][0].split(","))
            return cls(float(parts.path), (west, south, east, north))
        except (KeyError, ValueError) as error:
            raise ConfigError(path, expected=f"{CONSTANT}VALUE?bounds=WEST,SOUTH,EAST,NORTH") from error

    crs = CRS.from_epsg(4326)
    count = 1
    dtypes = ("float32",)
    nodatavals = (None,)
    scales = (1.0,)
    offsets = (0.0,)

    @property
    def transform(self) -> Affine:
        step = 1 / _PER_DEGREE
        return Affine(step, 0, self.bounds[0], 0, -step, self.bounds[3])

    @property
    def width(self) -> int:
        return round((self.bounds[2] - self.bounds[0]) * _PER_DEGREE)

    @property
    def height(self) -> int:
        return round((self.bounds[3] - self.bounds[1]) * _PER_DEGREE)

    def overviews(self, _band: int) -> list[int]:
        return []

    def read(self, indexes: Any, *, window: Window) -> NDArray[Any]:
        return np.full(self._shape(indexes, window), self.value, dtype=np.float32)

    def read_masks(self, indexes: Any, *, window: Window) -> NDArray[np.uint8]:
        return np.full(self._shape(indexes, window), 255, dtype=np.uint8)

    @staticmethod
    def _shape(indexes: Any, window: Window) -> tuple[int, ...]:
        size = int(window.height), int(window.width)
        return size if isinstance(indexes, int) else (len(indexes), *size)
