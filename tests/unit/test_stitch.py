"""Stitching: neither the order of windows nor the borders of a canvas leave a trace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.grid import PixelWindow
from core.stitch import LEVELS, NOT_OBSERVED, Canvas, decode, encode, gaussian_weights

AREA = PixelWindow(100, 140, 200, 250)


@st.composite
def placed_windows(draw: st.DrawFn) -> list[tuple[PixelWindow, int]]:
    """Windows of 16 px that overlap the area or miss it, each with a seed for its scores."""
    corner = st.tuples(st.integers(80, 145), st.integers(180, 255))
    corners = draw(st.lists(corner, min_size=1, max_size=12))
    return [(PixelWindow(r, r + 16, c, c + 16), k) for k, (r, c) in enumerate(corners)]


def scores(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 1, (16, 16)).astype(np.float32)
    values[rng.uniform(0, 1, (16, 16)) < 0.2] = np.nan
    return values


def blend(area: PixelWindow, windows: list[tuple[PixelWindow, int]]) -> np.ndarray:
    canvas = Canvas(area)
    for window, seed in windows:
        canvas.add(scores(seed), gaussian_weights(16), window)
    return canvas.divide()


@given(placed_windows(), st.randoms())
def test_the_order_of_windows_does_not_matter(windows, random):
    shuffled = random.sample(windows, len(windows))
    np.testing.assert_allclose(blend(AREA, shuffled), blend(AREA, windows), rtol=1e-5)


@given(placed_windows(), st.integers(101, 139), st.integers(201, 249))
def test_blocks_side_by_side_are_the_whole_to_the_last_bit(windows, row, col):
    whole = blend(AREA, windows)
    for r0, r1 in ((100, row), (row, 140)):
        for c0, c1 in ((200, col), (col, 250)):
            part = PixelWindow(r0, r1, c0, c1)
            np.testing.assert_array_equal(blend(part, windows), whole[part.slices(AREA)])


@given(placed_windows())
def test_a_pixel_is_the_weighted_mean_of_what_saw_it_and_nan_where_nothing_did(windows):
    total, weight = np.zeros(AREA.shape), np.zeros(AREA.shape)
    for window, seed in windows:
        inside = window.intersect(AREA)
        if not inside.empty:
            score = scores(seed)[inside.slices(window)].astype(float)
            w = gaussian_weights(16)[inside.slices(window)].astype(float) * np.isfinite(score)
            total[inside.slices(AREA)] += w * np.nan_to_num(score)
            weight[inside.slices(AREA)] += w
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(blend(AREA, windows), total / weight, rtol=1e-5)


@given(placed_windows(), st.integers(0, LEVELS).map(lambda k: k / LEVELS))
def test_windows_that_agree_keep_their_answer(windows, level):
    canvas = Canvas(AREA)
    for window, _ in windows:
        canvas.add(np.full((16, 16), level, np.float32), gaussian_weights(16), window)
    found = canvas.divide()
    np.testing.assert_allclose(found[np.isfinite(found)], level, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 16, 384])
def test_blending_weights_are_positive_symmetric_and_highest_in_the_middle(size):
    weights = gaussian_weights(size)
    assert weights.shape == (size, size)
    assert weights.min() > np.exp(-1)
    np.testing.assert_array_equal(weights, weights.T)
    np.testing.assert_allclose(weights, weights[::-1], rtol=1e-6)
    assert weights.argmax() == (size - 1) // 2 * (size + 1) or weights[size // 2, size // 2] == weights.max()


def test_every_stored_number_comes_back_as_itself():
    stored = np.arange(256, dtype=np.uint8)
    assert (encode(decode(stored)) == stored).all()
    assert np.isnan(decode(stored)[NOT_OBSERVED])
    assert decode(stored)[LEVELS] == 1


@given(st.floats(0, 1, width=32))
def test_a_probability_survives_storage_to_half_a_step(p):
    found = decode(encode(np.array([p], np.float32)))[0]
    assert abs(found - p) <= 1 / 508 + 1e-7


def test_what_is_no_number_is_not_observed_and_what_is_beyond_the_range_is_clipped():
    stored = encode(np.array([np.nan, np.inf, -np.inf, -0.1, 1.1], np.float32))
    assert stored.tolist() == [NOT_OBSERVED, NOT_OBSERVED, NOT_OBSERVED, 0, LEVELS]
