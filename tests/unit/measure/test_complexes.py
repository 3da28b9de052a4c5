"""Complexes: pieces tile the outline whatever it is, and divides lie where ice parts."""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from made_glaciers import blob, multi_stars, on_lattice
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment

from core.config import FileConfig, SceneConfig
from core.errors import PoisonError
from core.grid import Lattice, PixelWindow, Zone
from core.ingest.observe import Observer
from core.measure.complexes import DivideRules, complex_window, divide_complex
from core.sensors.registry import sensor
from core.stopwatch import Stopwatch

ALPS = Zone("utm32n")
LATTICE = Lattice(ALPS, 30)
ORIGIN = PixelWindow(160_000, 160_100, 20_000, 20_100)
X, Y = 700_000.0, 5_150_000.0


def tiles(parts: np.ndarray, whole: shapely.Geometry) -> None:
    """They are valid, of positive area, as large together as the whole, inside it, and none overlaps another."""
    assert shapely.is_valid(parts).all() and (shapely.area(parts) > 0).all()
    assert shapely.area(parts).sum() == pytest.approx(whole.area, rel=1e-9)
    assert shapely.area(shapely.difference(parts, whole)).sum() <= 1e-9 * whole.area
    left, right = shapely.STRtree(parts).query(parts)
    both = shapely.intersection(parts[left[left < right]], parts[right[left < right]])
    assert shapely.area(both).sum() <= 1e-9 * whole.area


def divided(outline: shapely.Geometry, height, rules: DivideRules | None = None, lattice: Lattice = LATTICE):
    """height(x, y) in zone metres → metres."""
    window = complex_window(outline.bounds, lattice, rules or DivideRules())
    x, y = np.meshgrid(*lattice.centres_m(window))
    return divide_complex(outline, height(x, y).astype(np.float32), lattice, window, rules)


@settings(max_examples=40)
@given(multi_stars(60.0), st.integers(0, 2**32 - 1), st.floats(0.5, 6), st.sampled_from([0.0, 30.0, 1000.0]))
def test_pieces_tile_any_outline_on_any_ground(shape, seed, smooth, relief):
    outline = on_lattice(shape, LATTICE, ORIGIN)
    rng = np.random.default_rng(seed)
    rules = DivideRules(sag_m=20, smallest_km2=float(rng.choice([0.0, 0.01, 0.1])))
    window = complex_window(outline.bounds, LATTICE, rules)
    ground = (gaussian_filter(rng.normal(size=window.shape), smooth) * relief * smooth).astype(np.float32)
    tiles(divide_complex(outline, ground, LATTICE, window, rules), outline)


def test_an_ice_cap_is_cut_along_its_crest():
    cap = shapely.box(X, Y, X + 6000, Y + 4000)
    parts = divided(cap, lambda x, y: 3000 - 0.3 * np.abs(x - X - 2500) - 0.02 * np.abs(y - Y - 2000))
    tiles(parts, cap)
    assert len(parts) == 2
    east = shapely.box(X + 2500, Y, X + 6000, Y + 4000)
    assert shapely.intersection(parts[0], east).area == pytest.approx(east.area, rel=0.01)
    assert shapely.area(parts) == pytest.approx([14e6, 10e6], rel=0.02)


def test_a_shallow_sag_divides_nothing_and_a_deep_one_does():
    """Two basins in a row, 3 km apart, the pass between them 60 m above the higher low point."""
    body = shapely.box(X, Y, X + 6000, Y + 2000)

    def ground(x, y):
        return 3000 + 30 * np.cos((x - X) / 3000 * 2 * np.pi) + 0.05 * np.abs(y - Y - 1000)

    assert len(divided(body, ground, DivideRules(sag_m=100))) == 1
    assert len(divided(body, ground, DivideRules(sag_m=30))) == 2


def test_low_points_of_one_tongue_are_near_and_make_one_glacier():
    body = shapely.box(X, Y, X + 3000, Y + 6000)

    def lobes(x, y):  # a rock bar of 150 m parts the snout of one valley; low points on both sides of it
        valley = 3000 + 0.1 * (y - Y) + 0.1 * np.abs(x - X - 1500)
        return valley + 150 * np.exp(-(((x - X - 1500) / 80) ** 2 + ((y - Y) / 300) ** 2))

    near, far = DivideRules(smoothing_m=30, sag_m=5), DivideRules(smoothing_m=30, sag_m=5, radius_m=0)
    assert len(divided(body, lobes, near)) == 1
    assert len(divided(body, lobes, far)) == 2


