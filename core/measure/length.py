"""Length: how far it is over the ice from a glacier's terminus to its far end.

An estimate of `lmax_m`, for which RGI 7.0 draws centre lines (Kienholz et al. 2014, 10.5194/tc-8-503-2014): those run
from the terminus to heads, high points of the margin, and keep to the middle of the ice. Here ways are the cheapest
over cells of ice, where a step along the margin costs twice one in the middle of the glacier, and the length is that
of the longest of them. No elevation decides on it but that of the terminus.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from core.measure.frame import framed, whole_cells

Mask = NDArray[np.bool_]
_CELLS = 1200  # what keeps the ways of one glacier near half a millisecond
# Steps to eight neighbours and eight knight's moves, without their opposites: what else must be ice on the way. So a
# straight way in any direction comes out at most 2.8 % too long.
_STEPS: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {
    (0, 1): (),
    (1, 0): (),
    (1, 1): (),
    (1, -1): (),
    (1, 2): ((0, 1), (1, 1)),
    (2, 1): ((1, 0), (1, 1)),
    (1, -2): ((0, -1), (1, -1)),
    (2, -1): ((1, 0), (1, -1)),
}


def longest_way_m(part: Mask, row: int, col: int, side_m: float) -> float:
    """Length in metres of the longest way over `part` (h, w) from its pixel (row, col); 0 for one pixel.

    side_m: true side of a pixel. The part is taken as about 1200 cells or fewer of n × n pixels, a cell being ice where
    any pixel is. Against the RGI's own lengths see `tests/unit/measure/test_rgi7_attributes.py`; that the margin costs
    twice as much as the middle, and not the same or more, was chosen there, among five, and is no law.
    """
    n = max(1, int(np.ceil(np.sqrt(np.count_nonzero(part) / _CELLS))))
    cells = _any_of(part, n)
    inside = distance_transform_edt(framed(cells))[1:-1, 1:-1]
    cost = (2.0 - inside / inside.max())[cells]
    begin, end, length = _steps(cells)
    ways = (length * (cost[begin] + cost[end]) / 2, (begin, end))
    start = int(np.count_nonzero(cells[: row // n])) + int(np.count_nonzero(cells[row // n, : col // n]))
    graph = coo_array(ways, shape=(len(cost), len(cost))).tocsr()
    _, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    return float(_along(before, *np.nonzero(cells)).max() * n * side_m)


def _steps(cells: Mask) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """All steps between cells, numbered in row-major order: (from, to, length in cells)."""
    h, w = cells.shape
    number = np.full((h + 4, w + 4), -1, dtype=np.int32)
    number[2:-2, 2:-2][cells] = np.arange(np.count_nonzero(cells), dtype=np.int32)

    def moved(down: int, right: int) -> NDArray[np.int32]:
        return number[2 + down : 2 + down + h, 2 + right : 2 + right + w]

    begin, end, length = [], [], []
    for (down, right), over in _STEPS.items():
        joined = cells & (moved(down, right) >= 0)
        for cell in over:
            joined &= moved(*cell) >= 0
        begin.append(moved(0, 0)[joined])
        end.append(moved(down, right)[joined])
        length.append(np.full(len(begin[-1]), np.hypot(down, right)))
    return np.concatenate(begin), np.concatenate(end), np.concatenate(length)


def _along(before: NDArray[np.int32], row: NDArray[np.intp], col: NDArray[np.intp]) -> NDArray[np.float64]:
    """Length of the way to each cell, by the cell before it (negative at the start): ways are doubled until all end."""
    at = np.where(before < 0, np.arange(len(before)), before)
    length = np.hypot(row - row[at], col - col[at])
    while not np.array_equal(at, at[at]):
        length, at = length + length[at], at[at]
    return np.asarray(length)


def _any_of(mask: Mask, n: int) -> Mask:
    """n × n pixels → one, true where any is."""
    return mask if n == 1 else np.asarray(whole_cells(mask, n).any(axis=(1, 3)))
