"""`icefleet calibrate`: a temperature and a confidence table for a checkpoint, from labelled chips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from core.errors import ConfigError
from core.train.config import load_train_config
from jobs.console import AsJson, Overrides, console, print_json, run_verb, table
from jobs.models import Line, TrainKeys
from jobs.models import TrainPath as DataPath


def calibrate(
    data: DataPath,
    model: Annotated[str, typer.Option("--model", "-m", help="checkpoint folder, URL or shipped name")],
    out: Annotated[str, typer.Option(help="folder of the calibrated checkpoint; may be that of the model")],
    overrides: Overrides = None,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="also draw reliability before and after")] = None,
    boundary_px: Annotated[
        float | None,
        typer.Option(min=0, help="keep this too: uncertainty of boundaries in pixels, fitted on areas"),
    ] = None,
    correlation_m: Annotated[
        float | None, typer.Option(min=0, help="and this: over which metres errors of the model are alike")
    ] = None,
    keep_temperature: Annotated[
        bool, typer.Option(help="leave probabilities as they are and keep the two numbers alone")
    ] = False,
    as_json: AsJson = False,
    keys: TrainKeys = False,
) -> None:
    """Make the probabilities of a model mean what they say.

    Fits one temperature on the validation sources of a training configuration, and the table that turns entropy into
    the share of right pixels. Weights stay as they are; the checkpoint gets a new digest, because its probabilities
    change. With the numbers of `python -m benchmarks.area_truth --fit` its areas get intervals of their own, too.
    Calibrate on ground that the model has not been trained on, and report on other ground again.

    Example: icefleet calibrate jobs/configs/train_glacier.yaml -m models/glacier/best --out models/glacier/calibrated
    """
    del keys
    import numpy as np

    from core.models.checkpoint import Calibration, load_checkpoint, rewrite_card
    from core.models.learned import Learned
    from core.train.calibrate import (
        confidence_table,
        fit_temperature,
        glacier_of,
        labelled_pixels,
        log_loss,
        plot_reliability,
        reliability,
        with_temperature,
    )
    from core.train.evaluate import expected_calibration_error
    from core.train.predict import predictor
    from core.train.recipe import build_card, fill_chips, validation_chips

    if (boundary_px is None) != (correlation_m is None):
        raise ConfigError("--boundary-px, --correlation-m", found="one of them", expected="both, as they were fitted")
    if keep_temperature and boundary_px is None:
        raise ConfigError("--keep-temperature", found="no --boundary-px", expected="numbers to keep")
    settings = load_train_config(data, overrides or ())
    checkpoint = load_checkpoint(model)
    given = {"boundary_px": boundary_px, "correlation_m": correlation_m}
    area = {name: v for name, v in given.items() if v is not None} or dict(checkpoint.card.calibration.area)
    if keep_temperature:
        saved = rewrite_card(checkpoint, out, calibration=replace(checkpoint.card.calibration, area=area))
        if as_json:
            print_json({"checkpoint": saved.url, "digest": saved.digest, **area})
        else:
            _say(saved.url, None)
        return
    fill_chips(settings)
    chips = validation_chips(settings, build_card(settings).groups)
    predict, scheme = predictor(Learned(path=model, device=settings.device))
    with Line("calibrate", as_json) as line:
        pixels = labelled_pixels(predict, chips, scheme)
        line.move(1, 1)
    change = fit_temperature(pixels, scheme)
    before, after = (glacier_of(with_temperature(pixels.probability, t), scheme) for t in (1.0, change))
    # The model was asked with the temperature that it had, and the new one comes on top of it.
    temperature = float(np.clip(checkpoint.card.calibration.temperature * change, 0.01, 100))
    curves = {"before": reliability(before, pixels.share), "after": reliability(after, pixels.share)}
    scores = {
        name: {"ece": expected_calibration_error(curves[name]), "log_loss": log_loss(p, pixels.share)}
        for name, p in (("before", before), ("after", after))
    }
    calibration = Calibration(temperature, confidence_table(after, pixels.share), area)
    metrics = {**checkpoint.card.metrics, "calibration": {"pixels": len(pixels.share), **scores}}
    saved = rewrite_card(checkpoint, out, calibration=calibration, metrics=metrics)
    if plot is not None:
        plot_reliability(curves, plot, f"{checkpoint.card.name}: reliability on {', '.join(pixels.sites)}")
    if as_json:
        print_json({"checkpoint": saved.url, "digest": saved.digest, "temperature": temperature, **scores})
        return
    rows = [(name, f"{s['ece']:.4f}", f"{s['log_loss']:.4f}") for name, s in scores.items()]
    table(f"{len(pixels.share):,} pixels, temperature {temperature:.3f}", ["probability", "ECE", "log loss"], rows)
    _say(saved.url, plot)


def _say(url: str, plot: Path | None) -> None:
    console.print(f"checkpoint  {url}", markup=False)
    if plot is not None:
        console.print(f"plot        {plot}", markup=False)


if __name__ == "__main__":
    run_verb(calibrate)
