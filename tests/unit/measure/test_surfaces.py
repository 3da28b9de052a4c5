"""Surfaces: areas that add up to the glacier's, by rules or by a model, and never clean ice where nothing was seen."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError, SystemicError
from core.grid import Lattice, PixelWindow, Zone, pixel_area_km2
from core.measure.outline import outline
from core.measure.surfaces import SurfaceThresholds, divide_surfaces, surfaces_by_class, surfaces_by_rule
from core.models.band_ratio import BandRatio
from core.train.classes import CLEAN_ICE, DEBRIS, LAKE, UNLABELLED, scheme

LATTICE = Lattice(Zone("utm45n"), 10)
WINDOW = PixelWindow(650_000, 650_040, 49_000, 49_050)
AREA = pixel_area_km2(LATTICE, WINDOW)
# Reflectances of a kind, made up: green, red, nir, swir1.
SPECTRA = {
    "snow": (0.85, 0.83, 0.75, 0.08),
    "bare ice": (0.45, 0.40, 0.28, 0.03),
    "grey ice": (0.26, 0.24, 0.17, 0.04),
    "debris": (0.15, 0.17, 0.19, 0.22),
    "bright debris": (0.33, 0.36, 0.38, 0.40),
    "grassy debris": (0.08, 0.07, 0.30, 0.18),
    "turbid pond": (0.14, 0.12, 0.06, 0.01),
    "shadow": (0.03, 0.02, 0.02, 0.01),
}
MEANING = {
    "snow": CLEAN_ICE,
    "bare ice": CLEAN_ICE,
    "grey ice": CLEAN_ICE,
    "debris": DEBRIS,
    "bright debris": DEBRIS,
    "grassy debris": DEBRIS,
    "turbid pond": LAKE,
    "shadow": UNLABELLED,
}


def bands(*kinds: str) -> dict[str, np.ndarray]:
    """One row of pixels."""
    values = np.array([SPECTRA[k] for k in kinds], np.float32).T[:, None]
    return dict(zip(("green", "red", "nir", "swir1"), values, strict=True))


def one(kind: str, **changed: float) -> int:
    seen = bands(kind)
    seen.update({name: np.full((1, 1), value, np.float32) for name, value in changed.items()})
    return int(surfaces_by_rule(seen)[0, 0])


@pytest.mark.parametrize("kind", SPECTRA)
def test_the_rule_tells_surfaces_of_a_glacier(kind):
    assert one(kind) == MEANING[kind]


def test_without_swir_the_weaker_rule_takes_bright_debris_for_ice_and_nothing_else():
    for kind, code in MEANING.items():
        expected = CLEAN_ICE if kind == "bright debris" else code
        assert one(kind, swir1=np.nan) == expected
        seen = bands(kind)
        del seen["swir1"]
        assert surfaces_by_rule(seen)[0, 0] == expected


@pytest.mark.parametrize("band", ["green", "red", "nir"])
def test_what_was_not_observed_has_no_surface(band):
    assert all(one(kind, **{band: np.nan}) == UNLABELLED for kind in SPECTRA)


def test_water_lies_on_gentle_ground_and_where_the_slope_is_unknown():
    seen = bands("turbid pond", "turbid pond", "turbid pond", "snow")
    slope = np.array([[3.0, 20.0, np.nan, 1.0]], np.float32)
    assert surfaces_by_rule(seen, slope).tolist() == [[LAKE, CLEAN_ICE, LAKE, CLEAN_ICE]]


def test_thresholds_are_those_of_the_band_ratio():
    seen = bands("grey ice", "bare ice")
    strict = SurfaceThresholds(ice=BandRatio(ratio=8.0))
    assert surfaces_by_rule(seen, thresholds=strict).tolist() == [[DEBRIS, CLEAN_ICE]]


def test_a_band_too_few_is_named():
    seen = bands("snow")
    del seen["nir"]
    with pytest.raises(SystemicError, match="no nir"):
        surfaces_by_rule(seen)


def test_classes_of_models_mean_surfaces_and_those_without_a_meaning_none():
    four, seven = scheme("ice_debris_lake"), scheme("seven")
    seen = np.array([[0, 1, 2, 3, 255]], np.uint8)
    assert surfaces_by_class(seen, four).tolist() == [[UNLABELLED, CLEAN_ICE, DEBRIS, LAKE, UNLABELLED]]
    found = dict(zip(seven.classes, surfaces_by_class(np.arange(7)[None], seven)[0].tolist(), strict=True))
    assert found == {
        "clean_ice": CLEAN_ICE,
        "snow": CLEAN_ICE,
        "debris": DEBRIS,
        "non_glacial": DEBRIS,
        "vegetation": DEBRIS,
        "lake": LAKE,
        "shadow": UNLABELLED,
    }
    for name in ("binary", "calving", "rock_glacier"):
        with pytest.raises(ConfigError, match="clean_ice and debris"):
            surfaces_by_class(seen, scheme(name))


CODES = np.array([CLEAN_ICE, DEBRIS, LAKE, UNLABELLED], np.uint8)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1), st.none() | st.floats(0.001, 100))
def test_areas_add_up_to_the_glacier_or_are_all_none(seed, hidden, min_known, total):
    rng = np.random.default_rng(seed)
    codes = rng.choice(CODES[:3], AREA.shape, p=rng.dirichlet(np.ones(3)))
    codes[rng.random(AREA.shape) < hidden] = UNLABELLED
    ice = np.where(rng.random(AREA.shape) < 0.7, rng.random(AREA.shape), 0).astype(np.float32)
    found = divide_surfaces(codes, ice, AREA, total, min_known)
    together = found.clean_ice + found.debris + found.lake
    np.testing.assert_array_equal(together, np.where(codes != UNLABELLED, ice, 0))
    whole = float(np.sum(ice * AREA, dtype=np.float64))
    assert found.known_fraction == pytest.approx(float(np.sum(together * AREA)) / whole, abs=1e-6)
    areas = [found.area_clean_ice_km2, found.area_debris_km2, found.area_lake_km2]
    if found.known_fraction < min_known or found.known_fraction == 0:
        assert areas == [None] * 3
    else:
        assert min(areas) >= 0
        assert sum(areas) == pytest.approx(total or whole, rel=1e-12)


def test_what_is_unknown_is_as_the_rest_and_never_clean():
    ice = np.ones(AREA.shape, np.float32)
    codes = np.full(AREA.shape, UNLABELLED, np.uint8)
    codes[:, :10], codes[:, 10:40] = CLEAN_ICE, DEBRIS
    found = divide_surfaces(codes, ice, AREA)
    assert found.known_fraction == pytest.approx(0.8, abs=1e-6)
    assert found.area_debris_km2 == pytest.approx(0.75 * AREA.sum(), rel=1e-4)
    assert found.area_clean_ice_km2 == pytest.approx(0.25 * AREA.sum(), rel=1e-4)
    assert found.clean_ice[:, 40:].max() == 0
    assert divide_surfaces(codes, ice, AREA, min_known=0.81).area_clean_ice_km2 is None
    nothing = divide_surfaces(np.full(AREA.shape, UNLABELLED, np.uint8), ice, AREA, min_known=0.0)
    assert (nothing.known_fraction, nothing.area_clean_ice_km2) == (0.0, None)
    gone = divide_surfaces(codes, np.zeros(AREA.shape, np.float32), AREA)
    assert (gone.known_fraction, gone.area_debris_km2) == (0.0, None)


def test_outlines_of_surfaces_meet_and_fill_the_glacier():
    row, col = np.indices(AREA.shape)
    ice = (np.hypot(row - 20, col - 25) < 18).astype(np.float32)
    codes = np.where(row > 22, DEBRIS, CLEAN_ICE).astype(np.uint8)
    codes[26:30, 20:28] = LAKE
    found = divide_surfaces(codes, ice, AREA)
    shapes = [outline(share, LATTICE, WINDOW) for share in (found.clean_ice, found.debris, found.lake)]
    assert all(s.is_valid and s.area > 0 for s in shapes)
    for k, a in enumerate(shapes):
        for b in shapes[:k]:
            assert shapely.intersection(a, b).area < 1
    whole = outline(ice, LATTICE, WINDOW)
    assert shapely.union_all(shapes).area == pytest.approx(whole.area, rel=0.01)
    areas = (found.area_clean_ice_km2, found.area_debris_km2, found.area_lake_km2)
    for shape, area in zip(shapes, areas, strict=True):
        assert shape.area / 1e6 == pytest.approx(area, rel=0.03)
