"""Totals of regions."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_factory import area_row, good_rows, moved, small_row, tables, unmeasured_row

from core.errors import ConfigError
from core.release import GLACIER_AREA, region_area, table_from_rows


def test_a_region_sums_its_glaciers_by_status() -> None:
    rows = good_rows()
    total = region_area(tables(rows)[0]).to_pylist()[0]
    assert total["o2region"] is None and total["n_glaciers"] == len(rows)
    assert [total[f"n_{s}"] for s in ("measured", "not_observed", "quarantined", "below_minimum")] == [12, 1, 1, 2]
    assert total["area_km2"] == pytest.approx(sum(r["area_km2"] or 0 for r in rows))
    assert total["area_inventory_km2"] == pytest.approx(sum(r["area_inventory_km2"] for r in rows))


def test_area_of_glaciers_not_seen_is_in_neither_side_of_the_comparison() -> None:
    rows = [area_row(0), unmeasured_row(1)]
    total = region_area(tables(rows)[0]).to_pylist()[0]
    assert total["area_inventory_measured_km2"] == rows[0]["area_inventory_km2"] < total["area_inventory_km2"]


def test_uncertainties_add_up_fully_correlated_and_the_model_is_named() -> None:
    rows = [area_row(i) for i in range(4)]
    total = region_area(tables(rows)[0]).to_pylist()[0]
    assert total["area_sigma_km2"] == pytest.approx(sum(r["area_sigma_km2"] for r in rows))
    assert "fully correlated" in total["sigma_model"]


def test_the_observed_fraction_is_weighted_by_inventory_area() -> None:
    rows = [area_row(0, area_inventory_km2=3.0, observed_fraction=1.0), unmeasured_row(1, area_inventory_km2=1.0)]
    assert region_area(tables(rows)[0])["observed_fraction"][0].as_py() == pytest.approx(0.75)


def test_second_order_regions_add_up_to_the_first() -> None:
    rows = good_rows()
    rows += moved(rows, "07", 30.0)
    found = region_area(tables(rows)[0]).to_pylist()
    assert [(r["o1region"], r["o2region"]) for r in found] == [
        ("06", None), ("06", "06-01"), ("06", "06-02"), ("07", None), ("07", "07-01"),
    ]  # fmt: skip
    for column in ("n_glaciers", "area_km2", "area_sigma_km2", "area_inventory_km2"):
        assert found[0][column] == pytest.approx(found[1][column] + found[2][column])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_sums_do_not_depend_on_the_order_of_glaciers(seed: int) -> None:
    rows = good_rows()
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert region_area(tables(shuffled)[0]).equals(region_area(tables(rows)[0]))


def test_glaciers_without_second_order_region_count_in_the_total_only() -> None:
    found = region_area(tables([area_row(0, o2region=None), small_row(1)])[0]).to_pylist()
    assert [(r["o2region"], r["n_glaciers"]) for r in found] == [(None, 2), ("06-02", 1)]


def test_rows_of_two_runs_are_not_summed() -> None:
    with pytest.raises(ConfigError, match="one run of one year"):
        region_area(table_from_rows([area_row(0), area_row(1, run_id="run-2")], GLACIER_AREA))


def test_no_glaciers_have_no_row() -> None:
    assert region_area(GLACIER_AREA.empty_table()).num_rows == 0
