"""The trainer: it learns, it can be interrupted anywhere, and it keeps the best of what it saw."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import ConfigError
from core.models.checkpoint import load_checkpoint
from core.models.nets.registry import build_net
from core.train.augment import Augmentation
from core.train.classes import scheme
from core.train.ema import Ema
from core.train.losses import LossWeights
from core.train.sample import ChipList, Mixture, Sampler, make_batch
from core.train.schedule import learning_rate
from core.train.trainer import Ranks, Trainer, TrainSettings
from core.train.watch import Logs
from tests.made_chips import made_chip, tiny_card

CHIPS = tuple(made_chip(k) for k in range(4))
SETTINGS = TrainSettings(epochs=3, steps_per_epoch=4, lr=5e-3, warmup=2, restarts=(2, 3), ema=0.9)


def sampler(scheme_name: str = "binary", **changes) -> Sampler:
    keys = {
        "source": ChipList(CHIPS),
        "groups": tiny_card().groups,
        "scheme": scheme(scheme_name),
        "window_px": 32,
        "batch": 4,
        "augmentation": Augmentation(),
    }
    return Sampler(**(keys | changes))


def make(folder, settings=SETTINGS, scheme_name="binary", watch=lambda event: None, card=None, ranks=None, **changes):
    card = card or tiny_card(scheme_name, parameters={"width": 4, "depth": 2, "norm": "batch", "dropout": 0.2})
    torch.manual_seed(0)
    net = build_net(card.net, {g.name: g.n_planes for g in card.groups}, card.classes.n_classes, card.parameters)
    validation = [chip.cut(8, 8, 32, 32) for chip in CHIPS]
    s = sampler(scheme_name, **changes)
    return Trainer(net, s, validation, card, settings, folder, device="cpu", watch=watch, ranks=ranks)


def weights(folder) -> dict[str, torch.Tensor]:
    import safetensors.torch

    about = json.loads((folder / "state" / "state.json").read_text())
    return safetensors.torch.load_file(folder / "state" / about["file"])


def test_interrupted_and_resumed_is_bit_for_bit_uninterrupted(tmp_path):
    whole = make(tmp_path / "whole").run()
    for until in (1, 6, 7, None):
        parts = make(tmp_path / "parts").run(until)
    assert (parts.steps, parts.best) == (whole.steps, whole.best) == (12, whole.best)
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert load_checkpoint(whole.checkpoint).digest == load_checkpoint(parts.checkpoint).digest


def test_an_interruption_saves_the_last_whole_step(tmp_path):
    def interrupt(event):
        if event.step == 6:
            os.kill(os.getpid(), signal.SIGINT)

    whole = make(tmp_path / "whole").run()
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "parts", watch=interrupt).run()
    assert json.loads((tmp_path / "parts/state/state.json").read_text())["step"] == 6
    make(tmp_path / "parts").run()
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(a[k], b[k]) for k in a) and whole.steps == 12


def test_loader_processes_change_nothing(tmp_path):
    make(tmp_path / "here").run(3)
    make(tmp_path / "there", replace(SETTINGS, workers=1)).run(3)
    a, b = weights(tmp_path / "here"), weights(tmp_path / "there")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_another_training_in_the_same_folder_is_refused(tmp_path):
    make(tmp_path).run(1)
    with pytest.raises(ConfigError, match="other settings"):
        make(tmp_path, replace(SETTINGS, lr=1e-3)).run()
    make(tmp_path, replace(SETTINGS, epochs=5)).run(2)  # longer is the same training


@pytest.mark.parametrize("damage", ["cut", "gone", "text"])
def test_a_damaged_state_is_refused(tmp_path, damage):
    make(tmp_path).run(1)
    file = next((tmp_path / "state").glob("*.safetensors"))
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-7] if damage == "cut" else b"{}")
    with pytest.raises(ConfigError, match="state"):
        make(tmp_path).run()


@pytest.mark.parametrize("scheme_name", ["binary", "seven", "calving", "ice_debris_lake"])
def test_it_learns_what_is_there_in_every_scheme(tmp_path, scheme_name):
    loss = LossWeights(dice=0.5, boundary=0.1)
    settings = TrainSettings(2, 40, lr=1e-2, warmup=5, restarts=(2,), ema=0.9, loss=loss)
    found = make(tmp_path, settings, scheme_name, augmentation=None, distance=True).run()
    assert found.best > 0.8
    card = load_checkpoint(found.checkpoint).card
    assert card.scheme == scheme_name
    assert card.metrics["validation"]["made/11"]["iou"] == pytest.approx(found.best, abs=1e-4)
    assert card.training["steps"] in (40, 80)


def test_it_stops_when_it_no_longer_gets_better(tmp_path):
    events = []
    settings = replace(SETTINGS, epochs=50, patience=2, lr=1e-12, ema=0.0)
    done = make(tmp_path, settings, watch=events.append).run()
    assert done.stopped and done.steps < 200
    assert make(tmp_path, settings).run().steps == done.steps, "a stopped training stays stopped"


def test_a_region_encoding_learns_with_the_region_of_each_chip(tmp_path):
    parameters = {"width": 4, "depth": 2, "norm": "group", "location": "region", "regions": 2}
    card = tiny_card(parameters=parameters, regions=("11", "06"))
    done = make(tmp_path, replace(SETTINGS, epochs=1), card=card).run()
    assert load_checkpoint(done.checkpoint).card.regions == ("11", "06")


def test_logs_have_a_line_per_epoch_and_curves(tmp_path):
    logs = Logs(tmp_path)
    make(tmp_path, watch=logs).run()
    logs.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert lines[-1]["sites"]["made/11"]["pixels"] > 0 and lines[-1]["seconds_per_step"] > 0


def test_ranks_share_a_batch_without_gap_or_overlap():
    whole = sampler().make(5)
    halves = [sampler().make(5, rank, 2) for rank in (0, 1)]
    assert np.array_equal(whole.glacier[0::2], halves[0].glacier, equal_nan=True)
    assert np.array_equal(whole.glacier[1::2], halves[1].glacier, equal_nan=True)
    assert Ranks().agree(True, torch.device("cpu"))


def test_a_batch_follows_from_seed_and_step_alone():
    a, b, other = sampler().make(3), sampler().make(3), sampler(seed=1).make(3)
    assert all(np.array_equal(a.values[n], b.values[n], equal_nan=True) for n in a.values)
    assert not np.array_equal(a.glacier, other.glacier, equal_nan=True)
    assert a.values["optical"].shape == (4, 6, 32, 32) and a.labels.dtype == np.uint8


def test_a_mixture_draws_by_shares():
    other = tuple(made_chip(k, origin="other") for k in range(2))
    mixture = Mixture((ChipList(CHIPS), ChipList(other)), (3, 1))
    drawn = [mixture.draw(np.random.default_rng(k)).origin.split(":")[0] for k in range(400)]
    assert drawn.count("other") == pytest.approx(100, abs=35)
    with pytest.raises(ConfigError, match="shares"):
        Mixture((ChipList(CHIPS),), (0.0,))


def test_a_sensor_that_a_chip_lacks_is_not_observed():
    chip = replace(made_chip(0), values={"optical": made_chip(0).values["optical"]})
    batch = make_batch([chip, made_chip(1)], tiny_card().groups, scheme("binary"))
    assert np.isnan(batch.values["thermal"][0]).all() and np.isfinite(batch.values["thermal"][1]).all()


def test_the_rate_falls_by_cosines_that_start_again():
    rates = [learning_rate(k, 1.0, (10, 30), warmup=0) for k in range(40)]
    assert rates[0] == rates[10] == 1.0
    assert rates[5] == pytest.approx(0.505) and rates[20] == pytest.approx(0.505)
    assert all(r == pytest.approx(0.01) for r in rates[30:])
    assert learning_rate(0, 1.0, (10,), warmup=4) == 0.25
    with pytest.raises(ConfigError, match="rising"):
        learning_rate(0, 1.0, (10, 10))


def test_the_running_mean_is_one():
    net = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(0.0)
        ema = Ema(net, 0.9)
        for _ in range(500):
            net.weight.fill_(1.0)
            ema.update(net)
    assert float(ema.weights["weight"]) == pytest.approx(1.0, abs=1e-4)
