"""One glacier: exact areas where the map is exact, and never an area where nothing was seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from made_glaciers import blob, geodesic_area_km2, objects

from core.coverage import coverage_share
from core.grid import Lattice, Zone
from core.measure import Measurement, MeasureRules, MosaicWindow, Ownership, measure_glacier, ownerships
from core.measure.glacier import ice_share
from core.measure.objects import rule_set
from core.stitch import NOT_OBSERVED, encode

NORTH, SOUTH, POLE = Zone("utm32n"), Zone("utm59s"), Zone("upsn")
RULES = MeasureRules(min_observed_fraction=0.75, advance_m=20.0)
PLACES = {
    "Alps": (NORTH, 700_000, 5_150_000),
    "New Zealand": (SOUTH, 450_000, 5_170_000),
    "84° N": (POLE, 2.5e6, 1.9e6),
}
LATTICE = Lattice(NORTH, 10)


def owned(lattice: Lattice, *outlines: shapely.Geometry, advance_m: float = 20.0) -> list[Ownership]:
    shapes = objects(*outlines)
    return [o for _, o in ownerships(np.arange(len(shapes)), shapes, shapely.STRtree(shapes), lattice, advance_m)]


def mosaic(lattice: Lattice, owner: Ownership, *ice: shapely.Geometry, scene: int = 0) -> MosaicWindow:
    """An exact map of `ice`, seen everywhere in one scene."""
    share = coverage_share(objects(*ice), lattice, owner.window)
    return MosaicWindow(encode(share), np.full(owner.window.shape, scene, np.int32))


def hidden(seen: MosaicWindow, where: np.ndarray) -> MosaicWindow:
    """The same with a cloud."""
    return MosaicWindow(
        np.where(where, NOT_OBSERVED, seen.probability).astype(np.uint8),
        np.where(where, -1, seen.scene).astype(np.int32),
        spread=seen.spread,
    )


def east_of(owner: Ownership, fraction: float) -> np.ndarray:
    """All columns but those that hold the western `fraction` of the outline."""
    so_far = np.cumsum(owner.own.sum(axis=0, dtype=float)) / owner.own.sum(dtype=float)
    return np.broadcast_to(so_far > fraction + 0.005, owner.window.shape)


def measured(lattice: Lattice, outline: shapely.Geometry, *ice: shapely.Geometry, **rules: float) -> Measurement:
    (o,) = owned(lattice, outline, advance_m=rules.get("advance_m", 20.0))
    return measure_glacier(o, mosaic(lattice, o, *ice), lattice, MeasureRules(**{"advance_m": 20.0, **rules}))


@pytest.mark.parametrize("res_m", [10, 20, 30, 60])
@pytest.mark.parametrize("place", PLACES)
def test_an_exact_map_gives_back_the_area_of_the_outline(place, res_m):
    zone, x, y = PLACES[place]
    lattice, truth = Lattice(zone, res_m), blob(x, y, 1500, lobes=4)
    found = measured(lattice, truth, truth)
    area = geodesic_area_km2(zone, truth)
    assert found.status == "measured"
    assert found.reason is None
    assert found.area_km2 == pytest.approx(area, rel=0.0005 * res_m / 10)
    assert found.area_expected_km2 == pytest.approx(area, rel=0.0005 * res_m / 10)
    assert found.observed_fraction == 1.0
    assert found.area_loss_km2 < 0.002 * area
    assert found.area_advance_km2 < 0.002 * area
    assert found.flags == ()
    assert geodesic_area_km2(zone, found.geometry) == pytest.approx(area, rel=0.002 * res_m / 10)


@settings(max_examples=30)
@given(st.floats(0, 30), st.floats(0, 30), st.floats(60, 800), st.integers(2, 6), st.sampled_from([10, 30]))
def test_the_area_does_not_depend_on_how_the_outline_lies_on_the_pixels(dx, dy, radius_m, lobes, res_m):
    lattice, truth = Lattice(NORTH, res_m), blob(700_000 + dx, 5_150_000 + dy, radius_m, lobes)
    found = measured(lattice, truth, truth)
    # At most two levels of 1/254 are lost per pixel that the edge crosses, and slivers away from the ice.
    edge_px = 2 * truth.length / res_m
    tolerance = edge_px * (1 / 254 + 0.01) * res_m**2 / 1e6
    assert found.area_km2 == pytest.approx(geodesic_area_km2(NORTH, truth), abs=tolerance)


def test_neighbours_get_their_own_areas_and_together_the_whole():
    whole = blob(700_000, 5_150_000, 1200, lobes=5)
    cut = shapely.box(699_000, 5_148_000, 700_123, 5_153_000)
    parts = [shapely.intersection(whole, cut), shapely.difference(whole, cut)]
    found = [measure_glacier(o, mosaic(LATTICE, o, whole), LATTICE, RULES) for o in owned(LATTICE, *parts)]
    for f, part in zip(found, parts, strict=True):
        assert f.area_km2 == pytest.approx(geodesic_area_km2(NORTH, part), rel=0.001)
    assert sum(f.area_km2 for f in found) == pytest.approx(geodesic_area_km2(NORTH, whole), rel=0.0005)
    assert shapely.intersection(found[0].geometry, found[1].geometry).area < 1
    union = shapely.union(found[0].geometry, found[1].geometry)
    assert union.area == pytest.approx(whole.area, rel=0.002)


def test_one_wide_sigma_is_half_a_pixel_along_the_outline():
    truth = blob(700_000, 5_150_000, 1500)
    found = measured(LATTICE, truth, truth)
    assert found.sigma is not None and found.sigma.hidden == 0.0
    assert found.sigma.boundary == pytest.approx(0.005 * truth.length / 1000, rel=0.02)
    # An exact map doubts nothing but the mixed pixels of its edge.
    assert found.sigma.model < 0.5 * found.sigma.boundary
    assert found.area_sigma_km2 == pytest.approx(np.hypot(found.sigma.boundary, found.sigma.model))


def test_a_divide_is_no_boundary_of_the_map():
    left, right = (shapely.box(x, 5_150_000, x + 1000, 5_151_000) for x in (699_000, 700_000))
    both = [measure_glacier(o, mosaic(LATTICE, o, left, right), LATTICE, RULES) for o in owned(LATTICE, left, right)]
    alone = measured(LATTICE, left, left)
    for found in both:
        assert found.sigma.boundary == pytest.approx(0.75 * alone.sigma.boundary, rel=0.02)


def test_a_doubtful_map_has_a_model_part_that_grows_with_its_correlation():
    truth = shapely.box(699_000, 5_150_000, 700_000, 5_151_000)
    (o,) = owned(LATTICE, truth)
    seen = mosaic(LATTICE, o, truth)
    doubtful = MosaicWindow(np.where(seen.probability > 200, 200, seen.probability).astype(np.uint8), seen.scene)
    found = [
        measure_glacier(o, doubtful, LATTICE, MeasureRules(advance_m=20.0, correlation_m=metres)).sigma.model
        for metres in (0.0, 100.0, 300.0, 1e5)
    ]
    p = 200 / 254
    assert found == sorted(found)
    assert found[0] == pytest.approx(np.sqrt(p * (1 - p)) * 1.0 / np.sqrt(1e4), rel=0.03)
    assert found[-1] == pytest.approx(np.sqrt(p * (1 - p)) * 1.0, rel=0.03)


def test_votes_that_differ_widen_the_interval():
    truth = shapely.box(699_000, 5_150_000, 700_000, 5_151_000)
    (o,) = owned(LATTICE, truth)
    seen = mosaic(LATTICE, o, truth)
    p = np.where(seen.probability > 200, 200, seen.probability).astype(np.uint8)
    spread = np.where(p == 200, np.uint8(50), np.uint8(0))
    one, several = (
        measure_glacier(o, MosaicWindow(p, seen.scene, spread=s), LATTICE, RULES).sigma.model for s in (None, spread)
    )
    assert several > one and several >= 50 / 254 * 0.99


def test_the_elevation_model_gives_attributes_and_the_image_surfaces():
    truth = shapely.box(699_000, 5_150_000, 700_000, 5_151_000)
    (o,) = owned(LATTICE, truth)
    _, y = LATTICE.centres_m(o.window)
    debris = np.broadcast_to((y < 5_150_250)[:, None], o.window.shape)
    layers = {
        "elevation_m": np.broadcast_to((3000 + 0.2 * (y - 5_150_000))[:, None], o.window.shape).astype(np.float32),
        "green": np.where(debris, 0.15, 0.7).astype(np.float32),
        "red": np.where(debris, 0.16, 0.7).astype(np.float32),
        "nir": np.where(debris, 0.2, 0.65).astype(np.float32),
        "swir1": np.where(debris, 0.25, 0.05).astype(np.float32),
    }
    found = measure_glacier(o, mosaic(LATTICE, o, truth), LATTICE, RULES, lambda names: layers)
    assert found.attributes.zmin_m == pytest.approx(3001, abs=1.5)
    assert found.attributes.zmax_m == pytest.approx(3199, abs=1.5)
    assert found.attributes.zmed_m == pytest.approx(3100, abs=1.5)
    assert sum(found.attributes.hypsometry.values()) == 1000
    assert found.cover.area_debris_km2 == pytest.approx(0.25, rel=0.01)
    assert found.cover.area_clean_ice_km2 == pytest.approx(0.75, rel=0.01)
    assert found.cover.area_debris_km2 + found.cover.area_clean_ice_km2 == pytest.approx(found.area_km2)
    assert set(found.surfaces) == {"clean_ice", "debris"} and found.calving is None


def test_snow_beside_the_glacier_is_taken_away_by_the_rules_and_counted():
    glacier = shapely.box(699_000, 5_150_000, 700_000, 5_151_000)
    snow = shapely.box(699_200, 5_151_000, 699_800, 5_151_200)  # above it, and hanging together with it
    (o,) = owned(LATTICE, glacier, advance_m=300.0)
    _, y = LATTICE.centres_m(o.window)
    layers = {
        "elevation_m": np.broadcast_to((3000 + 0.2 * (y - 5_150_000))[:, None], o.window.shape).astype(np.float32),
        "ndsi": np.full(o.window.shape, 0.8, np.float32),
    }
    rules = MeasureRules(advance_m=300.0)
    bare = measure_glacier(o, mosaic(LATTICE, o, glacier, snow), LATTICE, rules, lambda names: layers)
    judged = replace(rules, objects=rule_set("default"))
    clean = measure_glacier(o, mosaic(LATTICE, o, glacier, snow), LATTICE, judged, lambda names: layers)
    assert bare.area_advance_km2 == pytest.approx(0.12, rel=0.05)
    assert clean.area_advance_km2 < 0.01 and clean.flags == ("removed_snow_patches:1", "left_out_rules:2")


@pytest.mark.parametrize("res_m", [10, 30])
@given(dx=st.floats(0, 30), dy=st.floats(0, 30))
@settings(max_examples=10)
def test_new_snow_around_the_upper_half_never_counts_however_the_outline_lies_on_the_pixels(res_m, dx, dy):
    """With the rules and the advance of a configuration that says nothing."""
    lattice = Lattice(NORTH, res_m)
    old = shapely.affinity.translate(shapely.box(699_000, 5_150_000, 700_020, 5_153_010), dx, dy)
    ring = shapely.intersection(shapely.buffer(old, 400, join_style="mitre"), shapely.box(0, 5_152_000, 1e6, 6e6))
    fringe = shapely.intersection(shapely.buffer(old, 0.8 * res_m, join_style="mitre"), ring)
    rules = MeasureRules(objects=rule_set("default"))
    (o,) = owned(lattice, old, advance_m=rules.advance_m)
    _, y = lattice.centres_m(o.window)
    layers = {
        "elevation_m": np.broadcast_to((3000 + 0.2 * (y - 5_150_000))[:, None], o.window.shape).astype(np.float32),
        "ndsi": np.full(o.window.shape, 0.8, np.float32),
        "slope_deg": np.full(o.window.shape, 11.0, np.float32),
    }
    true = geodesic_area_km2(NORTH, old)
    snowy = measure_glacier(o, mosaic(lattice, o, old, ring), lattice, rules, lambda _: layers)
    assert snowy.flags[0] == "removed_snow_patches:1" and "advance_at_limit" not in snowy.flags[0]
    assert snowy.area_km2 == pytest.approx(true, rel=0.01)
    shifted = measure_glacier(o, mosaic(lattice, o, old, fringe), lattice, rules, lambda _: layers)
    assert not any(flag.startswith("removed") for flag in shifted.flags)


def test_snow_that_drains_into_ice_is_added_counted_and_doubtful():
    """The optional step, in the measurement itself: a névé under snow above a mapped tongue."""
    glacier = shapely.box(699_000, 5_150_000, 700_000, 5_152_000)
    tongue = shapely.box(699_000, 5_150_000, 700_000, 5_151_000)
    (o,) = owned(LATTICE, glacier)
    _, y = LATTICE.centres_m(o.window)
    layers = {
        "elevation_m": np.broadcast_to((3000 + 0.2 * (y - 5_150_000))[:, None], o.window.shape).astype(np.float32),
        "ndsi": np.full(o.window.shape, 0.9, np.float32),
    }
    seen = mosaic(LATTICE, o, tongue)
    rules = replace(RULES, accumulation=True)
    bare = measure_glacier(o, seen, LATTICE, RULES, lambda _: layers)
    grown = measure_glacier(o, seen, LATTICE, rules, lambda _: layers)
    assert grown.area_km2 == pytest.approx(2.0, rel=0.02) and bare.area_km2 == pytest.approx(1.0, rel=0.02)
    (flag,) = grown.flags
    assert flag.startswith("added_accumulation:") and int(flag.split(":")[1]) == pytest.approx(10_000, rel=0.03)
    # A rule is no surer than the map that it contradicts.
    assert grown.sigma.model > bare.sigma.model + 0.05
    without = measure_glacier(o, seen, LATTICE, rules)
    assert without.flags == ("left_out_accumulation",) and without.area_km2 == bare.area_km2


def test_a_terminus_that_votes_dispute_is_settled_and_counted():
    glacier = shapely.box(699_000, 5_150_000, 700_000, 5_153_000)
    (o,) = owned(LATTICE, glacier)
    _, y = LATTICE.centres_m(o.window)
    inside = o.own >= 0.5
    foot = inside & (y < 5_150_400)[:, None]
    probability = np.where(foot, 0.45, np.where(inside, 0.95, 0.02)).astype(np.float32)
    spread = np.where(foot, 0.4, 0.02).astype(np.float32)
    layers = {
        "elevation_m": np.broadcast_to((3000 + 0.2 * (y - 5_150_000))[:, None], o.window.shape).astype(np.float32),
        "red": np.where(inside, 0.6, 0.1).astype(np.float32),
        "nir": np.where(inside, 0.5, 0.2).astype(np.float32),
    }
    seen = MosaicWindow(encode(probability), np.zeros(o.window.shape, np.int32), spread=encode(spread))
    before = measure_glacier(o, seen, LATTICE, RULES, lambda _: layers)
    after = measure_glacier(o, seen, LATTICE, replace(RULES, terminus=True), lambda _: layers)
    assert before.area_km2 == pytest.approx(2.6, rel=0.02) and after.area_km2 == pytest.approx(3.0, rel=0.02)
    assert [flag.split(":")[0] for flag in after.flags] == ["settled_terminus"]
    alone = MosaicWindow(seen.probability, seen.scene)
    assert "left_out_terminus" in measure_glacier(o, alone, LATTICE, replace(RULES, terminus=True)).flags


def test_ice_that_goes_on_beyond_the_reach_says_so():
    old, surged = (shapely.box(699_000, 5_150_000, 700_000 + metres, 5_150_400) for metres in (0, 2000))
    found = measured(LATTICE, old, surged, advance_m=60.0)
    assert found.flags[0] == "advance_at_limit:40" and found.area_advance_km2 == pytest.approx(0.024, rel=0.05)
    # A surge or seasonal snow: what is counted may be less than all of it, or none.
    assert found.sigma.model >= 0.024 * 0.95
    stopped = shapely.box(699_000, 5_150_000, 700_040, 5_150_400)
    short = measured(LATTICE, old, stopped, advance_m=60.0)
    assert short.flags == () and short.sigma.model < 0.005


def test_new_ice_between_glaciers_that_no_elevation_divides_says_so():
    left, right = (shapely.box(x, 5_150_000, x + 500, 5_151_000) for x in (699_000, 699_600))
    between = shapely.box(699_500, 5_150_000, 699_600, 5_151_000)
    for o in owned(LATTICE, left, right, advance_m=100.0):
        rules = MeasureRules(advance_m=100.0)
        seen = mosaic(LATTICE, o, left, right, between)
        blind = measure_glacier(o, seen, LATTICE, rules)
        assert [flag.split(":")[0] for flag in blind.flags] == ["divided_by_distance"]
        level = {"elevation_m": np.full(o.window.shape, 3000.0, np.float32)}
        assert measure_glacier(o, seen, LATTICE, rules, lambda _, k=level: k).flags == ()


def test_ground_claimed_by_two_outlines_is_the_first_ones_also_under_a_cloud():
    left, right = (
        shapely.box(699_000, 5_150_000, 700_000, 5_151_000),
        shapely.box(699_900, 5_150_000, 701_000, 5_151_000),
    )
    whole = geodesic_area_km2(NORTH, shapely.union(left, right))
    for cloud in (False, True):
        found = []
        for o in owned(LATTICE, left, right):
            seen = mosaic(LATTICE, o, left, right)
            x, _ = LATTICE.centres_m(o.window)
            over = np.broadcast_to((abs(x - 699_950) < 50)[None], o.window.shape)
            found.append(measure_glacier(o, hidden(seen, over) if cloud else seen, LATTICE, RULES))
        assert sum(f.area_km2 for f in found) == pytest.approx(whole, rel=1e-3)
        assert found[0].area_km2 == pytest.approx(geodesic_area_km2(NORTH, left), rel=1e-3)
        assert shapely.intersection(found[0].geometry, found[1].geometry).area < 1.0
        assert shapely.area(shapely.union(found[0].geometry, found[1].geometry)) == pytest.approx(1.9e6 + 1e5, rel=2e-3)
        assert max(f.area_loss_km2 for f in found) < 1e-3
        assert not any("ceded" in flag for flag in found[0].flags) and "ceded_overlap:1000" in found[1].flags


def test_an_outline_that_is_there_twice_is_measured_once_and_the_other_says_why():
    outline = shapely.box(699_000, 5_150_000, 700_000, 5_151_000)
    first, second = (
        measure_glacier(o, mosaic(LATTICE, o, outline), LATTICE, RULES) for o in owned(LATTICE, outline, outline)
    )
    assert first.area_km2 == pytest.approx(geodesic_area_km2(NORTH, outline), rel=1e-3) and first.geometry is not None
    assert second.status == "quarantined" and "inventory claim all of its ground" in second.reason


def test_a_front_is_drawn_where_the_inventory_says_that_the_glacier_ends_in_water():
    old = shapely.box(699_000, 5_150_000, 700_000, 5_152_000)
    now = shapely.box(699_000, 5_150_200, 700_000, 5_152_000)
    (o,) = owned(LATTICE, old)
    _, y = LATTICE.centres_m(o.window)
    height = np.where(y < 5_150_200, 0.0, 60 + 0.05 * (y - 5_150_200))[:, None]
    layers = {"elevation_m": np.broadcast_to(height, o.window.shape).astype(np.float32)}
    seen = mosaic(LATTICE, o, now)
    on_land = measure_glacier(o, seen, LATTICE, RULES, lambda names: layers, 0)
    at_sea = measure_glacier(o, seen, LATTICE, RULES, lambda names: layers, 1)
    assert on_land.calving is None and at_sea.calving.water == "sea"
    assert at_sea.calving.length_m == pytest.approx(1000, rel=0.1)
    assert at_sea.calving.change_m == pytest.approx(-200, abs=15)


def test_ice_that_went_is_loss_and_ice_that_came_is_advance():
    old, new = blob(700_000, 5_150_000, 1000), blob(700_000, 5_150_000, 900)
    ring = geodesic_area_km2(NORTH, old) - geodesic_area_km2(NORTH, new)
    shrunk = measured(LATTICE, old, new)
    assert shrunk.area_km2 == pytest.approx(geodesic_area_km2(NORTH, new), rel=0.001)
    assert shrunk.area_loss_km2 == pytest.approx(ring, rel=0.01)
    assert shrunk.area_advance_km2 < 0.01 * ring
    grown = measured(LATTICE, new, old, advance_m=200.0)
    assert grown.area_km2 == pytest.approx(geodesic_area_km2(NORTH, old), rel=0.001)
    assert grown.area_advance_km2 == pytest.approx(ring, rel=0.01)
    assert grown.area_loss_km2 < 0.01 * ring


def test_ice_beyond_the_advance_distance_does_not_count():
    glacier, snow = blob(700_000, 5_150_000, 800), shapely.box(690_000, 5_140_000, 710_000, 5_160_000)
    found = measured(LATTICE, glacier, snow, advance_m=20.0)
    outer = geodesic_area_km2(NORTH, shapely.buffer(glacier, 35))
    assert geodesic_area_km2(NORTH, shapely.buffer(glacier, 15)) < found.area_km2 < outer


def test_a_snow_patch_beside_a_glacier_is_not_in_its_area():
    glacier = blob(700_000, 5_150_000, 800)
    patch = shapely.box(700_950, 5_149_900, 701_050, 5_150_100)  # within the advance, behind a strip of rock
    found = measured(LATTICE, glacier, glacier, patch, advance_m=300.0)
    assert found.area_km2 == pytest.approx(geodesic_area_km2(NORTH, glacier), rel=0.001)
    assert shapely.distance(found.geometry, patch) > 20


@pytest.mark.parametrize("res_m", [10, 30])
def test_an_advance_of_300_m_is_seen_and_not_much_more(res_m):
    lattice = Lattice(NORTH, res_m)
    old = shapely.box(699_000, 5_149_800, 700_020, 5_150_200)
    tongue = shapely.box(699_000, 5_149_800, 700_320, 5_150_200)
    found = measured(lattice, old, tongue, advance_m=300.0)
    assert found.area_km2 == pytest.approx(geodesic_area_km2(NORTH, tongue), rel=0.02)
    assert found.area_advance_km2 == pytest.approx(0.3 * 0.4, rel=0.05)
    longer = shapely.box(699_000, 5_149_800, 701_500, 5_150_200)
    assert measured(lattice, old, longer, advance_m=300.0).area_advance_km2 == pytest.approx(0.3 * 0.4, rel=0.1)


def test_elevation_leads_an_advance_to_the_glacier_that_it_flows_from():
    """Two glaciers above one foreland: what is nearer to the right one comes down the valley of the left one."""
    left, right = (
        shapely.box(699_000, 5_150_000, 699_400, 5_151_000),
        shapely.box(699_600, 5_149_900, 700_000, 5_151_000),
    )
    tongue = shapely.box(699_000, 5_149_700, 699_600, 5_150_000)
    owners = owned(LATTICE, left, right, advance_m=300.0)
    rules = MeasureRules(advance_m=300.0)
    areas = []
    for o in owners:
        x, y = LATTICE.centres_m(o.window)
        ridge = 60 * np.exp(-(((x - 699_595) / 20) ** 2))
        elevation = (2500 + (y - 5_150_000)[:, None] * 0.2 + ridge[None, :]).astype(np.float32)
        layers = {"elevation_m": elevation}
        areas.append(measure_glacier(o, mosaic(LATTICE, o, left, right, tongue), LATTICE, rules, lambda _, k=layers: k))
    assert areas[0].area_advance_km2 == pytest.approx(geodesic_area_km2(NORTH, tongue), rel=0.05)
    assert areas[1].area_advance_km2 < 0.05 * geodesic_area_km2(NORTH, tongue)


def test_a_neighbour_is_no_advance():
    left, right = (
        shapely.box(699_000, 5_150_000, 700_000, 5_151_000),
        shapely.box(700_000, 5_150_000, 701_000, 5_151_000),
    )
    for o in owned(LATTICE, left, right, advance_m=100.0):
        found = measure_glacier(o, mosaic(LATTICE, o, left, right), LATTICE, RULES)
        assert found.area_km2 == pytest.approx(geodesic_area_km2(NORTH, left), rel=0.001)
        assert found.area_advance_km2 < 1e-4


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.74])
def test_a_glacier_seen_too_little_of_has_no_area_but_a_reason(fraction):
    truth = shapely.box(699_000, 5_150_000, 700_000, 5_151_000)
    (o,) = owned(LATTICE, truth)
    found = measure_glacier(o, hidden(mosaic(LATTICE, o, truth), east_of(o, fraction)), LATTICE, RULES)
    assert found.status == "not_observed"
    assert "observed" in found.reason
    assert found.observed_fraction == pytest.approx(fraction, abs=0.01)
    assert (found.area_km2, found.area_sigma_km2, found.area_expected_km2, found.geometry) == (None,) * 4
    assert (found.area_advance_km2, found.area_loss_km2) == (None, None)


@pytest.mark.parametrize("fraction", [0.76, 0.9, 0.98])
def test_a_gap_is_filled_flagged_and_widens_sigma_and_the_area_stays(fraction):
    truth = blob(700_000, 5_150_000, 1000)
    (o,) = owned(LATTICE, truth)
    whole = mosaic(LATTICE, o, truth)
    clear = measure_glacier(o, whole, LATTICE, RULES)
    found = measure_glacier(o, hidden(whole, east_of(o, fraction)), LATTICE, RULES)
    assert found.status == "measured"
    assert found.flags[-1] == "gap_filled" and found.flags[0].startswith("foreland_hidden:")
    assert found.observed_fraction == pytest.approx(fraction, abs=0.01)
    assert found.area_km2 == pytest.approx(clear.area_km2, rel=0.005)
    assert found.area_expected_km2 == pytest.approx(clear.area_expected_km2, rel=0.005)
    gap = (1 - found.observed_fraction) * clear.area_km2
    # All of the rest is ice: that a share between none and all is wrong by has a mean of 1 / √3.
    assert found.area_sigma_km2 >= np.hypot(clear.area_sigma_km2, gap * 0.577) * 0.98
    assert found.geometry.area == pytest.approx(truth.area, rel=0.01)


@given(p=st.integers(130, 254), votes=st.integers(0, 60), ice=st.floats(0.2, 1.0))
@settings(max_examples=25)
def test_the_more_is_hidden_the_wider_is_sigma_however_sure_the_map_is(p, votes, ice):
    truth = shapely.box(699_000, 5_150_000, 700_000, 5_151_000)
    (o,) = owned(LATTICE, truth)
    mapped = mosaic(LATTICE, o, shapely.box(699_000, 5_150_000, 700_000, 5_150_000 + 1000 * ice))
    doubtful = MosaicWindow(
        np.minimum(mapped.probability, p).astype(np.uint8),
        mapped.scene,
        spread=np.where(mapped.probability > 0, votes, 0).astype(np.uint8),
    )
    rules = replace(RULES, min_observed_fraction=0.3)
    sigma = []
    for seen in (1.0, 0.98, 0.9, 0.75, 0.5):
        found = measure_glacier(o, hidden(doubtful, east_of(o, seen)) if seen < 1 else doubtful, LATTICE, rules)
        sigma.append(found.area_sigma_km2)
    assert (np.diff(sigma) > -1e-3 * sigma[0]).all()


def test_a_glacier_of_which_nothing_is_left_where_it_is_seen_has_no_outline_where_it_is_not():
    truth = shapely.box(699_000, 5_150_000, 700_000, 5_151_000)
    (o,) = owned(LATTICE, truth)
    found = measure_glacier(o, hidden(mosaic(LATTICE, o), east_of(o, 0.8)), LATTICE, RULES)
    assert (found.status, found.area_km2, found.geometry) == ("below_minimum", 0.0, None)
    assert found.sigma.hidden == pytest.approx(0.2 / np.sqrt(3), rel=0.05)


def test_a_gap_over_a_glacier_half_gone_is_filled_with_a_half():
    truth = shapely.box(699_000, 5_150_000, 700_000, 5_151_000)
    (o,) = owned(LATTICE, truth, advance_m=0.0)
    left = shapely.box(699_000, 5_150_000, 699_500, 5_151_000)
    cloud = np.zeros(o.window.shape, bool)
    cloud[: o.window.shape[0] // 6] = True
    found = measure_glacier(o, hidden(mosaic(LATTICE, o, left), cloud), LATTICE, RULES)
    assert found.area_km2 == pytest.approx(geodesic_area_km2(NORTH, left), rel=0.01)


def test_a_cloud_beside_the_glacier_is_no_gap():
    truth = blob(700_000, 5_150_000, 1000)
    (o,) = owned(LATTICE, truth)
    whole = mosaic(LATTICE, o, truth)
    found = measure_glacier(o, hidden(whole, o.own == 0), LATTICE, RULES)
    assert found.observed_fraction == 1.0
    # But it may hide new ice, and the row says so.
    assert [flag.split(":")[0] for flag in found.flags] == ["foreland_hidden"]
    assert found.area_km2 == pytest.approx(geodesic_area_km2(NORTH, truth), rel=0.002)


def test_a_glacier_that_nobody_saw_is_not_observed_and_not_gone():
    truth = blob(700_000, 5_150_000, 1000)
    (o,) = owned(LATTICE, truth)
    nothing = hidden(mosaic(LATTICE, o, truth), np.ones(o.window.shape, bool))
    for rules in (RULES, MeasureRules(min_observed_fraction=0.0)):
        found = measure_glacier(o, nothing, LATTICE, rules)
        assert (found.status, found.observed_fraction, found.area_km2) == ("not_observed", 0.0, None)
        assert found.reason
        assert found.scenes == ()


def test_a_glacier_that_is_gone_has_an_area_of_zero_and_no_outline():
    found = measured(LATTICE, blob(700_000, 5_150_000, 500))
    assert found.status == "below_minimum"
    assert found.area_km2 == 0.0
    assert found.geometry is None
    assert found.area_loss_km2 == pytest.approx(geodesic_area_km2(NORTH, blob(700_000, 5_150_000, 500)), rel=0.001)


@pytest.mark.parametrize("res_m", [10, 30, 120])
def test_a_glacier_smaller_than_a_pixel_is_below_the_minimum_and_not_lost(res_m):
    lattice, tiny = Lattice(NORTH, res_m), blob(700_004, 5_150_004, 0.3 * res_m)
    found = measured(lattice, tiny, tiny)
    assert found.status in ("below_minimum", "measured")
    assert found.status == "below_minimum" or res_m == 120
    assert found.area_km2 <= 1.2 * geodesic_area_km2(NORTH, tiny)
    assert (found.reason is None) == (found.status == "measured")


@pytest.mark.parametrize(("radius_m", "status"), [(30, "below_minimum"), (90, "measured")])
def test_the_minimum_is_that_of_the_rules_and_is_named(radius_m, status):
    truth = blob(700_000, 5_150_000, radius_m)
    found = measured(LATTICE, truth, truth, min_area_km2=0.01)
    assert found.status == status
    assert found.area_km2 == pytest.approx(geodesic_area_km2(NORTH, truth), rel=0.02)
    assert ("0.01" in (found.reason or "")) == (status == "below_minimum")


def test_scenes_are_those_of_the_ground_that_the_glacier_owns():
    left, right = (
        shapely.box(699_000, 5_150_000, 700_000, 5_151_000),
        shapely.box(700_000, 5_150_000, 701_000, 5_151_000),
    )
    one = owned(LATTICE, left, right, advance_m=20.0)[0]
    seen = mosaic(LATTICE, one, left, right, shapely.box(699_000, 5_151_000, 701_000, 5_151_100))
    x, y = LATTICE.centres_m(one.window)
    scene = np.full(one.window.shape, 3, np.int32)
    scene[:, x > 700_000] = 5  # the neighbour's
    scene[y > 5_151_000] = 4  # the advance ring
    scene[y > 5_151_020] = 6  # beyond it
    found = measure_glacier(one, MosaicWindow(seen.probability, scene), LATTICE, RULES)
    assert found.scenes == (3, 4)


def test_a_block_that_is_missing_quarantines_the_glacier_with_the_reason():
    truth = blob(700_000, 5_150_000, 500)
    (o,) = owned(LATTICE, truth)
    seen = mosaic(LATTICE, o, truth)
    torn = MosaicWindow(seen.probability, seen.scene, (("utm32n-r160-c022", "a torn chunk"),))
    found = measure_glacier(o, torn, LATTICE, RULES)
    assert found.status == "quarantined"
    assert "utm32n-r160-c022" in found.reason and "a torn chunk" in found.reason
    assert (found.area_km2, found.geometry, found.observed_fraction) == (None, None, None)


grids = st.integers(0, 2**32 - 1).map(lambda k: np.random.default_rng(k))


@given(grids, st.floats(0.05, 0.95))
def test_ice_shares_are_whole_away_from_edges_and_continuous_at_the_threshold(rng, threshold):
    probability = rng.uniform(0, 1, (12, 12)).astype(np.float32)
    probability[:5] = 1.0
    probability[8:] *= 0.5 * threshold
    seen = rng.uniform(0, 1, (12, 12)) < 0.9
    share = ice_share(np.where(seen, probability, 0).astype(np.float32), seen, threshold)
    assert share.dtype == np.float32
    assert share.min() >= 0 and share.max() <= 1 + 1e-6
    assert (share[:4][seen[:4]] == 1).all()
    assert (share[10:] == 0).all()
    ice = seen & (probability >= np.float32(threshold))
    np.testing.assert_array_equal(share[ice] >= 0.5, True)
    assert (share[seen & ~ice] <= 0.5).all()


def test_what_was_not_seen_makes_no_edge():
    probability = np.full((5, 5), 0.8, np.float32)
    seen = np.ones((5, 5), bool)
    seen[2, 2] = False
    assert (ice_share(np.where(seen, probability, 0).astype(np.float32), seen, 0.5)[seen] == 1).all()
