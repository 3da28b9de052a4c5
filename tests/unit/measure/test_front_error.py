"""Distances between fronts: exact where geometry says what they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.measure.front_error import front_distances, mean_distance_error, pooled_error

coordinate = st.integers(-50, 50).map(float)
lines = st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=8, unique=True).map(shapely.LineString)


@given(lines)
def test_a_line_is_no_distance_from_itself(line):
    assert mean_distance_error(line, line, 0.5) == pytest.approx(0, abs=1e-9)


@given(lines, lines)
def test_the_error_is_symmetric_and_within_the_hausdorff_distance(a, b):
    error = mean_distance_error(a, b, 0.7)
    assert error == pytest.approx(mean_distance_error(b, a, 0.7))
    assert 0 <= error <= shapely.hausdorff_distance(a, b, 0.05) + 0.7


@given(st.floats(0, 6.28), st.floats(0.1, 40), st.floats(5, 200))
def test_a_straight_line_moved_sideways_by_d_errs_by_d(angle, d, length):
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    line = shapely.LineString([along * 0, along * length])
    moved = shapely.LineString([d * across, d * across + along * length])
    assert mean_distance_error(line, moved, 1.0) == pytest.approx(d)


def test_a_front_that_is_drawn_too_far_errs_by_its_excess():
    short, long = shapely.LineString([(0, 0), (10, 0)]), shapely.LineString([(0, 0), (20, 0)])
    # 200 points of the long line, half of them 0 … 10 away, and 100 of the short one: 500 / 300.
    assert mean_distance_error(long, short, 0.1) == pytest.approx(5 / 3)


def test_the_parts_of_a_front_count_by_their_length():
    one = shapely.LineString([(0, 1), (10, 1)])
    both = shapely.MultiLineString([[(0, 1), (10, 1)], [(0, 4), (10, 4)]])
    assert mean_distance_error(both, one, 0.5) == pytest.approx((0 + 3 + 0) / 3)


@given(lines, lines)
def test_distances_are_those_to_the_line_and_not_to_its_points(a, b):
    assume(a.length > 1 and b.length > 1)
    found = front_distances(a, b, 2.0)
    n = math.ceil(a.length / 2.0)
    points = [a.interpolate((k + 0.5) / n * a.length) for k in range(n)]
    assert found[:n] == pytest.approx([p.distance(b) for p in points], abs=1e-9)


def test_images_are_pooled_by_their_points():
    assert pooled_error([np.array([1.0, 1.0, 1.0]), np.array([5.0])]) == 2.0
    assert math.isnan(pooled_error([]))


@pytest.mark.parametrize("step", [0.0, -1.0, math.nan])
def test_steps_and_lines_without_a_length_are_refused(step):
    line = shapely.LineString([(0, 0), (1, 0)])
    with pytest.raises(ConfigError, match="step"):
        mean_distance_error(line, line, step)
    with pytest.raises(ConfigError, match="lengths"):
        mean_distance_error(line, shapely.LineString(), 1.0)
