"""Mean position of a front: area between lines, divided by width."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.measure.front_position import flow_axis, front_position

SOUTH = shapely.LineString([(500, 5000), (500, 0)])  # flow towards the south, along x = 500
heights = st.lists(st.floats(-800, 800), min_size=11, max_size=11)


def front(y, x=None) -> shapely.LineString:
    x = np.linspace(0, 1000, len(y)) if x is None else x
    return shapely.LineString(np.column_stack([x, y]))


@given(heights, st.floats(-700, 700), st.booleans())
def test_a_front_moved_along_the_flow_by_d_advanced_by_d(y, d, back):
    reference = front(2000 + np.array(y))
    moved = shapely.transform(reference, lambda xy: xy - [0, d])
    found = front_position(shapely.reverse(moved) if back else moved, reference, SOUTH)
    assert found.change_m == pytest.approx(d, abs=1e-6)
    assert found.width_m == pytest.approx(1000) and found.spanned == pytest.approx(1)


@given(heights, heights)
def test_the_change_is_the_area_between_divided_by_the_width(y, z):
    one, other = front(2000 + np.array(y)), front(2000 + np.array(z))

    def area(line):
        return shapely.Polygon([(0, 5000), *line.coords, (1000, 5000)]).area

    found = front_position(other, one, SOUTH)
    assert found.change_m == pytest.approx((area(other) - area(one)) / 1000, abs=1e-6)
    assert front_position(one, other, SOUTH).change_m == pytest.approx(-found.change_m, abs=1e-6)
    assert found.along_m == pytest.approx(area(other) / 1000, abs=1e-6)


def test_a_bay_that_widens_inwards_counts_with_its_whole_area():
    straight = front([2000, 2000], [0, 1000])
    # Mouth 200 m wide, 500 m behind it a room 600 m wide and 300 m deep.
    bay = front(
        [2000, 2000, 2500, 2500, 2800, 2800, 2500, 2500, 2000, 2000],
        [0, 400, 400, 200, 200, 800, 800, 600, 600, 1000],
    )
    assert front_position(bay, straight, SOUTH).change_m == pytest.approx(-(200 * 500 + 600 * 300) / 1000)


def test_what_lies_outside_the_box_does_not_count():
    reference = front([2000, 2000], [0, 1000])
    wide = front([9000, 2000, 1900, 1900, 2000, 9000], [-1000, -1, 0, 1000, 1001, 2000])
    assert front_position(wide, reference, SOUTH).change_m == pytest.approx(100)


def test_a_short_front_goes_on_straight_across_and_says_how_much_it_spans():
    reference = front([2000, 2000], [0, 1000])
    found = front_position(front([1900, 1900], [250, 750]), reference, SOUTH)
    assert found.change_m == pytest.approx(100) and found.spanned == pytest.approx(0.5)
    assert front_position(front([1900, 1900], [2000, 3000]), reference, SOUTH) is None
    assert front_position(None, reference, SOUTH) is None
    assert front_position(shapely.LineString(), reference, SOUTH) is None


def test_parts_of_a_front_are_joined_across_their_gap():
    reference = front([2000, 2000], [0, 1000])
    parts = shapely.MultiLineString([[(1000, 1700), (600, 1700)], [(0, 1900), (400, 1900)]])
    assert front_position(parts, reference, SOUTH).change_m == pytest.approx(200)


def test_along_a_bent_axis_the_change_is_measured_along_the_bend():
    angle = np.linspace(0, np.pi / 2, 2001)
    axis = shapely.LineString(3000 * np.column_stack([np.cos(angle), np.sin(angle)]))

    def across(at: float) -> shapely.LineString:
        return shapely.LineString([(r * np.cos(at), r * np.sin(at)) for r in (2500, 3500)])

    found = front_position(across(1.2), across(0.7), axis)
    assert found.change_m == pytest.approx(3000 * 0.5, rel=1e-3)
    assert found.width_m == pytest.approx(1000, rel=1e-3)


def test_a_front_beyond_the_end_of_the_axis_has_a_place():
    axis = shapely.LineString([(500, 5000), (500, 2500)])
    found = front_position(front([1000, 1000], [0, 1000]), front([2000, 2000], [0, 1000]), axis)
    assert found.change_m == pytest.approx(1000) and found.along_m == pytest.approx(4000)


@given(st.floats(0, 6.28))
def test_the_straight_axis_leads_out_of_the_ice(turn):
    def turned(xy):
        return xy @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    glacier = shapely.transform(shapely.box(0, 0, 100, 900), turned)
    reference = shapely.transform(shapely.LineString([(0, 0), (50, 20), (100, 0)]), turned)
    axis = flow_axis(reference, glacier)
    assert axis.length == pytest.approx(200)
    advanced = shapely.transform(shapely.LineString([(0, -70), (50, -50), (100, -70)]), turned)
    assert front_position(advanced, reference, axis).change_m == pytest.approx(70, abs=1e-6)


def test_what_has_no_width_or_no_ends_is_refused():
    with pytest.raises(ConfigError, match="width"):
        front_position(SOUTH, SOUTH, SOUTH)
    with pytest.raises(ConfigError, match="length"):
        front_position(SOUTH, shapely.LineString(), SOUTH)
    ring = shapely.LineString([(0, 0), (1, 0), (1, 1), (0, 0)])
    with pytest.raises(ConfigError, match="two ends"):
        flow_axis(ring, shapely.box(0, 0, 1, 1))
