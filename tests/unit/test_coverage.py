"""Coverage: exact against two independent implementations, and the same number whatever window a pixel was asked in."""

from __future__ import annotations

import random

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_glaciers import blob, multi_stars, objects, on_lattice, stars
from shapely.geometry import MultiPolygon, Polygon, box

from core import coverage
from core.coverage import coverage_packed, coverage_share, coverage_sums
from core.errors import SystemicError
from core.grid import Lattice, PixelWindow, Zone

LATTICE = Lattice(Zone("utm32n"), 30)
ORIGIN = PixelWindow(160_000, 160_020, 16_000, 16_020)
EXACT = 2e-6  # shares below 1e-6 and above 1 − 1e-6 are rounded to 0 and 1


def overlaps(geometry_px: shapely.Geometry, window: PixelWindow) -> np.ndarray:
    """Share of each pixel by intersecting it with the polygon; coordinates in pixels of `ORIGIN`."""
    rows, cols = np.meshgrid(
        np.arange(window.row0, window.row1) - ORIGIN.row0,
        np.arange(window.col0, window.col1) - ORIGIN.col0,
        indexing="ij",
    )
    return shapely.area(shapely.intersection(shapely.box(cols, rows, cols + 1, rows + 1), geometry_px))


def share(geometry_px: shapely.Geometry, window: PixelWindow) -> np.ndarray:
    return coverage_share(objects(on_lattice(geometry_px, LATTICE, ORIGIN)), LATTICE, window)


@st.composite
def windows(draw: st.DrawFn) -> PixelWindow:
    """Windows that hold, cut, lie inside or miss what is drawn around [0, 20]²."""
    row, col = draw(st.integers(-15, 30)), draw(st.integers(-15, 30))
    size = st.integers(1, 24)
    row0, col0 = ORIGIN.row0 + row, ORIGIN.col0 + col
    return PixelWindow(row0, row0 + draw(size), col0, col0 + draw(size))


@settings(max_examples=120)
@given(multi_stars(), windows())
@example(box(0, 0, 20, 20), ORIGIN)
@example(box(3, 4, 5, 9), ORIGIN)
@example(box(-1e4, -1e4, 1e4, 1e4), ORIGIN)
@example(Polygon([(-5, 10), (25, 10.0001), (25, 10.0002)]), ORIGIN)
@example(Polygon([(-1e5, -3e4), (2e5, 9e4), (-4e4, 1.2e5)]), ORIGIN)
@example(Polygon([(2.25, 2.25), (2.5, 2.25), (2.5, 2.5)]), PixelWindow(160_002, 160_003, 16_002, 16_003))
@example(box(20, 0, 30, 20), ORIGIN)
def test_shares_are_those_of_the_intersections_with_every_pixel(polygon, window):
    found = share(polygon, window)
    assert found.shape == window.shape
    assert found.dtype == np.float32
    truth = overlaps(polygon, window)
    np.testing.assert_allclose(found, truth, atol=EXACT)
    assert (found[truth < 1e-9] == 0).all(), "dust where nothing is"
    assert (found[truth > 1 - 1e-9] == 1).all(), "less than all where all is covered"


@settings(max_examples=60)
@given(multi_stars())
def test_shares_are_those_of_exactextract(polygon):
    exactextract = pytest.importorskip("exactextract")
    from exactextract.raster import NumPyRasterSource

    # Off the grid: where corners lie on pixel borders, exactextract 0.3.0 loses whole pixels, which shapely confirms.
    polygon = shapely.transform(polygon, lambda xy: xy + np.array([0.000317, 0.000271]))
    window = ORIGIN.pad(12)
    rows, cols = window.shape
    raster = NumPyRasterSource(
        np.arange(window.size, dtype=np.float64).reshape(window.shape),
        xmin=-12,
        xmax=cols - 12,
        ymin=-rows + 12,
        ymax=12,
    )
    flipped = shapely.transform(polygon, lambda xy: xy * [1, -1])
    feature = {"type": "Feature", "geometry": shapely.geometry.mapping(flipped), "properties": {}}
    found = exactextract.exact_extract(raster, feature, ["values", "coverage"])[0]["properties"]
    expected = np.zeros(window.size)
    expected[np.asarray(found["values"], dtype=int)] = found["coverage"]
    np.testing.assert_allclose(share(polygon, window), expected.reshape(window.shape), atol=1e-5)


