"""The registry: a wrong name or parameter is refused with the right one beside it."""

from __future__ import annotations

import pytest

from core.errors import ConfigError
from core.models import build_model
from core.models.registry import MODELS


# A checkpoint has no default that every checkout holds; tests/unit/models/test_learned.py has the same for it.
@pytest.mark.parametrize("name", sorted(set(MODELS) - {"checkpoint"}))
def test_every_model_keeps_the_protocol(name):
    model = build_model(name, {})
    size = model.spec.windows.size_px
    assert model.spec.name == name
    assert model.weights().shape == (size, size)
    assert len(model.spec.digest) == 16
    assert model.spec.digest == build_model(name, {}).spec.digest


def test_parameters_arrive_and_change_the_identity():
    model = build_model("band_ratio", {"ratio": 3, "method": "ndsi"})
    assert model.ratio == 3
    assert model.spec.digest != build_model("band_ratio", {}).spec.digest


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("band_rato", {}, "band_ratio"),
        ("unet", {}, "oracle"),
        ("band_ratio", {"rato": 2.0}, "did you mean 'ratio'"),
        ("band_ratio", {"ratio": "two"}, "float"),
        ("band_ratio", {"window_px": 25.6}, "int"),
        ("band_ratio", {"method": "ndwi"}, "ndsi"),
        ("oracle", {"window_px": "large"}, "int"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(name, parameters, message):
    with pytest.raises(ConfigError, match=message):
        build_model(name, parameters)


@pytest.mark.parametrize("parameters", [{"window_px": 0}, {"window_px": 128, "stride_px": 256}, {"stride_px": True}])
def test_windows_that_cannot_be_cut_are_refused_before_anything_is_planned(parameters):
    with pytest.raises(ConfigError):
        print(build_model("oracle", parameters).spec)
