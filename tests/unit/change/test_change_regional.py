"""Regional sums: the regression by size, and measured and extrapolated parts that are unbiased within their errors."""

from __future__ import annotations

import numpy as np
import pytest

from core.change.error_model import ErrorModel, sum_sigma
from core.change.pair import pair_change
from core.change.regional import region_totals
from core.change.sample import Filter, sample, why_left_out
from core.change.size_regression import fit_size
from tests.unit.change.made_changes import draw_errors, made_series

KEEP = Filter()


def sizes(rng, n):
    return 10 ** rng.uniform(-1.5, 1.5, n)


def law(area):
    """Small glaciers lose the larger share; 1/yr."""
    x = np.log10(area)
    return -0.012 + 0.006 * x - 0.001 * x**2


# ------------------------------------------------------------------ regression


def test_the_quadratic_is_found_with_its_scatter():
    rng = np.random.default_rng(0)
    area = sizes(rng, 3_000)
    sigma = 0.004 * area**-0.3
    fit = fit_size(area, law(area) + 0.005 * rng.standard_normal(3_000) + sigma * rng.standard_normal(3_000), sigma)
    at = np.array([0.1, 1.0, 10.0])
    assert fit.form == "quadratic"
    assert fit.rate(at) == pytest.approx(law(at), abs=0.0008)
    assert fit.scatter == pytest.approx(0.005, rel=0.1)


def test_coefficients_are_as_uncertain_as_they_say():
    rng = np.random.default_rng(1)
    area, at, inside = sizes(rng, 60), np.array([0.3]), []
    sigma = 0.003 * area**-0.3
    for _ in range(400):
        fit = fit_size(area, law(area) + rng.normal(0, np.hypot(sigma, 0.004)), sigma)
        curve = np.sqrt(fit.rate_sigma(at, sigma) ** 2 - fit.scatter**2)
        inside.append(abs(fit.rate(at) - law(at)) <= curve)
    assert 0.60 <= np.mean(inside) <= 0.76


@pytest.mark.parametrize(
    ("n", "form"),
    [(0, "none"), (2, "none"), (3, "mean"), (7, "mean"), (8, "linear"), (19, "linear"), (20, "quadratic")],
)
def test_fewer_glaciers_get_a_simpler_form(n, form):
    area = np.logspace(-1, 1, n)
    assert fit_size(area, law(area), np.full(n, 0.001)).form == form


def test_glaciers_of_one_size_get_a_mean():
    fit = fit_size(np.ones(50), np.full(50, -0.01), np.full(50, 0.001))
    assert fit.form == "mean" and fit.rate(np.array([0.01, 100.0])) == pytest.approx([-0.01, -0.01])


def test_sizes_beyond_the_measured_ones_get_the_rate_of_the_nearest():
    area = np.logspace(-1, 1, 40)
    fit = fit_size(area, law(area), np.full(40, 0.001))
    assert fit.rate(np.array([1e-3, 1e3])) == pytest.approx(fit.rate(np.array([0.1, 10.0])))


def test_a_surge_does_not_decide_for_all():
    rng = np.random.default_rng(2)
    area = sizes(rng, 60)
    rate = law(area) + 0.001 * rng.standard_normal(60)
    wild = rate.copy()
    wild[7] = 0.5
    sigma = np.full(60, 0.001)
    assert fit_size(area, wild, sigma).rate(np.array([1.0])) == pytest.approx(
        fit_size(area, rate, sigma).rate(np.array([1.0])), abs=0.001
    )


def test_a_glacier_that_is_gone_without_sigma_does_not_take_all_the_weight():
    area = np.logspace(-1, 1, 30)
    rate, sigma = np.full(30, -0.01), np.full(30, 0.001)
    rate[0], sigma[0] = 0.0, 0.0
    assert fit_size(area, rate, sigma).rate(np.array([1.0]))[0] == pytest.approx(-0.01, abs=0.001)


# ------------------------------------------------------------------ regions


def totals_of(series, errors=ErrorModel(), keep=KEEP):
    pair = pair_change(series, 0, 1, errors)
    return region_totals([sample(series, pair, keep)])


