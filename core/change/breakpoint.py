"""Breakpoint: whether a series of areas is one line, or breaks once, as a surge makes it do.

Against the straight line stand a *step* (the line is offset from a date on, as when a tongue rushes forward between two
dates) and a *hinge* (the slope changes at a date). Least squares for every possible date, all glaciers at once, by
batched normal equations; the best of all must beat the line by more than 6 in BIC ("strong", Kass & Raftery 1995,
10.1080/01621459.1995.10476572). It has two parameters more than the line: size and date. Residual variance is not
believed below the σ of the areas, because four parameters fit five areas by chance.

A break with an advance is a surge candidate only if the advance was as quick and as short as surges are: active phases
last one or two years, and three to ten in Svalbard (Dowdeswell et al. 1991, 10.1017/S0022143000005827), in which fronts
that rush kilometres add percents to areas; 1.5 % in fifteen years can be climate. The least pace, ½ % of the area a
year, is a choice and nobody's finding (unchecked).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
MIN_DATES = 5
STRONG = 6.0
LEAST_PACE = 0.005  # of the area, 1/yr
LONGEST_YEARS = 10.0
NONE, STEP, HINGE = "none", "step", "hinge"
KINDS = (NONE, STEP, HINGE)
_MORE_PARAMETERS = 2
_CHUNK = 65_536


@dataclass(frozen=True, eq=False)
class Breakpoints:
    """Arrays (n,). kind: number in KINDS. time: of the break (for a step the middle between two dates), NaN for none.
    gain: BIC of the line minus that of the best break, NaN with fewer than five values. before, after: slopes; step:
    the offset, 0 for a hinge; advance: the largest rise within a phase, or of the step, in the unit of the values;
    advance_time: how long that took (for a step the time between its two dates), NaN like advance."""

    kind: NDArray[np.int8]
    time: FloatArray
    gain: FloatArray
    before: FloatArray
    after: FloatArray
    step: FloatArray
    advance: FloatArray
    advance_time: FloatArray


def breakpoints(time: FloatArray, value: FloatArray, sigma: FloatArray) -> Breakpoints:
    """time, value, sigma: (n, k), columns in order of time, NaN where missing. sigma: the part of the uncertainty that
    is new at each date."""
    chunks = [
        _breakpoints(time[i : i + _CHUNK], value[i : i + _CHUNK], sigma[i : i + _CHUNK])
        for i in range(0, max(len(value), 1), _CHUNK)
    ]
    joined = {name: np.concatenate([getattr(c, name) for c in chunks]) for name in Breakpoints.__dataclass_fields__}
    return Breakpoints(**joined)


def surge_candidates(found: Breakpoints, area: FloatArray, sigma: FloatArray, significance: float) -> BoolArray:
    """Glaciers that broke and advanced as a surge does, while they retreated or stood still in the other phase; a step
    forward counts whatever the slopes.

    The advance is more than `significance` σ of a change between two dates, at least `LEAST_PACE` of the area a year,
    and over within `LONGEST_YEARS`. area: typical one; sigma: of a change; both (n,), in the unit of the values.
    """
    other = np.where(found.before > found.after, found.after, found.before)
    rushed = (found.kind == KINDS.index(STEP)) & (found.step >= found.advance)
    turned = (found.kind != KINDS.index(NONE)) & (other <= 0)
    quick = (found.advance >= LEAST_PACE * area * found.advance_time) & (found.advance_time <= LONGEST_YEARS)
    return np.asarray((rushed | turned) & quick & (found.advance > significance * sigma))


def _breakpoints(time: FloatArray, value: FloatArray, sigma: FloatArray) -> Breakpoints:
    rows, k = value.shape
    known = np.isfinite(time) & np.isfinite(value) & np.isfinite(sigma)
    n = known.sum(axis=1)
    counts = np.maximum(n, 1)
    t = np.where(known, time, 0.0)
    centre = t.sum(axis=1) / counts
    t = np.where(known, t - centre[:, None], 0.0)
    y = np.where(known, value, 0.0)
    level = y.sum(axis=1) / counts
    y = np.where(known, y - level[:, None], 0.0)
    floor = np.where(known, sigma, 0.0)
    floor = (floor**2).sum(axis=1)  # n·σ²
    line, line_sse = _fit(t, y, known, None)
    best_sse = line_sse.copy()
    kind, at = np.zeros(rows, dtype=np.int8), np.full(rows, np.nan)
    slopes, step, gap = np.stack([line[:, 1], line[:, 1]], axis=1), np.zeros(rows), np.zeros(rows)
    before_count = np.cumsum(known, axis=1)
    for j in range(k - 1):
        left = before_count[:, j]
        # The next known date after j ends the gap in which a step may lie.
        later = np.where(known & (np.arange(k) > j), t, np.inf).min(axis=1, initial=np.inf)
        allowed = known[:, j] & (n >= MIN_DATES) & (left >= 2) & (n - left >= 2)
        later = np.where(np.isfinite(later), later, t[:, j])
        middle = (t[:, j] + later) / 2.0
        for code, moment, shape in (
            (KINDS.index(STEP), middle, (t > middle[:, None]).astype(float)),
            (KINDS.index(HINGE), t[:, j], np.maximum(t - t[:, j][:, None], 0.0)),
        ):
            fit, sse = _fit(t, y, known, shape)
            better = allowed & (sse < best_sse)
            best_sse[better], kind[better], at[better] = sse[better], code, moment[better]
            bend = fit[:, 2] if code == KINDS.index(HINGE) else np.zeros(rows)
            slopes[better] = np.stack([fit[:, 1], fit[:, 1] + bend], axis=1)[better]
            step[better] = (fit[:, 2] - bend)[better] if code == KINDS.index(STEP) else 0.0
            gap[better] = (later - t[:, j])[better]
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = n * np.log((line_sse + floor) / (best_sse + floor)) - _MORE_PARAMETERS * np.log(counts)
    gain = np.where((n >= MIN_DATES) & np.isfinite(gain), gain, np.where(n >= MIN_DATES, 0.0, np.nan))
    accepted = gain > STRONG
    kind = np.where(accepted, kind, KINDS.index(NONE)).astype(np.int8)
    slopes = np.where(accepted[:, None], slopes, line[:, 1:2])
    slopes[n < 2] = np.nan
    step = np.where(accepted, step, 0.0)
    at = np.where(accepted, at, np.nan)
    start, end = np.where(known, t, np.inf).min(axis=1), np.where(known, t, -np.inf).max(axis=1)
    turn = np.where(accepted, at, end)
    with np.errstate(invalid="ignore"):
        lengths = np.stack([turn - start, end - turn, gap], axis=1)
        phases = np.stack([slopes[:, 0] * lengths[:, 0], slopes[:, 1] * lengths[:, 1], step], axis=1)
    phases[n < 2], lengths[n < 2] = np.nan, np.nan
    largest = np.argmax(phases, axis=1)[:, None]
    advance, took = (np.take_along_axis(v, largest, axis=1)[:, 0] for v in (phases, lengths))
    return Breakpoints(kind, at + centre, gain, slopes[:, 0], slopes[:, 1], step, advance, took)


def _fit(t: FloatArray, y: FloatArray, known: BoolArray, extra: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Coefficients (n, 2 or 3) and sums of squares (n,) of y on 1, t and `extra`; unknown values have no weight."""
    columns = [np.ones_like(t), t] if extra is None else [np.ones_like(t), t, extra]
    design = np.stack(columns, axis=2) * known[:, :, None]
    normal = np.einsum("nki,nkj->nij", design, design)
    # A ridge of rounding size keeps degenerate rows solvable; they are not used.
    scale = np.einsum("nii->n", normal) * 1e-13 + 1e-300
    normal += scale[:, None, None] * np.eye(normal.shape[1])
    fit = np.linalg.solve(normal, np.einsum("nki,nk->ni", design, y)[:, :, None])[:, :, 0]
    left = (y - np.einsum("nki,ni->nk", design, fit)) * known
    return fit, np.einsum("nk,nk->n", left, left)
