"""Mapping: a pixel's probability depends on its surroundings alone, never on block, batch or what else was mapped."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from made_glaciers import blob, objects, on_lattice, stars
from scipy.ndimage import uniform_filter

from core.coverage import coverage_share
from core.errors import SystemicError
from core.grid import Block, Lattice, PixelWindow, Zone
from core.mapping import MappedBlock, map_block, near_outlines
from core.models import Inputs, Model, ModelSpec, Need, OnDevice
from core.models.oracle import Oracle
from core.resample import resample, source_window
from core.sensors import sensor as registered
from core.stitch import NOT_OBSERVED, Canvas, decode, encode, gaussian_weights
from core.stopwatch import Stopwatch
from core.tiles import SceneRef, StoredTiles, TileSource, TileStore
from core.windows import WindowLattice, active_windows

ZONE = Zone("utm45n")
RES_M = 120  # the smallest blocks: 256 px
LATTICE = Lattice(ZONE, RES_M)
N = LATTICE.block_px
BLOCKS = [Block(ZONE, row, col) for row in (226, 227) for col in (15, 16)]
AREA = PixelWindow(226 * N, 228 * N, 15 * N, 17 * N)
CORNER_X, CORNER_Y = BLOCKS[3].bounds_m[0], BLOCKS[3].bounds_m[3]
OUTLINES = objects(
    blob(CORNER_X + 800, CORNER_Y - 400, 5000, lobes=5),
    blob(CORNER_X - 14_000, CORNER_Y + 9000, 2500),
    blob(CORNER_X + 15_000, CORNER_Y + 200, 900),
)
BUFFER_M = 600.0
DEM, THERMAL = Need("dem", ("elevation_m",)), Need("thermal", ("kelvin",))
JULY, AUGUST = SceneRef("july", dt.date(2020, 7, 20), "dem"), SceneRef("august", dt.date(2020, 8, 9), "dem")


@dataclass(frozen=True)
class Neighbourhood:
    """A model with a receptive field that ends at the border of its window, as a network's does."""

    windows: WindowLattice
    needs: tuple[Need, ...] = (DEM,)

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec("neighbourhood", self.needs, self.windows)

    def weights(self) -> np.ndarray:
        return gaussian_weights(self.windows.size_px)

    def predict(self, inputs: Inputs) -> np.ndarray:
        total = sum(np.where(np.isfinite(inputs[n.sensor][:, 0]), inputs[n.sensor][:, 0], -3) for n in self.needs)
        blurred = uniform_filter(np.asarray(total, np.float32), size=(0, 9, 9), mode="constant", cval=2.0)
        seen = np.isfinite(inputs[self.needs[0].sensor][:, 0])
        return np.where(seen, 1 / (1 + np.exp(-blurred)), np.nan).astype(np.float32)


def noise(lattice: Lattice, window: PixelWindow, seed: int) -> np.ndarray:
    """Smooth noise over the zone: a pixel's value depends on its place alone."""
    x, y = lattice.centres_m(window)
    waves = np.random.default_rng(seed).uniform(2e-4, 4e-3, (6, 2))
    phase = sum(np.sin(a * x[None, :] + b * y[:, None]) for a, b in waves)
    return np.asarray(phase, dtype=np.float32)