def test_a_region_measured_whole_is_the_sum_of_its_glaciers():
    areas = np.array([[1.0, 0.9], [2.0, 1.8], [0.5, 0.6], [3.0, 2.5]])
    sigma = np.full((4, 2), 0.02)
    whole, one, two, everything = totals_of(made_series(areas, sigma))
    assert (whole.o2region, one.o2region, two.o2region, everything.o1region) == (None, "06-01", "06-02", "world")
    assert whole.n_measured == 4 and whole.n_extrapolated == 0 and whole.rate_extrapolated == 0.0
    assert whole.rate == pytest.approx(-0.07) and whole.change_measured_km2 == pytest.approx(-0.7)
    assert one.rate + two.rate == pytest.approx(whole.rate)
    assert (whole.n_retreat, whole.n_advance) == (3, 1)
    pair = pair_change(made_series(areas, sigma), 0, 1, ErrorModel())
    assert (whole.rate_own, whole.rate_common) == pytest.approx(sum_sigma(pair.rate_sigma_km2_a, pair.common))
    assert whole.rate_upper == pytest.approx(4 * 0.02 * np.sqrt(1.5) / 10) and everything.rate == whole.rate


def test_the_unobserved_get_the_rate_of_their_size():
    rng = np.random.default_rng(3)
    area = sizes(rng, 300)
    second = area * (1 + 10 * law(area))
    hidden = rng.uniform(size=300) < 0.3
    areas = np.stack([area, np.where(hidden, np.nan, second)], axis=1)
    whole = totals_of(made_series(areas, 0.01 * area[:, None] * np.ones((1, 2)), area))[0]
    assert whole.n_measured == np.sum(~hidden) and whole.n_extrapolated == hidden.sum()
    assert whole.rate_extrapolated == pytest.approx(np.sum(second - area, where=hidden) / 10, rel=1e-6)
    assert whole.area_extrapolated_km2 == pytest.approx(area[hidden].sum())


def test_glaciers_are_left_out_for_what_was_seen_of_them_never_for_their_size():
    areas = np.array([[1.0, 0.9], [0.05, 0.06], [1.0, 0.01], [1.0, 1.0], [1.0, np.nan]])
    observed = np.ones((5, 2))
    observed[3, 1] = 0.5
    series = made_series(areas, np.full((5, 2), 0.1), observed=observed)
    pair = pair_change(series, 0, 1, ErrorModel())
    assert why_left_out(series, pair, KEEP).tolist() == [
        "",
        "",  # within its uncertainty
        "",
        "observed in part",
        "not measured at both dates",
    ]


def test_a_glacier_that_nobody_ever_drew_is_counted_but_in_no_sum():
    areas = np.array([[1.0, 0.9]] * 4 + [[np.nan, np.nan]])
    whole = totals_of(made_series(areas, np.full((5, 2), 0.01)))[0]
    assert (whole.n_glaciers, whole.n_measured, whole.n_extrapolated) == (5, 4, 0)


def test_a_region_without_a_regression_of_its_own_takes_that_of_all():
    areas = np.stack([np.full(30, 1.0), np.full(30, 0.9)], axis=1)
    alone = np.array([[1.0, np.nan], [2.0, np.nan]])
    parts = []
    for name, values in (("06", areas), ("07", alone)):
        series = made_series(values, np.full(values.shape, 0.01), region=name)
        parts.append(sample(series, pair_change(series, 0, 1, ErrorModel()), KEEP))
    rows = {(t.o1region, t.o2region): t for t in region_totals(parts)}
    assert rows["07", None].rate == pytest.approx(-0.03) and rows["07", None].n_extrapolated == 2
    assert rows["07", None].rate_own > 0
    assert rows["world", None].rate == pytest.approx(-0.33)


def test_nothing_measured_anywhere_extrapolates_nothing():
    whole = totals_of(made_series(np.array([[1.0, np.nan]] * 3), np.full((3, 2), 0.1)))[0]
    assert (whole.n_measured, whole.n_extrapolated, whole.rate) == (0, 0, 0.0)


