"""Fronts: where ice meets water, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.grid import Lattice, PixelWindow, Zone
from core.measure.front import FrontRules, facing, front_line, water_of_classes, water_of_elevation
from core.measure.outline import outline
from core.train.classes import CLEAN_ICE, LAKE, MELANGE, N_SURFACES, OCEAN, SNOW

LATTICE = Lattice(Zone("utm06n"), 30)
WINDOW = PixelWindow(100_000, 100_060, 16_000, 16_040)
ROWS, COLS = WINDOW.shape
SHORE = 40  # the first row of the sea


def tongue(last: int = SHORE) -> np.ndarray:
    """Ten columns of ice down to row `last`, exclusive; rock beside it."""
    ice = np.zeros(WINDOW.shape, np.float32)
    ice[5:last, 15:25] = 1
    return ice


def sea() -> np.ndarray:
    water = np.zeros(WINDOW.shape, bool)
    water[SHORE:] = True
    return water


def in_pixels(line) -> np.ndarray:
    """(n, 2) row and column of the vertices within the window."""
    row, col = LATTICE.to_pixels(*shapely.get_coordinates(line).T)
    return np.column_stack([row - WINDOW.row0, col - WINDOW.col0])


def test_the_front_is_the_edge_to_the_sea_and_not_that_to_rock():
    found = front_line(tongue(), sea(), LATTICE, WINDOW)
    assert found.geom_type == "LineString"
    at = in_pixels(found)
    assert np.abs(at[:, 0] - SHORE).max() < 1.01 and np.median(at[:, 0]) == SHORE
    assert found.length / 30 == pytest.approx(10, abs=1.5)


def test_ice_lies_on_the_left_of_the_front():
    at = shapely.get_coordinates(front_line(tongue(), sea(), LATTICE, WINDOW))
    # Ice in the north is on the left of who walks east.
    assert at[-1, 0] > at[0, 0]


def test_land_and_water_that_is_elsewhere_make_no_front():
    assert front_line(tongue(), np.zeros(WINDOW.shape, bool), LATTICE, WINDOW) is None
    assert front_line(tongue(SHORE - 6), sea(), LATTICE, WINDOW) is None


@pytest.mark.parametrize("ice", [np.zeros, lambda shape, dtype: np.full(shape, np.nan, dtype)], ids=["none", "nan"])
def test_no_ice_has_no_front(ice):
    assert front_line(ice(WINDOW.shape, np.float32), sea(), LATTICE, WINDOW) is None


def test_one_pixel_of_ice_in_the_sea_is_too_little_for_a_front_of_four_pixels():
    ice = np.zeros(WINDOW.shape, np.float32)
    ice[30, 20] = 1
    water = np.ones(WINDOW.shape, bool)
    assert front_line(ice, water & (ice == 0), LATTICE, WINDOW, rules=FrontRules(least_px=4)) is None
    assert front_line(ice, water & (ice == 0), LATTICE, WINDOW, rules=FrontRules(least_px=2)) is not None


def test_melange_that_a_model_of_ice_takes_for_ice_is_water():
    clean = front_line(tongue(), sea(), LATTICE, WINDOW)
    packed = tongue()
    packed[SHORE : SHORE + 8] = 0.9
    assert front_line(packed, sea(), LATTICE, WINDOW).equals(clean)
    probability = sea().astype(np.float32) * np.float32(0.95)
    assert shapely.hausdorff_distance(front_line(packed, probability, LATTICE, WINDOW), clean) < 15


def test_floes_and_bergs_off_the_glacier_have_no_front():
    ice, water = tongue(), sea()
    ice[SHORE + 5 : SHORE + 12, 5:35] = 1
    water &= ice < 0.5
    clean = front_line(tongue(), sea(), LATTICE, WINDOW)
    own = tongue(SHORE - 3)
    assert front_line(ice, water, LATTICE, WINDOW, own=own).equals(clean)
    # The largest piece stands in for the glacier's ground where that is unknown.
    assert front_line(ice, water, LATTICE, WINDOW).equals(clean)


def test_two_tongues_of_one_glacier_have_two_fronts():
    ice = np.zeros(WINDOW.shape, np.float32)
    ice[5:10] = ice[5:SHORE, 5:14] = ice[5:SHORE, 26:35] = 1
    found = front_line(ice, sea(), LATTICE, WINDOW)
    assert found.geom_type == "MultiLineString" and len(found.geoms) == 2


def test_ground_of_a_neighbour_is_no_water():
    taken = np.zeros(WINDOW.shape, np.float32)
    taken[SHORE:, :20] = 1
    found = front_line(tongue(), sea(), LATTICE, WINDOW, taken=taken)
    assert in_pixels(found)[:, 1].min() > 18.9


def test_ice_that_the_window_cuts_has_no_front_there():
    ice = np.ones(WINDOW.shape, np.float32)
    ice[SHORE:] = 0
    found = front_line(ice, sea(), LATTICE, WINDOW)
    assert np.abs(in_pixels(found)[:, 0] - SHORE).max() < 1.01


def test_a_lake_within_the_ice_makes_no_front():
    ice = np.zeros(WINDOW.shape, np.float32)
    ice[5:SHORE, 5:35] = 1
    ice[15:25, 15:25] = 0
    water = np.zeros(WINDOW.shape, bool)
    water[15:25, 15:25] = True
    assert front_line(ice, water, LATTICE, WINDOW) is None


def test_a_shadow_at_the_front_interrupts_it_no_longer_than_the_rules_say():
    ice = np.zeros(WINDOW.shape, np.float32)
    ice[5:SHORE, 2:38] = 1
    water = sea()
    water[:, 20:22] = False
    assert front_line(ice, water, LATTICE, WINDOW).geom_type == "LineString"
    apart = front_line(ice, water, LATTICE, WINDOW, rules=FrontRules(gap_px=1))
    assert apart.geom_type == "MultiLineString"


def test_ice_all_around_which_is_water_has_a_closed_front():
    ice = np.zeros(WINDOW.shape, np.float32)
    ice[20:30, 15:25] = 1
    found = front_line(ice, ice < 0.5, LATTICE, WINDOW)
    assert found.is_closed
    assert found.length == pytest.approx(outline(ice, LATTICE, WINDOW).length)


def test_a_front_wider_than_a_block_is_one_line():
    window = PixelWindow(100_000, 100_040, 16_000, 17_300)
    ice = np.zeros(window.shape, np.float32)
    ice[5:20, 10:-10] = 1
    found = front_line(ice, np.arange(40)[:, None] + np.zeros(1300) >= 20, LATTICE, window)
    assert found.geom_type == "LineString" and found.length > 1270 * 30


def test_arrays_of_another_shape_are_refused():
    with pytest.raises(ConfigError, match="water"):
        front_line(tongue(), sea()[1:], LATTICE, WINDOW)
    with pytest.raises(ConfigError, match="reach_px"):
        FrontRules(reach_px=0)


@given(st.floats(0, 6.28), st.floats(-6, 6), st.sampled_from([1.5, 2.0, 4.0]))
def test_a_front_lies_on_the_outline_near_water_and_all_that_is_near_is_front(angle, off, reach):
    r, c = np.mgrid[:ROWS, :COLS]
    ice = np.clip(12 - np.hypot(r - 29.3, c - 19.6) + 0.5, 0, 1).astype(np.float32)
    water = (np.cos(angle) * (r - 29.3) + np.sin(angle) * (c - 19.6) > off) & (ice < 0.5)
    found = front_line(ice, water, LATTICE, WINDOW, rules=FrontRules(reach, gap_px=0, least_px=0))
    whole = outline(ice, LATTICE, WINDOW).exterior
    # At most 6 px off the middle, the edge of the water cuts the disc of 12 px at an angle.
    assert found is not None and found.length < whole.length
    assert shapely.difference(found, shapely.buffer(whole, 0.01)).length == 0
    row, col = LATTICE.to_pixels(*shapely.get_coordinates(shapely.segmentize(found, 10)).T)
    points = np.column_stack([row - WINDOW.row0 - 0.5, col - WINDOW.col0 - 0.5])
    wet = np.argwhere(water)
    near = np.sqrt(((points[:, None] - wet) ** 2).sum(-1).min(1))
    assert near.max() < reach + 2
    rest = shapely.difference(whole, shapely.buffer(found, 1))
    row, col = LATTICE.to_pixels(*shapely.get_coordinates(shapely.segmentize(rest, 10)).T)
    side = np.cos(angle) * (row - WINDOW.row0 - 29.8) + np.sin(angle) * (col - WINDOW.col0 - 20.1)
    assert side.max(initial=-99) < off + 2.5


def test_an_outline_of_the_inventory_has_a_front_as_well():
    box = shapely.box(*LATTICE.bounds_m(PixelWindow(100_005, 100_040, 16_015, 16_025)))
    found = facing(box, sea(), LATTICE, WINDOW)
    assert found.length == pytest.approx(300, abs=61)
    assert facing(shapely.Polygon(), sea(), LATTICE, WINDOW) is None


def test_water_of_classes_is_sea_melange_and_lake():
    codes = np.arange(N_SURFACES, dtype=np.uint8)
    assert set(codes[water_of_classes(codes)]) == {OCEAN, MELANGE, LAKE}
    assert not water_of_classes(np.array([CLEAN_ICE, SNOW, 255], np.uint8)).any()


def test_low_ground_off_the_ice_is_sea_and_unknown_ground_is_not():
    elevation = np.full(WINDOW.shape, 300, np.float32)
    elevation[SHORE:] = 3
    elevation[SHORE:, 30:] = np.nan
    water = water_of_elevation(elevation, tongue())
    assert (water == (np.nan_to_num(elevation, nan=99) < 20)).all()
    assert front_line(tongue(), water, LATTICE, WINDOW) is not None
    void = water_of_elevation(np.full(WINDOW.shape, np.nan, np.float32), tongue())
    assert not void.any() and front_line(tongue(), void, LATTICE, WINDOW) is None


def test_a_lake_has_the_level_of_the_lowest_ground_beside_the_ice():
    elevation = np.full(WINDOW.shape, 1900, np.float32)
    elevation[SHORE:] = 1600
    assert not water_of_elevation(elevation, tongue()).any()
    assert (water_of_elevation(elevation, tongue(), level_m=None) == sea()).all()
    for ice in (np.zeros(WINDOW.shape, np.float32), np.ones(WINDOW.shape, np.float32)):
        assert not water_of_elevation(elevation, ice, level_m=None).any()
