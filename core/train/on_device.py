"""A batch as tensors: what a net of a card takes, and the labels that it is compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from core.models.checkpoint import Card
from core.models.engine import location_kind, memory_format
from core.models.inputs import needed_bands
from core.models.nets.glavitu_fusion import coordinate_vector, region_vector
from core.models.normalise import normalise
from core.train.classes import UNLABELLED
from core.train.losses import Labels
from core.train.sample import Batch


def to_device(
    batch: Batch, card: Card, device: torch.device
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor | None, Labels]:
    """Normalised groups, which samples have them, the location vector, and labels."""
    raw = {name: torch.from_numpy(values).to(device) for name, values in batch.values.items()}
    groups, present = normalise(raw, needed_bands(card.groups), card.groups)
    groups = {name: x.contiguous(memory_format=memory_format(device)) for name, x in groups.items()}
    return groups, present, _location(batch, card, device), _labels(batch, card, device)


def _location(batch: Batch, card: Card, device: torch.device) -> Tensor | None:
    kind = location_kind(card)
    if kind == "none":
        return None
    if kind == "coordinates":
        return coordinate_vector(torch.from_numpy(batch.lat), torch.from_numpy(batch.lon)).to(device)
    slots = [card.regions.index(r) if r in card.regions else -1 for r in batch.region]
    return region_vector(torch.tensor(slots), len(card.regions)).to(device)


def _labels(batch: Batch, card: Card, device: torch.device) -> Labels:
    scheme = card.classes
    glacier = torch.from_numpy(batch.glacier).to(device)
    if scheme.name == "binary":
        known = torch.isfinite(glacier)
        share = torch.nan_to_num(glacier)
        shares = torch.stack([1 - share, share], 1)
    else:
        codes = torch.from_numpy(batch.labels).to(device).long()
        known = codes != UNLABELLED
        one_hot = torch.nn.functional.one_hot(torch.where(known, codes, 0), scheme.n_classes)
        shares = one_hot.movedim(-1, 1).float()
    distance = None if batch.distance is None else torch.from_numpy(batch.distance).to(device)
    return Labels(shares, glacier, known, torch.from_numpy(batch.weight).to(device), distance)
