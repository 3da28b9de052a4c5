"""Attributes: exact on planes and cones anywhere on Earth, and None where the elevation model says too little."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_glaciers import WGS84

from core.errors import SystemicError
from core.grid import Lattice, PixelWindow, Zone, home_zone, pixel_area_km2
from core.measure.attributes import Attributes, glacier_attributes, weighted_median
from core.terrain import aspect_deg, convergence_deg, slope_deg

PLACES = {
    "60° N, edge of its zone": (11.9, 60.0),
    "45° S": (169.2, -45.0),
    "equator": (-78.1, 0.1),
    "80° N": (-20.5, 80.0),
    "85° N, UPS": (40.0, 85.0),
    "85° S, UPS": (-130.0, -85.0),
    "date line from the west": (179.999, 67.0),
    "date line from the east": (-179.999, -79.0),
}


def around(lon: float, lat: float, px: int, res_m: int = 30, zone: Zone | None = None) -> tuple[Lattice, PixelWindow]:
    """A square window around a point."""
    lattice = Lattice(zone or home_zone(lon, lat), res_m)
    x, y = lattice.zone.project_points(np.array([lon]), np.array([lat]))
    row, col = (int(a[0]) - px // 2 for a in lattice.to_pixels(x, y))
    return lattice, PixelWindow(row, row + px, col, col + px)


def square(px: int, rim: int = 3) -> np.ndarray:
    ice = np.zeros((px, px), np.float32)
    ice[rim:-rim, rim:-rim] = 1
    return ice


def grid_metres(lattice: Lattice, window: PixelWindow) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of the padded window from its centre, both (h + 2, w + 2)."""
    x, y = lattice.centres_m(window.pad(1))
    return np.meshgrid(x - x.mean(), y - y.mean())


def plane_towards(
    bearing: float, lon: float, lat: float, lattice: Lattice, window: PixelWindow, slope: float
) -> tuple[np.ndarray, float]:
    """(elevations that fall in a true direction at a point, their true slope in degrees): by a geodesic of 100 m."""
    lon1, lat1, _ = WGS84.fwd(lon, lat, bearing, 100.0)
    x, y = lattice.zone.project_points(np.array([lon, lon1]), np.array([lat, lat1]))
    dx, dy = float(x[1] - x[0]), float(y[1] - y[0])
    length = np.hypot(dx, dy)
    gx, gy = grid_metres(lattice, window)
    elevation = 1000 - slope * (gx * dx + gy * dy) / length
    return elevation.astype(np.float32), float(np.degrees(np.arctan(slope * length / 100.0)))


def measured(ice: np.ndarray, elevation: np.ndarray, lattice: Lattice, window: PixelWindow, **rules) -> Attributes:
    return glacier_attributes(ice, pixel_area_km2(lattice, window), elevation, lattice, window, **rules)


@pytest.mark.parametrize("bearing", [0.0, 45.0, 123.0, 200.0, 359.5])
@pytest.mark.parametrize("place", PLACES)
def test_aspect_and_slope_of_a_plane_are_true_everywhere(place, bearing):
    lon, lat = PLACES[place]
    lattice, window = around(lon, lat, 60)
    elevation, slope = plane_towards(bearing, lon, lat, lattice, window, 0.3)
    found = measured(square(60), elevation, lattice, window)
    assert abs((found.aspect_deg - bearing + 180) % 360 - 180) < 0.1
    assert 0 <= found.aspect_deg < 360
    assert found.slope_deg == pytest.approx(slope, abs=0.01)


@pytest.mark.parametrize(("north", "east"), [("utm32n", 250_000), ("utm59s", 790_000), ("upsn", 1_600_000)])
def test_the_convergence_is_what_a_geodesic_to_the_north_says(north, east):
    zone, y = Zone(north), 1_600_000.0 if north.startswith("ups") else 6_600_000.0
    lon, lat = zone.unproject_points(np.array([east], float), np.array([y]))
    lon1, lat1, _ = WGS84.fwd(lon[0], lat[0], 0.0, 10.0)
    x1, y1 = zone.project_points(np.array([lon1]), np.array([lat1]))
    to_north = np.degrees(np.arctan2(x1[0] - east, y1[0] - y))
    assert to_north + convergence_deg(zone, east, y) == pytest.approx(0, abs=1e-3)
    assert aspect_deg(-np.sin(np.radians(to_north)), np.cos(np.radians(to_north)), 0) == pytest.approx(to_north % 360)


