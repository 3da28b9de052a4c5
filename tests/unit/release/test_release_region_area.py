"""Totals of regions."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_factory import Row, area_row, good_rows, moved, small_row, tables, unmeasured_row

from core.errors import ConfigError
from core.release import GLACIER_AREA, region_area, table_from_rows
from core.release.region_area import SIGMA_MODEL
from core.release.schema import SIGMA_PARTS


def test_a_region_sums_its_glaciers_by_status() -> None:
    rows = good_rows()
    total = region_area(tables(rows)["glacier_area"]).to_pylist()[0]
    assert total["o2region"] is None and total["n_glaciers"] == len(rows)
    assert [total[f"n_{s}"] for s in ("measured", "not_observed", "quarantined", "below_minimum")] == [12, 1, 1, 2]
    assert total["area_km2"] == pytest.approx(sum(r["area_km2"] or 0 for r in rows))
    assert total["area_inventory_km2"] == pytest.approx(sum(r["area_inventory_km2"] for r in rows))


def test_area_of_glaciers_not_seen_is_in_neither_side_of_the_comparison() -> None:
    rows = [area_row(0), unmeasured_row(1)]
    total = region_area(tables(rows)["glacier_area"]).to_pylist()[0]
    assert total["area_inventory_measured_km2"] == rows[0]["area_inventory_km2"] < total["area_inventory_km2"]


def with_sigmas(number: int, boundary: float, model: float, hidden: float) -> Row:
    parts = dict(zip(SIGMA_PARTS, (boundary, model, hidden), strict=True))
    return area_row(number, **parts, area_sigma_km2=math.hypot(boundary, model, hidden))


def sigma_of(rows: Sequence[Row]) -> float:
    return float(region_area(tables(rows)["glacier_area"]).to_pylist()[0]["area_sigma_km2"])


def test_errors_of_the_model_add_up_and_all_others_in_quadrature() -> None:
    rows = [with_sigmas(0, 3.0, 1.0, 0.0), with_sigmas(1, 4.0, 2.0, 12.0)]
    assert sigma_of(rows) == pytest.approx(math.sqrt(3**2 + 4**2 + 12**2 + (1 + 2) ** 2), rel=1e-15)
    assert sigma_of(rows[:1]) == pytest.approx(rows[0]["area_sigma_km2"], rel=1e-15)
    assert region_area(tables(rows)["glacier_area"]).to_pylist()[0]["sigma_model"] == SIGMA_MODEL
    assert "fully correlated" in SIGMA_MODEL and "independent between glaciers" in SIGMA_MODEL


def test_a_glacier_whose_parts_are_unknown_errs_by_the_model() -> None:
    rows = [area_row(i) for i in range(4)]
    assert sigma_of(rows) == pytest.approx(sum(r["area_sigma_km2"] for r in rows))
    mixed = [with_sigmas(0, 3.0, 1.0, 0.0), area_row(1, area_sigma_km2=2.0)]
    assert sigma_of(mixed) == pytest.approx(math.sqrt(3**2 + (1 + 2) ** 2), rel=1e-15)


def test_glaciers_without_an_area_and_those_that_are_gone_add_no_uncertainty() -> None:
    gone = small_row(2, geometry=None, area_km2=0.0, area_sigma_km2=0.0)
    assert sigma_of([with_sigmas(0, 0.3, 0.4, 0.0), unmeasured_row(1), gone]) == pytest.approx(0.5)
    assert sigma_of([unmeasured_row(1)]) == 0.0


sigmas = st.just(0.0) | st.floats(1e-9, 1e3)  # squares of less are 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(sigmas, sigmas, sigmas), min_size=1, max_size=8))
def test_the_uncertainty_of_a_region_lies_between_that_of_its_model_and_the_sum(
    parts: list[tuple[float, float, float]],
) -> None:
    rows = [with_sigmas(i, *part) for i, part in enumerate(parts)]
    boundary, model, hidden = zip(*parts, strict=True)
    together = math.fsum(model)
    found = sigma_of(rows)
    assert found == math.sqrt(math.fsum([*(b * b for b in boundary), *(h * h for h in hidden), together * together]))
    upper = math.fsum(r["area_sigma_km2"] for r in rows)
    assert together * (1 - 1e-12) <= found <= upper * (1 + 1e-12)


def test_debris_is_summed_where_it_is_known_and_null_where_nowhere() -> None:
    rows = [area_row(0, area_debris_km2=0.5), area_row(1), unmeasured_row(2)]
    found = region_area(tables(rows)["glacier_area"])
    assert found.select(["o2region", "area_debris_km2"]).to_pylist() == [
        {"o2region": None, "area_debris_km2": 0.5},
        {"o2region": "06-01", "area_debris_km2": 0.5},
        {"o2region": "06-02", "area_debris_km2": None},
    ]


def test_the_observed_fraction_is_weighted_by_inventory_area() -> None:
    rows = [area_row(0, area_inventory_km2=3.0, observed_fraction=1.0), unmeasured_row(1, area_inventory_km2=1.0)]
    assert region_area(tables(rows)["glacier_area"])["observed_fraction"][0].as_py() == pytest.approx(0.75)


def test_second_order_regions_add_up_to_the_first() -> None:
    rows = good_rows()
    rows += moved(rows, "07", 30.0)
    found = region_area(tables(rows)["glacier_area"]).to_pylist()
    assert [(r["o1region"], r["o2region"]) for r in found] == [
        ("06", None), ("06", "06-01"), ("06", "06-02"), ("07", None), ("07", "07-01"),
    ]  # fmt: skip
    for column in ("n_glaciers", "area_km2", "area_debris_km2", "area_inventory_km2"):
        assert found[0][column] == pytest.approx(found[1][column] + found[2][column])
    assert found[0]["area_sigma_km2"] < found[1]["area_sigma_km2"] + found[2]["area_sigma_km2"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_sums_do_not_depend_on_the_order_of_glaciers(seed: int) -> None:
    rows = good_rows()
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert region_area(tables(shuffled)["glacier_area"]).equals(region_area(tables(rows)["glacier_area"]))


def test_glaciers_without_second_order_region_make_one_of_their_own_and_all_add_up() -> None:
    rows = [area_row(0), area_row(2, o2region=None), small_row(1), unmeasured_row(3, o2region=None)]
    found = region_area(tables(rows)["glacier_area"]).to_pylist()
    assert [(r["o2region"], r["n_glaciers"]) for r in found] == [(None, 4), ("06-01", 1), ("06-02", 1), ("unknown", 2)]
    for column in ("n_measured", "n_not_observed", "area_km2", "area_filled_km2", "area_inventory_km2"):
        assert sum(r[column] for r in found[1:]) == pytest.approx(found[0][column], rel=1e-12)


def test_rows_of_two_runs_are_not_summed() -> None:
    with pytest.raises(ConfigError, match="one run of one year"):
        region_area(table_from_rows([area_row(0), area_row(1, run_id="run-2")], GLACIER_AREA))


def test_no_glaciers_have_no_row() -> None:
    assert region_area(GLACIER_AREA.empty_table()).num_rows == 0
