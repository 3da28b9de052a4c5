"""The protocol of every net: normalised groups of bands in, logits per class out.

A group is a set of bands that are observed or missing together. Whatever values a missing group carries, NaN included,
the logits are the same bit for bit, in training too: they are overwritten with 0 here, before any layer sees them, and
each net keeps what its layers make of that 0 out of the fusion. Any height and width is taken: the lower and right
edges are repeated up to a multiple of the net's stride, and the logits are cut back.
A net never normalises and never looks for NaN in a group that is present: 0 stands where a pixel was not observed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError

# group → (n, channel, h, w) normalised, any float dtype, 0 where a pixel was not observed.
Groups = Mapping[str, Tensor]
# group → (n,) 1 where the sample has the group, else 0. A group that is not named is there if its values are.
Present = Mapping[str, Tensor]


class Observed(NamedTuple):
    """What a net works on. values: the groups that were given, padded, 0 where a sample lacks one.
    masks: (n, 1, 1, 1) bool, true where a sample has the group; None where every sample does."""

    values: dict[str, Tensor]
    masks: dict[str, Tensor | None]


class Net(nn.Module, ABC):
    """groups: group → number of channels, in the order of the channels of nets that stack them."""

    stride = 1

    def __init__(self, groups: Mapping[str, int], n_classes: int = 2) -> None:
        super().__init__()
        if not groups or min(groups.values()) < 1:
            raise ConfigError("net.groups", found=str(dict(groups)), expected="at least one group of at least one band")
        if n_classes < 2:
            raise ConfigError("net.n_classes", found=str(n_classes), expected="2 or more")
        self.groups = dict(groups)
        self.n_classes = n_classes

    def forward(self, groups: Groups, present: Present | None = None, location: Tensor | None = None) -> Tensor:
        """Logits (n, n_classes, h, w), float32 under autocast too.

        location: (n, length) as the net's location encoding wants it. Raises ConfigError if the groups are not those
        that the net was built for, or if a location is given to a net that cannot use it.
        """
        h, w = _size(groups)
        return self.score(self.observe(groups, present), location)[..., :h, :w]

    def forward_train(
        self, groups: Groups, present: Present | None = None, location: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(logits, auxiliary logits), both (n, n_classes, h, w); None from a net without an auxiliary head."""
        h, w = _size(groups)
        main, aux = self.score_train(self.observe(groups, present), location)
        return main[..., :h, :w], None if aux is None else aux[..., :h, :w]

    @abstractmethod
    def score(self, seen: Observed, location: Tensor | None) -> Tensor:
        """Logits of groups whose sides are multiples of the stride."""

    def score_train(self, seen: Observed, location: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """As `score`, with the logits of the auxiliary head where there is one."""
        return self.score(seen, location), None

    def observe(self, groups: Groups, present: Present | None) -> Observed:
        """The groups checked, padded to the stride and cleared where they are missing."""
        self._check(groups, present or {})
        values: dict[str, Tensor] = {}
        masks: dict[str, Tensor | None] = {}
        for name in self.groups:
            if name not in groups:
                continue
            told = None if present is None else present.get(name)
            masks[name] = None if told is None else (told > 0.5).view(-1, 1, 1, 1)
            values[name] = masked(_padded(groups[name], self.stride), masks[name])
        return Observed(values, masks)

    def _check(self, groups: Groups, present: Present) -> None:
        unknown = [name for name in (*groups, *present) if name not in self.groups]
        if unknown or not groups:
            found = f"{unknown[0]!r}" if unknown else "no group"
            raise ConfigError("groups", found=found, expected="some of " + ", ".join(self.groups))
        first = next(iter(groups.values())).shape
        for name, values in groups.items():
            expected = (first[0], self.groups[name], *first[2:])
            if tuple(values.shape) != expected:
                raise ConfigError(f"groups.{name}", found=str(tuple(values.shape)), expected=str(expected))


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """x, and exactly 0 where the mask is false, whatever x holds there."""
    return x if mask is None else x.masked_fill(~mask, 0)


def no_location(location: Tensor | None) -> None:
    """For nets without a location encoding. Raises ConfigError rather than ignore a location."""
    if location is not None:
        raise ConfigError("location", found="a location", expected="none: this net has no location encoding")


def count_weights(module: nn.Module) -> int:
    """Numbers that a trained module is made of: parameters and the running mean and variance of batch norms, which is
    how the published totals of GlaViTU count. Batch counters are left out."""
    buffers = (b for name, b in module.named_buffers() if name.endswith(("running_mean", "running_var")))
    return sum(p.numel() for p in module.parameters()) + sum(b.numel() for b in buffers)


def _size(groups: Groups) -> tuple[int, int]:
    for values in groups.values():
        return values.shape[-2], values.shape[-1]
    raise ConfigError("groups", found="no group", expected="at least one")


def _padded(x: Tensor, stride: int) -> Tensor:
    bottom, right = -x.shape[-2] % stride, -x.shape[-1] % stride
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
