"""Divides beyond the inventory: who owns free ice, the same in every window, and by the ground where it is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.ndimage import label as pieces

from core.measure import divides
from core.measure.divides import FREE, MAX_REACH_PX, flood

SIZE = 36
EIGHT = np.ones((3, 3))


def world(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(label, ice, elevation, edge): bodies of several glaciers, ice in and around them, rough ground with voids."""
    rng = np.random.default_rng(seed)
    body = gaussian_filter(rng.normal(size=(SIZE, SIZE)), rng.uniform(1, 4))
    strip = gaussian_filter(rng.normal(size=(SIZE, SIZE)), 3)
    number = np.digitize(strip, np.quantile(strip, [0.3, 0.6, 0.8]))
    label = np.where(body > np.quantile(body, rng.uniform(0.3, 0.95)), number * 7, FREE).astype(np.int32)
    ice = rng.random((SIZE, SIZE)) < rng.uniform(0.3, 1)
    ground = gaussian_filter(rng.normal(size=(SIZE, SIZE)), rng.uniform(0, 3)) * rng.choice([0.0, 5, 100, 3000])
    ground[rng.random((SIZE, SIZE)) < rng.choice([0.0, 0.1, 0.5])] = np.nan
    return label, ice, ground.astype(np.float32), rng.random((SIZE, SIZE)) < 0.3


seeds = st.integers(0, 2**32 - 1)
reaches = st.integers(1, 6)


@settings(max_examples=150)
@given(seeds, reaches, st.data())
def test_two_windows_agree_where_both_hold_all_that_decides(seed, reach, data):
    label, ice, ground, edge = world(seed)
    known = data.draw(st.booleans())
    whole = flood(label, ice, ground if known else None, reach, edge)
    row, col = (data.draw(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(sorted)) for _ in range(2))
    window = slice(*row), slice(*col)
    part = flood(label[window], ice[window], ground[window] if known else None, reach, edge[window])
    inner = []
    for begin, end in (row, col):
        low = 0 if begin == 0 else reach + 1
        inner.append(slice(low, max(low, end - begin - (0 if end == SIZE else reach + 1))))
    np.testing.assert_array_equal(part[tuple(inner)], whole[window][tuple(inner)])


@settings(max_examples=100)
@given(seeds, reaches, st.booleans())
def test_labels_pass_through_ice_alone_and_no_further_than_the_reach(seed, reach, known):
    label, ice, ground, edge = world(seed)
    found = flood(label, ice, ground if known else None, reach, edge)
    np.testing.assert_array_equal(found[label >= 0], label[label >= 0])
    gained = (label < 0) & (found >= 0)
    assert (ice | edge)[gained].all()
    assert (distance_transform_edt(label < 0)[gained] <= reach).all()
    assert set(np.unique(found[gained])) <= set(np.unique(label[label >= 0]))
    for name in np.unique(found[gained]):
        # Free ice of any glacier may lie on the way: a better way to it may have been found after it passed.
        body, _ = pieces((ice & (label == name)) | (ice & (label < 0)), EIGHT)
        joined = np.isin(body, np.unique(body[(label == name) & ice])) & (body > 0)
        near = np.zeros_like(joined)
        for dr in (-1, 0, 1):
            for dc in (-1, 0, 1):
                near |= np.roll(joined, (dr, dc), (0, 1))
        assert near[gained & (found == name)].all()


@settings(max_examples=60)
@given(seeds, reaches)
def test_all_ice_within_reach_belongs_to_somebody_where_all_is_ice(seed, reach):
    label, _, ground, _ = world(seed)
    found = flood(label, np.ones(label.shape, bool), ground, reach)
    np.testing.assert_array_equal(found >= 0, distance_transform_edt(label < 0) <= reach)


@settings(max_examples=60)
@given(seeds, reaches, st.integers(1, 1000))
def test_the_numbers_of_glaciers_matter_by_their_order_alone(seed, reach, more):
    label, ice, ground, edge = world(seed)
    renamed = np.where(label >= 0, label * 3 + more, FREE).astype(np.int32)
    found = flood(label, ice, ground, reach, edge)
    np.testing.assert_array_equal(
        flood(renamed, ice, ground, reach, edge), np.where(found >= 0, found * 3 + more, FREE)
    )


@pytest.mark.parametrize("known", [True, False])
def test_a_tie_goes_to_the_glacier_that_comes_first(known):
    label = np.full((9, 11), FREE, dtype=np.int32)
    label[:, 0], label[:, 10] = 9, 4
    flat = np.zeros(label.shape, np.float32) if known else None
    found = flood(label, np.ones(label.shape, bool), flat, 5)
    assert (found[:, :5] == 9).all() and (found[:, 5:] == 4).all()


def test_a_snow_patch_beside_a_glacier_stays_free():
    label = np.full((20, 20), FREE, dtype=np.int32)
    label[5:15, 2:8] = 0
    ice = label == 0
    ice[8:12, 9:13] = True  # a strip of rock of one pixel lies between
    assert (flood(label, ice, None, 10) == label).all()
    ice[10, 8] = True
    assert (flood(label, ice, None, 10)[8:12, 9:13] == 0).all()


