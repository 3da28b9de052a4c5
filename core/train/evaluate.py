"""Evaluate: how well probabilities agree with the truth, per site, never pooled over sites into one flattering number.

Pixels without a label do not count. A pixel is glacier in truth where at least half of it is; of a scheme that maps
something else, that takes the place of glacier in every score. IoU, precision, recall and F1 are those of the class
glacier at a threshold; the expected calibration error compares probabilities with shares. Where classes are known, each
of them has an IoU too. Numbers are sums that can be added, so sites are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.train.chip import Chip
from core.train.classes import UNLABELLED, Scheme
from core.train.sample import class_labels, mapped_share

Float32 = NDArray[np.float32]
BINS = 20
# Chips of one shape → (n, class, h, w) probabilities, NaN where not told.
Predict = Callable[[Sequence[Chip]], Float32]


@dataclass
class Tally:
    """Sums over pixels. confusion: (class, class) truth × answer; bins of probability: pixels, Σ p, Σ share."""

    n_classes: int
    hits: int = 0
    misses: int = 0
    false_alarms: int = 0
    rejections: int = 0
    untold: int = 0
    confusion: NDArray[np.int64] = field(init=False)
    bins: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.confusion = np.zeros((self.n_classes, self.n_classes), np.int64)
        self.bins = np.zeros((3, BINS))

    def add(
        self, glacier: Float32, share: Float32, answer: NDArray[np.int64], labels: NDArray[np.uint8], threshold: float
    ) -> None:
        """One chip: probability of glacier and share of it, most probable class and class, all (h, w)."""
        labelled = np.isfinite(share)
        told = labelled & np.isfinite(glacier)
        self.untold += int(labelled.sum() - told.sum())
        p, s = glacier[told].astype(np.float64), share[told].astype(np.float64)
        yes, true = p >= threshold, s >= 0.5
        self.hits += int((yes & true).sum())
        self.misses += int((~yes & true).sum())
        self.false_alarms += int((yes & ~true).sum())
        self.rejections += int((~yes & ~true).sum())
        at = np.minimum((p * BINS).astype(np.int64), BINS - 1)
        for row, weights in enumerate((None, p, s)):
            self.bins[row] += np.bincount(at, weights, BINS)
        known = (labels != UNLABELLED) & np.isfinite(glacier)
        pairs = labels[known].astype(np.int64) * self.n_classes + answer[known]
        self.confusion += np.bincount(pairs, minlength=self.n_classes**2).reshape(self.confusion.shape)

    def __add__(self, other: Tally) -> Tally:
        out = Tally(self.n_classes)
        for name in ("hits", "misses", "false_alarms", "rejections", "untold", "confusion", "bins"):
            setattr(out, name, getattr(self, name) + getattr(other, name))
        return out

    def scores(self, classes: Sequence[str] = ()) -> dict[str, float]:
        """pixels, iou, precision, recall, f1, ece, untold (share), and `iou_CLASS` where classes are known.

        A ratio without pixels is NaN: a site without glaciers has no IoU, not a perfect one.
        """
        told = self.hits + self.misses + self.false_alarms + self.rejections
        out = {
            "pixels": float(told),
            "iou": _over(self.hits, self.hits + self.misses + self.false_alarms),
            "precision": _over(self.hits, self.hits + self.false_alarms),
            "recall": _over(self.hits, self.hits + self.misses),
            "f1": _over(2 * self.hits, 2 * self.hits + self.misses + self.false_alarms),
            "ece": expected_calibration_error(self.bins),
            "untold": _over(self.untold, self.untold + told),
        }
        if self.confusion.any():
            common = np.diag(self.confusion)
            union = self.confusion.sum(0) + self.confusion.sum(1) - common
            names = classes or [str(k) for k in range(self.n_classes)]
            out |= {f"iou_{name}": _over(int(c), int(u)) for name, c, u in zip(names, common, union, strict=True)}
        return out


def expected_calibration_error(bins: NDArray[np.float64]) -> float:
    """Σ pixels · |mean probability − mean share| ÷ pixels, over (pixels, Σ probability, Σ share) per bin
    (Guo et al. 2017, arXiv 1706.04599). NaN without pixels."""
    total = bins[0].sum()
    return float(np.abs(bins[1] - bins[2]).sum() / total) if total else float("nan")


def _over(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def evaluate(
    predict: Predict, chips: Iterable[Chip], scheme: Scheme, *, threshold: float = 0.5, batch: int = 8
) -> dict[str, Tally]:
    """site → tally. Chips of one shape that follow each other go through `predict` together.

    The site of a chip is its origin up to the first colon, and its region where it has one.
    """
    out: dict[str, Tally] = {}
    waiting: list[Chip] = []

    def flush() -> None:
        if not waiting:
            return
        found = predict(waiting)
        for chip, classes in zip(waiting, found, strict=True):
            tally = out.setdefault(site(chip), Tally(scheme.n_classes))
            # Untold pixels are NaN in every class; the argmax of those is never looked at.
            answer = np.nan_to_num(classes, nan=-1.0).argmax(axis=0)
            glacier = scheme.glacier_probability(classes, axis=0)
            tally.add(glacier, mapped_share(chip, scheme), answer, class_labels(chip, scheme), threshold)
        waiting.clear()

    for chip in chips:
        if waiting and (len(waiting) == batch or chip.shape != waiting[0].shape):
            flush()
        waiting.append(chip)
    flush()
    return out


def site(chip: Chip) -> str:
    name = chip.origin.split(":", 1)[0]
    return f"{name}/{chip.region}" if chip.region else name


def pooled(tallies: Mapping[str, Tally]) -> Tally | None:
    """The sum, None of nothing: for watching a training, not for reporting."""
    total = None
    for tally in tallies.values():
        total = tally if total is None else total + tally
    return total


def mean_iou(tallies: Mapping[str, Tally]) -> float:
    """Mean over the sites that have any glacier: what training is stopped by, so that a large site does not decide."""
    values = [tally.scores()["iou"] for tally in tallies.values()]
    finite = [v for v in values if np.isfinite(v)]
    return float(np.mean(finite)) if finite else 0.0
