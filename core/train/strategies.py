"""Strategies: one model for the world or one per region, compared in one table on the same held-out ground.

After Maslov et al. 2025 (10.1038/s41467-024-54956-x): `global` learns from all regions; `regional` from one alone;
`fine_tuned` is the global model trained on with a tenth of the rate on one region; `region` knows which region it looks
at through its location encoding. Cross-validation runs one configuration once per geographic fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.models.checkpoint import load_checkpoint
from core.train.config import FoldOptions, TrainConfig
from core.train.folds import geographic_folds

STRATEGIES = ("global", "regional", "fine_tuned", "region")
FINE_TUNING_RATE = 0.1


@dataclass(frozen=True)
class Row:
    """One trained model: strategy, region ("" for all), its checkpoint and its scores per site."""

    strategy: str
    region: str
    checkpoint: str
    scores: dict[str, dict[str, float | None]]


def variants(
    config: TrainConfig, strategies: Sequence[str], regions: Sequence[str]
) -> Iterator[tuple[str, str, TrainConfig]]:
    """(strategy, region, configuration) in an order in which each finds what it starts from.

    regions: those to specialise on. Raises ConfigError for an unknown strategy, or one that needs regions without any.
    """
    unknown = [name for name in strategies if name not in STRATEGIES]
    if unknown:
        raise ConfigError("strategies", found=unknown[0], expected=", ".join(STRATEGIES))
    if not regions and set(strategies) - {"global"}:
        raise ConfigError("strategies", found="no regions", expected="`regions` in the configuration")
    base = f"{config.name}-global"
    if {"global", "fine_tuned"} & set(strategies):
        yield "global", "", config.model_copy(update={"name": base})
    for region in regions:
        if "regional" in strategies:
            yield (
                "regional",
                region,
                _only(config, region).model_copy(update={"name": f"{config.name}-regional-{region}"}),
            )
        if "fine_tuned" in strategies:
            changed = {
                "name": f"{config.name}-fine-tuned-{region}",
                "init": f"{config.output}/{base}/best",
                "lr": config.lr * FINE_TUNING_RATE,
            }
            yield "fine_tuned", region, _only(config, region).model_copy(update=changed)
    if "region" in strategies:
        parameters = {**config.net.parameters, "location": "region"}
        net = config.net.model_copy(update={"parameters": parameters})
        changed = {"name": f"{config.name}-region", "net": net, "regions": list(regions)}
        yield "region", "", config.model_copy(update=changed)


def _only(config: TrainConfig, region: str) -> TrainConfig:
    """Trained on one region; validated on the same sites as all others, so that scores can be compared."""
    kept = [s.model_copy(update={"regions": [region]}) for s in config.train if not s.regions or region in s.regions]
    if not kept:
        raise ConfigError("strategies", found=f"no training source for region {region}", expected="one at least")
    return config.model_copy(update={"train": kept})


def folds(config: TrainConfig, lon: NDArray[np.float64], n: int, buffer_km: float) -> Iterator[TrainConfig]:
    """The configuration once per geographic fold, validated on what the fold keeps of the training sources."""
    for k, fold in enumerate(geographic_folds(lon, n, buffer_km)):
        options = FoldOptions(west=fold.west, east=fold.east, buffer_km=fold.buffer_km)
        placed = [source for source in config.train if source.kind != "simulated"]
        changed = {"name": f"{config.name}-fold{k}", "fold": options, "validation": placed}
        yield config.model_copy(update=changed)


def compare(runs: Iterator[tuple[str, str, TrainConfig]], train: Callable[[TrainConfig], str]) -> list[Row]:
    """Train each and read its scores. train: configuration → URL of the best checkpoint."""
    rows = []
    for strategy, region, config in runs:
        url = train(config)
        rows.append(Row(strategy, region, url, dict(load_checkpoint(url).card.metrics.get("validation", {}))))
    return rows
