"""Measured areas against the truth of a small SIMULATED world in three years, through plan, ingest, map and release."""

from __future__ import annotations

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.area_scores import ONE_SIGMA, bias, changes, coverage, fit, scaled_sigma, size_classes
from benchmarks.area_truth import Year, areas, fitted, run_year
from benchmarks.history_world import HistoryWorld, place_block, what_is_left, write_history_world
from core.errors import ConfigError
from core.grid.zone import home_zones
from core.layout import ReleaseLayout
from core.release import verify_release
from core.simulate.land.ice import YEARS
from core.simulate.land.place import draw_place
from core.urls import local_path

SEED, SITE, PX = 7000, "alps", 512


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> HistoryWorld:
    """Half a block a side, without images: the oracle needs none."""
    return write_history_world(SEED, tmp_path_factory.mktemp("history"), SITE, PX, images=False)


@pytest.fixture(scope="module")
def runs(world: HistoryWorld) -> list[Year]:
    return [run_year(world, year, "oracle") for year in YEARS]


@pytest.fixture(scope="module")
def rows(runs: list[Year]) -> pd.DataFrame:
    return pd.concat([run.rows for run in runs], ignore_index=True)


def released(run: Year) -> gpd.GeoDataFrame:
    folder = local_path(f"{run.url}/release")
    assert folder is not None
    return gpd.read_parquet(folder / ReleaseLayout(run.year).table("glacier_area")).set_index("rgi_id")


def test_the_landscape_lies_on_one_block_and_shrinks(world: HistoryWorld) -> None:
    block = shapely.box(*world.block.bounds_m)
    first, *later = (world.outlines_m(year) for year in YEARS)
    assert shapely.covered_by(first, block).all()
    truth = world.truth()
    assert 10 < truth["rgi_id"].nunique() < len(first)  # those that the border cuts are in the inventory alone
    assert truth["simulated"].all() and (truth.groupby("rgi_id").size() == len(YEARS)).all()
    for outlines in later:
        # To a square metre: the outlines went through degrees and back.
        assert shapely.area(shapely.difference(outlines, first)).max() < 1.0
    assert truth.groupby("year")["area_km2"].sum().is_monotonic_decreasing


def test_a_glacier_keeps_its_number_in_whatever_order_a_later_year_was_drawn() -> None:
    then = np.array([shapely.box(0, 0, 100, 100), shapely.box(100, 0, 300, 100), shapely.box(900, 0, 950, 50)])
    # The later drawing lost a divide, turned the order round and has a sliver of the first beyond it.
    now = np.array([shapely.box(100, 40, 200, 60), shapely.box(30, 40, 100.001, 60)])
    left = what_is_left(then, now)
    assert shapely.area(left) == pytest.approx([1400.0, 2000.0, 0.0], abs=0.1)
    assert left[2].geom_type == "Polygon" and left[2].is_empty


def test_a_world_is_opened_again_and_no_other_takes_its_folder(world: HistoryWorld) -> None:
    assert write_history_world(SEED, world.folder, SITE, PX, images=False) == world
    with pytest.raises(ConfigError, match="another folder"):
        write_history_world(SEED + 1, world.folder, SITE, PX, images=False)


def test_without_images_only_the_oracle_maps(world: HistoryWorld) -> None:
    with pytest.raises(ConfigError, match="no images"):
        world.write_config(YEARS[0], "band_ratio")


def test_the_oracle_gives_back_the_area_of_every_year(runs: list[Year]) -> None:
    for run, line in zip(runs, areas(runs), strict=True):
        assert abs(line["bias"]) < 0.01 and abs(bias(run.rows)) < 1e-3
        large = run.rows[run.rows["truth_km2"] >= 0.1]
        assert len(large) > 10
        assert (large["area_km2"] / large["truth_km2"] - 1).abs().max() < 0.01
        assert line["holds"]


