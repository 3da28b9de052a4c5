"""SIMULATED held-out worlds: every combination of sensors, and every region on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from benchmarks.sites.contestants import RULES, Contestant
from benchmarks.sites.rows import Row, Section, scores
from core.models.protocol import Model
from core.train.chip import Chip
from core.train.classes import Scheme
from core.train.config import TrainConfig
from core.train.evaluate import Predict, Tally, evaluate
from core.train.predict import predictor
from core.train.recipe import build_card, validation_chips

SENSORS: Mapping[str, str] = {
    "radar": "sar_sigma0",
    "coherence": "coherence",
    "thermal": "thermal",
    "terrain": "dem",
}
DATA = "simulated, held out"


def held_out_chips(config: TrainConfig, n: int) -> list[Chip]:
    """The chips that stop a training, or fewer of them: worlds of seeds that no training draws."""
    few = config.model_copy(update={"validation_chips": min(n, config.validation_chips)})
    return list(validation_chips(few, build_card(few).groups))


def sensor_sets(all_of_them: bool) -> list[tuple[str, ...]]:
    """Names beside optical. Few: none, each alone, all but each, all. All: every subset."""
    sizes = range(len(SENSORS) + 1) if all_of_them else (0, 1, len(SENSORS) - 1, len(SENSORS))
    return [chosen for size in sizes for chosen in combinations(SENSORS, size)]


def with_sensors(chips: Sequence[Chip], chosen: Sequence[str]) -> list[Chip]:
    """The same chips with optical and those alone: what a run without the others would bring to the model."""
    kept = {"optical", *(SENSORS[name] for name in chosen)}
    return [replace(chip, values={n: v for n, v in chip.values.items() if n in kept}) for chip in chips]


def named(chosen: Sequence[str]) -> str:
    if len(chosen) == len(SENSORS):
        return "all"
    if len(chosen) == len(SENSORS) - 1:
        return f"all − {next(name for name in SENSORS if name not in chosen)}"
    return " + ".join(("optical", *chosen))


def score_simulated(chips: Sequence[Chip], models: Sequence[Contestant], all_sets: bool = True) -> list[Section]:
    """A table by sensors, the worlds being one site, and one by region."""
    by_set: list[Row] = []
    by_region: list[Row] = []

    def add(name: str, predict: Predict, scheme: Scheme, chosen: Sequence[str]) -> None:
        tallies = evaluate(predict, with_sensors(chips, chosen), scheme)
        total = Tally(scheme.n_classes)
        for found in tallies.values():
            total = total + found
        by_set.append(Row("simulated worlds", DATA, named(chosen), name, *scores(total)))
        if len(chosen) in (0, len(SENSORS)):
            by_region.extend(
                Row(f"simulated, region {where.partition('/')[2]}", DATA, named(chosen), name, *scores(found))
                for where, found in sorted(tallies.items())
            )

    rules: dict[str, tuple[Model, tuple[str, ...]]] = {
        "band ratio": (RULES["band ratio"], ()),
        "NDSI > 0.4": (RULES["NDSI > 0.4"], ()),
        "debris rule": (RULES["debris rule"], ("radar", "terrain")),
    }
    for name, (model, chosen) in rules.items():
        add(name, *predictor(model), chosen)
    for contestant in models:
        for chosen in sensor_sets(all_sets and contestant.name == "glacier"):
            add(contestant.name, *predictor(contestant.model), chosen)
    notes = [
        f"{len(chips)} chips of worlds that no training draws, made by the same simulator that made the training: "
        "how a model does on the simulator, an upper bound for the real world.",
        "All pixels count, clouded and shaded ones too; a chip without a sensor is scored with what it has.",
    ]
    return [
        Section("Simulated held-out worlds, by sensors", by_set, notes),
        Section("Simulated held-out worlds, by region", sorted(by_region, key=lambda r: r.site), notes[:1]),
    ]
