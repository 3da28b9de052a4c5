"""A release as its users read it: GeoPandas, dask-geopandas, DuckDB, and geoparquet-io's own verdict."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import dask
import dask.dataframe
import dask_geopandas
import duckdb
import geopandas
import numpy as np
import pandas
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import shapely

sys.path.insert(0, str(Path(__file__).parents[1]))  # for release_factory

from release_factory import LAYOUT, Row, area_row, detailed, good_rows, moved, outline_row, publish, square, tables

from core.objects import Objects
from core.release import GLACIER_OUTLINE, region_area, table_from_rows, to_geoparquet, verify_release
from core.release.publish import MAX_ROWS_PER_FILE

BOX = (-20.2, 63.9, -19.71, 64.5)  # part of region 06, none of region 07


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Two regions: 06 with every status and without some geometries, 07 across the antimeridian."""
    far = [detailed(area_row(50 + i, square(179.99 + 0.05 * i, 70.0, 0.03))) for i in range(4)]
    return good_rows(30) + moved(far, "07", 0.0)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Path:
    folder = tmp_path_factory.mktemp("release")
    publish(str(folder), rows, max_rows=20)
    assert verify_release(str(folder)) == []
    return folder


@pytest.fixture(scope="module")
def area(release: Path) -> Path:
    return release / LAYOUT.table("glacier_area")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder in which DuckDB finds its spatial extension without a network."""
    home = tmp_path_factory.mktemp("home")
    version = f"v{duckdb.__version__}"
    platform = duckdb.sql("PRAGMA platform").fetchall()[0][0]
    target = home / ".duckdb" / "extensions" / version / platform
    target.mkdir(parents=True)
    shutil.copy(extension(), target)
    return home


def extension() -> Path:
    """The spatial extension that the wheel `duckdb-extension-spatial` carries for this DuckDB."""
    spec = importlib.util.find_spec("duckdb_extension_spatial")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}"
    return folder / "spatial.duckdb_extension"


def inside(rows: list[Row], box: tuple[float, float, float, float]) -> set[str]:
    return {r["rgi_id"] for r in rows if r["geometry"] is not None and r["geometry"].intersects(shapely.box(*box))}


def test_geopandas_reads_the_folder(area: Path, rows: list[Row]) -> None:
    frame = geopandas.read_parquet(area)
    assert len(frame) == len(rows) and set(frame["rgi_id"]) == {r["rgi_id"] for r in rows}
    assert set(frame["o1region"]) == {"06", "07"} and frame.crs == "EPSG:4326"
    assert frame["area_km2"].isna().sum() == 2 and frame.geometry.isna().sum() == 1


def test_geopandas_reads_one_file_and_only_a_box(area: Path, rows: list[Row]) -> None:
    file = next((area / "region_06").iterdir())
    assert set(geopandas.read_parquet(file)["o1region"]) == {"06"}
    found = geopandas.read_parquet(area, bbox=BOX, columns=["rgi_id", "geometry"])
    assert set(found["rgi_id"]) == inside(rows, BOX) and 0 < len(found) < len(rows)


def test_the_release_joins_other_layers_without_a_warning_about_crs(area: Path) -> None:
    basin = geopandas.GeoDataFrame({"basin": ["a"]}, geometry=[shapely.box(*BOX)], crs="EPSG:4326")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (geopandas.read_parquet(area).sjoin(basin)["basin"] == "a").all()


def test_rows_can_be_written_to_geopackage(area: Path, tmp_path: Path) -> None:
    frame = geopandas.read_parquet(area)
    assert "bbox" not in frame, "GeoPandas knows the covering and leaves it out"
    frame.to_file(tmp_path / "glaciers.gpkg")
    assert len(geopandas.read_file(tmp_path / "glaciers.gpkg")) == len(frame)


def test_dask_geopandas_keeps_spatial_partitions_and_the_region(area: Path, rows: list[Row]) -> None:
    lazy = dask_geopandas.read_parquet(area)
    assert lazy.spatial_partitions is not None and lazy.npartitions == len(list(area.glob("*/*.parquet")))
    with dask.config.set(scheduler="synchronous"):
        frame = lazy.compute()
        totals = lazy.groupby("o1region")["area_km2"].sum().compute()
        near = lazy.cx[BOX[0] : BOX[2], BOX[1] : BOX[3]].compute()
    assert sorted(frame["rgi_id"]) == sorted(r["rgi_id"] for r in rows)
    assert set(frame["o1region"]) == {"06", "07"}
    sums = {
        r["o1region"]: r["area_km2"]
        for r in region_area(tables(rows)["glacier_area"]).to_pylist()
        if r["o2region"] is None
    }
    assert totals.to_dict() == pytest.approx(sums)
    assert set(near["rgi_id"]) == inside(rows, BOX)


def test_dask_geopandas_reads_the_outlines(release: Path, rows: list[Row]) -> None:
    lazy = dask_geopandas.read_parquet(release / LAYOUT.table("glacier_outline"))
    assert lazy.spatial_partitions is not None
    with dask.config.set(scheduler="synchronous"):
        assert set(lazy.compute()["class"]) == {"glacier"}


def test_geopandas_reads_fronts_and_surfaces(release: Path, rows: list[Row]) -> None:
    calving = {r["rgi_id"] for r in rows if r["front_length_m"] is not None}
    fronts = geopandas.read_parquet(release / LAYOUT.table("glacier_front"))
    assert set(fronts["rgi_id"]) == calving and fronts.crs == "EPSG:4326"
    assert set(fronts.geom_type) == {"LineString", "MultiLineString"}
    utm = fronts[fronts["o1region"] == "06"].to_crs(32627)
    np.testing.assert_allclose(utm.length, utm["front_length_m"], rtol=2e-3)
    surfaces = geopandas.read_parquet(release / LAYOUT.table("glacier_surface"))
    assert set(surfaces.groupby("rgi_id").size().index) == calving
    areas = geopandas.read_parquet(release / LAYOUT.table("glacier_area")).set_index("rgi_id")["area_km2"]
    np.testing.assert_allclose(surfaces.groupby("rgi_id")["area_km2"].sum(), areas[sorted(calving)])
    near = geopandas.read_parquet(release / LAYOUT.table("glacier_front"), bbox=BOX)
    assert 0 < len(near) < len(fronts) and set(near["o1region"]) == {"06"}


@pytest.mark.parametrize("table", ["glacier_front", "glacier_surface"])
def test_dask_geopandas_keeps_spatial_partitions_of_fronts_and_surfaces(release: Path, table: str) -> None:
    lazy = dask_geopandas.read_parquet(release / LAYOUT.table(table))
    assert lazy.spatial_partitions is not None
    with dask.config.set(scheduler="synchronous"):
        near = lazy.cx[BOX[0] : BOX[2], BOX[1] : BOX[3]].compute()
        assert 0 < len(near) < len(lazy.compute())


def test_duckdb_and_pandas_read_the_hypsometry(release: Path, rows: list[Row]) -> None:
    folder = release / LAYOUT.table("hypsometry")
    calving = {r["rgi_id"] for r in rows if r["front_length_m"] is not None}
    found = duckdb.sql(f"select rgi_id, sum(thousandths) from '{folder}/*/*.parquet' group by rgi_id").fetchall()
    assert dict(found) == dict.fromkeys(calving, 1000)
    joined = duckdb.sql(
        f"select sum(a.area_km2 * h.thousandths / 1000) from '{folder}/*/*.parquet' h"
        f" join '{release / LAYOUT.table('glacier_area')}/*/*.parquet' a using (rgi_id)"
    ).fetchone()
    assert joined == pytest.approx((sum(r["area_km2"] for r in rows if r["rgi_id"] in calving),))
    frame = pandas.read_parquet(folder)
    assert set(frame["rgi_id"]) == calving and frame["band_m"].dtype == np.int32
    assert dask.dataframe.read_parquet(folder).npartitions == len(list(folder.glob("*/*.parquet")))


def test_pyarrow_reads_the_folder_with_one_schema(area: Path, rows: list[Row]) -> None:
    assert pyarrow.dataset.dataset(area).count_rows() == len(rows)
    assert pq.read_table(area).num_rows == len(rows)


def test_duckdb_filters_on_the_covering_box_without_an_extension(area: Path, rows: list[Row]) -> None:
    west, south, east, north = BOX
    found = duckdb.sql(
        f"select rgi_id, o1region from '{area}/*/*.parquet' where bbox.xmin < {east} and bbox.xmax > {west}"
        f" and bbox.ymin < {north} and bbox.ymax > {south}"
    ).fetchall()
    assert {r[0] for r in found} == inside(rows, BOX) and {r[1] for r in found} == {"06"}


def test_duckdb_reads_geometry_with_its_spatial_extension(area: Path, rows: list[Row], tmp_path: Path) -> None:
    db = duckdb.connect()
    db.execute(f"set extension_directory = '{tmp_path}'")
    db.execute(f"install '{extension()}'")
    db.execute("load spatial")
    box = "ST_MakeEnvelope({}, {}, {}, {})".format(*BOX)
    found = db.execute(
        f"select rgi_id, ST_Area(geometry::geometry) from '{area}/*/*.parquet' where ST_Intersects(geometry, {box})"
    ).fetchall()
    assert {r[0] for r in found} == inside(rows, BOX) and all(r[1] > 0 for r in found)


@pytest.mark.parametrize("table", ["glacier_area", "glacier_outline", "glacier_front", "glacier_surface"])
def test_geoparquet_io_finds_no_fault(release: Path, home: Path, table: str) -> None:
    for file in sorted((release / LAYOUT.table(table)).glob("*/*.parquet")):
        assert_no_fault(file, home)


@pytest.mark.parametrize("n", [MAX_ROWS_PER_FILE // 2 + 1, MAX_ROWS_PER_FILE])
def test_geoparquet_io_finds_no_fault_in_large_files(tmp_path: Path, home: Path, n: int) -> None:
    row, draw = area_row(0), np.random.default_rng(0)
    ranges = draw.uniform([70, 28], [100, 42], (60, 2))
    places = ranges[draw.integers(0, 60, n)] + draw.normal(0, 0.6, (n, 2))
    many = [outline_row(row, i, geometry=square(lon, lat, 0.01)) for i, (lon, lat) in enumerate(places)]
    file = tmp_path / "part-00000.parquet"
    file.write_bytes(to_geoparquet(table_from_rows(many, GLACIER_OUTLINE)))
    assert_no_fault(file, home)


def assert_no_fault(file: Path, home: Path) -> None:
    """`gpio check all`: exit code 0, every line that judges is a pass."""
    gpio = Path(sys.executable).with_name("gpio")
    # With an S3 endpoint in the environment geoparquet-io wants DuckDB's httpfs, even for a local file.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    env = {**clean, "HOME": str(home), "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [str(gpio), "check", "all", str(file)], env=env, capture_output=True, text=True, timeout=300, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for mark in ("✗", "❌", "⚠", "poor", "suboptimal", "failed"):
        assert mark not in said.lower(), said
    for passed in (
        "Version 1.1.0",
        "proper metadata covering",
        "ZSTD compression",
        "spatially ordered",
        "checks passed",
    ):
        assert passed in said, said


def test_the_release_is_read_from_a_url_too(release: Path) -> None:
    assert Objects(release.as_uri()).get(LAYOUT.manifest)
    assert verify_release(release.as_uri(), 2024) == []
