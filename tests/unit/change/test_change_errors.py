"""Errors of change: intervals cover what they say under the stated model, and signs are right."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.change.error_model import ErrorModel, Sigma, change_sigma, inventory_sigma_km2, sum_sigma
from core.change.pair import pair_change, periods
from core.errors import ConfigError
from tests.unit.change.made_changes import draw_errors, made_series

share = st.floats(0.0, 1.0)
size = st.just(0.0) | st.floats(1e-6, 10.0)
YES = np.array([True])


def sigma(total, model_share=1.0, cancels=True):
    total = np.atleast_1d(np.asarray(total, dtype=float))
    return Sigma(total, np.sqrt(model_share) * total, np.full(len(total), cancels))


@given(size, size, share, share, share)
def test_sigma_of_a_change_lies_between_difference_and_sum(first, second, one, other, rho):
    found, correlation, common = change_sigma(ErrorModel(rho), sigma(first, one), sigma(second, other), YES)
    assert abs(first - second) - 1e-6 <= found[0] <= np.hypot(first, second) + 1e-9
    assert 0.0 <= correlation[0] <= rho and 0.0 <= common[0] <= 1.0
    variance = first**2 + second**2 - 2 * correlation[0] * first * second
    assert found[0] ** 2 == pytest.approx(variance, abs=1e-9)


@given(share, share)
def test_only_the_models_part_cancels_and_only_it_is_common(part, rho):
    found, correlation, common = change_sigma(ErrorModel(rho), sigma(1.0, part), sigma(1.0, part), YES)
    assert correlation[0] == pytest.approx(rho * part)
    assert found[0] ** 2 == pytest.approx(2 - 2 * rho * part)
    assert common[0] * found[0] ** 2 == pytest.approx(2 * part * (1 - rho), abs=1e-9)


@pytest.mark.parametrize(("same", "cancels"), [(False, True), (True, False)])
def test_nothing_cancels_between_models_or_where_sigma_is_not_divided(same, cancels):
    found = change_sigma(ErrorModel(1.0), sigma(1.0, cancels=cancels), sigma(1.0), np.array([same]))
    assert [float(v[0]) for v in found] == pytest.approx([np.sqrt(2), 0.0, 1.0])


def test_sum_sigma_goes_from_independent_to_the_upper_bound():
    values = np.array([1.0, 2.0, 2.0])
    assert sum_sigma(values, np.zeros(3)) == pytest.approx((3.0, 0.0))
    assert sum_sigma(values, np.ones(3)) == pytest.approx((0.0, 5.0))


def test_inventory_sigma_follows_pfeffer():
    assert inventory_sigma_km2(np.array([0.0, 1.0, 10.0])).tolist() == pytest.approx([0.0, 0.117, 0.117 * 10**0.7])


def test_what_is_new_each_date_is_the_rest():
    new = ErrorModel(0.5).new_each_date(sigma([2.0, 2.0], 0.5))
    assert new.tolist() == pytest.approx([np.sqrt(3.0)] * 2)


@pytest.mark.parametrize("rho", [-0.1, 1.1, float("nan")])
def test_impossible_correlations_are_refused(rho):
    with pytest.raises(ConfigError, match="--correlation"):
        ErrorModel(rho)


@pytest.mark.parametrize("same_model", [True, False])
@pytest.mark.parametrize("part", [0.0, 0.3])
def test_intervals_of_glaciers_cover_and_signs_are_right(part, same_model):
    """2,000 glaciers × 100 draws of the errors that all share, SIMULATED under the stated model."""
    rng = np.random.default_rng(4)
    n, errors = 2_000, ErrorModel(correlation=0.5)
    inside, right, significant = [], [], []
    models = np.zeros((n, 2), dtype=np.int32) if same_model else np.tile(np.array([0, 1], dtype=np.int32), (n, 1))
    for _ in range(100):
        true = 10 ** rng.uniform(-1.5, 1.5, n)
        change = true * rng.normal(-0.1, 0.1, n)
        areas = np.stack([true, true + change], axis=1)
        spread = 0.05 * areas[:, :1] ** 0.75 * np.array([1.0, 0.9])
        seen = areas + draw_errors(rng, spread, part, errors.correlation, same_model)
        pair = pair_change(made_series(seen, spread, model_share=part, model=models), 0, 1, errors)
        inside.append(np.abs(pair.change_km2 - change) <= pair.change_sigma_km2)
        sure = pair.direction != 0
        significant.append(sure.mean())
        right.append((pair.direction == np.sign(change))[sure])
    assert 0.60 <= np.mean(inside) <= 0.76
    assert np.mean(significant) > 0.2
    assert np.mean(np.concatenate(right)) >= 0.95


def test_p_values_are_uniform_where_nothing_changes():
    rng = np.random.default_rng(1)
    n = 20_000
    spread = np.full((n, 2), 0.1)
    seen = 5.0 + draw_errors(rng, spread, 0.0, 0.0)
    pair = pair_change(made_series(seen, spread, model_share=0.0), 0, 1, ErrorModel())
    assert np.mean(pair.p_value < 0.05) == pytest.approx(0.05, abs=0.006)
    assert np.mean(pair.direction != 0) == pytest.approx(0.0455, abs=0.006)


def one(areas, sigmas, **changes):
    series = made_series(np.array([areas], dtype=float), np.array([sigmas], dtype=float), **changes)
    return pair_change(series, 0, 1, ErrorModel())


@pytest.mark.parametrize(("change", "direction"), [(-0.29, 0), (-0.31, -1), (0.29, 0), (0.31, 1)])
@pytest.mark.parametrize("dates", [(0.8, 0.9), (0.7, 1.0), (1.0, 0.7)])
def test_a_change_that_hidden_ground_may_be_is_none_however_small_sigma_is(dates, change, direction):
    """Of a glacier of 1 km² in the inventory, 0.3 km² of which were hidden at the two dates together."""
    seen, filled = np.array([dates]), np.array([[share < 1 for share in dates]])
    areas, sigmas, inventory = [0.9, 0.9 + change], [1e-3, 1e-3], np.array([1.0])
    pair = one(areas, sigmas, inventory_km2=inventory, observed=seen, gap_filled=filled)
    assert pair.direction[0] == direction and pair.flags[0] == "gap_filled" and pair.p_value[0] < 1e-6
    assert one(areas, sigmas, inventory_km2=inventory).direction[0] == np.sign(change)


@given(share, st.floats(1e-3, 1.0), st.floats(0.0, 1.0))
def test_two_sigma_of_a_hidden_part_reach_all_that_it_can_hide(filled, hidden_km2, truth):
    """σ of hidden ground of which a share is taken for ice, hidden·√(1/12 + (s − ½)²), at one date."""
    sigma_km2 = hidden_km2 * np.sqrt(1 / 12 + (filled - 0.5) ** 2)
    assert one([1.0, 1.0 + hidden_km2 * (truth - filled)], [0.0, sigma_km2], model_share=0.0).direction[0] == 0


def test_rates_are_per_year_between_scenes():
    pair = one([2.0, 1.5], [0.1, 0.1])
    assert pair.rate_km2_a[0] == pytest.approx(-0.05) and pair.rate_pct_a[0] == pytest.approx(-2.5)
    assert pair.rate_sigma_km2_a[0] == pytest.approx(np.sqrt(0.015) / 10)  # ρ = ½·½: 0.01 + 0.01 − 0.005
    assert pair.rate_pct_sigma_a[0] == pytest.approx(100 * np.sqrt(0.1**2 + 0.075**2 - 0.5 * 0.1 * 0.075) / 2.0 / 10)
    assert pair.direction[0] == -1 and pair.flags[0] == "" and pair.status[0] == "both"


def test_a_glacier_that_vanished_has_lost_what_it_had():
    pair = one([0.5, 0.0], [0.05, 0.0])
    assert pair.change_km2[0] == -0.5 and pair.change_sigma_km2[0] == pytest.approx(0.05)
    assert pair.direction[0] == -1 and pair.rate_pct_a[0] == pytest.approx(-10.0)


def test_nothing_that_stays_nothing_is_no_change():
    pair = one([0.0, 0.0], [0.0, 0.0])
    assert pair.change_km2[0] == 0.0 and pair.p_value[0] == 1.0 and pair.direction[0] == 0
    assert np.isnan(pair.rate_pct_a[0]) and pair.rate_km2_a[0] == 0.0


def test_a_year_without_area_gives_no_change_and_says_which():
    areas = np.array([[1.0, np.nan], [np.nan, 1.0], [np.nan, np.nan], [1.0, 1.0]])
    pair = pair_change(made_series(areas, np.full((4, 2), 0.1)), 0, 1, ErrorModel())
    assert pair.status.tolist() == ["first_only", "second_only", "neither", "both"]
    assert np.isnan(pair.change_km2[:3]).all() and np.isnan(pair.p_value[:3]).all()
    assert pair.direction.tolist() == [0, 0, 0, 0]


def test_other_models_lower_the_correlation_and_other_inventories_are_named():
    same = one([1.0, 1.0], [0.1, 0.1])
    model = one([1.0, 1.0], [0.1, 0.1], model=np.array([[0, 1]], dtype=np.int32))
    outlines = one([1.0, 1.0], [0.1, 0.1], inventories=(0, 1))
    assert same.correlation[0] == pytest.approx(0.25) and same.common[0] == pytest.approx(1 / 3)
    assert model.correlation[0] == 0.0 and model.common[0] == pytest.approx(0.5) and model.flags[0] == "other_model"
    assert outlines.correlation[0] == 0.0 and outlines.flags[0] == "other_inventory"


def test_an_inventory_younger_than_the_release_still_has_the_right_sign_in_time():
    pair = one([1.0, 2.0], [0.1, 0.1], time=np.array([[2010.0, 2000.0]]))
    assert pair.rate_km2_a[0] == pytest.approx(-0.1) and pair.direction[0] == -1 and pair.flags[0] == "reversed_dates"


def test_scenes_of_one_season_have_a_change_but_no_rate():
    pair = one([1.0, 0.9], [0.1, 0.1], time=np.array([[2000.0, 2000.3]]))
    assert pair.change_km2[0] == pytest.approx(-0.1) and np.isnan(pair.rate_km2_a[0])
    assert pair.flags[0] == "short_period"


def test_flags_are_sorted_words():
    series = made_series(np.ones((1, 2)), np.full((1, 2), 0.1), gap_filled=np.array([[True, False]]))
    series = dataclasses.replace(series, inventories=(0, 1), time=np.array([[np.nan, 2000.0]]))
    assert pair_change(series, 0, 1, ErrorModel()).flags[0] == "gap_filled;no_date;other_inventory"


def test_periods_are_the_whole_and_the_steps():
    assert periods(("2000", "2010")) == [(0, 1)]
    assert periods(("inventory", "2000", "2010")) == [(0, 2), (0, 1), (1, 2)]
