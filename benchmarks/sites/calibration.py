"""Calibration: ECE without and with the temperature of the checkpoint, simulated and on Khumbu.

A temperature that was fitted on the chips that it is scored on flatters itself, so beside the checkpoint's own stands
one that was fitted on half of the simulated worlds and scored on the other half; Khumbu is only ever scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.sites.contestants import Contestant
from benchmarks.sites.frame import Frame
from benchmarks.sites.rows import Row, Section
from core.simulate.chips import CHIPS_PER_WORLD
from core.train.calibrate import (
    Float64,
    Pixels,
    fit_temperature,
    glacier_of,
    labelled_pixels,
    log_loss,
    reliability,
    with_temperature,
)
from core.train.chip import Chip
from core.train.evaluate import expected_calibration_error

_SENSORS = "all there are"
_ALL = 1 << 30


@dataclass(frozen=True)
class Calibrated:
    """section: the table; curves: model → name → (3, bins) of `reliability`, for plots."""

    section: Section
    curves: Mapping[str, Mapping[str, Float64]]


def score_calibration(chips: Sequence[Chip], frames: Mapping[str, Frame], models: Sequence[Contestant]) -> Calibrated:
    """chips: simulated, in the order of their worlds; frames: season → Khumbu."""
    rows: list[Row] = []
    curves: dict[str, dict[str, Float64]] = {}
    one, other = halves(chips)
    for contestant in models:
        own = contestant.temperature
        fit = _uncalibrated(contestant, one)
        fitted = fit_temperature(fit, contestant.scheme)
        places = {("simulated worlds, other half", "simulated, held out"): _uncalibrated(contestant, other)}
        for frame in frames.values():
            window = [frame.window_chip(contestant.window_px)]
            places[frame.site, "real, test"] = _uncalibrated(contestant, window, _ALL)
        mine = curves.setdefault(contestant.name, {})
        for (site, data), pixels in places.items():
            for name, temperature in (("before", 1.0), ("checkpoint", own), ("fitted on one half", fitted)):
                glacier = glacier_of(with_temperature(pixels.probability, temperature), contestant.scheme)
                table = reliability(glacier, pixels.share)
                found = {
                    "temperature": temperature,
                    "ece": expected_calibration_error(table),
                    "log loss": log_loss(glacier, pixels.share),
                }
                rows.append(Row(site, data, _SENSORS, f"{contestant.name}, {name}", len(pixels.share), found))
                used = "fitted on one half" if own == 1.0 else "checkpoint"
                if name in ("before", used) and ("simulated" in site or "autumn" in site):
                    mine[f"{site.split(',')[0]}, {'before' if name == 'before' else 'after'}"] = table
    notes = [
        "`before`: temperature 1; `checkpoint`: that of its card (1 if it was never calibrated). The card's may have "
        "been fitted on these very simulated chips, so its ECE there is no test; `fitted on one half`: fitted here on "
        f"{len(one)} simulated chips and scored on {len(other)} of other worlds, which that fit did not see.",
        "Khumbu: one window over the frame, outlines of RGI 6.0 as truth; no temperature was fitted to it.",
    ]
    return Calibrated(Section("Calibration", rows, notes), curves)


def halves(chips: Sequence[Chip]) -> tuple[list[Chip], list[Chip]]:
    """SIMULATED chips of the first half of their worlds, and those of the other: chips of one world look alike."""
    world = np.array([int(chip.origin.split(":")[1]) // CHIPS_PER_WORLD for chip in chips])
    worlds = np.unique(world)
    first = np.isin(world, worlds[: len(worlds) // 2])
    one, other = ([chip for chip, mine in zip(chips, side, strict=True) if mine] for side in (first, ~first))
    return one, other


def _uncalibrated(contestant: Contestant, chips: Sequence[Chip], per_chip: int = 4096) -> Pixels:
    """Pixels with probabilities as they are at temperature 1."""
    pixels = labelled_pixels(contestant.predict, chips, contestant.scheme, per_chip=per_chip)
    # The model answers softmax(logits / T), and log p is its logits / T up to a constant.
    plain = with_temperature(pixels.probability, 1 / contestant.temperature)
    return Pixels(np.asarray(plain), pixels.share, pixels.site, pixels.sites)
