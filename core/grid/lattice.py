"""The fixed pixel lattice of a zone, its blocks and windows of pixels.

x = col · res, y = TOP_M − row · res, with pixel corners on the lattice. Every allowed resolution divides a block, so
a block is the same piece of ground for every sensor: the unit of storage (one Zarr shard per array), of work and of
commit. Rows go on below northing 0, and southern zones have 76 km above the equator, for the glaciers that cross it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from core.errors import ConfigError
from core.grid.zone import Zone

BLOCK_M = 30_720
TOP_M = 328 * BLOCK_M  # 10,076,160 m: the first block border that leaves room above a southern zone's equator
ALLOWED_RES_M = (10, 20, 30, 60, 120)
# 332 rows of blocks reach 123 km below northing 0; 33 columns span every easting of a UTM zone, 131 those of UPS.
BLOCK_ROWS, UTM_BLOCK_COLS, UPS_BLOCK_COLS = 332, 33, 131
_BLOCK_NAME = re.compile(r"^(utm\d\d[ns]|ups[ns])-r(\d{3})-c(\d{3})$")


@dataclass(frozen=True, order=True)
class PixelWindow:
    """Half-open rectangle of lattice pixels: rows [row0, row1), columns [col0, col1)."""

    row0: int
    row1: int
    col0: int
    col1: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.row1 - self.row0, self.col1 - self.col0

    @property
    def empty(self) -> bool:
        return self.row1 <= self.row0 or self.col1 <= self.col0

    @property
    def size(self) -> int:
        return max(0, self.row1 - self.row0) * max(0, self.col1 - self.col0)

    def pad(self, px: int) -> PixelWindow:
        return PixelWindow(self.row0 - px, self.row1 + px, self.col0 - px, self.col1 + px)

    def intersect(self, other: PixelWindow) -> PixelWindow:
        """The shared rectangle; `.empty` if there is none."""
        return PixelWindow(
            max(self.row0, other.row0),
            min(self.row1, other.row1),
            max(self.col0, other.col0),
            min(self.col1, other.col1),
        )

    def around(self, other: PixelWindow) -> PixelWindow:
        """The smallest rectangle that holds both."""
        return PixelWindow(
            min(self.row0, other.row0),
            max(self.row1, other.row1),
            min(self.col0, other.col0),
            max(self.col1, other.col1),
        )

    def contains(self, other: PixelWindow) -> bool:
        return (
            self.row0 <= other.row0 and other.row1 <= self.row1 and self.col0 <= other.col0 and other.col1 <= self.col1
        )

    def slices(self, origin: PixelWindow) -> tuple[slice, slice]:
        """Where this window lies in an array that holds `origin`; negative if it does not lie inside."""
        return (
            slice(self.row0 - origin.row0, self.row1 - origin.row0),
            slice(self.col0 - origin.col0, self.col1 - origin.col0),
        )


@dataclass(frozen=True, order=True)
class Block:
    """A 30.72 km square of a zone, by block row (from the top) and block column. Named `utm45n-r226-c015`."""

    zone: Zone
    row: int
    col: int

    @property
    def name(self) -> str:
        return f"{self.zone.name}-r{self.row:03d}-c{self.col:03d}"

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax) in the metres of the zone."""
        x, y = self.col * BLOCK_M, TOP_M - self.row * BLOCK_M
        return float(x), float(y - BLOCK_M), float(x + BLOCK_M), float(y)

    @classmethod
    def parse(cls, name: str) -> Block:
        """Inverse of `name`. Raises ConfigError for anything else."""
        match = _BLOCK_NAME.match(name)
        if not match:
            raise ConfigError(f"block {name!r}", expected="a name such as utm45n-r226-c015")
        return cls(Zone(match[1]), int(match[2]), int(match[3]))


