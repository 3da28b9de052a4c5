"""Windows: which ones run is decided by the outlines, so a pixel is seen by the same ones however the work is cut."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from made_glaciers import objects, on_lattice, stars
from shapely.geometry import Polygon

from core.errors import ConfigError
from core.grid import Lattice, PixelWindow, Zone
from core.mapping import near_outlines
from core.windows import WindowLattice, active_windows, expand_ranges

LATTICE = Lattice(Zone("utm32n"), 120)
BLOCK_PX = LATTICE.block_px
# A corner of four blocks: (row 170, column 15) begins here.
CORNER = PixelWindow(170 * BLOCK_PX, 171 * BLOCK_PX, 15 * BLOCK_PX, 16 * BLOCK_PX)
FOUR_BLOCKS = [
    LATTICE.block_window(b)
    for b in LATTICE.blocks(PixelWindow(CORNER.row0 - 1, CORNER.row0 + 1, CORNER.col0 - 1, CORNER.col0 + 1))
]


@st.composite
def lattices(draw: st.DrawFn) -> WindowLattice:
    size = draw(st.integers(1, 70))
    return WindowLattice(size, draw(st.integers(max(1, size // 4), size)))


@st.composite
def scenes(draw: st.DrawFn) -> np.ndarray:
    """A few outlines around the corner of four blocks."""
    spread = st.integers(-60, 40)
    found = [
        shapely.transform(p, lambda xy, d=(draw(spread), draw(spread)): xy + d)
        for p in draw(st.lists(stars(20.0), min_size=1, max_size=3))
    ]
    return objects(*(on_lattice(p, LATTICE, CORNER) for p in found))


def pairs(ij: tuple[np.ndarray, np.ndarray]) -> set[tuple[int, int]]:
    return set(zip(ij[0].tolist(), ij[1].tolist(), strict=True))


@pytest.mark.parametrize(("size", "stride"), [(10, 11), (10, 0), (0, 0), (10, -1)])
def test_a_lattice_with_gaps_is_refused(size, stride):
    with pytest.raises(ConfigError, match="window lattice"):
        WindowLattice(size, stride)


@given(lattices(), st.integers(-300, 300), st.integers(1, 200))
def test_the_index_range_holds_exactly_the_windows_that_share_a_pixel(windows, first, length):
    lo, hi = (int(v[0]) for v in windows.index_range(np.array([first]), np.array([first + length])))
    for k in range(lo - 3, hi + 3):
        start = k * windows.stride_px
        shares = start < first + length and start + windows.size_px > first
        assert shares == (lo <= k < hi)


@given(lattices(), st.integers(-200, 200), st.integers(-200, 200), st.integers(1, 80), st.integers(1, 80))
def test_over_an_area_every_pixel_has_all_its_windows(windows, row, col, height, width):
    area = PixelWindow(row, row + height, col, col + width)
    rows, cols = windows.over(area)
    hit = [not windows.window(i, cols.start).intersect(area).empty for i in range(rows.start - 1, rows.stop + 1)]
    assert hit == [False, *[True] * len(rows), False]
    hit = [not windows.window(rows.start, j).intersect(area).empty for j in range(cols.start - 1, cols.stop + 1)]
    assert hit == [False, *[True] * len(cols), False]


@settings(max_examples=60)
@given(scenes(), lattices(), st.floats(0, 1500))
def test_windows_over_all_blocks_are_the_windows_of_the_whole_zone(outlines, windows, buffer_m):
    whole = active_windows(outlines, LATTICE, windows, buffer_m)
    by_block = [pairs(active_windows(outlines, LATTICE, windows, buffer_m, within=b)) for b in FOUR_BLOCKS]
    assert set().union(*by_block) == pairs(whole)
    for block, found in zip(FOUR_BLOCKS, by_block, strict=True):
        assert all(not windows.window(i, j).intersect(block).empty for i, j in found)


@settings(max_examples=60)
@given(scenes(), lattices(), st.floats(0, 1500))
def test_every_pixel_within_the_buffer_has_all_its_windows_in_whichever_block(outlines, windows, buffer_m):
    for block in FOUR_BLOCKS:
        found = pairs(active_windows(outlines, LATTICE, windows, buffer_m, within=block))
        near = near_outlines(outlines, LATTICE, block, buffer_m)
        for row, col in np.argwhere(near)[::17].tolist():
            r, c = block.row0 + row, block.col0 + col
            rows, cols = windows.over(PixelWindow(r, r + 1, c, c + 1))
            assert {(i, j) for i in rows for j in cols} <= found


@settings(max_examples=60)
@given(scenes(), lattices(), st.floats(0, 1500))
def test_active_windows_are_sorted_unique_and_touch_the_grown_outlines(outlines, windows, buffer_m):
    i, j = active_windows(outlines, LATTICE, windows, buffer_m)
    order = np.lexsort((j, i))
    assert (order == np.arange(len(i))).all()
    assert len(pairs((i, j))) == len(i)
    boxes = LATTICE.boxes_m(i * windows.stride_px, j * windows.stride_px, windows.size_px)
    union = shapely.union_all(outlines)
    assert (shapely.distance(boxes, union) <= buffer_m + LATTICE.res_m + 1e-6).all()


def test_no_outlines_have_no_windows():
    i, j = active_windows(objects(), LATTICE, WindowLattice(256, 128), 300)
    assert len(i) == len(j) == 0
    i, j = active_windows(objects(Polygon()), LATTICE, WindowLattice(256, 128), 300, within=CORNER)
    assert len(i) == len(j) == 0


@given(st.lists(st.tuples(*[st.integers(-5, 5)] * 4), max_size=6))
def test_expanded_ranges_are_the_nested_loops(ranges):
    i0, i1, j0, j1 = (np.array([r[k] for r in ranges], dtype=np.int64) for k in range(4))
    owner, i, j = expand_ranges(i0, i1, j0, j1)
    loops = [(k, a, b) for k, (p, q, r, s) in enumerate(ranges) for a in range(p, q) for b in range(r, s)]
    assert list(zip(owner.tolist(), i.tolist(), j.tolist(), strict=True)) == loops