def test_errors_of_the_model_do_not_average_out():
    n = 400
    areas = np.stack([np.full(n, 1.0), np.full(n, 0.9)], axis=1)
    sigma = np.full((n, 2), 0.1)
    free = totals_of(made_series(areas, sigma, model_share=0.0))[0]
    bound = totals_of(made_series(areas, sigma, model_share=1.0))[0]
    assert free.rate_own == pytest.approx(np.sqrt(2 * n) * 0.01) and free.rate_common == 0.0
    assert bound.rate_common == pytest.approx(bound.rate_upper) and bound.rate_own == pytest.approx(0.0, abs=1e-6)


def test_totals_are_unbiased_and_cover_with_a_third_extrapolated():
    """300 SIMULATED regions of 120 glaciers: errors as stated, true rates scattered, small ones hidden more often."""
    rng = np.random.default_rng(7)
    errors, z, extra = ErrorModel(correlation=0.5), [], []
    for _ in range(300):
        area = sizes(rng, 120)
        rate = law(area) + 0.003 * rng.standard_normal(120)
        areas = np.stack([area, area * (1 + 10 * rate)], axis=1)
        sigma = 0.03 * area[:, None] ** 0.75 * np.ones((1, 2))
        seen = areas + draw_errors(rng, sigma, 0.2, errors.correlation)
        hidden = rng.uniform(size=120) < np.where(area < 1, 0.45, 0.2)
        seen[hidden, 1] = np.nan
        inventory = area * (1 + 0.02 * rng.standard_normal(120))
        whole = totals_of(made_series(seen, sigma, inventory, model_share=0.2), errors)[0]
        assert whole.n_extrapolated == hidden.sum()
        z.append((whole.rate - np.sum(rate * area)) / np.hypot(whole.rate_own, whole.rate_common))
        width = np.hypot(whole.rate_extrapolated_own, whole.rate_extrapolated_common)
        extra.append((whole.rate_extrapolated - np.sum((rate * area)[hidden])) / width)
    for score in (np.array(z), np.array(extra)):
        assert abs(score.mean()) < 0.25
        assert 0.60 <= np.mean(np.abs(score) <= 1) <= 0.76


# ------------------------------------------------------------------ what is nearly gone


def nearly_gone(rng, n, gone):
    """Glaciers of 0.05 km² in the inventory that lose 15 % in ten years; where `gone`, 0.004 km² of them were left and
    vanish. (areas (n, 2), σ, inventory areas.)"""
    inventory = 0.05 * 10 ** rng.uniform(-0.2, 0.2, n)
    areas = np.stack([inventory, 0.85 * inventory], axis=1)
    areas[gone] = [0.004, 0.0]
    sigma = np.where(gone[:, None], [0.005, 0.0], 0.005)
    return areas, sigma, inventory


def test_glaciers_that_are_nearly_gone_lose_what_they_had_and_no_more():
    """0.40 km² of 100 glaciers, each within its uncertainty."""
    areas, sigma, inventory = nearly_gone(np.random.default_rng(0), 200, np.arange(200) >= 100)
    whole = totals_of(made_series(areas, sigma, inventory))[0]
    assert whole.n_measured == 200 and whole.rate_extrapolated == 0.0
    assert whole.change_measured_km2 == pytest.approx(np.sum(areas[:, 1] - areas[:, 0]), rel=1e-9)


def test_no_glacier_is_extrapolated_to_less_than_nothing():
    areas, sigma, inventory = nearly_gone(np.random.default_rng(0), 200, np.arange(200) >= 100)
    areas[100:, 1] = np.nan
    whole = totals_of(made_series(areas, sigma, inventory))[0]
    assert whole.n_extrapolated == 100
    assert whole.rate_extrapolated == pytest.approx(-0.4 / 10, rel=1e-6)
    assert whole.area_extrapolated_km2 == pytest.approx(0.4)


def test_glaciers_that_gain_are_extrapolated_by_their_size_whatever_is_left():
    areas, sigma, inventory = nearly_gone(np.random.default_rng(0), 200, np.arange(200) >= 100)
    areas[:100, 1], areas[100:, 1] = 1.1 * inventory[:100], np.nan
    whole = totals_of(made_series(areas, sigma, inventory))[0]
    assert whole.rate_extrapolated == pytest.approx(0.01 * inventory[100:].sum(), rel=1e-3)


