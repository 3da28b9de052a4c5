"""The configuration: what is wrong is said before anything starts, naming the file, the key and the cure."""

from __future__ import annotations

import datetime as dt
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from core.config import Config, load_config
from core.errors import ConfigError
from core.settings import config_keys

# Those of trainings have keys of their own (tests/unit/train/test_train_config.py).
SHIPPED = (Path(__file__).parents[2] / "jobs" / "configs").glob("*.yaml")
CONFIGS = sorted(path for path in SHIPPED if not path.name.startswith("train_"))

MINIMAL = "name: a\nyear: 2024\ninventory: outlines.gpkg\n"
SCENE = """
scenes:
  - id: S0
    sensor: optical
    date: 2024-08-01
    files:
      - {path: s.tif, bands: {red: 1}}
"""


@pytest.fixture
def load(tmp_path: Path):
    """load(text, *overrides, **env) → Config, from a file in `tmp_path`."""

    def go(text: str = MINIMAL, *overrides: str, **env: str) -> Config:
        path = tmp_path / "c.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, overrides, env)

    return go


@pytest.fixture
def message(load):
    """message(text, *overrides, **env) → what ConfigError says."""

    def go(text: str = MINIMAL, *overrides: str, **env: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(text, *overrides, **env)
        return str(caught.value)

    return go


# ------------------------------------------------------------------ unknown and missing keys


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        (MINIMAL + "regoins: all\n", "regoins", "regions"),
        (MINIMAL + "grid: {buffer: 10}\n", "grid.buffer", "buffer_m"),
        (MINIMAL + "sensors: {optical: {res: 30}}\n", "sensors.optical.res", "res_m"),
        (MINIMAL + SCENE + "    mask: {path: m.tif, invalids: [1]}\n", "scenes.0.mask.invalids", "invalid"),
        (MINIMAL + SCENE.replace("path:", "paht: x, path:"), "scenes.0.files.0.paht", "path"),
        # The mistyped key is required, so it is also missing: the typing error is what helps.
        (MINIMAL.replace("inventory", "inventroy"), "inventroy", "inventory"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(message, text, key, nearest):
    said = message(text)
    assert f"c.yaml: {key}: found an unknown key" in said
    assert f"did you mean '{nearest}'?" in said


def test_an_unknown_key_that_is_near_nothing_gets_the_list_of_its_own_level(message):
    assert "known keys: batch, name, parameters" in message(MINIMAL + "model: {qqq: 1}\n")


@pytest.mark.parametrize("key", ["name", "year", "inventory"])
def test_a_missing_required_key_is_named(message, key):
    text = "".join(line + "\n" for line in MINIMAL.splitlines() if not line.startswith(key))
    assert f"c.yaml: {key}: found nothing; expected this key" in message(text)


def test_a_wrong_value_is_shown_with_its_key_and_what_is_allowed(message):
    said = message(MINIMAL + "grid: {res_m: 25}\n")
    assert "grid.res_m: found 25" in said
    assert "10, 20, 30, 60 or 120" in said


def test_a_key_of_yaml_that_is_no_text_is_an_error_and_no_crash(message):
    # YAML reads a bare `on` as true.
    assert "c.yaml" in message(MINIMAL + "on: 1\n")
    assert "bands" in message(MINIMAL + SCENE.replace("{red: 1}", "{1: red}"))


def test_one_scene_id_for_two_scenes_is_refused(message):
    twice = SCENE + SCENE.replace("\nscenes:\n", "")
    assert "scene id 'S0' is used twice" in message(MINIMAL + twice)


@pytest.mark.parametrize("value", ["0", "0.0", ".inf", ".nan"])
def test_a_scale_that_makes_all_pixels_alike_is_refused(message, value):
    assert "scenes.0.files.0.scale: found" in message(MINIMAL + SCENE, f"scenes.0.files.0.scale={value}")


@pytest.mark.parametrize("key", ["grid.buffer_m", "measure.min_area_km2", "plan.group_mpx", "scenes.0.files.0.offset"])
def test_a_number_without_end_is_refused(message, key):
    assert f"c.yaml: {key}: found inf" in message(MINIMAL + SCENE, f"{key}=.inf")


def test_nodata_may_be_nan(load):
    nodata = load(MINIMAL + SCENE, "scenes.0.files.0.nodata=.nan").scenes[0].files[0].nodata
    assert nodata is not None and nodata != nodata


def test_band_numbers_count_from_one(message):
    assert "band numbers count from 1" in message(MINIMAL + SCENE.replace("red: 1", "red: 0"))


# ------------------------------------------------------------------ the file


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: a\nyear: [2024\ninventory: x\n", 3),
        (MINIMAL + "year: 2025\n", 4),
        (MINIMAL + SCENE + "scenes: []\n", 11),
    ],
)
def test_invalid_yaml_and_a_key_given_twice_name_the_line(message, text, line):
    assert f"c.yaml line {line}" in message(text)


def test_a_date_that_no_calendar_has_is_an_error_that_names_the_file(message):
    said = message(MINIMAL + SCENE.replace("2024-08-01", "2024-13-01"))
    assert "c.yaml" in said and "month" in said


@pytest.mark.parametrize(("content", "word"), [(b"", "NoneType"), (b"- a\n", "list"), (b"\xff\xfe\x00", "no text")])
def test_a_file_that_is_no_mapping_of_text_is_refused(tmp_path, content, word):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=word):
        load_config(path)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            load_config(path)


