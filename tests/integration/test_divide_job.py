"""`icefleet divide`: an inventory of single glaciers from a complex, and errors that say what to do."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from core.inventory import area_km2, read_inventory, split_antimeridian, unwrap_longitudes
from tests.tiny_world import icefleet

COMPLEX = "RGI2000-v7.0-C-11-02192"


@pytest.fixture
def hef(samples: Path) -> tuple[Path, Path]:
    """(outlines, elevation model) of the Hintereisferner complex."""
    return samples / "oetztal" / "rgi70C_11_hef.gpkg", samples / "oetztal" / "srtm_oetztal.tif"


@pytest.mark.parametrize("name", ["glaciers.gpkg", "glaciers.parquet"])
def test_the_file_reads_as_an_inventory_of_glaciers_that_tile_their_complex(hef, tmp_path, name):
    called = icefleet("divide", *hef, "--out", tmp_path / name, "--res", 60, "--json")
    assert called.code == 0, called.err
    said = json.loads(called.out)
    (whole,) = read_inventory([str(hef[0])], None).glaciers.itertuples()
    glaciers = read_inventory([str(tmp_path / name)], None).glaciers
    assert said["complexes"] == said["divided"] == 1 and said["left_whole"] == []
    assert len(glaciers) == said["glaciers"] > 10
    assert glaciers["rgi_id"].tolist() == [f"{COMPLEX}-{k:02d}" for k in range(1, len(glaciers) + 1)]
    assert set(glaciers["o1region"]) == {"11"} and set(glaciers["o2region"]) == {"11-01"}
    assert glaciers["problem"].isna().all()
    assert glaciers["area_km2"].sum() == pytest.approx(whole.area_km2, rel=1e-5)
    assert glaciers["area_km2"].is_monotonic_decreasing
    geometry = glaciers.geometry.to_numpy()
    assert area_km2(geometry).sum() == pytest.approx(area_km2(np.array([whole.geometry], object))[0], rel=1e-6)
    inside = shapely.contains_xy(geometry, glaciers["cenlon"], glaciers["cenlat"])
    assert inside.all()


def test_a_person_sees_how_many_glaciers_each_complex_gave(hef, tmp_path):
    called = icefleet("divide", *hef, "--out", tmp_path / "g.gpkg", "--res", 60, "--sag", 500)
    assert called.code == 0, called.err
    assert COMPLEX in called.out and "1 complexes" in called.out
    coarse = len(gpd.read_file(tmp_path / "g.gpkg"))
    assert icefleet("divide", *hef, "--out", tmp_path / "g.gpkg", "--res", 60, "--sag", 20, "--json").code == 0
    assert coarse < len(gpd.read_file(tmp_path / "g.gpkg"))


@pytest.mark.parametrize(
    ("stated", "date", "precision"),
    [("20030730", "2003-07-30", "day"), ("20030799", "2003-07-15", "month"), ("20039999", "2003-07-01", "year")],
)
def test_what_is_known_of_a_complex_stays_with_its_glaciers(hef, tmp_path, stated, date, precision):
    one = gpd.read_file(hef[0]).assign(src_date=stated, glac_name="Ötztal ice", zmax_m=3700.0, term_type=0)
    one.to_file(tmp_path / "one.gpkg", driver="GPKG")
    called = icefleet("divide", tmp_path / "one.gpkg", hef[1], "--out", tmp_path / "g.gpkg", "--res", 60)
    assert called.code == 0, called.err
    glaciers = read_inventory([str(tmp_path / "g.gpkg")], None).glaciers
    assert {str(d) for d in glaciers["src_date"]} == {date}
    assert set(glaciers["src_date_precision"]) == {precision}
    assert set(glaciers["glac_name"]) == {"Ötztal ice"}
    assert glaciers["zmax_m"].isna().all() and glaciers["term_type"].isna().all()


def test_points_of_glaciers_at_180_degrees_are_longitudes(tmp_path):
    """A roof of SIMULATED ice, its ridge across 180°: most of both glaciers is west of it, a long tongue east."""
    (x,), (y,) = (getattr(gpd.GeoSeries([shapely.Point(180.0, 64.0)], crs=4326).to_crs(32601), n) for n in "xy")
    down = 4.0 * np.abs(np.arange(200) - 99.5)
    with rasterio.open(
        tmp_path / "dem.tif", "w", driver="GTiff", width=400, height=200, count=1, dtype="float32", crs=32601,
        transform=rasterio.transform.from_origin(x - 200 * 30, y + 100 * 30, 30, 30),
    ) as file:  # fmt: skip
        file.write(np.repeat((2000.0 - down).astype(np.float32)[None, :, None], 400, axis=2))
    tongues = [shapely.box(x - 10, y + s, x + 5000, y + s + 400) for s in (2000, -2400)]
    ice = shapely.union_all([shapely.box(x - 1500, y - 2400, x - 10, y + 2400), *tongues])
    outline = unwrap_longitudes(gpd.GeoSeries([ice], crs=32601).to_crs(4326).to_numpy())
    stated = {"rgi_id": ["RGI2000-v7.0-C-10-00001"], "o1region": ["10"], "o2region": ["10-06"], "src_date": "20000801"}
    complexes = gpd.GeoDataFrame(stated, geometry=split_antimeridian(outline), crs=4326)
    complexes.to_file(tmp_path / "one.gpkg", driver="GPKG")
    called = icefleet("divide", tmp_path / "one.gpkg", tmp_path / "dem.tif", "--out", tmp_path / "g.gpkg", "--json")
    assert called.code == 0, called.err
    assert json.loads(called.out)["divided"] == 1
    glaciers = gpd.read_file(tmp_path / "g.gpkg")
    assert glaciers["cenlon"].between(179.9, 180.0).all()
    assert shapely.contains_xy(glaciers.geometry.to_numpy(), glaciers["cenlon"], glaciers["cenlat"]).all()


def elsewhere(path: Path, west: float = 20.0) -> Path:
    """An elevation model of another country."""
    transform = rasterio.transform.from_origin(west, 47, 0.01, 0.01)
    with rasterio.open(
        path, "w", driver="GTiff", width=20, height=20, count=1, dtype="int16", crs="EPSG:4326", transform=transform
    ) as file:
        file.write(np.full((1, 20, 20), 3000, np.int16))
    return path


def test_a_complex_beyond_the_elevation_model_stays_whole_and_is_listed(hef, tmp_path):
    one = gpd.read_file(hef[0])
    far = one.copy()
    far["geometry"], far["rgi_id"] = one.translate(xoff=3.0), "RGI2000-v7.0-C-11-99999"
    far["cenlon"] += 3.0
    both = gpd.GeoDataFrame(gpd.pd.concat([one, far], ignore_index=True), crs=one.crs)
    both.to_file(tmp_path / "both.gpkg", driver="GPKG")
    called = icefleet("divide", tmp_path / "both.gpkg", hef[1], "--out", tmp_path / "g.gpkg", "--res", 60, "--json")
    assert called.code == 1, called.err
    said = json.loads(called.out)
    assert [w["rgi_id"] for w in said["left_whole"]] == ["RGI2000-v7.0-C-11-99999"]
    assert "elevations for 0%" in said["left_whole"][0]["reason"]
    ids = gpd.read_file(tmp_path / "g.gpkg")["rgi_id"].tolist()
    assert "RGI2000-v7.0-C-11-99999" in ids and len(ids) == said["glaciers"]


def test_what_cannot_work_is_said_before_anything_is_computed(hef, tmp_path):
    outlines, dem = hef
    for words, expected in (
        ((outlines, dem, "--out", tmp_path / "g.shp"), ".gpkg or .parquet"),
        ((outlines, dem, "--out", tmp_path / "none" / "g.gpkg"), "mkdir -p"),
        ((outlines, tmp_path / "none.tif", "--out", tmp_path / "g.gpkg"), "none.tif"),
        ((tmp_path / "none.gpkg", dem, "--out", tmp_path / "g.gpkg"), "no such file"),
        ((outlines, dem, "--out", tmp_path / "g.gpkg", "--res", 25), "one of 10, 20, 30, 60, 120 m"),
        ((outlines, elsewhere(tmp_path / "far.tif"), "--out", tmp_path / "g.gpkg"), "a DEM that covers"),
    ):
        called = icefleet("divide", *words)
        assert called.code == 2, called.err
        assert expected in called.err
        assert not (tmp_path / "g.gpkg").exists()
