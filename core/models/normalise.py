"""Normalise: physical values with NaN → the groups that a net takes, on the device where it runs.

The same function in training and in mapping, so that the two can never differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from core.models.inputs import CLIP, Channel, Group


def normalise(
    values: Mapping[str, Tensor], bands: Mapping[str, Sequence[str]], groups: Sequence[Group]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Groups and which samples have them.

    values: sensor → (n, band, h, w) float32 in physical units, NaN = not observed; bands: what each sensor's bands
    are; a sensor or band that is not there counts as not observed. At least one sensor.
    Returns group → (n, planes, h, w): values in about [−1, 1], 0 where not observed, then 1 where observed else 0;
    and group → (n,) 1 where any pixel of any channel was observed, else 0.
    """
    like = next(iter(values.values()))
    planes: dict[str, Tensor] = {}
    present: dict[str, Tensor] = {}
    for group in groups:
        columns = [_plane(channel, values, bands, like) for channel in group.channels]
        raw = torch.stack(columns, 1)
        seen = torch.isfinite(raw)
        low, high = (raw.new_tensor([c.scaled_range[k] for c in group.channels]).view(1, -1, 1, 1) for k in (0, 1))
        logs = torch.tensor([c.scaling == "log" for c in group.channels], device=raw.device).view(1, -1, 1, 1)
        scaled = torch.where(logs, torch.sign(raw) * torch.log1p(raw.abs()), raw)
        unit = ((scaled - low) * (2 / (high - low)) - 1).clamp(-CLIP, CLIP)
        planes[group.name] = torch.cat([torch.where(seen, unit, 0.0), seen.to(raw.dtype)], 1)
        present[group.name] = seen.flatten(1).any(1).to(raw.dtype)
    return planes, present


def _plane(channel: Channel, values: Mapping[str, Tensor], bands: Mapping[str, Sequence[str]], like: Tensor) -> Tensor:
    """(n, h, w) of one band."""
    if channel.sensor not in values or channel.band not in bands[channel.sensor]:
        return like.new_full((like.shape[0], *like.shape[2:]), float("nan"))
    return values[channel.sensor][:, list(bands[channel.sensor]).index(channel.band)]