# ------------------------------------------------------------------ regions


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("all", "all"),
        ('["15"]', ["15"]),
        ('"15"', ["15"]),
        # To YAML 06 is a number and 08 is not.
        ("[06, 08, 15]", ["06", "08", "15"]),
        ("[6]", ["06"]),
        ('["15", "06", "15"]', ["06", "15"]),
    ],
)
def test_regions_may_be_written_with_and_without_quotes(load, written, meant):
    assert load(MINIMAL + f"regions: {written}\n").regions == meant


@pytest.mark.parametrize("written", ['["21"]', "[0]", "[True]", "everywhere", "[1.5]", "[[1]]"])
def test_a_region_that_does_not_exist_is_refused_with_how_to_write_one(message, written):
    said = message(MINIMAL + f"regions: {written}\n")
    assert "c.yaml: regions: " in said and "write a list of '01' … '20', or all" in said


# ------------------------------------------------------------------ variables


def test_variables_are_filled_from_the_environment_and_defaults_where_it_has_none(load):
    text = MINIMAL + "output: s3://${BUCKET}/${PREFIX:-runs}\n" + SCENE.replace("s.tif", "'${ROOT:-/data}/s.tif'")
    config = load(text, BUCKET="b", ROOT="/mnt")
    assert config.output == "s3://b/runs"
    assert config.scenes[0].files[0].path == "/mnt/s.tif"


def test_an_empty_variable_counts_as_missing(load, message):
    assert load(MINIMAL + "output: s3://b/${P:-runs}\n", P="").output == "s3://b/runs"
    assert "${P}" in message(MINIMAL + "output: s3://b/${P}\n", P="")


def test_a_variable_without_value_or_default_is_named_with_the_cure(message):
    said = message(MINIMAL + "output: s3://${BUCKET}/runs\n")
    assert "c.yaml" in said and "${BUCKET}" in said and "export BUCKET=" in said


def test_a_number_may_come_from_a_variable(load):
    assert load(MINIMAL.replace("2024", "${YEAR}"), YEAR="2019").year == 2019


# ------------------------------------------------------------------ overrides


def test_an_override_reaches_nested_keys_lists_and_keys_that_are_not_there_yet(load):
    config = load(
        MINIMAL + SCENE,
        "grid.res_m=10",
        "scenes.0.id=T1",
        "scenes.0.files.0.bands={red: 3, nir: 4}",
        "model.parameters.ratio=1.8",
        "inventory=[a.gpkg, b.gpkg]",
        "scenes.0.date=2020-02-29",
        "simulated=true",
        "release=",
    )
    assert config.grid.res_m == 10
    assert config.scenes[0].id == "T1"
    assert config.scenes[0].files[0].bands == {"red": 3, "nir": 4}
    assert config.model.parameters == {"ratio": 1.8}
    assert [Path(p).name for p in config.inventory] == ["a.gpkg", "b.gpkg"]
    assert config.scenes[0].date == dt.date(2020, 2, 29)
    assert config.simulated is True and config.release is None


