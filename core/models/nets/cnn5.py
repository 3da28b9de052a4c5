"""Cnn5: five convolutions with a small receptive field, whose heat map the object-based workflow refines.

The first half of Thomas, Robson & Racoviteanu 2023 (10.3389/frsen.2023.1161530): the net judges each pixel by its
close surroundings, and segments decide the outline. The number of layers and the small reach are theirs; kernels
and widths are ours, because the published net judges whole patches, and this one is convolved over the window. [u]
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn

from core.models.nets.blocks import Head, conv_relu, initialise
from core.models.nets.net import Net, Observed, no_location
from core.models.nets.stack import Stack

KERNELS = (5, 5, 3, 3)  # and the head, 1 × 1
REACH_PX = sum(k // 2 for k in KERNELS)


class Cnn5(Net):
    """A logit depends on the pixels within REACH_PX (6) rows and columns alone. dropout: of whole features, before
    the head."""

    def __init__(self, groups: Mapping[str, int], n_classes: int = 2, *, width: int = 32, dropout: float = 0.1) -> None:
        super().__init__(groups, n_classes)
        self.stack = Stack(groups)
        widths = (self.stack.channels, width, width, 2 * width, 2 * width)
        self.layers = nn.Sequential(
            *(conv_relu(a, b, k) for (a, b), k in zip(pairwise(widths), KERNELS, strict=True)),
            nn.Dropout2d(dropout),
        )
        self.head = Head(widths[-1], n_classes)
        initialise(self.layers, "he")
        initialise(self.head, "glorot")

    def score(self, seen: Observed, location: Tensor | None) -> Tensor:
        no_location(location)
        logits: Tensor = self.head(self.layers(self.stack(seen)))
        return logits
