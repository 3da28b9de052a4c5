"""The layers that several nets share.

All of them keep the memory format of their input and run under autocast. A head leaves autocast, so logits are float32.
That does not make the answer one of float32. On small nets trained for a moment, bfloat16 (8 bits of mantissa) moved
the probability of 0.5 to 30 % of the pixels by more than the 1/254 that a mosaic tells apart; float16 (11 bits) that of
none, and of 1 % in GlaViTU (tests/unit/models/nets/test_net_precision.py prints them).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError

# The constants of the published GlaViTU; other nets take its eps, and torch's own momentum.
BN_EPS, GLAVITU_MOMENTUM = 1e-3, 0.01


def norm2d(kind: str, channels: int, momentum: float) -> nn.Module:
    """`batch`: batch norm. `group`: group norm of up to 8 groups, free of batch statistics but dependent on the window.
    Raises ConfigError for another one."""
    if kind == "batch":
        return nn.BatchNorm2d(channels, BN_EPS, momentum)
    if kind == "group":
        return nn.GroupNorm(next(g for g in (8, 4, 2, 1) if channels % g == 0), channels, BN_EPS)
    raise ConfigError("net.norm", found=repr(kind), expected="batch or group")


def conv_norm(c_in: int, c_out: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution of "same" size (divided by the stride) without bias, and batch norm."""
    pad = dilation * (kernel // 2)
    conv = nn.Conv2d(c_in, c_out, kernel, stride, pad, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


def conv_relu(c_in: int, c_out: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, batch norm and ReLU."""
    return conv_norm(c_in, c_out, kernel, stride=stride, dilation=dilation).append(nn.ReLU(inplace=True))


def resize(x: Tensor, like: Tensor) -> Tensor:
    """x at the height and width of `like`, bilinear between pixel centres."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class Head(nn.Conv2d):
    """Logits of every pixel from its own features, in float32 under autocast too."""

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__(channels, n_classes, 1)

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.float()
        with torch.autocast(input.device.type, enabled=False):
            return F.conv2d(input.float(), self.weight.float(), bias)


class Gate(nn.Module):
    """Squeeze and excitation: each channel times a factor in (0, 1) that the means of all channels decide
    (Hu et al. 2018, 10.1109/CVPR.2018.00745)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3))
        factor = torch.sigmoid(self.excite(F.leaky_relu(self.squeeze(mean), 0.2)))
        return x * factor[:, :, None, None]


class ScSE(nn.Module):
    """Concurrent spatial and channel squeeze and excitation, summed (Roy et al. 2018, 10.1007/978-3-030-00928-1_48)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = Gate(channels, max(8, channels // 16))
        self.spatial = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = self.channel(x) + x * torch.sigmoid(self.spatial(x))
        return gated


def initialise(module: nn.Module, kind: Literal["glorot", "he"]) -> None:
    """Fresh weights for every convolution and dense layer inside, biases 0. glorot: uniform, gain 1. he: normal by
    fan-out, for layers that a ReLU follows."""
    for layer in module.modules():
        if not isinstance(layer, (nn.Conv2d, nn.Linear)):
            continue
        if kind == "glorot":
            nn.init.xavier_uniform_(layer.weight)
        else:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
