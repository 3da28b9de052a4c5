"""Trend: Theil–Sen slope and Mann–Kendall test of many series at once.

Rows are glaciers, columns dates; NaN is a missing value. Both are rank methods: one bad year in ten moves neither.
Errors that all dates share (divides, bias of the model) cancel in them; what they cannot see is a bias that drifts.
With three dates the smallest possible p of the test is 1/3, with four 1/12, with five 1/60: fewer than five never give
significance at 5 %. Nor have they limits at 95 %: the range of all slopes holds the true one with 67 % at three dates
and 92 % at four. A limit that cannot be as sure as it says is NaN.

Theil 1950; Sen 1968 (10.1080/01621459.1968.10480934), with the limits of `scipy.stats.theilslopes`; Mann 1945; Kendall
1970, exact distribution for up to 10 values without ties, else the normal one with continuity and tie correction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc, gammaln, ndtri

FloatArray = NDArray[np.float64]
EXACT_UP_TO = 10
MIN_DATES = 3
_CHUNK = 65_536  # series at a time: 45 pairwise slopes each of ten dates are 24 MB


@dataclass(frozen=True, eq=False)
class Trend:
    """Arrays (n,), NaN for series with fewer than three values.

    slope, slope_low, slope_high: per unit of time, with the limits of the confidence asked for; limits are NaN where
    the dates are too few for it. s: Kendall's S; p_value: two-sided, of no trend. n: values used.
    """

    n: NDArray[np.int64]
    slope: FloatArray
    slope_low: FloatArray
    slope_high: FloatArray
    s: FloatArray
    p_value: FloatArray


def trend(time: FloatArray, value: FloatArray, confidence: float = 0.95) -> Trend:
    """time, value: (n, k), any order of columns. A value without a time is left out. O(n·k²) memory is chunked."""
    chunks = [
        _trend(time[i : i + _CHUNK], value[i : i + _CHUNK], confidence) for i in range(0, max(len(value), 1), _CHUNK)
    ]
    joined = {name: np.concatenate([getattr(c, name) for c in chunks]) for name in Trend.__dataclass_fields__}
    return Trend(**joined)


def _trend(time: FloatArray, value: FloatArray, confidence: float) -> Trend:
    known = np.isfinite(time) & np.isfinite(value)
    order = np.argsort(np.where(known, time, np.inf), axis=1, kind="stable")
    time = np.take_along_axis(np.where(known, time, np.nan), order, axis=1)
    value = np.take_along_axis(np.where(known, value, np.nan), order, axis=1)
    n = known.sum(axis=1)
    pairs = np.array(list(combinations(range(value.shape[1]), 2)), dtype=np.int64).reshape(-1, 2)
    rise = value[:, pairs[:, 1]] - value[:, pairs[:, 0]]
    run = time[:, pairs[:, 1]] - time[:, pairs[:, 0]]
    # Two values of one moment have no slope, and no order in time either.
    apart = run > 0
    slopes = np.sort(np.divide(rise, run, out=np.full_like(rise, np.nan), where=apart), axis=1)  # NaN last
    count = np.isfinite(slopes).sum(axis=1)
    variance = kendall_variance(time, value)
    enough = (n >= MIN_DATES) & (count > 0)
    slope = _median(slopes, count, enough)
    low, high = _limits(slopes, count, variance, enough & (_widest(n, time) >= confidence), confidence)
    s = np.nansum(np.where(apart, np.sign(rise), 0.0), axis=1)
    tied = _ties(value).any(axis=1) | _ties(time).any(axis=1)
    p = np.where((n <= EXACT_UP_TO) & ~tied, _exact_p(n, s), _normal_p(s, variance))
    nan = np.where(enough, 0.0, np.nan)
    return Trend(n, slope, low, high, s + nan, p + nan)


def _median(slopes: FloatArray, count: NDArray[np.int64], enough: NDArray[np.bool_]) -> FloatArray:
    lower, upper = np.maximum(count - 1, 0) // 2, count // 2
    middle = (_pick(slopes, lower) + _pick(slopes, np.minimum(upper, slopes.shape[1] - 1))) / 2.0
    return np.where(enough, middle, np.nan)


def _limits(
    slopes: FloatArray, count: NDArray[np.int64], variance: FloatArray, enough: NDArray[np.bool_], confidence: float
) -> tuple[FloatArray, FloatArray]:
    """Sen's limits: order statistics of the slopes, as many away from the middle as S may be by chance."""
    reach = ndtri(0.5 + confidence / 2.0) * np.sqrt(variance)
    upper = np.minimum(np.round((count + reach) / 2.0).astype(np.int64), count - 1)
    lower = np.maximum(np.round((count - reach) / 2.0).astype(np.int64) - 1, 0)
    at = [np.where(enough, _pick(slopes, np.maximum(k, 0)), np.nan) for k in (lower, upper)]
    return at[0], at[1]


