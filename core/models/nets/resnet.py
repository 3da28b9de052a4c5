"""ResNet: the bottleneck encoder of He et al. 2016 (10.1109/CVPR.2016.90), for any number of input channels.

The stride of a stage lies on its 3 × 3 convolution. With an output stride of 16 the last stage is dilated in place of
its stride, as segmentation nets want it (Chen et al. 2018, 10.1007/978-3-030-01234-2_49).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.models.nets.blocks import conv_norm, conv_relu, initialise

RESNET50 = (3, 4, 6, 3)
RESNET101 = (3, 4, 23, 3)
# Features at strides 2, 4, 8, 16 and the output stride.
WIDTHS = (64, 256, 512, 1024, 2048)


class Bottleneck(nn.Module):
    """1×1 → 3×3 → 1×1 with four times the width out, plus the input, projected where the shape changes."""

    def __init__(self, c_in: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        c_out = 4 * width
        self.layers = nn.Sequential(
            conv_relu(c_in, width, 1),
            conv_relu(width, width, stride=stride, dilation=dilation),
            conv_norm(width, c_out, 1),
        )
        same = c_in == c_out and stride == 1
        self.project = nn.Identity() if same else conv_norm(c_in, c_out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layers(x) + self.project(x))


class ResNet(nn.Module):
    """(n, channels, h, w) → features of WIDTHS, largest first. blocks: of each of the four stages."""

    def __init__(self, channels: int, blocks: Sequence[int] = RESNET101, *, output_stride: int = 32) -> None:
        super().__init__()
        if len(blocks) != 4 or min(blocks) < 1:
            raise ConfigError("net.blocks", found=str(tuple(blocks)), expected="four stages of at least one block")
        if output_stride not in (16, 32):
            raise ConfigError("net.output_stride", found=str(output_stride), expected="16 or 32")
        self.stem = conv_relu(channels, WIDTHS[0], 7, stride=2)
        self.stages = nn.ModuleList()
        for k, count in enumerate(blocks):
            dilated = k == 3 and output_stride == 16
            stride = 1 if k == 0 or dilated else 2
            self.stages.append(_stage(WIDTHS[k], WIDTHS[k + 1] // 4, count, stride, 2 if dilated else 1))
        initialise(self, "he")

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [self.stem(x)]
        x = F.max_pool2d(features[0], 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def _stage(c_in: int, width: int, count: int, stride: int, dilation: int) -> nn.Sequential:
    first = Bottleneck(c_in, width, stride, dilation)
    return nn.Sequential(first, *(Bottleneck(4 * width, width, 1, dilation) for _ in range(count - 1)))
