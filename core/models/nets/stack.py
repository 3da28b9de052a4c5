"""Stack: all groups side by side as the channels of one image, the way in for nets that fuse early.

A missing group is 0 in all its channels. Each group also has a plane that is 1 where it is present, so that a net can
tell "missing" from "average"; without it the two look alike to the first convolution.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from core.models.nets.net import Observed


class Stack(nn.Module):
    """(n, channels, h, w): groups in the order of `groups`, then one plane for each of them."""

    def __init__(self, groups: Mapping[str, int]) -> None:
        super().__init__()
        self.groups = dict(groups)
        self.channels = sum(groups.values()) + len(groups)

    def forward(self, seen: Observed) -> Tensor:
        some = next(iter(seen.values.values()))
        n, _, h, w = some.shape
        planes, flags = [], []
        for name, channels in self.groups.items():
            mask = seen.masks.get(name)
            if name not in seen.values:
                planes.append(some.new_zeros(n, channels, h, w))
                flags.append(some.new_zeros(n, 1, h, w))
            else:
                planes.append(seen.values[name])
                flag = some.new_ones(n, 1, 1, 1) if mask is None else mask.to(some.dtype)
                flags.append(flag.expand(n, 1, h, w))
        return torch.cat([*planes, *flags], 1)