def test_sums_with_glaciers_within_their_uncertainty_are_unbiased():
    """SIMULATED: a third nearly gone, all with errors; a third, at random, never seen at either date."""
    rng, off, sigmas = np.random.default_rng(11), [], []
    for _ in range(300):
        n = 120
        areas, sigma, inventory = nearly_gone(rng, n, rng.uniform(size=n) < 0.33)
        true = np.sum(areas[:, 1] - areas[:, 0]) / 10
        seen = areas + sigma * rng.standard_normal((n, 2))
        seen[rng.uniform(size=n) < 0.33] = np.nan
        whole = totals_of(made_series(seen, sigma, inventory, model_share=0.0))[0]
        off.append(whole.rate - true)
        sigmas.append(np.hypot(whole.rate_own, whole.rate_common))
    assert abs(np.mean(off)) < 0.35 * np.mean(sigmas)
    assert 0.60 <= np.mean(np.abs(off) <= np.array(sigmas)) <= 0.80


# ------------------------------------------------------------------ the world


def region_sample(rng, name, n, measured, share=0.0):
    """(sample of n SIMULATED glaciers of which the first ones are measured, true rate)."""
    area = 10 ** rng.uniform(-1, 1, n)
    rate = -0.01 + 0.002 * rng.standard_normal(n)
    areas = np.stack([area, area * (1 + 10 * rate)], axis=1)
    sigma = 0.05 * areas
    seen = areas + draw_errors(rng, sigma, share, 0.5)
    seen[measured:] = np.nan
    series = made_series(seen, sigma, area, model_share=share, region=name)
    return sample(series, pair_change(series, 0, 1, ErrorModel(0.5)), KEEP), float(np.sum(rate * area))


@pytest.mark.parametrize(
    "measured", [[2] * 10, [30] * 4, [1] * 6, [40, 40, 2, 2, 1, 1]], ids=["few", "many", "one", "mixed"]
)
def test_the_world_errs_as_much_as_it_says_where_regions_share_a_regression(measured):
    rng, z = np.random.default_rng(5), []
    for _ in range(120):
        made = [region_sample(rng, f"{k:02d}", 60, n) for k, n in enumerate(measured)]
        world = region_totals([part for part, _ in made])[-1]
        sigma = np.hypot(world.rate_own, world.rate_common)
        z.append((world.rate - sum(true for _, true in made)) / sigma)
        assert sigma <= world.rate_upper
    assert abs(np.mean(z)) < 0.3 and 0.8 <= np.std(z) <= 1.2


def test_the_world_of_regions_with_their_own_regressions_adds_in_quadrature():
    rng = np.random.default_rng(6)
    rows = region_totals([region_sample(rng, f"{k:02d}", 60, 30)[0] for k in range(3)])
    regions, world = [r for r in rows[:-1] if r.o2region is None], rows[-1]
    for name in ("rate_own", "rate_extrapolated_own", "rate_measured_own"):
        assert getattr(world, name) == pytest.approx(np.sqrt(sum(getattr(r, name) ** 2 for r in regions)))


def test_glaciers_without_second_order_region_make_one_of_their_own_and_all_add_up():
    rng = np.random.default_rng(3)
    area = sizes(rng, 90)
    areas = np.stack([area, area * (1 + 10 * law(area))], axis=1)
    areas[::4, 1] = np.nan
    series = made_series(areas, 0.01 * areas, area)
    names = np.array(["06-01", None, "06-02"], dtype=object)[np.arange(90) % 3]
    series.glaciers["o2region"] = names
    whole, *second, _ = totals_of(series)
    assert [r.o2region for r in second] == ["06-01", "06-02", "unknown"]
    for name in ("n_glaciers", "n_measured", "n_extrapolated", "rate", "area_measured_km2", "change_measured_km2"):
        assert sum(getattr(r, name) for r in second) == pytest.approx(getattr(whole, name))
