"""`icefleet train`: a configuration of data, net and losses → a checkpoint that maps; resumable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from core.errors import ConfigError
from core.train.config import TrainConfig, load_train_config
from jobs.console import OK, AsJson, Overrides, console, print_json, run_verb, table
from jobs.models import Line, TrainKeys, TrainPath, number, print_scores


def train(
    config: TrainPath,
    overrides: Overrides = None,
    strategies: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="compare: global, regional, fine_tuned, region; comma-separated, or all"),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=0, help="geographic cross-validation: so many bands of longitude, each held out once")
    ] = 0,
    buffer_km: Annotated[float, typer.Option(min=0, help="between training and validation, with --folds")] = 10.0,
    simulate_only: Annotated[bool, typer.Option("--simulate-only", help="make the simulated chips and stop")] = False,
    as_json: AsJson = False,
    keys: TrainKeys = False,
) -> None:
    """Train a model.

    Windows are sampled from tile stores, folders of chips and the simulator, augmented, and learned from with masked
    losses. The best weights on the validation sites become a checkpoint, OUTPUT/NAME/best: `model.safetensors` and
    `model.json` with bands, normalisation, classes, scores per site and the recipe itself. Map with it by
    `model: {name: checkpoint, parameters: {path: OUTPUT/NAME/best}}`.

    Interrupt it when you like: the same command goes on and ends with the same weights as an undisturbed one. Curves:
    `tensorboard --logdir OUTPUT/NAME/tensorboard`.

    Data from tile stores must be there first: `icefleet ingest` the configurations that the sources name.

    Example: icefleet train jobs/configs/train_glacier.yaml --set epochs=40 --set device=cuda
    """
    del keys
    settings = load_train_config(config, overrides or ())
    if simulate_only:
        _simulate(settings, as_json)
        raise typer.Exit(OK)
    if strategies or folds:
        _compare(settings, strategies, folds, buffer_km, as_json)
        raise typer.Exit(OK)
    report(train_one(settings, quiet=as_json), as_json)


def train_one(config: TrainConfig, *, quiet: bool = False) -> dict[str, Any]:
    """Train, here or on a cluster: what came out, with the scores of the best checkpoint."""
    from core.models.checkpoint import load_checkpoint
    from core.train.recipe import build_trainer, training_folder
    from core.train.trainer import Trained, TrainEvent
    from core.train.watch import Logs

    _simulate(config, quiet)
    trained: Trained
    if config.execution.executor == "ray":
        from cluster.train import train_on_cluster

        trained = train_on_cluster(config)
    else:
        logs = Logs(training_folder(config))
        with Line("train", quiet) as line:

            def watch(event: TrainEvent) -> None:
                logs(event)
                scored = "" if event.iou is None else f" · IoU {number(event.iou)}, best {number(event.best)}"
                words = f"loss {event.losses['total']:.4f} · {event.seconds:.2f} s/step{scored}"
                line.move(event.step, event.steps, words, say=event.iou is not None)

            trained = build_trainer(config, watch).run()
        logs.close()
    best = load_checkpoint(trained.checkpoint)
    return {
        "name": config.name,
        "checkpoint": best.url,
        "digest": best.digest,
        "steps": trained.steps,
        "stopped_early": trained.stopped,
        "iou": trained.best,
        "simulated": best.card.simulated,
        "scores": best.card.metrics.get("validation", {}),
    }


def report(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    simulated = " (trained on SIMULATED data, alone or in part)" if found["simulated"] else ""
    print_scores(f"{found['name']}: validation of the best weights{simulated}", found["scores"])
    console.print(f"checkpoint  {found['checkpoint']}", markup=False)
    console.print(f"digest      {found['digest']}", markup=False)


def _simulate(config: TrainConfig, quiet: bool) -> None:
    from core.train.recipe import fill_chips

    with Line("simulate", quiet) as line:
        fill_chips(config, line.move)


def _compare(config: TrainConfig, strategies: str | None, folds: int, buffer_km: float, as_json: bool) -> None:
    from core.train.recipe import longitudes
    from core.train.strategies import STRATEGIES, Row, compare, variants
    from core.train.strategies import folds as geographic

    if strategies and folds:
        raise ConfigError("--strategies and --folds", found="both", expected="one of them at a time")
    runs: Iterator[tuple[str, str, TrainConfig]]
    if folds:
        runs = (("fold", str(k), one) for k, one in enumerate(geographic(config, longitudes(config), folds, buffer_km)))
    else:
        wanted = STRATEGIES if strategies == "all" else [s.strip() for s in (strategies or "").split(",") if s.strip()]
        runs = variants(config, wanted, config.regions)
    rows: list[Row] = compare(runs, lambda one: str(train_one(one, quiet=as_json)["checkpoint"]))
    if as_json:
        print_json({"models": [vars(row) for row in rows]})
        return
    sites = sorted({site for row in rows for site in row.scores})
    cells = [
        (f"{row.strategy} {row.region}".strip(), *(number(row.scores.get(site, {}).get("iou")) for site in sites))
        for row in rows
    ]
    table(f"{config.name}: IoU of glacier on the validation sites", ["model", *sites], cells)


if __name__ == "__main__":
    run_verb(train)
