"""Made chips: small squares with a bright glacier on dark rock, a debris tongue and a lake, for tests of training.

They look like nothing on Earth; what matters is that a net can learn them in seconds and that their truth is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.models.checkpoint import Card, Checkpoint, save_checkpoint
from core.models.nets.registry import build_net
from core.train.chip import Chip
from core.train.chipfile import save_chip
from core.train.classes import CLEAN_ICE, DEBRIS, LAKE, NON_GLACIAL, UNLABELLED, scheme
from core.train.normalise import build_groups
from core.train.trainer import weights_of

ICE = (0.7, 0.7, 0.7, 0.6, 0.05, 0.05)
ROCK = (0.10, 0.11, 0.12, 0.20, 0.25, 0.22)
WATER = (0.09, 0.11, 0.07, 0.03, 0.01, 0.01)


def made_chip(
    seed: int, size: int = 48, *, lat: float = 46.0, lon: float = 8.0, region: str = "11", origin: str = "made"
) -> Chip:
    """Optical, dem, thermal and velocity; debris is colder than rock and looks like it."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:size, :size]
    row, col, radius = rng.uniform(0.3, 0.7) * size, rng.uniform(0.3, 0.7) * size, rng.uniform(0.2, 0.4) * size
    inside = np.hypot(rows - row, cols - col) < radius
    classes = np.full((size, size), NON_GLACIAL, np.uint8)
    classes[inside] = np.where(rows[inside] > row + radius / 3, DEBRIS, CLEAN_ICE)
    classes[(rows < size // 8) & (cols < size // 8)] = LAKE
    glacier = np.isin(classes, (CLEAN_ICE, DEBRIS)).astype(np.float32)
    table = np.array([ICE, ROCK, ROCK, WATER, ROCK, ROCK, ROCK, WATER, ICE], np.float32)
    optical = table[classes].transpose(2, 0, 1) * (1 + 0.05 * rng.standard_normal((6, size, size)))
    kelvin = 285 - 12 * glacier + rng.standard_normal((size, size))
    dem = np.stack([2500 + 5 * (size - rows), np.full((size, size), 12.0)])
    velocity = np.stack([20 * glacier, 16 * glacier, -12 * glacier])
    values = {"optical": optical, "thermal": kelvin[None], "dem": dem, "velocity": velocity}
    glacier[: size // 10] = np.nan
    classes[: size // 10] = UNLABELLED
    return Chip(
        {name: v.astype(np.float32) for name, v in values.items()},
        glacier,
        classes,
        30.0,
        f"{origin}:{seed}",
        region,
        lat,
        lon,
    )


def made_folder(folder: Path, n: int = 6, size: int = 48, **keys: Any) -> Path:
    """n chips as files."""
    for k in range(n):
        save_chip(folder / f"{k}.npz", made_chip(k, size, **keys))
    return folder


def tiny_card(scheme_name: str = "binary", **changes: Any) -> Card:
    """A U-Net of a few thousand weights over optical, dem and thermal."""
    keys: dict[str, Any] = {
        "name": "tiny",
        "net": "unet",
        "parameters": {"width": 4, "depth": 2, "norm": "group"},
        "scheme": scheme_name,
        "groups": build_groups({"optical": ["optical"], "terrain": ["dem"], "thermal": ["thermal"]}),
        "anchors": ("optical",),
        "window_px": 32,
        "stride_px": 16,
    }
    return Card(**(keys | changes))


def tiny_checkpoint(folder: Path, seed: int = 0, scheme_name: str = "binary", **changes: Any) -> Checkpoint:
    """A checkpoint with fresh weights."""
    card = tiny_card(scheme_name, **changes)
    torch.manual_seed(seed)
    planes: Mapping[str, int] = {group.name: group.n_planes for group in card.groups}
    net = build_net(card.net, planes, scheme(scheme_name).n_classes, card.parameters)
    return save_checkpoint(str(folder), card, weights_of(net.state_dict()))
