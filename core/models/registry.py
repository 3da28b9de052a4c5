"""The models that a configuration can name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import ConfigError
from core.models.band_ratio import BandRatio
from core.models.debris_rule import DebrisRule
from core.models.learned import Learned
from core.models.null import Null
from core.models.oracle import Oracle
from core.models.protocol import Model

MODELS: dict[str, Callable[..., Model]] = {
    "band_ratio": BandRatio,
    "checkpoint": Learned,
    "debris_rule": DebrisRule,
    "null": Null,
    "oracle": Oracle,
}


def build_model(name: str, parameters: Mapping[str, Any]) -> Model:
    """The model `name` with `parameters`. Raises ConfigError naming the nearest known model or parameter."""
    make = MODELS.get(name)
    if make is None:
        raise ConfigError("model.name", found=repr(name), expected=" or ".join(sorted(MODELS)), fix=_near(name, MODELS))
    known = make.__dataclass_fields__  # type: ignore[attr-defined]
    for key, value in parameters.items():
        if key not in known:
            raise ConfigError(
                f"model.parameters.{key}",
                found="an unknown parameter",
                expected=", ".join(known),
                fix=_near(key, known),
            )
        expected = type(known[key].default)
        # Exact types, because True is an int to Python; a whole number may stand for a real one.
        if type(value) is not expected and (type(value), expected) != (int, float):
            raise ConfigError(f"model.parameters.{key}", found=repr(value), expected=expected.__name__)
    return make(**parameters)


def _near(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
