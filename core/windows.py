"""Windows: the model's input patches on a zone-wide lattice.

Window (i, j) starts at pixel (i · stride, j · stride) of the zone, whatever block is being mapped, so a pixel is seen
by the same windows however the work is cut. Which windows run is decided by the outlines alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from core.errors import ConfigError
from core.grid import Lattice, PixelWindow

IntArray = NDArray[np.int64]
# Below so many vertices GEOS measures a distance sooner than it builds an index to do so.
_WORTH_AN_INDEX = 500


@dataclass(frozen=True)
class WindowLattice:
    """Square windows of `size_px` every `stride_px` pixels. Raises ConfigError if the stride leaves gaps."""

    size_px: int
    stride_px: int

    def __post_init__(self) -> None:
        if not 0 < self.stride_px <= self.size_px:
            raise ConfigError(
                "window lattice", found=f"stride {self.stride_px}, size {self.size_px}", expected="0 < stride ≤ size"
            )

    def window(self, i: int, j: int) -> PixelWindow:
        row, col = i * self.stride_px, j * self.stride_px
        return PixelWindow(row, row + self.size_px, col, col + self.size_px)

    def index_range(self, first_px: NDArray[np.int64], last_px: NDArray[np.int64]) -> tuple[IntArray, IntArray]:
        """Along one axis: half-open range of window indices that share a pixel with [first_px, last_px)."""
        first = -((self.size_px - 1 - first_px) // self.stride_px)
        return first, (last_px - 1) // self.stride_px + 1

    def over(self, area: PixelWindow) -> tuple[range, range]:
        """Indices (i, j) of all windows that share a pixel with `area`."""
        rows = self.index_range(np.array([area.row0]), np.array([area.row1]))
        cols = self.index_range(np.array([area.col0]), np.array([area.col1]))
        return range(int(rows[0][0]), int(rows[1][0])), range(int(cols[0][0]), int(cols[1][0]))


def active_windows(
    outlines: NDArray[np.object_],
    lattice: Lattice,
    windows: WindowLattice,
    buffer_m: float,
    within: PixelWindow | None = None,
) -> tuple[IntArray, IntArray]:
    """Indices (i, j), sorted, of the windows that touch the outlines grown by `buffer_m`.

    outlines: projected polygons of the zone. within: only windows that share a pixel with it.
    One pixel is added to the distance: a pixel counts as near if its centre is within `buffer_m` of the centre of a
    covered pixel (`near_outlines`), and every window that holds such a pixel must run, or the pixel would depend on
    how the work was cut.
    """
    if len(outlines) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    reach = buffer_m + lattice.res_m
    bounds = shapely.bounds(outlines)
    row_a, col_a = lattice.to_pixels(bounds[:, 0] - reach, bounds[:, 3] + reach)
    row_b, col_b = lattice.to_pixels(bounds[:, 2] + reach, bounds[:, 1] - reach)
    row_a, col_a, row_b, col_b = np.floor(row_a), np.floor(col_a), np.ceil(row_b), np.ceil(col_b)
    if within is not None:
        hit = (row_b > within.row0) & (row_a < within.row1) & (col_b > within.col0) & (col_a < within.col1)
        outlines, row_a, col_a, row_b, col_b = outlines[hit], row_a[hit], col_a[hit], row_b[hit], col_b[hit]
    i0, i1 = windows.index_range(row_a.astype(np.int64), row_b.astype(np.int64))
    j0, j1 = windows.index_range(col_a.astype(np.int64), col_b.astype(np.int64))
    if within is not None:
        rows, cols = windows.over(within)
        i0, i1 = np.maximum(i0, rows.start), np.minimum(i1, rows.stop)
        j0, j1 = np.maximum(j0, cols.start), np.minimum(j1, cols.stop)
    owner, i, j = expand_ranges(i0, i1, j0, j1)
    boxes = lattice.boxes_m(i * windows.stride_px, j * windows.stride_px, windows.size_px)
    near = within_reach(outlines, owner, boxes, reach)
    return unique_pairs(i[near], j[near])


def within_reach(
    outlines: NDArray[np.object_], owner: IntArray, boxes: NDArray[np.object_], reach_m: float
) -> NDArray[np.bool_]:
    """Whether each box is within `reach_m` of the outline `owner` that it belongs to. Vectorised.

    Copies of the large outlines are indexed: an index takes several times the memory of its outline, stays with it
    for good, and must not be dropped while another thread looks.
    """
    large = np.flatnonzero(shapely.get_num_coordinates(outlines) > _WORTH_AN_INDEX)
    indexed = outlines.copy()
    indexed[large] = shapely.from_wkb(shapely.to_wkb(outlines[large]))
    shapely.prepare(indexed[large])
    return np.asarray(shapely.dwithin(indexed[owner], boxes, reach_m))


def unique_pairs(i: IntArray, j: IntArray) -> tuple[IntArray, IntArray]:
    """The distinct (i, j), sorted: as `np.unique` of rows would give them, but through one integer each."""
    if len(i) == 0:
        return i, j
    i_first, j_first = i.min(), j.min()
    width = j.max() - j_first + 1
    key = np.unique((i - i_first) * width + (j - j_first))
    return key // width + i_first, key % width + j_first


def expand_ranges(i0: IntArray, i1: IntArray, j0: IntArray, j1: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """All (owner, i, j) with i0[owner] ≤ i < i1[owner] and j0[owner] ≤ j < j1[owner], without a Python loop."""
    tall, wide = np.maximum(0, i1 - i0), np.maximum(0, j1 - j0)
    count = tall * wide
    owner = np.repeat(np.arange(len(count)), count)
    k = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    return owner, i0[owner] + k // np.maximum(1, wide[owner]), j0[owner] + k % np.maximum(1, wide[owner])
