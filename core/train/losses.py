"""Losses: from logits and labels with holes to one number. A pixel without a label has no influence whatsoever.

Labels are shares per class, so a pixel that is half glacier pulls towards one half; smoothing moves them towards
equal shares. Where the classes of a pixel are unknown but its share of glacier is known (outlines without surface
classes), the sum of the glacier classes is trained against that share. The mean is over labelled pixels, each chip
times its weight. Computed in float32, under autocast too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError

_EPS = 1e-6


@dataclass(frozen=True)
class LossWeights:
    """How much of each, and their constants. focal: Lin et al. 2017 (arXiv 1708.02002); dice: Milletari et al. 2016
    (arXiv 1606.04797); tversky: Salehi et al. 2017 (arXiv 1706.05721), alpha for false positives and beta for false
    negatives; boundary: Kervadec et al. 2019 (arXiv 1812.07032), on the probability of glacier; aux: of the auxiliary
    head (GlaViTU: 0.5). Raises ConfigError if none is left."""

    focal: float = 1.0
    dice: float = 0.0
    tversky: float = 0.0
    boundary: float = 0.0
    aux: float = 0.5
    gamma: float = 2.0
    alpha: float = 0.3
    beta: float = 0.7
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        parts = (self.focal, self.dice, self.tversky, self.boundary)
        if min(*parts, self.aux, self.gamma, self.alpha, self.beta) < 0 or max(parts) == 0:
            raise ConfigError("loss", found=str(self), expected="no negative weight, and one above 0")
        if not 0 <= self.smoothing < 1:
            raise ConfigError("loss.smoothing", found=str(self.smoothing), expected="0 to less than 1")


@dataclass(frozen=True)
class Labels:
    """shares: (n, class, h, w) summing to 1 where `known`; glacier: (n, h, w) 0–1, NaN = unknown; known: (n, h, w)
    bool, where the classes are known; distance: (n, h, w) signed distance to the edge of glaciers in half
    windows, negative inside, NaN = unknown, or None; weight: (n,)."""

    shares: Tensor
    glacier: Tensor
    known: Tensor
    weight: Tensor
    distance: Tensor | None = None


def total_loss(
    logits: Tensor, labels: Labels, weights: LossWeights, glacier: Sequence[int], aux: Tensor | None = None
) -> dict[str, Tensor]:
    """`total` and its parts. glacier: which classes are glacier. 0 with a gradient of 0 where nothing is labelled."""
    parts = _parts(logits.float(), labels, weights, glacier)
    if aux is not None and weights.aux > 0:
        parts["aux"] = weights.aux * sum(_parts(aux.float(), labels, weights, glacier).values(), logits.new_zeros(()))
    parts["total"] = sum(parts.values(), logits.new_zeros(()).float())
    return parts


def _parts(logits: Tensor, labels: Labels, weights: LossWeights, glacier: Sequence[int]) -> dict[str, Tensor]:
    probability = logits.softmax(1)
    target = smoothed(labels.shares, weights.smoothing)
    of_glacier = probability[:, list(glacier)].sum(1)
    # Only the share of glacier is known: two classes, glacier and the rest.
    half = ~labels.known & torch.isfinite(labels.glacier)
    pair = torch.stack([1 - of_glacier, of_glacier], 1)
    share = torch.nan_to_num(labels.glacier)
    pair_target = torch.stack([1 - share, share], 1)
    pair_smooth = smoothed(pair_target, weights.smoothing)
    out: dict[str, Tensor] = {}
    some_half = bool(half.any())
    if weights.focal:
        pixel = focal(logits.log_softmax(1), target, weights.gamma)
        if some_half:
            of_pair = focal(pair.clamp(_EPS, 1 - _EPS).log(), pair_smooth, weights.gamma)
            pixel = torch.where(labels.known, pixel, of_pair)
        out["focal"] = weights.focal * masked_mean(pixel, labels.known | half, labels.weight)
    for name, alpha, beta in (("dice", 0.5, 0.5), ("tversky", weights.alpha, weights.beta)):
        factor = getattr(weights, name)
        if factor:
            whole = tversky(probability, labels.shares, labels.known, alpha, beta, labels.weight)
            if some_half:
                rest = tversky(pair, pair_target, half, alpha, beta, labels.weight)
                share_known = _part_known(labels.known, half)
                whole = share_known * whole + (1 - share_known) * rest
            out[name] = factor * whole
    if weights.boundary and labels.distance is not None:
        out["boundary"] = weights.boundary * boundary(of_glacier, labels.distance, labels.weight)
    return out


def smoothed(shares: Tensor, smoothing: float) -> Tensor:
    """Shares (n, class, …) moved towards equal ones."""
    return shares * (1 - smoothing) + smoothing / shares.shape[1]


def focal(log_probability: Tensor, target: Tensor, gamma: float) -> Tensor:
    """(n, h, w): −Σ t (1 − p)^γ log p over the classes."""
    focus = (1 - log_probability.exp()).clamp(min=_EPS) ** gamma
    return -(target * focus * log_probability).sum(1)


def tversky(probability: Tensor, target: Tensor, known: Tensor, alpha: float, beta: float, weight: Tensor) -> Tensor:
    """1 − Tversky index, mean over the classes that occur in the labels of the batch; alpha = beta = ½ is Dice.

    Shares may be anywhere in 0–1; of a pixel both have, min(p, t) counts as common, so that p = t is perfect.
    """
    mask = known[:, None] * weight.view(-1, 1, 1, 1)
    target = torch.where(known[:, None], target, 0.0)
    common = (torch.minimum(probability, target) * mask).sum((0, 2, 3))
    false_positive = (F.relu(probability - target) * mask).sum((0, 2, 3))
    false_negative = (F.relu(target - probability) * mask).sum((0, 2, 3))
    index = (common + _EPS) / (common + alpha * false_positive + beta * false_negative + _EPS)
    occurs = ((target * mask).sum((0, 2, 3)) > 0).to(index.dtype)
    return ((1 - index) * occurs).sum() / occurs.sum().clamp(min=1)


def boundary(glacier: Tensor, distance: Tensor, weight: Tensor) -> Tensor:
    """Mean of probability of glacier × signed distance to its edge: least where all of the inside is glacier and
    nothing outside."""
    known = torch.isfinite(distance)
    return masked_mean(glacier * torch.nan_to_num(distance), known, weight)


def masked_mean(pixel: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """Mean of (n, h, w) over the known pixels, each weighted as its sample; 0 if there are none."""
    mask = known * weight.view(-1, 1, 1)
    # Selected, not multiplied: NaN times 0 is NaN, in the gradient too.
    return torch.where(known, pixel, 0.0).mul(mask).sum() / mask.sum().clamp(min=_EPS)


def _part_known(known: Tensor, half: Tensor) -> Tensor:
    """Share of the labelled pixels whose classes are known."""
    n_known, n_half = known.sum().float(), half.sum().float()
    return n_known / (n_known + n_half).clamp(min=1)