def _pick(rows: FloatArray, column: NDArray[np.int64]) -> FloatArray:
    if rows.shape[1] == 0:
        return np.full(len(rows), np.nan)
    return np.asarray(np.take_along_axis(rows, column[:, None], axis=1)[:, 0])


def kendall_variance(time: FloatArray, value: FloatArray) -> FloatArray:
    """(n,) variance of S over all orders of the values, exact whatever is tied. time, value: (n, k), NaN missing.

    Kendall 1970, with the two terms for ties in both variables; without them it is too small, and below 0 where a
    glacier that is gone (all values tied) was seen twice in one scene.
    """
    n = (np.isfinite(time) & np.isfinite(value)).sum(axis=1)
    t, u = _ties(time), _ties(value)
    alone = (_term(n) - _term(t).sum(axis=1) - _term(u).sum(axis=1)) / 18.0
    pairs = [(v * (v - 1.0)).sum(axis=1) for v in (t, u)]
    threes = [(v * (v - 1.0) * (v - 2.0)).sum(axis=1) for v in (t, u)]
    two = pairs[0] * pairs[1] / np.maximum(2.0 * n * (n - 1.0), 1.0)
    three = threes[0] * threes[1] / np.maximum(9.0 * n * (n - 1.0) * (n - 2.0), 1.0)
    return np.asarray(np.maximum(alone + two + three, 0.0))


def _widest(n: NDArray[np.int64], time: FloatArray) -> FloatArray:
    """Probability that the range of all slopes holds the true one: it fails where the errors, in order of time, all
    rise or all fall, which two orders of n! do, and as many more as values of one moment may change places."""
    alike = gammaln(_ties(time) + 1.0).sum(axis=1)
    return np.asarray(1.0 - 2.0 * np.exp(alike - gammaln(n + 1.0)))


def _term(n: NDArray[np.int64]) -> FloatArray:
    return np.asarray(n * (n - 1.0) * (2.0 * n + 5.0))


def _ties(value: FloatArray) -> NDArray[np.int64]:
    """Sizes of the groups of equal values, at the end of each group, 0 elsewhere: (n, k)."""
    ordered = np.sort(value, axis=1)
    new = np.ones(ordered.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    position = np.arange(ordered.shape[1])
    start = np.maximum.accumulate(np.where(new, position, 0), axis=1)
    last = np.ones(ordered.shape, dtype=bool)
    last[:, :-1] = new[:, 1:]
    size = np.where(last & np.isfinite(ordered), position - start + 1, 0)
    return np.where(size > 1, size, 0)


def _normal_p(s: FloatArray, variance: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(variance > 0, np.maximum(np.abs(s) - 1.0, 0.0) / np.sqrt(variance), 0.0)
    return np.asarray(erfc(z / np.sqrt(2.0)))


def _exact_p(n: NDArray[np.int64], s: FloatArray) -> FloatArray:
    table = _exact_table()
    return np.asarray(table[np.clip(n, 0, EXACT_UP_TO), np.abs(s).astype(np.int64).clip(0, table.shape[1] - 1)])


@lru_cache(maxsize=1)
def _exact_table() -> FloatArray:
    """[n, |S|] → P(|S| at least that) over all orders of n values; from the numbers of inversions (Mahonian)."""
    most = EXACT_UP_TO * (EXACT_UP_TO - 1) // 2
    table = np.ones((EXACT_UP_TO + 1, most + 1))
    inversions = np.array([1.0])
    for n in range(2, EXACT_UP_TO + 1):
        inversions = np.convolve(inversions, np.ones(n))
        size = np.abs(n * (n - 1) // 2 - 2 * np.arange(len(inversions)))
        for s in range(most + 1):
            table[n, s] = inversions[size >= s].sum() / inversions.sum()
    return table
