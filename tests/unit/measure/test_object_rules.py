"""Rules as data: what is right is read once, what is misspelt is named."""

from __future__ import annotations

import pytest
import yaml

from core.errors import ConfigError
from core.layers import LAYERS
from core.measure.objects import PRESETS, needed_layers, rule_set
from core.measure.objects.rules import Condition, Rule


def one(**changes):
    rule = {"action": "remove", "of": "component", "when": {"area_km2": [None, 0.05]}, "flag": "removed_patches"}
    return [{key: value for key, value in {**rule, **changes}.items() if value is not ...}]


def test_a_rule_is_read_from_yaml():
    text = """
    - {action: keep, of: segment, when: {mean.ndsi: [0.4, null], height: [0, 0.5]}}
    - {action: add, of: segment, when: {ice_border: [0.2, null]}, flag: grown, repeat: true}
    """
    keep, add = rule_set(yaml.safe_load(text)).rules
    assert keep == Rule(
        "keep", "segment", (Condition("mean.ndsi", 0.4, float("inf")), Condition("height", 0.0, 0.5)), ""
    )
    assert add.repeat and add.flag == "grown"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_rule_set_that_yaml_can_hold(name):
    assert rule_set(yaml.safe_load(yaml.safe_dump(PRESETS[name], sort_keys=False))) == rule_set(name)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_needs_only_layers_that_exist(name):
    assert set(needed_layers(rule_set(name))) <= set(LAYERS)


def test_needed_layers_are_those_of_conditions_heights_and_segments():
    assert needed_layers(rule_set("none")) == ()
    assert needed_layers(rule_set("default")) == ("elevation_m", "ndsi", "slope_deg")
    segments = {"layers": {"probability": 0.1, "red": 0.1}}
    drawn = rule_set({"segments": segments, "rules": one(of="segment", when={"max.coherence": [0.5, None]})})
    assert needed_layers(drawn) == ("coherence", "red")
    not_drawn = rule_set({"segments": segments, "rules": one(when={"height": [0.5, None]})})
    assert needed_layers(not_drawn) == ("elevation_m",)


@pytest.mark.parametrize(
    ("data", "where", "says"),
    [
        ("defalt", "measure.objects", "did you mean 'default'"),
        (one(wen={}), "0.wen", "did you mean 'when'"),
        (one(action="remov"), "0.action", "did you mean 'remove'"),
        (one(of="compnent"), "0.of", "did you mean 'component'"),
        (one(of=...), "0.of", "one of component"),
        (one(when={"area_km": [0, 1]}), "0.when.area_km", "did you mean 'area_km2'"),
        (one(when={"mean.ndsii": [0, 1]}), "mean.ndsii", "did you mean 'ndsi'"),
        (one(when={"men.ndsi": [0, 1]}), "men.ndsi", "did you mean 'mean'"),
        (one(when={"area_km2": 0.05}), "area_km2", "null for no limit"),
        (one(when={"area_km2": [0.05]}), "area_km2", "[low, high]"),
        (one(when={"area_km2": [2, 1]}), "area_km2", "low < high"),
        (one(when={"area_km2": [1, 1]}), "area_km2", "low < high"),
        (one(when={"area_km2": [True, None]}), "area_km2", "[low, high]"),
        (one(when={"area_km2": [float("nan"), None]}), "area_km2", "[low, high]"),
        (one(when=[1]), "0.when", "mapping"),
        (one(flag=...), "0.flag", "a word such as"),
        (one(flag="two words"), "0.flag", "a word such as"),
        (one(flag="a;b"), "0.flag", "a word such as"),
        (one(repeat="yes"), "0.repeat", "true or false"),
        (one(of="hole"), "0", "remove a hole"),
        (one(action="add"), "0", "add a component"),
        ({"rule": []}, "rule", "did you mean 'rules'"),
        ({"segments": {"scael": 1}}, "scael", "did you mean 'scale'"),
        ({"segments": {"layers": {"slope": 1}}}, "layers", "did you mean 'slope_deg'"),
        ({"segments": {"layers": {"slope_deg": 0}}}, "slope_deg", "above 0"),
        ({"segments": {"min_pixels": 0}}, "min_pixels", "1 or more"),
        ({"segments": {"scale": -1}}, "scale", "0 or more"),
        ([3], "0", "mapping"),
        (7, "measure.objects", "a list of rules"),
    ],
)
def test_what_is_misspelt_is_named_with_the_nearest_word(data, where, says):
    with pytest.raises(ConfigError) as caught:
        rule_set(data)
    assert where in caught.value.where
    assert says in str(caught.value)
