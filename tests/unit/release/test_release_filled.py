"""Areas of regions with the glaciers that nobody saw: unbiased, as uncertain as they say, and adding up."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_factory import area_row, small_row, tables, unmeasured_row

from core.release import region_area
from core.release.filled import EDGES_KM2, LEAST, Filling
from core.release.schema import SIGMA_PARTS

NOTHING = dict.fromkeys(SIGMA_PARTS, 0.0)


def total(rows: list) -> dict:
    return dict(region_area(tables(rows)["glacier_area"]).to_pylist()[0])


def frame(area: np.ndarray, inventory: np.ndarray, sigma: np.ndarray, model: np.ndarray | float = 0.0) -> pd.DataFrame:
    """A region; area NaN where a glacier was not seen. sigma: of the boundary."""
    seen = np.isfinite(area)
    parts = [np.where(seen, part, np.nan) for part in (sigma, model + 0.0 * sigma, 0.0 * sigma)]
    return pd.DataFrame(
        {
            "status": np.where(seen, "measured", "not_observed"),
            "area_km2": area,
            "area_inventory_km2": inventory,
            "area_sigma_km2": np.where(seen, np.hypot(sigma, model), np.nan),
        }
        | dict(zip(SIGMA_PARTS, parts, strict=True))
    )


def filled(rows: pd.DataFrame) -> tuple[float | None, float | None]:
    return Filling.of(rows).total(rows.index)


def test_a_glacier_that_was_not_seen_shrank_as_the_others_did() -> None:
    rows = [area_row(i, area_km2=0.8, area_inventory_km2=1.0, area_sigma_km2=0.0, **NOTHING) for i in range(3)]
    rows += [unmeasured_row(3, area_inventory_km2=2.0), unmeasured_row(4, "quarantined", area_inventory_km2=0.5)]
    found = total(rows)
    assert found["area_km2"] == pytest.approx(2.4) and found["area_filled_km2"] == pytest.approx(2.4 + 0.8 * 2.5)
    assert found["area_filled_sigma_km2"] == pytest.approx(0.0, abs=1e-9)  # without any scatter


def test_glaciers_that_are_gone_are_part_of_the_ratio() -> None:
    gone = small_row(1, geometry=None, area_km2=0.0, area_sigma_km2=0.0, area_inventory_km2=1.0, **NOTHING)
    rows = [area_row(0, area_km2=1.0, area_inventory_km2=1.0), gone, unmeasured_row(2, area_inventory_km2=1.0)]
    assert total(rows)["area_filled_km2"] == pytest.approx(1.5)


def test_with_nothing_to_fill_the_area_is_that_of_the_measured() -> None:
    for rows in ([area_row(0)], [area_row(0), unmeasured_row(1, area_inventory_km2=None)]):
        found = total(rows)
        assert found["area_filled_km2"] == found["area_km2"]
        assert found["area_filled_sigma_km2"] == pytest.approx(found["area_sigma_km2"], rel=1e-12)


@pytest.mark.parametrize("measured", [0, 1])
def test_fewer_than_two_measured_glaciers_fill_nothing(measured: int) -> None:
    found = total([*(area_row(i) for i in range(measured)), unmeasured_row(5)])
    assert found["area_filled_km2"] is None and found["area_filled_sigma_km2"] is None


def test_errors_of_the_model_reach_the_glaciers_that_are_filled() -> None:
    """All of it common: twice the inventory area, twice the error."""
    area = np.array([0.9, 0.9, 0.9, np.nan, np.nan, np.nan])
    rows = frame(area, np.ones(6), np.zeros(6), 0.1)
    assert filled(rows) == pytest.approx((5.4, 0.6))


def test_sizes_have_ratios_of_their_own_where_enough_are_measured() -> None:
    small, large = np.full(LEAST, 0.05), np.full(LEAST, 20.0)
    area = np.concatenate([0.5 * small, 0.9 * large, [np.nan, np.nan]])
    rows = frame(area, np.concatenate([small, large, [0.05, 20.0]]), np.zeros(2 * LEAST + 2))
    assert filled(rows)[0] == pytest.approx(np.nansum(area) + 0.5 * 0.05 + 0.9 * 20.0)
    few = rows.drop(index=rows.index[:5])  # too few small ones: all together
    ratio = few["area_km2"].sum() / few["area_inventory_km2"][few["area_km2"].notna()].sum()
    assert filled(few)[0] == pytest.approx(few["area_km2"].sum() + ratio * 20.05)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0.01, *EDGES_KM2, 0.3, 7.0, 800.0]), min_size=2, max_size=60), st.integers(0, 999))
def test_filling_never_takes_away_and_parts_add_up(inventory: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.array(inventory)
    area = sizes * rng.uniform(0, 1.2, len(sizes))
    area[2:][rng.uniform(size=len(sizes) - 2) < 0.4] = np.nan
    rows = frame(area, sizes, 0.05 * sizes, 0.02 * sizes)
    filling = Filling.of(rows)
    whole, sigma = filling.total(rows.index)
    assert whole is not None and sigma is not None
    assert whole >= math.fsum(area[np.isfinite(area)]) and math.isfinite(sigma)
    groups = [rows.index[k::3] for k in range(3)]
    parts = [filling.total(group)[0] or 0.0 for group in groups]
    assert math.fsum(parts) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("model", [0.0, 0.03])
def test_filled_areas_are_unbiased_and_as_uncertain_as_they_say(model: float) -> None:
    """400 SIMULATED regions of 150 glaciers of all sizes: small ones lost more and scatter more, a tenth is gone, a
    third was not seen; boundaries err each by themselves, the model on all alike."""
    rng, z = np.random.default_rng(2), []
    for _ in range(400):
        inventory = 10 ** rng.uniform(-1.5, 1.5, 150)
        true = inventory * np.clip(0.8 + 0.06 * np.log10(inventory) + 0.1 * rng.standard_normal(150), 0.0, None)
        true[rng.uniform(size=150) < np.where(inventory < 0.3, 0.1, 0.0)] = 0.0
        boundary = 0.04 * true**0.75
        seen = true + boundary * rng.standard_normal(150) + model * true * rng.standard_normal()
        seen[rng.uniform(size=150) < 0.33] = np.nan
        area, sigma = filled(frame(seen, inventory, boundary, model * true))
        assert area is not None and sigma is not None
        z.append((area - true.sum()) / sigma)
    assert abs(np.mean(z)) < 0.2 and 0.8 <= np.std(z) <= 1.2
