"""Band ratio: the published rule, one half exactly at its threshold, and silence where a band is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.models.band_ratio import BANDS, BandRatio

ICE = {"blue": 0.6, "green": 0.6, "red": 0.6, "nir": 0.45, "swir1": 0.08}
ROCK = {"blue": 0.1, "green": 0.12, "red": 0.15, "nir": 0.2, "swir1": 0.25}
SHADOW = {"blue": 0.03, "green": 0.02, "red": 0.02, "nir": 0.01, "swir1": 0.002}
reflectance = st.integers(-500, 12_000).map(lambda stored: stored * 1e-4)


def predict(model: BandRatio, **bands: float) -> float:
    values = np.array([[[[bands[b]]] for b in BANDS]], dtype=np.float32)
    found = model.predict({"optical": values})
    assert found.shape == (1, 1, 1)
    assert found.dtype == np.float32
    return float(found[0, 0, 0])


@pytest.mark.parametrize("method", ["ratio", "ndsi"])
def test_ice_is_glacier_and_rock_and_shadow_are_not(method):
    model = BandRatio(method)
    assert predict(model, **ICE) > 0.99
    assert predict(model, **ROCK) < 0.01
    assert predict(model, **SHADOW) < 0.01


@pytest.mark.parametrize("model", [BandRatio("ratio", ratio=2.0), BandRatio("ndsi", ndsi=1 / 3)])
def test_the_answer_is_one_half_exactly_at_the_threshold(model):
    assert predict(model, **{**ICE, "red": 0.5, "green": 0.5, "swir1": 0.25}) == pytest.approx(0.5, abs=1e-5)
    assert predict(model, **{**ICE, "blue": model.blue}) == pytest.approx(0.5, abs=1e-5)


def test_without_short_wave_infrared_the_visible_rule_stands_in():
    model, nothing = BandRatio(), float("nan")
    assert predict(model, **{**ICE, "swir1": nothing}) > 0.9
    assert predict(model, **{**ROCK, "swir1": nothing}) < 0.01
    assert predict(model, **{**SHADOW, "swir1": nothing}) < 0.01


@pytest.mark.parametrize("band", ["blue", "red"])
def test_a_pixel_that_was_not_observed_has_no_answer(band):
    nothing = float("nan")
    assert np.isnan(predict(BandRatio(), **{**ICE, band: nothing}))
    assert np.isnan(predict(BandRatio(), **dict.fromkeys(BANDS, nothing)))


@given(*[reflectance] * 5)
def test_any_reflectance_gives_a_probability(blue, green, red, nir, swir1):
    for method in ("ratio", "ndsi"):
        found = predict(BandRatio(method), blue=blue, green=green, red=red, nir=nir, swir1=swir1)
        assert 0 <= found <= 1


def test_a_window_gives_the_same_answer_in_any_batch():
    model = BandRatio(window_px=8)
    rng = np.random.default_rng(3)
    batch = rng.uniform(0, 1, (5, 5, 8, 8)).astype(np.float32)
    batch[2, 4] = np.nan
    batch[3, :, :4] = np.nan
    together = model.predict({"optical": batch})
    for k in range(5):
        np.testing.assert_array_equal(model.predict({"optical": batch[k : k + 1]})[0], together[k])


def test_every_threshold_is_part_of_the_identity():
    digests = {
        BandRatio().spec.digest,
        *(BandRatio(**{name: 0.17}).spec.digest for name in ("ratio", "ndsi", "blue", "vnir", "vnir_red", "softness")),
        BandRatio("ndsi").spec.digest,
        BandRatio(window_px=128).spec.digest,
    }
    assert len(digests) == 9
    assert BandRatio().spec.digest == BandRatio(softness=0.1).spec.digest


def test_a_rule_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match=r"model\.parameters\.method"):
        BandRatio("ndwi")
    with pytest.raises(ConfigError, match="softness"):
        BandRatio(softness=0.0)


def test_weights_fit_the_windows():
    model = BandRatio(window_px=64)
    size = model.spec.windows.size_px
    assert model.weights().shape == (size, size)
    assert (model.weights() > 0).all()
