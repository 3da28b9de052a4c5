"""Training on a Ray cluster: two workers share every batch and leave what one process leaves."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
import yaml

if find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

from tests.made_chips import made_folder
from tests.tiny_world import icefleet


def test_two_workers_train_one_model_and_go_on(tmp_path):
    made_folder(tmp_path / "chips", 4)
    data = {
        "name": "tiny",
        "output": "models",
        "groups": {"optical": ["optical"]},
        "net": {"name": "unet", "parameters": {"width": 4, "depth": 2, "norm": "group"}},
        "window_px": 32,
        "train": [{"kind": "chips", "path": "chips"}],
        "validation": [{"kind": "chips", "path": "chips"}],
        "validation_chips": 3,
        "batch": 4,
        "epochs": 2,
        "steps_per_epoch": 3,
        "threads": 1,
        "device": "cpu",
        "execution": {"executor": "ray", "workers": 2, "cpus": 0.5},
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(data))
    done = icefleet("train", tmp_path / "train.yaml", "--json")
    assert done.code == 0, done.err
    assert done.json["steps"] == 6 and 0 < done.json["iou"] <= 1
    lines = [json.loads(line) for line in (tmp_path / "models/tiny/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6], "one rank writes"
    # The same training, here and longer: the state of a cluster is that of a process.
    longer = ("--set", "execution.executor=local", "--set", "epochs=3", "--json")
    here = icefleet("train", tmp_path / "train.yaml", *longer)
    assert here.code == 0, here.err
    assert here.json["steps"] == 9
