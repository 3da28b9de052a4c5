"""The plan as files: what is read back is what was planned, and the map opens anywhere on the globe."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from made_glaciers import blob, geodesic_area_km2, inventory, lon_lat, objects

from core.config import Config
from core.grid import Block, Zone
from core.inventory import area_km2
from core.layout import RunLayout
from core.models.oracle import Oracle
from core.objects import Objects
from core.plan import Plan, load_plan, load_zone_outlines, make_plan, save_plan
from core.plan.store import plan_geojson

PLACES = {
    "Alps": ("utm32n", 700_000, 5_150_000),
    "antimeridian": ("utm01n", 366_000, 7_330_000),
    "antimeridian in the south": ("utm60s", 571_000, 1_400_000),
    "84° N at 180°": ("upsn", 2_000_000, 2_500_000),
    "North Pole": ("upsn", 2_001_000, 1_999_000),
    "South Pole": ("upss", 1_990_000, 2_003_000),
    "80° S at 180°": ("upss", 2_001_000, 960_000),
}
CONFIG = Config.model_validate({"name": "t", "year": 2020, "inventory": ["x.gpkg"], "grid": {"res_m": 60}})


def planned(*places: str) -> Plan:
    shapes, ids, centres = [], [], []
    for place in places:
        name, x, y = PLACES[place]
        zone = Zone(name)
        shapes += list(lon_lat(zone, shapely.segmentize(blob(x, y, 5000), 100)))
        ids.append(place)
        lon, lat = zone.unproject_points(np.array([float(x)]), np.array([float(y)]))
        centres.append((float(lon[0]), float(lat[0])))
    glaciers = inventory(shapes, ids=ids, centre=centres)
    assert set(glaciers["zone"]) == {PLACES[p][0] for p in places}
    return make_plan(glaciers, CONFIG, Oracle().spec)


def test_a_plan_comes_back_as_it_was_saved(memory_url):
    plan = planned(*PLACES)
    save_plan(Objects(memory_url), plan)
    stored = load_plan(Objects(memory_url))
    assert stored is not None
    assert (stored.blocks, stored.groups) == (plan.blocks, plan.groups)
    for z in plan.zones:
        found = load_zone_outlines(memory_url, z.zone)
        assert found.zone == z.zone
        np.testing.assert_array_equal(found.home, z.home)
        assert found.group.tolist() == z.group.tolist()
        assert shapely.equals_exact(found.outline_m, z.outline_m).all()
        assert found.glaciers["rgi_id"].tolist() == z.glaciers["rgi_id"].tolist()
        assert found.glaciers.crs == "EPSG:4326"
        assert list(found.glaciers.columns) == list(z.glaciers.columns)
        assert found.glaciers["src_date"].tolist() == z.glaciers["src_date"].tolist()


def test_saving_again_writes_the_same_bytes(memory_url):
    objects_ = Objects(memory_url)
    save_plan(objects_, planned("Alps", "antimeridian"))
    before = {key: objects_.get(key) for key, _ in objects_.list()}
    save_plan(objects_, planned("Alps", "antimeridian"))
    assert {key: objects_.get(key) for key, _ in objects_.list()} == before


def test_there_is_no_plan_until_its_last_file_is_written(memory_url):
    assert load_plan(Objects(memory_url)) is None
    save_plan(Objects(memory_url), planned("Alps"))
    Objects(memory_url).delete(RunLayout.GROUPS)
    assert load_plan(Objects(memory_url)) is None


@pytest.mark.parametrize("place", PLACES)
def test_the_blocks_on_the_map_are_valid_and_as_large_as_they_are(place):
    plan = planned(place)
    collection = json.loads(plan_geojson(plan))
    assert len(collection["features"]) == len(plan.blocks)
    for feature, unit in zip(collection["features"], plan.blocks, strict=True):
        square = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert feature["properties"]["block"] == unit.name
        assert square.is_valid
        west, south, east, north = square.bounds
        assert -180 <= west < east <= 180 and -90 <= south < north <= 90
        truth = geodesic_block_km2(unit.block)
        assert area_km2(objects(square))[0] == pytest.approx(truth, rel=0.03)


def geodesic_block_km2(block: Block) -> float:
    """In four parts, so that none has a pole inside."""
    xmin, ymin, xmax, ymax = block.bounds_m
    cuts = shapely.box([-1e8, 2e6, -1e8, 2e6], [-1e8, -1e8, 2e6, 2e6], [2e6, 1e8, 2e6, 1e8], [2e6, 2e6, 1e8, 1e8])
    quarters = shapely.intersection(cuts, shapely.box(xmin, ymin, xmax, ymax))
    return sum(geodesic_area_km2(block.zone, q, 500) for q in quarters if q.area > 0)


def test_the_map_opens_in_geopandas(tmp_path):
    path = tmp_path / "plan.geojson"
    path.write_text(plan_geojson(planned("antimeridian", "Alps")))
    frame = gpd.read_file(path)
    assert set(frame.columns) == {"block", "region", "n_windows", "n_glaciers", "geometry"}
    assert frame.crs == "EPSG:4326"
    assert (frame.n_glaciers > 0).all()


def test_a_plan_of_nothing_is_an_empty_collection():
    assert json.loads(plan_geojson(Plan((), (), ()))) == {"type": "FeatureCollection", "features": []}
