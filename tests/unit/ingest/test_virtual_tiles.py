"""Tiles made when they are read hold the numbers of stored ones, bit for bit, whatever the window."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import Config, SceneConfig
from core.errors import PoisonError
from core.grid import Block, PixelWindow
from core.ingest import VirtualTiles, ingest_block
from core.search.store import BlockScenes
from core.tiles import TileRead, TileStore
from tests.made_scenes import BANDS, BLOCK, LATTICE, RES_M, ZONE, config, raster, scene, searching, truncate

# Four blocks and the corner they share.
BLOCKS = [Block(ZONE, BLOCK.row + i, BLOCK.col + j) for i in (0, 1) for j in (0, 1)]
CORNER = LATTICE.block_window(BLOCKS[3])
FIRST = LATTICE.block_window(BLOCKS[0])
OUTLINES = np.array(
    [shapely.box(b.bounds_m[0], b.bounds_m[1], b.bounds_m[2], b.bounds_m[3] - 9000) for b in BLOCKS], object
)
SENSORS = ["optical", "dem", "velocity"]
CASES = [
    ("optical", "first"), ("optical", "best_scene"), ("optical", "least_snow"), ("optical", "median"),
    ("dem", "mosaic"), ("velocity", "median"), ("sar_gamma0", "mosaic"),
]  # fmt: skip


@dataclass(frozen=True)
class Twins:
    """The same scenes, stored and virtual."""

    config: Config
    sensor: str
    store: TileStore
    virtual: VirtualTiles

    def stored(self, window: PixelWindow, bands: list[str]) -> TileRead:
        return self.store.read(self.config.epoch_of(self.sensor), ZONE, self.sensor, window, bands)


def scenes_over(folder: Path, sensor: str) -> list[dict]:
    """Four rasters of the next zone, somewhat turned against the lattice, with holes and clouds."""
    rng = np.random.default_rng(7)
    bands = {
        "optical": BANDS,
        "dem": {"elevation_m": 1},
        "velocity": {"v_m_a": 1, "vx_m_a": 2, "vy_m_a": 3},
        "sar_gamma0": {"vv_db": 1, "vh_db": 2},
    }[sensor]
    out = []
    for k in range(4):
        transform = Affine(150, 0, 1_040_000 + 2000 * k, 0, -150, 3_170_000 - 1500 * k)
        n = 520
        y, x = np.mgrid[:n, :n]
        if sensor == "optical":
            held = rng.integers(1, 9000, (6, n, n)).astype(np.uint16)
            nodata: float | None = 0
        else:
            smooth = 800 + 100 * np.sin(x / 13) * np.cos(y / 19) + rng.normal(0, 3, (n, n))
            held = np.stack([smooth / (i + 1) for i in range(len(bands))]).astype(np.float32)
            held = held / 100 - 20 if sensor == "sar_gamma0" else held
            nodata = -9999
        held[:, (x - 260) ** 2 + (y - 60 - 110 * k) ** 2 < 55**2] = nodata
        path = raster(folder / f"{sensor}{k}.tif", held, transform, "EPSG:32644", nodata=nodata, tiled=True)
        classes = np.where(rng.random((n, n)) < 0.2, 9, 4).astype(np.uint8)
        mask = raster(folder / f"{sensor}{k}-mask.tif", classes, transform, "EPSG:32644")
        out.append(
            scene(
                path, bands, f"{sensor}{k}", sensor, date=dt.date(2000, 7, 1 + k),
                mask={"path": str(mask), "invalid": [9]} if sensor == "optical" else None,
                **({"scale": 1e-4} if sensor == "optical" else {}),
            )
        )  # fmt: skip
    return out


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def twins(request, tmp_path_factory) -> Twins:
    sensor, strategy = request.param
    folder = tmp_path_factory.mktemp(sensor)
    made = config(*scenes_over(folder, sensor), composite=strategy)
    store = TileStore(str(folder / "tiles"))
    for block in BLOCKS:
        ingest_block(made, store, block, sensor, outlines_m=OUTLINES)
    return Twins(made, sensor, store, VirtualTiles(made, sensor, ZONE, lambda block: None, OUTLINES))


def assert_same(stored: TileRead, virtual: TileRead) -> None:
    assert (stored.window, stored.bands) == (virtual.window, virtual.bands)
    assert stored.values.tobytes() == virtual.values.tobytes()
    names = [np.array([*(s.id for s in read.scenes), ""])[read.scene] for read in (stored, virtual)]
    assert (names[0] == names[1]).all()
    assert set(virtual.scenes) <= set(stored.scenes)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.tuples(st.integers(0, 500), st.integers(1, 300)),
    cols=st.tuples(st.integers(0, 500), st.integers(1, 300)),
    data=st.data(),
)
def test_any_window_is_that_of_the_store(twins, rows, cols, data):
    names = list(twins.store.marker(twins.config.epoch_of(twins.sensor), twins.sensor, BLOCKS[3]).bands)
    bands = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    row, col = FIRST.row0 + rows[0], FIRST.col0 + cols[0]
    window = PixelWindow(row, row + rows[1], col, col + cols[1])
    held = PixelWindow(FIRST.row0, CORNER.row1, FIRST.col0, CORNER.col1)
    assert_same(twins.stored(window.intersect(held), bands), twins.virtual.read(window.intersect(held), bands))


def test_the_corner_of_four_blocks_with_every_band(twins):
    marker = twins.store.marker(twins.config.epoch_of(twins.sensor), twins.sensor, BLOCKS[0])
    window = PixelWindow(CORNER.row0 - 30, CORNER.row0 + 41, CORNER.col0 - 77, CORNER.col0 + 3)
    read = twins.virtual.read(window, list(marker.bands))
    assert_same(twins.stored(window, list(marker.bands)), read)
    assert read.observed.any() and read.bytes_read > 0
    assert ("slope_deg" in marker.bands) == (twins.sensor == "dem")


def test_an_empty_window_and_one_beyond_the_zone_are_not_observed(twins):
    band = twins.config.scenes[0].files[0].bands
    empty = twins.virtual.read(PixelWindow(100, 100, 5, 9), list(band))
    assert empty.values.shape == (len(band), 0, 4)
    beyond = twins.virtual.read(PixelWindow(-20, -10, 0, 10), list(band))
    assert not beyond.observed.any() and np.isnan(beyond.values).all()


def test_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = config(*scenes_over(tmp_path, "optical"), composite="median")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    VirtualTiles(made, "optical", ZONE, lambda block: None, OUTLINES).read(CORNER.pad(20), ["red"])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_was_found_is_read_like_what_is_listed(tmp_path):
    listed = scenes_over(tmp_path, "optical")
    answer = BlockScenes(tuple(SceneConfig.model_validate(s) for s in listed))
    found = VirtualTiles(searching("best_scene"), "optical", ZONE, lambda block: answer, OUTLINES)
    plain = VirtualTiles(config(*listed, composite="best_scene"), "optical", ZONE, lambda block: None, OUTLINES)
    window = CORNER.pad(15)
    assert_same(plain.read(window, ["red", "swir1"]), found.read(window, ["red", "swir1"]))


@pytest.mark.parametrize("searched", [False, True])
def test_a_poisoned_scene_is_an_error_that_names_file_and_block(searched, tmp_path):
    listed = scenes_over(tmp_path, "optical")
    truncate(tmp_path / "optical2.tif", 0.5)
    answer = BlockScenes(tuple(SceneConfig.model_validate(s) for s in listed))
    made = searching("median") if searched else config(*listed, composite="median")
    tiles = VirtualTiles(made, "optical", ZONE, partial(lambda block: answer if searched else None), OUTLINES)
    with pytest.raises(PoisonError, match=r"optical2\.tif \(scene optical2, block utm45n-r22"):
        tiles.read(CORNER.pad(100), ["red"])


def test_bands_are_those_of_the_scenes_of_each_tile(tmp_path):
    """The one difference: a stored block has the bands that all its scenes have, a virtual one looks tile by tile."""
    transform = LATTICE.transform(FIRST)
    whole = raster(tmp_path / "w.tif", np.full((1, 256, 256), 3000, np.uint16), transform)
    part = raster(tmp_path / "p.tif", np.full((2, 256, 100), 4000, np.uint16), transform)
    made = config(scene(part, {"red": 1, "nir": 2}, "part", scale=1e-4), scene(whole, {"red": 1}, "whole", scale=1e-4))
    tiles = VirtualTiles(made, "optical", ZONE, lambda block: None, OUTLINES)
    read = tiles.read(FIRST, ["red", "nir"])
    assert np.isfinite(read.values[0]).all()
    assert np.isnan(read.values[1]).all(), "one tile: as stored"
    assert tiles.lattice.res_m == RES_M
