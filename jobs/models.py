"""What the verbs on models share: options, progress of a training, tables of scores, chips to score on."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from core.settings import config_keys
from core.train.chip import Chip
from core.train.config import TrainConfig
from jobs.console import OK, errors, table

PLAIN_EVERY_S = 15.0
SCORES = ("iou", "precision", "recall", "f1", "ece")


def _print_keys(wanted: bool) -> None:
    if wanted:
        for line in config_keys(TrainConfig):
            print(line)
        raise typer.Exit(OK)


TrainPath = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG", help="YAML of a training (--keys lists its keys), e.g. jobs/configs/train_glacier.yaml"
    ),
]
TrainKeys = Annotated[
    bool, typer.Option("--keys", callback=_print_keys, is_eager=True, help="list every key of a training and exit")
]


class Line:
    """One progress bar on standard error; a plain line every few seconds where there is no terminal."""

    def __init__(self, name: str, quiet: bool = False) -> None:
        self._name, self._quiet = name, quiet
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[words]}"),
            console=errors,
            disable=quiet or not errors.is_terminal,
        )
        self._task = self._bar.add_task(name, total=None, words="")
        self._said = time.monotonic()

    def __enter__(self) -> Line:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def move(self, done: int, total: int, words: str = "", say: bool = False) -> None:
        """say: worth a line of its own where there is no bar."""
        self._bar.update(self._task, completed=done, total=total, words=words)
        if self._quiet or errors.is_terminal:
            return
        if say or done == total or time.monotonic() - self._said > PLAIN_EVERY_S:
            self._said = time.monotonic()
            errors.print(f"{self._name} {done}/{total} {words}".rstrip(), markup=False)
            sys.stderr.flush()


def score_rows(sites: Mapping[str, Mapping[str, float | None]]) -> list[tuple[str, ...]]:
    """Cells of site, pixels and SCORES."""
    return [
        (site, f"{scores.get('pixels') or 0:,.0f}", *(number(scores.get(name)) for name in SCORES))
        for site, scores in sorted(sites.items())
    ]


def print_scores(title: str, sites: Mapping[str, Mapping[str, float | None]]) -> None:
    table(title, ["site", "pixels", "IoU", "precision", "recall", "F1", "ECE"], score_rows(sites))


def number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.3f}"


def finite(scores: Mapping[str, float]) -> dict[str, float | None]:
    """For JSON, which has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


def counted(chips: Iterable[Chip], total: int, told: Callable[[int, int], Any]) -> list[Chip]:
    """The chips as a list, with progress."""
    out: list[Chip] = []
    for chip in chips:
        out.append(chip)
        told(len(out), total)
    return out


def named(parts: Sequence[str]) -> str:
    return ", ".join(parts) or "none"
