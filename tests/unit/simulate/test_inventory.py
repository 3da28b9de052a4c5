"""The SIMULATED world inventory: the counts and areas of the RGI, in the form that `read_inventory` gives."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from core.grid import home_zones
from core.inventory import read_inventory
from core.simulate.inventory import REGION_SIZES, pareto_areas, simulate_inventory

SMALL = ("06", "08", "10", "11", "19")  # both regions that cross 180° among them


@pytest.fixture(scope="module")
def inventory() -> gpd.GeoDataFrame:
    return simulate_inventory(seed=3, regions=SMALL)


def test_the_regions_sum_up_to_the_world() -> None:
    assert len(REGION_SIZES) == 19
    assert sum(r.n_glaciers for r in REGION_SIZES.values()) == 274_531
    assert sum(r.area_km2 for r in REGION_SIZES.values()) == 706_744


def test_every_region_has_its_number_of_glaciers_and_its_area(inventory: gpd.GeoDataFrame) -> None:
    by_region = inventory.groupby("o1region")["area_km2"].agg(["size", "sum"])
    assert by_region["size"].to_dict() == {r: REGION_SIZES[r].n_glaciers for r in SMALL}
    np.testing.assert_allclose(by_region["sum"], [REGION_SIZES[r].area_km2 for r in by_region.index], rtol=0.01)


def test_sizes_of_all_glaciers_are_spread_as_in_the_rgi() -> None:
    area = np.concatenate([pareto_areas(r.n_glaciers, r.area_km2) for r in REGION_SIZES.values()])
    assert area.min() >= 0.01
    assert abs((area < 1).mean() - 0.836) < 0.01


def test_outlines_are_valid_stars_around_their_point(inventory: gpd.GeoDataFrame) -> None:
    shapes = inventory.geometry.to_numpy()
    assert shapely.is_valid(shapes).all()
    assert set(shapely.get_type_id(shapes)) == {shapely.GeometryType.POLYGON}
    vertices = shapely.get_num_coordinates(shapes) - 1
    assert vertices.min() >= 20 and vertices.max() == 200
    centre = shapely.points(inventory["cenlon"], inventory["cenlat"])
    turned = np.round((shapely.get_x(shapely.centroid(shapes)) - inventory["cenlon"].to_numpy()) / 360.0) * 360.0
    assert shapely.contains(
        shapes, shapely.transform(centre, lambda xy: xy + np.column_stack([turned, 0 * turned]))
    ).all()


@pytest.mark.parametrize("region", ["10", "19"])
def test_regions_10_and_19_lie_on_both_sides_of_the_antimeridian(inventory: gpd.GeoDataFrame, region: str) -> None:
    here = inventory[inventory["o1region"] == region]
    assert (here["cenlon"] > 170).any() and (here["cenlon"] < -170).any()
    assert here["cenlon"].abs().max() <= 180
    assert (here.geometry.bounds.maxx - here.geometry.bounds.minx).max() < 30


def test_zones_and_ids_are_those_of_an_inventory(inventory: gpd.GeoDataFrame) -> None:
    assert inventory["rgi_id"].is_unique and inventory["rgi_id"].is_monotonic_increasing
    assert list(inventory["zone"]) == list(home_zones(inventory["cenlon"].to_numpy(), inventory["cenlat"].to_numpy()))


def test_the_same_seed_gives_the_same_table_whatever_else_is_asked_for(inventory: gpd.GeoDataFrame) -> None:
    alone = simulate_inventory(seed=3, regions=["10"])
    together = inventory[inventory["o1region"] == "10"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.DataFrame(alone), pd.DataFrame(together))
    other = simulate_inventory(seed=4, regions=["10"])
    assert not np.allclose(other["cenlat"], alone["cenlat"])


def test_a_share_of_the_world_keeps_every_region() -> None:
    few = simulate_inventory(share=0.0005)
    assert set(few["o1region"]) == set(REGION_SIZES)
    assert len(few) == sum(max(1, round(0.0005 * r.n_glaciers)) for r in REGION_SIZES.values())


def test_it_has_the_form_that_reading_an_inventory_gives(inventory: gpd.GeoDataFrame, tmp_path: Path) -> None:
    few = inventory[inventory["o1region"] == "06"].reset_index(drop=True)
    path = tmp_path / "outlines.gpkg"
    few.drop(columns=["geometry_area_km2", "source", "zone", "problem", "version"]).to_file(path, driver="GPKG")
    read = read_inventory([str(path)], None).glaciers
    assert list(read.columns) == list(few.columns)
    assert read.dtypes.to_dict() == few.dtypes.to_dict()
    assert read.crs == few.crs and read["problem"].isna().all()
    for name in ("rgi_id", "o1region", "o2region", "glims_id", "src_date", "zone"):
        assert list(read[name]) == list(few[name]), name
    np.testing.assert_allclose(read["geometry_area_km2"], few["geometry_area_km2"], rtol=1e-9)
