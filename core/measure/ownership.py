"""Ownership: which share of a pixel belongs to which glacier.

Where outlines cover a pixel, it is divided among them in proportion to what each covers. Free ice within the advance
distance belongs whole to the glacier that a flood along the ground leads there (`core.measure.divides`). Shares of one
pixel therefore add up to one or to nothing, in whichever window they are computed: no ground belongs to two glaciers,
and the divides of the inventory stay where they are, to a fraction of a pixel.

Where outlines overlap, the ground belongs to the one that comes first, and the others are as if it had been cut out of
them. Neighbours of another zone are flooded there, on other pixels: between them and the glaciers of this zone the
straight distance decides, and a strip of a pixel on either side of the middle belongs to nobody.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, maximum_filter

from core.coverage import coverage_packed
from core.grid import Lattice, PixelWindow
from core.measure.divides import FREE, flood

_BATCH_PX = 1 << 22
# Shares of a pixel that differ by less are equal: the same pixel must have the same label whatever else is in a batch.
_EQUAL_SHARES = 1e-5


@dataclass(frozen=True)
class Ownership:
    """One glacier in its window. index: its number among the outlines; own: share of the pixel inside its outline, less
    what outlines before it claim too; share: of the pixel that it owns; covered: share inside any outline; all
    (rows, cols) float32 in [0, 1]. label: (rows, cols) int32, number of the outline that has most of the pixel, −1 for
    none. foreign: (rows, cols) bool, pixels that lie mostly in outlines of another zone, None if none does. ceded_px:
    what it cedes to outlines before it, in whole pixels. beyond_px: pixels of ice next to its new ice that lie beyond
    the reach; cut_off: (rows, cols) bool, its new ice between those and the outline, None for none."""

    index: int
    window: PixelWindow
    own: NDArray[np.float32]
    share: NDArray[np.float32]
    covered: NDArray[np.float32]
    label: NDArray[np.int32]
    foreign: NDArray[np.bool_] | None = None
    ceded_px: float = 0.0
    beyond_px: int = 0
    cut_off: NDArray[np.bool_] | None = None


def advance_px(advance_m: float, res_m: int) -> int:
    """Whole pixels within the advance distance."""
    return math.floor(advance_m / res_m + 1e-9)


def glacier_window(bounds_m: Sequence[float], lattice: Lattice, advance_m: float) -> PixelWindow:
    """The window in which a glacier is measured: its bounds, every pixel it may own, and all that decides on those.

    A pixel that it may own is at most r = `advance_px` rows and columns from its outline, and the flood decides on it
    by labels, ice and elevations at most r + 1 further: 2 r + 1 in all.
    """
    xmin, ymin, xmax, ymax = (float(b) for b in bounds_m)
    return lattice.cover((xmin, ymin, xmax, ymax)).pad(2 * advance_px(advance_m, lattice.res_m) + 1)


def ownerships(
    wanted: NDArray[np.int64],
    outlines: NDArray[np.object_],
    tree: shapely.STRtree,
    lattice: Lattice,
    advance_m: float,
    foreign: NDArray[np.bool_] | None = None,
) -> Iterator[tuple[int, Ownership]]:
    """(index, Ownership) of each wanted outline, in order: what the outlines say, without any advance.

    outlines: all projected outlines of the zone, neighbours from other zones included; their order breaks ties, so it
    must be the same everywhere. tree: over the same outlines. foreign: which of them are at home in another zone.
    Memory: about 16 bytes per pixel of 4 Mpx, or of the largest window if that is more.
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
            yield int(wanted[i]), _divide(int(wanted[i]), mine, windows[i], foreign)


def with_advance(
    ownership: Ownership,
    ice: NDArray[np.bool_],
    elevation_m: NDArray[np.float32] | None,
    reach_px: int,
    edge: NDArray[np.bool_] | None = None,
) -> Ownership:
    """The same with the free ice that is this glacier's: share 1 there.

    ice, edge, elevation_m: (rows, cols) on the glacier's window, as `core.measure.divides.flood` wants them. reach_px:
    `advance_px` of the advance that the window was made for, or less.
    """
    found = flood(ownership.label, ice, elevation_m, reach_px, edge)
    if found is ownership.label:
        return ownership
    gained = (found == ownership.index) & (ownership.label == FREE)
    if ownership.foreign is not None and gained.any():
        gained &= _nearer(ownership.own > 0, ownership.foreign)
    # A surge that outruns the reach must show.
    beyond = ice & (found == FREE) & maximum_filter(gained & ice, size=3, mode="constant")
    share = np.where(gained, np.float32(1), ownership.share)
    if not beyond.any():
        return replace(ownership, share=share)
    cut_off = gained & maximum_filter(beyond, size=2 * reach_px + 1, mode="constant")
    return replace(ownership, share=share, beyond_px=int(np.count_nonzero(beyond)), cut_off=cut_off)


def _nearer(to: NDArray[np.bool_], than: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels nearer to one set of pixels than to another by more than a pixel."""
    one, other = (distance_transform_edt(~mask) for mask in (to, than))
    return np.asarray(one + 1.0 < other)


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


def _divide(index: int, covers: Sequence[_Cover], window: PixelWindow, foreign: NDArray[np.bool_] | None) -> Ownership:
    """covers: in the order of the outlines, which breaks ties."""
    whole = next(c.share for c in covers if c.index == index)
    own, covered, most = whole, np.zeros_like(whole), np.zeros_like(whole)
    strange = (
        np.zeros(own.shape, dtype=bool) if foreign is not None and foreign[[c.index for c in covers]].any() else None
    )
    label = np.full(own.shape, FREE, dtype=np.int32)
    for cover in covers:
        if cover.part.empty:
            continue
        here = cover.part.slices(window)
        if cover.index == index:
            own = np.minimum(whole, np.maximum(1 - covered, 0))
        covered[here] += cover.share
        wins = cover.share > most[here] + np.float32(_EQUAL_SHARES)
        wins |= (label[here] == FREE) & (cover.share > 0)
        np.copyto(label[here], cover.index, where=wins)
        np.copyto(most[here], cover.share, where=wins)
        if strange is not None and foreign is not None:
            strange[here] = np.where(wins, foreign[cover.index], strange[here])
    np.minimum(covered, 1.0, out=covered)
    share = np.zeros_like(own)
    np.divide(own, covered, out=share, where=covered > 0)
    return Ownership(index, window, own, share, covered, label, strange, float(np.sum(whole - own, dtype=np.float64)))
