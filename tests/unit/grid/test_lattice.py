"""The lattice: one piece of ground per block at every resolution, and no half pixel between any two ways of asking."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from made_glaciers import blob, geodesic_area_km2, lon_lat, objects

from core.coverage import coverage_share
from core.errors import ConfigError
from core.grid import ALLOWED_RES_M, BLOCK_M, Block, Lattice, PixelWindow, Zone, pixel_area_km2

ZONES = [Zone("utm32n"), Zone("utm18s"), Zone("upsn")]
zones = st.sampled_from(ZONES)
resolutions = st.sampled_from(ALLOWED_RES_M)
metres = st.integers(-100_000_000, 9_900_000_000).map(lambda mm: mm / 1000)

sizes = st.integers(1, 50_000_000).map(lambda mm: mm / 1000)


@st.composite
def windows(draw: st.DrawFn, low: int = -500, high: int = 3000) -> PixelWindow:
    row, col = draw(st.integers(low, high)), draw(st.integers(low, high))
    return PixelWindow(row, row + draw(st.integers(1, 700)), col, col + draw(st.integers(1, 700)))


@pytest.mark.parametrize("res_m", ALLOWED_RES_M)
@pytest.mark.parametrize("zone", ZONES, ids=lambda z: z.name)
def test_a_block_is_the_same_ground_at_every_resolution(zone, res_m):
    lattice, block = Lattice(zone, res_m), Block(zone, 226, 15)
    window = lattice.block_window(block)
    assert window.shape == (lattice.block_px, lattice.block_px)
    assert lattice.block_px * res_m == BLOCK_M
    assert lattice.bounds_m(window) == block.bounds_m
    assert lattice.cover(block.bounds_m) == window
    assert list(lattice.blocks(window)) == [block]


@pytest.mark.parametrize("res_m", [5, 15, 25, 40, 0, 90])
def test_a_resolution_that_does_not_divide_a_block_is_refused(res_m):
    with pytest.raises(ConfigError, match="resolution"):
        Lattice(ZONES[0], res_m)


@given(zones, resolutions, metres, metres, sizes, sizes)
def test_a_cover_contains_the_bounds_and_no_row_or_column_too_many(zone, res_m, x, y, width, height):
    lattice = Lattice(zone, res_m)
    cover = lattice.cover((x, y, x + width, y + height))
    xmin, ymin, xmax, ymax = lattice.bounds_m(cover)
    assert xmin <= x < xmin + res_m
    assert ymax - res_m < y + height <= ymax
    assert xmax - res_m < x + width <= xmax
    assert ymin <= y < ymin + res_m


@given(zones, resolutions, windows())
def test_transform_bounds_centres_and_fractional_pixels_say_the_same(zone, res_m, window):
    lattice = Lattice(zone, res_m)
    rows, cols = window.shape
    a, (xmin, ymin, xmax, ymax) = lattice.transform(window), lattice.bounds_m(window)
    assert a @ (0, 0) == (xmin, ymax)
    assert a @ (cols, rows) == (xmax, ymin)
    assert lattice.cover((xmin, ymin, xmax, ymax)) == window
    x, y = lattice.centres_m(window)
    assert (len(y), len(x)) == window.shape
    assert a @ (0.5, 0.5) == (x[0], y[0])
    assert a @ (cols - 0.5, rows - 0.5) == (x[-1], y[-1])
    row, col = lattice.to_pixels(np.array([x[-1], xmin]), np.array([y[-1], ymax]))
    assert list(row) == [window.row1 - 0.5, window.row0]
    assert list(col) == [window.col1 - 0.5, window.col0]


@given(zones, resolutions, windows(low=0, high=30_000))
def test_the_blocks_of_a_window_tile_it_without_overlap(zone, res_m, window):
    lattice = Lattice(zone, res_m)
    parts = [lattice.block_window(b).intersect(window) for b in lattice.blocks(window)]
    assert all(not p.empty for p in parts)
    assert sum(p.size for p in parts) == window.intersect(lattice.window).size
    assert all(a.intersect(b).empty for a, b in itertools.combinations(parts, 2))


@given(zones, st.sampled_from((30, 120)), st.lists(windows(low=-200, high=5000), min_size=1, max_size=5))
def test_the_part_of_a_block_is_the_smallest_rectangle_around_all_windows_in_it(zone, res_m, some):
    lattice = Lattice(zone, res_m)
    parts = lattice.parts(some)
    assert set(parts) == {block for window in some for block in lattice.blocks(window)}
    for block, part in parts.items():
        whole = lattice.block_window(block)
        inside = [w.intersect(whole) for w in some if not w.intersect(whole).empty]
        assert part.row0 == min(w.row0 for w in inside) and part.row1 == max(w.row1 for w in inside)
        assert part.col0 == min(w.col0 for w in inside) and part.col1 == max(w.col1 for w in inside)


@pytest.mark.parametrize("res_m", ALLOWED_RES_M)
def test_a_window_beyond_the_zone_has_only_the_blocks_inside(res_m):
    for zone in ZONES:
        lattice = Lattice(zone, res_m)
        rows, cols = lattice.shape
        last = Block(zone, rows // lattice.block_px - 1, cols // lattice.block_px - 1)
        assert list(lattice.blocks(lattice.block_window(last).pad(3 * lattice.block_px)))[-1] == last
        assert list(lattice.blocks(PixelWindow(-50, 1, -50, 1))) == [Block(zone, 0, 0)]
        assert list(lattice.blocks(PixelWindow(-50, 0, 0, 10))) == []
        assert list(lattice.blocks(PixelWindow(rows, rows + 9, 0, 10))) == []
        assert list(lattice.blocks(PixelWindow(0, 10, cols, cols + 9))) == []


@given(zones, st.integers(0, 331), st.integers(0, 130))
def test_block_names_round_trip(zone, row, col):
    block = Block(zone, row, col)
    assert Block.parse(block.name) == block


@pytest.mark.parametrize(
    "name", ["utm45n", "utm45n-r1-c015", "utm61n-r226-c015", "utm45n-r226-c015x", "utm45n-r-01-c015"]
)
def test_a_name_that_is_no_block_is_refused(name):
    with pytest.raises(ConfigError):
        Block.parse(name)


@given(resolutions, st.lists(st.tuples(st.integers(-99, 20_000), st.integers(-99, 20_000)), min_size=1, max_size=5))
def test_boxes_are_the_bounds_of_their_windows(res_m, corners):
    lattice = Lattice(ZONES[0], res_m)
    row, col = (np.array(v, dtype=np.int64) for v in zip(*corners, strict=True))
    boxes = lattice.boxes_m(row, col, 7)
    for box, r, c in zip(boxes, row.tolist(), col.tolist(), strict=True):
        assert box.bounds == lattice.bounds_m(PixelWindow(r, r + 7, c, c + 7))


@given(windows(high=800), windows(high=800))
def test_intersection_and_slices_agree_with_masks(a, b):
    both = a.intersect(b)
    around = PixelWindow(-500, 1500, -500, 1500)
    mask = np.zeros((2, *around.shape), dtype=bool)
    for plane, window in zip(mask, (a, b), strict=True):
        plane[window.slices(around)] = True
    shared = int((mask[0] & mask[1]).sum())
    assert both.size == shared
    assert both.empty == (shared == 0)
    assert a.contains(b) == bool((mask[0] | ~mask[1]).all())
    if not both.empty:
        assert (mask[0] & mask[1])[both.slices(around)].all()
        assert a.pad(3).contains(a)
        assert a.pad(3).shape == (a.shape[0] + 6, a.shape[1] + 6)


@pytest.mark.parametrize("res_m", [10, 30, 120])
def test_a_glacier_across_the_equator_is_whole_in_the_northern_and_in_the_southern_zone(res_m):
    """Cayambe, Ecuador: 0.03° N, 77.99° W."""
    north, south = Zone("utm18n"), Zone("utm18s")
    x, y = north.project_points(np.array([-77.99]), np.array([0.0]))
    outline = blob(float(x[0]), float(y[0]) + 500, 3000)
    assert outline.bounds[1] < 0 < outline.bounds[3]
    truth = geodesic_area_km2(north, outline)
    for zone, shape in ((north, outline), (south, south.project(lon_lat(north, shapely.segmentize(outline, 20)))[0])):
        lattice = Lattice(zone, res_m)
        window = lattice.cover(shape.bounds)
        assert lattice.window.contains(window)
        assert sum(lattice.block_window(b).intersect(window).size for b in lattice.blocks(window)) == window.size
        share = coverage_share(objects(shape), lattice, window)
        assert np.sum(share * pixel_area_km2(lattice, window), dtype=float) == pytest.approx(truth, rel=1e-6)
