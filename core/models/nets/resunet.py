"""ResUNet: a U-Net of residual steps, the local branch of GlaViTU, and alone the baseline that must be beaten.

In the layout of Maslov et al. 2025, 10.1038/s41467-024-54956-x. The log published with the earlier version has the
plain ResUNet level with GlaViTU (mean IoU 0.828 and 0.824), so it is trained beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.nets.blocks import BN_EPS, GLAVITU_MOMENTUM, Head, initialise
from core.models.nets.glavitu_fusion import REGIONS, Stem
from core.models.nets.net import Net, Observed

STEPS = 3


class Step(nn.Module):
    """(Conv3×3 → batch norm → LeakyReLU 0.2) × 2, plus a 1×1 projection of the input; no activation after the sum."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, padding=1),
            nn.BatchNorm2d(c_out, BN_EPS, GLAVITU_MOMENTUM),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(c_out, c_out, 3, padding=1),
            nn.BatchNorm2d(c_out, BN_EPS, GLAVITU_MOMENTUM),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.project = nn.Conv2d(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = self.layers(x) + self.project(x)
        return summed


class Up(nn.Module):
    """Nearest × 2 → Conv2×2 without bias, padded below and right only → batch norm."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 2, bias=False)
        self.norm = nn.BatchNorm2d(c_out, BN_EPS, GLAVITU_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        doubled = F.interpolate(x, scale_factor=2, mode="nearest")
        up: Tensor = self.norm(self.conv(F.pad(doubled, (0, 1, 0, 1))))
        return up


class ResUNetBranch(nn.Module):
    """(n, width, h, w) → the same shape; h and w multiples of 8. Steps of width · 1, 2, 4, bottleneck width · 8."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(STEPS + 1)]
        self.down = nn.ModuleList(Step(c_in, c_out) for c_in, c_out in zip([width, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(Up(2 * c, c) for c in reversed(widths[:-1]))
        self.merge = nn.ModuleList(Step(2 * c, c) for c in reversed(widths[:-1]))
        self.last = nn.Conv2d(width, width, 1)
        initialise(self, "glorot")

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for step in self.down:
            if skips:
                x = F.max_pool2d(x, 2)
            x = step(x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), skips.pop()], 1))
        local: Tensor = self.last(x)
        return local


class ResUNet(Net):
    """Baseline: fusion → ResUNet → head. location: see `Stem`."""

    stride = 2**STEPS

    def __init__(
        self,
        groups: Mapping[str, int],
        n_classes: int = 2,
        *,
        width: int = 64,
        location: str = "none",
        regions: int = REGIONS,
    ) -> None:
        super().__init__(groups, n_classes)
        self.stem = Stem(groups, width, location=location, regions=regions)
        self.resunet = ResUNetBranch(width)
        self.head = Head(width, n_classes)
        initialise(self.stem, "glorot")
        initialise(self.head, "glorot")

    def score(self, seen: Observed, location: Tensor | None) -> Tensor:
        logits: Tensor = self.head(self.resunet(self.stem(seen, location)))
        return logits
