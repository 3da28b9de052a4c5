"""The parts that make the simulated world plausible: routing, light, mixtures, divides."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
import shapely
from affine import Affine

from core.grid import Zone
from core.routing import accumulate, fill_pits, receivers, relax_downstream, roots
from core.simulate.cloud import CLEAR, Sky
from core.simulate.divides import label_glaciers
from core.simulate.noise import enlarge, fractal, reduce_mean, stream
from core.simulate.optical import render
from core.simulate.spectra import BANDS, HAZE, SPECTRA
from core.simulate.sun import Sun, cast_shadow, illumination, sun_over
from core.simulate.surface import CLASSES, glacier_share
from core.simulate.tables import to_degrees


def test_everything_upstream_arrives_downstream() -> None:
    surface = fractal((40, 50), stream(1, "routing"), 2.5, 40.0).astype(np.float64)
    inside = np.zeros(surface.shape, dtype=bool)
    inside[1:-1, 1:-1] = True
    receiver, _ = receivers(fill_pits(surface, inside, 1e-4))
    total = accumulate(receiver, np.ones(surface.size))
    is_root = receiver == np.arange(surface.size)
    assert total[is_root].sum() == surface.size
    assert not is_root.reshape(surface.shape)[1:-1, 1:-1].any()
    np.testing.assert_array_equal(np.bincount(roots(receiver), minlength=surface.size)[is_root], total[is_root])


def test_relaxation_solves_its_equation() -> None:
    surface = fractal((30, 30), stream(2, "relax"), 2.5, 30.0).astype(np.float64)
    receiver, _ = receivers(surface)
    rng = stream(2, "weights")
    own, weight = rng.random(900), rng.random(900)
    weight[receiver == np.arange(900)] = 0.0
    z = relax_downstream(receiver, own, weight)
    np.testing.assert_allclose(z, own + weight * z[receiver], rtol=1e-12)


def test_noise_depends_on_its_name_alone() -> None:
    a, b = (fractal((64, 64), stream(7, "alps", "sky"), 2.0, 32.0) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, fractal((64, 64), stream(7, "alps", "rock"), 2.0, 32.0))
    assert abs(float(a.std()) - 1.0) < 1e-5


def test_enlarging_keeps_the_ground_in_place() -> None:
    slope = np.tile(np.arange(32, dtype=np.float32), (32, 1))
    inner = reduce_mean(enlarge(slope, 4), 4)[4:-4, 4:-4]
    np.testing.assert_allclose(inner, slope[4:-4, 4:-4], atol=1e-3)


@pytest.mark.parametrize(
    ("lat", "date", "elevation"), [(46.4, dt.date(2024, 6, 21), 60.0), (-43.5, dt.date(2024, 12, 21), 62.0)]
)
def test_the_sun_stands_where_an_almanac_says(lat: float, date: dt.date, elevation: float) -> None:
    zone = Zone("utm32n" if lat > 0 else "utm59s")
    sun = sun_over(zone, zone.central_meridian_deg, lat, date)
    assert abs(sun.elevation_deg - elevation) < 3.0
    assert 90.0 < sun.bearing_deg < 180.0 if lat > 0 else sun.bearing_deg < 90.0


def test_a_tower_throws_its_shadow_away_from_the_sun_at_the_right_length() -> None:
    surface = np.zeros((101, 101), dtype=np.float32)
    surface[48:53, 48:53] = 300.0
    shadow = cast_shadow(surface, 30.0, Sun(bearing_deg=90.0, elevation_deg=45.0))
    row = shadow[50]
    assert row[:30].max() < 0.5 and row[60:].max() < 0.01
    # 300 m high, sun at 45°: 10 pixels to the west of its wall.
    assert (row[40:47] > 0.9).all() and (row[:36] < 0.1).all()
    direct, sky = illumination(surface, 30.0, Sun(90.0, 45.0))
    assert direct[5, 5] == pytest.approx(1.0, abs=1e-3) and sky[5, 5] == pytest.approx(1.0)


def test_edge_pixels_are_true_mixtures() -> None:
    square = shapely.box(8.0, -52.0, 52.0, -8.0)
    share = glacier_share(np.array([square], dtype=object), (3, 3), Affine(20.0, 0.0, 0.0, 0.0, -20.0, 0.0))
    np.testing.assert_allclose(share, np.outer([0.6, 1.0, 0.6], [0.6, 1.0, 0.6]), rtol=1e-6)
    shape = (64, 64)
    cover = np.zeros((len(CLASSES), *shape), dtype=np.float32)
    cover[CLASSES.index("ice")], cover[CLASSES.index("rock")] = 0.3, 0.7
    nothing = np.zeros(shape, dtype=np.float32)
    sky = Sky(nothing, nothing, np.full(shape, CLEAR, dtype=np.uint8))
    lit = np.ones(shape, dtype=np.float32)
    stored = render(cover, nothing, (lit, lit), sky, stream(1, "mixture"))
    expected = 0.3 * np.array(SPECTRA["ice"].mean) + 0.7 * np.array(SPECTRA["rock"].mean) + HAZE
    np.testing.assert_allclose(stored.mean(axis=(1, 2)) * 1e-4, expected, atol=0.003)


def test_a_shadow_is_bluer_than_the_light() -> None:
    shape = (32, 32)
    cover = np.zeros((len(CLASSES), *shape), dtype=np.float32)
    cover[CLASSES.index("snow")] = 1.0
    nothing, lit = np.zeros(shape, dtype=np.float32), np.ones(shape, dtype=np.float32)
    sky = Sky(nothing, nothing, np.full(shape, CLEAR, dtype=np.uint8))
    blue, red = BANDS.index("blue"), BANDS.index("red")
    ratios = []
    for direct in (lit, nothing):
        stored = render(cover, nothing, (direct, lit), sky, stream(1, "shadow")).astype(float)
        ratios.append(stored[blue].mean() / stored[red].mean())
    assert ratios[1] > 1.5 * ratios[0]


def test_two_valleys_under_one_ice_are_two_glaciers() -> None:
    y, x = np.mgrid[0:96, 0:96].astype(np.float32)
    terrain = 3000.0 - 1.0 * y + 6.0 * np.minimum(np.abs(x - 24.5), np.abs(x - 70.5))
    ice = np.where((y > 10) & (y < 80) & (x > 6) & (x < 90), np.float32(1.0), np.float32(-1.0))
    label, n = label_glaciers(ice, terrain.astype(np.float32), 30.0, 0.3)
    assert n == 2
    assert label[20, 12] != label[20, 36]
    border = np.flatnonzero(np.diff(label[20]))
    assert len(border) == 1 and abs(border[0] - 23.5) <= 1.5


def test_a_shape_across_180_degrees_is_cut_and_keeps_its_area() -> None:
    zone = Zone("utm60n")
    x, y = zone.project_points(np.array([180.0]), np.array([67.5]))
    shape = np.array([shapely.box(x[0] - 2000, y[0] - 1000, x[0] + 3000, y[0] + 1000)], dtype=object)
    (cut,) = to_degrees(shape, zone)
    assert len(cut.geoms) == 2 and cut.bounds[0] == -180.0 and cut.bounds[2] == 180.0
    west, east = sorted(cut.geoms, key=lambda g: -g.bounds[0])
    assert west.bounds[2] == 180.0 and east.bounds[0] == -180.0
    assert cut.area == pytest.approx(zone.unproject(shape)[0].area, rel=1e-9)
