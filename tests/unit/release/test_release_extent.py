"""Boxes on a globe."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from core.release.extent import Extent, extent_of, footprint, merge_extents


def boxes(*spans: tuple[float, float]) -> np.ndarray:
    return np.array([shapely.box(west, 60, east, 61) for west, east in spans], dtype=object)


@pytest.mark.parametrize(
    ("spans", "west", "east"),
    [
        ([(7, 8), (10, 11)], 7, 11),
        ([(178, 180), (-180, -179)], 178, -179),
        ([(170, 171), (-175, -174)], 170, -174),
        ([(-170, -100), (-100, 20), (20, 180)], -170, 180),
        ([(-180, 180)], -180, 180),
    ],
)
def test_the_shorter_way_around_the_globe_is_taken(spans: list[tuple[float, float]], west: float, east: float) -> None:
    assert extent_of(boxes(*spans)) == (west, 60, east, 61)


def test_nothing_has_no_extent() -> None:
    assert extent_of(np.array([None], dtype=object)) is None
    assert merge_extents([None]) is None


spans = st.tuples(st.floats(-180, 179), st.floats(0.01, 1)).map(lambda s: (s[0], min(s[0] + s[1], 180.0)))


@given(st.lists(spans, min_size=1, max_size=8), st.integers(1, 7))
def test_merging_boxes_covers_every_geometry(lons: list[tuple[float, float]], cut: int) -> None:
    shapes = boxes(*lons)
    merged = merge_extents([extent_of(shapes[:cut]), extent_of(shapes[cut:])])
    assert merged is not None
    area = shapely.geometry.shape(footprint(merged)).buffer(1e-9)
    assert shapely.covers(area, shapes).all()


@given(spans, spans)
def test_a_footprint_is_valid_and_within_the_map(one: tuple[float, float], other: tuple[float, float]) -> None:
    extent: Extent | None = extent_of(boxes(one, other))
    assert extent is not None
    area = shapely.geometry.shape(footprint(extent))
    assert area.is_valid and area.bounds[0] >= -180 and area.bounds[2] <= 180
