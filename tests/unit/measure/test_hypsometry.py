"""Hypsometry: thousandths that add up to 1000 and lie where the ice is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.measure.hypsometry import hypsometry, hypsometry_rows

elevations = st.floats(-100, 8800, width=32)
weights = st.floats(0, 1e3).filter(lambda w: w == 0 or w > 1e-9)
columns = st.lists(st.tuples(elevations, weights), max_size=60)


@given(columns)
@example([(-1e-45, 1.0)])  # a division by 50 m would make it 0
def test_thousandths_add_up_and_each_is_within_one_of_the_exact_share(pairs):
    z = np.array([p[0] for p in pairs], np.float32)
    w = np.array([p[1] for p in pairs], np.float64)
    found = hypsometry(z, w)
    if w.sum() == 0:
        assert found == {}
        return
    assert sum(found.values()) == 1000
    assert list(found) == list(range(min(found), max(found) + 50, 50))
    for band, part in found.items():
        exact = w[(z >= band) & (z < band + 50)].sum() / w.sum() * 1000
        assert part >= 0 and abs(part - exact) < 1 + 1e-6
        assert exact > 0 or part == 0
    used = z[w > 0]
    assert min(found) <= used.min() and used.max() < max(found) + 50


def test_an_edge_belongs_to_the_band_above_and_negative_bands_are_below_zero():
    z = np.array([-0.5, 0.0, 49.99, 50.0], np.float32)
    assert hypsometry(z, np.ones(4)) == {-50: 250, 0: 500, 50: 250}


def test_what_is_left_goes_to_the_largest_remainders_and_of_equal_ones_to_the_lower():
    assert hypsometry(np.array([10, 60, 110], np.float32), np.ones(3)) == {0: 334, 50: 333, 100: 333}
    assert hypsometry(np.array([10, 160], np.float32), np.array([1.4, 998.6])) == {0: 1, 50: 0, 100: 0, 150: 999}
    assert hypsometry(np.array([10, 160], np.float32), np.array([1.6, 998.4])) == {0: 2, 50: 0, 100: 0, 150: 998}


def test_a_hundred_thousand_pixels_are_as_one():
    z = np.full(100_000, 3010, np.float32)
    assert hypsometry(z, np.full(100_000, 9e-4, np.float32)) == {3000: 1000}


@pytest.mark.parametrize("bands", [{}, {2500: 400, 2550: 600}])
def test_a_glacier_has_a_row_per_band(bands):
    row = {"rgi_id": "RGI2000-v7.0-G-11-00001", "o1region": "11", "year": 2023, "run_id": "r", "area_km2": 1.0}
    found = hypsometry_rows(row, bands)
    assert [(r["band_m"], r["thousandths"]) for r in found] == list(bands.items())
    assert all(
        {k: r[k] for k in ("rgi_id", "o1region", "year", "run_id")} == {k: row[k] for k in r if k in row} for r in found
    )
