"""Fronts of measured glaciers: their motion is that of the front alone, and told only where the front was seen."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from made_coast import EAST, HEAD, OLD, SHORE, WEST, Coast
from shapely.affinity import rotate, scale

from core.measure.calving import LEAST_FRACTION


def flank(width: float, foot: float = SHORE + 500, top: float = SHORE + 3500, east: bool = True) -> shapely.Geometry:
    """A strip along one flank."""
    return shapely.box(EAST, foot, EAST + width, top) if east else shapely.box(WEST - width, foot, WEST, top)


def back_by(retreat: float) -> shapely.Geometry:
    return shapely.box(WEST, SHORE + retreat, EAST, HEAD)


FRINGES = {
    "one": flank(30),
    "both": shapely.union(flank(50), flank(50, east=False)),
    "from the front on": flank(40, SHORE),
    "both from the front on": shapely.union(flank(40, SHORE), flank(40, SHORE, east=False)),
    "wavy": shapely.Polygon(
        [(EAST - 5, SHORE)]
        + [(EAST + 30 + 15 * (-1) ** k, SHORE + 100 * k) for k in range(30)]
        + [(EAST - 5, SHORE + 3000)]
    ),
}


@pytest.mark.parametrize("retreat", [0, 200])
@pytest.mark.parametrize("fringe", FRINGES)
def test_new_ice_along_a_flank_moves_no_front(fringe, retreat):
    coast = Coast()
    sea = coast.y < SHORE + retreat
    now = shapely.difference(shapely.union(OLD, FRINGES[fringe]), shapely.box(0, 0, 1e6, SHORE + retreat))
    layers = coast.image(sea) | {"elevation_m": coast.heights(coast.y < SHORE)}
    found = coast.measure(now, layers)
    assert found.calving.change_m == pytest.approx(-retreat, abs=5)
    assert found.calving.length_m == pytest.approx(1000, rel=0.1)


def test_new_ice_on_a_flank_that_faces_down_the_flow_moves_no_front():
    """A shoulder two kilometres up the glacier, square to the flow, with a drift of snow below it."""
    shoulder = shapely.box(EAST, SHORE + 2000, EAST + 600, HEAD)
    old = shapely.union(OLD, shoulder)
    coast = Coast(old=old)
    drift = shapely.box(EAST, SHORE + 1950, EAST + 600, SHORE + 2000)
    layers = coast.image(coast.y < SHORE) | {"elevation_m": coast.heights(coast.y < SHORE)}
    found = coast.measure(shapely.union(old, drift), layers)
    assert found.area_advance_km2 == pytest.approx(0.03, rel=0.1)
    assert found.calving.change_m == pytest.approx(0, abs=2)


@pytest.mark.parametrize("advance", [300, 1500])
@pytest.mark.parametrize("fjord", [True, False], ids=["fjord", "open sea"])
@pytest.mark.parametrize("fringed", [False, True], ids=["bare", "fringed"])
def test_an_advance_is_as_long_as_the_front_moved(advance, fjord, fringed):
    coast = Coast(advance_m=2000.0)
    tongue = shapely.box(WEST, SHORE - advance, EAST, SHORE + 100)
    now = shapely.union_all([OLD, tongue, flank(50)]) if fringed else shapely.union(OLD, tongue)
    walls = (coast.x < WEST) | (coast.x > EAST)
    sea = (coast.y < SHORE) & ~coast.inside(tongue)
    if fjord:
        sea &= ~walls
    before = (coast.y < SHORE) & ~walls if fjord else coast.y < SHORE
    layers = coast.image(sea, rock=walls if fjord else None) | {"elevation_m": coast.heights(before, 60, 0)}
    found = coast.measure(now, layers, sea_ice="keep")
    assert found.calving.change_m == pytest.approx(advance, rel=0.02)
    assert found.calving.observed_fraction > 0.98 and found.calving.source == "image"
    assert found.area_km2 == pytest.approx(now.area / 1e6, rel=1e-3)


def test_an_advance_on_a_slant_counts_with_its_mean():
    coast = Coast(advance_m=1000.0)
    tongue = shapely.Polygon([(WEST, SHORE + 100), (WEST, SHORE - 200), (EAST, SHORE - 600), (EAST, SHORE + 100)])
    walls = (coast.x < WEST) | (coast.x > EAST)
    sea = (coast.y < SHORE) & ~coast.inside(tongue) & ~walls
    found = coast.measure(shapely.union(OLD, tongue), coast.image(sea, rock=walls))
    assert found.calving.change_m == pytest.approx(400, rel=0.05)


def test_a_front_that_half_advances_and_half_retreats_has_moved_by_the_mean():
    coast = Coast(advance_m=500.0)
    middle = (WEST + EAST) / 2
    lobe = shapely.box(middle, SHORE - 300, EAST, SHORE + 100)
    now = shapely.union(shapely.difference(OLD, shapely.box(WEST, SHORE, middle, SHORE + 200)), lobe)
    walls = (coast.x < WEST) | (coast.x > EAST)
    sea = (coast.y < SHORE + 200) & ~coast.inside(now) & ~walls
    found = coast.measure(now, coast.image(sea, rock=walls))
    assert found.calving.change_m == pytest.approx(50, abs=10)


def test_a_front_that_widens_where_it_stands_has_not_moved():
    coast = Coast(advance_m=300.0)
    wider = shapely.box(WEST - 200, SHORE, EAST + 200, SHORE + 1000)
    layers = coast.image(coast.y < SHORE) | {"elevation_m": coast.heights(coast.y < SHORE)}
    found = coast.measure(shapely.union(OLD, wider), layers)
    assert found.area_advance_km2 == pytest.approx(0.4, rel=0.05)
    assert found.calving.length_m == pytest.approx(1400, rel=0.1)
    assert found.calving.change_m == pytest.approx(0, abs=5)


@pytest.mark.parametrize("turn", [23, 130, 200])
@pytest.mark.parametrize("move", [-200, 0, 300, 1500])
@pytest.mark.parametrize("lobes", [0, 1, 2])
def test_fronts_of_any_shape_and_direction_move_by_what_they_moved(turn, move, lobes):
    """In a bay three times as wide, with snow along a flank; lobes reach out by 300 m."""

    def glacier(moved: float) -> shapely.Geometry:
        foot = SHORE - moved + (300 if lobes else 0)
        base, half = shapely.box(WEST, foot, EAST, HEAD), 500 / max(lobes, 1)
        middles = [WEST + half * (1 + 2 * k) for k in range(lobes)]
        return shapely.union_all([base, *(scale(shapely.Point(x, foot).buffer(half), 1, 300 / half) for x in middles)])

    def turned(shape: shapely.Geometry) -> shapely.Geometry:
        return rotate(shape, turn, origin=((WEST + EAST) / 2, SHORE))

    coast = Coast(advance_m=max(move + 90, 90), old=turned(glacier(0)))
    now = turned(shapely.union(glacier(move), flank(45, SHORE + 600)))
    bay = coast.inside(turned(shapely.box(WEST - 1000, SHORE - 9000, EAST + 1000, SHORE + 300 - min(move, 0))))
    ice = coast.inside(now)
    found = coast.measure(now, coast.image(bay & ~ice, rock=~bay & ~ice), sea_ice="keep")
    assert found.calving.change_m == pytest.approx(move, rel=0.02, abs=10)


@pytest.mark.parametrize(("south", "north", "mean"), [(200, 200, -200), (200, 0, -100)])
def test_two_tongues_to_one_side_move_by_the_mean_of_both(south, north, mean):
    def tongues(one: float, other: float) -> shapely.Geometry:
        west = shapely.box(WEST, SHORE + one, WEST + 1000, HEAD)
        east = shapely.box(WEST + 2000, SHORE + other, WEST + 3000, HEAD)
        return shapely.union_all([west, east, shapely.box(WEST, SHORE + 3000, WEST + 3000, HEAD)])

    coast = Coast(old=tongues(0, 0))
    now = tongues(south, north)
    sea = (coast.y < SHORE + 250) & ~coast.inside(now) & ((coast.y < SHORE) | coast.inside(tongues(0, 0)))
    land = ~sea & ~coast.inside(now)
    assert coast.measure(now, coast.image(sea, rock=land)).calving.change_m == pytest.approx(mean, abs=10)


def test_tongues_to_opposite_sides_have_no_motion_in_common():
    coast = Coast()
    now = back_by(200)
    sea = (coast.y < SHORE + 200) | (coast.y > HEAD)
    found = coast.measure(now, coast.image(sea)).calving
    assert found.change_m is None and found.length_m == pytest.approx(2000, rel=0.05)


# ------------------------------------------------------------------ what shows the water


@pytest.mark.parametrize("term_type", [1, 2, 3])
@pytest.mark.parametrize("retreat", [0, 300])
def test_open_water_of_the_image_makes_a_front(term_type, retreat):
    coast = Coast()
    found = coast.measure(back_by(retreat), coast.image(coast.y < SHORE + retreat), term_type).calving
    assert found.water == {1: "sea", 2: "lake", 3: "sea"}[term_type] and found.source == "image"
    assert found.length_m == pytest.approx(1000, rel=0.05)
    assert found.change_m == pytest.approx(-retreat, abs=2) and found.observed_fraction == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("term_type", [0, 9, None])
def test_a_glacier_that_ends_on_land_has_no_front_beside_water(term_type):
    coast = Coast()
    assert coast.measure(OLD, coast.image(coast.y < SHORE), term_type).calving is None


@pytest.mark.parametrize("slope", [3.0, 10.0, 25.0])
def test_the_slope_of_ice_that_has_gone_hides_no_water(slope):
    """The elevation model is from before the retreat."""
    coast = Coast()
    layers = coast.image(coast.y < SHORE + 300)
    layers["slope_deg"] = np.where(coast.y < SHORE, 0, slope).astype(np.float32)
    found = coast.measure(back_by(300), layers)
    assert found.calving.change_m == pytest.approx(-300, abs=5)
    assert found.calving.length_m == pytest.approx(1000, rel=0.05)


def test_a_cliff_that_the_elevation_model_smears_over_the_water_hides_none():
    """As a model of 30 m does: 60 m of ice fall to the sea within three pixels off the outline."""
    coast = Coast()
    height = np.clip(60 * (coast.y - SHORE + 30) / 60, 0, 60).astype(np.float32)
    slope = np.where((height > 0) & (height < 60), 45, 0).astype(np.float32)
    found = coast.measure(OLD, coast.image(coast.y < SHORE) | {"elevation_m": height, "slope_deg": slope})
    assert found.calving.change_m == pytest.approx(0, abs=2)
    assert found.calving.length_m == pytest.approx(1000, rel=0.05)


def test_a_shadow_on_a_steep_flank_is_no_front():
    coast = Coast(advance_m=100.0)
    shadow = (coast.x > EAST) & (coast.y > SHORE + 500)
    layers = coast.image((coast.y < SHORE) | shadow)
    layers |= {"elevation_m": coast.heights(coast.y < SHORE), "slope_deg": np.where(shadow, 35, 0).astype(np.float32)}
    found = coast.measure(OLD, layers)
    assert found.calving.length_m == pytest.approx(1000, rel=0.05)
    assert found.calving.change_m == pytest.approx(0, abs=2)


def test_a_small_dark_patch_is_no_water():
    coast = Coast()
    patch = (np.abs(coast.x - (WEST + EAST) / 2) < 35) & (np.abs(coast.y - (SHORE - 30)) < 30)
    assert 0 < patch.sum() < 50
    assert coast.measure(OLD, coast.image(patch, rock=coast.y < SHORE), 2).calving is None


@pytest.mark.parametrize("retreat", [0, 200])
def test_melange_at_the_front_is_water_where_the_elevation_model_shows_the_sea(retreat):
    coast = Coast()
    sea = coast.y < SHORE + retreat
    layers = coast.image(coast.y < SHORE - 60, adrift=sea) | {"elevation_m": coast.heights(sea)}
    found = coast.measure(back_by(retreat), layers).calving
    assert found.change_m == pytest.approx(-retreat, abs=2) and found.length_m == pytest.approx(1000, rel=0.05)
    assert found.source == "elevation" and found.observed_fraction == pytest.approx(1, abs=0.02)


def test_melange_before_half_a_front_and_open_water_before_the_other_make_one_front():
    coast = Coast()
    sea, west = coast.y < SHORE, coast.x < (WEST + EAST) / 2
    layers = coast.image(sea & ~west, adrift=sea & west) | {"elevation_m": coast.heights(sea)}
    found = coast.measure(OLD, layers).calving
    assert found.length_m == pytest.approx(1000, rel=0.05) and found.source == "both"
    assert found.line.geom_type == "LineString" and found.change_m == pytest.approx(0, abs=2)


@pytest.mark.parametrize("term_type", [1, 2])
def test_bare_low_ground_at_the_terminus_is_no_water_where_the_image_shows_it(term_type):
    """A glacier that has drawn back from the water onto its shore."""
    coast = Coast()
    layers = coast.image(np.zeros_like(coast.y, dtype=bool), rock=coast.y < SHORE + 200)
    layers["elevation_m"] = coast.heights(coast.y < SHORE + 200)
    assert coast.measure(back_by(200), layers, term_type).calving is None


def test_without_an_image_the_elevation_model_alone_makes_the_front():
    coast = Coast()
    found = coast.measure(back_by(200), {"elevation_m": coast.heights(coast.y < SHORE + 200)}).calving
    assert found.source == "elevation" and found.change_m == pytest.approx(-200, abs=2)


def test_a_retreat_behind_melange_stays_unknown_on_an_elevation_model_from_before():
    coast = Coast()
    layers = coast.image(coast.y < SHORE - 30, adrift=coast.y < SHORE + 200)
    layers["elevation_m"] = coast.heights(coast.y < SHORE)
    assert coast.measure(back_by(200), layers).calving is None


# ------------------------------------------------------------------ how much of the front was seen


@pytest.mark.parametrize("first", [0, 880])
def test_a_front_seen_over_an_eighth_of_its_width_has_a_line_and_no_motion(first):
    """It retreated on a slant, by 0 m in the west and 400 m in the east."""
    coast = Coast()
    now = shapely.Polygon([(WEST, SHORE), (EAST, SHORE + 400), (EAST, HEAD), (WEST, HEAD)])
    wet = (coast.y < SHORE + 0.4 * (coast.x - WEST)) & (coast.x >= WEST) & (coast.x <= EAST)
    layers = coast.image(wet, rock=coast.inside(OLD) & ~coast.inside(now) & ~wet)
    seen = (coast.x > WEST + first) & (coast.x < WEST + first + 120)
    cloud = ~seen & (coast.y < SHORE + 450)
    whole = coast.measure(now, layers).calving
    assert whole.change_m == pytest.approx(-200, abs=15)
    for name in ("ndwi", "nir"):
        layers[name] = np.where(cloud, np.nan, layers[name]).astype(np.float32)
    found = coast.measure(now, layers).calving
    assert found.length_m < 200 and found.observed_fraction < 0.3 < LEAST_FRACTION
    assert found.change_m is None


@pytest.mark.parametrize("terrain", [False, True], ids=["image alone", "with an elevation model"])
def test_a_front_under_a_cloud_that_hides_the_ice_too_has_not_stayed_where_it_was(terrain):
    """The hidden ice is filled in from the old outline; that is no observation of a front."""
    coast = Coast()
    cloud = coast.y < SHORE + 300
    layers = coast.image(coast.y < SHORE + 200)
    for name in ("ndwi", "nir"):
        layers[name] = np.where(cloud, np.nan, layers[name]).astype(np.float32)
    if terrain:
        layers["elevation_m"] = coast.heights(coast.y < SHORE)
    found = coast.measure(back_by(200), layers, hidden=cloud)
    assert found.status == "measured" and found.calving is None
    half = cloud & (coast.x < (WEST + EAST) / 2)
    layers = coast.image(coast.y < SHORE + 200) | {k: v for k, v in layers.items() if k == "elevation_m"}
    for name in ("ndwi", "nir"):
        layers[name] = np.where(half, np.nan, layers[name]).astype(np.float32)
    found = coast.measure(back_by(200), layers, hidden=half)
    assert found.calving.observed_fraction == pytest.approx(0.5, abs=0.1) and found.calving.change_m is None


def test_hidden_ice_has_a_front_where_the_image_shows_the_water_that_took_its_place():
    coast = Coast()
    hidden = (coast.y < SHORE + 300) & coast.inside(OLD)
    found = coast.measure(back_by(200), coast.image(coast.y < SHORE + 200), hidden=hidden)
    assert "gap_filled" in found.flags and found.calving.change_m == pytest.approx(-200, abs=2)
