"""Ways of mapping: a model and rules on objects, as the sections `model:` and `measure:` of the shipped configurations.

What is scored here is what the configurations say, word for word; the ways beside it differ in one of the two sections.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import read_mapping

CONFIGS = Path(__file__).resolve().parents[2] / "jobs" / "configs"
DEBRIS, ROCK = "debris_cnn", "rock_glacier_cnn"
_OF = {DEBRIS: "khumbu_obia", ROCK: "rock_glaciers_alps"}
# Gentle bare ground that is neither snow nor ice nor valley floor, in patches of at least 0.02 km²: all that the
# spectrum and the slope say of a rock glacier. The model of that name takes slopes below 24° with an NDVI below 0.3.
GENTLE_BARE: list[dict[str, Any]] = [
    {"action": "remove", "of": "pixel", "when": {"mean.ndsi": [0.4, None]}, "flag": "removed_ice"},
    {"action": "remove", "of": "pixel", "when": {"mean.slope_deg": [None, 8]}, "flag": "removed_flats"},
    {"action": "remove", "of": "component", "when": {"area_km2": [None, 0.02]}, "flag": "removed_patches"},
]


@dataclass(frozen=True)
class Way:
    """name: the checkpoint's first, if there is one; then how."""

    name: str
    model: Mapping[str, Any]
    measure: Mapping[str, Any]

    @property
    def overrides(self) -> list[str]:
        """For `load_config`."""
        return [f"{key}={json.dumps(value)}" for key, value in (("model", self.model), ("measure", self.measure))]


def shipped(checkpoint: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sections `model:` and `measure:` of the configuration that maps with a shipped checkpoint."""
    read = read_mapping(CONFIGS / f"{_OF[checkpoint]}.yaml", env={"ICEFLEET_INVENTORY": "areas.gpkg"})
    return read["model"], read["measure"]


def debris_ways(path: str = DEBRIS) -> list[Way]:
    """path: of the checkpoint, if another one than the shipped is to be scored."""
    model, measure = _with_path(DEBRIS, path)
    alone = measure | {"objects": "none"}
    return [
        Way("band ratio", {"name": "band_ratio"}, alone),
        Way("debris rule", {"name": "debris_rule"}, alone),
        Way("glacier, heat alone", {"name": "checkpoint"}, alone),
        Way(f"{DEBRIS}, heat alone", model, alone),
        Way(f"{DEBRIS}, heat + objects", model, measure),
    ]


def rock_ways(path: str = ROCK) -> list[Way]:
    model, measure = _with_path(ROCK, path)
    return [
        Way("gentle bare ground", {"name": "debris_rule"}, measure | {"objects": GENTLE_BARE}),
        Way(f"{ROCK}, heat alone", model, measure | {"objects": "none"}),
        Way(f"{ROCK}, heat + objects", model, measure),
    ]


def _with_path(checkpoint: str, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    model, measure = shipped(checkpoint)
    place = str(Path(path).resolve()) if "/" in path else path
    return model | {"parameters": model["parameters"] | {"path": place}}, measure
