"""The tile store: whole aligned blocks in, any window out, and nothing that could pass for data when it is not."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import obstore
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import CRS

from core.errors import ConfigError, PoisonError, SystemicError, TransientError
from core.grid import Block, Lattice, PixelWindow, Zone
from core.layout import TileLayout
from core.objects import Objects, zarr_location
from core.sensors import SENSORS, sensor
from core.tiles import RejectedScene, SceneRef, TileMarker, TileStore, open_sensor

ZONE = Zone("utm45n")
RES_M = 120  # the smallest blocks: 256 px
LATTICE = Lattice(ZONE, RES_M)
FINE = Lattice(ZONE, 60)
LEFT, RIGHT = Block(ZONE, 226, 15), Block(ZONE, 226, 16)
OCTOBER = SceneRef("october", dt.date(2000, 10, 30), "optical")
MARCH = SceneRef("march", dt.date(2001, 3, 2), "optical")
STORES = [("memory", "obstore"), ("file", "obstore"), ("file", "fsspec"), ("s3", "obstore"), ("s3", "fsspec")]


@pytest.fixture(params=STORES, ids="-".join)
def store(request, tmp_path) -> TileStore:
    """A tile store on every kind of storage."""
    return TileStore(_url(request, request.param[0], tmp_path), request.param[1])


@pytest.fixture
def disk(tmp_path) -> TileStore:
    made = TileStore(str(tmp_path / "tiles"))
    made.create("2000", ZONE, "optical", RES_M, {})
    return made


def _url(request, scheme, tmp_path) -> str:
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    if scheme == "s3":
        return f"{request.getfixturevalue('s3_url')}/{name}"
    return f"memory://{name}/tiles" if scheme == "memory" else str(tmp_path / "tiles")


def reflectance(seed: int = 0, n_bands: int = 6, lattice: Lattice = LATTICE) -> np.ndarray:
    n = lattice.block_px
    return np.random.default_rng(seed).uniform(-0.1, 1.2, (n_bands, n, n)).astype(np.float32)


def numbers(lattice: Lattice = LATTICE) -> np.ndarray:
    """Scene numbers of a block: 0 in the upper quarter, then 1, then 2 in the right half."""
    n = lattice.block_px
    scene = np.ones((n, n), dtype=np.uint8)
    scene[:, n // 2 :] = 2
    scene[: n // 4] = 0
    return scene


def write(
    store: TileStore, block: Block = LEFT, values=None, scene=None, scenes=(OCTOBER, MARCH), **kwargs
) -> TileMarker:
    values = reflectance() if values is None else values
    scene = numbers() if scene is None else scene
    window = kwargs.pop("window", LATTICE.block_window(block))
    return store.write_block("2000", "optical", block, window, values, scene, scenes=scenes, **kwargs)


def shard(store: TileStore, array: str = "optical", block: Block = LEFT) -> str:
    lead = "0/" if array != "scene" else ""
    return f"{TileLayout.sensor('2000', ZONE, 'optical')}/{array}/c/{lead}{block.row}/{block.col}"


# ---------------------------------------------------------------- round trips


def test_a_block_comes_back_within_half_a_step_and_nan_where_not_observed(store):
    store.create("2000", ZONE, "optical", RES_M, {"scenes": ["a"]})
    values, scene = reflectance(), numbers()
    marker = write(store, values=values, scene=scene, rejected=[RejectedScene("may", "no valid pixel in the block")])
    read = TileStore(store.url, store.backend).read("2000", ZONE, "optical", LATTICE.block_window(LEFT))
    observed = scene > 0
    assert np.abs(read.values - values)[:, observed].max() <= 0.5e-4 + 1e-7
    assert np.isnan(read.values[:, ~observed]).all()
    assert (read.observed == observed).all()
    assert read.scenes == (OCTOBER, MARCH)
    assert (read.scene == scene.astype(int) - 1).all()
    assert marker.observed_fraction == 0.75
    assert marker.bytes == sum(n for k, n in Objects(store.url).list() if k in (shard(store), shard(store, "scene")))
    assert TileStore(store.url).markers("2000", "optical") == {LEFT.name: marker}


def test_one_object_per_array_and_block(store):
    store.create("2000", ZONE, "optical", RES_M, {})
    before = {key for key, _ in Objects(store.url).list()}
    write(store)
    new = {key for key, _ in Objects(store.url).list()} - before
    assert new == {shard(store), shard(store, "scene"), TileLayout.commit("2000", "optical", LEFT)}


@pytest.mark.parametrize("entry", SENSORS, ids=lambda s: s.name)
def test_every_sensor_round_trips(entry, tmp_path):
    store = TileStore(str(tmp_path))
    store.create("static", ZONE, entry.name, RES_M, {})
    low, high = {"dB": (-30, 5), "m": (-50, 8849), "K": (230, 310)}.get(entry.bands[0].units, (0, 1))
    values = np.random.default_rng(1).uniform(low, high, (len(entry.bands), 256, 256)).astype(np.float32)
    window = LATTICE.block_window(LEFT)
    scenes = [SceneRef("a", dt.date(2020, 1, 1), entry.name)]
    store.write_block("static", entry.name, LEFT, window, values, np.ones((256, 256), np.uint8), scenes=scenes)
    read = store.read("static", ZONE, entry.name, window)
    tolerance = 0.0 if entry.dtype == "float32" else entry.scale_factor / 2 + 2e-7 * max(abs(low), abs(high))
    assert np.abs(read.values - values).max() <= tolerance


def test_values_beyond_the_stored_range_are_clipped_and_counted(disk):
    values = reflectance()
    values[2, 200, 10], values[3, 200, 11], values[3, 0, 0] = 7.0, -5.0, 99.0  # the last is not observed
    assert write(disk, values=values).n_clipped == 2
    read = disk.read("2000", ZONE, "optical", LATTICE.block_window(LEFT))
    assert read.values[2, 200, 10] == pytest.approx(3.2767)
    assert read.values[3, 200, 11] == pytest.approx(-3.2767)


def test_a_band_that_the_block_lacks_is_nan_and_the_others_are_not(disk):
    values = reflectance()
    values[4:] = np.nan
    marker = write(disk, values=values, bands=["nir", "blue", "green", "red"])
    assert marker.bands == ("blue", "green", "red", "nir")
    read = disk.read("2000", ZONE, "optical", LATTICE.block_window(LEFT), bands=["swir1", "nir"])
    assert read.bands == ("swir1", "nir")
    assert np.isnan(read.values[0]).all()
    assert np.isfinite(read.values[1]).sum() == read.observed.sum() > 0


def test_two_neighbouring_blocks_read_as_one_window_with_one_list_of_scenes(store):
    store.create("2000", ZONE, "optical", RES_M, {})
    a, b = reflectance(1), reflectance(2)
    write(store, LEFT, a, scenes=(OCTOBER, MARCH))
    write(store, RIGHT, b, scenes=(MARCH, OCTOBER))
    both = PixelWindow(LATTICE.block_window(LEFT).row0 + 100, LATTICE.block_window(LEFT).row1, 15 * 256, 17 * 256)
    read = store.read("2000", ZONE, "optical", both, bands=["red"])
    np.testing.assert_allclose(read.values[0], np.concatenate([a[2], b[2]], axis=1)[100:], atol=0.51e-4)
    assert read.scenes == (OCTOBER, MARCH)
    assert list(read.scene[-1, ::128]) == [0, 1, 1, 0]


def test_an_empty_block_is_committed_without_data(disk):
    marker = write(disk, scene=np.zeros((256, 256), np.uint8), scenes=(), bands=())
    assert (marker.observed_fraction, marker.bytes, marker.bands) == (0.0, 0, ())
    assert not any(key == shard(disk) for key, _ in Objects(disk.url).list())
    assert not disk.read("2000", ZONE, "optical", LATTICE.block_window(LEFT)).observed.any()


@pytest.fixture(scope="module")
def mosaic():
    """Two blocks of 2 × 2 inner chunks side by side in memory, and what a window of them must give."""
    store = TileStore("memory://windows/tiles")
    store.create("2000", ZONE, "optical", FINE.res_m, {})
    values, scene = [reflectance(1, lattice=FINE), reflectance(2, lattice=FINE)], numbers(FINE)
    for block, plane in zip((LEFT, RIGHT), values, strict=True):
        write(store, block, plane, scene, window=FINE.block_window(block))
    full = np.concatenate(values, axis=2)
    full[:, np.concatenate([scene, scene], axis=1) == 0] = np.nan
    return store, full


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(-40, 540), col=st.integers(-40, 1060), h=st.integers(0, 600), w=st.integers(0, 600))
def test_any_window_gives_what_was_written_and_nan_around_it(mosaic, row, col, h, w):
    store, full = mosaic
    origin = FINE.block_window(LEFT)
    window = PixelWindow(origin.row0 + row, origin.row0 + row + h, origin.col0 + col, origin.col0 + col + w)
    read = store.read("2000", ZONE, "optical", window, bands=["nir", "blue"])
    padded = np.pad(full, ((0, 0), (600, 600), (1200, 1200)), constant_values=np.nan)
    expected = padded[[3, 0], 600 + row : 600 + row + h, 1200 + col : 1200 + col + w]
    assert read.values.shape == (2, h, w)
    np.testing.assert_allclose(read.values, expected, atol=0.51e-4)
    assert (read.observed == np.isfinite(expected).all(axis=0)).all()


def test_beyond_the_zone_nothing_is_observed(disk):
    rows, cols = LATTICE.shape
    read = disk.read("2000", ZONE, "optical", PixelWindow(-5, 3, cols - 2, cols + 9))
    assert read.values.shape == (6, 8, 11)
    assert not read.observed.any()
    assert rows > 0


# ------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": LATTICE.block_window(LEFT).pad(-1)}, "the whole block"),
        ({"window": LATTICE.block_window(RIGHT)}, "the whole block"),
        ({"window": Lattice(ZONE, 60).block_window(LEFT)}, "the whole block"),
        ({"values": reflectance()[:, :-1]}, "shapes"),
        ({"values": reflectance()[:3]}, "shapes"),
        ({"values": reflectance().astype(np.float64)}, "float64"),
        ({"scene": numbers().astype(np.int16)}, "int16"),
        ({"scenes": (OCTOBER,)}, "1 scenes and the number 2"),
        ({"values": np.full((6, 256, 256), np.nan, np.float32)}, "blue not finite"),
    ],
    ids=["inside", "neighbour", "resolution", "rows", "bands", "dtype", "scene-dtype", "scenes", "nan"],
)
def test_a_write_that_does_not_fit_is_refused_before_any_byte(disk, change, message):
    before = Objects(disk.url).list()
    with pytest.raises(SystemicError, match=message):
        write(disk, **change)
    assert Objects(disk.url).list() == before


def test_a_block_outside_the_zone_is_refused(disk):
    outside = Block(ZONE, 226, 33)
    with pytest.raises(SystemicError, match="inside"):
        write(disk, outside)


def test_tiles_that_were_never_made_are_an_error_with_a_way_out(disk):
    with pytest.raises(ConfigError, match=r"no sar_sigma0 tiles of epoch 2000 in zone utm45n.*icefleet ingest"):
        disk.read("2000", ZONE, "sar_sigma0", LATTICE.block_window(LEFT))
    with pytest.raises(ConfigError, match="no optical tiles of epoch 1999"):
        open_sensor(disk.url, "1999", ZONE, "optical")


def test_unknown_bands_and_backends_are_named(disk):
    with pytest.raises(ConfigError, match="did you mean 'green'"):
        disk.read("2000", ZONE, "optical", LATTICE.block_window(LEFT), bands=["gren"])
    with pytest.raises(ConfigError, match="obstore or fsspec"):
        TileStore(disk.url, "gcsfs")


def test_another_recipe_is_refused_and_the_difference_named(store):
    store.create("2000", ZONE, "optical", RES_M, {"scenes": [{"id": "a"}]})
    store.create("2000", ZONE, "optical", RES_M, {"scenes": [{"id": "a"}]})
    store.create("2001", ZONE, "optical", RES_M, {"scenes": [{"id": "b"}]})
    other = TileStore(store.url, store.backend)
    with pytest.raises(ConfigError, match=r"recipe.scenes.0.id 'a'; expected 'b'.*from other scenes.*another `epoch`"):
        other.create("2000", ZONE, "optical", RES_M, {"scenes": [{"id": "b"}]})
    with pytest.raises(ConfigError, match="res_m 120; expected 60"):
        other.create("2000", ZONE, "optical", 60, {"scenes": [{"id": "a"}]})


# --------------------------------------------------------------------- damage


@pytest.mark.parametrize("array", ["optical", "scene"])
@pytest.mark.parametrize("where", [0.0, 0.4, 0.999])
def test_a_flipped_byte_is_poison_that_names_the_key(disk, array, where):
    write(disk)
    objects, key = Objects(disk.url), shard(disk, array)
    data = bytearray(objects.get(key))
    data[int(where * (len(data) - 1))] ^= 0x40
    objects.put(key, bytes(data))
    with pytest.raises(PoisonError, match=key):
        TileStore(disk.url).read("2000", ZONE, "optical", LATTICE.block_window(LEFT))


@pytest.mark.parametrize("array", ["optical", "scene"])
def test_a_truncated_shard_is_poison(disk, array):
    write(disk)
    objects, key = Objects(disk.url), shard(disk, array)
    objects.put(key, objects.get(key)[:-7])
    with pytest.raises(PoisonError, match=key):
        TileStore(disk.url).read("2000", ZONE, "optical", LATTICE.block_window(LEFT).pad(-3))


@pytest.mark.parametrize("array", ["optical", "scene"])
def test_a_shard_that_the_marker_promises_and_is_gone_is_poison_not_fill(store, array):
    store.create("2000", ZONE, "optical", RES_M, {})
    write(store)
    Objects(store.url).delete(shard(store, array))
    with pytest.raises(PoisonError, match="no such shard"):
        TileStore(store.url, store.backend).read("2000", ZONE, "optical", LATTICE.block_window(LEFT))


def test_a_marker_that_is_no_marker_is_poison(disk):
    key = TileLayout.commit("2000", "optical", LEFT)
    Objects(disk.url).put(key, b'{"block": "half a mar')
    with pytest.raises(PoisonError, match=key):
        disk.marker("2000", "optical", LEFT)


# -------------------------------------------------------------------- commits


def test_bytes_without_a_marker_are_not_observed(store):
    store.create("2000", ZONE, "optical", RES_M, {})
    write(store)
    Objects(store.url).delete(TileLayout.commit("2000", "optical", LEFT))
    read = TileStore(store.url, store.backend).read("2000", ZONE, "optical", LATTICE.block_window(LEFT))
    assert not read.observed.any()
    assert np.isnan(read.values).all()


def test_the_first_commit_wins_and_the_second_writes_nothing(store):
    store.create("2000", ZONE, "optical", RES_M, {})
    first = write(store, values=reflectance(1))
    before = Objects(store.url).get(shard(store))
    second = write(TileStore(store.url, store.backend), values=reflectance(2), scenes=(MARCH, OCTOBER))
    assert second == first
    assert Objects(store.url).get(shard(store)) == before


def test_two_writers_at_once_leave_one_marker(disk):
    with ThreadPoolExecutor(4) as pool:
        stores = [TileStore(disk.url) for _ in range(4)]
        markers = list(pool.map(write, stores))
    assert len({marker.write_id for marker in markers}) == 1


def test_a_lost_response_is_resolved_by_reading_back(disk, monkeypatch):
    create = Objects.create

    def lose(self, key, data):
        create(self, key, data)
        raise TransientError(key, found="connection reset")

    monkeypatch.setattr(Objects, "create", lose)
    marker = write(disk)
    assert TileStore(disk.url).marker("2000", "optical", LEFT) == marker


def test_a_commit_that_never_arrived_is_transient(disk, monkeypatch):
    def fail(self, key, data):
        raise TransientError(key, found="503")

    monkeypatch.setattr(Objects, "create", fail)
    with pytest.raises(TransientError):
        write(disk)


def test_a_marker_survives_json(disk):
    marker = write(disk, rejected=[RejectedScene("may", "hidden by earlier scenes")])
    assert TileMarker.from_json(marker.to_json(), "here") == marker
    assert json.loads(marker.to_json())["scenes"][0] == {"id": "october", "date": "2000-10-30", "sensor": "optical"}


def _create(url: str) -> None:
    TileStore(url).create("2000", ZONE, "optical", RES_M, {"scenes": [1, 2, 3]})


def test_many_processes_may_create_at_once(tmp_path):
    url = str(tmp_path / "tiles")
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_create, [url] * 6)) == [None] * 6
    assert TileStore(url).lattice("2000", ZONE, "optical") == LATTICE
    assert np.isfinite(open_sensor(url, "2000", ZONE, "optical").x.values).all()


def test_a_store_pickles_as_its_url(disk):
    write(disk)
    copy = pickle.loads(pickle.dumps(disk))
    assert copy.committed("2000", "optical") == {LEFT.name}


# --------------------------------------------------------------------- xarray


def test_xarray_gives_names_coordinates_units_crs_and_the_same_numbers_as_read(store):
    store.create("2000", ZONE, "optical", RES_M, {})
    write(store)
    window = LATTICE.block_window(LEFT)
    read = store.read("2000", ZONE, "optical", window)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = open_sensor(store.url, "2000", ZONE, "optical", store.backend)
    xmin, ymin, xmax, ymax = LATTICE.bounds_m(window)
    part = ds.sel(x=slice(xmin, xmax), y=slice(ymax, ymin))
    np.testing.assert_array_equal(part.optical.values, read.values)
    np.testing.assert_array_equal(part.optical.sel(band="red").values, read.values[2])
    assert part.optical.dtype == np.float32
    assert (part.scene.values == numbers()).all()
    assert ds.optical.dims == ("band", "y", "x")
    assert ds.optical.attrs["units"] == "1"
    assert ds.optical.attrs["standard_name"] == "surface_bidirectional_reflectance"
    assert ds.optical.attrs["ancillary_variables"] == "scene"
    assert ds.optical.encoding["scale_factor"] == pytest.approx(1e-4)
    assert ds.optical.encoding["add_offset"] == 0
    assert ds.optical.encoding["grid_mapping"] == "spatial_ref"
    assert ds.attrs["Conventions"].startswith("CF-")
    assert "spatial_ref" in ds.coords
    assert CRS.from_wkt(ds.spatial_ref.attrs["crs_wkt"]) == ZONE.crs
    x0, dx, _, y0, _, dy = map(float, ds.spatial_ref.attrs["GeoTransform"].split())
    assert (x0 + dx / 2, y0 + dy / 2) == (ds.x.values[0], ds.y.values[0])


def test_a_whole_zone_at_10_m_opens_lazily_and_small(tmp_path):
    store = TileStore(str(tmp_path))
    store.create("2000", ZONE, "optical", 10, {})
    assert sum(size for _, size in Objects(store.url).list()) < 60_000
    ds = open_sensor(store.url, "2000", ZONE, "optical")
    assert dict(ds.sizes) == {"band": 6, "y": 1_019_904, "x": 101_376}
    assert np.isnan(ds.optical.sel(x=478_005.0, y=3_108_135.0, band=["red", "nir"]).values).all()
    assert (np.diff(ds.y.values) == -10).all()


def test_xarray_opens_a_group_from_the_root_of_the_store(tmp_path):
    store = TileStore(str(tmp_path))
    store.create("2000", ZONE, "dem", RES_M, {})
    root, _ = zarr_location(store.url, "", read_only=True)
    ds = xr.open_zarr(root, group=TileLayout.sensor("2000", ZONE, "dem"), consolidated=False, chunks=None)
    assert ds.dem.attrs["long_name"] == sensor("dem").long_name
    assert list(ds.band.values) == list(sensor("dem").band_names)


# ------------------------------------------------------------------- requests


def test_reading_a_whole_block_is_one_request_per_array(monkeypatch):
    store = TileStore("memory://requests/tiles")
    store.create("2000", ZONE, "optical", RES_M, {})
    write(store)
    reader = TileStore(store.url)
    reader.read("2000", ZONE, "optical", PixelWindow(0, 1, 0, 1))
    reader.marker("2000", "optical", LEFT)
    calls: list[str] = []
    for name in ("get_async", "get_range_async"):
        original = getattr(obstore, name)

        def count(store, path, *args, _original=original, **kwargs):
            calls.append(path)
            return _original(store, path, *args, **kwargs)

        monkeypatch.setattr(obstore, name, count)
    reader.read("2000", ZONE, "optical", LATTICE.block_window(LEFT))
    assert sorted(calls) == sorted(f"tiles/{shard(store, a)}" for a in ("optical", "scene"))
