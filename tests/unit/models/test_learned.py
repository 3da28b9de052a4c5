"""Learned models in the place of any other: one answer per window, missing sensors are missing, turns are undone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

if find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

import torch

from core.errors import ConfigError
from core.models import OnDevice, build_model
from core.models.checkpoint import Calibration, rewrite_card
from core.models.inputs import Channel, Group, needs
from core.models.normalise import normalise
from core.stitch import gaussian_weights
from core.train.normalise import build_groups, measured_ranges
from core.train.predict import inputs_of, predictor
from tests.made_chips import made_chip, tiny_card, tiny_checkpoint

ROOT = Path(__file__).parents[3]
CHIPS = [made_chip(k).cut(8, 8, 32, 32) for k in range(3)]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("m")
    tiny_checkpoint(folder / "tiny")
    return str(folder / "tiny")


def model(path, **parameters):
    return build_model("checkpoint", {"path": path, "device": "cpu", **parameters})


def test_importing_models_or_planning_with_one_loads_no_torch(path):
    code = (
        "import sys; from core.models import build_model; "
        f"m = build_model('checkpoint', {{'path': {path!r}}}); m.spec.digest; m.weights(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_it_keeps_the_protocol(path):
    m = model(path)
    assert m.spec.name == "checkpoint" and m.spec.windows.size_px == 32 and m.spec.windows.stride_px == 16
    assert [(n.sensor, n.optional) for n in m.spec.needs] == [("optical", False), ("thermal", True), ("dem", True)]
    assert np.array_equal(m.weights(), gaussian_weights(32))
    assert isinstance(m, OnDevice)
    p = m.predict(inputs_of(CHIPS, m))
    assert p.shape == (3, 32, 32) and p.dtype == np.float32 and ((p >= 0) & (p <= 1)).all()
    assert m.device == "cpu" and m.transfer_s >= 0


def test_a_window_has_the_same_answer_in_any_batch(path):
    for parameters in ({}, {"tta": True}, {"mc_dropout": 3}):
        m = model(path, **parameters)
        inputs = inputs_of(CHIPS, m)
        together = m.predict(inputs)
        for k in range(3):
            alone = m.predict({name: v[k : k + 1] for name, v in inputs.items()})
            assert np.allclose(alone[0], together[k], atol=1e-5), parameters
        assert np.array_equal(together, m.predict(inputs)), "and the same one again"


def test_what_no_anchor_saw_is_not_told_and_costs_nothing(path, monkeypatch):
    m = model(path)
    inputs = inputs_of(CHIPS, m)
    inputs["optical"][0] = np.nan
    inputs["optical"][1, :, :5] = np.nan
    inputs["optical"][2, 4:, 3, 3] = np.nan  # some bands: the pixel is still told
    p = m.predict(inputs)
    assert np.isnan(p[0]).all()
    assert np.isnan(p[1, :5]).all() and np.isfinite(p[1, 5:]).all() and np.isfinite(p[2]).all()
    monkeypatch.setattr(m._engine, "probability", None)
    assert np.isnan(m.predict({name: v[:1] for name, v in inputs.items()})).all()


def test_a_missing_sensor_is_missing_whatever_stands_in_its_place(path):
    m, without = model(path), model(path, without="dem,thermal")
    assert [n.sensor for n in without.spec.needs] == ["optical"]
    inputs = inputs_of(CHIPS, m)
    for name in ("dem", "thermal"):
        inputs[name][:] = np.nan
    assert np.array_equal(m.predict(inputs), without.predict({"optical": inputs["optical"]}))
    seen = m.predict(inputs_of(CHIPS, m))
    assert not np.allclose(seen, m.predict(inputs)), "and where it is there it counts"


def test_a_turned_window_has_the_turned_answer_under_test_time_augmentation(path):
    m = model(path, tta=True)
    inputs = inputs_of(CHIPS, m)
    turned = {name: np.ascontiguousarray(np.rot90(v, axes=(2, 3))) for name, v in inputs.items()}
    assert np.allclose(np.rot90(m.predict(inputs), axes=(1, 2)), m.predict(turned), atol=1e-5)
    assert not np.allclose(model(path).predict(inputs), m.predict(inputs), atol=1e-4)


def test_dropout_passes_and_members_disagree_and_one_vote_does_not(path, tmp_path):
    tiny_checkpoint(tmp_path / "other", seed=5)
    for parameters in ({"mc_dropout": 4}, {"members": str(tmp_path / "other")}, {"tta": True}):
        m = model(path, **parameters)
        mean, spread = m.predict_spread(inputs_of(CHIPS, m))
        assert (spread > 0).any() and (spread <= 0.5).all() and np.isfinite(mean).all()
    alone = model(path)
    assert not alone.predict_spread(inputs_of(CHIPS, alone))[1].any()


def test_an_ensemble_is_the_mean_of_its_members(path, tmp_path):
    other = str(tmp_path / "other")
    tiny_checkpoint(other, seed=5)
    inputs = inputs_of(CHIPS, model(path))
    a, b, both = (m.predict(inputs) for m in (model(path), model(other), model(path, members=other)))
    assert np.allclose(both, (a + b) / 2, atol=1e-6)
    digests = {m.spec.digest for m in (model(path), model(other), model(path, members=other))}
    assert len(digests) == 3


def test_the_temperature_softens_and_keeps_the_side(path, tmp_path):
    soft_path = str(tmp_path / "soft")
    rewrite_card(model(path).checkpoints[0], soft_path, calibration=Calibration(4.0))
    inputs = inputs_of(CHIPS, model(path))
    hard, soft = model(path).predict(inputs), model(soft_path).predict(inputs)
    assert (np.abs(soft - 0.5) <= np.abs(hard - 0.5) + 1e-6).all()
    logit = lambda p: np.log(p / (1 - p))  # noqa: E731
    assert np.allclose(logit(soft.astype(float)), logit(hard.astype(float)) / 4, atol=1e-3)


@pytest.mark.parametrize("scheme", ["seven", "calving", "ice_debris_lake"])
def test_glacier_is_what_the_scheme_says(tmp_path, scheme):
    tiny_checkpoint(tmp_path / scheme, scheme_name=scheme)
    m = model(str(tmp_path / scheme))
    classes, _ = m.probabilities(inputs_of(CHIPS, m))
    chosen = m.checkpoints[0].card.classes
    assert classes.shape[1] == chosen.n_classes and np.allclose(classes.sum(1), 1, atol=1e-5)
    assert np.allclose(m.predict(inputs_of(CHIPS, m)), classes[:, list(chosen.glacier_index)].sum(1), atol=1e-6)


def test_several_anchors_are_all_optional_and_any_one_tells(tmp_path):
    groups = build_groups({"optical": ["optical"], "toa": ["optical_toa"], "terrain": ["dem"]})
    tiny_checkpoint(tmp_path / "m", groups=groups, anchors=("optical_toa", "optical"))
    m = model(str(tmp_path / "m"))
    assert [(n.sensor, n.optional) for n in m.spec.needs][:2] == [("optical_toa", True), ("optical", True)]
    one = model(str(tmp_path / "m"), without="optical")
    assert not one.spec.needs[0].optional
    assert np.isfinite(m.predict(inputs_of(CHIPS, m))).all(), "optical alone is enough"


def test_a_region_encoding_takes_a_place(tmp_path):
    parameters = {"width": 4, "depth": 2, "norm": "group", "location": "region", "regions": 2}
    tiny_checkpoint(tmp_path / "m", parameters=parameters, regions=("06", "11"))
    inputs = inputs_of(CHIPS, model(str(tmp_path / "m")))
    unknown, alps, iceland = (model(str(tmp_path / "m"), place=p).predict(inputs) for p in ("", "11", "06"))
    assert not np.allclose(alps, iceland) and not np.allclose(alps, unknown)
    with pytest.raises(ConfigError, match="06, 11"):
        model(str(tmp_path / "m"), place="12").predict(inputs)
    adapted = rewrite_card(model(str(tmp_path / "m")).checkpoints[0], str(tmp_path / "a"), place=(0.0, 1.0, 0.0))
    assert np.allclose(model(adapted.url).predict(inputs), alps, atol=1e-6)


def test_coordinates_are_a_place_too(tmp_path):
    parameters = {"width": 4, "depth": 2, "norm": "group", "location": "coordinates"}
    tiny_checkpoint(tmp_path / "m", parameters=parameters)
    inputs = inputs_of(CHIPS, model(str(tmp_path / "m")))
    here, there = (model(str(tmp_path / "m"), place=p).predict(inputs) for p in ("46.5,8.0", "-43,170"))
    assert not np.allclose(here, there)
    with pytest.raises(ConfigError, match="latitude,longitude"):
        model(str(tmp_path / "m")).predict(inputs)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mc_dropout": -1}, "mc_dropout"),
        ({"amp": "int8"}, "amp"),
        ({"without": "optical"}, "without"),
        ({"without": "lidar"}, "without"),
        ({"memers": "x"}, "did you mean 'members'"),
        ({"path": "no-such-model"}, "model.json"),
    ],
)
def test_parameters_that_cannot_be_are_refused_when_the_plan_is_made(path, parameters, message):
    with pytest.raises(ConfigError, match=message):
        model(**({"path": path} | parameters))


def test_members_that_do_not_go_together_are_refused(path, tmp_path):
    tiny_checkpoint(tmp_path / "large", window_px=64)
    with pytest.raises(ConfigError, match="window_px 64"):
        model(path, members=str(tmp_path / "large"))


def test_passes_with_dropout_need_dropout(tmp_path):
    tiny_checkpoint(tmp_path / "m", parameters={"width": 4, "depth": 2, "norm": "group", "dropout": 0.0})
    m = model(str(tmp_path / "m"), mc_dropout=2)
    with pytest.raises(ConfigError, match="no dropout"):
        m.predict(inputs_of(CHIPS, m))


def test_a_place_for_a_model_without_one_is_refused(path):
    m = model(path, place="11")
    with pytest.raises(ConfigError, match="no location encoding"):
        m.predict(inputs_of(CHIPS, m))


def test_half_precision_is_near_full(path):
    inputs = inputs_of(CHIPS, model(path))
    apart = np.abs(model(path).predict(inputs) - model(path, amp="bf16").predict(inputs))
    assert 0 < apart.mean() < 0.01 and apart.max() < 0.2


def test_where_a_model_lies_or_runs_is_not_what_it_is(path, tmp_path):
    rewrite_card(model(path).checkpoints[0], str(tmp_path / "copy"))
    assert model(path).spec.digest == build_model("checkpoint", {"path": str(tmp_path / "copy")}).spec.digest
    assert model(path).spec.digest != model(path, tta=True).spec.digest


def test_normalisation_maps_ranges_to_one_and_unobserved_to_zero():
    group = Group("g", (Channel("dem", "elevation_m", 0, 4000), Channel("velocity", "v_m_a", 0, 99, "log")))
    values = {
        "dem": torch.tensor([0.0, 4000.0, 2000.0, float("nan"), 1e6]).view(1, 1, 1, 5),
        "velocity": torch.tensor([0.0, 99.0, 9.0, float("nan"), -99.0]).view(1, 1, 1, 5),
    }
    planes, present = normalise(values, {"dem": ("elevation_m",), "velocity": ("v_m_a",)}, [group])
    found = planes["g"][0, :, 0]
    assert torch.allclose(found[0], torch.tensor([-1.0, 1.0, 0.0, 0.0, 3.0]))
    assert torch.allclose(found[1], torch.tensor([-1.0, 1.0, 0.0, 0.0, -3.0]), atol=1e-5)
    assert found[2].tolist() == [1, 1, 1, 0, 1] and present["g"].tolist() == [1]
    gone, absent = normalise({"dem": values["dem"] * float("nan")}, {"dem": ("elevation_m",)}, [group])
    assert not gone["g"].any() and absent["g"].tolist() == [0]


def test_ranges_can_be_measured_and_ignore_outliers():
    chips = [made_chip(k) for k in range(6)]
    chips[0].values["thermal"][0, 0, 0] = 5000
    groups = measured_ranges(build_groups({"thermal": ["thermal"], "radar": ["sar_sigma0"]}), chips)
    thermal = groups[0].channels[0]
    assert 268 < thermal.low < 275 and 284 < thermal.high < 292
    assert groups[1].channels[0].low == -25, "what no chip has keeps its range"


def test_needs_name_every_anchor_first():
    groups = build_groups({"a": ["dem"], "b": ["optical.red", "optical.nir"]})
    assert [(n.sensor, n.bands) for n in needs(groups, ("optical",))] == [
        ("optical", ("red", "nir")),
        ("dem", ("elevation_m", "slope_deg")),
    ]
    with pytest.raises(ConfigError, match="did you mean 'optical'"):
        build_groups({"a": ["optcal"]})


def test_rules_can_be_scored_beside_models():
    predict, scheme = predictor(build_model("band_ratio", {}))
    found = predict(CHIPS)
    assert scheme.name == "binary" and found.shape == (3, 2, 32, 32)
    assert np.allclose(found.sum(1), 1)
    assert replace(tiny_card(), name="x").name == "x"
