"""Every kind of source gives the same inventory; every broken one says what to do."""

from __future__ import annotations

import shutil
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pytest
import shapely
from made_outlines import rgi7, square
from shapely.geometry import LineString, Point

from core.errors import ConfigError
from core.inventory import read_inventory
from core.objects import Objects

Write = Callable[..., str]
FRAME = rgi7([square(10 + i / 10, 46) for i in range(20)], o1region="11", glac_name=[f"Ferner {i}" for i in range(20)])


def pack(path: Path, *members: Path) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.write(member, member.name)
    return str(path)


@pytest.mark.parametrize("name", ["a.shp", "a.gpkg", "a.parquet", "a.geojson"])
def test_the_digest_does_not_depend_on_format_name_or_row_order(write: Write, name: str) -> None:
    reference = read_inventory([write(FRAME, "reference.gpkg")], None)
    other = read_inventory([write(FRAME.iloc[::-1], f"other-{name}")], None)
    assert other.digest == reference.digest
    assert other.glaciers.rgi_id.tolist() == FRAME.rgi_id.tolist()


def test_the_digest_does_not_depend_on_how_the_rows_are_spread_over_sources(write: Write) -> None:
    whole = read_inventory([write(FRAME, "whole.gpkg")], None)
    halves = [write(FRAME.iloc[12:], "b.shp"), write(FRAME.iloc[:12], "a.parquet")]
    assert read_inventory(halves, None).digest == whole.digest


def test_the_digest_notices_a_moved_vertex_and_a_changed_attribute(write: Write) -> None:
    digests = {read_inventory([write(FRAME, "0.gpkg")], None).digest}
    moved = FRAME.assign(geometry=[square(10.0001, 46), *FRAME.geometry[1:]])
    digests.add(read_inventory([write(moved, "1.gpkg")], None).digest)
    digests.add(read_inventory([write(FRAME.assign(glac_name="x"), "2.gpkg")], None).digest)
    assert len(digests) == 3


def test_zips_with_several_shapefiles_and_zips_in_zips_are_read(write: Write, tmp_path: Path) -> None:
    write(FRAME.iloc[:7], "one.shp")
    write(FRAME.iloc[7:15], "two.shp")
    write(FRAME.iloc[15:], "three.shp")
    inner = Path(pack(tmp_path / "inner.zip", *tmp_path.glob("three.*")))
    outer = pack(tmp_path / "outer.zip", *tmp_path.glob("one.*"), *tmp_path.glob("two.*"), inner)
    got = read_inventory([outer], None)
    assert len(got.glaciers) == 20
    assert dict(got.report.outlines_read) == {"one.shp": 7, "two.shp": 8, "three.shp": 5}


def test_every_polygon_layer_of_a_geopackage_is_read_and_the_others_are_reported(write: Write) -> None:
    path = write(FRAME.iloc[:7], layer="north")
    write(FRAME.iloc[7:], layer="south", mode="a")
    points = gpd.GeoDataFrame({"rgi_id": ["p"]}, geometry=[Point(1, 1)], crs=4326)
    write(points, layer="termini", mode="a")
    got = read_inventory([path], None)
    assert len(got.glaciers) == 20
    assert [f.kind for f in got.report.findings] == ["layer_skipped"]


def test_a_folder_is_read_with_its_folders(write: Write, tmp_path: Path) -> None:
    write(FRAME.iloc[:7], "folder/a.gpkg")
    write(FRAME.iloc[7:], "folder/deeper/b.shp")
    assert len(read_inventory([str(tmp_path / "folder")], None).glaciers) == 20


def test_region_outlines_beside_the_glaciers_are_left_out(write: Write, tmp_path: Path) -> None:
    write(FRAME, "folder/glaciers.gpkg")
    region = gpd.GeoDataFrame(
        {"o1region": ["11"], "full_name": ["Central Europe"]}, geometry=[square(10, 46, 5)], crs=4326
    )
    write(region, "folder/regions.gpkg")
    got = read_inventory([str(tmp_path / "folder")], None)
    assert len(got.glaciers) == 20
    assert got.report.of_kind("layer_skipped")[0].source == "regions.gpkg"


@pytest.mark.parametrize("name", ["a.shp", "a.gpkg", "a.zip"])
def test_an_object_in_a_bucket_is_read_like_a_file(write: Write, tmp_path: Path, name: str) -> None:
    bucket = Objects(f"memory://{uuid.uuid4().hex}/rgi")
    path = Path(write(FRAME, "a.shp" if name == "a.zip" else name))
    if name == "a.zip":
        path = Path(pack(tmp_path / name, *tmp_path.glob("a.*")))
    for part in tmp_path.glob(f"{path.stem}.*"):
        bucket.put(part.name, part.read_bytes())
    got = read_inventory([f"{bucket.url}/{name}"], None)
    assert len(got.glaciers) == 20


