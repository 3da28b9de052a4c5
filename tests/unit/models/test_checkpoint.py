"""Checkpoints: what does not fit is refused before it can map anything, with the reason and the fix."""

from __future__ import annotations

import json
import pickle
import struct
from importlib.util import find_spec

import pytest

if find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

import safetensors.torch
import torch

from core.errors import ConfigError
from core.models.checkpoint import (
    MODEL,
    WEIGHTS,
    Calibration,
    load_checkpoint,
    rewrite_card,
    safetensors_header,
    save_checkpoint,
)
from core.models.engine import load_net
from tests.made_chips import tiny_card, tiny_checkpoint


def edit(folder, change) -> None:
    record = json.loads((folder / MODEL).read_text())
    change(record)
    (folder / MODEL).write_text(json.dumps(record))


def test_what_was_saved_comes_back(tmp_path):
    saved = tiny_checkpoint(tmp_path / "m")
    found = load_checkpoint(str(tmp_path / "m"))
    assert found.card == saved.card and found.digest == saved.digest and len(found.digest) == 64
    assert {name: tuple(t.shape) for name, t in load_net(found).state_dict().items()} == found.tensors


def test_it_also_lies_behind_a_url():
    saved = tiny_checkpoint("memory://models/tiny")
    assert load_checkpoint("memory://models/tiny").digest == saved.digest


def test_the_digest_is_what_changes_a_number_and_nothing_else(tmp_path):
    saved = tiny_checkpoint(tmp_path / "m")
    digests = {
        name: rewrite_card(saved, str(tmp_path / "other"), **change).digest
        for name, change in {
            "metrics": {"metrics": {"khumbu": {"iou": 0.5}}},
            "name": {"name": "another"},
            "training": {"training": {"note": "none"}},
            "temperature": {"calibration": Calibration(1.5)},
            "stride": {"stride_px": 8},
            "place": {"place": (0.5, 0.5)},
        }.items()
    }
    assert {name for name, digest in digests.items() if digest == saved.digest} == {"metrics", "name", "training"}
    assert tiny_checkpoint(tmp_path / "seed", seed=1).digest != saved.digest


class Evil:
    """A pickle that would leave a trace."""

    def __reduce__(self):
        return (open, ("/tmp/icefleet-was-here", "w"))


