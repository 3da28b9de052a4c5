"""Segments: plateaus stay whole, differences beyond the scale are kept, nothing small is left over."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from core.measure.objects.segmentation import segment


def field(seed: int, shape: tuple[int, int] = (20, 25), layers: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.normal(size=(layers, *shape)), (0, 2, 2)) * 20
    values[rng.random(values.shape) < 0.02] = np.nan
    return values, np.kron(rng.random((4, 5)), np.ones((5, 5))) > 0.2


def test_plateaus_are_segments_whatever_their_form():
    picture = np.kron(np.array([[0, 0, 5], [9, 0, 5], [9, 9, 5]], float), np.ones((7, 7)))
    labels, count = segment(picture[None], np.ones(picture.shape, bool), 1.0, 1)
    assert count == 3
    assert all(len(np.unique(labels[picture == v])) == 1 for v in (0, 5, 9))


def test_noise_below_the_scale_does_not_split_and_a_step_above_it_does():
    rng = np.random.default_rng(1)
    picture = rng.normal(0, 0.3, (40, 40))
    picture[:, 25:] += 6
    labels, count = segment(picture[None], np.ones(picture.shape, bool), 60.0, 1)
    assert count == 2
    assert (labels[:, :25] == 1).all() and (labels[:, 25:] == 2).all()


def test_a_scale_of_nothing_merges_only_what_is_alike():
    picture = np.arange(12.0).reshape(3, 4)
    assert segment(picture[None], np.ones((3, 4), bool), 0.0, 1)[1] == 12


def test_small_pieces_join_their_most_similar_neighbour():
    picture = np.array([[0, 0, 0, 0, 4, 9, 9, 9, 9]], float)
    labels, count = segment(picture[None], np.ones((1, 9), bool), 0.0, 2)
    assert count == 2
    assert labels.tolist() == [[1, 1, 1, 1, 1, 2, 2, 2, 2]]


def test_a_lonely_piece_may_stay_small():
    ground = np.array([[True, False, True, True]])
    labels, count = segment(np.array([[[1.0, 0, 5, 5]]]), ground, 0.0, 3)
    assert count == 2
    assert labels.tolist() == [[1, 0, 2, 2]]


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (4, 4)])
def test_no_ground_one_pixel_and_nothing_known(shape):
    nothing = np.full((1, *shape), np.nan)
    assert segment(nothing, np.zeros(shape, bool), 1.0, 1)[1] == 0
    assert segment(nothing, np.ones(shape, bool), 1.0, 1)[1] == min(1, nothing.size)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0, 500), st.integers(1, 20))
def test_segments_are_connected_cover_the_ground_and_are_large_enough(seed, scale, least):
    values, ground = field(seed)
    labels, count = segment(values, ground, scale, least)
    assert np.array_equal(labels > 0, ground)
    assert np.array_equal(np.unique(labels[ground]), np.arange(1, count + 1))
    whole, _ = ndimage.label(ground)
    for k in range(1, count + 1):
        here = labels == k
        assert ndimage.label(here)[1] == 1
        # A smaller one fills its island of ground.
        assert here.sum() >= least or here.sum() == (whole == whole[here][0]).sum()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 100))
def test_a_larger_scale_never_leaves_more_segments_than_pixels_alike(seed, scale):
    values, ground = field(seed)
    fine, coarse = segment(values, ground, 0.0, 1), segment(values, ground, scale, 1)
    assert coarse[1] <= fine[1]
    # Merging only joins: each piece of the finest level lies in one segment.
    pairs = np.unique(np.stack([fine[0][ground], coarse[0][ground]]), axis=1)
    assert pairs.shape[1] == fine[1]
