"""Bad scenes, file by file: what was searched is left out with its reason, what is listed is an error that names it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import boto3
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.enums import Resampling

from core.errors import PoisonError, RefusedError
from core.grid import Lattice
from core.ingest import ingest_block
from core.ingest import raster as raster_module
from core.tiles import TileStore
from tests.made_scenes import (
    BANDS,
    BLOCK,
    LATTICE,
    UTM,
    config,
    flat,
    found,
    grid,
    raster,
    scene,
    searching,
    stored,
    truncate,
)
from tests.tiny_world import refusing_s3

GOOD, BAD = 0.25, 0.75


def written(folder: Path, name: str, value: float, **more) -> Path:
    """Six bands of one value with noise in the last digits, so that nothing of it packs to nothing."""
    transform, rows, cols = grid()
    noise = np.random.default_rng(0).integers(-3, 4, (6, rows, cols))
    dn = (value * 1e4 + noise).astype(np.uint16)
    more = {"compress": "deflate", "tiled": True, "blockxsize": 128, "blockysize": 128, **more}
    return raster(folder / name, dn, more.pop("transform", transform), more.pop("crs", UTM), **more)


def good(folder: Path) -> dict:
    return scene(written(folder, "good.tif", GOOD), BANDS, "good", scale=1e-4)


def whole(folder: Path, **file) -> dict:
    """A scene that would be preferred, were it not bad: newer, and first in the list."""
    return scene(written(folder, "bad.tif", BAD), BANDS, "bad", scale=1e-4, **file)


def cut_short(folder: Path) -> dict:
    made = whole(folder)
    truncate(folder / "bad.tif", 0.6)
    return made


def cut_in_the_header(folder: Path) -> dict:
    made = whole(folder)
    truncate(folder / "bad.tif", 0.0005)
    return made


def cut_cog(folder: Path) -> dict:
    """A cloud-optimised file: header and reduced copies lie in front and are whole."""
    made = scene(folder / "bad.tif", BANDS, "bad", scale=1e-4)
    path = written(folder, "plain.tif", BAD, overviews=(2, 4))

    rasterio.shutil.copy(path, folder / "bad.tif", driver="COG", compress="deflate", blocksize=128)
    truncate(folder / "bad.tif", 0.7)
    return made


def not_there(folder: Path) -> dict:
    return scene(folder / "bad.tif", BANDS, "bad", scale=1e-4)


def no_raster(folder: Path) -> dict:
    (folder / "bad.tif").write_text("<html>Please log in</html>")
    return not_there(folder)


def missing_band(folder: Path) -> dict:
    transform, rows, cols = grid()
    raster(folder / "bad.tif", np.full((4, rows, cols), 7500, np.uint16), transform)
    return not_there(folder)


def another_crs(folder: Path) -> dict:
    return whole(folder, crs="EPSG:32644")


def unknown_crs(folder: Path) -> dict:
    return whole(folder, crs="EPSG:99999")


def no_crs(folder: Path) -> dict:
    written(folder, "bad.tif", BAD, crs=None)
    return not_there(folder)


def broken_mask(folder: Path) -> dict:
    transform, rows, cols = grid()
    classes = np.random.default_rng(0).integers(0, 9, (rows, cols)).astype(np.uint8)
    mask = raster(
        folder / "bad_mask.tif", classes, transform, compress="deflate", tiled=True, blockxsize=64, blockysize=64
    )
    truncate(mask, 0.6)
    return {**whole(folder), "mask": {"path": str(mask), "invalid": [9]}}


POISONED: dict[str, tuple[Callable[[Path], dict], str]] = {
    "truncated": (cut_short, "bad.tif"),
    "truncated-header": (cut_in_the_header, "bad.tif"),
    "truncated-cog": (cut_cog, "bad.tif"),
    "gone": (not_there, "bad.tif"),
    "no-raster": (no_raster, "bad.tif"),
    "missing-band": (missing_band, "found 4 bands; expected band 6"),
    "another-crs": (another_crs, "found CRS WGS 84 / UTM zone 45N; expected EPSG:32644"),
    "unknown-crs": (unknown_crs, "found CRS 'EPSG:99999'"),
    "no-crs": (no_crs, "found no CRS"),
    "broken-mask": (broken_mask, "bad_mask.tif"),
}


@pytest.mark.parametrize("strategy", ["first", "best_scene", "median"])
@pytest.mark.parametrize("what", POISONED)
def test_a_searched_scene_that_cannot_be_read_is_left_out_and_the_others_are_used(what, strategy, tmp_path):
    make, _ = POISONED[what]
    made = searching(strategy)
    store = TileStore(str(tmp_path / "tiles"))
    marker = ingest_block(made, store, BLOCK, "optical", found=found(make(tmp_path), good(tmp_path)))
    assert [s.id for s in marker.scenes] == ["good"]
    assert marker.observed_fraction == 1
    (left_out,) = marker.rejected
    assert left_out.id == "bad"
    assert left_out.reason.startswith(f"cannot be read: {tmp_path}/bad")
    assert f"(scene bad, block {BLOCK.name})" in left_out.reason
    assert np.abs(stored(store, made).values - GOOD).max() < 4e-4


@pytest.mark.parametrize("strategy", ["first", "median"])
@pytest.mark.parametrize("what", POISONED)
def test_a_listed_scene_that_cannot_be_read_is_an_error_that_names_file_and_block(what, strategy, tmp_path):
    make, says = POISONED[what]
    store = TileStore(str(tmp_path / "tiles"))
    with pytest.raises(PoisonError) as error:
        ingest_block(config(make(tmp_path), good(tmp_path), composite=strategy), store, BLOCK, "optical")
    assert f"(scene bad, block {BLOCK.name})" in str(error.value)
    assert says in str(error.value)
    assert not store.committed("2000", "optical")


def test_a_listed_scene_is_an_error_even_beside_searched_ones(tmp_path):
    listed, searched = cut_short(tmp_path), good(tmp_path)
    with pytest.raises(PoisonError, match=r"bad\.tif"):
        ingest_block(config(listed), TileStore(str(tmp_path / "t")), BLOCK, "optical", found=found(searched))


def test_what_a_bad_scene_gave_before_it_broke_is_taken_back(tmp_path):
    """The first rows of the file can be read; nothing of them stays."""
    made = searching("first")
    store = TileStore(str(tmp_path / "tiles"))
    whole(tmp_path)
    path = truncate(tmp_path / "bad.tif", 0.9)
    ingest_block(made, store, BLOCK, "optical", found=found(scene(path, BANDS, "bad", scale=1e-4), good(tmp_path)))
    assert np.abs(stored(store, made).values - GOOD).max() < 4e-4


def test_all_of_the_searched_scenes_may_be_bad(tmp_path):
    store, scenes = TileStore(str(tmp_path / "tiles")), []
    for k in range(3):
        path = truncate(written(tmp_path, f"{k}.tif", BAD), 0.5)
        scenes.append(scene(path, BANDS, f"s{k}", scale=1e-4))
    marker = ingest_block(searching("median"), store, BLOCK, "optical", found=found(*scenes))
    assert (marker.observed_fraction, marker.scenes) == (0.0, ())
    assert {r.id for r in marker.rejected} == {"s0", "s1", "s2"}
    assert store.committed("2000", "optical") == {BLOCK.name}


@pytest.mark.parametrize("strategy", ["first", "best_scene", "median"])
def test_a_scene_beside_the_block_is_said_to_be_there(strategy, tmp_path):
    far = written(tmp_path, "far.tif", BAD, transform=grid()[0] @ Affine.translation(5000, 0))
    listed = found(scene(far, BANDS, "far", scale=1e-4), good(tmp_path))
    marker = ingest_block(searching(strategy), TileStore(str(tmp_path / "t")), BLOCK, "optical", found=listed)
    assert [s.id for s in marker.scenes] == ["good"]
    assert {r.id: r.reason for r in marker.rejected} == {"far": "outside the block"}


@pytest.mark.parametrize("strategy", ["first", "best_scene", "median"])
def test_a_scene_all_under_cloud_is_said_to_be_so(strategy, tmp_path):
    classes, transform = flat(9, dtype="uint8")
    mask = raster(tmp_path / "scl.tif", classes, transform)
    cloudy = {**whole(tmp_path), "mask": {"path": str(mask), "invalid": [9]}}
    store = TileStore(str(tmp_path / "t"))
    marker = ingest_block(searching(strategy), store, BLOCK, "optical", found=found(cloudy, good(tmp_path)))
    assert [s.id for s in marker.scenes] == ["good"]
    (reason,) = (r.reason for r in marker.rejected)
    assert "cloud" in reason


def test_a_scene_of_nothing_but_nodata_is_said_to_be_so(tmp_path):
    transform, rows, cols = grid()
    empty = raster(tmp_path / "empty.tif", np.zeros((6, rows, cols), np.uint16), transform, nodata=0)
    listed = found(scene(empty, BANDS, "empty", scale=1e-4), good(tmp_path))
    marker = ingest_block(searching("first"), TileStore(str(tmp_path / "t")), BLOCK, "optical", found=listed)
    assert {r.id: r.reason for r in marker.rejected} == {"empty": "no valid pixel in the block"}


# ------------------------------------------------------------------------------------------------- S3


def put(s3_url: str, path: Path, folder: str) -> str:
    boto3.client("s3").upload_file(str(path), s3_url.removeprefix("s3://"), f"{folder}/{path.name}")
    return f"{s3_url}/{folder}/{path.name}"


def moved(made: dict, s3_url: str, folder: str) -> dict:
    """The scene, its files in S3; what is not there stays away."""
    files = []
    for file in made["files"]:
        path = Path(file["path"])
        there = f"{s3_url}/{folder}/{path.name}"
        files.append({**file, "path": put(s3_url, path, folder) if path.exists() else there})
    return {**made, "files": files}


@pytest.mark.parametrize(
    "what", ["truncated", "truncated-cog", "truncated-header", "gone", "missing-band", "another-crs"]
)
def test_a_searched_scene_in_s3_that_cannot_be_read_is_left_out(what, s3_url, tmp_path):
    """A cut file is told from a cut connection, which would be worth another attempt."""
    make, _ = POISONED[what]
    scenes = found(moved(make(tmp_path), s3_url, what), moved(good(tmp_path), s3_url, what))
    store = TileStore(str(tmp_path / "tiles"))
    marker = ingest_block(searching("best_scene"), store, BLOCK, "optical", found=scenes)
    assert [s.id for s in marker.scenes] == ["good"]
    assert [r.id for r in marker.rejected] == ["bad"]
    assert marker.rejected[0].reason.startswith(f"cannot be read: {s3_url}/{what}/bad.tif")


def test_a_listed_scene_in_s3_that_is_cut_is_poison(s3_url, tmp_path):
    made = moved(cut_short(tmp_path), s3_url, "listed")
    with pytest.raises(PoisonError, match=r"ends before its pixels do"):
        ingest_block(config(made), TileStore(str(tmp_path / "t")), BLOCK, "optical")


@pytest.mark.parametrize("searched", [False, True])
def test_refused_access_is_no_bad_scene_but_stops(searched, tmp_path, monkeypatch):
    made, other = scene("s3://somewhere/a.tif", BANDS, "bad"), good(tmp_path)
    raster_module._read_header.cache_clear()
    with refusing_s3() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings = searching("median") if searched else config(made, other, composite="median")
        more = {"found": found(made, other)} if searched else {}
        store = TileStore(str(tmp_path / "t"))
        with pytest.raises(RefusedError, match=r"s3://somewhere/a\.tif \(scene bad, block"):
            ingest_block(settings, store, BLOCK, "optical", **more)
    assert not store.committed("2000", "optical")


def test_a_jpeg_2000_that_is_cut_is_poison(tmp_path):
    """The archives' other format: read whole, and refused when cut."""

    transform, rows, cols = grid(60.0)
    lattice = Lattice(BLOCK.zone, 120)
    dn = np.random.default_rng(0).integers(1000, 4000, (1, rows, cols)).astype(np.uint16)
    path = tmp_path / "a.jp2"
    with rasterio.open(
        path, "w", "JP2OpenJPEG", cols, rows, 1, UTM, transform, "uint16", QUALITY="100", REVERSIBLE="YES"
    ) as d:
        d.write(dn)
    shutil.copy(path, tmp_path / "cut.jp2")
    tif = raster(tmp_path / "a.tif", dn, transform)
    store = TileStore(str(tmp_path / "t"))
    made = config(scene(path, {"red": 1}, scale=1e-4))
    ingest_block(made, store, BLOCK, "optical")
    same = config(scene(tif, {"red": 1}, scale=1e-4))
    other = TileStore(str(tmp_path / "o"))
    ingest_block(same, other, BLOCK, "optical")
    np.testing.assert_array_equal(stored(store, made).values, stored(other, same).values)
    assert lattice == LATTICE
    truncate(tmp_path / "cut.jp2", 0.5)
    with pytest.raises(PoisonError, match=r"cut\.jp2"):
        ingest_block(config(scene(tmp_path / "cut.jp2", {"red": 1})), TileStore(str(tmp_path / "c")), BLOCK, "optical")


