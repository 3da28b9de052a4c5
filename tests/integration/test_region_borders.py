"""Regions that touch: run one by one or together, ground on their border has one owner and no number changes."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from tests.integration.conftest import Ran, Run
from tests.tiny_world import ZONE, make_world, middle, write_scene


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, shapely.Geometry]:
    """Two glaciers with a common divide, which is also that of regions 13 and 14, and ice between and around both."""
    folder = tmp_path_factory.mktemp("border")
    world = make_world(folder, glaciers=1)
    x, y = middle(0)
    west, east = (shapely.box(x - 1000 + k, y - 500, x + k, y + 500) for k in (0, 1000))
    table = gpd.GeoDataFrame(
        {"RGIId": ["RGI60-13.00001", "RGI60-14.00001"], "O1Region": ["13", "14"]}, geometry=[west, east], crs=ZONE.epsg
    )
    world.inventory.unlink()
    table.to_crs(4326).to_file(world.inventory, driver="GPKG")
    ice = shapely.union(west, east).buffer(90)
    write_scene(world.scenes[0], 0, [ice])
    world.edit(regions=None, measure={"objects": "none"})
    return world.config, ice


def test_a_region_run_alone_leaves_its_neighbour_the_ground_that_is_the_neighbours(
    run: Run, places: tuple[Path, shapely.Geometry]
) -> None:
    config, _ = places
    together = run(config, "execution.workers=1")
    alone = {region: run(config, "execution.workers=1", f"regions=['{region}']") for region in ("13", "14")}
    assert [len(ran.area()) for ran in (together, *alone.values())] == [2, 1, 1]
    for ran in alone.values():
        (name,) = ran.area().index
        assert_same_row(ran, together, name)
    one, other = (ran.area().to_crs(ZONE.epsg).geometry.iloc[0] for ran in alone.values())
    assert (shapely.intersection(one, other).area < 1.0 and shapely.touches(one, other)) or one.distance(other) < 0.1


def assert_same_row(ran: Ran, together: Ran, name: str) -> None:
    numbers = ["area_km2", "area_sigma_km2", "area_advance_km2", "area_loss_km2", "observed_fraction"]
    np.testing.assert_array_equal(
        ran.area().loc[name, numbers].to_numpy(float), together.area().loc[name, numbers].to_numpy(float)
    )
    assert ran.area().loc[name].geometry.equals(together.area().loc[name].geometry)


def test_neighbours_of_other_regions_make_another_run(run: Run, places: tuple[Path, shapely.Geometry]) -> None:
    """They decide on numbers, so a run without them must not be taken for one with them."""
    config, _ = places
    table = gpd.read_file(config.parent / "outlines.gpkg")
    with_both = run(config, "execution.workers=1", "regions=['13']").prepared.run.run_id
    table.iloc[:1].to_file(config.parent / "alone.gpkg", driver="GPKG")
    alone = run(config, "execution.workers=1", "regions=['13']", f"inventory={config.parent}/alone.gpkg")
    assert alone.prepared.run.run_id != with_both
    assert alone.area()["area_advance_km2"].iloc[0] > 0.05
