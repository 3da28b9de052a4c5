"""Outlines: valid, closed, as large as the ice, and never over a neighbour's."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_glaciers import blob, objects, on_lattice

from core.coverage import coverage_share
from core.grid import ALLOWED_RES_M, Lattice, PixelWindow, Zone
from core.measure.outline import outline

ZONE = Zone("utm32n")
LATTICE = Lattice(ZONE, 10)
WINDOW = PixelWindow(490_000, 490_012, 50_000, 50_014)
# One half exactly, and numbers just beside it, are where rings degenerate.
shares = st.sampled_from([0.0, 0.25, 0.4999999, 0.5, 0.50000006, 0.75, 1.0]) | st.floats(0, 1, width=32)
sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
grids = hnp.arrays(np.float32, sizes, elements=shares)
# Shares that add up to one exactly: where two lie within rounding of one half, so does the line between them.
divided = hnp.arrays(np.float32, sizes, elements=st.integers(0, 1024).map(lambda k: k / 1024))
whole = hnp.arrays(np.float32, sizes, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))


def at(shape: tuple[int, ...]) -> PixelWindow:
    return PixelWindow(WINDOW.row0, WINDOW.row0 + shape[0], WINDOW.col0, WINDOW.col0 + shape[1])


def area_px(geometry: shapely.Geometry) -> float:
    return geometry.area / LATTICE.res_m**2


@settings(max_examples=300)
@given(grids)
@example(np.array([[0.5]], np.float32))
@example(np.array([[0.5, 0.5], [0.5, 0.5]], np.float32))
@example(np.array([[1, 0], [0, 1]], np.float32))
@example(np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32))
@example(np.array([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]], np.float32))
def test_any_shares_give_a_valid_polygon_around_the_pixels_above_one_half(ice):
    found = outline(ice, LATTICE, at(ice.shape))
    assert found.is_valid
    assert found.geom_type in ("Polygon", "MultiPolygon")
    assert found.is_empty or found.area > 0
    x, y = LATTICE.centres_m(at(ice.shape))
    centres = shapely.points(*np.meshgrid(x, y))
    assert (shapely.distance(centres[ice > 0.5001], found) < 1e-6).all()
    inside = shapely.contains_properly(shapely.buffer(found, -1e-6), centres)
    assert not (inside & (ice < 0.4999)).any()


@settings(max_examples=300)
@given(divided, whole)
@example(np.array([[1, 0], [0, 1]], np.float32), np.ones((2, 2), np.float32))
@example(np.full((3, 3), 0.5, np.float32), np.ones((3, 3), np.float32))
def test_outlines_of_neighbours_never_overlap(share, ice):
    rows, cols = min(share.shape[0], ice.shape[0]), min(share.shape[1], ice.shape[1])
    share, ice = share[:rows, :cols], ice[:rows, :cols]
    one = outline(share * ice, LATTICE, at(share.shape))
    other = outline((1 - share) * ice, LATTICE, at(share.shape))
    assert shapely.intersection(one, other).area < 1e-3


@settings(max_examples=100)
@given(divided, whole)
def test_outlines_of_three_neighbours_never_overlap(a, b):
    rows, cols = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    one = a[:rows, :cols]
    two = (1 - one) * b[:rows, :cols]
    found = [outline(s, LATTICE, at(one.shape)) for s in (one, two, 1 - one - two)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert shapely.intersection(found[i], found[j]).area < 1e-3


def test_outlines_of_neighbours_meet_along_the_divide():
    body = on_lattice(blob(40, 40, 25), LATTICE, WINDOW)
    half = on_lattice(shapely.Polygon([(0, 10), (90, 55), (90, 0), (0, 0)]), LATTICE, WINDOW)
    window = LATTICE.cover(body.bounds).pad(2)
    ice = coverage_share(objects(body), LATTICE, window)
    parts = [shapely.intersection(body, half), shapely.difference(body, half)]
    found = [outline(coverage_share(objects(p), LATTICE, window), LATTICE, window) for p in parts]
    gap = outline(ice, LATTICE, window).area - sum(f.area for f in found)
    # Only the two ends, where three shares meet, are nobody's.
    assert 0 <= gap / LATTICE.res_m**2 < 3
    assert found[0].intersection(found[1]).length > 40 * LATTICE.res_m


@pytest.mark.parametrize("res_m", ALLOWED_RES_M)
def test_the_outline_of_exact_shares_has_the_area_of_the_truth(res_m):
    lattice, truth = Lattice(ZONE, res_m), blob(500_000, 5_150_000, 40 * res_m)
    window = lattice.cover(truth.bounds).pad(1)
    found = outline(coverage_share(objects(truth), lattice, window), lattice, window)
    assert found.area == pytest.approx(truth.area, rel=0.002)
    assert shapely.hausdorff_distance(found, truth) < 0.5 * res_m
    assert found.length == pytest.approx(truth.length, rel=0.01)


def test_a_hole_stays_a_hole():
    ring = on_lattice(blob(30, 30, 20).difference(blob(30, 30, 8)), LATTICE, WINDOW)
    window = LATTICE.cover(ring.bounds).pad(1)
    found = outline(coverage_share(objects(ring), LATTICE, window), LATTICE, window)
    assert found.geom_type == "Polygon"
    assert len(found.interiors) == 1
    assert found.area == pytest.approx(ring.area, rel=0.005)


def test_islands_in_a_lake_in_a_glacier_are_parts_of_their_own():
    ice = np.ones((11, 11), np.float32)
    ice[2:9, 2:9] = 0
    ice[4:7, 4:7] = 1
    found = outline(ice, LATTICE, at(ice.shape))
    assert found.geom_type == "MultiPolygon"
    assert sorted(len(p.interiors) for p in found.geoms) == [0, 1]


def test_a_saddle_gives_two_parts_or_one_but_never_a_bow_tie():
    for a, b in ((1.0, 0.0), (1.0, 0.2), (1.0, 0.4), (0.6, 0.0), (0.6, 0.45)):
        ice = np.array([[a, b], [b, a]], np.float32)
        found = outline(ice, LATTICE, at(ice.shape))
        assert found.is_valid
        assert found.geom_type == ("Polygon" if (a + b) / 2 > 0.5 else "MultiPolygon")


def test_a_single_pixel_is_a_diamond_at_its_centre():
    ice = np.zeros((5, 5), np.float32)
    ice[2, 3] = 1
    found = outline(ice, LATTICE, at(ice.shape))
    x, y = LATTICE.centres_m(at(ice.shape))
    assert (found.centroid.x, found.centroid.y) == pytest.approx((x[3], y[2]))
    assert area_px(found) == pytest.approx(0.5)


@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right", "all"])
def test_ice_at_the_edge_of_the_window_is_closed_half_a_pixel_outside(edge):
    ice = np.zeros((8, 8), np.float32)
    where = {"top": np.s_[:3, 2:6], "bottom": np.s_[5:, 2:6], "left": np.s_[2:6, :3], "right": np.s_[2:6, 5:]}
    ice[where.get(edge, np.s_[:, :])] = 1
    found = outline(ice, LATTICE, at(ice.shape))
    assert found.is_valid
    assert shapely.box(*LATTICE.bounds_m(at(ice.shape))).buffer(1e-6).contains(found)
    assert area_px(found) == pytest.approx(ice.sum(), abs=0.51)


@given(grids, st.integers(0, 5))
def test_the_outline_does_not_depend_on_the_window(ice, margin):
    inner = at(ice.shape)
    ice[ice == 0.5] = 0.51
    wide = outline(np.pad(ice, margin), LATTICE, inner.pad(margin))
    assert shapely.symmetric_difference(wide, outline(ice, LATTICE, inner)).area < 1e-6


def test_no_ice_is_an_empty_polygon():
    assert outline(np.full((4, 4), 0.49, np.float32), LATTICE, at((4, 4))).is_empty
