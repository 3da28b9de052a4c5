"""Pixel areas: those of the ellipsoid, wherever the pixel lies and whatever window it was asked in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_glaciers import geodesic_area_km2
from shapely.geometry import box

from core.grid import ALLOWED_RES_M, Lattice, PixelWindow, Zone, pixel_area_km2

PLACES = {
    "west edge of a zone at the equator": ("utm32n", 166_100, 500),
    "across the equator, northern zone": ("utm18n", 390_000, 0),
    "across the equator, southern zone": ("utm18s", 390_000, 10_000_000),
    "central meridian": ("utm45n", 500_000, 3_100_000),
    "east edge of a zone in the Alps": ("utm32n", 733_000, 5_150_000),
    "far beyond the zone": ("utm32n", 940_000, 5_150_000),
    "west of the false origin": ("utm33n", -60_000, 8_700_000),
    "84° N": ("utm33n", 460_000, 9_320_000),
    "80° S": ("utm19s", 550_000, 1_120_000),
    "New Zealand": ("utm59s", 450_000, 5_170_000),
    "North Pole": ("upsn", 2_000_000, 2_000_000),
    "South Pole": ("upss", 2_000_000, 2_000_000),
    "beyond 84° N": ("upsn", 2_400_000, 1_700_000),
    "80° S in the polar zone": ("upss", 900_000, 2_100_000),
    "80° S in the polar zone, at 180°": ("upss", 2_050_000, 910_000),
}


@pytest.mark.parametrize("res_m", [10, 120])
@pytest.mark.parametrize("place", PLACES)
def test_a_pixel_has_the_area_of_its_geodesic_polygon(place, res_m):
    name, x, y = PLACES[place]
    lattice = Lattice(Zone(name), res_m)
    window = lattice.cover((x - 9000, y - 9000, x + 9000, y + 9000))
    area = pixel_area_km2(lattice, window)
    assert area.shape == window.shape
    assert area.dtype == np.float32
    for row, col in np.random.default_rng(1).integers(0, window.shape, (12, 2)).tolist():
        r, c = window.row0 + row, window.col0 + col
        pixel = box(*lattice.bounds_m(PixelWindow(r, r + 1, c, c + 1)))
        truth = geodesic_area_km2(lattice.zone, pixel, step_m=res_m / 4)
        assert area[row, col] == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize("place", ["west edge of a zone at the equator", "North Pole", "New Zealand"])
def test_the_sum_over_a_square_is_its_geodesic_area(place):
    name, x, y = PLACES[place]
    lattice = Lattice(Zone(name), 60)
    window = lattice.cover((x - 20_000, y - 20_000, x + 20_000, y + 20_000))
    total = np.sum(pixel_area_km2(lattice, window), dtype=np.float64)
    assert total == pytest.approx(geodesic_area_km2(lattice.zone, box(*lattice.bounds_m(window))), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(PLACES)),
    st.sampled_from(ALLOWED_RES_M),
    st.integers(1, 300),
    st.integers(1, 300),
    st.data(),
)
def test_the_area_of_a_pixel_does_not_depend_on_the_window(place, res_m, rows, cols, data):
    name, x, y = PLACES[place]
    lattice = Lattice(Zone(name), res_m)
    at = lattice.cover((x, y, x + 1, y + 1))
    whole = PixelWindow(at.row0, at.row0 + rows, at.col0, at.col0 + cols)
    row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    part = PixelWindow(whole.row0 + row, whole.row1, whole.col0 + col, whole.col1)
    np.testing.assert_allclose(pixel_area_km2(lattice, part), pixel_area_km2(lattice, whole)[row:, col:], rtol=1e-6)
