"""Ownership: no ground belongs to two glaciers, and two windows never disagree about whose it is."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_glaciers import blob, objects, on_lattice, stars
from scipy.ndimage import distance_transform_edt
from shapely.geometry import Polygon, box

from core.coverage import coverage_share
from core.grid import Lattice, PixelWindow, Zone
from core.measure import glacier_window, ownership, ownerships, with_advance
from core.measure.ownership import Ownership, advance_px

LATTICE = Lattice(Zone("utm32n"), 10)
ORIGIN = PixelWindow(490_000, 490_060, 50_000, 50_060)
AROUND = ORIGIN.pad(80)


def measured(outlines: np.ndarray, advance_m: float, wanted: np.ndarray | None = None) -> dict[int, Ownership]:
    """Every glacier in a world of ice."""
    wanted = np.arange(len(outlines)) if wanted is None else wanted
    found = ownerships(wanted, outlines, shapely.STRtree(outlines), LATTICE, advance_m)
    reach = advance_px(advance_m, LATTICE.res_m)
    return {i: with_advance(o, np.ones(o.window.shape, dtype=bool), None, reach) for i, o in found}


def on_canvas(found: Ownership, what: str = "share") -> np.ndarray:
    canvas = np.zeros(AROUND.shape)
    assert AROUND.contains(found.window)
    canvas[found.window.slices(AROUND)] = getattr(found, what)
    return canvas


@st.composite
def neighbours(draw: st.DrawFn) -> np.ndarray:
    """Glaciers in pixels: parts of one body along straight divides, bodies that overlap it, one nested in a hole."""
    body = draw(stars(40.0, hole=False))
    pieces = [body]
    for _ in range(draw(st.integers(0, 3))):
        angle, offset = draw(st.floats(0, 3.14)), draw(st.floats(0, 40))
        normal = np.array([np.cos(angle), np.sin(angle)])
        along = np.array([-normal[1], normal[0]])
        middle = normal * (offset - 20) + 20
        half = Polygon([middle + 200 * along, middle - 200 * along, middle - 200 * along + 400 * normal,
                        middle + 200 * along + 400 * normal])  # fmt: skip
        pieces = [q for p in pieces for q in (shapely.intersection(p, half), shapely.difference(p, half))]
    pieces = [q for p in pieces for q in shapely.get_parts(p) if q.geom_type == "Polygon" and q.area > 1e-6]
    if draw(st.booleans()):
        hole = shapely.affinity.scale(pieces[0], 0.5, 0.5, origin="centroid")
        rim = shapely.difference(pieces[0], hole)
        if rim.area > 1e-6 and rim.geom_type in ("Polygon", "MultiPolygon"):
            inner = shapely.affinity.scale(hole, 0.8, 0.8, origin="centroid")
            pieces = [rim, *[p for p in (hole, inner)[draw(st.integers(0, 1)) :][:1] if p.area > 1e-6], *pieces[1:]]
    pieces += draw(st.lists(stars(40.0), max_size=2))
    return objects(*(on_lattice(p, LATTICE, ORIGIN) for p in draw(st.permutations(pieces))))


@settings(max_examples=100)
@given(neighbours(), st.sampled_from([0.0, 9.0, 10.0, 20.0, 35.0, 60.0]))
def test_shares_of_a_pixel_over_all_glaciers_sum_to_one_or_to_nothing(outlines, advance_m):
    found = measured(outlines, advance_m)
    total = sum(on_canvas(o) for o in found.values())
    assert ((np.abs(total - 1) < 1e-5) | (total == 0)).all()
    covered = coverage_share(outlines, LATTICE, AROUND) > 0
    near = distance_transform_edt(~covered) <= advance_px(advance_m, LATTICE.res_m)
    np.testing.assert_array_equal(total > 0, near)


@settings(max_examples=60)
@given(neighbours(), st.sampled_from([0.0, 20.0, 50.0]))
def test_every_glacier_owns_its_part_of_what_is_covered_and_the_first_what_is_claimed_twice(outlines, advance_m):
    found = measured(outlines, advance_m)
    cover = np.array([coverage_share(outlines[i : i + 1], LATTICE, AROUND) for i in range(len(outlines))], dtype=float)
    total = cover.sum(axis=0)
    before = np.cumsum(cover, axis=0) - cover
    own = np.minimum(cover, np.maximum(1 - before, 0))
    for i, o in found.items():
        np.testing.assert_allclose(on_canvas(o, "own")[o_inside(o)], own[i][o_inside(o)], atol=1e-5)
        assert o.ceded_px == pytest.approx((cover[i] - own[i]).sum(), abs=1e-2)
        share = on_canvas(o)
        # Of a pixel that is hardly touched, rounding decides.
        clear = (total > 1e-3) & o_inside(o)
        part = own[i] / np.clip(total, 1e-9, 1)
        np.testing.assert_allclose(share[clear], part[clear], atol=2e-3)
        np.testing.assert_allclose(on_canvas(o, "covered")[o_inside(o)], np.minimum(1, total)[o_inside(o)], atol=1e-5)


def o_inside(o: Ownership) -> np.ndarray:
    mask = np.zeros(AROUND.shape, bool)
    mask[o.window.slices(AROUND)] = True
    return mask


@settings(max_examples=60)
@given(neighbours(), st.sampled_from([10.0, 20.0, 50.0]))
def test_without_elevation_the_advance_goes_to_the_glacier_of_the_nearest_covered_pixel(outlines, advance_m):
    found = measured(outlines, advance_m)
    cover = np.array([coverage_share(outlines[i : i + 1], LATTICE, AROUND) for i in range(len(outlines))])
    taken = cover.sum(axis=0) > 0
    owner = np.argmax(cover, axis=0)
    share = np.array([on_canvas(found[i]) for i in range(len(outlines))])
    away = distance_transform_edt(~taken)
    for row, col in np.argwhere((share.max(axis=0) > 0) & ~taken)[::7].tolist():
        assert sorted(share[:, row, col])[-1] == 1.0
        mine = int(np.argmax(share[:, row, col]))
        rows, cols = np.nonzero(taken & (owner == mine))
        # A way from pixel to pixel is at most 8 % longer than the straight line.
        assert away[row, col] <= np.hypot(rows - row, cols - col).min() <= 1.09 * away[row, col]


@settings(max_examples=60)
@given(neighbours(), st.sampled_from([10.0, 20.0, 50.0]), st.integers(0, 2**32 - 1), st.floats(0.3, 1))
def test_neighbours_in_their_own_windows_agree_on_every_pixel_of_any_ice(outlines, advance_m, seed, much):
    rng = np.random.default_rng(seed)
    ice, edge = rng.random(AROUND.shape) < much, rng.random(AROUND.shape) < 0.3
    ground = (rng.random(AROUND.shape) * rng.choice([3.0, 30.0, 300.0])).astype(np.float32)
    ground[rng.random(AROUND.shape) < 0.1] = np.nan
    reach = advance_px(advance_m, LATTICE.res_m)
    label, total = np.full(AROUND.shape, -2), np.zeros(AROUND.shape)
    for i, o in ownerships(np.arange(len(outlines)), outlines, shapely.STRtree(outlines), LATTICE, advance_m):
        here = o.window.slices(AROUND)
        grown = with_advance(o, ice[here], ground[here], reach, edge[here])
        total[here] += grown.share
        both = label[here] >= -1
        np.testing.assert_array_equal(o.label[both], label[here][both])
        label[here] = o.label
        assert (grown.share[o.label >= 0] == o.share[o.label >= 0]).all()
        free = (grown.share > 0) & (o.label < 0)
        assert (ice | edge)[here][free].all()
        assert i == o.index
    assert ((np.abs(total - 1) < 1e-5) | (total == 0)).all()


@settings(max_examples=60)
@given(neighbours(), st.sampled_from([0.0, 20.0, 50.0]), st.data())
def test_an_ownership_does_not_depend_on_who_else_is_measured_with_it(outlines, advance_m, data):
    whole = measured(outlines, advance_m)
    wanted = np.array(data.draw(st.lists(st.integers(0, len(outlines) - 1), min_size=1, max_size=3)))
    size = data.draw(st.integers(1, 3000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ownership, "_BATCH_PX", size)
        part = list(ownerships(wanted, outlines, shapely.STRtree(outlines), LATTICE, advance_m))
    assert [i for i, _ in part] == wanted.tolist()
    ice, reach = np.ones(AROUND.shape, dtype=bool), advance_px(advance_m, LATTICE.res_m)
    for i, o in ((i, with_advance(o, ice[o.window.slices(AROUND)], None, reach)) for i, o in part):
        assert o.window == whole[i].window
        for what in ("own", "share", "covered", "label"):
            np.testing.assert_allclose(getattr(o, what), getattr(whole[i], what), atol=2e-6)


def pixel_boxes(*pixels: tuple[float, float, float, float]) -> np.ndarray:
    return objects(*(on_lattice(box(*p), LATTICE, ORIGIN) for p in pixels))


@example([0, 1])
@given(st.permutations([0, 1]))
def test_a_tie_goes_to_the_glacier_that_comes_first_in_the_inventory(order):
    """Two halves of one pixel column: each pixel is half and half, and free ground is equally near to both."""
    outlines = pixel_boxes((10, 10, 10.5, 20), (10.5, 10, 11, 20))[list(order)]
    found = measured(outlines, 30.0)
    ring = on_canvas(found[0]) == 1.0
    assert ring.sum() == (on_canvas(found[0]) > 0).sum() - 10
    assert not (on_canvas(found[1]) == 1.0).any()
    assert (on_canvas(found[0])[on_canvas(found[1]) > 0] == 0.5).all()


def test_ground_midway_between_two_glaciers_goes_to_one_of_them_from_either_window():
    outlines = pixel_boxes((5, 5, 10, 30), (13, 5, 18, 30))  # three free columns; the middle one is a tie
    share = [on_canvas(o) for o in measured(outlines, 20.0).values()]
    between = (slice(5 + 80, 30 + 80), slice(10 + 80, 13 + 80))
    assert ((share[0] + share[1])[between] == 1).all()
    assert (share[0][between][:, 0] == 1).all()
    assert (share[1][between][:, 2] == 1).all()


def test_without_an_advance_a_glacier_owns_its_own_pixels_only():
    outlines = objects(on_lattice(blob(20, 20, 8), LATTICE, ORIGIN), on_lattice(blob(33, 22, 7), LATTICE, ORIGIN))
    for o in measured(outlines, 0.0).values():
        np.testing.assert_array_equal(o.share > 0, o.own > 0)
        o_full = o.own == 1.0
        assert (o.share[o_full] > 0.49).all()


def test_a_lone_glacier_owns_its_edge_pixels_whole_and_a_ring_of_the_advance():
    outlines = objects(on_lattice(blob(20, 20, 8), LATTICE, ORIGIN))
    o = measured(outlines, 25.0)[0]
    assert set(np.unique(o.share)) == {0.0, 1.0}
    away = distance_transform_edt(o.own == 0)
    np.testing.assert_array_equal(o.share == 1, away <= 2)


@given(stars(40.0), st.sampled_from([0.0, 5.0, 10.0, 55.0]))
def test_the_window_holds_the_glacier_its_advance_and_all_that_decides_on_it(polygon, advance_m):
    bounds = on_lattice(polygon, LATTICE, ORIGIN).bounds
    window = glacier_window(bounds, LATTICE, advance_m)
    reach = 2 * 10 * advance_px(advance_m, LATTICE.res_m)
    xmin, ymin, xmax, ymax = LATTICE.bounds_m(window)
    assert xmin <= bounds[0] - reach and ymin <= bounds[1] - reach
    assert xmax >= bounds[2] + reach and ymax >= bounds[3] + reach
    slack = reach + 2 * LATTICE.res_m
    assert xmin >= bounds[0] - slack and xmax <= bounds[2] + slack


@pytest.mark.parametrize(
    ("advance_m", "res_m", "px"), [(0, 10, 0), (19.9, 10, 1), (20, 10, 2), (20, 30, 0), (0.3, 10, 0)]
)
def test_an_advance_counts_in_whole_pixels(advance_m, res_m, px):
    assert advance_px(advance_m, res_m) == px


def test_nothing_wanted_gives_nothing():
    outlines = pixel_boxes((5, 5, 10, 30))
    assert measured(outlines, 20.0, wanted=np.empty(0, dtype=np.int64)) == {}