def test_snow_on_an_outline_that_holds_no_ice_any_more_stays_free():
    label = np.full((20, 20), FREE, dtype=np.int32)
    label[5:15, 2:8] = 0
    ice = np.zeros(label.shape, bool)
    ice[5:15, 2:4] = ice[8:12, 8:13] = True
    assert (flood(label, ice, None, 10) == label).all()


def test_a_pixel_of_part_ice_gets_a_label_and_passes_none_on():
    label = np.full((5, 9), FREE, dtype=np.int32)
    label[:, :3] = 0
    ice, edge = label == 0, np.zeros(label.shape, bool)
    ice[2, 5] = edge[2, 3:5] = edge[2, 6] = True
    assert flood(label, ice, None, 8, edge)[2].tolist() == [0, 0, 0, 0, -1, -1, -1, -1, -1]


def two_valleys() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(label, ice, elevation). Two glaciers flow south, with a ridge between them that is nearer to the right one; the
    left one has advanced down its valley, as wide as the valley, and ends far below its old outline."""
    rows, cols = np.mgrid[0:40, 0:40].astype(np.float32)
    ground = 3000 - 8 * rows + 120 * np.exp(-(((cols - 24) / 2) ** 2))
    label = np.full(ground.shape, FREE, dtype=np.int32)
    label[2:15, 8:22], label[2:33, 26:36] = 0, 1
    ice = label >= 0
    ice[15:26, 8:26] = True
    return label, ice, ground


def test_an_advance_belongs_to_the_glacier_whose_valley_it_fills_and_not_to_the_nearest():
    label, ice, ground = two_valleys()
    tongue = np.zeros(label.shape, bool)
    tongue[15:26, 8:23] = True  # up to the crest
    nearest, led = flood(label, ice, None, 12), flood(label, ice, ground, 12)
    assert (nearest[tongue] == 1).mean() > 0.15
    within = tongue & (distance_transform_edt(label < 0) <= 12)
    assert (led[within] == 0).all()
    assert (led[15:26, 25] == 1).all()  # its own side of the ridge stays with the right one


def test_a_headwall_above_an_outline_belongs_to_it_and_not_to_the_glacier_behind_the_ridge():
    rows, cols = np.mgrid[0:30, 0:20].astype(np.float32)
    ground = 4000 - 20 * np.abs(rows - 10) + 0 * cols  # a crest along row 10
    label = np.full(ground.shape, FREE, dtype=np.int32)
    label[1:11], label[16:29] = 0, 1  # the one behind reaches the crest, the one in front stops 5 pixels below it
    led = flood(label, np.ones(label.shape, bool), ground, 8)
    assert (led[11:16] == 1).all()
    assert (flood(label, np.ones(label.shape, bool), None, 8)[11:13] == 0).all()


def test_ice_between_a_hanging_glacier_and_a_trunk_comes_from_above():
    rows, cols = np.mgrid[0:30, 0:20].astype(np.float32)
    ground = 4000 - 20 * rows + 0 * cols
    label = np.full(ground.shape, FREE, dtype=np.int32)
    label[2:8], label[18:26] = 1, 0
    led = flood(label, np.ones(label.shape, bool), ground, 10)
    assert (led[8:18] == 1).all()


def test_in_a_void_the_shortest_way_decides():
    label, ice, ground = two_valleys()
    void = np.full(ground.shape, np.nan, dtype=np.float32)
    np.testing.assert_array_equal(flood(label, ice, void, 12), flood(label, ice, None, 12))


def test_noise_below_the_step_changes_nothing_on_level_ground():
    label, ice, ground = two_valleys()
    flat = np.zeros(ground.shape, dtype=np.float32)
    noise = np.random.default_rng(5).uniform(0, divides.STEP_M * 0.45, ground.shape).astype(np.float32)
    np.testing.assert_array_equal(flood(label, ice, noise, 12), flood(label, ice, flat, 12))


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (1, 1), (1, 7)])
def test_small_and_empty_windows(shape):
    label = np.full(shape, FREE, dtype=np.int32)
    label[:, :1] = 3
    found = flood(label, np.ones(shape, bool), np.zeros(shape, np.float32), 2)
    assert found.shape == shape and (found[:, :3] == 3).all() and (found[:, 3:] == FREE).all()


def test_where_there_is_nothing_to_do_the_label_comes_back_as_it_is():
    label, ice, ground = two_valleys()
    assert flood(label, label >= 0, ground, 12) is label
    assert flood(label, ice, ground, 0) is label
    assert flood(label, np.zeros_like(ice), ground, 12) is label


@pytest.mark.parametrize("reach", [-1, MAX_REACH_PX + 1])
def test_a_reach_that_cannot_be_counted_is_refused(reach):
    label, ice, ground = two_valleys()
    with pytest.raises(ValueError, match="reach_px"):
        flood(label, ice, ground, reach)


def test_the_longest_reach_still_counts():
    label = np.full((1, 2 * MAX_REACH_PX), FREE, dtype=np.int32)
    label[0, 0] = 2**26 - 1
    found = flood(label, np.ones(label.shape, bool), np.linspace(0, 9000, label.size, dtype=np.float32)[None], 290)
    assert (found[0, :291] == 2**26 - 1).all() and (found[0, 291:] == FREE).all()
