"""Terminus and length: the lowest point of the margin, whatever single pixels say, and the way from there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.grid import Lattice, PixelWindow, Zone
from core.measure.length import longest_way_m
from core.measure.terminus import Terminus, find_terminus, largest_part

LATTICE = Lattice(Zone("utm32n"), 30)
ROW0, COL0 = 163_000, 21_000


def at(shape: tuple[int, ...]) -> PixelWindow:
    return PixelWindow(ROW0, ROW0 + shape[0], COL0, COL0 + shape[1])


def terminus(part: np.ndarray, elevation: np.ndarray, term_type: int | None = None) -> Terminus:
    found = find_terminus(part, elevation.astype(np.float32), LATTICE, at(part.shape), term_type)
    assert found is not None
    return found


def valley(rows: int = 60, cols: int = 21, rim: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """(a tongue that flows south, elevations of a valley that falls 10 m a pixel), the lowest ice in the middle."""
    part = np.zeros((rows, cols), bool)
    part[rim:-rim, rim:-rim] = True
    row, col = np.indices((rows + 2, cols + 2))
    return part, (3000 - 10 * row + 0.5 * (col - (cols + 1) / 2) ** 2).astype(np.float32)


def test_a_tongue_ends_at_its_lowest_margin():
    part, elevation = valley()
    found = terminus(part, elevation)
    assert (found.row, found.col) == (55, 10)
    assert found.elevation_m == pytest.approx(3000 - 10 * 56, abs=10)
    x, y = LATTICE.centres_m(at(part.shape))
    lon, lat = LATTICE.zone.unproject_points(x[[10]], y[[55]])
    assert (found.lon, found.lat) == pytest.approx((lon[0], lat[0]), abs=1e-7)


@pytest.mark.parametrize("error_m", [-2000, 500, np.nan])
@pytest.mark.parametrize("place", [(55, 10), (20, 4), (4, 8)])
def test_one_wrong_pixel_does_not_move_the_terminus(place, error_m):
    part, elevation = valley()
    elevation[place[0] + 1, place[1] + 1] += np.float32(error_m)
    found = terminus(part, elevation)
    assert found.row == 55 and abs(found.col - 10) <= 2
    assert found.elevation_m == pytest.approx(3000 - 10 * 56, abs=15)


def test_a_hollow_inside_the_ice_is_no_terminus():
    part, elevation = valley()
    elevation[20:28, 9:14] -= 1500
    assert terminus(part, elevation).row == 55


def test_only_the_largest_part_has_the_terminus():
    part, elevation = valley()
    part[57:59, 2:4] = True
    area = np.full(part.shape, 9e-4, np.float32)
    largest = largest_part(part, area)
    assert largest.sum() == part.sum() - 4
    assert terminus(largest, elevation).row == 55
    part[:] = False
    part[2, 2] = part[3, 3] = part[6, 6] = True  # over corners
    assert largest_part(part, area).sum() == 2


def test_a_front_in_water_has_its_terminus_in_its_middle():
    part, elevation = valley(61, 41)
    elevation[:] = 20 + 8.0 * (57 - np.arange(63))[:, None]
    elevation += np.random.default_rng(0).uniform(-8, 8, elevation.shape)
    elevation[58:] = 0
    for term_type in (1, 2, 3):
        found = terminus(part, elevation, term_type)
        assert found.row == 56 and abs(found.col - 20) <= 2
        assert 5 < found.elevation_m < 50


@pytest.mark.parametrize("term_type", [None, 0, 9])
def test_what_is_not_said_to_end_in_water_ends_on_land(term_type):
    part, elevation = valley()
    elevation[:, 5:9] -= 40  # the western side lies lower
    assert terminus(part, elevation, term_type).col < 9


def test_a_margin_without_elevations_has_no_terminus():
    part, elevation = valley()
    known = np.zeros(elevation.shape, bool)
    known[10:40, 8:14] = True
    void = np.where(known, elevation, np.nan).astype(np.float32)
    assert find_terminus(part, void, LATTICE, at(part.shape)) is None


@pytest.mark.parametrize(("lon", "zone"), [(180.0, "utm60n"), (-180.0, "utm01n")])
def test_a_terminus_beyond_180_degrees_has_a_longitude_of_this_side(lon, zone):
    lattice = Lattice(Zone(zone), 30)
    x, y = lattice.zone.project_points(np.array([lon]), np.array([67.0]))
    row, col = (int(a[0]) for a in lattice.to_pixels(x, y))
    window = PixelWindow(row - 10, row + 10, col - 20, col + 20)
    east = np.broadcast_to(1000 - 10.0 * np.arange(42), (22, 42)).astype(np.float32)
    part = np.zeros((20, 40), bool)
    part[2:-2, 2:-2] = True
    ends = [find_terminus(part, z.astype(np.float32), lattice, window) for z in (east, east[:, ::-1])]
    assert all(e is not None and abs(e.lat - 67) < 0.01 for e in ends)
    assert -180 <= ends[0].lon < -179.98 and 179.98 < ends[1].lon <= 180


masks = hnp.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14))).filter(lambda m: m.any())


@given(masks, st.sampled_from([None, 1]), st.integers(0, 999))
def test_the_terminus_is_a_margin_pixel_of_the_part(ice, term_type, seed):
    part = largest_part(ice, np.ones(ice.shape, np.float32))
    elevation = np.random.default_rng(seed).normal(500, 200, (ice.shape[0] + 2, ice.shape[1] + 2))
    found = terminus(part, elevation, term_type)
    assert part[found.row, found.col]
    assert not np.pad(part, 1)[found.row : found.row + 3, found.col : found.col + 3].all()
    length = longest_way_m(part, found.row, found.col, 30.0)
    rows, cols = np.nonzero(part)
    straight = np.hypot(rows - found.row, cols - found.col).max()
    assert 30 * straight <= length + 1e-6 <= 30 * 1.5 * part.sum()


def test_a_straight_glacier_is_as_long_as_it_is_in_any_direction():
    row, col = np.indices((401, 401)) - 200.0
    for bearing in np.radians([0, 10, 22.5, 40, 60, 75]):
        along, across = row * np.cos(bearing) + col * np.sin(bearing), col * np.cos(bearing) - row * np.sin(bearing)
        part = (np.abs(along) < 150) & (np.abs(across) < 12)
        start = np.unravel_index(np.argmin(np.where(part, along, 999)), part.shape)
        assert longest_way_m(part, int(start[0]), int(start[1]), 10.0) == pytest.approx(3000, rel=0.06)


def test_a_bend_is_followed_and_not_cut():
    part = np.zeros((60, 60), bool)
    part[5:55, 5:15] = part[45:55, 5:55] = part[5:55, 45:55] = True
    length = longest_way_m(part, 5, 10, 30.0)
    # Between the way along the inner corners and the one down the middle.
    assert 30 * (40 + 30 + 40) < length < 30 * (45 + 40 + 45)
    part[30, 15:45] = True  # a bridge
    assert longest_way_m(part, 5, 10, 30.0) < 0.9 * length


def test_one_pixel_has_no_length_and_a_coarse_one_the_same_as_a_fine_one():
    assert longest_way_m(np.ones((1, 1), bool), 0, 0, 30.0) == 0
    fine = np.zeros((600, 900), bool)
    fine[50:550, 50:170] = fine[450:550, 50:850] = True
    coarse = fine[::5, ::5]
    assert longest_way_m(fine, 50, 110, 6.0) == pytest.approx(longest_way_m(coarse, 10, 22, 30.0), rel=0.03)
