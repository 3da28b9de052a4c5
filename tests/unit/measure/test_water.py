"""Water before a glacier: what floats on it is no ice of the glacier, and what cannot be told is said."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from made_coast import EAST, OLD, SHORE, WEST, Coast

from core.measure import Measurement
from core.measure.water import sea_of_elevation

AREA_KM2 = OLD.area / 1e6
# Before the whole shore of the window, off the glacier's flanks as well.
FLOATING = shapely.box(WEST - 1000, SHORE - 300, EAST + 1000, SHORE)
MAPPED = shapely.union(OLD, FLOATING)


@pytest.fixture
def coast() -> Coast:
    return Coast(advance_m=300.0)


def count(flags: tuple[str, ...], name: str) -> int:
    (found,) = [int(flag.split(":")[1]) for flag in flags if flag.startswith(name + ":")]
    return found


def said(found: Measurement) -> tuple[str, ...]:
    """Flags on what floats; other rules have flags of their own."""
    return tuple(f for f in found.flags if f.startswith(("removed_water", "removed_sea_ice", "sea_ice_possible")))


def adrift(coast: Coast) -> dict[str, np.ndarray]:
    """A clear image of mélange, and an elevation model of the sea below it."""
    sea = coast.y < SHORE
    layers = coast.image(sea & ~coast.inside(FLOATING), adrift=coast.inside(FLOATING))
    return layers | {"elevation_m": coast.heights(sea), "slope_deg": np.zeros(sea.shape, np.float32)}


@pytest.mark.parametrize("term_type", [1, 3])
def test_melange_that_is_mapped_as_ice_is_in_no_area_and_moves_no_front(coast, term_type):
    found, bare = coast.measure(MAPPED, adrift(coast), term_type), coast.measure(OLD, adrift(coast), term_type)
    assert found.area_km2 == bare.area_km2 == pytest.approx(AREA_KM2, rel=1e-3)
    assert found.area_expected_km2 == pytest.approx(bare.area_expected_km2, rel=1e-3)
    assert found.area_advance_km2 == 0 and shapely.equals(found.geometry, bare.geometry)
    assert found.calving.change_m == pytest.approx(0, abs=2)
    assert found.calving.length_m == pytest.approx(1000, rel=0.05)
    # A thousand metres of shore by 300, and what of it lies off the flanks.
    assert 3000 <= count(found.flags, "removed_sea_ice") < 5000
    assert said(bare) == ()


def test_ground_that_may_be_sea_ice_widens_sigma_whether_it_is_kept_or_not(coast):
    bare, gone = coast.measure(OLD, adrift(coast)), coast.measure(MAPPED, adrift(coast))
    kept = coast.measure(MAPPED, adrift(coast), sea_ice="keep")
    doubtful = count(kept.flags, "sea_ice_possible") * 1e-4
    assert count(gone.flags, "removed_sea_ice") == count(kept.flags, "sea_ice_possible")
    assert kept.area_km2 == pytest.approx(AREA_KM2 + doubtful, rel=1e-3)
    assert kept.calving.change_m == pytest.approx(300, abs=10)
    assert bare.sigma.hidden == 0
    for found in (gone, kept):
        assert found.sigma.hidden == pytest.approx(doubtful / math.sqrt(3), rel=1e-3)


def test_an_advance_that_the_elevation_model_knows_is_ice(coast):
    """The model is younger: forty metres of ice stand where the inventory had the sea."""
    tongue = shapely.box(WEST, SHORE - 300, EAST, SHORE + 100)
    sea = (coast.y < SHORE) & ~coast.inside(tongue)
    layers = coast.image(sea) | {"elevation_m": coast.heights(sea)}
    found = coast.measure(shapely.union(OLD, tongue), layers)
    assert said(found) == () and found.area_advance_km2 == pytest.approx(0.3, rel=0.01)
    assert found.sigma.hidden == 0 and found.calving.change_m == pytest.approx(300, rel=0.02)


@pytest.mark.parametrize("term_type", [1, 2, 3])
def test_open_water_that_is_mapped_as_ice_is_in_no_area(coast, term_type):
    layers = coast.image(coast.y < SHORE)
    found = coast.measure(MAPPED, layers, term_type)
    assert found.area_km2 == pytest.approx(AREA_KM2, rel=1e-3) and found.area_advance_km2 == 0
    assert [flag.split(":")[0] for flag in said(found)] == ["removed_water"]
    assert found.sigma.hidden == 0 and found.calving.change_m == pytest.approx(0, abs=2)
    assert coast.measure(MAPPED, layers, term_type, sea_ice="keep").area_km2 == found.area_km2


def test_a_lake_on_old_ice_stays_part_of_the_glacier(coast):
    pond = shapely.box(WEST + 300, SHORE + 1000, WEST + 600, SHORE + 1300)
    layers = coast.image((coast.y < SHORE) | coast.inside(pond))
    found = coast.measure(OLD, layers)
    assert found.area_km2 == pytest.approx(AREA_KM2, rel=1e-3) and said(found) == ()


@pytest.mark.parametrize("term_type", [0, None])
def test_new_ice_of_a_glacier_that_ends_on_land_is_judged_by_no_water(coast, term_type):
    found = coast.measure(MAPPED, adrift(coast), term_type)
    assert found.area_advance_km2 > 0.3 and said(found) == ()


def test_a_fringe_of_a_pixel_at_sea_stays_as_it_would_beside_rock(coast):
    fringe = shapely.box(WEST, SHORE - 10, EAST, SHORE)
    found = coast.measure(shapely.union(OLD, fringe), adrift(coast))
    assert said(found) == () and found.area_advance_km2 == pytest.approx(0.01, rel=0.05)


def test_what_hangs_together_over_sea_ice_alone_goes_with_it(coast):
    """An ice-covered rock 100 m off the front, joined to it by sea ice."""
    islet = shapely.box(WEST + 400, SHORE - 250, WEST + 600, SHORE - 100)
    layers = adrift(coast)
    layers["elevation_m"] = np.where(coast.inside(islet), 80, layers["elevation_m"]).astype(np.float32)
    found = coast.measure(MAPPED, layers)
    assert found.area_advance_km2 == 0 and shapely.distance(found.geometry, islet) > 50


def test_snow_on_high_ground_beside_the_front_is_left_to_the_other_rules(coast):
    snow = shapely.box(EAST, SHORE + 500, EAST + 40, SHORE + 2000)
    found = coast.measure(shapely.union(OLD, snow), adrift(coast))
    assert found.area_advance_km2 == pytest.approx(0.06, rel=0.05) and said(found) == ()


@pytest.mark.parametrize("keep", ["remove", "keep"])
def test_ice_inside_the_old_outline_where_the_model_shows_the_sea_stays_and_is_said_to_be_doubtful(coast, keep):
    """The glacier drew back by 200 m before the elevation model was made, and mélange fills the gap."""
    sea = coast.y < SHORE + 200
    found = coast.measure(OLD, coast.image(sea & False, adrift=sea) | {"elevation_m": coast.heights(sea)}, sea_ice=keep)
    assert found.area_km2 == pytest.approx(AREA_KM2, rel=1e-3)
    assert said(found) == ("sea_ice_possible:2000",)
    assert found.sigma.hidden == pytest.approx(0.2 / math.sqrt(3), rel=1e-3)


def test_a_coarse_elevation_model_makes_no_ice_doubtful(coast):
    """It shows the sea for thirty metres inside the outline, and a hollow far up."""
    hollow = coast.inside(shapely.box(WEST + 300, SHORE + 1000, WEST + 600, SHORE + 1300))
    sea = (coast.y < SHORE + 30) | hollow
    found = coast.measure(OLD, coast.image(coast.y < SHORE) | {"elevation_m": coast.heights(sea)})
    assert said(found) == () and found.sigma.hidden == 0


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_the_edge_goes_back_to_the_old_outline_and_not_to_whole_pixels(threshold):
    old = shapely.box(WEST + 3, SHORE + 3, EAST - 4, SHORE + 2004)
    coast = Coast(advance_m=300.0, old=old)
    sea = coast.y < SHORE + 3
    layers = coast.image(sea & False, adrift=sea) | {"elevation_m": coast.heights(coast.y < SHORE + 10)}
    found = coast.measure(shapely.union(old, FLOATING), layers, threshold=threshold)
    bare = coast.measure(old, layers, threshold=threshold)
    assert count(found.flags, "removed_sea_ice") > 3000
    assert found.area_km2 == pytest.approx(bare.area_km2, rel=1e-3)


def test_the_sea_is_low_ground_that_hangs_together_with_level_ground():
    height = np.full((20, 30), 60, np.float32)
    height[10:, :10] = 0  # the sea
    height[8:10, :10] = 15  # the foot of a cliff that is smeared over it
    height[10:, 20:] = 15  # a low plain without a shore
    height[0:2, 0:2] = 0  # a pit
    height[15, 5] = np.nan
    found = sea_of_elevation(height, np.ones(height.shape, bool))
    expected = np.zeros_like(found)
    expected[8:, :10] = True
    expected[15, 5] = False
    np.testing.assert_array_equal(found, expected)
    assert not sea_of_elevation(np.full((9, 9), np.nan, np.float32), np.ones((9, 9), bool)).any()
