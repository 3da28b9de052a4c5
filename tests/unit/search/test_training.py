"""Training tiles: what shows a block is found by headers alone, read once, and what is left out has a reason."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import h5py
import pytest
import shapely

from core.config import SceneConfig, SourceConfig
from core.errors import ConfigError, RefusedError
from core.grid import Block
from core.ingest.glavitu import SOURCES, scenes_of_tiles
from core.search import search as searching
from core.search import training
from core.search.footprint import block_footprints
from core.search.search import BlockScenes, search
from core.search.training import date_of, read_index
from core.sensors.products import PRODUCTS
from core.sensors.products.glavitu import TRAINING_TILES
from core.tiles import MAX_SCENES
from tests.tiny_world import refusing_s3
from tests.training_tiles import INSIDE, STEP_DEG, TileAt, write_tiles
from tests.unit.search.conftest import make_config
from tests.unit.search.test_search import block_at

BLOCK = block_at(86.9, 27.9)
NEXT = Block(BLOCK.zone, BLOCK.row, BLOCK.col + 1)
WEST, SOUTH, EAST, NORTH = shapely.bounds(block_footprints([BLOCK])[0]).tolist()
MIDDLE = TileAt("HMA-1-1", (WEST + EAST) / 2, (SOUTH + NORTH) / 2)
ENTRIES = {p.sensor: p for p in PRODUCTS if p.tiling == TRAINING_TILES}


def found(
    path: Path | str, *sensors: str, block: Block = BLOCK, year: int = 2020, **settings
) -> dict[str, BlockScenes]:
    """Sensor → what the file gives for a block."""
    sensors = sensors or ("optical_toa",)
    wanted = [{"product": ENTRIES[s].name, "catalog": str(path), **settings} for s in sensors]
    return {s: of[block] for s, of in search(make_config(*wanted, year=year), sensors, {block: "15"}).items()}


def ids(scenes: BlockScenes) -> list[str]:
    return [scene.id.removesuffix(f"-{scene.sensor}") for scene in scenes.scenes]


def reasons(scenes: BlockScenes) -> dict[str, str]:
    return {r.id: r.reason for r in scenes.rejected}


def test_the_products_name_the_arrays_that_the_reader_reads():
    assert set(ENTRIES) == set(SOURCES)
    for sensor, entry in ENTRIES.items():
        named = {b.band: (b.variable, b.index - 1) for b in entry.bands}
        assert named == {band: of for band, of in SOURCES[sensor].items() if band != "slope_deg"}
        assert entry.linear_power == sensor.startswith("sar") and entry.licence == "CC-BY-4.0"
        assert "10.11582/2024.00168" in entry.source and not entry.catalog


def test_tiles_over_a_block_are_its_scenes_with_a_path_into_the_file(tmp_path):
    tiles = [MIDDLE, MIDDLE.neighbour("HMA-1-2", 1, 0), MIDDLE.neighbour("HMA-9-9", 30, 0)]
    path = write_tiles(tmp_path / "train.hdf5", tiles)
    got = found(path, *SOURCES)
    for sensor, scenes in got.items():
        assert ids(scenes) == ["HMA-1-1", "HMA-1-2"] and scenes.rejected == ()
        by_hand = {s.id: s for s in scenes_of_tiles(str(path), dt.date(2020, 8, 31), [sensor])}
        for scene in scenes.scenes:
            assert scene.product == ENTRIES[sensor].name
            assert scene == by_hand[scene.id].model_copy(update={"product": scene.product})
            assert SceneConfig.model_validate_json(scene.model_dump_json(exclude_defaults=True)) == scene
    assert ids(found(path, block=block_at(MIDDLE.west + 30.5 * INSIDE * STEP_DEG, 27.9))["optical_toa"]) == ["HMA-9-9"]


def test_a_block_without_a_tile_says_so(tmp_path):
    path = write_tiles(tmp_path / "train.hdf5", [MIDDLE])
    got = found(path, block=block_at(8.0, 46.5))["optical_toa"]
    assert got.scenes == ()
    assert reasons(got) == {"glavitu_optical": f"no tile in {path}"}


def test_elevations_just_beside_a_block_belong_to_it_and_reflectances_do_not(tmp_path):
    path = write_tiles(tmp_path / "train.hdf5", [MIDDLE, TileAt("HMA-2-2", EAST + 0.005, MIDDLE.north)])
    got = found(path, "dem", "optical_toa")
    assert ids(got["dem"]) == ["HMA-1-1", "HMA-2-2"]
    assert ids(got["optical_toa"]) == ["HMA-1-1"]


@pytest.mark.parametrize("west", [179.97, -180.01, 359.97 - 180.0])
def test_tiles_on_the_antimeridian_are_seen(tmp_path, west):
    path = write_tiles(tmp_path / "train.hdf5", [TileAt("RUS-1-1", west, 71.01)])
    for lon in (179.99, -179.99):
        scenes = found(path, block=block_at(lon, 71.0))["optical_toa"]
        assert ids(scenes) == ["RUS-1-1"]


def test_tiles_of_another_projection_are_placed(tmp_path):
    path = write_tiles(tmp_path / "train.hdf5", [MIDDLE])
    with h5py.File(path, "a") as file:
        x, y = block_at(86.9, 27.9).zone.project_points([86.9], [27.9])
        file["HMA-1-1"].attrs.update(epsg=BLOCK.zone.epsg, xmin=x[0], xmax=x[0] + 2e3, ymin=y[0], ymax=y[0] + 2e3)
    (scene,) = found(path)["optical_toa"].scenes
    assert scene.files[0].crs == f"EPSG:{BLOCK.zone.epsg}"


def test_the_headers_of_a_file_are_read_once_for_all_its_products_and_no_pixels(tmp_path, monkeypatch):
    tiles = [MIDDLE.neighbour(f"HMA-{k}-0", 0.5 * k, 0) for k in range(12)]
    path, read = write_tiles(tmp_path / "train.hdf5", tiles), []

    def counted(*of: str) -> training.TileIndex:
        read.append(read_index(*of))
        return read[-1]

    monkeypatch.setattr(searching, "read_index", counted)
    blocks = {BLOCK: "15", NEXT: "15", block_at(8.0, 46.5): "11"}
    config = make_config(*({"product": p.name, "catalog": str(path)} for p in ENTRIES.values()))
    assert set(search(config, list(ENTRIES), blocks)) == set(ENTRIES)
    assert len(read) == 1
    assert read[0].n_bytes < 4 * 65536 * len(tiles) < path.stat().st_size / 2


# Dates


@pytest.mark.parametrize(
    ("settings", "north", "date"),
    [
        ({}, 27.9, "2020-08-31"),
        ({}, -43.5, "2020-03-01"),
        ({"years": [2014, 2016, 2015]}, 27.9, "2016-08-31"),
        ({"season": "06-01/06-30"}, 27.9, "2020-06-15"),
        ({"season": "12-01/01-31", "years": [2018]}, -43.5, "2017-12-31"),
    ],
)
def test_tiles_are_dated_by_the_years_and_season_of_the_source_else_by_the_run(settings, north, date):
    source = SourceConfig.model_validate({"product": "glavitu_optical", **settings})
    assert date_of(shapely.box(86.9, north - 0.1, 87.0, north), source, 2020) == dt.date.fromisoformat(date)


def test_a_tile_has_one_date_in_every_region(tmp_path):
    path = write_tiles(tmp_path / "train.hdf5", [MIDDLE])
    wanted = make_config({"product": "glavitu_optical", "catalog": str(path)})
    dates = {
        search(wanted, ["optical_toa"], {BLOCK: region})["optical_toa"][BLOCK].scenes[0].date
        for region in ("13", "15", "18")
    }
    assert dates == {dt.date(2020, 8, 31)}


# Left out


def test_a_scaled_file_gives_no_scene_and_the_reason(tmp_path):
    path = write_tiles(
        tmp_path / "train.hdf5", [TileAt(f"HMA-1-{k}", MIDDLE.west, MIDDLE.north, scaled=True) for k in "12"]
    )
    got = found(path)["optical_toa"]
    assert got.scenes == ()
    assert set(reasons(got)) == {"HMA-1-1-optical_toa", "HMA-1-2-optical_toa"}
    assert all("scaled file" in reason for reason in reasons(got).values())


def test_a_calm_sea_is_no_scaled_file(tmp_path):
    path = write_tiles(tmp_path / "train.hdf5", [TileAt("A-1-1", MIDDLE.west, MIDDLE.north, scaled=True), MIDDLE])
    assert ids(found(path)["optical_toa"]) == ["A-1-1", "HMA-1-1"]


def test_a_broken_tile_is_named_where_it_lies_and_everywhere_if_nobody_knows_where(tmp_path):
    tiles = [
        MIDDLE,
        TileAt("HMA-2-1", MIDDLE.west, MIDDLE.north, without=("dem",)),
        TileAt("HMA-2-2", MIDDLE.west, MIDDLE.north, broken=("xmin",)),
        TileAt("HMA-2-3", MIDDLE.west + 1.0, MIDDLE.north, without=("dem",)),
    ]
    path = write_tiles(tmp_path / "train.hdf5", tiles)
    with h5py.File(path, "a") as file:
        file["notes"] = [1.0]
        file.copy("HMA-1-1", "HMA-2-4")
        file["HMA-2-4"].attrs["epsg"] = 999999
    got = found(path)["optical_toa"]
    assert ids(got) == ["HMA-1-1"]
    assert reasons(got) == {
        "HMA-2-1-optical_toa": "broken tile: no array 'dem'",
        "HMA-2-2": "broken tile: no attribute 'xmin'",
        "HMA-2-4": "its place cannot be told from EPSG:999999",
        "notes": "broken tile: no array 'optical'",
    }


def test_a_tile_without_the_sensor_says_so(tmp_path):
    path = write_tiles(
        tmp_path / "train.hdf5", [TileAt("HMA-1-1", MIDDLE.west, MIDDLE.north, without=("cross_pol_sar", "thermal"))]
    )
    got = found(path, "thermal", "sar_sigma0_asc", "coherence_desc")
    assert reasons(got["thermal"]) == {"HMA-1-1-thermal": "the tile has no array 'thermal'"}
    assert reasons(got["sar_sigma0_asc"]) == {"HMA-1-1-sar_sigma0_asc": "the tile has no array 'cross_pol_sar'"}
    assert ids(got["coherence_desc"]) == ["HMA-1-1"]


def test_many_tiles_without_a_place_are_counted(tmp_path):
    path = write_tiles(tmp_path / "train.hdf5", [MIDDLE])
    with h5py.File(path, "a") as file:
        for k in range(40):
            file.create_group(f"X-{k:02d}")
    said = reasons(found(path)["optical_toa"])
    assert len(said) == 17 and said["24 more tiles"] == "as X-16: broken tile: no array 'optical'"


def test_more_tiles_than_a_block_can_name_give_way_to_those_that_show_most(tmp_path):
    """A first tile 260 times over hides what one tile beside it shows, if names alone decide."""
    path = write_tiles(tmp_path / "train.hdf5", [MIDDLE, MIDDLE.neighbour("Z-1-1", 1, 0)])
    with h5py.File(path, "a") as file:
        for k in range(MAX_SCENES + 6):
            file[f"HMA-2-{k:03d}"] = file["HMA-1-1"]
    got = found(path)["optical_toa"]
    assert len(got.scenes) == MAX_SCENES and {"HMA-1-1", "Z-1-1"} <= set(ids(got))
    assert len(got.rejected) == 8
    assert {r.reason for r in got.rejected} == {"beyond the 254 tiles that together show most of the block"}


# Not found


def test_what_is_no_file_of_tiles_is_an_error_of_the_configuration(tmp_path):
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["x"] = [1.0]
    (tmp_path / "text.hdf5").write_text("no HDF5")
    cut = write_tiles(tmp_path / "cut.hdf5", [MIDDLE])
    cut.write_bytes(cut.read_bytes()[:100_000])
    for name, says in (
        ("absent", "no file"),
        ("other", "no tile"),
        ("text", "sources.0.catalog"),
        ("cut", "truncated"),
    ):
        with pytest.raises(ConfigError, match=says) as error:
            found(tmp_path / f"{name}.hdf5")
        assert f"sources.0.catalog {tmp_path / name}.hdf5" in str(error.value)
    with pytest.raises(ConfigError, match=r"sources\.0\.catalog: found none"):
        search(make_config({"product": "glavitu_dem"}), ["dem"], {BLOCK: "15"})


def test_a_refusal_is_a_refusal(monkeypatch):
    with refusing_s3() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(RefusedError):
            found("s3://closed/train.hdf5")


def test_a_tile_is_as_large_as_the_tests_say():
    assert pytest.approx(STEP_DEG * INSIDE) == MIDDLE.bounds[2] - MIDDLE.bounds[0]
