"""Debris rule: gentle bare ground is debris, and every sensor but the optical one may be missing, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.models import build_model
from core.models.band_ratio import BANDS, BandRatio
from core.models.debris_rule import DebrisRule

NOTHING = float("nan")
ICE = {"blue": 0.6, "green": 0.6, "red": 0.6, "nir": 0.45, "swir1": 0.08}
DEBRIS = {"blue": 0.1, "green": 0.12, "red": 0.15, "nir": 0.18, "swir1": 0.25}
MEADOW = {"blue": 0.03, "green": 0.06, "red": 0.04, "nir": 0.35, "swir1": 0.20}
CLEAR_LAKE = {"blue": 0.05, "green": 0.04, "red": 0.02, "nir": 0.01, "swir1": 0.005}
reflectance = st.integers(-500, 12_000).map(lambda stored: stored * 1e-4)


def predict(model: DebrisRule, slope: float = NOTHING, vv: float = NOTHING, **bands: float) -> float:
    optical = np.array([[[[bands[b]]] for b in BANDS]], dtype=np.float32)
    dem, radar = (np.full((1, 1, 1, 1), v, dtype=np.float32) for v in (slope, vv))
    found = model.predict({"optical": optical, "dem": dem, "sar_sigma0": radar})
    assert found.shape == (1, 1, 1) and found.dtype == np.float32
    return float(found[0, 0, 0])


@pytest.mark.parametrize("slope", [5.0, 60.0, NOTHING])
@pytest.mark.parametrize("vv", [-8.0, -25.0, NOTHING])
def test_clean_ice_is_glacier_whatever_its_slope_and_its_radar_echo(slope, vv):
    assert predict(DebrisRule(), slope, vv, **ICE) > 0.99


def test_gentle_bare_ground_is_debris_and_steep_or_green_ground_is_not():
    model = DebrisRule()
    assert predict(model, 8.0, -8.0, **DEBRIS) > 0.9
    assert predict(model, 40.0, -8.0, **DEBRIS) < 0.01
    assert predict(model, 8.0, -8.0, **MEADOW) < 0.01


def test_only_the_radar_tells_a_clear_lake_from_debris():
    model = DebrisRule()
    assert predict(model, 0.0, NOTHING, **CLEAR_LAKE) > 0.5
    assert predict(model, 0.0, -25.0, **CLEAR_LAKE) < 0.05


@pytest.mark.parametrize("bands", [ICE, DEBRIS, MEADOW, CLEAR_LAKE])
@pytest.mark.parametrize("vv", [-8.0, NOTHING])
def test_without_elevation_it_is_the_band_ratio(bands, vv):
    optical = np.array([[[[bands[b]]] for b in BANDS]], dtype=np.float32)
    ratio = float(BandRatio(window_px=1).predict({"optical": optical})[0, 0, 0])
    assert predict(DebrisRule(window_px=1), NOTHING, vv, **bands) == ratio


def test_without_near_infrared_nothing_is_known_of_plants_and_debris_is_not_mapped():
    assert predict(DebrisRule(), 5.0, -8.0, **{**DEBRIS, "nir": NOTHING}) < 0.01
    assert predict(DebrisRule(), 5.0, -8.0, **{**ICE, "nir": NOTHING}) > 0.99


def test_a_pixel_that_the_optical_sensor_did_not_see_has_no_answer():
    assert np.isnan(predict(DebrisRule(), 5.0, -8.0, **dict.fromkeys(BANDS, NOTHING)))


def test_the_answer_is_one_half_exactly_at_each_threshold():
    model = DebrisRule()
    assert predict(model, model.slope_deg, -5.0, **DEBRIS) == pytest.approx(0.5, abs=1e-5)
    assert predict(model, 5.0, model.vv_db, **DEBRIS) == pytest.approx(0.5, abs=1e-5)
    red = DEBRIS["red"]
    nir = red * (1 + model.ndvi) / (1 - model.ndvi)
    assert predict(model, 5.0, -5.0, **{**DEBRIS, "nir": nir}) == pytest.approx(0.5, abs=1e-4)


@given(*[reflectance] * 5, st.floats(0, 90), st.floats(-60, 20))
def test_more_sensors_never_take_clean_ice_away_and_any_input_gives_a_probability(b, g, r, n, s, slope, vv):
    bands = dict(zip(BANDS, (b, g, r, n, s), strict=True))
    alone, with_dem, with_both = (
        predict(DebrisRule(), *known, **bands) for known in ((NOTHING, NOTHING), (slope, NOTHING), (slope, vv))
    )
    assert 0 <= alone <= with_both <= with_dem <= 1


def test_every_threshold_is_part_of_the_identity():
    names = ("ratio", "blue", "slope_deg", "ndvi", "softness")
    digests = {
        DebrisRule().spec.digest,
        *(DebrisRule(**{name: 0.17}).spec.digest for name in names),
        DebrisRule(vv_db=-20.0).spec.digest,
        DebrisRule(window_px=128).spec.digest,
        BandRatio().spec.digest,
    }
    assert len(digests) == 9


def test_only_the_optical_sensor_is_needed():
    needs = DebrisRule().spec.needs
    assert [(n.sensor, n.optional) for n in needs] == [("optical", False), ("dem", True), ("sar_sigma0", True)]


@pytest.mark.parametrize(
    ("parameter", "value"), [("softness", 0.0), ("slope_deg", 0.0), ("slope_deg", 95.0), ("ndvi", 1.5), ("vv_db", 3.0)]
)
def test_a_threshold_that_cannot_work_is_refused(parameter, value):
    with pytest.raises(ConfigError, match=parameter):
        build_model("debris_rule", {parameter: value})


def test_a_window_gives_the_same_answer_in_any_batch():
    rng = np.random.default_rng(3)
    inputs = {
        "optical": rng.uniform(0, 1, (5, 5, 8, 8)).astype(np.float32),
        "dem": rng.uniform(0, 60, (5, 1, 8, 8)).astype(np.float32),
        "sar_sigma0": rng.uniform(-30, 0, (5, 1, 8, 8)).astype(np.float32),
    }
    inputs["optical"][2, 4] = np.nan
    inputs["dem"][3, :, :4] = np.nan
    inputs["sar_sigma0"][4] = np.nan
    model = DebrisRule(window_px=8)
    together = model.predict(inputs)
    for k in range(5):
        alone = model.predict({name: values[k : k + 1] for name, values in inputs.items()})
        np.testing.assert_array_equal(alone[0], together[k])