@given(multi_stars())
def test_the_shares_of_a_polygon_sum_to_its_area(polygon):
    found = share(polygon, ORIGIN.pad(30))
    assert np.sum(found, dtype=np.float64) == pytest.approx(polygon.area, abs=EXACT * np.count_nonzero(found) + 1e-9)


@given(multi_stars(), st.integers(-5000, 5000), st.integers(-5000, 5000))
def test_moving_polygon_and_window_by_whole_pixels_changes_nothing(polygon, rows, cols):
    moved = shapely.transform(polygon, lambda xy: xy + np.array([cols, rows]))
    w = ORIGIN
    there = PixelWindow(w.row0 + rows, w.row1 + rows, w.col0 + cols, w.col1 + cols)
    np.testing.assert_allclose(share(moved, there), share(polygon, w), atol=EXACT)


@given(multi_stars(), windows(), st.integers(0, 40), st.integers(0, 40))
def test_a_pixel_has_the_same_share_in_any_window(polygon, window, more_rows, more_cols):
    larger = PixelWindow(window.row0 - more_rows, window.row1 + 7, window.col0 - 3, window.col1 + more_cols)
    cut = share(polygon, larger)[window.slices(larger)]
    np.testing.assert_allclose(cut, share(polygon, window), atol=EXACT)


@given(stars(hole=False), st.floats(-3, 3), st.floats(0, 20))
def test_neighbours_along_a_shared_edge_fill_exactly_what_their_union_fills(polygon, slope, offset):
    upper = Polygon([(-99, offset - 99 * slope), (99, offset + 99 * slope), (99, 999), (-99, 999)])
    parts = [shapely.intersection(polygon, upper), shapely.difference(polygon, upper)]
    found = sum(share(p, ORIGIN.pad(12)) for p in parts if p.area > 0)
    np.testing.assert_allclose(found, share(polygon, ORIGIN.pad(12)), atol=2 * EXACT)


@given(stars(), stars())
def test_overlapping_polygons_add_up_and_are_clipped_at_one(a, b):
    both = objects(*(on_lattice(p, LATTICE, ORIGIN) for p in (a, b)))
    expected = np.minimum(1, share(a, ORIGIN).astype(float) + share(b, ORIGIN))
    np.testing.assert_allclose(coverage_share(both, LATTICE, ORIGIN), expected, atol=2 * EXACT)


@given(stars(hole=True, on_grid=False))
def test_the_direction_of_rings_does_not_matter(polygon):
    backwards = shapely.reverse(polygon)
    clockwise = Polygon(polygon.exterior.coords[::-1], [r.coords for r in polygon.interiors])
    for other in (backwards, clockwise):
        np.testing.assert_allclose(share(other, ORIGIN), share(polygon, ORIGIN), atol=EXACT)


@given(st.lists(st.tuples(multi_stars(), windows()), min_size=1, max_size=6))
def test_many_in_one_pass_are_the_same_as_one_by_one(pairs):
    geometry = objects(*(on_lattice(p, LATTICE, ORIGIN) for p, _ in pairs))
    packed = coverage_packed(geometry, [w for _, w in pairs], LATTICE)
    for (polygon, window), found in zip(pairs, packed, strict=True):
        assert found.shape == window.shape
        np.testing.assert_allclose(found, share(polygon, window), atol=EXACT)


