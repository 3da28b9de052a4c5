"""Polygons of change: true areas, no slivers, 180° and the poles."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.affinity import translate

from core.change.polygons import change_polygons
from core.inventory import area_km2, split_antimeridian


def shapes(*items) -> np.ndarray:
    out = np.empty(len(items), dtype=object)
    out[:] = items
    return out


def changed(first, second, lon=7.05, lat=46.05, sliver_m=5.0):
    return change_polygons(shapes(first), shapes(second), np.array([lon]), np.array([lat]), sliver_m)


BOX = shapely.box(7.0, 46.0, 7.1, 46.1)


def test_a_glacier_that_stayed_has_no_polygons():
    assert len(changed(BOX, BOX)) == 0


def test_what_was_lost_and_gained_are_told_apart():
    found = changed(BOX, translate(BOX, 0.02))
    assert found["kind"].tolist() == ["advance", "loss"]
    strip = area_km2(shapes(shapely.box(7.0, 46.0, 7.02, 46.1)))[0]
    assert found["area_km2"].to_numpy() == pytest.approx([strip, strip], rel=1e-4)
    assert found["n_parts"].tolist() == [1, 1]


@given(st.floats(0.002, 0.05), st.floats(0.002, 0.05))
def test_advance_minus_loss_is_the_change_of_area(east, south):
    later = shapely.box(7.0, 46.0 + south, 7.1 + east, 46.1)
    found = changed(BOX, later).set_index("kind")["area_km2"]
    assert found["advance"] - found["loss"] == pytest.approx(
        float(np.diff(area_km2(shapes(BOX, later)))[0]), abs=1e-3 * area_km2(shapes(BOX))[0]
    )


def test_pieces_narrower_than_the_noise_are_dropped_and_others_kept_whole():
    metre = 1 / 111_320
    assert len(changed(BOX, shapely.box(7.0, 46.0, 7.1, 46.1 - 4 * metre))) == 0
    assert len(changed(BOX, shapely.box(7.0, 46.0, 7.1, 46.1 - 6 * metre))) == 1
    assert len(changed(BOX, shapely.box(7.0, 46.0, 7.1, 46.1 - 6 * metre), sliver_m=15.0)) == 0


def test_a_glacier_that_vanished_is_lost_whole():
    found = changed(BOX, None)
    assert found["kind"].tolist() == ["loss"]
    assert found["area_km2"][0] == pytest.approx(area_km2(shapes(BOX))[0], rel=1e-6)
    assert changed(shapely.Polygon(), BOX)["kind"].tolist() == ["advance"]
    assert len(changed(None, None)) == 0


def test_lost_ground_keeps_its_holes_and_parts():
    found = changed(BOX, shapely.box(7.03, 46.0, 7.07, 46.1))
    assert found["n_parts"].tolist() == [2] and found["geometry"][0].geom_type == "MultiPolygon"
    ring = changed(BOX, shapely.box(7.03, 46.03, 7.07, 46.07))["geometry"][0]
    assert len(ring.interiors) == 1


@pytest.mark.parametrize("west", [179.95, -180.05])
def test_at_180_degrees_nothing_is_gained_or_lost_by_the_seam(west):
    first = shapely.box(west, -16.1, west + 0.1, -16.0)
    second = shapely.box(west + 0.02, -16.1, west + 0.1, -16.0)
    split = split_antimeridian(shapes(first, second))
    assert split[0].geom_type == "MultiPolygon"
    found = changed(split[0], split[1], lon=179.99, lat=-16.05)
    assert found["kind"].tolist() == ["loss"]
    assert found["area_km2"][0] == pytest.approx(0.2 * area_km2(shapes(first))[0], rel=1e-3)
    low, _, high, _ = found["geometry"][0].bounds
    assert high - low == pytest.approx(0.02, abs=1e-6)


def test_in_the_polar_zone_across_180_degrees_too():
    first, second = shapely.box(179.8, 84.5, 180.2, 84.6), shapely.box(179.8, 84.5, 180.2, 84.55)
    split = split_antimeridian(shapes(first, second))
    found = changed(split[0], split[1], lon=180.0, lat=84.52)
    assert found["kind"].tolist() == ["loss"]
    assert found["area_km2"][0] == pytest.approx(float(-np.diff(area_km2(shapes(first, second)))[0]), rel=2e-2)


def test_many_glaciers_in_several_zones_keep_their_rows():
    first = shapes(*(translate(BOX, 6.0 * i) for i in range(4)))
    second = first.copy()
    second[2], second[3] = translate(first[2], 0.01), None
    found = change_polygons(first, second, 7.05 + 6.0 * np.arange(4), np.full(4, 46.05), 5.0)
    assert list(zip(found["row"], found["kind"], strict=True)) == [(2, "advance"), (2, "loss"), (3, "loss")]


def test_no_glaciers_are_no_polygons():
    nothing = np.empty(0, dtype=object)
    assert len(change_polygons(nothing, nothing, np.empty(0), np.empty(0), 5.0)) == 0
