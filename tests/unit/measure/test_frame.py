"""Frames are those of numpy.pad, and cells those of padding and reshaping."""

from __future__ import annotations

import numpy as np
import pytest

from core.measure.frame import framed, whole_cells


@pytest.mark.parametrize("array", [np.arange(6).reshape(2, 3), np.ones((1, 1), bool), np.zeros((0, 4), np.float32)])
def test_a_frame_is_that_of_padding(array):
    found = framed(array)
    np.testing.assert_array_equal(found, np.pad(array, 1))
    assert found.dtype == array.dtype


def test_a_frame_has_the_value_that_is_asked_for():
    np.testing.assert_array_equal(framed(np.zeros((2, 2)), np.nan), np.pad(np.zeros((2, 2)), 1, constant_values=np.nan))


@pytest.mark.parametrize(("shape", "n"), [((4, 6), 2), ((5, 7), 3), ((2, 2), 5), ((3, 3), 1)])
def test_cells_hold_every_pixel_once_and_zeros_beyond(shape, n):
    array = np.arange(1, 1 + np.prod(shape)).reshape(shape)
    cells = whole_cells(array, n)
    rows, cols = (-(-size // n) for size in shape)
    assert cells.shape == (rows, n, cols, n)
    padded = np.zeros((rows * n, cols * n), int)
    padded[: shape[0], : shape[1]] = array
    np.testing.assert_array_equal(cells.reshape(rows * n, cols * n), padded)
