"""`icefleet evaluate`: models on labelled chips, a row per model and site."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.errors import ConfigError
from core.models import Model, build_model
from core.models.registry import MODELS
from core.train.config import load_train_config
from jobs.console import OK, AsJson, Overrides, print_json, run_verb, table
from jobs.models import SCORES, Line, TrainKeys, finite, number
from jobs.models import TrainPath as DataPath

Models = Annotated[
    list[str],
    typer.Option(
        "--model", "-m", help="checkpoint folder, URL, shipped name, or a rule such as band_ratio; repeatable"
    ),
]


def evaluate(
    data: DataPath,
    models: Models,
    overrides: Overrides = None,
    tta: Annotated[bool, typer.Option("--tta", help="checkpoints: average the eight turns of each window")] = False,
    mc_dropout: Annotated[int, typer.Option(min=0, help="checkpoints: passes with dropout")] = 0,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="checkpoints: also all of them as one model")] = False,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="glacier where the probability reaches this")] = 0.5,
    as_json: AsJson = False,
    keys: TrainKeys = False,
) -> None:
    """Score models on the validation sources of a training configuration.

    Each site has rows of its own, because a mean over sites hides the one that fails. IoU, precision, recall and F1 are
    of glacier; ECE is how far probabilities are from shares. Scores on SIMULATED chips are named so and say how a model
    does on the simulator.

    Example: icefleet evaluate jobs/configs/train_glacier.yaml -m models/glacier/best -m band_ratio
    """
    del keys
    from core.train.classes import scheme
    from core.train.evaluate import evaluate as score
    from core.train.predict import predictor
    from core.train.recipe import build_card, fill_chips, validation_chips

    settings = load_train_config(data, overrides or ())
    options: dict[str, Any] = {"tta": tta, "mc_dropout": mc_dropout, "device": settings.device}
    named = {name: build(name, options) for name in models}
    learned = [name for name in models if name not in MODELS]
    if ensemble:
        if len(learned) < 2:
            raise ConfigError("--ensemble", found=f"{len(learned)} checkpoints", expected="two or more")
        places = {"path": learned[0], "members": ",".join(learned[1:])}
        named["ensemble"] = build_model("checkpoint", options | places)
    fill_chips(settings, lambda done, total: None)
    chips = validation_chips(settings, build_card(settings).groups)
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    with Line("evaluate", as_json) as line:
        for k, (name, model) in enumerate(named.items()):
            predict, classes = predictor(model)
            tallies = score(predict, chips, classes, threshold=threshold)
            names = scheme(classes.name).classes
            found[name] = {site: finite(tally.scores(names)) for site, tally in tallies.items()}
            line.move(k + 1, len(named), name)
    if as_json:
        print_json({"chips": len(chips), "models": found})
        raise typer.Exit(OK)
    rows = [
        (name, site, f"{s['pixels'] or 0:,.0f}", *(number(s[key]) for key in SCORES))
        for name, sites in found.items()
        for site, s in sorted(sites.items())
    ]
    table(f"{len(chips)} chips", ["model", "site", "pixels", "IoU", "precision", "recall", "F1", "ECE"], rows)
    raise typer.Exit(OK)


def build(name: str, options: dict[str, Any]) -> Model:
    """A rule by its name, else a checkpoint."""
    if name in MODELS and name != "checkpoint":
        return build_model(name, {})
    return build_model("checkpoint", {"path": name, **options})


if __name__ == "__main__":
    run_verb(evaluate)