def fill(store: TileStore, sensor: str, res_m: int, seed: int, blocks: list[Block], gaps: bool = False) -> None:
    """Tiles of one sensor: noise from two scenes, side by side, with gaps."""
    store.create("2020", ZONE, sensor, res_m, {})
    lattice = Lattice(ZONE, res_m)
    for block in blocks:
        window = lattice.block_window(block)
        values = noise(lattice, window, seed)
        scene = np.ones(window.shape, np.uint8)
        scene[:, window.shape[1] // 2 :] = 2
        if gaps:
            scene[noise(lattice, window, 7) > 2.2] = 0
        store.write_block(
            "2020",
            sensor,
            block,
            window,
            np.repeat(values[None], len(registered(sensor).bands), axis=0),
            scene,
            scenes=[JULY, AUGUST],
        )


def sources(store: TileStore, resolutions: dict[str, int]) -> dict[str, TileSource]:
    return {name: StoredTiles(store, "2020", ZONE, name, res_m) for name, res_m in resolutions.items()}


def mapped(
    store: TileStore, block: Block, model: Model, batch: int, resolutions: dict[str, int], outlines=OUTLINES, **changed
) -> MappedBlock:
    buffer_m = changed.get("buffer_m", BUFFER_M)
    return map_block(block, LATTICE, outlines, sources(store, resolutions), model, buffer_m, batch)


def unsharded(store: TileStore, model: Model, resolutions: dict[str, int]) -> np.ndarray:
    """All four blocks at once, one window after the other on one canvas: (rows, cols) uint8."""
    canvas, windows = Canvas(AREA), model.spec.windows
    for i, j in zip(*active_windows(OUTLINES, LATTICE, windows, BUFFER_M), strict=True):
        window = windows.window(int(i), int(j))
        inputs = {}
        for need in model.spec.needs:
            source = Lattice(ZONE, resolutions[need.sensor])
            have = source_window(LATTICE, window, source)
            values = store.read("2020", ZONE, need.sensor, have, need.bands).values
            inputs[need.sensor] = resample(values, source, have, LATTICE, window)[None]
        canvas.add(model.predict(inputs)[0], model.weights(), window)
    probability = canvas.divide()
    probability[~near_outlines(OUTLINES, LATTICE, AREA, BUFFER_M)] = np.nan
    return encode(probability)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(found == NOT_OBSERVED, expected == NOT_OBSERVED)
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("size", "stride", "resolutions"),
    [
        (256, 128, {"dem": 120, "thermal": 120}),
        (96, 32, {"dem": 120, "thermal": 60}),
        (75, 40, {"dem": 60, "thermal": 120}),
        (33, 33, {"dem": 120, "thermal": 120}),
    ],
)
def test_sharded_is_unsharded_in_any_batch(memory_url, size, stride, resolutions):
    model = Neighbourhood(WindowLattice(size, stride), (DEM, THERMAL))
    store = TileStore(memory_url)
    fill(store, "dem", resolutions["dem"], 1, BLOCKS, gaps=True)
    fill(store, "thermal", resolutions["thermal"], 2, BLOCKS)
    whole = unsharded(store, model, resolutions)
    assert (whole != NOT_OBSERVED).sum() > 5000
    assert len(np.unique(whole)) > 50
    for batch, block in zip((1, 3, 7, 100), BLOCKS, strict=True):
        found = mapped(store, block, model, batch, resolutions)
        assert_same(found.probability, whole[LATTICE.block_window(block).slices(AREA)])


def test_the_oracle_with_overlapping_windows_gives_back_the_coverage(memory_url):
    store = TileStore(memory_url)
    store.create("2020", ZONE, "oracle", RES_M, {})
    for block in BLOCKS:
        window = LATTICE.block_window(block)
        share = coverage_share(OUTLINES, LATTICE, window)
        store.write_block(
            "2020", "oracle", block, window, share[None], np.ones(window.shape, np.uint8),
            scenes=[SceneRef("oracle", dt.date(2020, 7, 1), "oracle")],
        )  # fmt: skip
    whole = coverage_share(OUTLINES, LATTICE, AREA)
    for block in BLOCKS:
        found = mapped(store, block, Oracle(256, 128), 5, {"oracle": RES_M})
        truth = whole[LATTICE.block_window(block).slices(AREA)]
        near = near_outlines(OUTLINES, LATTICE, LATTICE.block_window(block), BUFFER_M)
        np.testing.assert_array_equal(found.probability != NOT_OBSERVED, near)
        np.testing.assert_allclose(decode(found.probability)[near], truth[near], atol=1 / 254)
        assert found.sensors == ("oracle",)


def test_other_glaciers_do_not_change_the_probability_of_a_pixel(memory_url):
    """Regions of their own, a re-run of a few glaciers: more outlines map more pixels, and the same ones alike."""
    model = Neighbourhood(WindowLattice(64, 32))
    store = TileStore(memory_url)
    fill(store, "dem", RES_M, 1, BLOCKS)
    for block in BLOCKS:
        both = mapped(store, block, model, 4, {"dem": RES_M}).probability
        alone = mapped(store, block, model, 9, {"dem": RES_M}, outlines=OUTLINES[:1]).probability
        seen = alone != NOT_OBSERVED
        assert (both[seen] != NOT_OBSERVED).all()
        assert_same(alone[seen], both[seen])


