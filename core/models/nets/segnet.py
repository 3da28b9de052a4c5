"""SegNet: an encoder and its mirror, joined only by where each maximum was found; one half of GlacierNet2.

After Badrinarayanan et al. 2017 (10.1109/TPAMI.2016.2644615), convolutions as in VGG-16. The version in GlacierNet2
(10.1016/j.jag.2022.102921) differs in sizes that we do not know. [u]
Where a maximum lies jumps with the last bits of the features: under autocast whole pixels changed class. So the net
answers in float32 whatever is asked of it, and uses autocast only to train.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.nets.blocks import Head, conv_relu, initialise
from core.models.nets.net import Net, Observed, no_location
from core.models.nets.stack import Stack

LAYERS = (2, 2, 3, 3, 3)
FACTORS = (1, 2, 4, 8, 8)


class SegNet(Net):
    """width: of the first stage; the others have 2, 4, 8 and 8 times as many features."""

    stride = 2 ** len(LAYERS)

    def __init__(self, groups: Mapping[str, int], n_classes: int = 2, *, width: int = 64) -> None:
        super().__init__(groups, n_classes)
        self.stack = Stack(groups)
        widths = [width * factor for factor in FACTORS]
        inward = [self.stack.channels, *widths[:-1]]
        self.down = nn.ModuleList(_stage([a] + [b] * count) for a, b, count in zip(inward, widths, LAYERS, strict=True))
        outward = [width, *widths[:-1]]
        self.up = nn.ModuleList(
            _stage([b] * count + [a]) for a, b, count in reversed(list(zip(outward, widths, LAYERS, strict=True)))
        )
        self.head = Head(width, n_classes)
        initialise(self, "he")
        initialise(self.head, "glorot")

    def score(self, seen: Observed, location: Tensor | None) -> Tensor:
        no_location(location)
        x: Tensor = self.stack(seen)
        if self.training:
            return self._layers(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._layers(x)

    def _layers(self, x: Tensor) -> Tensor:
        where: list[Tensor] = []
        for down in self.down:
            x, index = F.max_pool2d(down(x), 2, return_indices=True)
            where.append(index)
        for up in self.up:
            x = up(F.max_unpool2d(x, where.pop(), [2, 2]))
        logits: Tensor = self.head(x)
        return logits


def _stage(widths: list[int]) -> nn.Sequential:
    return nn.Sequential(*(conv_relu(a, b) for a, b in pairwise(widths)))
