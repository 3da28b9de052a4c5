"""Terminus refinement: where two nets disagree on the tongue, the disputed pixels go by their likeness to agreed ones.

After GlacierNet2 (Xie et al. 2022, 10.1016/j.jag.2022.102921): on the lowest 15 % of a glacier's elevation range, if
the two masks overlap by less than 0.7 (intersection over union), each disputed pixel takes the class of the majority
of its five nearest neighbours in feature space, among the pixels there on which the nets agree. The paper's features
are those of the encoder; bands and terrain do as well. Elsewhere, and where agreement is too little to learn from,
the mean of both maps stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from core.errors import ConfigError

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class TerminusRules:
    """lowest: part of the elevation range that is the terminus; max_iou: from this overlap on the nets agree well
    enough; neighbours: odd, so that there is always a majority."""

    threshold: float = 0.5
    lowest: float = 0.15
    max_iou: float = 0.7
    neighbours: int = 5


@dataclass(frozen=True)
class TerminusRefinement:
    """probability: (h, w) float32, mean of both maps, 0 or 1 where a dispute was settled. outcome: refined |
    agreed | nothing_to_learn_from | no_terminus. iou: of the masks at the terminus, None if neither has ice there.
    settled: disputed pixels that got a class; left: those whose features are unknown."""

    probability: Float32
    outcome: str
    iou: float | None = None
    settled: int = 0
    left: int = 0


def refine_terminus(
    first: Float32,
    second: Float32,
    features: Float32,
    elevation_m: Float32,
    mine: Bool,
    rules: TerminusRules | None = None,
) -> TerminusRefinement:
    """Settle the terminus of one glacier.

    first, second: (h, w) float32 probabilities of two nets, NaN where not observed; features: (c, h, w), NaN =
    unknown, brought to equal spread here, so their units do not matter; elevation_m: (h, w); mine: (h, w), the
    glacier's own pixels, outside of which nothing is looked at and nothing changes but the mean being formed.
    The elevation range is that of the ground which at least one net maps as glacier. Deterministic.
    Raises ConfigError if shapes differ or the number of neighbours is even.
    """
    rules = rules or TerminusRules()
    _check(first, second, features, elevation_m, mine, rules)
    mean = ((first + second) / np.float32(2.0)).astype(np.float32)
    seen = mine & np.isfinite(mean)
    one, two = seen & (first >= rules.threshold), seen & (second >= rules.threshold)
    heights = elevation_m[(one | two) & np.isfinite(elevation_m)]
    if not heights.size:
        return TerminusRefinement(mean, "no_terminus")
    lowest, highest = float(heights.min()), float(heights.max())
    terminus = seen & (elevation_m <= lowest + rules.lowest * (highest - lowest))
    either, both = terminus & (one | two), terminus & one & two
    iou = float(both.sum() / either.sum())
    if iou >= rules.max_iou:
        return TerminusRefinement(mean, "agreed", iou)
    told = np.isfinite(features).all(axis=0)
    disputed, agreed = either & ~both, terminus & (one == two) & told
    glacier = one[agreed]
    # Both classes, and enough pixels for a vote of which none is cast twice.
    if len(glacier) < rules.neighbours or glacier.all() or not glacier.any():
        return TerminusRefinement(mean, "nothing_to_learn_from", iou, left=int(disputed.sum()))
    asked = disputed & told
    known, wanted = _alike(features[:, agreed].T, features[:, asked].T)
    _, nearest = cKDTree(known).query(wanted, k=rules.neighbours)
    votes = glacier[np.asarray(nearest).reshape(len(wanted), rules.neighbours)].sum(axis=1)
    refined = mean.copy()
    refined[asked] = votes * 2 > rules.neighbours
    return TerminusRefinement(refined, "refined", iou, int(asked.sum()), int((disputed & ~told).sum()))


def maps_from_spread(mean: Float32, half_difference: Float32) -> tuple[Float32, Float32]:
    """Two maps from the mean of two nets and half of what they differ by: all that refinement needs to know of them.

    Which net said more is lost, but not where they agree: the union of the two masks is mean + half ≥ threshold,
    their intersection mean − half ≥ threshold. For more than two nets give their standard deviation.
    """
    half = np.abs(half_difference)
    return (mean + half).astype(np.float32), (mean - half).astype(np.float32)


def _alike(known: NDArray[np.float32], wanted: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both (n, c) brought to mean 0 and spread 1 of the known ones; a feature that does not vary tells nothing."""
    centre, spread = known.mean(axis=0, dtype=np.float64), known.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)
    return (known - centre) * scale, (wanted - centre) * scale


def _check(
    first: Float32, second: Float32, features: Float32, elevation_m: Float32, mine: Bool, rules: TerminusRules
) -> None:
    shapes = {first.shape, second.shape, elevation_m.shape, mine.shape, features.shape[1:]}
    if len(shapes) > 1 or features.ndim != 3:
        found = ", ".join(str(a.shape) for a in (first, second, features, elevation_m, mine))
        raise ConfigError("terminus refinement", found=found, expected="(h, w) maps and (c, h, w) features")
    if rules.neighbours < 1 or rules.neighbours % 2 == 0:
        raise ConfigError("terminus refinement: neighbours", found=str(rules.neighbours), expected="an odd number")
