"""The verbs on models, as a shell calls them: train, go on, evaluate, calibrate, adapt, and map with what came out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

if find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

from tests.made_chips import made_folder
from tests.tiny_world import icefleet, make_world

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    made_folder(folder / "chips", 6)
    made_folder(folder / "chips" / "north", 4, region="06", lat=64.0, lon=-17.0, origin="north")
    data = {
        "name": "tiny",
        "output": "models",
        "groups": {"optical": ["optical"], "terrain": ["dem"], "thermal": ["thermal"]},
        "net": {"name": "unet", "parameters": {"width": 4, "depth": 2, "norm": "group"}},
        "regions": ["06", "11"],
        "window_px": 32,
        "train": [{"kind": "chips", "path": "chips"}],
        "validation": [{"kind": "chips", "path": "chips"}],
        "validation_chips": 6,
        "batch": 4,
        "epochs": 3,
        "steps_per_epoch": 10,
        "lr": 0.01,
        "warmup": 2,
        "ema": 0.9,
        "threads": 1,
        "device": "cpu",
    }
    (folder / "train.yaml").write_text(yaml.safe_dump(data))
    return folder / "train.yaml"


@pytest.fixture(scope="module")
def best(config) -> str:
    done = icefleet("train", config, "--json")
    assert done.code == 0, done.err
    assert done.json["steps"] == 30 and done.json["iou"] > 0.3
    assert set(done.json["scores"]) == {"made/11", "north/06"}
    folder = config.parent / "models" / "tiny"
    assert len((folder / "log.jsonl").read_text().splitlines()) == 3
    assert list((folder / "tensorboard").iterdir())
    return str(folder / "best")


def test_a_finished_training_does_nothing_and_a_longer_one_goes_on(config, best):
    again = icefleet("train", config, "--json").json
    assert again["steps"] == 30 and again["checkpoint"].endswith("tiny/best")
    longer = icefleet("train", config, "--set", "epochs=4", "--json").json
    assert longer["steps"] == 40
    assert len((config.parent / "models/tiny/log.jsonl").read_text().splitlines()) == 4


def test_models_and_rules_are_scored_in_one_table(config, best):
    done = icefleet("evaluate", config, "-m", best, "-m", "band_ratio", "--mc-dropout", "2", "--json")
    assert done.code == 0, done.err
    scores = done.json["models"]
    assert set(scores) == {best, "band_ratio"}
    assert scores[best]["made/11"]["pixels"] > 0
    # The band ratio cannot see debris, of which these glaciers have a third.
    assert scores["band_ratio"]["made/11"]["precision"] > 0.9 and scores["band_ratio"]["made/11"]["recall"] < 0.9
    shown = icefleet("evaluate", config, "-m", best)
    assert "north/06" in shown.out and "IoU" in shown.out


def test_a_calibrated_model_is_another_one_with_the_same_weights(config, best, tmp_path):
    done = icefleet("calibrate", config, "-m", best, "--out", tmp_path / "c", "--plot", tmp_path / "r.png", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["after"]["log_loss"] <= found["before"]["log_loss"] + 1e-9
    card = json.loads((tmp_path / "c" / "model.json").read_text())
    assert card["calibration"]["temperature"] == pytest.approx(found["temperature"])
    assert len(card["calibration"]["confidence"]) == 100
    assert (tmp_path / "c/model.safetensors").read_bytes() == (Path(best) / "model.safetensors").read_bytes()
    assert card["digest"] != json.loads((Path(best) / "model.json").read_text())["digest"]
    assert (tmp_path / "r.png").stat().st_size > 1000
    twice = icefleet("calibrate", config, "-m", tmp_path / "c", "--out", tmp_path / "d", "--json").json
    assert twice["temperature"] == pytest.approx(found["temperature"], rel=0.02), "a calibrated model stays as it is"


def test_intervals_of_areas_are_kept_without_touching_the_probabilities(config, best, tmp_path):
    before = json.loads((Path(best) / "model.json").read_text())
    words = ["calibrate", config, "-m", best, "--out", tmp_path / "a", "--keep-temperature"]
    done = icefleet(*words, "--boundary-px", "0.4", "--correlation-m", "120", "--json")
    assert done.code == 0, done.err
    card = json.loads((tmp_path / "a" / "model.json").read_text())
    assert card["calibration"].pop("area") == {"boundary_px": 0.4, "correlation_m": 120.0}
    assert card["calibration"] == before["calibration"] and card["digest"] == done.json["digest"] != before["digest"]
    refused = icefleet(*words)
    assert refused.code == 2 and "--boundary-px" in refused.err


def test_strategies_are_compared_on_the_same_sites(config, best):
    done = icefleet("train", config, "--strategies", "global,region", "--set", "epochs=1", "--json")
    assert done.code == 0, done.err
    assert [row["strategy"] for row in done.json["models"]] == ["global", "region"]
    assert all(set(row["scores"]) == {"made/11", "north/06"} for row in done.json["models"])


def test_adaptation_lowers_the_entropy_of_a_scene_without_labels(config, best, tmp_path):
    trained = icefleet(
        "train", config, "--set", "name=where", "--set", "net.parameters.location=region", "--set", "epochs=2", "--json"
    )
    assert trained.code == 0, trained.err
    model = trained.json["checkpoint"]
    done = icefleet("adapt", config, "-m", model, "--out", tmp_path / "a", "--epochs", 8, "--lr", 0.1, "--json")
    assert done.code == 0, done.err
    assert min(done.json["entropy"]) < done.json["entropy"][0]
    assert set(done.json["vector"]) == {"06", "11", "unknown"}
    assert sum(done.json["vector"].values()) == pytest.approx(1, abs=1e-5)
    refused = icefleet("adapt", config, "-m", best, "--out", tmp_path / "b")
    assert refused.code == 2 and "region encoding" in refused.err


def test_cross_validation_holds_out_one_side_at_a_time(config, best):
    done = icefleet("train", config, "--folds", 2, "--buffer-km", 50, "--set", "epochs=1", "--json")
    assert done.code == 0, done.err
    scores = [set(row["scores"]) for row in done.json["models"]]
    assert sorted(scores, key=sorted) == [{"made/11"}, {"north/06"}]


def test_what_was_trained_maps(config, best, tmp_path):
    world = make_world(tmp_path, glaciers=2)
    world.edit(model={"name": "checkpoint", "parameters": {"path": best, "device": "cpu"}})
    done = icefleet("run", world.config, "--json")
    assert done.code == 0, done.err
    manifest = json.loads(next(world.folder.rglob("manifest.json")).read_text())
    described = manifest["details"]["model"]
    assert described["checkpoints"] == [json.loads((Path(best) / "model.json").read_text())["digest"]]
    assert described["trained_on_simulated_data"] is False and "path" not in described["parameters"]


def test_a_wrong_call_says_what_is_right(config, best):
    unknown = icefleet("evaluate", config, "-m", "no-such-model")
    assert unknown.code == 2 and "model.json" in unknown.err
    twice = icefleet("train", config, "--folds", 2, "--strategies", "all")
    assert twice.code == 2 and "one of them" in twice.err
    keys = icefleet("train", "--keys")
    assert keys.code == 0 and "train[].kind" in keys.out and "loss.focal" in keys.out


@pytest.mark.parametrize("verb", ["train", "evaluate", "calibrate", "adapt"])
def test_help_teaches_with_an_example(verb):
    done = icefleet(verb, "--help")
    assert done.code == 0 and f"Example: icefleet {verb}" in " ".join(done.out.split())


def test_a_verb_is_a_program_too():
    done = subprocess.run(
        [sys.executable, "-m", "jobs.train", "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "Train a model" in done.stdout