@pytest.mark.parametrize("kind", ["pickle", "zip", "hdf5", "empty", "text"])
def test_only_safetensors_are_opened(tmp_path, kind):
    tiny_checkpoint(tmp_path / "m")
    path = tmp_path / "m" / WEIGHTS
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    elif kind == "zip":
        torch.save({"w": torch.zeros(3)}, path)
    else:
        path.write_bytes({"hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100), "empty": b"", "text": b"weights" * 40}[kind])
    with pytest.raises(ConfigError, match="expected a safetensors file; convert"):
        load_checkpoint(str(tmp_path / "m"))


def test_weights_under_another_name_are_refused(tmp_path):
    tiny_checkpoint(tmp_path / "m")
    edit(tmp_path / "m", lambda r: r["weights"].update(file="model.pt"))
    with pytest.raises(ConfigError, match="never opened"):
        load_checkpoint(str(tmp_path / "m"))


def test_damaged_or_swapped_weights_are_refused(tmp_path):
    tiny_checkpoint(tmp_path / "a", seed=0)
    tiny_checkpoint(tmp_path / "b", seed=1)
    path = tmp_path / "a" / WEIGHTS
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ConfigError, match="sha256"):
        load_checkpoint(str(tmp_path / "a"))
    path.write_bytes(whole[:-100])
    with pytest.raises(ConfigError, match="cut"):
        load_checkpoint(str(tmp_path / "a"))
    path.write_bytes((tmp_path / "b" / WEIGHTS).read_bytes())
    with pytest.raises(ConfigError, match="weights of another model"):
        load_checkpoint(str(tmp_path / "a"))
    path.unlink()
    with pytest.raises(ConfigError, match="found nothing"):
        load_checkpoint(str(tmp_path / "a"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(window_px=64), "changed by hand"),
        (lambda r: r["groups"][0]["channels"][0].update(low=0.1), "changed by hand"),
        (lambda r: r["groups"][0]["channels"][0].update(band="bleu"), "blue"),
        (lambda r: r["groups"][0]["channels"][0].update(sensor="lidar"), "lidar"),
        (lambda r: r["groups"].append(r["groups"][0]), "twice"),
        (lambda r: r.update(anchors=["sar_sigma0"]), "anchors"),
        (lambda r: r.update(scheme="eight"), "eight"),
        (lambda r: r.update(classes=["glacier", "other"]), "classes"),
        (lambda r: r.update(stride_px=64), "stride"),
        (lambda r: r.update(version=2), "version 2"),
        (lambda r: r.update(format="onnx"), "onnx"),
        (lambda r: r.pop("calibration"), "calibration"),
        (lambda r: r["calibration"].update(temperature=0), "temperature"),
        (lambda r: r["calibration"].update(confidence=[1.0]), "100"),
        (lambda r: r.update(weights="model.safetensors"), "TypeError"),
        (lambda r: r.update(groups=[]), "no channel"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_with_the_reason(tmp_path, change, message):
    tiny_checkpoint(tmp_path / "m")
    edit(tmp_path / "m", change)
    with pytest.raises(ConfigError, match=message) as error:
        load_checkpoint(str(tmp_path / "m"))
    assert str(tmp_path) in str(error.value)


def test_no_card_or_no_json_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no model\.json"):
        load_checkpoint(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="shipped"):
        load_checkpoint("no-such-model")
    (tmp_path / MODEL).write_text("{")
    with pytest.raises(ConfigError, match="no JSON"):
        load_checkpoint(str(tmp_path))


def test_weights_of_another_net_are_refused_by_tensor(tmp_path):
    saved = tiny_checkpoint(tmp_path / "m")
    wide = rewrite_card(saved, str(tmp_path / "wide"), parameters={"width": 8, "depth": 2, "norm": "group"})
    with pytest.raises(ConfigError, match=r"tensor .*expected \("):
        load_net(wide)
    tensors = safetensors.torch.load(saved.weights)
    first = next(iter(tensors))
    less = {k: v for k, v in tensors.items() if k != first}
    with pytest.raises(ConfigError, match="no such tensor"):
        load_net(save_checkpoint(str(tmp_path / "less"), saved.card, safetensors.torch.save(less)))
    with pytest.raises(ConfigError, match="did you mean 'unet'"):
        load_net(rewrite_card(saved, str(tmp_path / "net"), net="unett"))


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    saved = tiny_checkpoint(tmp_path / "m")
    tensors = safetensors.torch.load(saved.weights)
    name = next(k for k, v in tensors.items() if v.is_floating_point())
    tensors[name] = tensors[name] * float("nan")
    broken = save_checkpoint(str(tmp_path / "nan"), saved.card, safetensors.torch.save(tensors))
    with pytest.raises(ConfigError, match="finite weights"):
        load_net(broken)


def header(entries: dict) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 1 << 60) + b"{}",
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}) + bytes(4),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}) + bytes(12),
        header({"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}) + bytes(8),
        header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}) + bytes(9),
        header({"a": 3}),
    ],
)
def test_a_header_that_lies_is_refused(data):
    with pytest.raises(ConfigError):
        safetensors_header(data, "x")


def test_a_card_is_checked_before_anything_is_written(tmp_path):
    weights = safetensors.torch.save({"a": torch.zeros(1)})
    with pytest.raises(ConfigError, match="stride"):
        save_checkpoint(str(tmp_path / "m"), tiny_card(stride_px=64), weights)
    assert not (tmp_path / "m").exists()