def test_a_plane_has_the_exact_median_mean_and_extremes():
    lattice, window = around(10.8, 46.8, 47)
    gx, gy = grid_metres(lattice, window)
    elevation = (2000 + 0.25 * gx - 0.5 * gy).astype(np.float32)
    found = measured(square(47), elevation, lattice, window)
    half = 20 * 30
    assert found.zmed_m == 2000
    assert found.zmean_m == pytest.approx(2000, abs=0.01)
    assert (found.zmin_m, found.zmax_m) == (2000 - 0.75 * half, 2000 + 0.75 * half)
    assert sum(found.hypsometry.values()) == 1000
    assert min(found.hypsometry) <= found.zmin_m < min(found.hypsometry) + 50
    assert max(found.hypsometry) <= found.zmax_m < max(found.hypsometry) + 50
    assert found.elevation_fraction == 1.0


def test_a_cone_faces_nowhere_and_half_of_it_somewhere():
    lattice, window = around(10.8, 46.8, 120)
    gx, gy = grid_metres(lattice, window)
    r = np.hypot(gx, gy)
    elevation = (3000 - 0.5 * r).astype(np.float32)
    ice = (r < 1500).astype(np.float32)[1:-1, 1:-1]
    whole = measured(ice, elevation, lattice, window)
    assert whole.aspect_deg is None
    assert whole.slope_deg == pytest.approx(np.degrees(np.arctan(0.5)), abs=0.1)
    assert whole.zmed_m == pytest.approx(3000 - 0.5 * 1500 / np.sqrt(2), abs=1)
    assert whole.zmean_m == pytest.approx(3000 - 0.5 * 1000, abs=1)
    south = measured(ice * (gy < 0)[1:-1, 1:-1], elevation, lattice, window)
    convergence = 1.8 * np.sin(np.radians(46.8))
    assert south.aspect_deg == pytest.approx(180 + convergence, abs=0.1)


def test_slope_is_the_weighted_mean_of_the_slopes_of_the_lattice():
    lattice, window = around(10.8, 46.8, 40)
    rng = np.random.default_rng(5)
    elevation = rng.normal(3000, 20, (42, 42)).astype(np.float32)
    ice = np.where(rng.random((40, 40)) < 0.5, 1.0, 0.6).astype(np.float32)
    area = pixel_area_km2(lattice, window)
    expected = np.average(slope_deg(elevation, lattice, window), weights=ice * area)
    assert measured(ice, elevation, lattice, window).slope_deg == pytest.approx(expected, rel=1e-5)


def test_elevations_without_a_rim_serve_too_and_other_shapes_are_refused():
    lattice, window = around(10.8, 46.8, 40)
    gx, gy = grid_metres(lattice, window)
    elevation = (2000 + 0.1 * gx + 0.2 * gy).astype(np.float32)
    assert measured(square(40), elevation, lattice, window) == measured(
        square(40), elevation[1:-1, 1:-1], lattice, window
    )
    with pytest.raises(SystemicError, match=r"\(40, 40\) or \(42, 42\)"):
        measured(square(40), elevation[:-1], lattice, window)


def test_void_everywhere_is_none_everywhere():
    lattice, window = around(10.8, 46.8, 40)
    assert measured(square(40), np.full((42, 42), np.nan, np.float32), lattice, window) == Attributes()


@pytest.mark.parametrize(("rows", "known"), [(10, True), (16, True), (18, False), (30, False)])
def test_a_void_is_tolerated_up_to_the_stated_share(rows, known):
    lattice, window = around(10.8, 46.8, 40)
    elevation = np.full((42, 42), 2500, np.float32)
    elevation[: 1 + 3 + rows] = np.nan
    found = measured(square(40), elevation, lattice, window)
    assert found.elevation_fraction == pytest.approx(1 - rows / 34, abs=1e-4)
    assert (found.zmed_m == 2500) == known
    assert (found.hypsometry == {2500: 1000}) == known
    assert (found.termlon is not None) == known
    assert measured(square(40), elevation, lattice, window, min_known=1 - (rows + 0.5) / 34).zmin_m == 2500


def test_scattered_elevations_have_a_median_but_no_slope():
    lattice, window = around(10.8, 46.8, 40)
    elevation = np.where(np.arange(42) % 3 == 1, 2500, np.full((42, 42), np.nan)).astype(np.float32)
    found = measured(square(40), elevation, lattice, window, min_known=0.3)
    assert found.zmed_m == 2500
    assert (found.slope_deg, found.aspect_deg) == (None, None)


