"""Ownership: which share of a pixel belongs to which glacier.

Where outlines cover a pixel, it is divided among them in proportion to what each covers; a free pixel within the
advance distance belongs whole to the glacier of the nearest covered pixel. Shares of one pixel therefore add up to
one or to nothing, in whichever window they are computed: no ground belongs to two glaciers, and the divides of the
inventory stay where they are, to a fraction of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from core.coverage import coverage_packed
from core.grid import Lattice, PixelWindow

_BATCH_PX = 1 << 22


@dataclass(frozen=True)
class Ownership:
    """One glacier in its window. own: share of the pixel inside its outline; share: of the pixel that it owns;
    covered: share inside any outline. All (rows, cols) float32 in [0, 1]."""

    window: PixelWindow
    own: NDArray[np.float32]
    share: NDArray[np.float32]
    covered: NDArray[np.float32]


def advance_px(advance_m: float, res_m: int) -> int:
    """Whole pixels within the advance distance."""
    return math.floor(advance_m / res_m + 1e-9)


def glacier_window(bounds_m: Sequence[float], lattice: Lattice, advance_m: float) -> PixelWindow:
    """The window in which a glacier is measured: its bounds, every pixel it may own, and all that decides on those."""
    xmin, ymin, xmax, ymax = (float(b) for b in bounds_m)
    return lattice.cover((xmin, ymin, xmax, ymax)).pad(2 * advance_px(advance_m, lattice.res_m) + 1)


def ownerships(
    wanted: NDArray[np.int64], outlines: NDArray[np.object_], tree: shapely.STRtree, lattice: Lattice, advance_m: float
) -> Iterator[tuple[int, Ownership]]:
    """(index, Ownership) of each wanted outline, in order.

    outlines: all projected outlines of the zone, neighbours from other zones included; their order breaks ties, so it
    must be the same everywhere. tree: over the same outlines. Memory: about 16 bytes per pixel of 4 Mpx, or of the
    largest window if that is more.
    """
    bounds = shapely.bounds(outlines[wanted])
    windows = [glacier_window(b, lattice, advance_m) for b in bounds]
    boxes = shapely.box(*np.array([lattice.bounds_m(w) for w in windows]).reshape(-1, 4).T)
    at, neighbour = tree.query(boxes, predicate="intersects")
    order = np.lexsort((neighbour, at))
    at, neighbour = at[order], neighbour[order]
    # A neighbour is computed only where its own bounds and the window meet; a glacier, in its whole window.
    parts = [
        windows[i] if n == wanted[i] else windows[i].intersect(lattice.cover(tuple(b)))
        for i, n, b in zip(at.tolist(), neighbour.tolist(), shapely.bounds(outlines[neighbour]).tolist(), strict=True)
    ]
    first = np.searchsorted(at, np.arange(len(wanted) + 1))
    cost = np.add.reduceat([p.size for p in parts], first[:-1]) if len(wanted) else np.empty(0, np.int64)
    for begin, end in _batches(cost):
        pairs = slice(first[begin], first[end])
        shares = coverage_packed(outlines[neighbour[pairs]], parts[pairs], lattice)
        for i in range(begin, end):
            own = slice(first[i], first[i + 1])
            mine = [
                _Cover(int(n), part, share)
                for n, part, share in zip(
                    neighbour[own], parts[own], shares[own.start - pairs.start : own.stop - pairs.start], strict=True
                )
            ]
            yield int(wanted[i]), _divide(int(wanted[i]), mine, windows[i], lattice, advance_m)


def _batches(cost: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    begin, used = 0, 0
    for i, c in enumerate(cost):
        if i > begin and used + c > _BATCH_PX:
            yield begin, i
            begin, used = i, 0
        used += int(c)
    if begin < len(cost):
        yield begin, len(cost)


@dataclass(frozen=True)
class _Cover:
    """What one outline covers in its part of a window."""

    index: int
    part: PixelWindow
    share: NDArray[np.float32]


def _divide(index: int, covers: Sequence[_Cover], window: PixelWindow, lattice: Lattice, advance_m: float) -> Ownership:
    own = next(c.share for c in covers if c.index == index)
    covered, strongest = own.copy(), own > 0
    for other in covers:
        if other.index != index and not other.part.empty:
            here = other.part.slices(window)
            covered[here] += other.share
            strongest[here] &= (own[here] > other.share) if other.index < index else (own[here] >= other.share)
    share = np.zeros_like(own)
    np.divide(own, covered, out=share, where=covered > 0)
    reach = advance_px(advance_m, lattice.res_m)
    if reach:
        _advance(share, covered > 0, strongest, reach)
    return Ownership(window, own, share, np.minimum(covered, 1.0))


def _advance(share: NDArray[np.float32], taken: NDArray[np.bool_], mine: NDArray[np.bool_], reach: int) -> None:
    """Give each free pixel within `reach` to the glacier of the nearest taken pixel; sets share to 1 where it is mine.

    Offsets are tried from near to far in a fixed order, so a tie falls the same way in every window.
    """
    rows, cols = share.shape
    span = np.arange(-reach, reach + 1)
    dr, dc = (a.ravel() for a in np.meshgrid(span, span, indexing="ij"))
    square = dr * dr + dc * dc
    order = np.lexsort((dc, dr, square))
    order = order[(square[order] > 0) & (square[order] <= reach * reach)]
    # Only pixels near mine can become mine; the rest of the window is somebody else's business.
    near = np.zeros_like(mine)
    for k in order:
        r, c = int(dr[k]), int(dc[k])
        near[max(0, -r) : rows - max(0, r), max(0, -c) : cols - max(0, c)] |= mine[
            max(0, r) : rows + min(0, r), max(0, c) : cols + min(0, c)
        ]
    row, col = np.nonzero(near & ~taken)
    for k in order:
        r, c = row + dr[k], col + dc[k]
        inside = (r >= 0) & (r < rows) & (c >= 0) & (c < cols)
        hit = np.zeros(len(row), dtype=bool)
        hit[inside] = taken[r[inside], c[inside]]
        won = np.zeros(len(row), dtype=bool)
        won[hit] = mine[r[hit], c[hit]]
        share[row[won], col[won]] = 1.0
        row, col = row[~hit], col[~hit]
        if not len(row):
            return
