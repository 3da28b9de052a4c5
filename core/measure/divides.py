"""Divides beyond the inventory: which glacier the mapped ice outside all outlines belongs to.

A watershed of the elevation model with the inventory as markers, flooded from the outlines outwards through mapped ice
only, in as many rounds as the advance has pixels. A pixel is therefore decided by what lies within `reach_px` + 1
pixels of it and by nothing else: two windows that both hold that much never disagree, and no pixel gets two labels.

**The order of the flood.** Ice comes from upslope. A tongue that has advanced lies below its glacier, and a headwall
that the outline missed above it; what no ice does is to cross a ridge. Along a way from a glacier to a pixel

- the *rise* is how far the way climbs above both of its ends: the height of the ridge that lies between (the pass
  elevation of a watershed, counted from the higher end). The smallest wins: a ridge keeps glaciers apart;
- the *climb* is how far it goes above where it starts. The smallest wins: of two glaciers without a ridge between
  them, ice comes from the upper one, so what hangs down towards a trunk is its tributary's, not the trunk's;
- then the shortest way, and then the glacier that comes first in the inventory.

A way starts at the mean of the glacier's own pixels around its first one. On a divide that mean lies below the edge,
so that ice is not led over the divide and down the other side; at a snout or along a flank it does not.
Rise and climb count in steps of `STEP_M`, so that the noise of an elevation model decides nothing.
Without elevation the shortest way decides alone; in a void it adds neither rise nor climb.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from core.measure.frame import framed

FREE = -1
# About the relative accuracy of Copernicus GLO-30 from one pixel to the next on gentle slopes (unchecked).
STEP_M = 2.0
_OFFSETS = ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
# Steps across a corner count 7/5 of those across an edge: whole numbers, so that equal ways are equal.
_STEPS = np.array([5, 5, 5, 5, 7, 7, 7, 7], dtype=np.int64)
# The key of a way, least is best: from the top rise and climb in steps, length in fifths of a pixel, label.
_LABEL_BITS, _LENGTH_BITS, _HEIGHT_BITS = 26, 11, 13
_LABEL, _WAY = (1 << _LABEL_BITS) - 1, (1 << (_LENGTH_BITS + _LABEL_BITS)) - 1
_NO_WAY = np.iinfo(np.int64).max
# What else is known of a way, NaN where no elevation is: where it starts, its highest, the rise above both its ends.
_START, _TOP, _RISE = 0, 1, 2
MAX_REACH_PX = (1 << _LENGTH_BITS) // 7 - 1


def flood(
    label: NDArray[np.int32],
    ice: NDArray[np.bool_],
    elevation_m: NDArray[np.float32] | None,
    reach_px: int,
    edge: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """Labels with the free ice around the glaciers given to them: (rows, cols) int32, −1 where it is nobody's.

    label: number of the glacier that has most of each pixel, below 2²⁶, −1 outside all outlines; it stays as it is.
    ice: mapped as ice. A label passes from ice to ice (8 neighbours), so a snow patch beside a glacier stays free, and
    so does one that touches an outline where there is no ice any more. edge: free pixels beside ice that are ice in
    part; they get a label and pass none on. elevation_m: metres, NaN unknown. reach_px: how many pixels away from the
    nearest outline (centre to centre) ice is seen, and how many steps a way may have.
    Raises ValueError if reach_px is beyond 0 … `MAX_REACH_PX`. Gives back `label` itself where there is nothing to do.
    """
    if not 0 <= reach_px <= MAX_REACH_PX:
        raise ValueError(f"reach_px: found {reach_px}, expected 0 to {MAX_REACH_PX}")
    free = label < 0
    wanted = free & (ice if edge is None else ice | edge)
    if reach_px == 0 or not _touch(wanted, ice & ~free):
        return label
    crop = _around(wanted, reach_px + 1)
    away = distance_transform_edt(free[crop])
    z = np.full(away.shape, np.nan) if elevation_m is None else elevation_m[crop].astype(np.float64)
    found = _spread(
        framed(label[crop], FREE),
        framed(ice[crop]),
        # A way of so many steps gets no further; the straight distance is asked at its end alone, for if it shut off
        # a pixel on the way, what lies beyond would depend on outlines further than the reach.
        framed(wanted[crop] & (away < 1.5 * reach_px)),
        framed(z, np.nan),
        reach_px,
    )[1:-1, 1:-1]
    out = label.copy()
    np.copyto(out[crop], found, where=free[crop] & (away <= reach_px))
    return out


def _spread(
    label: NDArray[np.int32],
    ice: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
    z: NDArray[np.float64],
    rounds: int,
) -> NDArray[np.int32]:
    """`flood` on a framed crop: every round, each wanted pixel takes the best way that a neighbour had before it."""
    flat, ground, icy = label.ravel(), z.ravel(), ice.ravel()
    step = np.array([dr * label.shape[1] + dc for dr, dc in _OFFSETS])
    cell = np.flatnonzero(wanted)
    around = cell[:, None] + step
    marker = np.unique(around[(flat[around] >= 0) & icy[around]])
    # Dense numbers: wanted pixels, markers, and last one for all that passes no label on.
    n, m = len(cell), len(marker)
    dense = np.full(label.size, n + m)
    dense[cell] = np.where(icy[cell], np.arange(n), n + m)
    dense[marker] = n + np.arange(m)
    source = dense[around]
    key = np.full(n + m + 1, _NO_WAY)
    key[n:-1] = flat[marker]
    way = np.full((3, n + m + 1), np.nan)
    way[_START, n:-1] = _own_mean(flat, ground, marker, marker[:, None] + np.append(step, 0))
    way[_TOP, n:-1] = np.fmax(way[_START, n:-1], ground[marker])
    changed = np.arange(n + m + 1) >= n
    for _ in range(rounds):
        # Where no neighbour has changed, the best way is what it was.
        now = np.flatnonzero(changed[source].any(axis=1))
        if not len(now):
            break
        by = source[now]
        key_now, way_now = _best(key[by], way[:, by], ground[cell[now], None])
        changed[:] = False
        # As bits: a NaN is the same as before.
        changed[now] = (key_now != key[now]) | (way_now.view(np.int64) != way[:, now].view(np.int64)).any(axis=0)
        key[now], way[:, now] = key_now, way_now
    out = label.copy()
    out.ravel()[cell] = np.where(key[:n] == _NO_WAY, FREE, key[:n] & _LABEL)
    return out


def _best(
    key: NDArray[np.int64], way: NDArray[np.float64], z: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best of eight neighbours' ways, keys (k, 8) and heights (3, k, 8), one step on, to elevations z (k, 1)."""
    start = np.where(np.isnan(way[_START]), z, way[_START])
    top = np.fmax(way[_TOP], z)
    # A rise that was passed stays passed: no way gets better as it goes on, and so the flood comes to rest.
    rise = np.fmax(way[_RISE], top - np.fmax(start, z))
    steps = np.fmax(np.stack([rise, top - start]) / STEP_M, 0.0).astype(np.int64)
    np.minimum(steps, (1 << _HEIGHT_BITS) - 1, out=steps)
    heights = (steps[0] << _HEIGHT_BITS) | steps[1]
    longer = (heights << (_LENGTH_BITS + _LABEL_BITS)) | ((key & _WAY) + (_STEPS << _LABEL_BITS))
    longer[key == _NO_WAY] = _NO_WAY
    best = np.arange(len(key)), longer.argmin(axis=1)
    return longer[best], np.stack([start[best], top[best], rise[best]])


def _own_mean(
    flat: NDArray[np.int32], ground: NDArray[np.float64], marker: NDArray[np.int64], around: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean of the known elevations among the pixels `around` (m, 9) each marker that have its label; NaN for none."""
    own = (flat[around] == flat[marker][:, None]) & np.isfinite(ground[around])
    count = own.sum(axis=1)
    total = np.sum(ground[around], axis=1, where=own)
    return np.asarray(np.divide(total, count, out=np.full(len(marker), np.nan), where=count > 0))


def _touch(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
    """Whether a pixel of `a` has one of `b` among its 8 neighbours."""
    wide = b.copy()
    wide[1:] |= b[:-1]
    wide[:-1] |= b[1:]
    wider = wide.copy()
    wider[:, 1:] |= wide[:, :-1]
    wider[:, :-1] |= wide[:, 1:]
    return bool((wider & a).any())


def _around(mask: NDArray[np.bool_], px: int) -> tuple[slice, slice]:
    """The bounding box of a mask that is not empty, grown by `px` and cut to the array."""
    row, col = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    rows = slice(max(0, int(row[0]) - px), int(row[-1]) + px + 1)
    return rows, slice(max(0, int(col[0]) - px), int(col[-1]) + px + 1)
