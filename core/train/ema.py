"""EMA: a running mean of the weights, which maps better than the last weights and costs one copy of them.

Early on the mean follows fast, because the first weights are worth nothing: decay is at most (1 + n) / (10 + n).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Ema:
    """Mean of parameters; buffers (the statistics of batch norms) are means already and are copied."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights: dict[str, Tensor] = {k: v.detach().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Take in the weights after a step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        learned = {name for name, _ in net.named_parameters()}
        for name, value in net.state_dict().items():
            if name in learned:
                self.weights[name].lerp_(value, 1 - decay)
            else:
                self.weights[name].copy_(value)
