"""Schedule: the learning rate of a step, as a pure function of the step, so that nothing about it needs saving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from core.errors import ConfigError


def learning_rate(step: int, base: float, ends: Sequence[int], warmup: int = 0, floor: float = 0.01) -> float:
    """Cosine from `base` down to `floor` · base, starting again at every end but the last, after which it stays down.

    step: from 0; ends: steps at which a cosine ends, rising (GlaViTU: epochs 10, 30, 70, 150, each cosine twice as
    long as the one before; Loshchilov & Hutter 2017, arXiv 1608.03983); warmup: steps of a linear rise at the start.
    Raises ConfigError for ends that do not rise.
    """
    if not ends or ends[0] <= 0 or any(b <= a for a, b in pairwise(ends)):
        raise ConfigError("restarts", found=str(list(ends)), expected="rising numbers, the first more than 0")
    starts = [0, *ends[:-1]]
    at = max((k for k, start in enumerate(starts) if start <= step), default=0)
    share = min(1.0, (step - starts[at]) / (ends[at] - starts[at]))
    cosine = floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return base * cosine * rise
