"""What `icefleet ingest` says: shares, bytes, scenes and reasons as the tiles have them, and a picture a block."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from core.config import load_config
from core.grid import Block
from core.prepare import prepare
from core.sensors.products import PRODUCTS
from core.tiles import RejectedScene, SceneRef, SceneScore, TileMarker, TileStore
from jobs.console import Bars
from jobs.ingest_report import _rejected, _used
from jobs.ingest_tables import MOST_ROWS, print_ingest_report
from jobs.run import execute
from tests.stac_archive import addressed, item_of, static_catalog, write_cog
from tests.tiny_world import RES_M, SIDE_PX, ZONE, TinyWorld, block_name, icefleet, make_world, truncate

PNG = b"\x89PNG\r\n\x1a\n"
IN_BLOCK = (SIDE_PX * RES_M / 30_720) ** 2  # share of a block under a whole scene


def add_scene(world: TinyWorld, name: str, path: Path, date: str = "2024-08-20", **file: object) -> None:
    """Another scene like the first, of another file, after those that are there."""
    first, *more = world.settings()["scenes"]
    files = [{**first["files"][0], "path": path.name, **file}]
    world.edit(scenes=[first, *more, {**first, "id": name, "date": date, "files": files}])


def blank(path: Path, rows: slice, cols: slice) -> None:
    """Take pixels of a raster away."""
    with rasterio.open(path, "r+") as dataset:
        data = dataset.read()
        data[:, rows, cols] = 0
        dataset.write(data)


@pytest.fixture
def world(tmp_path: Path) -> TinyWorld:
    """One glacier in one block; its scene, and one that is hidden by it."""
    world = make_world(tmp_path / "w", glaciers=1)
    (world.folder / "copy.tif").write_bytes(world.scenes[0].read_bytes())
    add_scene(world, "HIDDEN", world.folder / "copy.tif")
    return world


# ------------------------------------------------------------------ numbers


def test_the_report_says_what_the_markers_say(world):
    called = icefleet("ingest", world.config, "--json")
    assert called.code == 0 and called.err == ""
    config = load_config(world.config)
    marker = TileStore(config.tiles).marker("2024", "optical", Block.parse(block_name(0)))
    report = called.json["sensors"]["optical"]
    assert (report["epoch"], report["res_m"], report["composite"], report["note"]) == ("2024", 30, "first", "")
    assert report["blocks"] == report["blocks_planned"] == 1
    assert report["observed_fraction"] == marker.observed_fraction == pytest.approx(IN_BLOCK, rel=0.02)
    assert report["bytes"] == marker.bytes > 0
    assert report["bytes_read"] == marker.bytes_read >= SIDE_PX**2 * 6 * 2
    assert report["ratio"] == marker.bytes_read / marker.bytes
    assert report["n_clipped"] == 0 and report["glacier_blocks"] == 1
    assert report["scenes"] == ["S0"] and report["first_date"] == report["last_date"] == "2024-08-01"
    hidden = {"reason": "hidden by earlier scenes", "scenes": 1, "tiles": 1, "ids": ["HIDDEN"]}
    assert report["rejected"] == [hidden]
    one = report["per_block"][block_name(0)]
    assert one["scenes"] == [{"id": "S0", "date": "2024-08-01"}] and one["bytes"] == marker.bytes
    assert called.json["tiles"] == config.tiles and called.json["maps"] == []


def test_the_report_of_a_store_that_is_filled_already_is_the_same(world):
    first = icefleet("ingest", world.config, "--json").json
    assert icefleet("ingest", world.config, "--json").json == first


def test_the_share_of_the_glaciers_counts_the_ground_within_their_buffer_alone(tmp_path):
    world = make_world(tmp_path / "w", glaciers=1)
    whole = icefleet("ingest", world.config, "--json").json["sensors"]["optical"]
    assert whole["observed_fraction"] < 0.05 and whole["glacier_observed_fraction"] == pytest.approx(1.0)
    half = make_world(tmp_path / "h", glaciers=1)
    blank(half.scenes[0], slice(None), slice(0, SIDE_PX // 2 - round(1500 / RES_M)))  # west of the glacier's middle
    half.edit(scenes=[{**s, "files": [{**s["files"][0], "nodata": 0}]} for s in half.settings()["scenes"]])
    report = icefleet("ingest", half.config, "--json").json["sensors"]["optical"]
    assert report["glacier_observed_fraction"] == pytest.approx(0.5, abs=0.06)
    assert report["per_block"][block_name(0)]["glacier_observed_fraction"] == report["glacier_observed_fraction"]


def test_scores_are_reported_where_scenes_were_ranked(world):
    world.edit(sensors={"optical": {"res_m": 30, "composite": "best_scene"}})
    called = icefleet("ingest", world.config, "--json").json["sensors"]["optical"]
    [used] = called["used"]
    assert used["id"] == "HIDDEN" and (used["date"], used["blocks"]) == ("2024-08-20", 1)  # the newer of two equals
    assert used["coverage"] == pytest.approx(1.0, abs=0.01) and used["cloud"] == 0.0
    assert {s["id"] for s in called["per_block"][block_name(0)]["scores"]} == {"S0", "HIDDEN"}
    assert "coverage" in icefleet("ingest", world.config).out


# ------------------------------------------------------------------ what is not there


def test_a_virtual_sensor_is_said_to_be_read_when_it_is_mapped(world):
    world.edit(sensors={"optical": {"res_m": 30, "virtual": True}})
    called = icefleet("ingest", world.config, "--json")
    report = called.json["sensors"]["optical"]
    assert called.code == 0 and report["virtual"] and report["blocks"] == 0 and report["bytes"] == 0
    assert report["note"] == "virtual: read when mapped"
    assert "virtual: read when mapped" in icefleet("ingest", world.config).out


def test_a_tile_that_was_set_aside_is_named_with_its_reason_and_fails_the_call(tmp_path):
    world = make_world(tmp_path / "w", glaciers=2, blocks=2)
    truncate(world.scenes[1])
    called = icefleet("ingest", world.config, "--json")
    report = called.json["sensors"]["optical"]
    assert called.code == 1 and (report["blocks"], report["blocks_planned"]) == (1, 2)
    assert str(world.scenes[1]) in report["per_block"][block_name(1)]["failure"]
    assert report["note"].startswith("1 of 2 tiles set aside, e.g. ") and "scene-1.tif" in report["note"]
    shown = icefleet("ingest", world.config)
    assert shown.code == 1 and "1 of 2 tiles set aside" in shown.out and "1 units in quarantine" in shown.err


def test_tiles_in_which_nothing_is_observed_say_why(tmp_path):
    world = make_world(tmp_path / "w", glaciers=1)
    blank(world.scenes[0], slice(None), slice(None))
    world.edit(scenes=[{**s, "files": [{**s["files"][0], "nodata": 0}]} for s in world.settings()["scenes"]])
    report = icefleet("ingest", world.config, "--json").json["sensors"]["optical"]
    assert report["blocks"] == 1 and report["observed_fraction"] == 0.0 and report["glacier_observed_fraction"] == 0.0
    assert report["note"].startswith("nothing observed: ")
    assert report["rejected"][0]["ids"] == ["S0"] and report["ratio"] is None


# ------------------------------------------------------------------ a search


def searched(world: TinyWorld, clouds: dict[str, float]) -> None:
    """Scenes of a catalogue in place of those of the configuration, all of them the first scene."""
    folder = world.folder / "archive"
    with rasterio.open(world.scenes[0]) as source:
        data, transform, crs, bounds = source.read(), source.transform, source.crs, source.bounds
    keys = ("blue", "green", "red", "nir", "swir16", "swir22")
    for key, plane in zip(keys, data, strict=True):
        write_cog(folder / f"{key}.tif", plane[None], transform, crs, 0)
    write_cog(folder / "scl.tif", np.full((1, *data.shape[1:]), 5, np.uint8), transform, crs, 0, classes=True)
    box = Transformer.from_crs(crs, 4326, always_xy=True).transform_bounds(*bounds)
    assets = {key: {"href": f"../../{key}.tif"} for key in (*keys, "scl")}
    items = [
        addressed(
            item_of(
                name,
                "sentinel-2-l2a",
                f"2024-08-{day:02d}T04:52:31Z",
                box,
                assets,
                **{"platform": "sentinel-2a", "proj:epsg": ZONE.epsg, "eo:cloud_cover": cloud,
                   "grid:code": "MGRS-45RVL", "s2:processing_baseline": "02.14"},
            ),
            str(folder),
        )
        for day, (name, cloud) in enumerate(clouds.items(), 1)
    ]  # fmt: skip
    for key, content in static_catalog(items).items():
        path = folder / "stac" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    source = {"product": "sentinel2_l2a", "catalog": str(folder / "stac" / "catalog.json"), "season": "06-01/09-30"}
    world.edit(scenes=None, sources=[{**source, "max_cloud_percent": 50}])


def test_scenes_too_cloudy_are_one_line_however_cloudy_each_is(tmp_path):
    world = make_world(tmp_path / "w", glaciers=1)
    searched(world, {"S2A_CLEAR": 3.0, "S2A_GREY": 61.5, "S2A_WHITE": 99.0})
    called = icefleet("ingest", world.config, "--json")
    assert called.code == 0, called.err
    report = called.json["sensors"]["optical"]
    assert report["scenes"] == ["S2A_CLEAR"]
    assert report["rejected"] == [
        {
            "reason": "cloud … % of the scene, at most … % wanted",
            "scenes": 2,
            "tiles": 2,
            "ids": ["S2A_GREY", "S2A_WHITE"],
        }
    ]
    reasons = {r["id"]: r["reason"] for r in report["per_block"][block_name(0)]["rejected"]}
    assert reasons["S2A_GREY"] == "cloud 61.5 % of the scene, at most 50 % wanted"


def test_asking_the_catalogues_shows(tmp_path, capsys):
    world = make_world(tmp_path / "w", glaciers=1)
    searched(world, {"S2A_CLEAR": 3.0})
    prepared = prepare(load_config(world.config))
    execute(prepared, ingest_only=True)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("search 1/1 · ") and said[1].startswith("ingest 1/1 · ")
    execute(prepared, ingest_only=True)
    assert "search" not in capsys.readouterr().err  # what was found is kept


def test_a_bar_that_is_followed_is_quiet_until_the_end_where_there_is_no_terminal(capsys):
    with Bars() as bars:
        on = bars.follow("maps")
        for done in range(1, 4):
            on(done, 3)
    assert [line.split(" · ")[0] for line in capsys.readouterr().err.splitlines()] == ["maps 3/3"]
    with Bars(quiet=True) as bars:
        bars.follow("maps")(3, 3)
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------ grouping and cutting


def marker(block: str, used: dict[str, str], rejected: dict[str, str], scores: tuple[SceneScore, ...] = ()):
    return TileMarker(
        block=block,
        epoch="2024",
        sensor="optical",
        res_m=30,
        bands=("red",),
        scenes=tuple(SceneRef(name, dt.date.fromisoformat(date), "optical") for name, date in used.items()),
        observed_fraction=0.5,
        n_clipped=0,
        bytes=10,
        write_id="w",
        rejected=tuple(RejectedScene(name, reason) for name, reason in rejected.items()),
        scores=scores,
    )


def test_reasons_that_differ_in_numbers_and_names_alone_are_one_kind():
    first = {
        "A": "the same acquisition as S2_1, processed earlier (05.00 < 05.11)",
        "B": "the same acquisition as S2_2, processed earlier (02.14 < 05.11)",
        "C": "cannot be read: s3://b/c.tif: bytes cut short",
        "D": "cannot be read: /data/d.tif: bytes cut short",
        "E": "beyond the 24 least cloudy",
    }
    groups = _rejected([marker("a", {}, first), marker("b", {}, {"A": first["A"], "E": first["E"]})])
    assert [(g["reason"], g["scenes"], g["tiles"]) for g in groups] == [
        ("cannot be read: …: bytes cut short", 2, 2),
        ("the same acquisition as …, processed earlier (… < …)", 2, 3),
        ("beyond the 24 least cloudy", 1, 2),
    ]


def test_a_scene_that_is_used_in_one_block_is_not_rejected_although_another_had_no_need_of_it():
    markers = [marker("a", {"A": "2024-08-01"}, {}), marker("b", {}, {"A": "hidden by earlier scenes"})]
    assert _rejected(markers) == []
    assert [(s["id"], s["blocks"]) for s in _used(markers)] == [("A", 1)]


def test_scores_of_a_scene_are_means_over_the_blocks_that_ranked_it():
    day = {"A": "2024-08-01"}
    a = marker("a", day, {}, (SceneScore("A", 1.0, 0.2, None),))
    b = marker("b", day, {}, (SceneScore("A", 0.5, 0.4, 0.1),))
    [used] = _used([a, b])
    assert used == {"id": "A", "date": "2024-08-01", "blocks": 2, "coverage": 0.75, "cloud": pytest.approx(0.3),
                    "snow": 0.1}  # fmt: skip


def test_long_lists_are_cut_and_say_where_the_rest_is(world, capsys):
    report = icefleet("ingest", world.config, "--json").json["sensors"]
    many = {f"SCENE_{k:03d}": "2024-08-01" for k in range(MOST_ROWS + 37)}
    print_ingest_report({"optical": {**report["optical"], "used": _used([marker("a", many, {})])}})
    said = capsys.readouterr().out
    assert "… and 37 more (--json has all)" in said and "SCENE_011" in said and "SCENE_012" not in said


# ------------------------------------------------------------------ pictures and products


def test_every_block_that_shows_anything_has_a_picture(tmp_path):
    world = make_world(tmp_path / "w", glaciers=2, blocks=2)
    maps = tmp_path / "new" / "maps"
    called = icefleet("ingest", world.config, "--maps", maps, "--json")
    assert called.code == 0 and called.err == ""
    assert called.json["maps"] == [str(maps / f"{block_name(k)}.png") for k in (0, 1)]
    assert all(Path(path).read_bytes().startswith(PNG) for path in called.json["maps"])


def test_pictures_are_the_same_from_one_process_and_from_several(tmp_path):
    world = make_world(tmp_path / "w", glaciers=6, blocks=6)
    one = icefleet("ingest", world.config, "--maps", tmp_path / "one", "--json")
    two = icefleet("ingest", world.config, "--maps", tmp_path / "two", "--json", "--set", "execution.workers=2")
    assert one.code == two.code == 0, two.err
    names = [Path(path).name for path in one.json["maps"]]
    assert len(names) == 6 and [Path(path).name for path in two.json["maps"]] == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_blocks_without_a_picture_are_counted(tmp_path):
    world = make_world(tmp_path / "w", glaciers=2, blocks=2)
    world.edit(scenes=world.settings()["scenes"][:1])
    called = icefleet("ingest", world.config, "--maps", tmp_path / "maps")
    assert called.code == 0
    assert f"maps     1 in {tmp_path / 'maps'}, none of 1 more in which nothing is observed" in called.out


def test_products_are_listed_without_a_configuration():
    listed = icefleet("ingest", "--products")
    assert listed.code == 0 and all(entry.name in listed.out for entry in PRODUCTS)
    said = icefleet("ingest", "--json", "--products").json["products"]
    assert [entry["name"] for entry in said] == [entry.name for entry in PRODUCTS]
    assert all(entry["sensor"] and entry["licence"] and "access" in entry for entry in said)


def test_a_call_without_a_configuration_is_wrong_and_says_so():
    called = icefleet("ingest")
    assert called.code == 2 and "no CONFIG" in called.err


def test_the_help_teaches_sources_composites_and_virtual_sensors():
    said = " ".join(icefleet("ingest", "--help").out.split())
    for word in ("`sources`", "best_scene", "least_snow", "virtual: true", "--products", "--maps", "DIR"):
        assert word in said
