"""The recipe of a tile store: what the tiles of one epoch and sensor are made from.

Written once; whoever comes with another one is refused, because a mixture of two could not be told apart afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from core.errors import ConfigError


def recipe_text(sensor: str, res_m: int, recipe: Mapping[str, Any]) -> str:
    """The stored form. Raises TypeError for anything that is not JSON."""
    return json.dumps({"sensor": sensor, "res_m": res_m, "recipe": recipe}, sort_keys=True, indent=1)


def check_recipe(where: str, epoch: str, theirs: bytes, ours: str) -> None:
    """Raises ConfigError naming the first difference between the stored recipe and ours."""
    try:
        stored = json.loads(theirs)
    except ValueError as error:
        raise ConfigError(where, found="no JSON", expected="the recipe of the tiles") from error
    wanted = json.loads(ours)
    if stored == wanted:
        return
    found, expected = _first_difference(stored, wanted, "")
    raise ConfigError(
        where,
        found=found,
        expected=expected,
        fix=f"the tile store already holds epoch {epoch!r} of {wanted['sensor']} from other scenes or at another"
        " resolution: choose another `epoch` or `tiles`",
    )


def _first_difference(theirs: Any, ours: Any, path: str) -> tuple[str, str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        key = next(k for k in sorted(set(theirs) | set(ours)) if theirs.get(k) != ours.get(k))
        return _first_difference(theirs.get(key), ours.get(key), f"{path}.{key}" if path else key)
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        i = next(i for i, (a, b) in enumerate(zip(theirs, ours, strict=True)) if a != b)
        return _first_difference(theirs[i], ours[i], f"{path}.{i}")
    if isinstance(theirs, list) and isinstance(ours, list):
        return f"{path} with {len(theirs)} entries", f"{len(ours)}"
    return f"{path} {theirs!r}"[:200], f"{ours!r}"[:200]
