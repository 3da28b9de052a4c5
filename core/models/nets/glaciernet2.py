"""GlacierNet2: SegNet and DeepLab side by side, and the vote of the two.

After Xie et al. 2022 (10.1016/j.jag.2022.102921). The two learn apart, each from its own loss (`forward_train` gives
both, the second in the place of the auxiliary logits), and meet in the answer alone. A hard vote has no gradient, and
where a member is undecided the last bit of its logits may turn it; `soft` averages probabilities instead.
The terminus refinement of the paper needs to know where the two disagree: `members`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.models.nets.deeplab import DeepLab
from core.models.nets.net import Groups, Net, Observed, Present
from core.models.nets.resnet import RESNET50
from core.models.nets.segnet import SegNet

VOTES = ("hard", "soft")
# Stands for the probability 0 of a class without a vote, whose logarithm must be finite.
NONE = 1e-6


class GlacierNet2(Net):
    """The softmax of its logits is the mean vote: 0, ½ or 1 for vote `hard`, as published."""

    stride = 32

    def __init__(
        self,
        groups: Mapping[str, int],
        n_classes: int = 2,
        *,
        vote: str = "hard",
        segnet_width: int = 64,
        deeplab_blocks: Sequence[int] = RESNET50,
        deeplab_width: int = 256,
    ) -> None:
        super().__init__(groups, n_classes)
        if vote not in VOTES:
            raise ConfigError("net.vote", found=repr(vote), expected=" or ".join(VOTES))
        self.vote = vote
        self.segnet = SegNet(groups, n_classes, width=segnet_width)
        self.deeplab = DeepLab(groups, n_classes, blocks=deeplab_blocks, width=deeplab_width)

    def members(self, groups: Groups, present: Present | None = None) -> tuple[Tensor, Tensor]:
        """Logits of SegNet and of DeepLab, both (n, n_classes, h, w)."""
        return cast(tuple[Tensor, Tensor], self.forward_train(groups, present))

    def score(self, seen: Observed, location: Tensor | None) -> Tensor:
        votes = [self._vote(logits) for logits in self.score_train(seen, location)]
        return torch.stack(votes).mean(0).clamp(min=NONE).log()

    def score_train(self, seen: Observed, location: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.segnet.score(seen, location), self.deeplab.score(seen, location)

    def _vote(self, logits: Tensor) -> Tensor:
        if self.vote == "soft":
            return logits.softmax(1)
        return F.one_hot(logits.argmax(1), self.n_classes).movedim(-1, 1).to(logits.dtype)