def test_what_is_too_small_joins_its_longest_neighbour():
    cap = shapely.box(X, Y, X + 3000, Y + 3000)

    def ground(x, y):  # a corner of 300 m drains its own way
        return np.where((x - X) + (y - Y) < 450, 3000 + 1.5 * ((x - X) + (y - Y) - 450), 3000 - 0.2 * (x - X))

    assert len(divided(cap, ground, DivideRules(smallest_km2=0.5, smoothing_m=1))) == 1
    assert len(divided(cap, ground, DivideRules(smallest_km2=0.0, smoothing_m=1))) == 2


def test_ice_around_a_nunatak_is_one_glacier():
    body = shapely.difference(blob(X, Y, 2000), blob(X, Y, 300))
    (part,) = divided(body, lambda x, y: 3000 + 0.2 * (y - Y))
    assert part.equals(body)


@pytest.mark.parametrize("side_m", [1.0, 14.0, 40.0])
def test_an_outline_of_a_pixel_or_less_stays_whole(side_m):
    tiny = shapely.box(X, Y, X + side_m, Y + side_m)
    (part,) = divided(tiny, lambda x, y: 3000 + x - X)
    assert part.equals(tiny)


def test_a_small_void_takes_its_neighbours_and_a_large_one_is_refused():
    cap = shapely.box(X, Y, X + 6000, Y + 4000)

    def crest(x, y):
        return 3000 - 0.3 * np.abs(x - X - 3000)

    def holed(x, y):
        return np.where(np.hypot(x - X - 1000, y - Y - 1000) < 400, np.nan, crest(x, y))

    assert shapely.area(divided(cap, holed)) == pytest.approx([12e6, 12e6], rel=0.03)
    with pytest.raises(PoisonError, match=r"elevations for 5\d% of the ice; expected at least 90%"):
        divided(cap, lambda x, y: np.where(x > X + 2700, crest(x, y), np.nan))
    with pytest.raises(PoisonError, match="0%"):
        divided(cap, lambda x, y: np.full_like(x, np.nan))


def test_the_pixels_of_the_division_hardly_move_a_divide():
    cap = blob(X, Y, 3000)

    def ridge(x, y):
        return 3000 - 0.3 * np.abs((x - X) + 0.4 * (y - Y))

    areas = [np.sort(shapely.area(divided(cap, ridge, lattice=Lattice(ALPS, res)))) for res in (10, 30, 60)]
    assert all(len(a) == 2 for a in areas)
    np.testing.assert_allclose(areas[0], areas[1], rtol=0.02)
    np.testing.assert_allclose(areas[0], areas[2], rtol=0.04)


def test_the_hintereisferner_complex_is_divided_much_as_the_inventory_has_it(samples):
    """23 glaciers of RGI 7.0-G, SRTM of 90 m. 85 % of the area falls to the right one; the floor leaves room for GDAL.

    The rest are divides on flat firn, and ice that the inventory counts to one glacier though it drains two ways.
    """
    folder = samples / "oetztal"
    zone_of = gpd.read_file(folder / "rgi70C_11_hef.gpkg").geometry.to_numpy()
    (outline,) = ALPS.project(zone_of)
    known = ALPS.project(gpd.read_file(folder / "rgi70G_11_hef_complex.gpkg").geometry.to_numpy())
    rules = DivideRules()
    window = complex_window(outline.bounds, LATTICE, rules)
    file = FileConfig(path=str(folder / "srtm_oetztal.tif"), bands={"elevation_m": 1})
    scene = SceneConfig(id="srtm", sensor="dem", date=dt.date(2000, 2, 11), files=[file])
    with ExitStack() as stack:
        observer = Observer(scene, sensor("dem"), LATTICE, window, "test", stack, Stopwatch())
        elevation = observer.observe(window).values[0]
    parts = divide_complex(outline, elevation, LATTICE, window, rules)
    tiles(parts, outline)
    shared = shapely.area(shapely.intersection(parts[:, None], known[None, :]))
    right = shared[linear_sum_assignment(-shared)].sum() / outline.area
    assert right > 0.8
    assert 20 <= len(parts) <= 50