def test_a_later_override_wins_and_its_value_may_hold_an_equals_sign(load):
    config = load(MINIMAL, "inventory=a.gpkg", "inventory=https://h/x.gpkg?a=b")
    assert config.inventory == ["https://h/x.gpkg?a=b"]


def test_variables_in_an_override_are_filled(load):
    assert load(MINIMAL, "output=s3://${B}/runs", B="b").output == "s3://b/runs"


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("grid.res_m", "no '='"),
        ("=3", "no '='"),
        ("name.x=3", "no key 'x'"),
        ("scenes.7.id=3", "no key '7'"),
        ("scenes.first.id=3", "no key 'first'"),
        ("scenes.0.files.9=3", "no key '9'"),
        ("inventory=[a", "a YAML value"),
        ("scenes.0.date=2024-13-01", "a YAML value"),
        ("gird.res_m=3", "did you mean 'grid'"),
        ("grid.res=3", "did you mean 'res_m'"),
    ],
)
def test_a_bad_override_is_refused_and_named(message, override, word):
    said = message(MINIMAL + SCENE, override)
    assert word in said
    assert override.split("=")[0].split(".")[0] in said


# ------------------------------------------------------------------ paths


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path, monkeypatch):
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "c.yaml").write_text(MINIMAL + SCENE + "    mask: {path: ../m.tif, invalid: [1]}\noutput: ../runs\n")
    monkeypatch.chdir(tmp_path)
    config = load_config("with space/c.yaml")
    # GDAL wants paths, the object store URLs.
    assert config.inventory == [f"{folder}/outlines.gpkg"]
    assert config.scenes[0].files[0].path == f"{folder}/s.tif"
    assert config.scenes[0].mask is not None and config.scenes[0].mask.path == f"{tmp_path}/m.tif"
    assert config.output == f"{tmp_path.as_uri()}/runs"
    assert config.tiles == f"{folder.as_uri()}/tiles"


def test_urls_and_gdal_paths_are_left_as_they_are(load):
    for path in ("s3://b/o.gpkg", "https://h/o.gpkg?sig=1", "/vsizip/x.zip/o.gpkg", "memory://m/o.parquet"):
        assert load(MINIMAL, f"inventory={path}").inventory == [path]


@pytest.mark.parametrize("url", ["gs://b/runs", "s3:///runs", "file://runs"])
def test_a_place_that_cannot_be_written_to_is_refused_by_its_url(message, url):
    assert url in message(MINIMAL, f"output={url}")


# ------------------------------------------------------------------ what is shipped


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_shipped_configuration_loads_and_loads_again_from_what_a_run_keeps(path, monkeypatch):
    monkeypatch.delenv("ICEFLEET_SAMPLES", raising=False)
    monkeypatch.setenv("ICEFLEET_INVENTORY", "outlines.gpkg")  # which the public archives' ones ask for
    config = load_config(path)
    assert config.name == path.stem
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_there_are_shipped_configurations():
    assert len(CONFIGS) >= 3


def leaves(annotation: object, prefix: str) -> list[str]:
    """Dotted names of every key below a model, the long way round."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [x for name, f in annotation.model_fields.items() for x in leaves(f.annotation, f"{prefix}.{name}")]
    inner = [x for a in typing.get_args(annotation) for x in leaves(a, prefix) if x != prefix]
    return inner or [prefix]


def test_every_key_is_listed_with_its_default():
    listed = {line.split()[0].replace("[]", "").replace(".NAME", ""): line for line in config_keys(Config)}
    wanted = {name.removeprefix(".") for name in leaves(Config, "")}
    assert set(listed) == wanted
    assert "sensors.NAME.res_m" in listed["sensors.res_m"]
    assert "(required)" in listed["year"] and "default 30" in listed["grid.res_m"]
