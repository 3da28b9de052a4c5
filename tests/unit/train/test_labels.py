"""Labels from outlines and rules: shares where known, nothing where doubtful."""

from __future__ import annotations

import numpy as np
import shapely

from core.grid import Lattice, PixelWindow, Zone
from core.train.classes import CLEAN_ICE, CODES, DEBRIS, LAKE, NON_GLACIAL, SHADOW, SNOW, UNLABELLED, VEGETATION
from core.train.labels import OutlineRules, hillshade, outline_labels, signed_distance, weak_surfaces

LATTICE = Lattice(Zone("utm32n"), 30)
WINDOW = PixelWindow(170_000, 170_040, 16_000, 16_040)
XMIN, YMIN, XMAX, YMAX = LATTICE.bounds_m(WINDOW)
QUIET = OutlineRules(retreat_m_per_year=0)


def boxes(*bounds_px: tuple[float, float, float, float]) -> np.ndarray:
    """Boxes (column, row from the bottom, …) in pixels of the window."""
    west, south, east, north = np.array(bounds_px, dtype=float).T * 30
    return np.asarray(shapely.box(XMIN + west, YMIN + south, XMIN + east, YMIN + north))


def test_a_pixel_gets_the_share_that_outlines_cover():
    found = outline_labels(boxes((10, 10, 20.5, 20)), np.array([2020.0]), 2020.0, LATTICE, WINDOW, QUIET)
    assert found.glacier.shape == (40, 40) and found.weight == 1.0
    assert np.isclose(found.glacier.sum(), 105) and np.allclose(found.glacier[20:30, 20], 0.5)


def test_the_ring_is_unlabelled_on_both_sides_and_the_rest_is_not():
    rules = OutlineRules(ring_m=60, retreat_m_per_year=0)
    glacier = outline_labels(boxes((10, 10, 30, 30)), np.array([2020.0]), 2020.0, LATTICE, WINDOW, rules).glacier
    row = glacier[20]
    assert np.isnan(row[8:12]).all() and np.isnan(row[28:32]).all()
    assert (row[:8] == 0).all() and (row[12:28] == 1).all()


def test_a_divide_between_glaciers_of_one_date_has_no_ring():
    rules = OutlineRules(ring_m=60, retreat_m_per_year=0)
    pair = boxes((5, 10, 20, 30), (20, 10, 35, 30))
    glacier = outline_labels(pair, np.array([2020.0, 2020.0]), 2020.0, LATTICE, WINDOW, rules).glacier
    assert (glacier[20, 10:30] == 1).all()


def test_years_widen_the_ring_and_lower_the_weight():
    rules = OutlineRules(ring_m=0, retreat_m_per_year=30, halving_years=2)
    square = boxes((8, 8, 32, 32))
    labels = [outline_labels(square, np.array([y]), 2020.0, LATTICE, WINDOW, rules) for y in (2020.0, 2018.0, 2016.0)]
    unknown = [int(np.isnan(found.glacier).sum()) for found in labels]
    assert unknown[0] == 0 < unknown[1] < unknown[2]
    assert [found.weight for found in labels] == [1.0, 0.5, 0.25]


def test_an_outline_that_is_too_old_or_undated_is_unlabelled():
    old = outline_labels(boxes((8, 8, 32, 32)), np.array([1990.0]), 2020.0, LATTICE, WINDOW)
    assert np.isnan(old.glacier[8:32, 8:32]).all() and (old.glacier[0] == 0).all()
    undated = outline_labels(boxes((8, 8, 32, 32)), np.array([np.nan]), 2020.0, LATTICE, WINDOW)
    assert undated.weight < 1 and np.isnan(undated.glacier).any()


def test_labels_do_not_depend_on_the_window_that_is_asked_for():
    rules = OutlineRules(ring_m=90)
    outlines, years = boxes((3, 5, 37.3, 21), (15, 25, 30, 45)), np.array([2018.0, 2015.0])
    whole = outline_labels(outlines, years, 2020.0, LATTICE, WINDOW, rules).glacier
    part = PixelWindow(WINDOW.row0 + 7, WINDOW.row1 - 9, WINDOW.col0 + 11, WINDOW.col1 - 2)
    cut = outline_labels(outlines, years, 2020.0, LATTICE, part, rules).glacier
    assert np.array_equal(cut, whole[7:-9, 11:-2], equal_nan=True)


def test_signed_distance_is_negative_inside_and_clipped():
    glacier = np.zeros((20, 20), np.float32)
    glacier[5:15, 5:15] = 1
    glacier[0, 0] = np.nan
    found = signed_distance(glacier, 10.0)
    assert np.isnan(found[0, 0]) and found[10, 10] < -0.4 and found[5, 10] == np.float32(-0.05)
    assert found[10, 4] == np.float32(0.05) and np.nanmin(found) >= -1 and np.nanmax(found) <= 1
    assert (signed_distance(np.ones((4, 4), np.float32), 2.0) == -1).all()


SPECTRA = {
    "clean_ice": (0.6, 0.6, 0.55, 0.45, 0.05, 0.04),
    "rock": (0.10, 0.12, 0.14, 0.18, 0.24, 0.20),
    "vegetation": (0.04, 0.08, 0.06, 0.35, 0.20, 0.10),
    "water": (0.09, 0.12, 0.08, 0.03, 0.01, 0.01),
    "dark": (0.02, 0.02, 0.015, 0.012, 0.01, 0.01),
}


def one(spectrum: str, share: float, slope: float = 3.0, **keys) -> int:
    values = {"optical": np.array(SPECTRA[spectrum], np.float32).reshape(6, 1, 1)}
    values["dem"] = np.array([1000, slope], np.float32).reshape(2, 1, 1)
    return int(weak_surfaces(values, np.array([[share]], np.float32), **keys)[0, 0])


def test_rules_tell_the_seven_surfaces():
    assert one("clean_ice", 1) == CLEAN_ICE and one("clean_ice", 0) == SNOW
    assert one("rock", 1) == DEBRIS and one("rock", 0) == NON_GLACIAL
    assert one("vegetation", 0) == VEGETATION and one("water", 0) == LAKE and one("water", 1) == LAKE
    assert one("dark", 0, slope=40) == SHADOW


def test_what_rules_cannot_tell_stays_unlabelled():
    assert one("dark", 1, slope=40) == UNLABELLED  # ice or debris
    assert one("rock", 0.5) == UNLABELLED  # mixed
    assert one("rock", float("nan")) == UNLABELLED
    assert one("vegetation", 1) == UNLABELLED
    assert one("water", 0, slope=30) != LAKE  # no lake on a slope
    assert (weak_surfaces({}, np.ones((2, 2), np.float32)) == UNLABELLED).all()


def test_the_sun_says_where_shadow_is():
    assert one("rock", 0, incidence_cosine=np.array([[0.02]], np.float32)) == SHADOW
    assert one("rock", 1, incidence_cosine=np.array([[0.02]], np.float32)) == UNLABELLED
    assert CODES["shadow"] == SHADOW


def test_a_slope_to_the_sun_is_brighter_than_one_away_from_it():
    rows, cols = np.mgrid[:10, :10].astype(np.float32)
    south_facing = hillshade(-20 * rows, 30, 180, 40)  # falls to the south
    north_facing = hillshade(20 * rows, 30, 180, 40)
    east_facing = hillshade(-20 * cols, 30, 90, 40)
    flat = hillshade(0 * rows, 30, 180, 40)
    assert (south_facing > flat).all() and (north_facing < flat).all() and (east_facing > flat).all()
    assert np.allclose(flat, np.sin(np.radians(40)))
