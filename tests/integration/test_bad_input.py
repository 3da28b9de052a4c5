"""Bad input, end to end: the exit code is right and the message says where, what was found and how to mend it."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pytest

from core.layout import ReleaseLayout, RunLayout
from core.ledger import Failure, Ledger
from core.objects import Objects
from core.plan import load_plan
from core.urls import local_path
from tests.tiny_world import (
    Called,
    TinyWorld,
    block_name,
    icefleet,
    make_world,
    outline,
    refusing_s3,
    truncate,
    write_scene,
)


@pytest.fixture
def world(tmp_path: Path) -> TinyWorld:
    return make_world(tmp_path / "w")


def refused(world: TinyWorld, *words: str, code: int = 2) -> str:
    """What `icefleet run` says on its way out; nothing on standard output but the inventory, and no traceback."""
    called = icefleet("run", world.config, *words)
    assert called.code == code, called.err
    assert "Traceback" not in called.out + called.err
    assert len(called.err.splitlines()) == 1
    assert not list(world.folder.glob("runs/*/commits/*")), "nothing was started"
    return called.err.strip()


def rows(called: Called) -> gpd.GeoDataFrame:
    """glacier_area of the release that a `run --json` made, by rgi_id."""
    folder = local_path(called.json["release"])
    assert folder is not None
    return gpd.read_parquet(folder / ReleaseLayout(2024).table("glacier_area")).set_index("rgi_id")


def scene_at(world: TinyWorld, path: str, **keys: object) -> None:
    scenes = world.settings()["scenes"]
    scenes[0]["files"][0].update({"path": path, **keys})
    world.edit(scenes=scenes)


# ------------------------------------------------------------------ configuration


def test_a_misspelt_key_names_file_key_and_nearest_key(world):
    world.edit(grid={"res": 30})
    assert refused(world) == f"error {world.config}: grid.res: found an unknown key; did you mean 'res_m'?"


def test_a_missing_configuration_names_the_file(world):
    world.config.unlink()
    said = refused(world)
    assert str(world.config) in said and "No such file" in said and "give the path of a YAML configuration" in said


def test_a_variable_that_is_not_set_says_what_to_export(world, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    world.edit(output="${NOWHERE}/runs")
    assert "${NOWHERE}" in (said := refused(world)) and "export NOWHERE=" in said


def test_an_advance_beyond_what_is_mapped_is_refused_with_both_numbers(world):
    said = refused(world, "--set", "measure.advance_m=400")
    assert "measure.advance_m: found 400 m; expected at most grid.buffer_m = 300 m" in said


def test_a_model_without_scenes_of_its_sensor_names_both(world):
    world.edit(scenes=[])
    said = refused(world)
    assert "scenes: found none of sensor 'optical', which model 'band_ratio' reads" in said
    assert "expected `scenes` or `sources` of optical" in said


# ------------------------------------------------------------------ inventory


def test_a_missing_inventory_names_file_key_and_what_may_stand_there(world):
    world.inventory.unlink()
    said = refused(world)
    assert f"{world.inventory}: found no such file; expected a shapefile" in said
    assert "correct the path under `inventory`" in said


def test_a_truncated_inventory_is_refused_with_both_sizes(world):
    size = world.inventory.stat().st_size
    truncate(world.inventory)
    said = refused(world)
    assert f"found {size // 2:,} bytes" in said and f"expected {size:,} bytes by its own header" in said


def test_no_glacier_in_the_region_says_where_they_are(world):
    world.edit(regions=["11"])
    said = refused(world)
    assert "regions: found 15: 2 glaciers; expected glaciers in 11; correct `regions`" in said


# ------------------------------------------------------------------ scenes


def test_a_missing_scene_names_its_place_in_the_configuration_and_the_file(world):
    world.scenes[0].unlink()
    said = refused(world)
    assert f"scenes.0 (S0): files.0 {world.scenes[0]}: found no such file; correct the path" in said


def test_a_file_that_is_no_raster_is_refused(world):
    world.scenes[0].write_text("not a raster")
    said = refused(world)
    assert str(world.scenes[0]) in said and "expected a raster that GDAL can open" in said


def test_a_scene_without_crs_says_which_key_to_add(world):
    write_scene(world.scenes[0], 0, [outline(0, 1)], crs=None)
    assert f"{world.scenes[0]}: found no CRS; add `crs: EPSG:…` to this file" in refused(world)


def test_another_crs_in_the_configuration_than_in_the_file_names_both(world):
    scene_at(world, "scene-0.tif", crs="EPSG:32633")
    assert "crs: found EPSG:32633; expected EPSG:32645, as the file says; drop `crs`" in refused(world)


def test_a_missing_band_names_the_band_and_how_many_there_are(world):
    write_scene(world.scenes[0], 0, [outline(0, 1)], count=4)
    assert f"{world.scenes[0]}: found 4 bands; expected band 6 for 'swir2'" in refused(world)


def test_a_band_that_no_sensor_has_names_the_nearest(world):
    scene_at(world, "scene-0.tif", bands={"red": 1, "swirl1": 2})
    said = refused(world)
    assert "band 'swirl1' of sensor 'optical'" in said and "swir1" in said


def test_scenes_of_another_place_name_both_places(world):
    write_scene(world.scenes[0], 0, [outline(0, 1)], shift_m=90_000)
    said = refused(world)
    assert "which touch no glacier; expected scenes over the glaciers, 86.4" in said
    assert "check `scenes`, `inventory` and `regions`" in said


# ------------------------------------------------------------------ places


def test_an_output_that_cannot_be_made_names_the_folder(world):
    said = refused(world, "--set", "output=/proc/nope", code=1)
    assert "file:///proc/nope/" in said and "expected a folder that can be made and written" in said
    assert "correct the path in the configuration" in said


def test_an_output_below_a_file_names_the_folder(world):
    said = refused(world, "--set", f"output={world.config}/runs", code=1)
    assert f"{world.config}/runs" in said and "expected a folder" in said


@pytest.mark.parametrize("key", ["output", "tiles", "inventory"])
def test_a_bucket_that_does_not_exist_is_named_with_the_cure(world, s3_url, key):
    place = "s3://no-such-bucket-here/x.gpkg"
    said = refused(world, "--set", f"{key}={place}", code=1)
    assert place in said and "found no such bucket; create the bucket, or correct the URL in the configuration" in said


def test_a_scene_in_a_bucket_that_does_not_exist_is_named(world, s3_url):
    scene_at(world, "s3://no-such-bucket-here/s.tif")
    said = refused(world)
    assert "s3://no-such-bucket-here/s.tif" in said and "bucket does not exist" in said


@pytest.mark.parametrize("key", ["output", "inventory"])
def test_refused_credentials_name_the_url_and_the_variables(world, monkeypatch, key):
    with refusing_s3() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        said = refused(world, "--set", f"{key}=s3://private/x.gpkg", code=1)
    assert "s3://private/x.gpkg" in said and "found access refused; check AWS_ACCESS_KEY_ID / AWS_PROFILE" in said


def test_a_scene_that_may_not_be_read_is_named(world, monkeypatch):
    scene_at(world, "s3://private-scenes/s.tif")
    with refusing_s3() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        said = refused(world, code=1)
    assert "s3://private-scenes/s.tif (scenes.0 (S0): files.0)" in said
    assert "found access refused; check AWS_ACCESS_KEY_ID / AWS_PROFILE" in said


def test_a_release_of_another_run_is_noticed_before_anything_is_computed(world, tmp_path):
    release = f"release={tmp_path}/release"
    first = icefleet("run", world.config, "--json", "--set", release)
    assert first.code == 0
    called = icefleet("run", world.config, "--set", release, "--set", "measure.threshold=0.4")
    assert called.code == 2
    assert f"found the release of run {first.json['run_id']}" in called.err
    assert "set `release` to another folder" in called.err
    assert len(list(world.folder.glob("runs/*"))) == 1, "the second run left nothing behind"


def test_tiles_of_other_scenes_are_refused_before_anything_is_computed(world):
    assert icefleet("run", world.config).code == 0
    called = icefleet("run", world.config, "--set", "scenes.0.files.0.scale=0.0002")
    assert called.code == 2
    assert "scale" in called.err and "choose another `epoch` or `tiles`" in called.err


# ------------------------------------------------------------------ what only the work finds out


def test_a_truncated_scene_costs_its_own_block_and_nothing_else(tmp_path):
    world = make_world(tmp_path, glaciers=4, blocks=2)
    truncate(world.scenes[1])
    called = icefleet("run", world.config, "--json")
    assert called.code == 1 and "Traceback" not in called.err
    block = block_name(1)
    assert called.json["quarantined"] == [f"ingest/optical.{block}", f"map/{block}"]
    assert called.json["done"] == {"ingest": 1, "map": 1, "measure": 1, "publish": 1}
    released = rows(called)
    assert sorted(released.index) == sorted(world.ids)
    for glacier in world.of_block(0):
        assert released.status[glacier] == "measured"
    for glacier in world.of_block(1):
        row = released.loc[glacier]
        assert row.status == "quarantined" and str(world.scenes[1]) in row.status_reason and block in row.status_reason
        assert row[["area_km2", "area_sigma_km2", "observed_fraction"]].isna().all()
        assert row.area_inventory_km2 > 0
    # The console names file, block and cure, once per unit.
    lines = called.err.splitlines()
    assert len(lines) == 2 and all(str(world.scenes[1]) in line and "fetch the file again" in line for line in lines)
    record = Ledger(Objects(called.json["run"])).failure("ingest", f"optical.{block}")
    assert record is not None and record.kind == "PoisonError" and "Traceback" in record.traceback


def test_the_same_command_after_a_truncated_scene_does_nothing_and_still_fails(tmp_path):
    world = make_world(tmp_path, glaciers=4, blocks=2)
    truncate(world.scenes[1])
    first = icefleet("run", world.config, "--json")
    again = icefleet("run", world.config, "--json")
    assert again.code == 1 and again.json["done"] == {}
    assert again.json["quarantined"] == first.json["quarantined"]


def test_a_region_that_cannot_be_published_leaves_no_release_and_no_traceback(tmp_path):
    world = make_world(tmp_path)
    assert icefleet("run", world.config, "--limit", 9).code == 0
    run = next(world.folder.glob("runs/*"))
    partial = next((run / RunLayout.PARTIALS / "glacier_area").iterdir())
    truncate(partial)
    called = icefleet("run", world.config, "--json")
    assert called.code == 1 and "Traceback" not in called.err
    assert called.json["quarantined"] == ["publish/15"] and called.json["release"] is None
    assert not list(run.rglob("manifest.json"))
    again = icefleet("run", world.config, "--json")
    assert again.code == 1 and again.json["done"] == {} and again.json["release"] is None


def test_a_glacier_whose_group_was_set_aside_has_a_row_with_the_reason(tmp_path):
    world = make_world(tmp_path)
    plan = icefleet("plan", world.config, "--json")
    run = Objects(plan.json["run"])
    [group] = load_plan(run).groups
    Ledger(run).quarantine(Failure("measure", group.name, "PoisonError", "its outline broke the measuring"))
    called = icefleet("run", world.config, "--json")
    assert called.code == 1 and called.json["done"] == {"ingest": 1, "map": 1, "publish": 1}
    released = rows(called)
    assert sorted(released.index) == sorted(world.ids)
    assert set(released.status) == {"quarantined"}
    assert released.status_reason.str.contains("its outline broke the measuring").all()
