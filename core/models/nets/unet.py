"""UNet: a small plain U-Net over the masked fusion, the net for processors without an accelerator.

`width` sets its cost (quadratic) and `depth` its reach. Groups are averaged over those that a sample has, so that
dropping one leaves the scale of the rest. `norm="group"` trains on batches of any size and on mixtures of present and
missing groups; `batch`, the default, costs nothing after training and does not depend on what else is in the window.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.models.nets.blocks import Head, initialise, norm2d, resize
from core.models.nets.glavitu_fusion import REGIONS, Stem
from core.models.nets.net import Net, Observed

MOMENTUM = 0.1


class UNet(Net):
    """Levels of width · 1, 2, 4 … 2^depth features, two convolutions each. location: see `Stem`."""

    def __init__(
        self,
        groups: Mapping[str, int],
        n_classes: int = 2,
        *,
        width: int = 16,
        depth: int = 4,
        norm: str = "batch",
        dropout: float = 0.1,
        location: str = "none",
        regions: int = REGIONS,
    ) -> None:
        super().__init__(groups, n_classes)
        if not 1 <= depth <= 6:
            raise ConfigError("net.depth", found=str(depth), expected="1 to 6")
        self.stride = 2**depth
        self.stem = Stem(
            groups,
            width,
            location=location,
            regions=regions,
            norm=norm,
            momentum=MOMENTUM,
            dropout=dropout,
            combine="mean",
        )
        widths = [width * 2**k for k in range(depth + 1)]
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(_twice(c, c_below, norm) for c, c_below in pairs)
        self.narrow = nn.ModuleList(nn.Conv2d(c_below, c, 1) for c, c_below in reversed(pairs))
        self.merge = nn.ModuleList(_twice(2 * c, c, norm) for c, _ in reversed(pairs))
        self.head = Head(width, n_classes)
        initialise(self, "he")
        initialise(self.head, "glorot")

    def score(self, seen: Observed, location: Tensor | None) -> Tensor:
        x: Tensor = self.stem(seen, location)
        skips: list[Tensor] = []
        for step in self.down:
            skips.append(x)
            x = step(F.max_pool2d(x, 2))
        for narrow, merge in zip(self.narrow, self.merge, strict=True):
            skip = skips.pop()
            # Narrowed before it is enlarged: the same result at a quarter of the products.
            x = merge(torch.cat([resize(narrow(x), skip), skip], 1))
        logits: Tensor = self.head(x)
        return logits


def _twice(c_in: int, c_out: int, norm: str) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
        norm2d(norm, c_out, MOMENTUM),
        nn.ReLU(inplace=True),
        nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
        norm2d(norm, c_out, MOMENTUM),
        nn.ReLU(inplace=True),
    )
