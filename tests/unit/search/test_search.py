"""The search: the same scenes for a block whatever the order of answers, and a reason for each that is left out."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ConfigError, RefusedError, TransientError
from core.grid import BLOCK_M, Block, home_zone
from core.grid.lattice import TOP_M
from core.layout import RunLayout
from core.objects import Objects
from core.search.footprint import block_footprints, meeting, request_boxes
from core.search.search import BlockScenes, load, save, search
from core.tiles import RejectedScene
from tests.unit.search.conftest import COLLECTION, make_config, make_item, source, write_catalog

WIDE = (6.0, 45.0, 10.0, 48.0)


def block_at(lon: float, lat: float, zone=None) -> Block:
    zone = zone or home_zone(lon, lat)
    x, y = zone.project_points(np.array([lon]), np.array([lat]))
    return Block(zone, int((TOP_M - y[0]) // BLOCK_M), int(x[0] // BLOCK_M))


ALETSCH = block_at(8.0, 46.5)


def listed(found: BlockScenes) -> tuple[list[str], dict[str, str]]:
    return [s.id for s in found.scenes], {r.id: r.reason for r in found.rejected}


def of_catalog(folder: Path, items, blocks=None, year: int = 2020, **settings):
    """What a static catalogue of the items gives for the blocks, of which the first is asked for."""
    blocks = blocks or {ALETSCH: "11"}
    config = make_config(source(str(write_catalog(folder, items)), **settings), year=year)
    found = search(config, ["optical"], blocks)["optical"]
    return listed(found[next(iter(blocks))])


# Where


def test_a_scene_is_listed_for_the_blocks_that_it_shows_and_no_other(tmp_path):
    neighbour = Block(ALETSCH.zone, ALETSCH.row, ALETSCH.col + 1)
    west, _, east, _ = shapely.bounds(block_footprints([ALETSCH])[0])
    half = make_item("32TMS_half", (west - 1.0, 46.0, (west + east) / 2, 47.0))
    config = make_config(source(str(write_catalog(tmp_path, [half, make_item("32TMS_far", (12.0, 46.0, 13.0, 47.0))]))))
    found = search(config, ["optical"], {ALETSCH: "11", neighbour: "11"})["optical"]
    assert listed(found[ALETSCH]) == (["32TMS_half"], {})
    assert found[neighbour].scenes == ()
    assert [r.id for r in found[neighbour].rejected] == ["sentinel2_l2a"]


def test_the_footprint_counts_and_not_its_box(tmp_path):
    """A swath that passes the block by, though its box holds it."""
    west, south, east, north = shapely.bounds(block_footprints([ALETSCH])[0])
    corner = shapely.Polygon([(west - 2, south - 2), (east + 2, south - 2), (west - 2, north + 2)])
    passing = shapely.affinity.translate(corner, -1.6, -1.6)
    items = [make_item("32TMS_by", json.loads(shapely.to_geojson(passing)))]
    items[0]["bbox"] = [west - 4, south - 4, east + 4, north + 4]
    assert of_catalog(tmp_path, items)[0] == []


@pytest.mark.parametrize(("lon", "zone"), [(-179.95, "utm01n"), (179.95, "utm60n")])
@pytest.mark.parametrize(
    "written",
    [
        {"type": "Polygon", "coordinates": [[[179, 66], [-179, 66], [-179, 69], [179, 69], [179, 66]]]},
        {"type": "Polygon", "coordinates": [[[179, 66], [181, 66], [181, 69], [179, 69], [179, 66]]]},
        {
            "type": "MultiPolygon",
            "coordinates": [
                [[[179, 66], [180, 66], [180, 69], [179, 69], [179, 66]]],
                [[[-180, 66], [-179, 66], [-179, 69], [-180, 69], [-180, 66]]],
            ],
        },
    ],
    ids=["jumps", "beyond 180", "split"],
)
def test_blocks_at_the_antimeridian_see_scenes_however_they_are_written(stac, lon, zone, written):
    block = block_at(lon, 67.5)
    assert block.zone.name == zone
    scene = make_item("01WCP_both", written)
    scene["bbox"] = [179.0, 66.0, -179.0, 69.0]
    elsewhere = make_item("32TMS_other", (-30.0, 66.0, 30.0, 69.0))
    stac.items[COLLECTION] = [scene, elsewhere]
    found = search(make_config(source(stac.url)), ["optical"], {block: "10"})["optical"][block]
    assert listed(found) == (["01WCP_both"], {})
    boxes = request_boxes(block_footprints([block]))
    assert stac.count("/search") == len(boxes)
    assert all(-180 <= w < e <= 180 for w, _, e, _ in boxes)


def test_a_block_on_the_antimeridian_is_asked_for_on_both_sides():
    block = block_at(179.999, 67.5)
    boxes = request_boxes(block_footprints([block]))
    assert [(w == -180.0, e == 180.0) for w, _, e, _ in boxes] == [(False, True), (True, False)]


def test_a_block_around_the_pole_is_asked_for_at_every_longitude_and_sees_what_lies_there(stac):
    pole = block_at(0.0, 89.9999)
    assert pole.zone.name == "upsn"
    ((w, s, e, n),) = request_boxes(block_footprints([pole]))
    assert (w, e) == (-180.0, 180.0) and 89.5 < s < n <= 90.0
    stac.items[COLLECTION] = [
        make_item("cap", (-180.0, 89.7, 180.0, 90.0)),
        make_item("slice", (120.0, 89.0, 160.0, 89.95)),
        make_item("south", (120.0, 89.0, 160.0, 89.4)),
    ]
    found = search(make_config(source(stac.url)), ["optical"], {pole: "07"})["optical"][pole]
    assert set(listed(found)[0]) == {"cap", "slice"}


def test_a_ring_around_the_pole_holds_it():
    ring = shapely.Polygon([(x, 89.7) for x in (-170, -90, 0, 90, 170)])
    (met,) = meeting([ring], block_footprints([block_at(0.0, 89.9999)]))
    assert met.tolist() == [0]


def test_a_block_of_antarctica_beyond_80_south_sees_its_scenes(stac):
    block = block_at(-60.0, -81.0)
    assert block.zone.name == "upss"
    stac.items[COLLECTION] = [
        make_item("here", (-61.0, -82.0, -59.0, -80.5), "2020-01-15T12:00:00Z"),
        make_item("there", (61.0, -82.0, 62.0, -80.5), "2020-01-15T12:00:00Z"),
    ]
    found = search(make_config(source(stac.url)), ["optical"], {block: "19"})["optical"][block]
    assert listed(found) == (["here"], {})


@settings(max_examples=60)
@given(st.floats(-180, 179.9), st.floats(-83.0, 83.5), st.floats(0.5, 10.0), st.floats(-2, 2), st.floats(-2, 2))
def test_a_scene_over_the_middle_of_a_block_meets_it_wherever_it_is(lon, lat, size, turn, shift):
    block = block_at(lon, lat)
    scene = shapely.box(lon - size, lat - size, lon + size, lat + size)
    (met,) = meeting([shapely.affinity.translate(scene, 360.0 * round(turn / 2), 0.0)], block_footprints([block]))
    assert met.tolist() == [0]
    (none,) = meeting([shapely.box(lon + 90.0, lat - 0.1, lon + 90.2, lat + 0.1)], block_footprints([block]))
    assert none.tolist() == [] or abs(lat) > 80


# When


def test_the_season_is_that_of_the_region_and_the_year(tmp_path):
    items = [
        make_item(f"32TMS_{day}", WIDE, f"{day}T10:00:00Z")
        for day in ("2020-07-31", "2020-08-01", "2020-10-15", "2020-10-16", "2019-09-01", "2021-09-01")
    ]
    assert set(of_catalog(tmp_path, items)[0]) == {"32TMS_2020-08-01", "32TMS_2020-10-15"}


def test_years_and_seasons_of_a_source_replace_them(tmp_path):
    items = [make_item(f"32TMS_{y}", WIDE, f"{y}-06-15T10:00:00Z") for y in (2018, 2019, 2020)]
    assert set(of_catalog(tmp_path, items, season="06-01/06-30", years=[2018, 2019])[0]) == {"32TMS_2018", "32TMS_2019"}


def test_a_southern_season_may_begin_in_the_year_before(tmp_path):
    south_georgia = block_at(-36.5, -54.4)
    box = (-38.0, -55.5, -35.0, -53.5)
    items = [make_item(f"24FWC_{day}", box, f"{day}T12:00:00Z") for day in ("2019-12-20", "2020-03-01", "2020-12-20")]
    assert set(of_catalog(tmp_path, items, {south_georgia: "19"})[0]) == {"24FWC_2019-12-20", "24FWC_2020-03-01"}


def test_a_season_without_a_scene_says_so(tmp_path):
    scenes, rejected = of_catalog(tmp_path, [make_item("32TMS_w", WIDE, "2020-01-15T10:00:00Z")])
    assert scenes == []
    assert "no scene in sentinel-2-l2a of" in rejected["sentinel2_l2a"]
    assert "from 2020-08-01 to 2020-10-15" in rejected["sentinel2_l2a"]


# Which


def test_scenes_are_sorted_by_cloud_and_then_the_newest_first(tmp_path):
    items = [
        make_item("32TMS_a", WIDE, "2020-08-10T10:00:00Z", cloud=20.0),
        make_item("32TMS_b", WIDE, "2020-08-20T10:00:00Z", cloud=5.0),
        make_item("32TMS_c", WIDE, "2020-09-20T10:00:00Z", cloud=5.0),
        make_item("32TMS_d", WIDE, "2020-09-25T10:00:00Z", cloud=None),
    ]
    assert of_catalog(tmp_path, items)[0] == ["32TMS_c", "32TMS_b", "32TMS_a", "32TMS_d"]


def test_cloudy_unusable_and_surplus_scenes_are_rejected_with_the_reason(tmp_path):
    items = [make_item(f"32TMS_{k}", WIDE, f"2020-08-{k + 1:02d}T10:00:00Z", cloud=10.0 * k) for k in range(4)]
    items += [make_item("32TMS_c", WIDE, "2020-08-28T10:00:00Z", cloud=93.0)]
    items += [make_item("32TMS_u", WIDE, "2020-08-29T10:00:00Z", missing=["swir16"])]
    scenes, rejected = of_catalog(tmp_path, items, max_scenes=3)
    assert scenes == ["32TMS_0", "32TMS_1", "32TMS_2"]
    assert rejected["32TMS_3"] == "beyond the 3 least cloudy"
    assert rejected["32TMS_c"] == "cloud 93 % of the scene, at most 80 % wanted"
    assert rejected["32TMS_u"].startswith("asset of band swir1 missing: has blue")


def test_the_clear_scenes_of_one_tile_do_not_take_every_place(tmp_path):
    west, south, east, north = shapely.bounds(block_footprints([ALETSCH])[0])
    left, right = (
        (west - 1, south - 1, (west + east) / 2, north + 1),
        ((west + east) / 2, south - 1, east + 1, north + 1),
    )
    days = range(1, 7)
    items = [make_item(f"32TLS_{d}", left, f"2020-08-{d:02d}T10:00:00Z", cloud=1.0 * d) for d in days]
    items += [make_item(f"32TMS_{d}", right, f"2020-08-{d:02d}T10:00:00Z", cloud=40.0 + d) for d in days]
    scenes, rejected = of_catalog(tmp_path, items, max_scenes=4)
    assert scenes == ["32TLS_1", "32TLS_2", "32TMS_1", "32TMS_2"]
    assert set(rejected.values()) == {"beyond the 4 least cloudy"}


def test_a_reprocessed_acquisition_replaces_the_older_one_though_its_clock_moved(tmp_path):
    items = [
        make_item("32TMS_old", WIDE, "2020-08-15T10:20:30Z", cloud=5.0, **{"s2:processing_baseline": "02.14"}),
        make_item("32TMS_new", WIDE, "2020-08-15T10:27:21Z", cloud=6.0, **{"s2:processing_baseline": "05.10"}),
    ]
    scenes, rejected = of_catalog(tmp_path, items)
    assert scenes == ["32TMS_new"]
    assert rejected["32TMS_old"] == "the same acquisition as 32TMS_new, processed earlier (02.14 < 05.10)"


def test_an_acquisition_listed_twice_is_taken_once(tmp_path):
    items = [
        make_item("32TMS_a", WIDE, "2020-08-15T10:20:30Z"),
        make_item("32TMS_b", WIDE, "2020-08-15T10:20:32Z"),
        make_item("32TMS_next", WIDE, "2020-08-15T10:31:00Z"),  # eleven minutes are another pass
        make_item("32TMT_a", WIDE, "2020-08-15T10:20:30Z"),  # another tile
        make_item("32TMS_l8", WIDE, "2020-08-15T10:20:30Z", platform="sentinel-2b"),
    ]
    scenes, rejected = of_catalog(tmp_path, items)
    assert set(scenes) == {"32TMS_a", "32TMS_next", "32TMT_a", "32TMS_l8"}
    assert rejected == {"32TMS_b": "listed twice, 2 s apart from 32TMS_a"}


def test_two_halves_of_a_tile_are_no_duplicates(tmp_path):
    items = [make_item("32TMS_w", (6.0, 45.0, 8.05, 48.0)), make_item("32TMS_e", (8.0, 45.0, 10.0, 48.0))]
    assert set(of_catalog(tmp_path, items)[0]) == {"32TMS_w", "32TMS_e"}


def test_two_archives_of_one_acquisition_give_it_once_and_each_its_own_most(tmp_path, stac):
    own = [make_item(f"32TMS_{k}", WIDE, f"2020-08-{k + 1:02d}T10:00:00Z") for k in range(3)]
    stac.items[COLLECTION] = [{**item, "id": f"{item['id']}_R2"} for item in own[:1]]
    config = make_config(
        source(str(write_catalog(tmp_path, own)), max_scenes=2),
        source(stac.url, max_scenes=1, years=[2020]),
    )
    found = search(config, ["optical"], {ALETSCH: "11"})["optical"][ALETSCH]
    scenes, rejected = listed(found)
    assert scenes == ["32TMS_2", "32TMS_1"]
    assert rejected == {
        "32TMS_0": "beyond the 2 least cloudy",
        "32TMS_0_R2": "listed twice, 0 s apart from 32TMS_0",
    }


def test_sensors_without_a_source_or_not_wanted_are_not_searched(stac):
    assert search(make_config(), ["optical"], {ALETSCH: "11"}) == {}
    assert search(make_config(source(stac.url)), ["thermal"], {ALETSCH: "11"}) == {}
    assert stac.asked == []


def test_a_static_sensor_is_asked_for_at_all_times(stac):
    tile = make_item("dem_tile", WIDE, "2021-04-22T00:00:00Z", collection="cop-dem-glo-30", cloud=None)
    tile["assets"] = {"data": {"href": "https://example.org/dem.tif"}}
    stac.items["cop-dem-glo-30"] = [tile]
    wanted = {"product": "copernicus_dem_30", "catalog": stac.url, "collection": "cop-dem-glo-30"}
    found = search(make_config(wanted), ["dem"], {ALETSCH: "11"})["dem"][ALETSCH]
    assert listed(found) == (["dem_tile"], {})
    assert "datetime" not in stac.bodies[0]


def test_tiles_by_name_need_no_catalogue(tmp_path):
    for tile in ("N46_00_E007", "N46_00_E008"):
        name = f"Copernicus_DSM_COG_10_{tile}_00_DEM"
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.tif").write_bytes(b"a tile")
    wanted = {"product": "copernicus_dem_30", "catalog": str(tmp_path)}
    found = search(make_config(wanted), ["dem", "optical"], {ALETSCH: "11"})
    assert set(found) == {"dem"}
    scenes, rejected = listed(found["dem"][ALETSCH])
    assert {s for s in scenes if not s.startswith("ocean")} == {
        f"Copernicus_DSM_COG_10_N46_00_E00{k}_00_DEM" for k in (7, 8)
    }
    assert rejected == {}


def test_what_one_archive_of_tiles_lacks_the_next_source_gives(tmp_path):
    """The public 30 m tiles end at borders; those of 90 m go on. The sea is in both, and listed once."""
    block = block_at(49.9, 40.2)  # a block of four cells, two of them at sea
    for code, tiles in ((10, ["N42_00_E049"]), (30, ["N40_00_E049", "N39_00_E049"])):
        for tile in tiles:
            name = f"Copernicus_DSM_COG_{code}_{tile}_00_DEM"
            (tmp_path / str(code) / name).mkdir(parents=True)
            (tmp_path / str(code) / name / f"{name}.tif").write_bytes(b"a tile")
    far = block_at(49.5, 42.5)
    config = make_config(
        {"product": "copernicus_dem_30", "catalog": str(tmp_path / "10")},
        {"product": "copernicus_dem_90", "catalog": str(tmp_path / "30")},
    )
    found = search(config, ["dem"], {block: "12", far: "12"})["dem"]
    scenes, rejected = listed(found[block])
    assert "Copernicus_DSM_COG_30_N40_00_E049_00_DEM" in scenes
    assert "not released" in rejected["Copernicus_DSM_COG_10_N40_00_E049_00_DEM"]
    scenes, rejected = listed(found[far])
    assert scenes[0] == "Copernicus_DSM_COG_10_N42_00_E049_00_DEM"
    assert len(scenes) == len(set(scenes))


# How


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_the_answer_depends_on_no_order(stac, seed):
    """Of the catalogue, its pages, the threads or the blocks, and a static catalogue gives the same."""
    rng = random.Random(7)
    items = []
    for k in range(60):
        w, s = rng.uniform(5.0, 9.0), rng.uniform(44.0, 47.0)
        time = f"2020-08-{rng.randint(1, 9):02d}T10:{rng.randint(0, 3):02d}:00Z"
        extra = {"s2:processing_baseline": rng.choice(["02.14", "05.10"]), "grid:code": f"MGRS-32TM{rng.choice('ST')}"}
        items.append(
            make_item(f"32TMS_{k:02d}", (w, s, w + 2.0, s + 2.0), time, cloud=rng.choice([1.0, 50.0, 90.0]), **extra)
        )
    blocks = [Block(ALETSCH.zone, ALETSCH.row + r, ALETSCH.col + c) for r in range(-3, 3) for c in range(-3, 3)]
    wanted = {"max_scenes": 6}
    stac.items, stac.limit = {COLLECTION: items}, 100
    first = search(make_config(source(stac.url, **wanted)), ["optical"], dict.fromkeys(blocks, "11"))["optical"]
    shuffled, others = list(items), list(blocks)
    random.Random(seed).shuffle(shuffled)
    random.Random(seed).shuffle(others)
    stac.items, stac.limit = {COLLECTION: shuffled}, 7
    second = search(make_config(source(stac.url, **wanted)), ["optical"], dict.fromkeys(others, "11"))["optical"]
    alone = search(make_config(source(stac.url, **wanted)), ["optical"], {ALETSCH: "11"})["optical"]
    assert first == second
    assert first[ALETSCH] == alone[ALETSCH]
    assert list(first) == list(second) == sorted(blocks)


def test_a_static_catalogue_gives_what_an_api_gives(stac, tmp_path):
    items = [
        make_item(f"32TMS_{k}", (6.0 + 0.3 * k, 45.0, 8.0 + 0.3 * k, 48.0), f"2020-08-{k + 1:02d}T10:00:00Z")
        for k in range(8)
    ]
    for item in items:
        item["assets"] = {k: {"href": f"https://example.org/{k}.tif"} for k in item["assets"]}
    stac.items[COLLECTION] = items
    stac.files = tmp_path
    write_catalog(tmp_path, items)
    blocks = {Block(ALETSCH.zone, ALETSCH.row, ALETSCH.col + c): "11" for c in range(-2, 3)}
    asked = [stac.url, str(tmp_path), f"{stac.url}/files/catalog.json"]
    first, *others = (search(make_config(source(url)), ["optical"], blocks)["optical"] for url in asked)
    for other in others:
        assert {b: f.scenes for b, f in other.items()} == {b: f.scenes for b, f in first.items()}


def test_blocks_that_lie_together_are_asked_for_together(stac):
    stac.items[COLLECTION] = [make_item("32TMS_one", (2.0, 42.0, 14.0, 51.0))]
    row, col = ALETSCH.row // 4 * 4, ALETSCH.col // 4 * 4
    blocks = {Block(ALETSCH.zone, row + r, col + c): "11" for r in range(4) for c in range(8)}
    seen: list[tuple[int, int]] = []
    found = search(make_config(source(stac.url)), ["optical"], blocks, lambda done, all_: seen.append((done, all_)))
    assert all([s.id for s in f.scenes] == ["32TMS_one"] for f in found["optical"].values())
    assert stac.count("/search") == 2
    assert seen == [(16, 32), (32, 32)]
    scenes = [f.scenes[0] for f in found["optical"].values()]
    assert len({id(s) for s in scenes}) == 1  # and kept once


@pytest.mark.parametrize(("status", "kind"), [(500, TransientError), (403, RefusedError)])
def test_half_an_answer_is_none(stac, status, kind):
    stac.items[COLLECTION] = [make_item("32TMS_one", WIDE)]
    blocks = {Block(ALETSCH.zone, ALETSCH.row + 4 * r, ALETSCH.col): "11" for r in range(8)}
    config = make_config(source(stac.url))
    stac.fail(path="/search", times=10**9, status=status)
    with pytest.raises(kind, match=stac.url):
        search(config, ["optical"], blocks)


def test_a_mistyped_collection_fails_before_anything_is_searched(stac):
    stac.items[COLLECTION] = []
    with pytest.raises(ConfigError, match="did you mean 'sentinel-2-l2a'"):
        search(make_config(source(stac.url, collection="sentinel-2-l2aa")), ["optical"], {ALETSCH: "11"})
    assert stac.count("/search") == 0


def test_a_static_catalogue_of_several_collections_must_hold_the_product_s(tmp_path):
    items = [make_item("a", WIDE, collection="s2"), make_item("b", WIDE, collection="l8")]
    with pytest.raises(ConfigError, match="no collection 'sentinel-2-l2a'"):
        of_catalog(tmp_path, items)
    assert of_catalog(tmp_path, items, collection="s2")[0] == ["a"]
    assert of_catalog(tmp_path / "one", items[:1])[0] == ["a"]


def test_relative_assets_of_a_static_catalogue_start_at_their_item(tmp_path):
    config = make_config(source(str(write_catalog(tmp_path, [make_item("32TMS_one", WIDE)]))))
    (scene,) = search(config, ["optical"], {ALETSCH: "11"})["optical"][ALETSCH].scenes
    assert scene.files[0].path == f"{tmp_path}/{COLLECTION}/32TMS_one/blue.tif"


# Kept


@pytest.fixture(params=["memory", "file"])
def run(request, memory_url, tmp_path) -> Objects:
    return Objects(memory_url if request.param == "memory" else str(tmp_path / "run"))


def test_what_was_found_is_kept_and_read_block_by_block(run, tmp_path):
    items = [make_item("32TMS_a", WIDE, cloud=3.0), make_item("32TMS_b", WIDE, "2020-09-01T10:00:00Z", cloud=99.0)]
    other = block_at(-36.5, -54.4)
    config = make_config(source(str(write_catalog(tmp_path / "c", items))))
    found = search(config, ["optical"], {ALETSCH: "11", other: "19"})
    save(run, found)
    assert {b: load(run, "optical", b) for b in (ALETSCH, other)} == found["optical"]
    assert [k for k, _ in run.list("plan/scenes")] == sorted(
        RunLayout.scenes("optical", z) for z in (ALETSCH.zone, other.zone)
    )


def test_a_second_save_does_not_overwrite_the_first(run):
    first = BlockScenes((), (RejectedScene("a", "the first"),))
    save(run, {"optical": {ALETSCH: first}})
    save(run, {"optical": {ALETSCH: BlockScenes((), (RejectedScene("a", "the second"),))}})
    assert load(run, "optical", ALETSCH) == first


def test_a_block_without_anything_is_kept_and_one_not_searched_for_is_an_error(run):
    save(run, {"optical": {ALETSCH: BlockScenes()}})
    assert load(run, "optical", ALETSCH) == BlockScenes()
    with pytest.raises(ConfigError, match="no block"):
        load(run, "optical", Block(ALETSCH.zone, 1, 1))
    with pytest.raises(FileNotFoundError):
        load(run, "thermal", ALETSCH)
