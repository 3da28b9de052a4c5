"""DeepLab: a dilated encoder that looks at several distances at once, and a short decoder; one half of GlacierNet2.

DeepLabv3+ (Chen et al. 2018, 10.1007/978-3-030-01234-2_49) over ResNet-50 at output stride 16. Which encoder
GlacierNet2 (10.1016/j.jag.2022.102921) has is not known to us. [u]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from core.models.nets.blocks import Head, conv_relu, initialise, resize
from core.models.nets.net import Net, Observed, no_location
from core.models.nets.resnet import RESNET50, WIDTHS, ResNet
from core.models.nets.stack import Stack

RATES = (6, 12, 18)
LOW = 48


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: 1×1, three dilated 3×3 and the mean of the window, side by side, then 1×1."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [conv_relu(c_in, c_out, 1), *(conv_relu(c_in, c_out, dilation=rate) for rate in RATES)]
        )
        # No batch norm on the mean: it is one value per sample, and a batch of one would have no variance.
        self.mean = nn.Sequential(nn.Conv2d(c_in, c_out, 1), nn.ReLU(inplace=True))
        self.merge = nn.Sequential(conv_relu((len(RATES) + 2) * c_out, c_out, 1), nn.Dropout2d(0.1))

    def forward(self, x: Tensor) -> Tensor:
        mean = self.mean(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        merged: Tensor = self.merge(torch.cat([*(branch(x) for branch in self.branches), mean], 1))
        return merged


class DeepLab(Net):
    """blocks: of the encoder. width: of the pyramid and the decoder."""

    stride = 16

    def __init__(
        self,
        groups: Mapping[str, int],
        n_classes: int = 2,
        *,
        blocks: Sequence[int] = RESNET50,
        width: int = 256,
    ) -> None:
        super().__init__(groups, n_classes)
        self.stack = Stack(groups)
        self.encoder = ResNet(self.stack.channels, blocks, output_stride=16)
        self.pyramid = Pyramid(WIDTHS[-1], width)
        self.low = conv_relu(WIDTHS[1], LOW, 1)
        self.merge = nn.Sequential(conv_relu(width + LOW, width), conv_relu(width, width))
        self.head = Head(width, n_classes)
        for part in (self.pyramid, self.low, self.merge):
            initialise(part, "he")
        initialise(self.head, "glorot")

    def score(self, seen: Observed, location: Tensor | None) -> Tensor:
        no_location(location)
        stacked: Tensor = self.stack(seen)
        _, low, _, _, deep = self.encoder(stacked)
        low = self.low(low)
        merged = self.merge(torch.cat([resize(self.pyramid(deep), low), low], 1))
        return resize(self.head(merged), stacked)
