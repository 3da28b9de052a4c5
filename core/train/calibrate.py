"""Calibrate: probabilities that mean what they say, and how far they do.

A temperature divides the logits of a trained model so that its probabilities fit labels that it has not seen (Guo et
al. 2017, arXiv 1706.04599): it moves no pixel across 0.5 of two classes and costs nothing. Confidence is 1 − entropy of
the probability of glacier in bits; a table of 100 bins turns it into the share of pixels that were right, so that
"95 % confident" can be taken at its word. Labels are shares, so half a pixel of glacier counts half.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from core.errors import ConfigError
from core.train.chip import Chip
from core.train.classes import Scheme
from core.train.evaluate import BINS, Predict, expected_calibration_error
from core.train.sample import mapped_share

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
CONFIDENCE_BINS = 100
LOWEST, HIGHEST = 0.05, 20.0
_TINY = 1e-6


@dataclass(frozen=True)
class Pixels:
    """Labelled pixels. probability: (n, class); share: (n,) of what the scheme maps; site: (n,) index into `sites`."""

    probability: Float64
    share: Float64
    site: NDArray[np.int64]
    sites: tuple[str, ...]


def labelled_pixels(
    predict: Predict, chips: Iterable[Chip], scheme: Scheme, *, per_chip: int = 4096, seed: int = 0, batch: int = 8
) -> Pixels:
    """Up to `per_chip` random labelled pixels of every chip with what a model says of them.

    Raises ConfigError if no chip has any.
    """
    from core.train.evaluate import site as site_of

    rng = np.random.default_rng(seed)
    probability, share, sites, names = [], [], [], dict[str, int]()
    held = list(chips)
    for start in range(0, len(held), batch):
        part = held[start : start + batch]
        for chip, found in zip(part, predict(part), strict=True):
            truth = mapped_share(chip, scheme)
            told = np.flatnonzero((np.isfinite(truth) & np.isfinite(found).all(axis=0)).ravel())
            some = rng.permutation(told)[:per_chip]
            probability.append(found.reshape(len(found), -1)[:, some].T.astype(np.float64))
            share.append(truth.ravel()[some].astype(np.float64))
            sites.append(np.full(len(some), names.setdefault(site_of(chip), len(names))))
    if not share or not sum(map(len, share)):
        raise ConfigError("calibration", found="no labelled pixel that the model told", expected="chips with labels")
    return Pixels(np.concatenate(probability), np.concatenate(share), np.concatenate(sites), tuple(names))


def with_temperature(probability: Float64, temperature: float) -> Float64:
    """Probabilities (n, class) as the same logits divided by `temperature` give them."""
    logits = np.log(np.clip(probability, _TINY**2, 1)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def glacier_of(probability: Float64, scheme: Scheme) -> Float64:
    """(n,) probability of glacier."""
    return np.asarray(probability[:, list(scheme.glacier_index)].sum(axis=1))


def log_loss(glacier: Float64, share: Float64) -> float:
    """Mean −(s log p + (1 − s) log(1 − p)), in nats."""
    p = np.clip(glacier, _TINY, 1 - _TINY)
    return float(-np.mean(share * np.log(p) + (1 - share) * np.log1p(-p)))


def fit_temperature(pixels: Pixels, scheme: Scheme) -> float:
    """The temperature in [0.05, 20] with the least loss of the probability of glacier, by sites of equal weight."""
    counts = np.bincount(pixels.site, minlength=len(pixels.sites))

    def loss(log_t: float) -> float:
        glacier = glacier_of(with_temperature(pixels.probability, float(np.exp(log_t))), scheme)
        p = np.clip(glacier, _TINY, 1 - _TINY)
        each = -(pixels.share * np.log(p) + (1 - pixels.share) * np.log1p(-p))
        return float((np.bincount(pixels.site, each, len(counts))[counts > 0] / counts[counts > 0]).mean())

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def entropy_confidence(glacier: NDArray[np.floating]) -> Float64:
    """1 − entropy in bits: 0 at p = 0.5, 1 at p = 0 or 1. NaN stays."""
    p = np.clip(np.asarray(glacier, dtype=np.float64), _TINY, 1 - _TINY)
    return np.asarray(1 + p * np.log2(p) + (1 - p) * np.log2(1 - p))


def confidence_table(glacier: Float64, share: Float64) -> tuple[float, ...]:
    """Share of right pixels for each of 100 bins of `entropy_confidence`, never falling from bin to bin.

    Right is the share of the pixel that the answer (p ≥ 0.5) gets right. Pooled adjacent violators make it monotone;
    bins without pixels take what lies between their neighbours.
    """
    right = np.where(glacier >= 0.5, share, 1 - share)
    at = _bin(entropy_confidence(glacier))
    count = np.bincount(at, minlength=CONFIDENCE_BINS).astype(np.float64)
    total = np.bincount(at, right, CONFIDENCE_BINS)
    used = np.flatnonzero(count)
    level = _rising(total[used] / count[used], count[used])
    return tuple(float(v) for v in np.interp(np.arange(CONFIDENCE_BINS), used, level))


def confidence(glacier: Float32, table: Sequence[float]) -> Float32:
    """Probability (any shape) → how likely the answer is right, by the table; NaN stays. Pixels below 0.95 are
    GlaViTU's band of doubt."""
    entropy = entropy_confidence(glacier)
    found = np.asarray(table, dtype=np.float32)[_bin(np.nan_to_num(entropy))]
    return np.where(np.isfinite(glacier), found, np.float32(np.nan)).astype(np.float32)


def _bin(confidence_: Float64) -> NDArray[np.int64]:
    return np.clip((confidence_ * CONFIDENCE_BINS).astype(np.int64), 0, CONFIDENCE_BINS - 1)


def _rising(values: Float64, weights: Float64) -> Float64:
    """Isotonic regression by pooling adjacent violators."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values, weights, strict=True):
        mean, heavy, length = float(value), float(weight), 1
        while blocks and blocks[-1][0] > mean:
            m, w, n = blocks.pop()
            mean, heavy, length = (m * w + mean * heavy) / (w + heavy), w + heavy, n + length
        blocks.append((mean, heavy, length))
    return np.repeat([b[0] for b in blocks], [b[2] for b in blocks])


def reliability(glacier: Float64, share: Float64, bins: int = BINS) -> Float64:
    """(3, bins): pixels, Σ probability and Σ share per bin of probability."""
    at = np.minimum((glacier * bins).astype(np.int64), bins - 1)
    return np.stack([np.bincount(at, w, bins).astype(np.float64) for w in (None, glacier, share)])


def plot_reliability(curves: dict[str, Float64], path: Path, title: str) -> Path:
    """Mean share against mean probability for each of the named tables of `reliability`: PNG."""
    figure = Figure(figsize=(5.2, 5.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="black", lw=0.8)
    for name, table in curves.items():
        used = table[0] > 0
        label = f"{name}, ECE {expected_calibration_error(table):.3f}"
        axes.plot(
            table[1][used] / table[0][used], table[2][used] / table[0][used], marker="o", ms=3.5, lw=1, label=label
        )
    axes.set(xlabel="probability of glacier", ylabel="share of glacier", xlim=(0, 1), ylim=(0, 1), title=title)
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)
    return path
