"""Adapt: fit a model to a scene without a single label, by bias optimisation of its region vector.

After Maslov et al. 2025 (10.1038/s41467-024-54956-x): the net is frozen, and the slots of the region vector are moved
until the net is least in doubt about the scene, measured by the mean entropy of its answers. Twelve numbers cannot
learn a scene by heart, but they can say which of the known regions it resembles. Being sure is not being right: compare
with the model before on labelled ground wherever there is any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from core.errors import ConfigError
from core.models.checkpoint import Checkpoint, save_checkpoint
from core.models.engine import load_net, location_kind, pick_device
from core.train.chip import Chip
from core.train.on_device import to_device
from core.train.sample import make_batch


@dataclass(frozen=True)
class Adapted:
    """vector: one number per slot, the last one "unknown"; entropy: mean bits per pixel before and after each epoch."""

    vector: tuple[float, ...]
    entropy: tuple[float, ...]


def adapt(
    checkpoint: Checkpoint,
    chips: Sequence[Chip],
    *,
    epochs: int = 100,
    lr: float = 1e-2,
    batch: int = 8,
    patience: int = 10,
    device: str = "auto",
    watch: Callable[[int, float], None] = lambda epoch, entropy: None,
) -> Adapted:
    """Fit the region vector of a model to chips, whose labels are not looked at.

    lr: of Adam on the logits of the vector; the paper's 1e-4 is for thousands of steps. Stops after `patience` epochs
    without less entropy. Raises ConfigError for a model without a region encoding, or without chips.
    """
    card = checkpoint.card
    if location_kind(card) != "region":
        raise ConfigError(
            checkpoint.url, found="a model without a region encoding", expected="net.parameters.location: region"
        )
    if not chips:
        raise ConfigError("adapt", found="no chips", expected="windows of the scene")
    on = pick_device(device)
    net = load_net(checkpoint).to(on)
    for weight in net.parameters():
        weight.requires_grad_(False)
    slots = len(card.regions) + 1
    start = torch.zeros(slots)
    # From "unknown", which the net knows from training, not from a blend of all regions, which it never saw.
    start[-1] = 4.0
    logits = start.to(on).requires_grad_(True)
    optimiser = torch.optim.Adam([logits], lr=lr)
    parts = [chips[k : k + batch] for k in range(0, len(chips), batch)]
    history = [_mean([float(_entropy(net, card_batch(p, checkpoint, on), logits).detach()) for p in parts])]
    best, vector, since = history[0], logits.detach().softmax(0), 0
    for epoch in range(epochs):
        for part in parts:
            entropy = _entropy(net, card_batch(part, checkpoint, on), logits)
            optimiser.zero_grad()
            entropy.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            history.append(_mean([float(_entropy(net, card_batch(p, checkpoint, on), logits)) for p in parts]))
        watch(epoch + 1, history[-1])
        if history[-1] < best - 1e-6:
            best, vector, since = history[-1], logits.detach().softmax(0), 0
        else:
            since += 1
            if since >= patience:
                break
    return Adapted(tuple(float(v) for v in vector.cpu()), tuple(history))


def save_adapted(checkpoint: Checkpoint, found: Adapted, url: str, about: str) -> Checkpoint:
    """The checkpoint with the fitted place: another identity, the same weights. about: which scene."""
    card = replace(
        checkpoint.card,
        place=found.vector,
        training={
            **checkpoint.card.training,
            "adapted": {"to": about, "from": checkpoint.digest, "entropy": [found.entropy[0], min(found.entropy)]},
        },
    )
    return save_checkpoint(url, card, checkpoint.weights)


def card_batch(
    chips: Sequence[Chip], checkpoint: Checkpoint, device: torch.device
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Groups, presence, and where an anchor was observed (n, h, w)."""
    card = checkpoint.card
    batch = make_batch(chips, card.groups, card.classes)
    groups, present, _, _ = to_device(batch, card, device)
    told = np.logical_or.reduce([np.isfinite(batch.values[name]).any(axis=1) for name in card.anchors])
    return groups, present, torch.from_numpy(told).to(device)


def _entropy(
    net: torch.nn.Module, given: tuple[dict[str, Tensor], dict[str, Tensor], Tensor], logits: Tensor
) -> Tensor:
    """Mean bits per told pixel."""
    groups, present, told = given
    n = told.shape[0]
    found = net(groups, present, logits.softmax(0)[None].expand(n, -1)).float()
    log_p = found.log_softmax(1)
    bits: Tensor = -(log_p.exp() * log_p).sum(1) / float(np.log(2))
    return torch.where(told, bits, 0.0).sum() / told.sum().clamp(min=1)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
