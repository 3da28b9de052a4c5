"""Configurations of trainings: shipped ones load, wrong ones are refused by key, and a recipe is built from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from core.errors import ConfigError
from core.models.checkpoint import load_checkpoint
from core.models.engine import load_net
from core.models.nets import count_weights
from core.train.config import load_train_config
from core.train.folds import OneSide
from core.train.recipe import build_card, build_sampler, build_start, longitudes, validation_chips
from core.train.strategies import STRATEGIES, folds, variants
from tests.made_chips import made_folder, tiny_checkpoint

CONFIGS = sorted((Path(__file__).parents[3] / "jobs" / "configs").glob("train_*.yaml"))


@pytest.fixture
def config(tmp_path) -> Path:
    """A training on made chips."""
    made_folder(tmp_path / "chips", 4)
    data = {
        "name": "tiny",
        "output": "models",
        "groups": {"optical": ["optical"], "terrain": ["dem"], "thermal": ["thermal"]},
        "net": {"name": "unet", "parameters": {"width": 4, "depth": 2, "norm": "group"}},
        "window_px": 32,
        "train": [{"kind": "chips", "path": "chips"}],
        "validation": [{"kind": "chips", "path": "chips"}],
        "validation_chips": 3,
        "batch": 2,
        "epochs": 1,
        "steps_per_epoch": 2,
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(data))
    return tmp_path / "train.yaml"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_shipped_training_loads_and_builds_its_net(path):
    # What it goes on from is made by another recipe, or shipped.
    started = load_train_config(path).init
    settings = load_train_config(path, ["init=null"] if started and "/" in started else [])
    card = build_card(settings)
    assert card.simulated and 0.05e6 < count_weights(build_start(settings, card)) < 3e6
    assert len(CONFIGS) >= 2


def test_no_shipped_training_sees_the_test_frame():
    """Khumbu, 86.77–86.86° E, 27.94–28.01° N, is kept for tests wherever Everest is trained on."""
    for path in CONFIGS:
        for source in load_train_config(path).train:
            if source.kind == "tiles" and Path(source.path).stem.startswith("everest_l7"):
                west, south, east, north = source.exclude[0]
                assert west <= 86.77 and east >= 86.86 and south <= 27.94 and north >= 28.01


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "did you mean 'epochs'"),
        ("train.0.kind=tile", "train.0.kind"),
        ("train.0.pth=x", "did you mean 'path'"),
        ("scheme=eight", "seven"),
        ("augment.gama=0.1", "gamma"),
        ("lr=0", "greater than 0"),
        ("loss.focl=1", "did you mean 'focal'"),
        ("train.0.path=null", "path"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(config, override, message):
    with pytest.raises(ConfigError, match=message):
        load_train_config(config, [override])


def test_paths_are_taken_from_the_folder_of_the_file(config):
    settings = load_train_config(config)
    assert settings.train[0].path == str(config.parent / "chips")
    assert settings.output == (config.parent / "models").as_uri()


def test_the_card_holds_the_recipe_and_no_places(config):
    card = build_card(load_train_config(config))
    assert card.training["recipe"]["train"][0]["path"] == "chips"
    assert str(config.parent) not in str(card.record())
    assert not card.simulated
    assert build_card(load_train_config(config, ["simulated=true"])).simulated


def test_validation_chips_are_the_same_every_time(config):
    settings = load_train_config(config)
    a, b = (validation_chips(settings, build_card(settings).groups) for _ in range(2))
    assert len(a) == 3 and all(np.array_equal(x.glacier, y.glacier, equal_nan=True) for x, y in zip(a, b, strict=True))


def test_fine_tuning_starts_from_the_weights_and_inputs_of_its_start(config, tmp_path):
    start = tiny_checkpoint(tmp_path / "start", seed=3)
    settings = load_train_config(config, [f"init={tmp_path}/start", "seed=99"])
    card = build_card(settings)
    assert card.groups == start.card.groups and card.training["recipe"]["init"] == start.digest
    state = build_start(settings, card).state_dict()
    import safetensors.torch

    wanted = safetensors.torch.load(load_checkpoint(start.url).weights)
    assert all(np.array_equal(state[k].numpy(), wanted[k].numpy()) for k in wanted)
    with pytest.raises(ConfigError, match="init"):
        wider = load_train_config(config, [f"init={tmp_path}/start", "net.parameters.width=8"])
        build_start(wider, build_card(wider))


def test_another_scheme_starts_from_all_but_the_head(config, tmp_path):
    start = tiny_checkpoint(tmp_path / "start", seed=3)
    settings = load_train_config(config, [f"init={tmp_path}/start", "scheme=seven"])
    state = build_start(settings, build_card(settings)).state_dict()
    known = load_net(load_checkpoint(start.url)).state_dict()
    heads = {name for name in state if name.startswith("head.")}
    assert state["head.weight"].shape[0] == 7 and heads
    assert all(torch.equal(state[name], known[name]) for name in state.keys() - heads)


def test_a_fold_keeps_the_sides_of_a_source_apart(config):
    made_folder(config.parent / "chips", 4, lon=20.0)
    settings = load_train_config(config, ["fold={west: 0, east: 10, buffer_km: 50}"])
    sampler = build_sampler(settings, build_card(settings))
    assert isinstance(sampler.source, OneSide)
    assert sampler.make(0).lon.tolist() == [20.0, 20.0]


def test_cross_validation_makes_a_training_of_every_fold(config):
    for k, lon in enumerate((8.0, 9.0, 12.0, 15.0)):
        made_folder(config.parent / "chips" / str(k), 2, lon=lon)
    settings = load_train_config(config)
    runs = list(folds(settings, longitudes(settings), 2, 5.0))
    assert [run.name for run in runs] == ["tiny-fold0", "tiny-fold1"]
    assert runs[0].fold.east == runs[1].fold.west
    with pytest.raises(ConfigError, match="place on Earth"):
        longitudes(load_train_config(config, ["train=[{kind: simulated}]"]))


def test_strategies_are_trainings_that_can_be_compared(config):
    settings = load_train_config(config)
    runs = {(s, r): c for s, r, c in variants(settings, STRATEGIES, ["06", "11"])}
    assert list(runs) == [
        ("global", ""),
        ("regional", "06"),
        ("fine_tuned", "06"),
        ("regional", "11"),
        ("fine_tuned", "11"),
        ("region", ""),
    ]
    assert len({c.name for c in runs.values()}) == 6
    assert all(c.validation == settings.validation for c in runs.values()), "on the same ground"
    assert runs["fine_tuned", "06"].init.endswith("tiny-global/best") and runs["fine_tuned", "06"].lr < settings.lr
    assert runs["region", ""].regions == ["06", "11"]
    with pytest.raises(ConfigError, match="no regions"):
        list(variants(settings, ["regional"], []))
    with pytest.raises(ConfigError, match="globl"):
        list(variants(settings, ["globl"], []))