def test_nothing_beyond_the_buffer_is_observed_and_everything_within_it_is(memory_url):
    model = Neighbourhood(WindowLattice(64, 48))
    store = TileStore(memory_url)
    fill(store, "dem", RES_M, 1, BLOCKS)
    union = shapely.union_all(OUTLINES)
    for block in BLOCKS:
        window = LATTICE.block_window(block)
        found = mapped(store, block, model, 4, {"dem": RES_M})
        x, y = LATTICE.centres_m(window)
        centres = shapely.points(*np.meshgrid(x, y))
        distance = shapely.distance(centres, union)
        seen = found.probability != NOT_OBSERVED
        assert (distance[seen] <= BUFFER_M + RES_M * 2**-0.5).all()
        assert seen[distance <= BUFFER_M - RES_M * 2**-0.5].all()
        assert (found.scene[~seen] == 0).all()


@settings(max_examples=40)
@given(st.lists(stars(40.0), min_size=1, max_size=3), st.floats(0, 1500), st.integers(1, 60), st.integers(1, 60))
def test_near_is_the_distance_between_centres_and_does_not_depend_on_the_window(polygons, buffer_m, row, col):
    outlines = objects(*(on_lattice(p, LATTICE, AREA) for p in polygons))
    window = PixelWindow(AREA.row0 - 10, AREA.row0 + 60, AREA.col0 - 10, AREA.col0 + 60)
    near = near_outlines(outlines, LATTICE, window, buffer_m)
    touched = np.argwhere(coverage_share(outlines, LATTICE, window.pad(20)) > 0) - 20
    rows, cols = np.indices(window.shape)
    to_touched = np.min([np.hypot(rows - r, cols - c) for r, c in touched], axis=0) if len(touched) else np.inf
    clear = np.abs(to_touched * RES_M - buffer_m) > 1e-6
    np.testing.assert_array_equal(near[clear], (np.full(window.shape, to_touched * RES_M) <= buffer_m)[clear])
    part = PixelWindow(window.row0 + row, window.row1, window.col0, window.col0 + col)
    np.testing.assert_array_equal(near_outlines(outlines, LATTICE, part, buffer_m), near[part.slices(window)])


