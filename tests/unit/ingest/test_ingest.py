"""Ingest: pixels land where they belong, nodata stays nodata, and what cannot be read is never a number."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import boto3
import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from scipy.ndimage import binary_erosion

from core.config import Config
from core.errors import ConfigError, PoisonError, SystemicError
from core.grid import Block, Lattice, Zone
from core.ingest import check_scenes, ingest_block, ingest_oracle_block, scenes_recipe
from core.ingest.raster import classify, gdal_path
from core.objects import Objects
from core.tiles import TileStore
from tests.made_scenes import (
    BLOCK,
    LATTICE,
    RES_M,
    STEP,
    UTM,
    WINDOW,
    XMAX,
    XMIN,
    YMAX,
    YMIN,
    ZONE,
    config,
    flat,
    grid,
    ingested,
    linear_fields,
    raster,
    scene,
    truncate,
)

HERE = np.array([[86.6, 28.0, 86.9, 28.3]])  # a glacier inside the block


# ----------------------------------------------------------------------- geometry

LONLAT = Affine(0.0009, 0, 86.55, 0, -0.0009, 28.37), 400, 420
SOURCES = {
    "lonlat": (*LONLAT, "EPSG:4326"),
    "lonlat-fine": (Affine(0.0003, 0, 86.55, 0, -0.0003, 28.37), 1200, 1260, "EPSG:4326"),
    "own-zone-odd-offset": (*grid(100.0, shift=37.3), UTM),
    "own-zone-coarser": (*grid(300.0, shift=11.0), UTM),
    "own-zone-finer": (*grid(30.0, shift=7.7), UTM),
    "next-zone": (Affine(90.0, 0, 1_048_000.7, 0, -90.0, 3_160_000.3), 640, 640, "EPSG:32644"),
    "south-up": (Affine(100.0, 0, XMIN - 1000, 0, 100.0, YMIN - 1000), 330, 330, UTM),
    "rotated": (
        Affine.translation(XMIN - 12_000, YMAX + 3000) @ Affine.rotation(-20) @ Affine.scale(90, -90),
        620,
        620,
        UTM,
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_linear_field_lands_within_a_twentieth_of_a_pixel(name, store, tmp_path):
    transform, rows, cols, crs = SOURCES[name]
    path = raster(tmp_path / "field.tif", linear_fields(transform, rows, cols, crs), transform, crs)
    read = ingested(store, config(scene(path, {"red": 1, "nir": 2})))
    column, row = read.values[2] / STEP, read.values[3] / STEP
    # Within half a source pixel of its edge a source has no second neighbour to interpolate with.
    inside = binary_erosion(read.observed, iterations=2, border_value=1)
    assert inside.mean() > 0.7
    assert np.abs(column - (np.arange(256) + 0.5))[inside].max() < 0.05
    assert np.abs(row - (np.arange(256) + 0.5)[:, None])[inside].max() < 0.05


def test_an_aligned_scene_of_the_same_pixel_is_copied_exactly(store, tmp_path):
    values = np.random.default_rng(0).integers(1, 10_000, (256, 256)).astype(np.uint16)
    path = raster(tmp_path / "a.tif", values, LATTICE.transform(WINDOW))
    read = ingested(store, config(scene(path, {"red": 1}, scale=1e-4)))
    np.testing.assert_array_equal(np.rint(read.values[2] * 1e4), values)
    assert read.observed.all()


@pytest.mark.parametrize("point", [False, True], ids=["area", "point"])
def test_the_area_or_point_tag_does_not_shift(point, store, tmp_path):
    transform, rows, cols = grid(100.0, shift=37.3)
    path = raster(tmp_path / "a.tif", linear_fields(transform, rows, cols), transform, point=point)
    with rasterio.open(path) as d:
        assert d.tags()["AREA_OR_POINT"] == ("Point" if point else "Area")
    read = ingested(store, config(scene(path, {"red": 1, "nir": 2})))
    assert np.abs(read.values[2] / STEP - (np.arange(256) + 0.5)).max() < 0.05


@pytest.mark.parametrize(("name", "res_m"), [("lonlat", 60), ("lonlat-fine", 120), ("next-zone", 60)])
def test_values_equal_gdals_own_warp(name, res_m, store, tmp_path):
    transform, rows, cols, crs = SOURCES[name]
    wave = np.sin(np.arange(cols) / 9.0)[None] * np.cos(np.arange(rows) / 7.0)[:, None]
    path = raster(tmp_path / "a.tif", (0.5 + 0.4 * wave).astype(np.float32), transform, crs)
    read = ingested(store, config(scene(path, {"red": 1}), res_m=res_m))
    lattice = Lattice(ZONE, res_m)
    with (
        rasterio.open(path) as d,
        WarpedVRT(
            d,
            crs=CRS.from_epsg(ZONE.epsg),
            transform=lattice.transform(lattice.block_window(BLOCK)),
            width=lattice.block_px,
            height=lattice.block_px,
            nodata=np.nan,
            resampling=Resampling.average if "fine" in name else Resampling.bilinear,
            tolerance=0.01,
        ) as warped,
    ):
        expected = warped.read(1)
    assert read.observed.all()
    assert np.abs(read.values[2] - expected).max() < 3e-4


def test_pieces_of_a_block_meet_without_a_seam(store, tmp_path, monkeypatch):
    transform, rows, cols, crs = SOURCES["lonlat"]
    path = raster(tmp_path / "a.tif", linear_fields(transform, rows, cols, crs), transform, crs)
    made = config(scene(path, {"red": 1, "nir": 2}))
    whole = ingested(store, made)
    monkeypatch.setattr("core.ingest.warp._TILE_PX", 50)
    pieces = ingested(TileStore("memory://pieces/tiles"), made)
    assert (whole.observed == pieces.observed).all()
    assert np.nanmax(np.abs(whole.values - pieces.values)) < 0.02 * STEP + 1e-4


def test_longitudes_meet_at_the_antimeridian(tmp_path):
    block = Block(Zone("utm01n"), 93, 11)
    lattice = Lattice(block.zone, RES_M)
    x, y = np.meshgrid(*lattice.centres_m(lattice.block_window(block)))
    lon, lat = block.zone.unproject_points(x.ravel(), y.ravel())
    assert lon.min() < -179.9
    assert lon.max() > 179.9
    for west, name in ((-180.0, "world"), (178.0, "beyond 180"), (-182.0, "before -180")):
        cols = 3600 if name == "world" else 40
        rows = 1800 if name == "world" else 60
        north = 90.0 if name == "world" else 67.0
        transform = Affine(0.1, 0, west, 0, -0.1, north)
        centre = west + 0.1 * (np.arange(cols) + 0.5)
        field = np.stack(
            [
                np.repeat((north - 0.1 * (np.arange(rows) + 0.5))[:, None], cols, axis=1) / 100,
                np.repeat(((centre % 360.0) / 360.0)[None], rows, axis=0),
            ]
        )
        path = raster(tmp_path / f"{cols}{west}.tif", field.astype(np.float32), transform, "EPSG:4326")
        store = TileStore(f"memory://antimeridian{west}/tiles")
        read = ingested(store, config(scene(path, {"red": 1, "nir": 2})), block=block)
        assert read.observed.all(), name
        assert np.abs(read.values[2].ravel() * 100 - lat).max() < 0.011, name
        east = (lon % 360.0).reshape(256, 256)
        away = np.abs(east - 180.0) > 0.1
        assert np.abs(read.values[3] * 360 - east)[away].max() < 0.06, name


def test_the_pole_has_no_hole(tmp_path):
    block = Block(Zone("upsn"), 262, 65)
    lattice = Lattice(block.zone, RES_M)
    x, y = np.meshgrid(*lattice.centres_m(lattice.block_window(block)))
    _, lat = block.zone.unproject_points(x.ravel(), y.ravel())
    assert lat.max() > 89.99
    rows = 90.0 - 0.05 * (np.arange(200) + 0.5)
    field = np.repeat(rows[:, None] / 100, 7200, axis=1).astype(np.float32)
    path = raster(tmp_path / "world.tif", field, Affine(0.05, 0, -180, 0, -0.05, 90), "EPSG:4326")
    read = ingested(TileStore("memory://pole/tiles"), config(scene(path, {"red": 1})), block=block)
    assert read.observed.all()
    assert np.abs(read.values[2].ravel() * 100 - lat).max() < 0.04


# ----------------------------------------------------------------- values and nodata


@pytest.mark.parametrize("res", [100.0, 30.0], ids=["bilinear", "average"])
@pytest.mark.parametrize("how", ["declared", "configured", "nan"])
def test_nodata_neither_bleeds_nor_grows(how, res, store, tmp_path):
    transform, rows, cols = grid(res)
    nodata = np.nan if how == "nan" else -9999.0
    values = np.full((rows, cols), 0.5, np.float32)
    hole = (XMIN + 9000, XMIN + 15_000, YMIN + 9000, YMIN + 15_000)
    u, v = transform @ np.meshgrid(np.arange(cols) + 0.5, np.arange(rows) + 0.5)
    values[(u > hole[0]) & (u < hole[1]) & (v > hole[2]) & (v < hole[3])] = nodata
    path = raster(tmp_path / "a.tif", values, transform, nodata=nodata if how == "declared" else None)
    file = {"nodata": nodata} if how == "configured" else {}
    read = ingested(store, config(scene(path, {"red": 1}, **file)))
    np.testing.assert_allclose(read.values[2][read.observed], 0.5, atol=1e-6)
    x, y = np.meshgrid(*LATTICE.centres_m(WINDOW))
    edge = res / 2 + RES_M / 2
    deep = (x > hole[0] + edge) & (x < hole[1] - edge) & (y > hole[2] + edge) & (y < hole[3] - edge)
    far = (x < hole[0] - edge) | (x > hole[1] + edge) | (y < hole[2] - edge) | (y > hole[3] + edge)
    assert not read.observed[deep].any()
    assert read.observed[far].all()
    area_m2 = np.count_nonzero(~read.observed) * RES_M**2
    assert area_m2 == pytest.approx(6000**2, rel=0.035)


def test_an_internal_mask_is_honoured(store, tmp_path):
    values, transform = flat(0.3)
    path = raster(tmp_path / "a.tif", values, transform)
    keep = np.zeros(values.shape[1:], bool)
    keep[:, :150] = True
    with rasterio.open(path, "r+") as d:
        d.write_mask(keep)
    read = ingested(store, config(scene(path, {"red": 1})))
    assert 0.4 < read.observed.mean() < 0.6
    np.testing.assert_allclose(read.values[2][read.observed], 0.3, atol=1e-6)


def test_digital_number_zero_is_data_unless_said_otherwise(tmp_path):
    values, transform = flat(0, dtype="uint8")
    path = raster(tmp_path / "a.tif", values, transform)
    assert ingested(TileStore("memory://zero/a"), config(scene(path, {"red": 1}))).observed.all()
    assert not ingested(TileStore("memory://zero/b"), config(scene(path, {"red": 1}, nodata=0))).observed.any()


def test_scale_and_offset_make_reflectance(store, tmp_path):
    values, transform = flat(18_639, dtype="uint16")
    path = raster(tmp_path / "landsat.tif", values, transform)
    read = ingested(store, config(scene(path, {"red": 1}, scale=2.75e-5, offset=-0.2)))
    np.testing.assert_allclose(read.values[2], 18_639 * 2.75e-5 - 0.2, atol=0.51e-4)


def test_decibels_are_averaged_as_power(store, tmp_path):
    transform, rows, cols = grid(30.0, shift=0.0, around=1200.0)
    board = np.where((np.indices((rows, cols)).sum(axis=0)) % 2, -10.0, -20.0).astype(np.float32)
    path = raster(tmp_path / "s1.tif", np.stack([board, board - 6]), transform)
    read = ingested(store, config(scene(path, {"vv_db": 1, "vh_db": 2}, sensor="sar_sigma0")), "sar_sigma0")
    expected = 10 * math.log10((0.1 + 0.01) / 2)
    np.testing.assert_allclose(read.values[0], expected, atol=0.0051)
    np.testing.assert_allclose(read.values[1], expected - 6, atol=0.0051)


def test_power_of_zero_is_not_observed(store, tmp_path):
    values, transform = flat(-np.inf, n_bands=2)
    path = raster(tmp_path / "s1.tif", values, transform)
    assert not ingested(
        store, config(scene(path, {"vv_db": 1, "vh_db": 2}, sensor="sar_sigma0")), "sar_sigma0"
    ).observed.any()


def test_masked_classes_are_not_observed_and_do_not_grow(store, tmp_path):
    values, transform = flat(0.5)
    path = raster(tmp_path / "a.tif", values, transform)
    coarse = transform @ Affine.scale(2)
    classes = np.full((math.ceil(values.shape[1] / 2), math.ceil(values.shape[2] / 2)), 4, np.uint8)
    classes[40:60, 50:80] = 9
    classes[100:110, 10:20] = 3
    mask = raster(tmp_path / "scl.tif", classes, coarse)
    read = ingested(store, config(scene(path, {"red": 1}, mask={"path": str(mask), "invalid": [3, 8, 9]})))
    x, y = np.meshgrid(*LATTICE.centres_m(WINDOW))
    col, row = ~coarse @ (x, y)
    clear = classes[row.astype(int), col.astype(int)] == 4
    assert (read.observed == clear).all()
    assert not read.observed.all()


def test_a_pixel_counts_only_if_all_bands_of_the_scene_are_valid(store, tmp_path):
    values, transform = flat(0.5, n_bands=2)
    values[1, :, :160] = np.nan
    path = raster(tmp_path / "a.tif", values, transform)
    read = ingested(store, config(scene(path, {"red": 1, "nir": 2})))
    assert 0.4 < read.observed.mean() < 0.6
    assert (np.isfinite(read.values[2]) == np.isfinite(read.values[3])).all()
    np.testing.assert_allclose(read.values[2][read.observed], 0.5, atol=1e-6)


# ---------------------------------------------------------------------- composites


def test_the_first_scene_of_the_list_wins_and_every_pixel_names_its_scene(store, tmp_path):
    first, transform = flat(0.1, n_bands=2)
    first[:, :, 150:] = np.nan
    second, third = flat(0.2, n_bands=2)[0], flat(0.3)[0]
    a = raster(tmp_path / "a.tif", first, transform)
    b = raster(tmp_path / "b.tif", second, transform)
    c = raster(tmp_path / "c.tif", third, transform)
    far = raster(tmp_path / "far.tif", second, transform @ Affine.translation(5000, 0))
    empty = raster(tmp_path / "empty.tif", np.full_like(first, np.nan), transform)
    both = {"red": 1, "nir": 2}
    made = config(
        scene(far, both, "far"),
        scene(empty, both, "empty"),
        scene(a, both, "a"),
        scene(b, {"red": 1, "nir": 2}, "b"),
        scene(c, {"red": 1}, "c"),
    )
    marker = ingest_block(made, store, BLOCK, "optical")
    assert [s.id for s in marker.scenes] == ["a", "b"]
    assert {(r.id, r.reason) for r in marker.rejected} == {("empty", "no valid pixel in the block")}
    assert marker.bands == ("red", "nir")
    assert marker.observed_fraction == 1.0
    read = store.read("2000", ZONE, "optical", WINDOW, ["red"])
    np.testing.assert_allclose(read.values[0], np.where(read.scene == 0, 0.1, 0.2), atol=1e-6)
    assert 0.4 < (read.scene == 0).mean() < 0.6
    assert read.scenes[0].date == dt.date(2000, 10, 30)


def test_bands_of_a_tile_are_those_that_all_its_scenes_have(store, tmp_path):
    first, transform = flat(0.1, n_bands=2)
    first[:, :, 150:] = np.nan
    a = raster(tmp_path / "a.tif", first, transform)
    b = raster(tmp_path / "b.tif", flat(0.2)[0], transform)
    marker = ingest_block(
        config(scene(a, {"red": 1, "nir": 2}, "a"), scene(b, {"red": 1}, "b")), store, BLOCK, "optical"
    )
    assert marker.bands == ("red",)
    read = store.read("2000", ZONE, "optical", WINDOW, ["red", "nir"])
    assert np.isfinite(read.values[0]).all()
    assert np.isnan(read.values[1]).all()


def test_bands_may_come_from_files_on_different_grids(store, tmp_path):
    transform, rows, cols = grid(60.0, 13.0)
    fine = raster(tmp_path / "fine.tif", linear_fields(transform, rows, cols)[0], transform)
    transform, rows, cols = grid(200.0, 31.0)
    coarse = raster(tmp_path / "coarse.tif", linear_fields(transform, rows, cols)[0], transform)
    both = scene(fine, {"red": 1})
    both["files"].append({"path": str(coarse), "bands": {"swir1": 1}})
    read = ingested(store, config(both))
    assert read.observed.all()
    assert np.abs(read.values[2] - read.values[4]).max() < 0.05 * STEP + 1e-4


def test_a_block_that_no_scene_reaches_is_committed_as_not_observed(store, tmp_path):
    values, transform = flat()
    far = raster(tmp_path / "far.tif", values, transform @ Affine.translation(5000, 0))
    marker = ingest_block(config(scene(far, {"red": 1})), store, BLOCK, "optical")
    assert (marker.observed_fraction, marker.scenes, marker.rejected) == (0.0, (), ())
    assert store.committed("2000", "optical") == {BLOCK.name}


def test_a_committed_block_is_not_read_again(store, tmp_path):
    values, transform = flat()
    path = raster(tmp_path / "a.tif", values, transform)
    made = config(scene(path, {"red": 1}))
    marker = ingest_block(made, store, BLOCK, "optical")
    path.unlink()
    assert ingest_block(made, TileStore(store.url), BLOCK, "optical") == marker


def test_tiles_of_one_epoch_come_from_one_list_of_scenes(store, tmp_path):
    values, transform = flat()
    path = raster(tmp_path / "a.tif", values, transform)
    ingest_block(config(scene(path, {"red": 1})), store, BLOCK, "optical")
    with pytest.raises(ConfigError, match="another `epoch` or `tiles`"):
        ingest_block(config(scene(path, {"red": 1}, scale=2.0)), TileStore(store.url), BLOCK, "optical")
    with pytest.raises(ConfigError, match="no scene"):
        ingest_block(config(scene(path, {"red": 1})), store, BLOCK, "dem")


def test_the_recipe_keeps_no_signature():
    made = config(scene("https://host/a.tif?sig=secret", {"red": 1}))
    recipe = scenes_recipe(made, "optical")
    assert recipe["scenes"][0]["files"][0]["path"] == "a.tif"
    assert "secret" not in str(recipe)


# -------------------------------------------------------------------------- failures


@pytest.mark.parametrize("compress", ["deflate", None], ids=["deflate", "plain"])
def test_a_truncated_raster_is_poison_that_names_file_and_block(compress, store, tmp_path):
    values = np.random.default_rng(0).random((1, 400, 400), dtype=np.float32)
    path = truncate(raster(tmp_path / "cut.tif", values, grid()[0], compress=compress, tiled=True), 0.6)
    made = config(scene(path, {"red": 1}))
    with pytest.raises(PoisonError, match=rf"cut\.tif .*scene a, block {BLOCK.name}"):
        ingest_block(made, store, BLOCK, "optical")
    assert not store.committed("2000", "optical")


def test_flipped_bytes_in_a_compressed_raster_are_poison(store, tmp_path):
    values = np.sin(np.arange(400 * 400) / 99.0).astype(np.float32).round(3).reshape(1, 400, 400)
    path = raster(tmp_path / "bad.tif", values, grid()[0], compress="deflate", tiled=True)
    data = bytearray(path.read_bytes())
    for i in range(len(data) // 2, len(data) // 2 + 400):
        data[i] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(PoisonError, match=r"bad\.tif"):
        ingest_block(config(scene(path, {"red": 1})), store, BLOCK, "optical")


def test_a_file_that_went_away_is_poison(store, tmp_path):
    with pytest.raises(PoisonError, match=r"gone\.tif"):
        ingest_block(config(scene(tmp_path / "gone.tif", {"red": 1})), store, BLOCK, "optical")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("HTTP error code : 503", "TransientError"),
        ("CURL error: Connection timed out", "TransientError"),
        ("AccessDenied: Access Denied", "RefusedError"),
        ("Access Denied", "RefusedError"),
        ("TIFFFillStrip: Read error", "TransientError"),
        ("not recognized as being in a supported file format", "PoisonError"),
    ],
)
def test_errors_of_remote_rasters_are_told_apart(message, kind):
    error = classify(rasterio.errors.RasterioIOError(message), "s3://bucket/a.tif?x=1", "block b")
    assert type(error).__name__ == kind
    assert "x=1" not in str(error)


def test_a_raster_on_s3_gives_the_same_tile(s3_url, store, tmp_path, monkeypatch):
    transform, rows, cols = grid(100.0, shift=37.3)
    path = raster(tmp_path / "a.tif", linear_fields(transform, rows, cols), transform, compress="deflate")
    bucket = s3_url.removeprefix("s3://")
    boto3.client("s3").upload_file(str(path), bucket, "scenes/a.tif")
    bands = {"red": 1, "nir": 2}
    local = ingested(store, config(scene(path, bands)))
    remote = ingested(TileStore(f"{s3_url}/ingested"), config(scene(f"{s3_url}/scenes/a.tif", bands)))
    np.testing.assert_array_equal(local.values, remote.values)
    assert gdal_path(f"{s3_url}/scenes/a.tif") == f"/vsis3/{bucket}/scenes/a.tif"
    with pytest.raises(ConfigError, match="expected a raster that GDAL can open"):
        check_scenes(config(scene(f"{s3_url}/scenes/missing.tif", bands)), HERE)


# ----------------------------------------------------------------------------- check


@pytest.fixture
def good(tmp_path) -> Path:
    values, transform = flat(0.5, n_bands=2)
    return raster(tmp_path / "good.tif", values, transform)


def test_good_scenes_are_described(good):
    report = check_scenes(config(scene(good, {"nir": 2, "red": 1})), np.vstack([HERE, HERE + 5]))
    (info,) = report.scenes
    assert (info.id, info.bands, info.n_glaciers) == ("a", ("red", "nir"), 1)
    assert info.res_m == pytest.approx(100, rel=0.002)
    assert info.bounds == pytest.approx((86.58, 28.04, 86.92, 28.34), abs=0.02)
    assert report.missing == report.notes == ()
    frame = gpd.GeoDataFrame(geometry=[shapely.box(*HERE[0])], crs=4326)
    assert check_scenes(config(scene(good, {"red": 1})), frame).scenes[0].n_glaciers == 1


def test_a_scene_elsewhere_is_reported_and_all_scenes_elsewhere_is_an_error(good, tmp_path):
    values, transform = flat()
    far = raster(tmp_path / "far.tif", values, transform @ Affine.translation(5000, 0))
    report = check_scenes(config(scene(good, {"red": 1}), scene(far, {"red": 1}, "far")), HERE)
    assert report.missing == ("far",)
    assert "far touches no glacier" in report.notes
    with pytest.raises(ConfigError, match=r"found scenes over 91\..*° E.*expected.*86\.600…86\.900° E"):
        check_scenes(config(scene(far, {"red": 1}, "far")), HERE)


def test_scenes_across_the_antimeridian_touch_glaciers_on_both_sides(tmp_path):
    transform = Affine(1000.0, 0, 340_000, 0, -1000.0, 7_240_000)
    path = raster(tmp_path / "a.tif", np.ones((60, 60), np.float32), transform, "EPSG:32601")
    both = np.array([[179.8, 65.0, 179.9, 65.1], [-179.9, 65.0, -179.8, 65.1], [0.0, 65.0, 1.0, 65.1]])
    assert check_scenes(config(scene(path, {"red": 1})), both).scenes[0].n_glaciers == 2


def test_a_declared_scale_that_is_not_applied_is_noted(good):
    with rasterio.open(good, "r+") as d:
        d.scales, d.offsets = (2.75e-5, 2.75e-5), (-0.2, -0.2)
    assert "declares scale" in check_scenes(config(scene(good, {"red": 1})), HERE).notes[0]
    assert check_scenes(config(scene(good, {"red": 1}, scale=2.75e-5, offset=-0.2)), HERE).notes == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bands": {"red": 3}}, r"scenes.0 \(a\): files.0 .*good.tif: found 2 bands; expected band 3 for 'red'"),
        ({"bands": {"rad": 1}}, r"band 'rad'.*did you mean 'red'"),
        ({"sensor": "optcal"}, r"sensor 'optcal'.*did you mean 'optical'"),
        ({"sensor": "oracle", "bands": {"coverage": 1}}, "not made from scenes"),
        ({"crs": "EPSG:32644"}, r"found EPSG:32644; expected EPSG:32645, as the file says; drop `crs`"),
        ({"crs": "EPSG:nothing"}, r"crs: found 'EPSG:nothing'; expected e.g. EPSG:32645"),
        ({"path": "/nowhere/b.tif"}, r"/nowhere/b.tif: found no such file"),
        ({"path": __file__}, r"expected a raster that GDAL can open"),
        ({"path": "gs://bucket/a.tif"}, r"found scheme 'gs'"),
    ],
    ids=["band", "band-name", "sensor", "oracle", "crs", "crs-name", "missing", "no-raster", "scheme"],
)
def test_a_scene_that_cannot_work_says_where_and_how_to_mend_it(good, change, message):
    made = {"path": good, "bands": {"red": 1}, "sensor": "optical", **change}
    with pytest.raises(ConfigError, match=message):
        check_scenes(config(scene(made.pop("path"), made.pop("bands"), "a", **made)), HERE)


def test_a_file_without_a_crs_asks_for_one_and_takes_it(tmp_path, store):
    transform, rows, cols = grid(100.0, shift=37.3)
    path = raster(tmp_path / "a.tif", linear_fields(transform, rows, cols), transform, None)
    with pytest.raises(ConfigError, match="found no CRS; add `crs"):
        check_scenes(config(scene(path, {"red": 1})), HERE)
    made = config(scene(path, {"red": 1, "nir": 2}, crs=UTM))
    assert check_scenes(made, HERE).scenes[0].n_glaciers == 1
    assert np.abs(ingested(store, made).values[2] / STEP - (np.arange(256) + 0.5)).max() < 0.05


def test_a_picture_without_georeference_is_refused(tmp_path):
    path = raster(tmp_path / "a.png.tif", np.ones((50, 50), np.uint8), Affine.identity())
    with pytest.raises(ConfigError, match="no georeference"):
        check_scenes(config(scene(path, {"red": 1})), HERE)


def test_a_nodata_that_the_file_cannot_hold_is_refused(tmp_path):
    values, transform = flat(1, dtype="uint8")
    path = raster(tmp_path / "a.tif", values, transform)
    with pytest.raises(ConfigError, match=r"nodata -9999; expected a value of uint8"):
        check_scenes(config(scene(path, {"red": 1}, nodata=-9999)), HERE)


def test_one_band_in_two_files_is_refused(good):
    twice = scene(good, {"red": 1})
    twice["files"].append({"path": str(good), "bands": {"red": 2}})
    with pytest.raises(ConfigError, match="'red' in two files"):
        check_scenes(config(twice), HERE)


def test_a_mask_of_another_scene_is_refused_and_a_coarser_one_is_not(good, tmp_path):
    classes, transform = flat(4, dtype="uint8")
    cropped = raster(tmp_path / "crop.tif", classes[:, :200], transform)
    moved = raster(tmp_path / "moved.tif", classes, transform @ Affine.translation(10, 0))
    elsewhere = raster(tmp_path / "zone.tif", classes, transform, "EPSG:32644")
    coarse = raster(tmp_path / "coarse.tif", classes[:, ::2, ::2], transform @ Affine.scale(2))

    def masked(path: Path, band: int = 1) -> Config:
        return config(scene(good, {"red": 1}, mask={"path": str(path), "band": band, "invalid": [9]}))

    for wrong in (cropped, moved):
        with pytest.raises(ConfigError, match=r"mask .*pixels over .*give the mask of this scene"):
            check_scenes(masked(wrong), HERE)
    with pytest.raises(ConfigError, match="UTM zone 44N"):
        check_scenes(masked(elsewhere), HERE)
    with pytest.raises(ConfigError, match="found 1 bands; expected band 2"):
        check_scenes(masked(coarse, 2), HERE)
    assert check_scenes(masked(coarse), HERE).missing == ()


def test_a_truncated_header_is_found_before_anything_starts(good):
    truncate(good, 0.0001)
    with pytest.raises(ConfigError, match="expected a raster that GDAL can open"):
        check_scenes(config(scene(good, {"red": 1})), HERE)


def test_no_scenes_is_an_empty_report():
    assert check_scenes(config(), HERE).scenes == ()


# ---------------------------------------------------------------------------- oracle


def test_oracle_tiles_hold_the_share_of_the_outlines(store):
    square = shapely.box(XMIN + 1000, YMIN + 1000, XMIN + 4030, YMIN + 7000)
    marker = ingest_oracle_block(
        store, BLOCK, "2000", RES_M, np.array([square], object), dt.date(2000, 12, 31), recipe={"inventory": "abc"}
    )
    read = store.read("2000", ZONE, "oracle", WINDOW)
    assert marker.scenes[0].id == "oracle"
    assert read.observed.all()
    assert read.values.sum() * RES_M**2 == pytest.approx(square.area, rel=1e-4)
    again = ingest_oracle_block(TileStore(store.url), BLOCK, "2000", RES_M, np.array([], object), dt.date(2000, 12, 31))
    assert again == marker


def test_oracle_tiles_of_another_resolution_or_inventory_are_refused(store):
    outlines = np.array([shapely.box(XMIN, YMIN, XMAX, YMAX)], object)
    with pytest.raises(ConfigError, match="no oracle tiles"):
        ingest_oracle_block(store, BLOCK, "2000", RES_M, outlines, dt.date(2000, 12, 31))
    store.create("2000", ZONE, "oracle", RES_M, {"inventory": "abc"})
    with pytest.raises(SystemicError, match="the whole block"):
        ingest_oracle_block(store, BLOCK, "2000", 60, outlines, dt.date(2000, 12, 31))
    with pytest.raises(ConfigError, match=r"recipe\.inventory"):
        ingest_oracle_block(store, BLOCK, "2000", RES_M, outlines, dt.date(2000, 12, 31), recipe={"inventory": "other"})
    assert Objects(store.url).list("commits") == []
