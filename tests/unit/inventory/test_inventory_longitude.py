"""Continuous longitudes inside, cut ones outside, and nothing lost between."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon

from core.inventory import area_km2, split_antimeridian, unwrap_longitudes


def one(geometry: object) -> np.ndarray:
    out = np.empty(1, dtype=object)
    out[0] = geometry
    return out


def star(lon: float, lat: float, radius: float, arms: int, hole: bool) -> Polygon:
    """A valid star-shaped polygon, continuous in longitude; with a hole if asked."""
    angle = np.linspace(0, 2 * np.pi, 4 * arms, endpoint=False)
    r = radius * (1 + 0.4 * np.cos(arms * angle))
    shell = np.column_stack([lon + r * np.cos(angle), lat + 0.5 * r * np.sin(angle)])
    inner = np.column_stack([lon + 0.3 * radius * np.cos(angle), lat + 0.15 * radius * np.sin(angle)])
    return Polygon(shell, [inner] if hole else [])


stars = st.builds(
    star,
    lon=st.floats(-180, 179.99),
    lat=st.floats(-84, 84),
    radius=st.floats(0.001, 3),
    arms=st.integers(3, 12),
    hole=st.booleans(),
)


def wrapped(geometry: np.ndarray) -> np.ndarray:
    """As many files have it: every vertex in [−180, 180), rings that jump."""
    return shapely.transform(geometry, lambda xy: np.column_stack([(xy[:, 0] + 180) % 360 - 180, xy[:, 1]]))


@given(stars)
def test_unwrapping_a_ring_that_jumps_gives_back_the_continuous_ring(polygon: Polygon) -> None:
    middle = (polygon.bounds[0] + polygon.bounds[2]) / 2
    expected = shapely.transform(polygon, lambda xy: xy - [360 * np.floor((middle + 180) / 360), 0])
    got = unwrap_longitudes(wrapped(one(polygon)))[0]
    assert got.is_valid
    shift = round((got.bounds[0] - expected.bounds[0]) / 360) * 360  # a box centred on ±180 may go to either side
    assert shapely.equals_exact(shapely.transform(got, lambda xy: xy - [shift, 0]), expected, tolerance=1e-9)


@given(stars)
def test_splitting_and_unwrapping_again_gives_the_same_outline_and_area(polygon: Polygon) -> None:
    whole = unwrap_longitudes(one(polygon))
    parts = split_antimeridian(whole)
    xmin, _, xmax, _ = parts[0].bounds
    assert -180 <= xmin <= xmax <= 180
    assert parts[0].is_valid
    # A vertex is added where a straight edge of the lon/lat plane is cut, so the area may move in the sixth digit.
    np.testing.assert_allclose(area_km2(parts), area_km2(whole), rtol=1e-5)
    again = unwrap_longitudes(parts)
    assert again[0].is_valid
    assert abs(again[0].area / whole[0].area - 1) < 1e-6
    assert shapely.get_num_geometries(again[0]) == 1
    assert len(shapely.get_rings(again[0])) == len(shapely.get_rings(whole[0]))


@given(stars)
def test_what_does_not_cross_comes_back_untouched(polygon: Polygon) -> None:
    inside = one(polygon)
    if polygon.bounds[0] >= -180 and polygon.bounds[2] <= 180:
        assert split_antimeridian(inside)[0] is polygon
        assert shapely.equals_exact(unwrap_longitudes(inside)[0], polygon, tolerance=0)


def test_unwrapping_changes_no_digit_of_the_source_longitudes() -> None:
    ring = Polygon([(179.1234567, 60), (-179.7654321, 60), (-179.7654321, 61), (179.1234567, 61)])
    got = set(shapely.get_coordinates(unwrap_longitudes(one(ring))[0])[:, 0])
    assert got <= {179.1234567, -179.7654321 + 360} or got <= {179.1234567 - 360, -179.7654321}


def test_parts_on_both_sides_become_one_polygon_without_a_seam() -> None:
    split = MultiPolygon([shapely.box(179.5, 70, 180, 71), shapely.box(-180, 70, -179.25, 71)])
    got = unwrap_longitudes(one(split))[0]
    assert got.geom_type == "Polygon"
    assert got.equals(shapely.box(-180.5, 70, -179.25, 71))


def test_a_seam_that_is_a_tenth_of_a_metre_off_is_still_dissolved() -> None:
    split = MultiPolygon([shapely.box(179.5, 70, 179.9999995, 71), shapely.box(-179.9999995, 70, -179, 71)])
    assert unwrap_longitudes(one(split))[0].geom_type == "Polygon"


def test_parts_that_do_not_touch_stay_parts_side_by_side() -> None:
    apart = MultiPolygon([shapely.box(179.0, 70, 179.5, 71), shapely.box(-179.5, 70, -179, 71)])
    got = unwrap_longitudes(one(apart))[0]
    assert got.geom_type == "MultiPolygon"
    assert got.bounds[2] - got.bounds[0] == pytest.approx(2.0)


def test_a_hole_that_was_cut_by_the_antimeridian_is_a_hole_again() -> None:
    ring = Polygon(shapely.box(179, -1, 181, 1).exterior, [shapely.box(179.5, -0.5, 180.5, 0.5).exterior])
    parts = split_antimeridian(one(ring))
    assert parts[0].geom_type == "MultiPolygon"
    again = unwrap_longitudes(parts)[0]
    assert len(again.interiors) == 1
    assert again.area == pytest.approx(3.0)


def test_longitudes_counted_from_0_to_360_come_to_the_usual_side() -> None:
    got = unwrap_longitudes(one(shapely.box(349, 64, 350, 65)))[0]
    assert got.bounds == (-11, 64, -10, 65)


def test_a_polar_cap_with_vertices_at_the_pole_is_not_broken() -> None:
    lon = np.linspace(-180, 180, 73)
    coast = np.column_stack([lon, -70 + np.sin(np.radians(3 * lon))])
    cap = Polygon([*coast, (180, -90), (-180, -90)])
    got = unwrap_longitudes(one(cap))
    assert shapely.equals_exact(got[0], cap, tolerance=0)
    assert got[0].is_valid
    assert split_antimeridian(got)[0] is got[0]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_ring_around_a_pole_is_closed_over_the_pole(sign: int) -> None:
    lon = np.arange(0, 360, 5.0)
    lon = np.where(lon >= 180, lon - 360, lon)
    cap = unwrap_longitudes(one(Polygon([(x, sign * 85.0) for x in lon])))
    assert cap[0].is_valid
    # Archimedes' cap on the sphere, 2πR²(1 − sin φ); the ellipsoid is within 1 %.
    assert area_km2(cap)[0] == pytest.approx(2 * np.pi * 6371.0**2 * (1 - np.sin(np.radians(85))), rel=0.01)
    parts = split_antimeridian(cap)
    assert parts[0].is_valid
    assert parts[0].bounds[0] >= -180
    assert parts[0].bounds[2] <= 180
    np.testing.assert_allclose(area_km2(parts), area_km2(cap), rtol=1e-9)


def test_missing_and_empty_geometries_pass_through() -> None:
    odd = np.array([None, Polygon(), shapely.box(0, 0, 1, 1)], dtype=object)
    for got in (unwrap_longitudes(odd), split_antimeridian(odd)):
        assert got[0] is None
        assert got[1].is_empty
        assert got[2].equals(odd[2])


def test_the_input_array_is_left_alone() -> None:
    crossing = one(Polygon([(179, 60), (-179, 60), (-179, 61), (179, 61)]))
    before = crossing[0]
    unwrap_longitudes(crossing)
    assert crossing[0] is before


def test_published_parts_turn_counter_clockwise() -> None:
    parts = split_antimeridian(one(shapely.box(179, 60, 181, 61, ccw=False)))[0]
    assert all(p.exterior.is_ccw for p in parts.geoms)
