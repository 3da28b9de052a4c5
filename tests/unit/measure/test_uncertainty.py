"""The uncertainty of an area: each part against a formula or a brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.measure.uncertainty import AreaSigma, boundary_sigma, free_share, model_sigma


def brute_force(probability: np.ndarray, area: np.ndarray, res_m: float, correlation_m: float) -> float:
    sigma = (np.sqrt(probability * (1 - probability)) * area).ravel()
    y, x = (a.ravel() * res_m for a in np.indices(probability.shape))
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    return float(np.sqrt(sigma @ np.exp(-(distance**2) / (2 * correlation_m**2)) @ sigma))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 24), st.integers(1, 24), st.sampled_from([30.0, 60.0, 150.0, 300.0]))
def test_the_part_of_the_model_is_the_double_sum(seed, rows, cols, correlation_m):
    rng = np.random.default_rng(seed)
    probability = rng.random((rows, cols)).astype(np.float32)
    area = rng.uniform(0.0005, 0.001, (rows, cols)).astype(np.float32)
    found = model_sigma(probability, area, 30.0, correlation_m)
    assert found == pytest.approx(brute_force(probability, area, 30.0, correlation_m), rel=0.03)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.floats(0, 5000))
def test_it_lies_between_independence_and_full_correlation(seed, correlation_m):
    rng = np.random.default_rng(seed)
    probability = rng.random((30, 20)).astype(np.float32)
    area = np.full((30, 20), 0.0009, np.float32)
    sigma = np.sqrt(probability * (1 - probability)) * area
    found = model_sigma(probability, area, 30.0, correlation_m)
    assert np.sqrt((sigma.astype(float) ** 2).sum()) * 0.999 <= found <= sigma.astype(float).sum() * 1.001


def test_a_sure_map_has_no_model_part_and_votes_add_up_over_the_glacier():
    area = np.full((10, 10), 0.0009, np.float32)
    sure = np.ones((10, 10), np.float32)
    assert model_sigma(sure, area, 30.0, 300.0) == 0.0
    assert model_sigma(sure, area, 30.0, 300.0, np.full((10, 10), 0.1, np.float32)) == pytest.approx(0.009, rel=1e-5)
    # Votes that explain the whole variance leave nothing to correlate by place.
    half = np.full((10, 10), 0.5, np.float32)
    assert model_sigma(half, area, 30.0, 300.0, half) == pytest.approx(0.045, rel=1e-5)


def test_the_boundary_is_half_a_pixel_along_the_outline_without_divides():
    assert boundary_sigma(4000.0, 1.0, 30.0, 0.5) == pytest.approx(0.06)
    assert boundary_sigma(4000.0, 0.25, 10.0, 0.5) == pytest.approx(0.005)


def test_edges_against_other_glaciers_are_divides():
    ice, others = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    ice[1:5, 1:4] = True
    assert free_share(ice, others) == 1.0
    others[1:5, 4:7] = True  # along the whole east side: 4 of 14 sides of pixels
    assert free_share(ice, others) == pytest.approx(1 - 4 / 14)
    assert free_share(np.zeros((3, 3), bool), np.ones((3, 3), bool)) == 1.0


def test_parts_are_independent():
    assert AreaSigma(3.0, 4.0, 12.0).total == pytest.approx(13.0)
