"""Compositing against a naive reference, pixel by pixel: 65,536 pixels of every mixture of clear, cloud and nothing."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.ingest import composite, ingest_block
from core.ingest.compose import BlockComposer
from core.objects import Objects
from core.tiles import MAX_SCENES, TileRead, TileStore
from tests.made_scenes import (
    BANDS,
    BLOCK,
    LATTICE,
    WINDOW,
    XMAX,
    XMIN,
    YMAX,
    YMIN,
    composing,
    config,
    found,
    ingested,
    raster,
    scene,
    searching,
    stored,
)

SHAPE = WINDOW.shape
HALF = np.array([shapely.box(XMIN, YMIN, (XMIN + XMAX) / 2, YMAX)], object)  # glaciers: the western half
STEP = 1e-4
FEW = settings(max_examples=4, suppress_health_check=list(HealthCheck), deadline=None)


@dataclass
class Made:
    """Scenes on the lattice itself, so that ingest copies them, and what they hold: DN (scene, band, h, w)."""

    folder: Path
    scenes: list[dict] = field(default_factory=list)
    dn: list[np.ndarray] = field(default_factory=list)
    valid: list[np.ndarray] = field(default_factory=list)
    known: list[np.ndarray] = field(default_factory=list)

    def add(self, dn: np.ndarray, there: np.ndarray | None = None, clear: np.ndarray | None = None, **more) -> None:
        """dn: (6,) or (6, h, w); there: where the scene lies; clear: where no cloud is."""
        k = len(self.scenes)
        dn = np.broadcast_to(np.asarray(dn).reshape(6, *(np.shape(dn)[1:] or (1, 1))), (6, *SHAPE)).astype(np.uint16)
        there = np.ones(SHAPE, bool) if there is None else there
        clear = np.ones(SHAPE, bool) if clear is None else clear
        name = more.pop("name", f"s{k}")
        path = raster(self.folder / f"{name}.tif", np.where(there, dn, 0), LATTICE.transform(WINDOW), nodata=0)
        classes = np.where(clear, 4, 9).astype(np.uint8)
        mask = raster(self.folder / f"{name}_scl.tif", classes, LATTICE.transform(WINDOW))
        date = more.pop("date", dt.date(2000, 7, 1) + dt.timedelta(days=k))
        self.scenes.append(
            scene(path, BANDS, name, mask={"path": str(mask), "invalid": [9]}, scale=STEP, date=date, **more)
        )
        self.dn.append(dn)
        self.valid.append(there & clear)
        self.known.append(there)

    def config(self, strategy: str):
        return config(*self.scenes, composite=strategy)


def random_world(folder: Path, seed: int, n: int, there: float, clear: float) -> Made:
    rng, made = np.random.default_rng(seed), Made(folder / f"w{seed}-{n}-{there}-{clear}")
    made.folder.mkdir(exist_ok=True)
    for _ in range(n):
        made.add(rng.integers(1, 10_000, (6, *SHAPE)), rng.random(SHAPE) < there, rng.random(SHAPE) < clear)
    return made


def names(read: TileRead) -> np.ndarray:
    """(h, w) id of the scene of each pixel, '' where not observed."""
    return np.array([*(s.id for s in read.scenes), ""])[read.scene]


def ranks(made: Made) -> list[int]:
    """Scenes by the cost of the score, naively, the western half being glaciers; then the newest."""
    west = np.zeros(SHAPE, bool)
    west[:, : SHAPE[1] // 2] = True

    def key(k: int) -> tuple[float, float]:
        dn = made.dn[k].astype(float)
        hidden = (made.known[k] & ~made.valid[k] & west).sum()
        clear = (made.valid[k] & west).sum()
        cover, cloud = (hidden + clear) / west.sum(), hidden / max(1, hidden + clear)
        ground = made.valid[k] & ~west
        snow = ((dn[1] - dn[4]) / (dn[1] + dn[4]) > 0.4)[ground].mean() if ground.any() else 1.0
        cost = 1 - round(cover, 6) * (1 - round(cloud, 6)) + 0.5 * round(float(snow), 6)
        return cost, -dt.date.fromisoformat(made.scenes[k]["date"]).toordinal()

    return sorted(range(len(made.scenes)), key=key)


def reference_first(made: Made, order: list[int]) -> tuple[np.ndarray, np.ndarray]:
    values, name = np.full((6, *SHAPE), np.nan), np.full(SHAPE, "", dtype="<U8")
    for k in reversed(order):
        values[:, made.valid[k]] = made.dn[k][:, made.valid[k]]
        name[made.valid[k]] = made.scenes[k]["id"]
    return values, name


def reference_least_snow(made: Made, order: list[int]) -> tuple[np.ndarray, np.ndarray]:
    keys = []
    for k in order:
        blue, green, swir = (made.dn[k][b] * STEP for b in (0, 1, 4))
        ndsi = (green - swir) / (green + swir)
        keys.append(np.where(made.valid[k], ndsi + 2 * ((blue > 0.30) & (swir > 0.20)), np.inf))
    best = np.argmin(keys, axis=0)
    dn = np.stack([made.dn[k] for k in order]).astype(float)
    values = np.take_along_axis(dn, best[None, None], axis=0)[0]
    seen = np.any([made.valid[k] for k in order], axis=0)
    name = np.array([made.scenes[k]["id"] for k in order])[best]
    return np.where(seen, values, np.nan), np.where(seen, name, "")


def reference_median(made: Made, order: list[int], most: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """(median, for every pixel the scenes in it: (scene, h, w) by the order)."""
    valid = np.stack([made.valid[k] for k in order])
    valid &= np.cumsum(valid, axis=0) <= most
    dn = np.where(valid[:, None], np.stack([made.dn[k] for k in order]).astype(float), np.nan)
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(RuntimeWarning)
        return np.nanmedian(dn, axis=0), dn


def same(read: TileRead, values: np.ndarray, tolerance: float = 0.1) -> None:
    assert (read.observed == np.isfinite(values[0])).all()
    assert np.nanmax(np.abs(read.values / STEP - values)) < tolerance


# --------------------------------------------------------------------------- against a naive reference


@FEW
@given(
    seed=st.integers(0, 999), n=st.integers(1, 7), there=st.sampled_from([0.3, 1.0]), clear=st.sampled_from([0.2, 0.8])
)
@pytest.mark.parametrize("strategy", ["first", "best_scene", "least_snow", "median"])
def test_a_composite_is_that_of_a_naive_reference(strategy, seed, n, there, clear, tmp_path):
    made = random_world(tmp_path, seed, n, there, clear)
    read = ingested(
        TileStore(f"memory://{tmp_path.name}{strategy}{seed}{n}{there}{clear}/t"),
        made.config(strategy),
        outlines_m=HALF,
    )
    order = list(range(n)) if strategy == "first" else ranks(made)
    if strategy == "median":
        values, dn = reference_median(made, order, 24)
        same(read, values, 0.51)
        chosen = names(read)
        away = np.nansum(np.abs(dn - values), axis=1) + np.where(np.isfinite(dn[:, 0]), 0, np.inf)
        for i, k in enumerate(order):
            mine = chosen == made.scenes[k]["id"]
            assert made.valid[k][mine].all(), "the scene of a pixel observed it"
            assert (away[i] <= away.min(axis=0) + 1.5)[mine].all(), "and is the nearest to the median"
        return
    reference = reference_least_snow if strategy == "least_snow" else reference_first
    values, name = reference(made, order)
    same(read, values)
    assert (names(read) == name).mean() > 0.9999  # NDSI of two scenes may tie but for float32
    assert strategy == "least_snow" or (names(read) == name).all()


def test_a_median_takes_so_many_scenes_of_every_pixel_and_no_pixel_goes_without(tmp_path, monkeypatch):
    """More scenes than are taken, each of which holds a part of the block."""
    monkeypatch.setattr(composite, "MEDIAN_SCENES", 3)
    made = random_world(tmp_path, 5, 9, 0.25, 0.9)
    read = ingested(TileStore(f"memory://{tmp_path.name}/few"), made.config("median"), outlines_m=HALF)
    values, dn = reference_median(made, ranks(made), 3)
    same(read, values, 0.51)
    assert (read.observed == np.any(made.valid, axis=0)).all()
    assert np.isfinite(dn[:, 0]).sum(axis=0).max() == 3


def test_bands_that_a_scene_lacks_do_not_make_it_the_nearest(tmp_path):
    made = Made(tmp_path)
    for dn in (1000, 2000, 3000):
        made.add([dn] * 6)
    del made.scenes[2]["files"][0]["bands"]["swir2"]
    read = ingested(TileStore(f"memory://{tmp_path.name}/l"), made.config("median"))
    assert read.values[:5] == pytest.approx(0.2)
    assert (names(read) == "s1").all()


# ------------------------------------------------------------------------------------ snow and cloud

ROCK = [1000, 1200, 1400, 1800, 2200, 2000]
ICE = [5000, 5200, 5000, 4500, 600, 500]
SNOW = [8500, 8600, 8500, 7500, 900, 700]
THIN_CLOUD = [4500, 4400, 4400, 4800, 4000, 3500]


def test_least_snow_keeps_the_ground_under_fresh_snow_and_the_snow_rather_than_cloud(tmp_path):
    third = np.arange(SHAPE[1]) * 3 // SHAPE[1]
    west, middle, east = (np.broadcast_to(third == i, SHAPE) for i in range(3))

    def mixed(a, b, c):
        return np.select([west[None], middle[None], east[None]], [np.array(v).reshape(6, 1, 1) for v in (a, b, c)])

    made = Made(tmp_path)
    made.add(mixed(SNOW, SNOW, THIN_CLOUD), name="winter")
    made.add(mixed(ROCK, THIN_CLOUD, SNOW), name="summer")
    made.add(mixed(THIN_CLOUD, ICE, THIN_CLOUD), name="hazy")
    read = ingested(TileStore(f"memory://{tmp_path.name}/l"), made.config("least_snow"))
    assert (names(read)[:, [10, 128, 250]] == ["summer", "hazy", "summer"]).all()
    np.testing.assert_allclose(read.values[:, 0, 10] / STEP, ROCK, atol=0.1)
    np.testing.assert_allclose(read.values[:, 0, 128] / STEP, ICE, atol=0.1)
    np.testing.assert_allclose(read.values[:, 0, 250] / STEP, SNOW, atol=0.1)


def test_shadow_below_zero_is_not_the_least_snow(tmp_path):
    """Corrected for the atmosphere shadow is a little below 0; of that no index can be told."""
    made = Made(tmp_path)
    made.add([1000] * 6, name="dark")
    made.scenes[0]["files"][0]["offset"] = -0.102  # all bands −0.002
    made.add(ROCK, name="rock")
    read = ingested(TileStore(f"memory://{tmp_path.name}/l"), made.config("least_snow"))
    assert (names(read) == "rock").all()


def test_a_cloudy_first_scene_loses_against_a_clear_one_and_both_scores_are_kept(store, tmp_path):
    made, cloudy = Made(tmp_path), np.ones(SHAPE, bool)
    cloudy[:, 16:112] = False  # three quarters of the glaciers
    made.add(ROCK, clear=cloudy, name="cloudy")
    made.add(ICE, name="clear")
    marker = ingest_block(made.config("best_scene"), store, BLOCK, "optical", outlines_m=HALF)
    assert [s.id for s in marker.scenes] == ["clear"]
    assert [s.id for s in marker.scores] == ["clear", "cloudy"]
    assert marker.scores[1].cloud == pytest.approx(0.75, abs=0.02)
    assert (marker.scores[0].cloud, marker.scores[0].coverage) == (0.0, 1.0)
    assert {(r.id, r.reason) for r in marker.rejected} == set()
    assert marker.observed_fraction == 1


def test_of_equal_cloud_the_scene_with_less_snow_beside_the_glaciers_wins(store, tmp_path):
    made = Made(tmp_path)
    made.add(SNOW, name="snowy")
    made.add(ROCK, name="bare")
    marker = ingest_block(made.config("best_scene"), store, BLOCK, "optical", outlines_m=HALF)
    assert [s.id for s in marker.scenes] == ["bare"]
    assert [(s.id, s.snow) for s in marker.scores] == [("bare", 0.0), ("snowy", 1.0)]


def test_half_a_scene_without_cloud_loses_against_a_whole_one_with_a_little(store, tmp_path):
    made, west, spot = Made(tmp_path), np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    west[:, :64] = True  # half of the glaciers
    spot[:26, :] = False
    made.add(ROCK, there=west, name="half")
    made.add(ROCK, clear=spot, name="whole")
    marker = ingest_block(made.config("best_scene"), store, BLOCK, "optical", outlines_m=HALF)
    assert [s.id for s in marker.scores] == ["whole", "half"]
    assert marker.scores[1].coverage == pytest.approx(0.5)
    assert [s.id for s in marker.scenes] == ["whole", "half"], "the half fills what the cloud hides"


def test_of_scenes_that_are_alike_the_newest_wins_and_then_the_name(store, tmp_path):
    made = Made(tmp_path)
    made.add(ROCK, name="old", date=dt.date(2000, 7, 1))
    made.add(ROCK, name="new-b", date=dt.date(2000, 9, 1))
    made.add(ROCK, name="new-a", date=dt.date(2000, 9, 1))
    marker = ingest_block(made.config("best_scene"), store, BLOCK, "optical", outlines_m=HALF)
    assert [s.id for s in marker.scores] == ["new-a", "new-b", "old"]
    made.scenes.reverse()
    again = ingest_block(made.config("best_scene"), TileStore(f"{store.url}/2"), BLOCK, "optical", outlines_m=HALF)
    assert again.scores == marker.scores


def test_a_scene_that_shows_nothing_of_the_glaciers_is_left_out_with_its_reason(store, tmp_path):
    made, east, west = Made(tmp_path), np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    east[:, 200:] = True
    west[:, :130] = False
    made.add(ROCK, there=east, name="beside")
    made.add(ROCK, there=east, clear=~east, name="cloudy-beside")
    made.add(ROCK, clear=west, name="cloud-over-them")
    marker = ingest_block(made.config("best_scene"), store, BLOCK, "optical", outlines_m=HALF)
    assert {r.id: r.reason for r in marker.rejected} == {
        "beside": "no pixel over the glaciers of the block",
        "cloudy-beside": "no pixel over the glaciers of the block",
        "cloud-over-them": "all cloud over the glaciers of the block",
    }
    assert marker.observed_fraction == 0


def test_one_clear_pixel_over_many_glaciers_is_not_nothing(store, tmp_path):
    made, one = Made(tmp_path), np.zeros(SHAPE, bool)
    one[7, 7] = True
    made.add(ROCK, there=one, name="corner")
    everywhere = np.array([shapely.box(XMIN, YMIN, XMAX, YMAX)], object)
    marker = ingest_block(made.config("best_scene"), store, BLOCK, "optical", outlines_m=everywhere)
    assert [s.id for s in marker.scenes] == ["corner"]
    assert marker.observed_fraction == 1 / one.size


@pytest.mark.parametrize("strategy", ["first", "best_scene", "least_snow", "median"])
def test_a_block_under_cloud_is_committed_as_not_observed_with_the_reasons(strategy, store, tmp_path):
    made = Made(tmp_path)
    for _ in range(3):
        made.add(ROCK, clear=np.zeros(SHAPE, bool))
    marker = ingest_block(made.config(strategy), store, BLOCK, "optical", outlines_m=HALF)
    assert (marker.observed_fraction, marker.scenes, marker.bytes) == (0.0, (), 0)
    assert {r.id for r in marker.rejected} == {"s0", "s1", "s2"}
    assert all("cloud" in r.reason for r in marker.rejected)
    assert store.committed("2000", "optical") == {BLOCK.name}
    assert not stored(store, made.config(strategy)).observed.any()


@pytest.mark.parametrize("strategy", ["best_scene", "least_snow", "median"])
def test_a_block_without_glaciers_is_ranked_as_a_whole(strategy, store, tmp_path):
    made, cloudy = Made(tmp_path), np.ones(SHAPE, bool)
    cloudy[:100] = False
    made.add(ROCK, clear=cloudy, name="cloudy")
    made.add(ROCK, name="clear")
    marker = ingest_block(made.config(strategy), store, BLOCK, "optical")
    assert [s.id for s in marker.scores] == ["clear", "cloudy"]
    assert marker.scores[1].cloud == pytest.approx(100 / 256, abs=0.01)
    assert marker.observed_fraction == 1


# --------------------------------------------------------------------------------- many and the same


def test_scenes_that_overlap_in_part_fill_each_other(store, tmp_path):
    made = Made(tmp_path)
    for k in range(4):
        there = np.zeros(SHAPE, bool)
        there[:, k * 50 : k * 50 + 90] = True
        made.add([1000 * (k + 1)] * 6, there=there)
    read = ingested(store, made.config("median"))
    assert (read.observed[0] == (np.arange(256) < 240)).all()
    by_column = read.values[2, 100]
    assert by_column[[20, 60, 95, 110, 160, 239]] == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.35, 0.4])


@pytest.mark.parametrize("strategy", ["first", "mosaic"])
def test_of_three_hundred_scenes_those_beyond_what_a_block_can_name_are_said(strategy, store, tmp_path):
    scenes = []
    for k in range(300):
        row, col = divmod(k, 18)
        there = LATTICE.transform(WINDOW) @ LATTICE.transform(WINDOW).translation(col * 14, row * 14)
        path = raster(tmp_path / f"{k}.tif", np.full((6, 16, 16), 1000 + k, np.uint16), there)
        scenes.append(scene(path, BANDS, f"s{k:03d}", scale=STEP))
    marker = ingest_block(config(*scenes, composite=strategy), store, BLOCK, "optical")
    assert 200 < len(marker.scenes) <= MAX_SCENES
    beyond = [r for r in marker.rejected if "beyond the 254 scenes" in r.reason]
    assert len(beyond) == 300 - MAX_SCENES
    read = stored(store, config(*scenes, composite=strategy))
    assert read.scene.max() == len(marker.scenes) - 1
    for k in (0, 3, 100, 253) if strategy == "first" else ():
        row, col = divmod(k, 18)
        assert names(read)[row * 14 + 8, col * 14 + 8] == f"s{k:03d}"


def test_what_was_found_and_is_listed_as_well_is_one_scene(store, tmp_path):
    made = Made(tmp_path)
    made.add(ROCK)
    marker = ingest_block(made.config("median"), store, BLOCK, "optical", found=found(*made.scenes))
    assert [s.id for s in marker.scenes] == [s.id for s in marker.scores] == ["s0"]


def shards(store: TileStore) -> dict[str, bytes]:
    """Every object but the random id of the writer."""
    objects = Objects(store.url)
    out = {key: objects.get(key) for key, _ in objects.list()}
    for key in [key for key in out if "commits" in key]:
        marker = json.loads(out[key])
        marker.pop("write_id")
        out[key] = json.dumps(marker).encode()
    return out


@pytest.mark.parametrize("strategy", ["best_scene", "median"])
def test_the_same_bytes_come_out_whatever_order_the_threads_ran_in(strategy, s3_url, tmp_path):
    """Files in S3 are read side by side; each band is a file of its own."""
    rng, client, bucket = np.random.default_rng(1), boto3.client("s3"), s3_url.removeprefix("s3://")
    scenes = []
    for k in range(2):
        files = []
        for band in list(BANDS)[:4]:
            dn = np.where(rng.random(SHAPE) < 0.7, rng.integers(1, 10_000, SHAPE), 0).astype(np.uint16)
            path = raster(tmp_path / f"{k}{band}.tif", dn, LATTICE.transform(WINDOW), nodata=0, tiled=True)
            client.upload_file(str(path), bucket, f"{strategy}/{path.name}")
            files.append({"path": f"{s3_url}/{strategy}/{path.name}", "bands": {band: 1}, "scale": STEP})
        scenes.append({**scene("x", BANDS, f"s{k}", date=dt.date(2000, 7, 1 + k)), "files": files})
    local = [{**s, "files": [{**f, "path": str(tmp_path / Path(f["path"]).name)} for f in s["files"]]} for s in scenes]
    out = []
    for i, listed in enumerate((scenes, local)):
        store = TileStore(f"memory://{tmp_path.name}{i}/t")
        ingest_block(searching(strategy), store, BLOCK, "optical", found=found(*listed), outlines_m=HALF)
        out.append(shards(store))
    assert out[0] == out[1]
    assert len(out[0]) > 3


@pytest.mark.parametrize("strategy", ["first", "least_snow", "median", "mosaic"])
def test_a_tile_does_not_depend_on_the_tiles_made_with_it(strategy, tmp_path, monkeypatch):
    monkeypatch.setattr("core.ingest.compose.TILE_PX", 128)
    monkeypatch.setattr("core.ingest.composite._STACK_BYTES", 1)
    made = random_world(tmp_path, 3, 4, 0.5, 0.8)
    with composing(made.config(strategy), "optical", BLOCK, outlines_m=HALF) as forward:
        tiles = list(forward.tiles(forward.window))
        assert len(tiles) == 4
        ahead = [(values, number) for _, values, number in forward.composites(tiles)]
    with composing(made.config(strategy), "optical", BLOCK, outlines_m=HALF) as other:
        back = [other.tile(tile) for tile in reversed(tiles)][::-1]
    for one, two in zip(ahead, back, strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])


def test_the_whole_block_is_its_tiles(tmp_path, monkeypatch):
    monkeypatch.setattr("core.ingest.compose.TILE_PX", 100)
    made = random_world(tmp_path, 4, 3, 0.5, 0.8)
    with composing(made.config("least_snow"), "optical", BLOCK) as composer:
        values, number = composer.whole()
        assert isinstance(composer, BlockComposer) and values.shape == (6, 256, 256)
        assert len(list(composer.tiles(composer.window))) == 9
        for tile in composer.tiles(composer.window):
            np.testing.assert_array_equal(composer.tile(tile)[1], number[tile.slices(composer.window)])
