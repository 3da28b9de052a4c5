"""Outlines of a zone: everybody at home once, and every neighbour that could touch them known on this side too."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from made_glaciers import blob, geodesic_area_km2, inventory, lon_lat, objects

from core.coverage import coverage_share
from core.grid import Lattice, Zone, pixel_area_km2
from core.measure import ownerships, with_advance
from core.plan import ZoneOutlines, zone_outlines
from core.plan.outlines import project_outlines

NEAR_M = 200.0


def square(lon: float, lat: float, half_m: float = 500.0) -> shapely.Geometry:
    dy = half_m / 111_320
    dx = dy / np.cos(np.radians(lat))
    return shapely.segmentize(shapely.box(lon - dx, lat - dy, lon + dx, lat + dy), dx / 4)


def pair(lon: float, lat: float, gap_m: float = 0.0) -> list[shapely.Geometry]:
    """Two squares of 1 km, west and east of a meridian, `gap_m` apart."""
    dx = (500 + gap_m / 2) / 111_320 / np.cos(np.radians(lat))
    return [square(lon - dx, lat), square(lon + dx, lat)]


def metres_from(lon: float, lat: float, lon_lat_: np.ndarray) -> np.ndarray:
    """On a plane around a place, whichever side of 180° its longitudes are counted from."""
    east = (lon_lat_[:, 0] - lon + 180.0) % 360.0 - 180.0
    return np.column_stack([east * np.cos(np.radians(lat)), lon_lat_[:, 1] - lat]) * 111_320


def by_zone(found: list[ZoneOutlines]) -> dict[str, ZoneOutlines]:
    return {z.zone.name: z for z in found}


def ids(outlines: ZoneOutlines, home: bool) -> list[str]:
    return outlines.glaciers["rgi_id"][outlines.home == home].tolist()


BORDERS = {
    "zone border": (12.0, 46.0, "utm32n", "utm33n"),
    "zone border in the south": (-72.0, -50.0, "utm18s", "utm19s"),
    "antimeridian": (180.0, 66.0, "utm60n", "utm01n"),
    "antimeridian in the south": (180.0, -78.0, "utm60s", "utm01s"),
    "zone border at 83° N": (-36.0, 83.5, "utm24n", "utm25n"),
}


@pytest.mark.parametrize("border", BORDERS)
def test_a_neighbour_across_a_border_is_known_on_both_sides(border):
    lon, lat, west, east = BORDERS[border]
    zones = by_zone(zone_outlines(inventory(pair(lon, lat)), NEAR_M))
    assert set(zones) == {west, east}
    for name, mine, theirs in ((west, 0, 1), (east, 1, 0)):
        assert [i[-1] for i in ids(zones[name], home=True)] == [str(mine)]
        assert [i[-1] for i in ids(zones[name], home=False)] == [str(theirs)]
        one, other = zones[name].outline_m
        assert shapely.distance(one, other) < 5
        assert shapely.intersection(one, other).area < 1000
        assert shapely.area(other) == pytest.approx(shapely.area(one), rel=0.01)


@pytest.mark.parametrize(("lon", "name"), [(-33.0, "utm25n"), (179.999, "utm60n"), (-179.999, "utm01n")])
def test_a_neighbour_across_84_degrees_north_is_known_on_both_sides(lon, name):
    dy = 500 / 111_320
    shapes = [square(lon, 84.0 - dy), square(-lon if abs(lon) > 90 else lon, 84.0 + dy * 1.001)]
    zones = by_zone(zone_outlines(inventory(shapes), NEAR_M))
    assert set(zones) == {name, "upsn"}
    for outlines in zones.values():
        assert outlines.home.sum() == 1
        assert len(outlines.home) == 2
        assert shapely.distance(*outlines.outline_m) < 5


def test_a_neighbour_across_the_equator_is_known_on_both_sides():
    dy = 500 / 111_320
    zones = by_zone(zone_outlines(inventory([square(-78.0, -dy * 1.001), square(-78.0, dy)]), NEAR_M))
    assert set(zones) == {"utm18s", "utm18n"}
    assert all(len(z.home) == 2 for z in zones.values())


def test_neighbours_across_180_degrees_near_the_pole_share_one_zone():
    (found,) = zone_outlines(inventory(pair(180.0, 86.0)), NEAR_M)
    assert found.zone.name == "upsn"
    assert found.home.all()
    assert shapely.distance(*found.outline_m) < 5


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("gap_m", "known"), [(150.0, True), (260.0, False), (5000.0, False)])
def test_only_what_is_near_counts_as_a_neighbour(border, gap_m, known):
    lon, lat, *_ = BORDERS[border]
    found = zone_outlines(inventory(pair(lon, lat, gap_m)), NEAR_M)
    assert [len(z.home) for z in found] == [2 if known else 1] * 2


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(-0.05, 0.05), st.floats(-0.02, 0.02), st.floats(100, 2500)), min_size=2, max_size=12),
    st.sampled_from(sorted(BORDERS)),
    st.floats(0, 3000),
)
def test_neighbours_are_exactly_those_within_reach_of_a_home_glacier(places, border, near_m):
    lon, lat, *_ = BORDERS[border]
    shapes = [square(lon + dx / np.cos(np.radians(lat)), lat + dy, half) for dx, dy, half in places]
    glaciers = inventory(shapes)
    found = zone_outlines(glaciers, near_m)
    assert sum(z.home.sum() for z in found) == len(shapes)
    for z in found:
        everybody = project_outlines(z.zone, glaciers.geometry.to_numpy())
        home = (glaciers["zone"] == z.zone.name).to_numpy()
        distance = np.array([shapely.distance(g, everybody[home]).min() for g in everybody])
        names = set(z.glaciers["rgi_id"])
        assert set(glaciers["rgi_id"][distance <= near_m]) <= names
        assert names <= set(glaciers["rgi_id"][distance <= near_m + 1.0 + 1e-6])
        assert z.glaciers["rgi_id"].is_monotonic_increasing
        assert (z.group == "").all()


def test_a_glacier_with_a_problem_is_left_out_and_the_others_stay():
    shapes = [*pair(12.0, 46.0), None]
    found = zone_outlines(inventory(shapes, problem=[None, None, "null geometry"]), NEAR_M)
    assert sum(z.home.sum() for z in found) == 2


@pytest.mark.parametrize("border", ["zone border", "antimeridian", "zone border at 83° N"])
def test_ice_of_a_neighbour_in_another_zone_is_nobodys_advance(border):
    """Both are measured at home, each in its own grid; together they own the ground once."""
    lon, lat, *_ = BORDERS[border]
    total = 0.0
    for z in zone_outlines(inventory(pair(lon, lat)), NEAR_M):
        lattice = Lattice(z.zone, 10)
        ice = shapely.buffer(shapely.union_all(z.outline_m), 100)
        ((_, o),) = ownerships(np.flatnonzero(z.home), z.outline_m, z.tree, lattice, 50.0)
        mapped = coverage_share(objects(ice), lattice, o.window)
        share = mapped * with_advance(o, mapped > 0, None, 5).share
        total += float(np.sum(share * pixel_area_km2(lattice, o.window), dtype=float))
        grown = geodesic_area_km2(z.zone, shapely.buffer(shapely.union_all(z.outline_m), 50))
    assert total == pytest.approx(grown, rel=0.02)


@settings(max_examples=20)
@given(border=st.sampled_from(sorted(BORDERS)), gap_m=st.floats(20, 300), seed=st.integers(0, 2**32 - 1))
def test_new_ice_between_glaciers_of_two_zones_is_claimed_once(border, gap_m, seed):
    """Each zone floods on its own pixels over ground of its own; what both would claim, neither does."""
    lon, lat, *_ = BORDERS[border]
    shapes = pair(lon, lat, gap_m)
    gained = []
    for z in zone_outlines(inventory(shapes), 700.0):
        lattice = Lattice(z.zone, 10)
        strange = (z.glaciers["zone"] != z.zone.name).to_numpy(dtype=bool)
        ((_, o),) = ownerships(np.flatnonzero(z.home), z.outline_m, z.tree, lattice, 200.0, strange)
        rough = np.random.default_rng(seed).normal(scale=20.0, size=o.window.shape).astype(np.float32)
        found = with_advance(o, np.ones(o.window.shape, dtype=bool), rough, 20)
        rows, cols = np.nonzero((found.share == 1) & (found.label < 0))
        assert len(rows) > 500
        boxes = lattice.boxes_m(rows + o.window.row0, cols + o.window.col0, 1)
        ground = z.zone.unproject(np.array([shapely.union_all(boxes)], dtype=object))[0]
        gained.append(shapely.transform(ground, lambda xy: metres_from(lon, lat, xy)))
    # m², along a border of a kilometre: corners of pixels that lie aslant.
    assert shapely.intersection(*gained).area < 500.0


def test_a_cap_around_the_pole_is_one_valid_outline_in_its_zone():
    zone = Zone("upsn")
    cap = lon_lat(zone, shapely.segmentize(blob(2e6, 2e6, 50_000), 500))
    (found,) = zone_outlines(inventory(cap, centre=[(10.0, 89.9)]), NEAR_M)
    (outline,) = found.outline_m
    assert shapely.is_valid(outline)
    assert outline.area == pytest.approx(blob(2e6, 2e6, 50_000).area, rel=0.001)
    assert outline.contains(shapely.Point(2e6, 2e6))


def test_home_outlines_and_members_follow_the_rows():
    (z,) = zone_outlines(inventory([square(9.0, 46.0), square(9.1, 46.0), square(9.2, 46.0)]), NEAR_M)
    z.group[:] = ["a", "b", "a"]
    assert z.members("a").tolist() == [0, 2]
    assert z.members("c").tolist() == []
    assert len(z.home_outlines) == 3
    assert z.tree.query(z.outline_m[1]).tolist() == [1]