def test_a_file_url_is_a_path(write: Write) -> None:
    assert len(read_inventory([Path(write(FRAME, "with space.gpkg")).as_uri()], None).glaciers) == 20


@pytest.mark.parametrize("suffix", [".shp", ".dbf", ".shx", ".gpkg", ".geojson", ".parquet", ".zip"])
def test_a_truncated_file_is_an_error_and_never_half_an_inventory(write: Write, tmp_path: Path, suffix: str) -> None:
    for name in ("cut.shp", "cut.gpkg", "cut.geojson", "cut.parquet"):
        write(FRAME, name)
    pack(tmp_path / "cut.zip", *tmp_path.glob("cut.shp"), *tmp_path.glob("cut.dbf"))
    broken = tmp_path / f"cut{suffix}"
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size * 2 // 3])
    source = tmp_path / ("cut.shp" if suffix in (".dbf", ".shx") else f"cut{suffix}")
    with pytest.raises(ConfigError, match=r"cut\.") as caught:
        read_inventory([str(source)], None)
    assert caught.value.found
    assert caught.value.fix


def test_a_shapefile_without_its_table_is_an_error(write: Write, tmp_path: Path) -> None:
    path = write(FRAME, "a.shp")
    (tmp_path / "a.dbf").unlink()
    with pytest.raises(ConfigError, match=r"no \.dbf beside it"):
        read_inventory([path], None)


def test_parts_of_two_exports_are_not_one_shapefile(write: Write, tmp_path: Path) -> None:
    path = write(FRAME, "a.shp")
    write(FRAME.iloc[:7], "b.shp")
    shutil.copy(tmp_path / "b.dbf", tmp_path / "a.dbf")
    with pytest.raises(ConfigError, match="20 shapes and 7 rows"):
        read_inventory([path], None)


def test_sources_that_are_not_there_or_not_outlines_say_so(write: Write, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no outlines")
    (tmp_path / "empty").mkdir()
    (tmp_path / "zero.gpkg").touch()
    (tmp_path / "text.gpkg").write_text("this is no database")
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    FRAME.drop(columns="geometry").to_parquet(tmp_path / "table.parquet")
    lines = gpd.GeoDataFrame({"rgi_id": ["l"]}, geometry=[LineString([(0, 0), (1, 1)])], crs=4326)
    cases = {
        "missing.gpkg": "no such file",
        "notes.txt": "a .txt file",
        "empty": "a folder without outline files",
        "zero.gpkg": "an empty file",
        "text.gpkg": "cannot be read",
        "text.zip": "a zip without outline files",
        "table.parquet": "GeoParquet",
        Path(write(lines, "lines.gpkg")).name: "its geometry is LineString",
        Path(write(FRAME.iloc[:0], "norows.gpkg")).name: "no rows",
    }
    for name, message in cases.items():
        with pytest.raises(ConfigError) as caught:
            read_inventory([str(tmp_path / name)], None)
        assert message in str(caught.value), name
        assert name in str(caught.value)


def test_an_object_that_is_not_there_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no such object"):
        read_inventory([f"memory://{uuid.uuid4().hex}/a.gpkg"], None)
    with pytest.raises(ConfigError, match="name one object"):
        read_inventory([f"memory://{uuid.uuid4().hex}/folder"], None)
    with pytest.raises(ConfigError, match="no source"):
        read_inventory([], None)


def test_another_projection_is_brought_to_degrees_and_reported(write: Write) -> None:
    got = read_inventory(
        [write(FRAME.to_crs(32632), "utm.shp"), write(FRAME.iloc[:0:-1].to_crs(3035), "laea.gpkg")], None
    )
    assert {f.source: f.count for f in got.report.of_kind("reprojected")} == {"utm.shp": 20, "laea.gpkg": 19}
    assert got.glaciers.crs.to_epsg() == 4326
    there = shapely.centroid(FRAME.geometry.to_numpy())
    assert (shapely.distance(shapely.centroid(got.glaciers.geometry.to_numpy()[0]), there[0])) < 1e-6


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_no_projection_is_taken_as_degrees_only_if_it_can_be(write: Write) -> None:
    got = read_inventory([write(FRAME.set_crs(None, allow_override=True), "bare.shp")], None)
    assert got.report.of_kind("crs_assumed")[0].count == 20
    assert len(got.glaciers) == 20
    metres = FRAME.to_crs(32632).set_crs(None, allow_override=True)
    with pytest.raises(ConfigError, match="no coordinate system"):
        read_inventory([write(metres, "metres.shp")], None)