@dataclass(frozen=True, order=True)
class Lattice:
    """The pixels of one zone at one resolution in metres (one of 10, 20, 30, 60, 120).

    Raises ConfigError for any other resolution, because it would not divide a block.
    """

    zone: Zone
    res_m: int

    def __post_init__(self) -> None:
        if self.res_m not in ALLOWED_RES_M:
            raise ConfigError(
                "resolution", found=f"{self.res_m} m", expected="one of 10, 20, 30, 60, 120 m, which divide a block"
            )

    @property
    def block_px(self) -> int:
        return BLOCK_M // self.res_m

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the whole zone."""
        cols = UPS_BLOCK_COLS if self.zone.polar else UTM_BLOCK_COLS
        return BLOCK_ROWS * self.block_px, cols * self.block_px

    @property
    def window(self) -> PixelWindow:
        """Every pixel of the zone."""
        rows, cols = self.shape
        return PixelWindow(0, rows, 0, cols)

    def transform(self, window: PixelWindow) -> Affine:
        """Pixel (col, row) within `window` → zone metres, pixel corners."""
        return Affine(self.res_m, 0.0, window.col0 * self.res_m, 0.0, -self.res_m, TOP_M - window.row0 * self.res_m)

    def to_pixels(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Zone metres → fractional (row, column) on the lattice; whole numbers are pixel corners."""
        return (TOP_M - y) / self.res_m, x / self.res_m

    def block_window(self, block: Block) -> PixelWindow:
        """The pixels of a block of this zone."""
        n = self.block_px
        return PixelWindow(block.row * n, (block.row + 1) * n, block.col * n, (block.col + 1) * n)

    def cover(self, bounds_m: tuple[float, float, float, float]) -> PixelWindow:
        """The smallest pixel window that contains (xmin, ymin, xmax, ymax) in zone metres."""
        xmin, ymin, xmax, ymax = bounds_m
        r = self.res_m
        return PixelWindow(
            math.floor((TOP_M - ymax) / r),
            math.ceil((TOP_M - ymin) / r),
            math.floor(xmin / r),
            math.ceil(xmax / r),
        )

    def bounds_m(self, window: PixelWindow) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax) of a window in zone metres."""
        r = self.res_m
        return (
            float(window.col0 * r),
            float(TOP_M - window.row1 * r),
            float(window.col1 * r),
            float(TOP_M - window.row0 * r),
        )

    def boxes_m(self, row0: NDArray[np.int64], col0: NDArray[np.int64], size_px: int) -> NDArray[np.object_]:
        """Squares of `size_px` pixels from their first row and column: shapely boxes in zone metres. Vectorised."""
        x, y, side = col0 * self.res_m, TOP_M - row0 * self.res_m, size_px * self.res_m
        return np.asarray(shapely.box(x, y - side, x + side, y), dtype=object)

    def blocks(self, window: PixelWindow) -> Iterator[Block]:
        """Blocks that share a pixel with `window`, inside the zone, in row-major order."""
        inside, n = window.intersect(self.window), self.block_px
        if inside.empty:
            return
        for row in range(inside.row0 // n, (inside.row1 - 1) // n + 1):
            for col in range(inside.col0 // n, (inside.col1 - 1) // n + 1):
                yield Block(self.zone, row, col)

    def parts(self, windows: Iterable[PixelWindow]) -> dict[Block, PixelWindow]:
        """Block → the smallest rectangle in it that holds all that the windows share with it."""
        out: dict[Block, PixelWindow] = {}
        for window in windows:
            for block in self.blocks(window):
                inside = window.intersect(self.block_window(block))
                out[block] = out[block].around(inside) if block in out else inside
        return out

    def centres_m(self, window: PixelWindow) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(x of each column, y of each row) at pixel centres, in zone metres."""
        x = (np.arange(window.col0, window.col1, dtype=np.float64) + 0.5) * self.res_m
        y = TOP_M - (np.arange(window.row0, window.row1, dtype=np.float64) + 0.5) * self.res_m
        return x, y
