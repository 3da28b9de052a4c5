"""The run: its id follows what changes a number and nothing else, and two runs never share a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config import Config, load_config
from core.errors import ConfigError
from core.layout import RunLayout
from core.objects import Objects
from core.run import Run, load_run, open_run, save_run, sources_identity

TEXT = """
name: a
year: 2024
inventory: in/outlines.gpkg
output: runs
scenes:
  - id: S0
    sensor: optical
    date: 2024-08-01
    files: [{path: in/s.tif, bands: {red: 1, nir: 2}}]
    mask: {path: in/m.tif, invalid: [3]}
  - id: S1
    sensor: optical
    date: 2024-08-02
    files: [{path: in/t.tif, bands: {red: 1, nir: 2}}]
"""

PLACES_AND_MACHINERY = [
    "output=s3://elsewhere/runs",
    "release=/somewhere/release",
    "tiles=memory://tiles",
    "storage.backend=fsspec",
    "execution={executor: ray, workers: 7, mappers: 3, surveyors: 2, ray_address: auto}",
    "model.batch=3",
    "plan.windows_per_s_gpu=9",
    "plan.usd_per_gpu_hour=9",
    "inventory=/moved/outlines.gpkg",
    "scenes.0.files.0.path=s3://bucket/s.tif",
    "scenes.0.mask.path=/moved/m.tif",
]
NUMBERS = [
    "year=2025",
    "name=b",
    "epoch=winter",
    "regions=['15']",
    "simulated=true",
    "grid.res_m=10",
    "grid.buffer_m=500",
    "model.name=oracle",
    "model.parameters.ratio=1.9",
    "sensors.optical.res_m=20",
    "measure.threshold=0.4",
    "measure.advance_m=30",
    "measure.min_observed_fraction=0.5",
    "measure.min_area_km2=0.02",
    "measure.boundary_px=0.7",
    "measure.correlation_m=200",
    "measure.objects=none",
    "measure.accumulation=true",
    "measure.terminus=true",
    "measure.sea_ice=keep",
    "measure.attributes=false",
    "measure.surfaces=false",
    "measure.fronts=false",
    "plan.group_glaciers=7",
    "plan.group_mpx=7",
    "inventory=in/others.gpkg",
    "inventory=[in/outlines.gpkg, in/more.gpkg]",
    "scenes.0.id=S9",
    "scenes.0.sensor=sar_sigma0",
    "scenes.0.date=2024-08-03",
    "scenes.0.files.0.path=in/u.tif",
    "scenes.0.files.0.bands.red=3",
    "scenes.0.files.0.scale=0.5",
    "scenes.0.files.0.offset=0.5",
    "scenes.0.files.0.nodata=0",
    "scenes.0.files.0.crs=EPSG:32645",
    "scenes.0.mask.invalid=[4]",
    "scenes.0.mask.band=2",
    "scenes.0.mask=null",
    "scenes=[]",
    "sources=[{product: sentinel2_l2a}]",
]


@pytest.fixture
def configure(tmp_path: Path):
    """configure(*overrides) → Config."""
    (tmp_path / "c.yaml").write_text(TEXT)
    return lambda *overrides: load_config(tmp_path / "c.yaml", overrides)


def run_id(config: Config, inventory: str = "d1") -> str:
    return open_run(config, inventory).run_id


# ------------------------------------------------------------------ identity


@pytest.mark.parametrize("override", PLACES_AND_MACHINERY)
def test_places_and_machinery_do_not_change_the_id(configure, override):
    assert run_id(configure(override)) == run_id(configure())


@pytest.mark.parametrize("override", NUMBERS)
def test_whatever_may_change_a_number_changes_the_id(configure, override):
    assert run_id(configure(override)) != run_id(configure())


def test_every_key_of_the_configuration_is_in_one_of_the_two_lists():
    keys = [override.split("=")[0].split(".") for override in (*PLACES_AND_MACHINERY, *NUMBERS)]
    assert {key[0] for key in keys} == set(Config.model_fields)
    for part in ("grid", "model", "measure", "plan", "storage"):
        nested = {key[1] for key in keys if key[0] == part}
        assert nested == set(Config.model_fields[part].annotation.model_fields), part


def test_the_order_of_scenes_is_part_of_the_id_because_earlier_ones_are_preferred(configure):
    config = configure()
    turned = config.model_copy(update={"scenes": config.scenes[::-1]})
    assert run_id(turned) != run_id(config)


def test_the_order_of_inventories_and_regions_is_not(configure):
    assert run_id(configure("inventory=[a.gpkg, b.gpkg]")) == run_id(configure("inventory=[b.gpkg, a.gpkg]"))
    assert run_id(configure("regions=['06', '15']")) == run_id(configure("regions=['15', '06']"))


def test_the_content_of_the_inventory_is_part_of_the_id(configure):
    assert run_id(configure(), "d2") != run_id(configure(), "d1")


def test_a_signature_in_a_url_is_not(configure):
    one, two = (configure(f"scenes.0.files.0.path=https://h/s.tif?sig={k}") for k in (1, 2))
    assert run_id(one) == run_id(two) == run_id(configure())


def test_a_question_mark_in_a_local_name_is(configure):
    assert run_id(configure("scenes.0.files.0.path=in/s.tif?a")) != run_id(configure())


def test_the_id_can_be_read_by_a_person(configure):
    assert run_id(configure()).startswith("a-2024-")


# ------------------------------------------------------------------ the folder


@pytest.fixture
def run(configure) -> Run:
    return open_run(configure(), "d1")


def test_opening_a_run_writes_nothing(run, tmp_path):
    assert not (tmp_path / "runs").exists()


def test_a_saved_run_is_loaded_as_it_was(run):
    save_run(run)
    assert load_run(run.url) == run


def test_saving_again_changes_nothing(run):
    save_run(run)
    before = run.objects.list_times()
    save_run(run)
    assert run.objects.list_times() == before


def test_other_machinery_is_taken_over_by_workers_of_the_same_run(configure, run):
    save_run(run)
    load_run(run.url)
    other = open_run(configure("execution.workers=5", "tiles=memory://moved"), "d1")
    assert other.url == run.url
    save_run(other)
    assert load_run(run.url).config.execution.workers == 5
    assert load_run(run.url).config.tiles == "memory://moved"


def test_two_configurations_cannot_share_a_folder(configure, run):
    save_run(run)
    other = open_run(configure("grid.res_m=10"), "d1")
    assert other.url != run.url
    squatter = Run(run.url, other.run_id, other.config, other.model_digest, "d1", other.code_digest)
    with pytest.raises(ConfigError, match=f"found run {run.run_id}; expected {other.run_id}; choose another `output`"):
        save_run(squatter)
    assert load_run(run.url) == run


def test_a_moved_folder_is_still_the_run(run, tmp_path):
    save_run(run)
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    moved = load_run((tmp_path / "elsewhere" / run.run_id).as_uri())
    assert moved.run_id == run.run_id and moved.release_url.startswith(moved.url)


def test_a_folder_without_a_run_is_refused_with_what_to_give(tmp_path):
    with pytest.raises(ConfigError, match=r"found no run\.json; give the folder OUTPUT/<run_id>"):
        load_run((tmp_path / "typo").as_uri())
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("stored", [b"{half", b"[]", b"{}"])
def test_a_broken_record_is_refused_by_its_url(run, stored):
    Objects(run.url).put(RunLayout.RUN, stored)
    with pytest.raises(ConfigError, match=r"run\.json: found no record of a run"):
        load_run(run.url)


def test_a_run_of_another_version_is_refused_with_the_version(run):
    save_run(run)
    record = json.loads(run.objects.get(RunLayout.RUN))
    record["version"] = "0.0.1"
    record["config"]["a_key_of_old"] = 1
    run.objects.put(RunLayout.RUN, json.dumps(record).encode())
    with pytest.raises(ConfigError, match=r"found a run of version 0\.0\.1; expected one that version"):
        load_run(run.url)


def test_the_release_lies_in_the_run_unless_the_configuration_says_otherwise(configure, run):
    assert run.release_url == f"{run.url}/release"
    assert open_run(configure("release=s3://b/release"), "d1").release_url == "s3://b/release"


def test_an_unknown_model_or_parameter_is_refused_with_the_nearest(configure):
    with pytest.raises(ConfigError, match=r"model\.name: found 'band_ration'.*did you mean 'band_ratio'"):
        open_run(configure("model.name=band_ration"), "d1")
    with pytest.raises(ConfigError, match=r"model\.parameters\.ration: .*did you mean 'ratio'"):
        open_run(configure("model.parameters.ration=2"), "d1")


def test_where_a_local_catalogue_lies_is_not_part_of_the_id_and_never_published(configure):
    one, two = (configure(f"sources=[{{product: copernicus_dem_30, catalog: {d}/dem}}]") for d in ("/a", "/b"))
    assert run_id(one) == run_id(two)
    assert [source["catalog"] for source in sources_identity(one)] == ["dem"]
    web = configure("sources=[{product: sentinel2_l2a, catalog: 'https://h/v1'}]")
    assert sources_identity(web)[0]["catalog"] == "https://h/v1"
