"""Trends: the same as scipy's for one series, right for many, and with exact p-values where there are few dates."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, theilslopes

from core.change.trend import kendall_variance, trend

lengths = st.integers(3, 12)
values = lengths.flatmap(lambda k: arrays(np.float64, (3, k), elements=st.integers(-5, 5).map(float)))
floats = lengths.flatmap(
    lambda k: arrays(np.float64, (k,), elements=st.floats(-100, 100, allow_subnormal=False), unique=True)
)


def times(rows: int, columns: int) -> np.ndarray:
    return np.broadcast_to(2000.0 + np.arange(columns), (rows, columns)).copy()


@given(values)
def test_slopes_and_limits_are_those_of_scipy_ties_included(value):
    found = trend(times(*value.shape), value)
    for row in range(len(value)):
        slope, _, low, high = theilslopes(value[row], times(1, value.shape[1])[0], 0.95)
        assert found.slope[row] == pytest.approx(slope, abs=1e-12)
        if value.shape[1] < 5:  # scipy calls the range of all slopes a limit of 95 %, which it is not
            low, high = np.nan, np.nan
        assert found.slope_low[row] == pytest.approx(low, abs=1e-12, nan_ok=True)
        assert found.slope_high[row] == pytest.approx(high, abs=1e-12, nan_ok=True)


@given(floats.filter(lambda v: len(v) <= 10))
def test_p_values_without_ties_are_exact(value):
    t = times(1, len(value))
    found = trend(t, value[None])
    assert found.p_value[0] == pytest.approx(kendalltau(t[0], value, method="exact").pvalue, abs=1e-9)
    assert found.n[0] == len(value)


@pytest.mark.parametrize("value", [[1, 1, 2, 3, 4, 5], [1, 2, 2, 2, 3, 4, 4], [3, 3, 3, 1, 1, 0]])
def test_p_values_with_ties_are_near_those_of_all_orders(value):
    value = np.array(value, dtype=float)
    orders = np.array(sorted(set(permutations(value))))
    pairs = np.triu_indices(len(value), 1)
    s = np.sign(orders[:, pairs[1]] - orders[:, pairs[0]]).sum(axis=1)
    own = np.sign(value[pairs[1]] - value[pairs[0]]).sum()
    found = trend(times(1, len(value)), value[None])
    assert found.s[0] == own
    assert found.p_value[0] == pytest.approx(np.mean(np.abs(s) >= abs(own)), abs=0.03)


def test_more_than_ten_dates_are_near_the_exact_distribution():
    value = np.random.default_rng(3).standard_normal((200, 12)) + 0.15 * np.arange(12)
    found = trend(times(200, 12), value)
    exact = [kendalltau(np.arange(12), row, method="exact").pvalue for row in value]
    assert np.abs(found.p_value - exact).max() < 0.01


@given(values, st.floats(-3, 3), st.floats(-50, 50))
def test_a_trend_added_is_a_trend_found(value, slope, level):
    t = times(*value.shape)
    before, after = trend(t, value), trend(t, value + level + slope * (t - 2000))
    assert after.slope == pytest.approx(before.slope + slope, abs=1e-9)


@given(values, st.randoms(use_true_random=False))
def test_order_of_columns_and_missing_values_do_not_matter(value, random):
    t = times(*value.shape)
    order = list(range(value.shape[1]))
    random.shuffle(order)
    hole = np.full((len(value), 1), np.nan)
    there = trend(t, value)
    again = trend(np.hstack([t[:, order], hole + 0, t[:, :1]]), np.hstack([value[:, order], value[:, :1], hole]))
    for name in ("n", "slope", "slope_low", "slope_high", "s", "p_value"):
        assert getattr(again, name) == pytest.approx(getattr(there, name), nan_ok=True)


@pytest.mark.parametrize("known", [0, 1, 2])
def test_fewer_than_three_values_have_no_trend(known):
    value = np.full((1, 5), np.nan)
    value[0, :known] = 1.0
    found = trend(times(1, 5), value)
    assert found.n.tolist() == [known]
    assert np.isnan([found.slope, found.slope_low, found.slope_high, found.s, found.p_value]).all()


def test_no_series_and_no_dates_are_fine():
    assert trend(np.empty((0, 4)), np.empty((0, 4))).slope.shape == (0,)
    assert np.isnan(trend(np.empty((2, 0)), np.empty((2, 0))).slope).all()


def test_one_wild_year_does_not_move_the_slope():
    value = 10.0 - 0.1 * np.arange(10.0)[None]
    value[0, 4] = 30.0
    assert trend(times(1, 10), value).slope[0] == pytest.approx(-0.1, abs=1e-9)


def test_the_true_slope_lies_within_95_percent_limits():
    rng = np.random.default_rng(8)
    value = -0.05 * np.arange(10) + 0.1 * rng.standard_normal((4_000, 10))
    found = trend(times(4_000, 10), value)
    assert 0.93 <= np.mean((found.slope_low <= -0.05) & (found.slope_high >= -0.05)) <= 0.98
    assert np.mean(found.slope) == pytest.approx(-0.05, abs=0.001)


@pytest.mark.parametrize(("k", "confidence"), [(5, 0.95), (7, 0.95), (10, 0.95), (4, 0.9), (3, 0.6)])
def test_limits_hold_the_true_slope_as_often_as_they_say(k, confidence):
    value = -0.05 * np.arange(k) + 0.1 * np.random.default_rng(k).standard_normal((20_000, k))
    found = trend(times(20_000, k), value, confidence)
    assert np.mean((found.slope_low <= -0.05) & (found.slope_high >= -0.05)) >= confidence - 0.005


@pytest.mark.parametrize("k", [3, 4])
def test_too_few_dates_have_a_slope_but_no_limits_at_95_percent(k):
    value = -0.05 * np.arange(k) + 0.1 * np.random.default_rng(k).standard_normal((50, k))
    found = trend(times(50, k), value)
    assert np.isfinite(found.slope).all() and np.isnan([found.slope_low, found.slope_high]).all()


def test_dates_of_one_scene_count_once_for_limits():
    """SIMULATED errors: of five dates in two pairs and one, the range of all slopes holds 93 %."""
    t = np.broadcast_to([0.0, 0.0, 1.0, 1.0, 2.0], (20_000, 5)).copy()
    value = np.random.default_rng(6).standard_normal((20_000, 5))
    loose, strict = trend(t, value, 0.9), trend(t, value, 0.95)
    assert np.isnan(strict.slope_low).all()
    assert np.mean((loose.slope_low <= 0) & (loose.slope_high >= 0)) == pytest.approx(1 - 2 * 4 / 120, abs=0.005)


tied = st.integers(3, 6).flatmap(
    lambda k: st.tuples(
        *(arrays(np.float64, (k,), elements=st.integers(0, 2).map(float)) for _ in range(2)),
    )
)


@given(tied)
def test_the_variance_of_s_is_that_of_all_orders_whatever_is_tied(series):
    t, value = series
    pairs = np.triu_indices(len(t), 1)
    orders = np.array(list(permutations(value)))
    rise = np.sign(orders[:, pairs[1]] - orders[:, pairs[0]])
    s = (rise * np.sign(t[pairs[1]] - t[pairs[0]])).sum(axis=1)
    assert kendall_variance(t[None], value[None])[0] == pytest.approx(s.var(), abs=1e-9)


@given(st.integers(3, 12).flatmap(lambda k: arrays(np.float64, (k,), elements=st.integers(0, 3).map(float))))
def test_a_glacier_that_is_gone_has_no_trend_whichever_dates_share_a_scene(t):
    found = trend(np.stack([t, 1.0 * np.arange(len(t))]), np.zeros((2, len(t))))
    assert found.slope[1] == 0.0 and found.p_value[1] == 1.0
    if len(np.unique(t)) > 1:
        assert found.slope[0] == 0.0 and found.s[0] == 0.0 and found.p_value[0] == 1.0
        assert np.nan_to_num([found.slope_low[0], found.slope_high[0]]).tolist() == [0.0, 0.0]
    else:
        assert np.isnan([found.slope[0], found.p_value[0]]).all()


def test_a_constant_series_has_no_trend():
    found = trend(times(1, 6), np.ones((1, 6)))
    assert found.slope[0] == 0.0 and found.p_value[0] == 1.0


def test_chunks_leave_no_seam(monkeypatch):
    value = np.random.default_rng(0).standard_normal((10, 6))
    whole = trend(times(10, 6), value)
    monkeypatch.setattr("core.change.trend._CHUNK", 3)
    assert trend(times(10, 6), value).slope.tolist() == whole.slope.tolist()