def test_every_glacier_has_one_row_a_year(world: HistoryWorld, runs: list[Year]) -> None:
    names = sorted(gpd.read_file(world.inventory)["rgi_id"])
    for run in runs:
        area = released(run)
        assert sorted(area.index) == names and area.index.is_unique
        assert set(area["status"]) <= {"measured", "below_minimum"}
        assert verify_release(f"{run.url}/release") == []


def test_areas_add_up(runs: list[Year]) -> None:
    for run in runs:
        area = released(run).query("o2region == @run.world.o2region")
        assert run.region["n_glaciers"] == len(area) == len(run.rows)
        assert run.region["area_km2"] == pytest.approx(math.fsum(area["area_km2"]), rel=1e-12)
        balance = area["area_inventory_km2"] - area["area_loss_km2"] + area["area_advance_km2"]
        assert (balance - area["area_km2"]).abs().max() < 1e-3
        assert area["area_advance_km2"].max() < 1e-3


def test_clear_changes_have_the_sign_of_the_truth(rows: pd.DataFrame) -> None:
    found = changes(rows)
    assert found["n"] == 3 * rows["rgi_id"].nunique()
    assert found["clear"] >= 10 and found["right"] == found["clear"]


def test_a_wrong_sign_is_counted() -> None:
    rows = made_rows(np.full(4, 2.0), error=np.zeros(4), sigma=np.full(4, 0.1))
    later = rows.assign(year=2024, area_km2=rows["area_km2"] - 1, truth_km2=[1.0, 1.0, 1.0, 3.0])
    assert changes(pd.concat([rows, later])) == {"n": 4, "clear": 4, "right": 3, "share": 0.75}


@pytest.mark.parametrize("width", [0.2, 0.6, 1.5])
def test_a_fit_finds_the_width_that_made_the_errors(width: float) -> None:
    rng = np.random.default_rng(1)
    truth = np.geomspace(0.1, 20.0, 3000)
    boundary = 0.1 * np.sqrt(truth)
    rows = made_rows(truth, error=rng.normal(0.0, width * boundary), sigma=boundary)
    found = fit({300.0: rows}, boundary_px=0.5)
    assert found.boundary_px == pytest.approx(0.5 * width, rel=0.1)
    for line in coverage(rows, scaled_sigma(rows, found.boundary_px / 0.5)):
        assert line["holds"] == pytest.approx(ONE_SIGMA, abs=0.04)


def test_worlds_are_not_fitted_and_scored_at_once(runs: list[Year]) -> None:
    with pytest.raises(ValueError, match=str(SEED)):
        fitted(runs, runs)


@given(st.lists(st.floats(0.0, 100.0), max_size=200), st.integers(1, 30))
def test_size_classes_hold_every_glacier_once_and_enough_of_them(sizes: list[float], few: int) -> None:
    truth = np.array(sizes)
    classes = size_classes(truth, few)
    counts = [int(((truth >= low) & (truth < high)).sum()) for low, high in classes]
    assert sum(counts) == len(truth) and all(n >= few for n in counts[1:])


@settings(max_examples=20)
@given(st.integers(0, 5000))
def test_the_block_of_a_place_lies_in_its_zone(seed: int) -> None:
    block = place_block(draw_place(seed))
    xmin, ymin, xmax, ymax = block.bounds_m
    x, y = np.array([xmin, xmin, xmax, xmax]), np.array([ymin, ymax, ymin, ymax])
    assert (home_zones(*block.zone.unproject_points(x, y)) == block.zone.name).all()


def made_rows(truth: np.ndarray, error: np.ndarray, sigma: np.ndarray) -> pd.DataFrame:
    """Rows as of `run_year`, whose σ is that of the boundary."""
    return pd.DataFrame(
        {
            "rgi_id": [f"SIM-{i}" for i in range(len(truth))],
            "world": 0,
            "year": 2000,
            "status": "measured",
            "truth_km2": truth,
            "area_km2": truth + error,
            "sigma_km2": sigma,
            "boundary_km2": sigma,
            "model_km2": 0.0,
            "hidden_km2": 0.0,
        }
    )


def test_a_world_larger_than_a_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1024"):
        write_history_world(SEED, tmp_path / "large", SITE, 1040, images=False)