def test_resampled_copies_are_not_needed(tmp_path):
    """A look reads reduced copies where there are some, and comes to the same choice without them."""
    cloud, transform = flat(4, dtype="uint8")
    cloud[:, :150] = 9
    chosen = []
    for copies in ((), (2, 4)):
        folder = tmp_path / str(len(copies))
        folder.mkdir()
        fine = Affine(20, 0, transform.c, 0, -20, transform.f)
        dn = np.full((6, 1640, 1640), 2500, np.uint16)
        path = raster(folder / "a.tif", dn, fine, overviews=copies)
        clear = raster(folder / "b.tif", dn, fine, overviews=copies)
        mask = raster(folder / "m.tif", cloud, transform, overviews=copies, resampling=Resampling.nearest)
        scenes = (
            {**scene(path, BANDS, "cloudy", scale=1e-4), "mask": {"path": str(mask), "invalid": [9]}},
            scene(clear, BANDS, "clear", scale=1e-4),
        )
        marker = ingest_block(
            searching("best_scene"), TileStore(str(folder / "t")), BLOCK, "optical", found=found(*scenes)
        )
        chosen.append([(s.id, round(s.cloud, 1)) for s in marker.scores])
    assert chosen[0] == chosen[1] == [("clear", 0.0), ("cloudy", 0.5)]
