"""Outlines and data that break simple programs, through the whole job: each keeps its row, its area and its reason."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine

from core.release import verify_release
from tests.integration.conftest import Ran, Run
from tests.tiny_world import RADIUS_M, RES_M, SIDE_PX, ZONE, make_world, middle

NUNATAK = shapely.Point(8.0, 46.0).buffer(0.02).difference(shapely.Point(8.0, 46.0).buffer(0.008))
# One ring that crosses itself: two lobes of the same size, one of them drawn the wrong way round.
BOW_TIE = shapely.Polygon([(8.10, 46.0), (8.14, 46.02), (8.14, 46.0), (8.10, 46.02)])
ACROSS_180 = shapely.MultiPolygon([shapely.box(179.97, 71.0, 180.0, 71.02), shapely.box(-180.0, 71.0, -179.96, 71.02)])
ISLANDS = shapely.MultiPolygon([shapely.Point(8.3 + 0.03 * k, 46.0).buffer(0.01) for k in range(3)])
SPECK = shapely.Point(8.5, 46.0).buffer(1e-4)


@pytest.fixture(scope="module")
def awkward(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("awkward")
    shapes = [NUNATAK, BOW_TIE, ACROSS_180, ISLANDS, SPECK]
    table = gpd.GeoDataFrame(
        {
            "rgi_id": ["nunatak", "bow_tie", "across_180", "islands", "speck"],
            "o1region": ["11", "11", "10", "11", "11"],
            "cenlon": [8.014, 8.13, 180.0, 8.3, 8.5],
            "cenlat": [46.0, 46.005, 71.01, 46.0, 46.0],
        },
        geometry=shapes,
        crs=4326,
    )
    table.to_file(folder / "outlines.gpkg")
    (folder / "c.yaml").write_text(
        "name: awkward\nyear: 2020\ninventory: outlines.gpkg\ngrid: {res_m: 10, buffer_m: 60}\nmodel: {name: oracle}\n"
    )
    return run(folder / "c.yaml", "execution.workers=1")


def test_holes_crossings_and_parts_across_180_degrees_keep_their_areas(awkward: Ran) -> None:
    area = awkward.area()
    assert len(area) == 5 and verify_release(awkward.prepared.run.release_url) == []
    shapes = shapely.make_valid(np.array([NUNATAK, BOW_TIE, ACROSS_180, ISLANDS], dtype=object))
    true = gpd.GeoSeries(shapes, crs=4326).to_crs({"proj": "cea"}).area.to_numpy() / 1e6
    found = area.loc[["nunatak", "bow_tie", "across_180", "islands"]]
    assert (found["status"] == "measured").all() and (found["observed_fraction"] == 1).all()
    assert found["area_km2"].to_numpy() == pytest.approx(true, rel=2e-3)
    # What 180° cuts in two is one body of ice.
    assert found["n_parts"].tolist() == [1, 2, 1, 3]


def test_a_nunatak_stays_a_hole_of_the_mapped_outline(awkward: Ran) -> None:
    (part,) = shapely.get_parts(awkward.area().loc["nunatak"].geometry)
    assert len(part.interiors) == 1
    hole = shapely.Polygon(part.interiors[0])
    assert hole.intersection(shapely.Point(8.0, 46.0).buffer(0.008)).area == pytest.approx(hole.area, rel=0.02)


def test_parts_across_180_degrees_are_published_on_their_own_sides(awkward: Ran) -> None:
    west, south, east, north = shapely.get_parts(awkward.area().loc["across_180"].geometry)[0].bounds
    assert east - west < 1 and west >= -180 and east <= 180 and 70 < south < north < 72


def test_a_glacier_smaller_than_a_pixel_is_below_the_minimum_and_says_so(awkward: Ran) -> None:
    speck = awkward.area().loc["speck"]
    assert speck["status"] == "below_minimum" and "0.01 km²" in speck["status_reason"]


@pytest.fixture(scope="module")
def voids(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Four glaciers in one scene and one far beyond it, on an elevation model that lacks a quarter of the first, most
    of the second and all of the third."""
    folder = tmp_path_factory.mktemp("voids")
    world = make_world(folder, glaciers=4)
    x, y = middle(0)
    beyond = shapely.Point(x + 8_000, y).buffer(RADIUS_M)
    table = gpd.read_file(world.inventory).to_crs(ZONE.epsg)
    extra = gpd.GeoDataFrame({"RGIId": ["RGI60-15.99999"], "O1Region": "15"}, geometry=[beyond], crs=ZONE.epsg)
    pd.concat([table, extra], ignore_index=True).to_crs(4326).to_file(world.inventory, driver="GPKG")
    half = SIDE_PX / 2 * RES_M
    east, north = np.meshgrid(x - half + (np.arange(SIDE_PX) + 0.5) * RES_M, y + half - np.arange(SIDE_PX) * RES_M)
    elevation = (4000 + (north - y) / 2).astype(np.float32)
    for centre, lost in zip(table.geometry.centroid, (0.25, 0.8, 1.0), strict=False):
        box = np.abs(north - centre.y) < RADIUS_M + 50
        box &= (east > centre.x - RADIUS_M - 50) & (east < centre.x - RADIUS_M + 2 * RADIUS_M * lost + 50 * (lost == 1))
        elevation[box] = -9999
    profile = {"driver": "GTiff", "height": SIDE_PX, "width": SIDE_PX, "count": 1, "dtype": "float32", "nodata": -9999}
    place = Affine(RES_M, 0, x - half, 0, -RES_M, y + half)
    with rasterio.open(folder / "dem.tif", "w", crs=ZONE.crs.to_wkt(), transform=place, **profile) as file:
        file.write(elevation, 1)
    settings = world.settings()
    dem = {
        "id": "DEM",
        "sensor": "dem",
        "date": "2015-01-01",
        "files": [{"path": "dem.tif", "bands": {"elevation_m": 1}, "nodata": -9999}],
    }
    world.edit(scenes=[*settings["scenes"], dem], sensors={"optical": {"res_m": 30}, "dem": {"res_m": 30}})
    return run(world.config, "execution.workers=1")


def test_a_void_takes_attributes_and_never_the_area(voids: Ran) -> None:
    area = voids.area().sort_index()
    assert verify_release(voids.prepared.run.release_url) == []
    seen = area.iloc[:4]
    assert (seen["status"] == "measured").all()
    assert seen["area_km2"].to_numpy() == pytest.approx(np.full(4, seen["area_km2"].iloc[3]), rel=0.03)
    # What is known of most of a glacier stands for it; what is known of little is nothing.
    assert seen["zmed_m"].notna().tolist() == [True, False, False, True]
    known = seen.loc[seen["zmed_m"].notna(), ["zmin_m", "zmed_m", "zmax_m", "slope_deg"]]
    assert (known["slope_deg"] - np.degrees(np.arctan(0.5))).abs().max() < 0.5
    bands = voids.table("hypsometry").to_pandas().groupby("rgi_id")["thousandths"].sum()
    assert bands.to_dict() == dict.fromkeys(known.index, 1000)


def test_a_glacier_without_an_observed_pixel_has_no_area_and_a_reason(voids: Ran) -> None:
    row = voids.area().loc["RGI60-15.99999"]
    assert row["status"] == "not_observed" and row["status_reason"] == "no valid observation inside the outline"
    assert row["observed_fraction"] == 0 and pd.isna(row["area_km2"]) and pd.isna(row["area_sigma_km2"])
    assert row["area_inventory_km2"] == pytest.approx(np.pi * RADIUS_M**2 / 1e6, rel=0.01)
