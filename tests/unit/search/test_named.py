"""Tiles by name: the names are those of the archives, absent is an answer, and a fault never is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import shapely

from core.errors import ConfigError, RefusedError, TransientError
from core.objects import Objects
from core.search.named import Cell, TileArchive, cells_of
from core.sensors.products import product

DEM, DEM_90, COHERENCE, DHDT = (
    product(n) for n in ("copernicus_dem_30", "copernicus_dem_90", "s1_coherence", "hugonnet_dhdt")
)


def dem_name(tile: str, code: int = 10) -> str:
    return f"Copernicus_DSM_COG_{code}_{tile[:3]}_00_{tile[3:]}_00_DEM"


def touch(folder: Path, *keys: str) -> str:
    for key in keys:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(b"a tile")
    return folder.as_posix()


def dem(folder: Path, *tiles: str) -> str:
    return touch(folder, *(f"{dem_name(t)}/{dem_name(t)}.tif" for t in tiles))


@pytest.mark.parametrize(
    ("box", "names"),
    [
        ((8.2, 46.2, 8.4, 46.4), ["N46E008"]),
        ((8.9, 46.9, 9.1, 47.1), ["N46E008", "N46E009", "N47E008", "N47E009"]),
        ((-0.1, -0.1, 0.1, 0.1), ["S01W001", "S01E000", "N00W001", "N00E000"]),
        ((179.5, 66.2, 180.5, 66.4), ["N66W180", "N66E179"]),
        ((-180.5, 66.2, -179.5, 66.4), ["N66W180", "N66E179"]),
        ((-72.4, -50.4, -72.2, -50.2), ["S51W073"]),
        ((8.2, 46.2, 8.995, 46.4), ["N46E008", "N46E009"]),  # interpolation reaches beyond the whole degree
        ((10.2, 89.5, 10.4, 90.0), ["N89E010"]),
    ],
)
def test_cells_are_named_by_their_lower_left_corner(box, names):
    assert [c.name for c in cells_of(shapely.box(*box))] == names


def test_cells_of_a_slanting_block_leave_out_the_corners_of_its_box():
    triangle = shapely.Polygon([(8.1, 46.1), (9.7, 46.1), (8.1, 47.7)])
    assert [c.name for c in cells_of(triangle)] == ["N46E008", "N46E009", "N47E008"]


def test_a_copernicus_tile_is_found_under_its_name(tmp_path):
    archive = TileArchive(DEM, dem(tmp_path, "N46E008"))
    (scene,), rejected = archive.scenes([Cell(46, 8)])
    assert scene.id == "Copernicus_DSM_COG_10_N46_00_E008_00_DEM" and scene.sensor == "dem"
    assert scene.files[0].path == f"{tmp_path}/{dem_name('N46E008')}/{dem_name('N46E008')}.tif"
    assert scene.files[0].bands == {"elevation_m": 1} and scene.product == "copernicus_dem_30"
    assert rejected == []


def test_the_90_m_tiles_have_their_own_code(tmp_path):
    name = dem_name("S51W073", 30)
    (scene,), _ = TileArchive(DEM_90, touch(tmp_path, f"{name}/{name}.tif")).scenes([Cell(-51, -73)])
    assert scene.id == name


def test_an_absent_copernicus_tile_is_the_ocean_at_height_0(tmp_path):
    archive = TileArchive(DEM, dem(tmp_path, "N66E179"))
    (ocean, land), rejected = archive.scenes([Cell(66, 179), Cell(66, -180)])
    assert (ocean.id, land.id) == ("ocean:N66W180", dem_name("N66E179"))
    # As a tile: half a pixel (2″ by 1″ at 66° N) west and north of its degrees, so that no gap is left beside land.
    assert ocean.files[0].path == "constant:0?bounds=-180.00027778,66.00013889,-179.00027778,67.00013889"
    assert ocean.files[0].bands == {"elevation_m": 1}
    assert rejected == []


def test_land_that_is_not_released_is_no_ocean(tmp_path):
    scenes, (rejected,) = TileArchive(DEM, dem(tmp_path, "N42E045")).scenes([Cell(42, 45), Cell(40, 45)])
    assert [s.id for s in scenes] == [dem_name("N42E045")]
    assert rejected.id == dem_name("N40E045") and "not released" in rejected.reason


def test_an_archive_without_a_single_tile_is_a_wrong_address_and_no_ocean(tmp_path):
    with pytest.raises(ConfigError, match=r"none of 2 tiles.*Copernicus_DSM_COG_10_N46_00_E008"):
        TileArchive(DEM, str(tmp_path / "elsewhere")).scenes([Cell(46, 8), Cell(46, 9)])


def test_coherence_is_named_by_the_upper_left_corner_and_by_the_northern_season(tmp_path):
    north = [f"N48W090/N48W090_summer_vv_COH{d}.tif" for d in ("06", "12", "24")]
    south = ["S50W073/S50W073_winter_vv_COH12.tif"]
    url = touch(tmp_path, *north, *south, "N48W090/N48W090_winter_vv_COH48.tif")
    (patagonia, lake), rejected = TileArchive(COHERENCE, url).scenes([Cell(47, -90), Cell(-51, -73)])
    assert (lake.id, str(lake.date)) == ("N48W090_summer", "2020-07-15")
    assert [f.bands for f in lake.files] == [{"coh06": 1}, {"coh12": 1}, {"coh24": 1}]
    assert (lake.files[0].scale, lake.files[0].nodata) == (0.01, 0.0)
    assert (patagonia.id, str(patagonia.date)) == ("S50W073_winter", "2020-01-15")
    assert rejected == []


@pytest.mark.parametrize(
    ("cell", "name"),
    [(Cell(0, 12), "N01E012_summer"), (Cell(-1, 12), "N00E012_winter"), (Cell(-2, 12), "S01E012_winter")],
)
def test_the_season_turns_at_the_equator(tmp_path, cell, name):
    url = touch(tmp_path, f"{name[:7]}/{name}_vv_COH12.tif")
    assert [s.id for s in TileArchive(COHERENCE, url).scenes([cell])[0]] == [name]


@pytest.mark.parametrize(
    ("season", "name"),
    [("08-15/10-31", "fall"), ("12-15/03-15", "winter"), ("11-20/02-10", "winter"), ("05-01/05-31", "spring")],
)
def test_a_season_that_is_asked_for_is_that_of_its_middle(tmp_path, season, name):
    url = touch(tmp_path, f"N48W090/N48W090_{name}_vv_COH12.tif")
    assert [s.id for s in TileArchive(COHERENCE, url, season).scenes([Cell(47, -90)])[0]] == [f"N48W090_{name}"]


def test_an_absent_tile_of_another_archive_is_rejected_with_the_reason(tmp_path):
    url = touch(tmp_path, "N48W090/N48W090_summer_vv_COH12.tif")
    scenes, (rejected,) = TileArchive(COHERENCE, url).scenes([Cell(47, -90), Cell(47, -91)])
    assert len(scenes) == 1
    assert (rejected.id, rejected.reason) == ("N48W091", f"no such tile in {url}")


def test_hugonnet_tiles_have_rate_and_error_in_two_folders(tmp_path):
    name = "N46E008_2000-01-01_2020-01-01"
    url = touch(tmp_path, f"dhdt/{name}_dhdt.tif", f"dhdt_err/{name}_dhdt_err.tif")
    (scene,), _ = TileArchive(DHDT, url).scenes([Cell(46, 8)])
    assert [f.bands for f in scene.files] == [{"dhdt_m_a": 1}, {"dhdt_sigma_m_a": 1}]
    assert scene.files[1].path == f"{url}/dhdt_err/{name}_dhdt_err.tif"


def test_a_lookup_table_says_where_tiles_are(tmp_path):
    table = tmp_path / "tiles.csv"
    table.write_text("file_id,dhdt,dhdt_err\nN46E008,dhdt/a.tif,dhdt_err/a.tif\nN47E008,s3://b/c.tif,\n")
    (one, two), (absent,) = TileArchive(DHDT, str(table)).scenes([Cell(46, 8), Cell(47, 8), Cell(48, 8)])
    assert [f.path for f in one.files] == [f"{tmp_path}/dhdt/a.tif", f"{tmp_path}/dhdt_err/a.tif"]
    assert [f.path for f in two.files] == ["s3://b/c.tif"]
    assert absent.id == "N48E008"


def test_a_table_of_paths_holds_the_first_band(tmp_path):
    table = tmp_path / "tiles.csv"
    table.write_text(f"tile,path\n{dem_name('N46E008')},a.tif\n")
    (scene,), _ = TileArchive(DEM, str(table)).scenes([Cell(46, 8)])
    assert scene.files[0].path == f"{tmp_path}/a.tif"


def test_a_table_without_tiles_is_refused(tmp_path):
    table = tmp_path / "tiles.csv"
    table.write_text("name,where\n")
    with pytest.raises(ConfigError, match="columns name, where"):
        TileArchive(DHDT, str(table))


def test_tiles_on_s3_cost_one_listing_each(s3_url):
    base, name = f"{s3_url}/dem", dem_name("N46E008")
    Objects(base).put(f"{name}/{name}.tif", b"a tile")
    archive = TileArchive(DEM, base)
    scenes, _ = archive.scenes([Cell(46, 8), Cell(46, 9)])
    assert [s.id for s in scenes] == [name, "ocean:N46E009"]
    assert scenes[0].files[0].path == f"{base}/{name}/{name}.tif"


def test_tiles_over_http_are_asked_for_once(stac, tmp_path):
    dem(tmp_path, "N46E008")
    stac.files = tmp_path
    archive = TileArchive(DEM, f"{stac.url}/files")
    for _ in range(3):
        scenes, _ = archive.scenes([Cell(46, 8), Cell(46, 9)])
    assert [s.id for s in scenes] == [dem_name("N46E008"), "ocean:N46E009"]
    assert stac.count("/files/", "HEAD") == len(stac.asked) == 2


@pytest.mark.parametrize(("status", "kind"), [(403, RefusedError), (500, TransientError), (429, TransientError)])
def test_a_refusal_or_a_fault_is_no_ocean(stac, tmp_path, status, kind):
    dem(tmp_path, "N46E008")
    stac.files = tmp_path
    stac.fail(path=f"/files/{dem_name('N46E009')}", status=status)
    with pytest.raises(kind, match="E009"):
        TileArchive(DEM, f"{stac.url}/files").scenes([Cell(46, 8), Cell(46, 9)])


def test_a_server_that_knows_no_head_is_asked_for_a_byte(stac, tmp_path):
    dem(tmp_path, "N46E008")
    stac.files = tmp_path
    stac.fail(path="/files/", times=1, status=405)
    scenes, _ = TileArchive(DEM, f"{stac.url}/files").scenes([Cell(46, 8)])
    assert [s.id for s in scenes] == [dem_name("N46E008")]
    assert [m for m, _ in stac.asked] == ["HEAD", "GET"]
