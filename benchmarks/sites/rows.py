"""Rows of the tables: what was scored where, by which model, with which sensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.train.classes import UNLABELLED
from core.train.evaluate import Tally

Float32 = NDArray[np.float32]
SCORES = ("iou", "precision", "recall", "ece")
_TITLES = {"iou": "IoU", "ece": "ECE", "f1": "F1"}


@dataclass(frozen=True)
class Row:
    """data: simulated or real, and train, held out or test; scores: name → number, NaN where there is none, whole
    where something was counted."""

    site: str
    data: str
    sensors: str
    model: str
    pixels: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Section:
    """One table. notes: what a reader must know to judge it."""

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = field(default_factory=tuple)
    unit: str = "pixels"

    def markdown(self) -> str:
        names = list(dict.fromkeys(name for row in self.rows for name in row.scores))
        head = ["site", "data", "sensors", "model", *(_TITLES.get(n, n) for n in names), self.unit]
        right = [k >= 4 for k in range(len(head))]
        lines = [f"### {self.title}", "", _line(head), _line(["--:" if r else "---" for r in right])]
        for row in self.rows:
            numbers = [_number(row.scores.get(n, math.nan)) for n in names]
            lines.append(_line([row.site, row.data, row.sensors, row.model, *numbers, f"{row.pixels:,}"]))
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)])

    def record(self) -> dict[str, Any]:
        """As JSON; numbers that are none are null."""
        rows = [
            asdict(r) | {"scores": {k: v if math.isfinite(v) else None for k, v in r.scores.items()}} for r in self.rows
        ]
        return {"title": self.title, "notes": list(self.notes), "rows": rows}


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if math.isfinite(value) else "–"


def tally(glacier: Float32, share: Float32) -> Tally:
    """Of one map: probability of glacier and share of it (h, w); NaN in either does not count."""
    out = Tally(2)
    unlabelled = np.full(share.shape, UNLABELLED, np.uint8)
    out.add(glacier, share, np.zeros(share.shape, np.int64), unlabelled, 0.5)
    return out


def scores(found: Tally) -> tuple[int, dict[str, float]]:
    """(pixels, the scores that every table has)."""
    all_scores = found.scores()
    return int(all_scores["pixels"]), {name: all_scores[name] for name in SCORES}
