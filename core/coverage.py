"""Coverage: the exact share of every pixel that a polygon covers.

Signed-area accumulation, as font rasterisers do it: every edge is cut at the pixel borders, each piece adds its height
to its pixel and to all pixels on its right, and one running sum along the rows turns that into shares. Work grows
with the number of pixels that an outline crosses, not with the area inside, and many polygons with windows of their
own are done in one pass (`coverage_packed`), so that thousands of tiny glaciers cost one numpy call each step.
Exact up to float64 rounding for straight edges in the projected plane; no sampling, no thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from core.errors import SystemicError
from core.grid import Lattice, PixelWindow

# Work arrays of 16 MiB: the allocator keeps and reuses what is smaller than 32 MiB, while larger arrays are mapped
# afresh every time, and their page faults cost more than the arithmetic.
_STEPS = float(1 << 20)
_BAND_PX = 1 << 21

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
# Row and column of both ends, and the number of the window.
Edges = tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray]


def coverage_share(geometry: NDArray[np.object_], lattice: Lattice, window: PixelWindow) -> NDArray[np.float32]:
    """Share of each pixel of `window` covered by any of the polygons: (rows, cols) float32 in [0, 1].

    geometry: shapely (multi)polygons in the metres of the lattice's zone; shares of several add up and are clipped.
    """
    xmin, ymin, xmax, ymax = lattice.bounds_m(window)
    west, south, east, north = shapely.bounds(geometry).reshape(-1, 4).T
    near = geometry[(east > xmin) & (west < xmax) & (north > ymin) & (south < ymax)]
    return _one_window(near, window, lattice)


def coverage_packed(
    geometry: NDArray[np.object_], windows: Sequence[PixelWindow], lattice: Lattice
) -> list[NDArray[np.float32]]:
    """Share of each pixel of `windows[i]` covered by `geometry[i]`: one (rows, cols) float32 array each.

    A polygon may be larger than its window, or lie outside it.
    """
    out: list[NDArray[np.float32]] = []
    for begin, end in _batches(windows):
        if end - begin == 1:
            out.append(_one_window(geometry[begin:end], windows[begin], lattice))
        else:
            edges = _edges(geometry[begin:end], np.arange(end - begin), lattice)
            out += _accumulate(edges, windows[begin:end])
    return out


def coverage_sums(
    geometry: NDArray[np.object_],
    windows: Sequence[PixelWindow],
    lattice: Lattice,
    values: NDArray[np.generic],
    held: PixelWindow,
) -> NDArray[np.float64]:
    """Sum of the values under each polygon, every pixel counted by the share that is covered: (n,) float64.

    The same as summing `coverage_packed` times values, without making the shares: a share is a running sum of what
    edges add along a row, so the sum over pixels is one over pieces of edges, each times the running sum of the values
    to its left. geometry[i]: one valid (multi)polygon, of which what lies outside windows[i] is not counted; values:
    (rows, cols) on `held`, finite numbers or bool. Raises SystemicError for a window that is not within `held`.
    """
    beyond = [window for window in windows if not (window.empty or held.contains(window))]
    if beyond:
        raise SystemicError("coverage_sums", found=f"{beyond[0]}", expected=f"windows within {held}")
    out = np.zeros(len(windows), dtype=np.float64)
    so_far = np.zeros(_BAND_PX + 1)
    for begin, end in _batches(windows):
        edges = _edges(geometry[begin:end], np.arange(end - begin), lattice)
        if end - begin > 1:
            out[begin:end] = _sums(edges, windows[begin:end], values, held, so_far)
        else:
            out[begin] = sum(_sums(edges, [band], values, held, so_far)[0] for band in _bands(windows[begin]))
    return out


def _sums(
    edges: Edges,
    windows: Sequence[PixelWindow],
    values: NDArray[np.generic],
    held: PixelWindow,
    so_far: FloatArray,
) -> FloatArray:
    """so_far: of the size of a band at least, to work in; its first number is 0."""
    p = _pieces(edges, windows)
    width = np.array([w.shape[1] for w in windows], dtype=np.int64)
    start = np.concatenate([[0], np.cumsum([w.size for w in windows])])
    flat = np.concatenate([values[w.slices(held)].ravel() for w in windows])
    so_far = so_far[: len(flat) + 1] if len(flat) < len(so_far) else np.zeros(len(flat) + 1)
    np.cumsum(flat, out=so_far[1:])
    at = start[p.which] + p.row * width[p.which] + p.col
    # The edges of a polygon that cross a row rise as much as they fall, so what lies before the row cancels out.
    here = so_far[at]
    left = here + p.inside * (so_far[np.minimum(at + 1, len(flat))] - here)
    return -np.bincount(p.which, weights=p.rise * left, minlength=len(windows)).astype(np.float64, copy=False)


def _batches(windows: Sequence[PixelWindow]) -> Iterator[tuple[int, int]]:
    """(first, beyond the last) of windows that are done in one pass; one that is larger than a band is alone."""
    begin, used = 0, 0
    for i, window in enumerate(windows):
        if i > begin and used + window.size > _BAND_PX:
            yield begin, i
            begin, used = i, 0
        used += window.size
    if begin < len(windows):
        yield begin, len(windows)


def _one_window(geometry: NDArray[np.object_], window: PixelWindow, lattice: Lattice) -> NDArray[np.float32]:
    """One window, a band of rows at a time, so that the work arrays stay small and warm whatever its size."""
    edges = _edges(geometry, np.zeros(len(geometry), dtype=np.int64), lattice)
    out = np.empty(window.shape, dtype=np.float32)
    for band in _bands(window):
        out[band.slices(window)] = _accumulate(edges, [band])[0]
    return out


def _bands(window: PixelWindow) -> Iterator[PixelWindow]:
    step = max(1, _BAND_PX // (window.shape[1] + 1))
    for row0 in range(window.row0, window.row1, step):
        yield PixelWindow(row0, min(row0 + step, window.row1), window.col0, window.col1)


def _edges(geometry: NDArray[np.object_], owner: IntArray, lattice: Lattice) -> Edges:
    """Directed edges in fractional lattice pixels: (row, col) of both ends, and the window they belong to.

    Exteriors run so that their share counts positive, holes the other way, whatever the source did.
    """
    parts, part_of = shapely.get_parts(geometry, return_index=True)
    parts = shapely.orient_polygons(parts, exterior_cw=False)
    rings, ring_of = shapely.get_rings(parts, return_index=True)
    xy, of = shapely.get_coordinates(rings, return_index=True)
    row, col = lattice.to_pixels(xy[:, 0], xy[:, 1])
    same = of[1:] == of[:-1]
    which = owner[part_of[ring_of[of[:-1][same]]]]
    return row[:-1][same], col[:-1][same], row[1:][same], col[1:][same], which.astype(np.int64)


@dataclass(frozen=True)
class _Pieces:
    """Edges cut so that each piece lies in one pixel of its window. row, col: of that pixel in window `which`, col is
    the width of the window for what lies right of it; inside: how far in the pixel its middle is, 0–1; rise: rows that
    it goes down, negative up."""

    which: IntArray
    row: IntArray
    col: IntArray
    inside: FloatArray
    rise: FloatArray


def _pieces(edges: Edges, windows: Sequence[PixelWindow]) -> _Pieces:
    r0, c0, r1, c1, which = edges
    height = np.array([w.shape[0] for w in windows], dtype=np.int64)
    width = np.array([w.shape[1] for w in windows], dtype=np.int64)
    top = np.array([w.row0 for w in windows], dtype=np.float64)[which]
    left = np.array([w.col0 for w in windows], dtype=np.float64)[which]
    r0, c0, r1, c1, which = _clip_rows(r0 - top, c0 - left, r1 - top, c1 - left, which, height)
    r0, c0, r1, c1, which = _split(r0, c0, r1, c1, which)
    limit = width[which].astype(np.float64)
    # Clamp whole pieces, never single ends: a piece that crosses a border is cut there by the split below.
    outside = (np.maximum(c0, c1) <= 0) | (np.minimum(c0, c1) >= limit)
    c0 = np.where(outside, np.clip(c0, 0, limit), c0)
    c1 = np.where(outside, np.clip(c1, 0, limit), c1)
    c0, r0, c1, r1, which = _split(c0, r0, c1, r1, which)
    limit = width[which].astype(np.float64)
    middle = np.clip((c0 + c1) / 2, 0, limit)
    col = np.minimum(np.floor(middle), limit)
    row = np.clip(np.floor((r0 + r1) / 2), 0, height[which] - 1)
    return _Pieces(which, row.astype(np.int64), col.astype(np.int64), middle - col, r1 - r0)


def _accumulate(edges: Edges, windows: Sequence[PixelWindow]) -> list[NDArray[np.float32]]:
    p = _pieces(edges, windows)
    height = np.array([w.shape[0] for w in windows], dtype=np.int64)
    width = np.array([w.shape[1] for w in windows], dtype=np.int64)
    # One spare column per row takes what lies right of the window; so every row of the running sum ends at zero
    # and all windows can share one flat array.
    start = np.concatenate([[0], np.cumsum(height * (width + 1))])
    flat = start[p.which] + p.row * (width[p.which] + 1) + p.col
    total = int(start[-1])
    # Pieces in the spare column have inside == 0, so nothing spills into the next row.
    touched = np.concatenate([flat, flat + 1])
    weight = np.concatenate([p.rise * (1 - p.inside), p.rise * p.inside])
    share = np.bincount(touched, weights=weight, minlength=total + 1)[:total].astype(np.float64, copy=False)
    np.cumsum(share, out=share)
    # The running sum goes through all windows, so its last bits depend on which others are there; in steps of 2⁻²⁰ the
    # share of a pixel does not, and the dust of 1e-12 that it leaves where the truth is 0 or 1 is gone.
    share *= _STEPS
    np.rint(share, out=share)
    np.clip(share, 0.0, _STEPS, out=share)
    # Of a pixel that an edge crosses: one step from empty or full is empty or full.
    touched = touched[touched < total]
    edge = share[touched]
    share[touched] = np.where(edge <= 1, 0.0, np.where(edge >= _STEPS - 1, _STEPS, edge))
    share /= _STEPS
    found = share.astype(np.float32)
    return [
        found[start[i] : start[i + 1]].reshape(h, w + 1)[:, :w]
        for i, (h, w) in enumerate(zip(height, width, strict=True))
    ]


def _clip_rows(
    r0: FloatArray, c0: FloatArray, r1: FloatArray, c1: FloatArray, which: IntArray, height: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray]:
    """Drop what lies above or below the window; cut what crosses its top or bottom."""
    limit = height[which].astype(np.float64)
    keep = (np.maximum(r0, r1) > 0) & (np.minimum(r0, r1) < limit) & (r0 != r1)
    r0, c0, r1, c1, which, limit = r0[keep], c0[keep], r1[keep], c1[keep], which[keep], limit[keep]
    slope = (c1 - c0) / (r1 - r0)
    s0, s1 = np.clip(r0, 0, limit), np.clip(r1, 0, limit)
    return s0, c0 + (s0 - r0) * slope, s1, c0 + (s1 - r0) * slope, which


def _split(
    a0: FloatArray, b0: FloatArray, a1: FloatArray, b1: FloatArray, which: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray]:
    """Cut segments wherever coordinate `a` passes a whole number, keeping their direction."""
    up = a1 >= a0
    first = np.where(up, np.floor(a0) + 1, np.ceil(a0) - 1)
    last = np.where(up, np.ceil(a1) - 1, np.floor(a1) + 1)
    crossings = np.maximum(0, np.where(up, last - first, first - last) + 1).astype(np.int64)
    if not crossings.any():
        return a0, b0, a1, b1, which
    pieces = crossings + 1
    of = np.repeat(np.arange(len(a0)), pieces)
    k = np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    step = np.where(up, 1.0, -1.0)[of]
    at = first[of] + (k - 1) * step
    begin_a = np.where(k == 0, a0[of], at)
    end_a = np.where(k == crossings[of], a1[of], at + step)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(a1 != a0, (b1 - b0) / (a1 - a0), 0.0)[of]
    begin_b = np.where(k == 0, b0[of], b0[of] + (begin_a - a0[of]) * slope)
    end_b = np.where(k == crossings[of], b1[of], b0[of] + (end_a - a0[of]) * slope)
    return begin_a, begin_b, end_a, end_b, which[of]
