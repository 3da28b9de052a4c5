"""SETR: a transformer over 16 × 16 px patches with progressive upsampling, the global branch of GlaViTU.

It sees the whole window at once and is blurred at its edges; alone it is a baseline (`Setr`). Its positions are learned
on a 24 × 24 grid (windows of 384 px); for other windows the grid is resampled (bicubic), while the weights stay
576 × 64. After Zheng et al. 2021, 10.1109/CVPR46437.2021.00681, in the layout of Maslov et al. 2025,
10.1038/s41467-024-54956-x: no class token, no final layer norm, GELU after both layers of the MLP.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.nets.blocks import BN_EPS, GLAVITU_MOMENTUM, Head, initialise
from core.models.nets.glavitu_fusion import REGIONS, Stem
from core.models.nets.net import Net, Observed

PATCH = 16
GRID = 24
LN_EPS = 1e-3


class Attention(nn.Module):
    """Multi-head self-attention: query, key and value with bias in one product, heads of width / heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        qkv = self.qkv(x).view(n, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.out(seen.transpose(1, 2).reshape(n, tokens, width))
        return mixed


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LN_EPS)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=LN_EPS)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


class SetrBranch(nn.Module):
    """(n, width, h, w) → the same shape; h and w multiples of 16."""

    def __init__(self, width: int = 64, depth: int = 12, heads: int = 4, hidden: int = 256) -> None:
        super().__init__()
        self.patches = nn.Conv2d(width, width, PATCH, PATCH)
        self.positions = nn.Parameter(torch.empty(GRID * GRID, width))
        self.blocks = nn.Sequential(*(Block(width, heads, hidden) for _ in range(depth)))
        self.steps = nn.ModuleList(_normed_conv(width) for _ in range(4))
        self.last = nn.Conv2d(width, width, 1)
        initialise(self, "glorot")
        with torch.no_grad():
            for block in self.blocks.modules():
                if isinstance(block, Attention):  # one draw each for query, key and value, not for the three at once
                    for part in block.qkv.weight.chunk(3):
                        nn.init.xavier_uniform_(part)
            nn.init.normal_(self.positions, std=0.05)

    def forward(self, x: Tensor) -> Tensor:
        n, width, rows, cols = len(x), x.shape[1], x.shape[2] // PATCH, x.shape[3] // PATCH
        tokens = self.blocks(self.embedded(x) + self.positions_of(rows, cols))
        x = tokens.transpose(1, 2).reshape(n, width, rows, cols)
        *doubling, final = self.steps
        for step in doubling:
            x = _doubled(step(x))
        return _doubled(self.last(final(x)))

    def embedded(self, x: Tensor) -> Tensor:
        """(n, rows · cols, width) the patches, each through one linear layer.

        A convolution that steps as far as it reaches is that, and asked for as one its bfloat16 is garbage on CPUs with
        AMX (oneDNN of torch 2.13, 16 channels: more error than signal).
        """
        patches = F.pixel_unshuffle(x, PATCH).flatten(2).transpose(1, 2)
        return F.linear(patches, self.patches.weight.flatten(1), self.patches.bias)

    def positions_of(self, rows: int, cols: int) -> Tensor:
        """(rows · cols, width) positions of a grid; the learned ones themselves for 24 × 24."""
        if (rows, cols) == (GRID, GRID):
            return self.positions
        learned = self.positions.view(1, GRID, GRID, -1).permute(0, 3, 1, 2)
        resampled = F.interpolate(learned, size=(rows, cols), mode="bicubic", align_corners=False)
        return resampled.flatten(2)[0].transpose(0, 1)


def _normed_conv(width: int) -> nn.Sequential:
    # No activation follows: the published decoder has none.
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width, BN_EPS, GLAVITU_MOMENTUM))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Setr(Net):
    """Baseline: fusion → SETR → head. location: see `Stem`."""

    stride = PATCH

    def __init__(
        self,
        groups: Mapping[str, int],
        n_classes: int = 2,
        *,
        width: int = 64,
        depth: int = 12,
        location: str = "none",
        regions: int = REGIONS,
    ) -> None:
        super().__init__(groups, n_classes)
        self.stem = Stem(groups, width, location=location, regions=regions)
        self.setr = SetrBranch(width, depth)
        self.head = Head(width, n_classes)
        initialise(self.stem, "glorot")
        initialise(self.head, "glorot")

    def score(self, seen: Observed, location: Tensor | None) -> Tensor:
        logits: Tensor = self.head(self.setr(self.stem(seen, location)))
        return logits
