"""Zones: every point of the globe has one home; projecting there and back loses nothing, even at 180° and the poles."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from made_glaciers import objects

from core.errors import ConfigError
from core.grid import Zone, home_zone, home_zones

ALL_ZONES = [*(f"utm{n:02d}{h}" for n in range(1, 61) for h in "ns"), "upsn", "upss"]
longitudes = st.floats(-180, 180, allow_nan=False)
latitudes = st.floats(-90, 90, allow_nan=False)


@pytest.mark.parametrize("name", ALL_ZONES)
def test_every_zone_has_the_crs_of_its_name(name):
    zone = Zone(name)
    assert zone.name == name
    assert zone.crs.to_epsg() == zone.epsg
    assert zone.crs.name.startswith("WGS 84")
    if zone.polar:
        assert ("North" in zone.crs.name) == zone.north
    else:
        assert zone.crs.name.endswith(f"zone {zone.number}{'N' if zone.north else 'S'}")


@pytest.mark.parametrize("name", ["utm00n", "utm61n", "utm7n", "UTM32N", "utm32", "ups", "upsx", "", "utm32n "])
def test_a_name_that_is_no_zone_is_refused(name):
    with pytest.raises(ConfigError):
        Zone(name)


@pytest.mark.parametrize(
    ("lon", "lat", "name"),
    [
        (180.0, 65.0, "utm01n"),
        (-180.0, 65.0, "utm01n"),
        (179.999999, 65.0, "utm60n"),
        (-174.0, -50.0, "utm02s"),
        (0.0, 0.0, "utm31n"),
        (0.0, -1e-9, "utm31s"),
        (7.0, 84.0, "utm32n"),
        (7.0, 84.000001, "upsn"),
        (7.0, -80.0, "utm32s"),
        (7.0, -80.000001, "upss"),
        (0.0, 90.0, "upsn"),
        (123.0, -90.0, "upss"),
        (5.0, 60.0, "utm31n"),  # the Norwegian exception is ignored on purpose
        (12.0, 78.0, "utm33n"),
    ],
)
def test_borders_of_zones_fall_to_one_side(lon, lat, name):
    assert home_zone(lon, lat).name == name


@given(st.integers(-1800, 1799), latitudes, st.integers(-2, 2))
def test_a_whole_turn_of_longitude_changes_no_home(tenths, lat, turns):
    lon = tenths / 10
    assert home_zone(lon + 360.0 * turns, lat) == home_zone(lon, lat)


@given(longitudes, st.floats(-80, 84))
def test_the_home_zone_is_the_nearest_meridian_and_the_own_hemisphere(lon, lat):
    zone = home_zone(lon, lat)
    away = (lon - zone.central_meridian_deg + 180) % 360 - 180
    assert abs(away) <= 3 + 1e-9
    assert zone.north == (lat >= 0)


@given(st.lists(st.tuples(longitudes, latitudes), min_size=1, max_size=20))
def test_many_points_find_the_same_homes_as_one_by_one(points):
    lon, lat = (np.array(v) for v in zip(*points, strict=True))
    assert list(home_zones(lon, lat)) == [home_zone(*p).name for p in points]


@pytest.mark.parametrize(("lon", "lat"), [(np.nan, 0.0), (0.0, np.inf), (0.0, 90.1), (0.0, -91.0)])
def test_a_point_off_the_globe_is_refused(lon, lat):
    with pytest.raises(ConfigError, match="representative point 1"):
        home_zones(np.array([0.0, lon]), np.array([0.0, lat]))


@given(longitudes, latitudes)
def test_points_come_back_from_their_home_zone(lon, lat):
    zone = home_zone(lon, lat)
    x, y = zone.project_points(np.array([lon]), np.array([lat]))
    back_lon, back_lat = zone.unproject_points(x, y)
    assert abs(back_lat[0] - lat) < 1e-8
    away = (back_lon[0] - lon + 180) % 360 - 180
    assert abs(away) * np.cos(np.radians(lat)) < 1e-8


@pytest.mark.parametrize("name", ["utm01n", "utm60n", "utm01s", "utm60s"])
def test_both_sides_of_180_degrees_land_beside_each_other_and_come_back_continuous(name):
    zone = Zone(name)
    lat = 66.0 if zone.north else -66.0
    outline = shapely.segmentize(shapely.box(179.5, lat - 0.2, 180.5, lat + 0.2), 0.05)
    turned = shapely.transform(outline, lambda xy: xy - [360.0, 0.0])
    there, also = zone.project(objects(outline, turned))
    assert there.is_valid
    assert there.bounds[2] - there.bounds[0] < 60_000
    assert shapely.hausdorff_distance(there, also) < 1e-3
    back = zone.unproject(objects(there))[0]
    west, _, east, _ = back.bounds
    assert east - west == pytest.approx(1.0, abs=1e-6)
    assert abs((west + east) / 2 - zone.central_meridian_deg) < 180


@pytest.mark.parametrize(("name", "lat"), [("upsn", 89.99), ("upss", -89.99)])
def test_a_cap_around_a_pole_is_one_disc_in_its_zone(name, lat):
    zone = Zone(name)
    lon = np.arange(0, 360, 5.0)
    x, y = zone.project_points(lon, np.full_like(lon, lat))
    disc = shapely.Polygon(np.column_stack([x, y]))
    assert disc.is_valid
    assert disc.contains(shapely.Point(2e6, 2e6))


@pytest.mark.parametrize("name", ["utm32n", "upss"])
def test_a_zone_travels_between_processes(name):
    zone = Zone(name)
    assert zone.crs.to_epsg() == zone.epsg
    assert pickle.loads(pickle.dumps(zone)) == zone