def test_a_level_glacier_has_slope_zero_and_no_aspect():
    lattice, window = around(10.8, 46.8, 40)
    found = measured(square(40), np.full((42, 42), 12.5, np.float32), lattice, window)
    assert (found.zmin_m, found.zmed_m, found.zmax_m, found.slope_deg) == (12.5, 12.5, 12.5, 0.0)
    assert found.aspect_deg is None


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_a_glacier_of_one_pixel_has_attributes(share):
    lattice, window = around(10.8, 46.8, 9)
    gx, _ = grid_metres(lattice, window)
    elevation = (2000 + 0.1 * gx).astype(np.float32)
    ice = np.zeros((9, 9), np.float32)
    ice[4, 4] = share
    found = measured(ice, elevation, lattice, window)
    assert (found.zmin_m, found.zmed_m, found.zmax_m, found.term_elev_m, found.lmax_m) == (2000, 2000, 2000, 2000, 0.0)
    assert found.hypsometry == {2000: 1000}
    assert found.aspect_deg == pytest.approx(271.3, abs=0.2)
    alone = np.full((9, 9), np.nan, np.float32)
    alone[4, 4] = 2000
    found = measured(ice, alone, lattice, window)
    assert (found.zmed_m, found.slope_deg, found.aspect_deg, found.term_elev_m) == (2000, None, None, 2000)


def test_no_ice_has_no_attributes():
    lattice, window = around(10.8, 46.8, 9)
    assert measured(np.zeros((9, 9), np.float32), np.zeros((11, 11), np.float32), lattice, window) == Attributes()


def test_slivers_beside_the_glacier_do_not_count():
    lattice, window = around(10.8, 46.8, 40)
    gx, _ = grid_metres(lattice, window)
    elevation = (2000 + 0.5 * gx).astype(np.float32)
    ice = square(40, 10)
    bare = measured(ice, elevation, lattice, window)
    ice[15, :10] = 0.3
    assert measured(ice, elevation, lattice, window) == bare


def test_ground_beside_the_window_of_ice_changes_nothing():
    lattice, window = around(10.8, 46.8, 60)
    rng = np.random.default_rng(2)
    elevation = (3000 + rng.normal(0, 30, (62, 62))).astype(np.float32)
    ice = square(60, 20)
    inner = PixelWindow(window.row0 + 15, window.row1 - 15, window.col0 + 15, window.col1 - 15)
    small = measured(ice[15:-15, 15:-15], elevation[15:-15, 15:-15], lattice, inner)
    large = measured(ice, elevation, lattice, window)
    for name in vars(large):
        assert getattr(large, name) == pytest.approx(getattr(small, name), rel=1e-6), name


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.floats(0, 0.7), st.floats(0, 1))
def test_any_ice_and_any_elevations_keep_their_order(seed, h, w, void, min_known):
    rng = np.random.default_rng(seed)
    lattice, window = around(10.8, 46.8, 12)
    window = PixelWindow(window.row0, window.row0 + h, window.col0, window.col0 + w)
    ice = np.where(rng.random((h, w)) < 0.5, rng.random((h, w)), rng.integers(0, 2, (h, w))).astype(np.float32)
    elevation = rng.normal(2000, 300, (h + 2, w + 2)).astype(np.float32)
    elevation[rng.random(elevation.shape) < void] = np.nan
    found = measured(ice, elevation, lattice, window, min_known=min_known, term_type=int(rng.integers(0, 4)))
    assert 0 <= found.elevation_fraction <= 1
    if found.zmin_m is None:
        assert found == Attributes(elevation_fraction=found.elevation_fraction)
        return
    assert found.zmin_m <= found.zmed_m <= found.zmax_m
    assert found.zmin_m <= found.zmean_m <= found.zmax_m
    assert sum(found.hypsometry.values()) == 1000
    assert found.slope_deg is None or 0 <= found.slope_deg < 90
    assert found.aspect_deg is None or 0 <= found.aspect_deg < 360
    if found.termlon is not None:
        assert found.zmin_m <= found.term_elev_m <= found.zmax_m
        assert found.lmax_m >= 0
    assert all(type(v) in (float, dict, type(None)) for v in vars(found).values())


@given(st.lists(st.tuples(st.integers(-1000, 9000), st.integers(1, 9)), min_size=1, max_size=40))
def test_the_weighted_median_is_the_median_of_repeated_values(pairs):
    values, weight = (np.array(a) for a in zip(*pairs, strict=True))
    assert weighted_median(values.astype(np.float32), weight.astype(float)) == np.median(np.repeat(values, weight))
