"""The accumulation area: snow that drains into mapped ice, over noise and depressions, and no other snow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import ndimage

from core.measure.accumulation import add_accumulation, reaches, roots, spill, steepest_receivers

ROWS, COLS = np.mgrid[:30, :21].astype(float)


def valley(seed: int | None = None) -> np.ndarray:
    """Falls along the rows, towards the middle column; with noise it is full of pits."""
    noise = 0 if seed is None else np.random.default_rng(seed).normal(0, 4, ROWS.shape)
    return (4000 - 20 * ROWS + 15 * np.abs(COLS - 10) + noise).astype(np.float32)


def maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ice from row 15 on, snow above it, everything but the frame within the outline)."""
    ice = np.where((ROWS >= 15) & (np.abs(COLS - 10) < 4), 0.9, 0.1).astype(np.float32)
    snow = np.where(ROWS < 15, 0.85, 0.1).astype(np.float32)
    within = np.zeros(ROWS.shape, bool)
    within[1:-1, 1:-1] = True
    return ice, snow, within


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_snow_above_mapped_ice_is_added_even_over_pits(seed):
    ice, snow, within = maps()
    found = add_accumulation(ice, snow, valley(seed), within)
    expected = within & (ROWS < 15)
    if seed is None:
        assert np.array_equal(found.added, expected)
    assert found.added[expected].mean() > 0.95
    assert not found.added[~expected].any()
    assert (found.probability[found.added] == 1).all()
    assert np.array_equal(found.probability[~found.added], ice[~found.added])


def test_snow_beyond_a_crest_is_not_added():
    ice, snow, within = maps()
    crest = (4000 - 20 * np.abs(ROWS - 8)).astype(np.float32)
    ice = np.where(ROWS >= 15, 0.9, 0.1).astype(np.float32)
    found = add_accumulation(ice, snow, crest, within)
    assert found.added[9:15, 1:-1].all()
    assert not found.added[:8].any()


@pytest.mark.parametrize("snow_index", [0.7, np.nan, -0.2])
def test_what_is_no_snow_is_not_added(snow_index):
    ice, _, within = maps()
    found = add_accumulation(ice, np.full(ice.shape, snow_index, np.float32), valley(), within)
    assert not found.added.any()
    assert found.probability is ice


def test_what_was_not_observed_is_never_added():
    ice, snow, within = maps()
    ice[5] = np.nan
    found = add_accumulation(ice, snow, valley(), within)
    assert not found.added[5].any()
    assert found.added[3, 10]
    assert np.isnan(found.probability[5]).all()


def test_nothing_flows_through_unknown_ground():
    ice, snow, within = maps()
    elevation = valley()
    elevation[10] = np.nan
    found = add_accumulation(ice, snow, elevation, within)
    assert not found.added[:11].any()
    assert found.added[11:15, 10].all()
    assert not add_accumulation(ice, snow, np.full_like(elevation, np.nan), within).added.any()


def test_no_outline_no_ice_and_one_pixel():
    ice, snow, within = maps()
    assert not add_accumulation(ice, snow, valley(), np.zeros_like(within)).added.any()
    assert not add_accumulation(np.zeros_like(ice), snow, valley(), within).added.any()
    one = np.ones((1, 1), np.float32)
    assert not add_accumulation(one * 0, one, one, one > 0).added.any()
    assert (
        add_accumulation(np.empty((0, 0), np.float32), one[:0, :0], one[:0, :0], np.empty((0, 0), bool)).added.size == 0
    )


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 6), min_size=4, max_size=4))
def test_the_answer_does_not_depend_on_the_window(seed, pads):
    ice, snow, within = maps()
    rng = np.random.default_rng(seed)
    elevation, width = valley(seed), ((pads[0], pads[1]), (pads[2], pads[3]))
    framed = [np.pad(a, width, constant_values=float(rng.random() * 9000)) for a in (ice, snow, elevation)]
    here = add_accumulation(ice, snow, elevation, within)
    there = add_accumulation(*framed, np.pad(within, width))
    inner = tuple(slice(low, low + n) for (low, _), n in zip(width, ice.shape, strict=True))
    assert np.array_equal(there.added[inner], here.added)
    assert there.added.sum() == here.added.sum()


def relief(seed: int, shape: tuple[int, int] = (17, 23)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rough = ndimage.gaussian_filter(rng.normal(size=shape), rng.integers(0, 4)) * 100
    return np.round(rough, 0 if rng.random() < 0.5 else 3)  # flats and pits


def test_a_bowl_without_an_outlet_drains_to_its_deepest_pit():
    rows, cols = np.mgrid[:17, :23]
    bowl = 5.0 * np.hypot(rows - 8, cols - 11) + np.random.default_rng(1).normal(scale=4.0, size=(17, 23))
    bowl[8, 11] = -50.0
    bowl[[0, -1]] += 1000.0
    bowl[:, [0, -1]] += 1000.0
    receiver = steepest_receivers(bowl)
    assert len(np.unique(roots(receiver))) > 3
    assert (roots(spill(bowl, receiver)) == np.ravel_multi_index((8, 11), bowl.shape)).all()


@given(st.integers(0, 2**32 - 1))
@example(7033566)  # a bowl: nothing leaves it
def test_everything_drains_to_the_rim_over_the_lowest_passes(seed):
    z = relief(seed)
    through = spill(z, steepest_receivers(z))
    end = roots(through)
    on_rim = np.pad(np.zeros((z.shape[0] - 2, z.shape[1] - 2), bool), 1, constant_values=True).ravel()
    outlet = on_rim & (steepest_receivers(z) == np.arange(z.size))
    assert on_rim[end].all() if outlet.any() else len(np.unique(end)) == 1
    # No way is higher than the level to which water fills up before it leaves: the surface of Planchon & Darboux.
    level = np.where(outlet.reshape(z.shape), z, np.inf)
    for _ in range(z.size):
        lower = np.maximum(z, ndimage.minimum_filter(level, size=3, mode="nearest"))
        if np.array_equal(lower, level):
            break
        level = lower
    way, highest = np.arange(z.size), z.ravel().copy()
    for _ in range(z.size):
        way = through[way]
        highest = np.maximum(highest, z.ravel()[way])
        if np.array_equal(way, end):
            break
    assert (highest <= level.ravel() + 1e-9).all()


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.3))
def test_reaching_is_what_walking_finds(seed, share):
    z = relief(seed)
    receiver = spill(z, steepest_receivers(z))
    goal = np.random.default_rng(seed).random(z.size) < share
    met, at = goal.copy(), np.arange(z.size)
    for _ in range(z.size):
        at = receiver[at]
        met |= goal[at]
    assert np.array_equal(reaches(receiver, goal), met)


def test_water_takes_the_steepest_way_and_the_diagonal_is_longer():
    z = np.array([[9, 9, 9], [9, 8, 7.0], [9, 9, 6.9]])
    assert steepest_receivers(z)[4] == 5
    z[2, 2] = 6.0
    assert steepest_receivers(z)[4] == 8
