"""Watch: what a training writes about itself: `log.jsonl`, a line per epoch, and TensorBoard where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from core.train.evaluate import Tally
from core.train.trainer import TrainEvent

EVERY_STEPS = 10


class Logs:
    """A callback of the trainer. folder: of the training."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = folder / "log.jsonl"
        self._seconds, self._steps = 0.0, 0
        self._board = _tensorboard(folder / "tensorboard")

    def __call__(self, event: TrainEvent) -> None:
        self._seconds += event.seconds
        self._steps += 1
        if self._board is not None and (event.step % EVERY_STEPS == 0 or event.sites is not None):
            for name, loss in event.losses.items():
                self._board.add_scalar(f"loss/{name}", loss, event.step)
            self._board.add_scalar("lr", event.lr, event.step)
            self._board.add_scalar("seconds_per_step", event.seconds, event.step)
        if event.sites is None:
            return
        scores = {name: _finite(tally) for name, tally in event.sites.items()}
        if self._board is not None:
            for site, values in scores.items():
                for name, value in values.items():
                    if value is not None and name in ("iou", "precision", "recall", "f1", "ece"):
                        self._board.add_scalar(f"{name}/{site}", value, event.step)
            self._board.flush()
        line = {
            "step": event.step,
            "lr": event.lr,
            "losses": dict(event.losses),
            "seconds_per_step": self._seconds / max(1, self._steps),
            "iou": event.iou,
            "best": event.best,
            "sites": scores,
        }
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._seconds, self._steps = 0.0, 0

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _finite(tally: Tally) -> dict[str, float | None]:
    return {name: value if np.isfinite(value) else None for name, value in tally.scores().items()}


def _tensorboard(folder: Path) -> Any:
    """A writer, None where TensorBoard is not installed: the numbers are in the log as well."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
