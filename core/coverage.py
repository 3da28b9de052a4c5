"""Coverage: the exact share of every pixel that a polygon covers.

Signed-area accumulation, as font rasterisers do it: every edge is cut at the pixel borders, each piece adds its height
to its pixel and to all pixels on its right, and one running sum along the rows turns that into shares. Work grows
with the number of pixels that an outline crosses, not with the area inside, and many polygons with windows of their
own are done in one pass (`coverage_packed`), so that thousands of tiny glaciers cost one numpy call each step.
Exact up to float64 rounding for straight edges in the projected plane; no sampling, no thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from core.grid import Lattice, PixelWindow

# Work arrays of 16 MiB: the allocator keeps and reuses what is smaller than 32 MiB, while larger arrays are mapped
# afresh every time, and their page faults cost more than the arithmetic.
_STEPS = float(1 << 20)
_BAND_PX = 1 << 21

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


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
    begin, used = 0, 0
    for i, window in enumerate([*windows, None]):
        size = 0 if window is None else window.size
        if i > begin and (window is None or used + size > _BAND_PX):
            if i - begin == 1:
                out.append(_one_window(geometry[begin:i], windows[begin], lattice))
            else:
                owner = np.arange(i - begin)
                out += _accumulate(_edges(geometry[begin:i], owner, lattice), windows[begin:i])
            begin, used = i, 0
        used += size
    return out


def _one_window(geometry: NDArray[np.object_], window: PixelWindow, lattice: Lattice) -> NDArray[np.float32]:
    """One window, a band of rows at a time, so that the work arrays stay small and warm whatever its size."""
    edges = _edges(geometry, np.zeros(len(geometry), dtype=np.int64), lattice)
    rows, cols = window.shape
    step = max(1, _BAND_PX // (cols + 1))
    out = np.empty((rows, cols), dtype=np.float32)
    for row0 in range(window.row0, window.row1, step):
        band = PixelWindow(row0, min(row0 + step, window.row1), window.col0, window.col1)
        out[band.slices(window)] = _accumulate(edges, [band])[0]
    return out


def _edges(
    geometry: NDArray[np.object_], owner: IntArray, lattice: Lattice
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray]:
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


def _accumulate(
    edges: tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray], windows: Sequence[PixelWindow]
) -> list[NDArray[np.float32]]:
    r0, c0, r1, c1, which = edges
    height = np.array([w.shape[0] for w in windows], dtype=np.int64)
    width = np.array([w.shape[1] for w in windows], dtype=np.int64)
    # One spare column per row takes what lies right of the window; so every row of the running sum ends at zero
    # and all windows can share one flat array.
    start = np.concatenate([[0], np.cumsum(height * (width + 1))])
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
    rise = r1 - r0
    inside = middle - col
    flat = start[which] + (row * (limit + 1) + col).astype(np.int64)
    total = int(start[-1])
    cells = np.bincount(flat, weights=rise * (1 - inside), minlength=total + 1)[: total + 1]
    # Pieces in the spare column have inside == 0, so nothing spills into the next row.
    cells += np.bincount(flat + 1, weights=rise * inside, minlength=total + 1)[: total + 1]
    # The running sum goes through all windows, so its last bits depend on which others are there; in steps of 2⁻²⁰ the
    # share of a pixel does not.
    share = (np.rint(np.clip(np.cumsum(cells[:total]), 0.0, 1.0) * _STEPS) / _STEPS).astype(np.float32)
    # Running sums leave dust of 1e-12 where the truth is 0 or 1; a pixel nobody touches must be exactly empty.
    share[share < 1e-6] = 0.0
    share[share > 1 - 1e-6] = 1.0
    return [
        share[start[i] : start[i + 1]].reshape(h, w + 1)[:, :w]
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
