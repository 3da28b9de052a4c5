"""State: everything that a training needs to go on exactly where it stopped, without a pickle.

Tensors (weights, their running mean, the optimiser's moments) in a safetensors file named by its step, and a small JSON
that names it, written last: whoever kills the writer leaves the state before. Randomness needs no saving, because every
step seeds its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.models.checkpoint import safetensors_header
from core.train.ema import Ema

STATE = "state.json"


def save_state(
    folder: Path, step: int, net: nn.Module, ema: Ema, optimiser: torch.optim.Optimizer, record: Mapping[str, Any]
) -> None:
    """Write the state after `step` steps and remove the one before. record: JSON that comes back from `load_state`."""
    names = [name for name, _ in net.named_parameters()]
    moments = optimiser.state_dict()["state"]
    tensors = {f"net/{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"ema/{k}": v for k, v in ema.weights.items()}
    tensors |= {
        f"optimiser/{names[at]}/{key}": torch.as_tensor(value)
        for at, entries in moments.items()
        for key, value in entries.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"state-{step:08d}.safetensors"
    data = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    _put(file, safetensors.torch.save(data))
    about = {"step": step, "file": file.name, "ema_updates": ema.updates, "record": dict(record)}
    _put(folder / STATE, json.dumps(about, indent=1).encode())
    for old in folder.glob("state-*.safetensors"):
        if old != file:
            old.unlink()


def load_state(
    folder: Path, net: nn.Module, ema: Ema, optimiser: torch.optim.Optimizer
) -> tuple[int, dict[str, Any]] | None:
    """Fill net, mean and optimiser with the state of a folder: (steps done, record), None if there is none.

    Raises ConfigError for a state that cannot be read or is of another net.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        about = json.loads(path.read_bytes())
        data = (folder / about["file"]).read_bytes()
        safetensors_header(data, str(folder / about["file"]))
        tensors = safetensors.torch.load(data)
        net.load_state_dict(_part(tensors, "net/"))
        ema.weights = {k: v.to(ema.weights[k].device) for k, v in _part(tensors, "ema/").items()}
        ema.updates = int(about["ema_updates"])
        optimiser.load_state_dict({**optimiser.state_dict(), "state": _moments(tensors, net)})
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigError(
            str(path), found=str(error).splitlines()[0], expected="the state of this training", fix="delete the folder"
        ) from error
    return int(about["step"]), dict(about["record"])


def read_record(folder: Path) -> tuple[int, dict[str, Any]]:
    """(steps done, record) of a saved state. Raises ConfigError if there is none."""
    try:
        about = json.loads((folder / STATE).read_bytes())
        return int(about["step"]), dict(about["record"])
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(str(folder / STATE), found=str(error), expected="the state of a training") from error


def _moments(tensors: Mapping[str, Tensor], net: nn.Module) -> dict[int, dict[str, Tensor]]:
    out: dict[int, dict[str, Tensor]] = {}
    at = {name: k for k, (name, _) in enumerate(net.named_parameters())}
    for key, tensor in _part(tensors, "optimiser/").items():
        name, _, entry = key.rpartition("/")
        out.setdefault(at[name], {})[entry] = tensor
    return out


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _put(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(data)
    beside.replace(path)