def test_scenes_are_those_of_the_mapped_pixels_and_are_numbered_from_one(memory_url):
    model = Neighbourhood(WindowLattice(64, 64))
    store = TileStore(memory_url)
    fill(store, "dem", 60, 1, BLOCKS)
    halves = {}
    for block in BLOCKS:
        found = mapped(store, block, model, 4, {"dem": 60})
        seen = found.probability != NOT_OBSERVED
        half = np.zeros(seen.shape, bool)
        half[:, N // 2 :] = True
        for k, scene in enumerate(found.scenes, start=1):
            assert (found.scene == k).any()
            assert ((found.scene == k) == (seen & (half == (scene.id == "august")))).all()
        halves[block.name] = [s.id for s in found.scenes]
    assert halves[BLOCKS[1].name] == ["july", "august"]
    assert halves[BLOCKS[2].name] == ["august"]


def test_a_sensor_without_a_tile_is_all_nan_and_is_not_named(memory_url):
    model = Neighbourhood(WindowLattice(64, 32), (DEM, THERMAL))
    store = TileStore(memory_url)
    fill(store, "dem", RES_M, 1, BLOCKS)
    fill(store, "thermal", RES_M, 2, [])
    found = mapped(store, BLOCKS[3], model, 4, {"dem": RES_M, "thermal": RES_M})
    assert found.sensors == ("dem",)
    assert (found.probability != NOT_OBSERVED).any()


def test_without_the_tile_that_dates_the_pixels_nothing_is_observed(memory_url):
    model = Neighbourhood(WindowLattice(64, 32))
    store = TileStore(memory_url)
    fill(store, "dem", RES_M, 1, [])
    found = mapped(store, BLOCKS[3], model, 4, {"dem": RES_M})
    assert found.n_windows > 0
    assert (found.probability == NOT_OBSERVED).all()
    assert not found.scene.any()
    assert (found.scenes, found.sensors) == ((), ())


def test_a_block_without_outlines_costs_no_read(memory_url):
    model = Neighbourhood(WindowLattice(64, 32))
    empty = mapped(TileStore(memory_url), Block(ZONE, 100, 3), model, 4, {"dem": RES_M})
    assert (empty.n_windows, empty.bytes_read, empty.scenes, empty.sensors) == (0, 0, (), ())
    assert empty.probability.shape == (N, N)
    assert (empty.probability == NOT_OBSERVED).all()
    none = mapped(TileStore(memory_url), BLOCKS[0], model, 4, {"dem": RES_M}, outlines=objects())
    assert (none.probability == NOT_OBSERVED).all()


def test_decibels_are_averaged_as_power(memory_url):
    @dataclass(frozen=True)
    class Show:
        spec = ModelSpec("show", (Need("sar_sigma0", ("vv_db",)),), WindowLattice(64, 64))

        def weights(self) -> np.ndarray:
            return np.ones((64, 64), np.float32)

        def predict(self, inputs: Inputs) -> np.ndarray:
            return inputs["sar_sigma0"][:, 0] / 20

    store, fine, block = TileStore(memory_url), Lattice(ZONE, 60), BLOCKS[3]
    store.create("2020", ZONE, "sar_sigma0", 60, {})
    window = fine.block_window(block)
    values = np.zeros((2, *window.shape), np.float32)
    values[0, ::2] = 10.0  # rows of power 10 and 1: the mean is 5.5, that is 7.4 dB and not 5
    store.write_block("2020", "sar_sigma0", block, window, values, np.ones(window.shape, np.uint8), scenes=[JULY])
    found = mapped(store, block, Show(), 8, {"sar_sigma0": 60})
    seen = found.probability != NOT_OBSERVED
    np.testing.assert_allclose(decode(found.probability)[seen], 10 * np.log10(5.5) / 20, atol=1 / 254)


def test_what_a_model_says_of_its_copies_is_told_apart_from_its_computing(memory_url):
    @dataclass(frozen=True)
    class Device(Neighbourhood):
        device: str = "cuda:0"
        transfer_s: float = 1e9  # more than passed: all that there is moves, and nothing is invented

    store = TileStore(memory_url)
    fill(store, "dem", RES_M, 1, BLOCKS)
    watch = Stopwatch()
    found = map_block(
        BLOCKS[3], LATTICE, OUTLINES, sources(store, {"dem": RES_M}), Device(WindowLattice(64, 32)), BUFFER_M, 4, watch
    )
    assert found.n_windows > 0 and isinstance(Device(WindowLattice(64, 32)), OnDevice)
    assert watch.seconds["compute"] == 0 < watch.seconds["to_device"]
    assert 0 < found.n_pixels <= LATTICE.block_px**2
    # One band of float32 and the number of the scene.
    assert found.bytes_needed == found.n_pixels * 5


def test_the_spread_of_a_models_votes_is_blended_as_its_probability_is(memory_url):
    @dataclass(frozen=True)
    class Votes(Neighbourhood):
        votes: int = 2

        def predict_spread(self, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
            found = self.predict(inputs)
            return found, found / 2

    store = TileStore(memory_url)
    fill(store, "dem", RES_M, 1, BLOCKS)
    alone, several = (
        mapped(store, BLOCKS[3], Votes(WindowLattice(64, 32), votes=n), 4, {"dem": RES_M}) for n in (1, 2)
    )
    assert alone.spread is None and several.spread is not None
    np.testing.assert_array_equal(alone.probability, several.probability)
    seen = several.probability != NOT_OBSERVED
    np.testing.assert_array_equal(several.spread != NOT_OBSERVED, seen)
    np.testing.assert_allclose(decode(several.spread)[seen], decode(several.probability)[seen] / 2, atol=1 / 254)


def test_a_model_whose_answer_has_the_wrong_shape_stops_the_run(memory_url):
    @dataclass(frozen=True)
    class Wrong(Neighbourhood):
        def predict(self, inputs: Inputs) -> np.ndarray:
            return super().predict(inputs)[:, 1:]

    store = TileStore(memory_url)
    fill(store, "dem", RES_M, 1, BLOCKS)
    with pytest.raises(SystemicError, match="scores"):
        mapped(store, BLOCKS[3], Wrong(WindowLattice(64, 32)), 4, {"dem": RES_M})
