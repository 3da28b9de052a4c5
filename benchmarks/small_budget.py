"""Nets of the field trained on the same small budget: SIMULATED chips, the same batches in the same order.

    python -m benchmarks.small_budget [--nets glavitu,resunet,cnn5,unet] [--set epochs=3] [--out FOLDER] [--json]

Per net: weights, seconds per epoch on this machine, and IoU, precision and recall on SIMULATED worlds that none of them
saw, beside the band ratio on the same chips. It compares how fast they learn, not how well they map in the end.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from typing import Any

from core.models import build_model
from core.models.nets.net import count_weights
from core.train.config import TrainConfig, load_train_config
from core.train.evaluate import Tally, evaluate
from core.train.predict import predictor
from core.train.recipe import build_card, build_trainer, fill_chips, validation_chips
from core.train.trainer import Trainer, TrainEvent

CONFIG = "jobs/configs/train_small.yaml"
# Small trainings know no regions, so GlaViTU goes without its region vector.
PARAMETERS = {"glavitu": "{location: none}", "unet": "{width: 16, depth: 4, norm: group}"}


def trained(config: TrainConfig) -> tuple[Trainer, float]:
    """A trained net, and seconds per epoch without validation."""
    seconds: list[float] = []

    def watch(event: TrainEvent) -> None:
        seconds.append(event.seconds)
        if event.step % 10 == 0:
            print(f"  {config.net.name} {event.step}/{event.steps} loss {event.losses['total']:.3f}", end="\r")

    trainer = build_trainer(config, watch)
    began = time.perf_counter()
    trainer.run()
    whole = time.perf_counter() - began
    steps = [s for k, s in enumerate(seconds, 1) if k % config.steps_per_epoch]
    print(f"  {config.net.name}: {whole:.0f} s with validation" + " " * 20)
    return trainer, sum(steps) / len(steps) * config.steps_per_epoch


def row(name: str, weights: int, epoch_s: float | None, tally: Tally) -> dict[str, Any]:
    scores = tally.scores()
    return {"net": name, "weights": weights, "epoch_s": epoch_s} | {
        key: scores[key] for key in ("iou", "precision", "recall", "ece", "pixels")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", default="glavitu,resunet,cnn5,unet")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--out", help="folder that keeps chips and trainings; none: a temporary one")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        output = [f"output={asked.out or temporary}", *asked.overrides]
        base = load_train_config(CONFIG, output)
        fill_chips(base, lambda done, total: print(f"  simulated {done}/{total}", end="\r"))
        chips = validation_chips(base, build_card(base).groups)
        predict, classes = predictor(build_model("band_ratio", {}))
        rows.append(row("band ratio", 0, None, sum_of(evaluate(predict, chips, classes))))
        for name in asked.nets.split(","):
            net = f"net={{name: {name}, parameters: {PARAMETERS.get(name, '{}')}}}"
            config = load_train_config(CONFIG, [*output, net, f"name=small-{name}"])
            trainer, epoch_s = trained(config)
            rows.append(row(name, count_weights(trainer.net), epoch_s, sum_of(trainer.score())))
    if asked.json:
        print(json.dumps(rows, indent=1))
        return
    steps = base.epochs * base.steps_per_epoch
    print(f"\n{steps} steps of {base.batch} SIMULATED windows of {base.window_px} px; held-out SIMULATED worlds\n")
    print("| net | weights | s per epoch | IoU | precision | recall | ECE |\n|---|---|---|---|---|---|---|")
    for r in rows:
        epoch = "" if r["epoch_s"] is None else f"{r['epoch_s']:.0f}"
        cells = (f"{r[key]:.3f}" for key in ("iou", "precision", "recall", "ece"))
        print(f"| {r['net']} | {r['weights']:,} | {epoch} | " + " | ".join(cells) + " |")


def sum_of(tallies: dict[str, Tally]) -> Tally:
    """One number per net: the worlds are SIMULATED alike, and a site of theirs has few chips."""
    first, *rest = tallies.values()
    for tally in rest:
        first = first + tally
    return first


if __name__ == "__main__":
    main()