@given(st.lists(st.tuples(multi_stars(), windows()), min_size=1, max_size=5), st.integers(1, 300), st.randoms())
@example([(box(-30, -30, 50, 50), ORIGIN)], 50, random.Random(0))
def test_sums_are_those_of_shares_times_values_in_bands_or_not(pairs, band_px, rng):
    """Also of polygons that are larger than their window, or beside it."""
    geometry, within = objects(*(on_lattice(p, LATTICE, ORIGIN) for p, _ in pairs)), [w for _, w in pairs]
    held = ORIGIN.pad(60)
    bits = np.random.default_rng(rng.randrange(1 << 30))
    truth_of = coverage_packed(geometry, within, LATTICE)
    for values in (bits.integers(0, 256, held.shape, dtype=np.uint8), bits.normal(size=held.shape) < 0.3):
        truth = [np.sum(s * values[w.slices(held)].astype(float)) for s, w in zip(truth_of, within, strict=True)]
        whole = coverage_sums(geometry, within, LATTICE, values, held)
        np.testing.assert_allclose(whole, truth, atol=255 * 24**2 * EXACT)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(coverage, "_BAND_PX", band_px)
            np.testing.assert_allclose(coverage_sums(geometry, within, LATTICE, values, held), whole, atol=1e-6)


def test_a_sum_of_ones_is_the_area():
    polygon, window = blob(900, 800, 600), PixelWindow(160_000, 161_600, 16_000, 17_800)
    assert window.size > coverage._BAND_PX
    geometry = objects(on_lattice(polygon, LATTICE, ORIGIN))
    found = coverage_sums(geometry, [window], LATTICE, np.ones(window.shape, dtype=np.float32), window)
    assert found == pytest.approx([polygon.area], rel=1e-9)


def test_a_window_beyond_the_values_is_refused():
    geometry = objects(on_lattice(box(0, 0, 20, 20), LATTICE, ORIGIN))
    with pytest.raises(SystemicError, match="within"):
        coverage_sums(geometry, [ORIGIN.pad(1)], LATTICE, np.ones(ORIGIN.shape), ORIGIN)


@given(st.lists(st.tuples(multi_stars(), windows()), min_size=1, max_size=5), st.integers(1, 300))
def test_work_in_bands_gives_the_same_as_in_one_go(pairs, band_px):
    geometry = objects(*(on_lattice(p, LATTICE, ORIGIN) for p, _ in pairs))
    whole = coverage_packed(geometry, [w for _, w in pairs], LATTICE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "_BAND_PX", band_px)
        banded = coverage_packed(geometry, [w for _, w in pairs], LATTICE)
    assert len(banded) == len(whole)
    for a, b in zip(banded, whole, strict=True):
        np.testing.assert_allclose(a, b, atol=EXACT)


def test_a_window_larger_than_a_band_has_no_seams():
    window = PixelWindow(160_000, 161_600, 16_000, 17_800)
    assert window.size > coverage._BAND_PX
    polygon = blob(900, 800, 600)
    found = share(polygon, window)
    assert np.sum(found, dtype=np.float64) == pytest.approx(polygon.area, rel=1e-9)
    assert found[700:900, 800:1000].min() == 1.0


@given(windows())
def test_what_lies_outside_the_window_leaves_no_dust(window):
    far = MultiPolygon([box(-400, -400, -300, 500), box(300, -400, 400, 500), box(-200, 300, 200, 350)])
    assert not share(far, window).any()


def test_polygons_that_only_touch_the_window_cover_nothing_of_it():
    around = box(-10, -10, 30, 30).difference(box(0, 0, 20, 20))
    assert not share(around, ORIGIN).any()
    assert share(box(0, 0, 20, 20), ORIGIN).min() == 1.0


def test_nothing_covers_nothing():
    assert not coverage_share(objects(), LATTICE, ORIGIN).any()
    assert coverage_packed(objects(), [], LATTICE) == []
    assert not share(Polygon(), ORIGIN).any()
