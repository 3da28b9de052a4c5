"""CryoNet: a ResNet-101 encoder, nested skips and attention, for clean ice, debris-covered ice and glacial lakes.

After arXiv 2605.21527: encoder ResNet-101, decoder of UNet++ (Zhou et al. 2018, 10.1007/978-3-030-00889-5_1) with scSE
attention in every node, over one stack of all bands and derived layers. The widths of the decoder are ours. [u]
Nothing is pre-trained: the paper's input has many more channels than photographs have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from core.models.nets.blocks import Head, ScSE, conv_relu, initialise, resize
from core.models.nets.net import Net, Observed, no_location
from core.models.nets.resnet import RESNET101, WIDTHS, ResNet
from core.models.nets.stack import Stack


class Node(nn.Module):
    """One node of UNet++: everything before it on its level, and what comes up from below → two convolutions → scSE."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv_relu(c_in, c_out), conv_relu(c_out, c_out), ScSE(c_out))

    def forward(self, level: list[Tensor], below: Tensor) -> Tensor:
        out: Tensor = self.layers(torch.cat([*level, resize(below, level[0])], 1))
        return out


class CryoNet(Net):
    """Four classes as published: other, clean ice, debris-covered ice, lake; any number is taken.
    blocks: of the encoder. width: of the decoder's finest level, doubled at each one below."""

    stride = 32

    def __init__(
        self,
        groups: Mapping[str, int],
        n_classes: int = 4,
        *,
        blocks: Sequence[int] = RESNET101,
        width: int = 32,
    ) -> None:
        super().__init__(groups, n_classes)
        self.stack = Stack(groups)
        self.encoder = ResNet(self.stack.channels, blocks)
        levels = len(WIDTHS) - 1
        widths = [width * 2**k for k in range(levels)]
        # rows[i][j]: node j + 1 of level i; level i has as many nodes as there are levels below it.
        self.rows = nn.ModuleList(
            nn.ModuleList(
                Node(WIDTHS[i] + j * widths[i] + (WIDTHS[i + 1] if j == 0 else widths[i + 1]), widths[i])
                for j in range(levels - i)
            )
            for i in range(levels)
        )
        self.fine = nn.Sequential(conv_relu(width, width), conv_relu(width, width))
        self.head = Head(width, n_classes)
        initialise(self.rows, "he")
        initialise(self.fine, "he")
        initialise(self.head, "glorot")

    def score(self, seen: Observed, location: Tensor | None) -> Tensor:
        no_location(location)
        stacked: Tensor = self.stack(seen)
        grid = [[feature] for feature in self.encoder(stacked)]
        for i in reversed(range(len(grid) - 1)):
            row: Iterable[nn.Module] = self.rows[i]  # type: ignore[assignment]
            for j, node in enumerate(row):
                grid[i].append(node(grid[i], grid[i + 1][j]))
        logits: Tensor = self.head(self.fine(resize(grid[0][-1], stacked)))
        return logits
