"""Breakpoints: surges are found where they are, noise is not taken for them."""

from __future__ import annotations

import numpy as np
import pytest

from core.change.breakpoint import KINDS, breakpoints, surge_candidates

SIGMA = 0.02
AREA = 10.0


def series(shape: np.ndarray, n: int = 400, noise: float = SIGMA, seed: int = 0):
    rng = np.random.default_rng(seed)
    k = len(shape)
    value = shape + noise * rng.standard_normal((n, k))
    time = np.broadcast_to(2000.0 + np.arange(k), (n, k)).copy()
    return time, value, np.full((n, k), SIGMA)


def surges(time, value, sigma):
    found = breakpoints(time, value, sigma)
    return found, surge_candidates(found, np.full(len(value), AREA), np.sqrt(2.0) * sigma[:, 0], 2.0)


def kind(found, name):
    return found.kind == KINDS.index(name)


@pytest.mark.parametrize("k", [5, 6, 10])
def test_noise_about_a_line_has_no_break(k):
    found, surge = surges(*series(10.0 - 0.03 * np.arange(k), n=4_000))
    assert np.mean(~kind(found, "none")) < 0.02
    assert np.mean(surge) < 0.01


def test_scatter_above_the_stated_sigma_is_seldom_a_break():
    found, _ = surges(*series(10.0 - 0.03 * np.arange(10), n=4_000, noise=3 * SIGMA))
    assert np.mean(~kind(found, "none")) < 0.08


def test_a_step_forward_is_a_surge_where_it_happened():
    shape = 10.0 - 0.03 * np.arange(10)
    shape[6:] += 0.4
    found, surge = surges(*series(shape))
    assert kind(found, "step").mean() > 0.97 and surge.mean() > 0.97
    assert np.mean(found.time[kind(found, "step")] == 2005.5) > 0.97
    assert np.median(found.step) == pytest.approx(0.4, abs=0.02)
    assert np.median(found.before) == pytest.approx(-0.03, abs=0.005)


def test_a_turn_to_advance_is_a_surge_and_its_date_is_known_to_a_year():
    t = np.arange(10.0)
    found, surge = surges(*series(np.where(t < 5, -0.05 * t, -0.25 + 0.1 * (t - 5))))
    assert np.mean(~kind(found, "none")) > 0.97 and surge.mean() > 0.95
    assert np.mean(np.abs(found.time - 2005.0) <= 1.0) > 0.95


def test_retreat_that_speeds_up_breaks_but_is_no_surge():
    t = np.arange(10.0)
    found, surge = surges(*series(np.where(t < 5, -0.02 * t, -0.1 - 0.15 * (t - 5))))
    assert np.mean(~kind(found, "none")) > 0.97
    assert surge.mean() < 0.02


def test_a_sudden_loss_is_no_surge():
    shape = 10.0 - 0.01 * np.arange(10)
    shape[5:] -= 0.4
    found, surge = surges(*series(shape))
    assert kind(found, "step").mean() > 0.95 and surge.mean() < 0.02


def test_a_slow_advance_that_ended_is_a_break_but_no_surge():
    """SIMULATED: 10 km², +1.5 % in 15 years, then as slowly back, with a σ that sees it."""
    t = np.arange(31.0)
    shape = 10.0 + 0.01 * np.where(t < 15, t, 30 - 2 * (t - 15) - 15)
    found, surge = surges(*series(shape))
    assert np.mean(~kind(found, "none")) > 0.97 and np.median(found.advance) == pytest.approx(0.15, abs=0.02)
    assert not surge.any()


def test_a_quick_advance_that_goes_on_for_decades_is_no_surge():
    t = np.arange(31.0)
    found, surge = surges(*series(10.0 + np.where(t < 10, -0.02 * t, -0.2 + 0.1 * (t - 10))))
    assert np.mean(~kind(found, "none")) > 0.97 and np.median(found.advance_time) == pytest.approx(20, abs=1)
    assert not surge.any()


def test_the_pace_of_a_step_is_over_the_time_between_its_dates():
    shape = 10.0 - 0.01 * np.arange(20)
    shape[12:] += 0.4
    time, value, sigma = series(shape)
    _, seen = surges(time, value, sigma)
    value[:, 8:17] = np.nan  # +4 % some time within ten years, 0.4 % a year
    found, surge = surges(time, value, sigma)
    assert seen.mean() > 0.97 and np.mean(~kind(found, "none")) > 0.9 and surge.mean() < 0.05


def test_missing_years_leave_the_break_in_place():
    shape = 10.0 - 0.03 * np.arange(12)
    shape[7:] += 0.5
    time, value, sigma = series(shape)
    value[:, [2, 6]] = np.nan
    found, surge = surges(time, value, sigma)
    assert surge.mean() > 0.97 and np.mean(found.time == 2006.0) > 0.95  # the middle of 2005 and 2007


@pytest.mark.parametrize("known", [0, 1, 2, 4])
def test_fewer_than_five_values_never_break(known):
    time, value, sigma = series(np.array([0.0, 0.0, 5.0, 5.0, 5.0, 5.0]), n=3)
    value[:, known:] = np.nan
    found, surge = surges(time, value, sigma)
    assert kind(found, "none").all() and np.isnan(found.gain).all() and not surge.any()


def test_the_line_is_the_least_squares_line():
    time, value, sigma = series(10.0 - 0.03 * np.arange(8), n=20)
    found = breakpoints(time, value, sigma)
    slopes = np.polyfit(time[0] - 2000, value.T, 1)[0]
    plain = kind(found, "none")
    assert found.before[plain] == pytest.approx(slopes[plain], rel=1e-9)


def test_units_and_level_do_not_matter():
    shape = np.zeros(8)
    shape[4:] = 0.3
    time, value, sigma = series(shape, n=50)
    small = breakpoints(time, value, sigma)
    large = breakpoints(time, 1e4 + 1e3 * value, 1e3 * sigma)
    assert large.kind.tolist() == small.kind.tolist()
    assert large.gain == pytest.approx(small.gain, rel=1e-4)


def test_no_series_is_fine():
    assert breakpoints(np.empty((0, 6)), np.empty((0, 6)), np.empty((0, 6))).kind.shape == (0,)
