"""Rules of the object step as data: plain dictionaries, checked once, frozen.

A rule is `{action, of, when, flag, repeat}`: of all objects of one kind, those whose quantities lie in the given
ranges are kept, removed from the ice or added to it. What is misspelt is a ConfigError that names the nearest known
word; nothing here looks at pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.layers import LAYERS
from core.measure.objects.presets import PRESETS
from core.sensors import nearest

LayerArrays = Mapping[str, NDArray[np.float32]]

# keep: no later rule changes its pixels. remove: its ice is ice no more. add: all of it becomes ice.
ACTIONS = ("keep", "remove", "add")
KINDS = {
    "component": "connected ice (8 neighbours); what was not observed may connect it",
    "advance": "connected ice beyond the old outline, attached to the glacier or not",
    "hole": "connected ground without ice (4 neighbours), enclosed by ice on all sides within the glacier's ground",
    "segment": "homogeneous piece of ground, ice or not, drawn once from the map as it came",
    "pixel": "one pixel of ground",
}
ELEVATION = "elevation_m"
# Beside the layers of `core.layers`: what is known of every glacier without reading anything.
BUILT_IN = {"probability": "of the map as it came", "inside": "share inside the old outline"}
STATISTICS = {
    "mean": "weighted by ground",
    "min": "smallest of its pixels",
    "max": "largest of its pixels",
    "excess": "its mean less that of the ice inside the old outline",
}
SHAPES = {
    "area_km2": "owned ground",
    "pixels": "number of pixels",
    "width_m": "2 · area / perimeter: its width if it is long, half its side if it is square",
    "ice_border": "share of its perimeter along which other ice lies, 0–1",
    "distance_m": "from its nearest pixel to the nearest ice inside the old outline; inf if there is none",
    "height": "mean elevation, 0 at the lowest ground of the old outline, 1 at the highest",
}
_FLAG = re.compile(r"[a-z][a-z0-9_]*")
_RULE_KEYS = ("action", "of", "when", "flag", "repeat")
_SEGMENT_KEYS = ("scale", "min_pixels", "layers")


@dataclass(frozen=True)
class Condition:
    """low ≤ quantity < high. What is not known (NaN) lies in no range."""

    quantity: str
    low: float
    high: float


@dataclass(frozen=True)
class Rule:
    """What becomes of objects that fulfil all conditions. repeat: as long as it finds something (growing)."""

    action: str
    of: str
    when: tuple[Condition, ...]
    flag: str
    repeat: bool = False


@dataclass(frozen=True)
class SegmentRules:
    """How segments are drawn (`core.measure.objects.segmentation`).

    layers: (name, difference that counts as one step); scale: largest growth of heterogeneity in a merger, in
    squared steps; min_pixels: smaller segments join their most similar neighbour.
    """

    layers: tuple[tuple[str, float], ...] = (("probability", 0.1),)
    scale: float = 20.0
    min_pixels: int = 10


@dataclass(frozen=True)
class RuleSet:
    """Rules in the order in which they are asked."""

    rules: tuple[Rule, ...] = ()
    segments: SegmentRules = field(default_factory=SegmentRules)

    @property
    def draws_segments(self) -> bool:
        return any(rule.of == "segment" for rule in self.rules)


def layer_of(quantity: str) -> str | None:
    """The layer that a quantity is of; None if it is a matter of shape."""
    statistic, dot, layer = quantity.partition(".")
    if dot:
        return layer
    return ELEVATION if statistic == "height" else None


def rule_layers(rule: Rule) -> tuple[str, ...]:
    """Layers without which a rule cannot be applied; what every map has is not named."""
    named = {layer_of(c.quantity) for c in rule.when}
    return tuple(sorted(name for name in named if name and name not in BUILT_IN))


def needed_layers(rules: RuleSet) -> tuple[str, ...]:
    """All layers that a rule set can make use of, sorted: read these and no others."""
    named = {name for rule in rules.rules for name in rule_layers(rule)}
    if rules.draws_segments:
        named |= {name for name, _ in rules.segments.layers if name not in BUILT_IN}
    return tuple(sorted(named))


def rule_set(data: str | Sequence[Mapping[str, Any]] | Mapping[str, Any], where: str = "measure.objects") -> RuleSet:
    """The name of a preset, a list of rules, or a mapping {segments, rules} → RuleSet.

    where: the key that errors name. Raises ConfigError with the entry, what was found and the nearest known word.
    """
    if isinstance(data, str):
        if data not in PRESETS:
            raise ConfigError(where, found=f"no preset {data!r}", fix=nearest(data, PRESETS))
        return rule_set(PRESETS[data], f"preset {data}")
    if isinstance(data, Mapping):
        _check_keys(data, ("segments", "rules"), where)
        rules = _rules(data.get("rules", ()), f"{where}.rules")
        return RuleSet(rules, _segments(data.get("segments", {}), f"{where}.segments"))
    return RuleSet(_rules(data, where))


def _rules(data: object, where: str) -> tuple[Rule, ...]:
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise ConfigError(where, found=repr(data)[:80], expected="a list of rules")
    return tuple(_rule(one, f"{where}.{k}") for k, one in enumerate(data))


def _rule(data: object, where: str) -> Rule:
    rule = _mapping(data, where)
    _check_keys(rule, _RULE_KEYS, where)
    action, kind = _word(rule, "action", ACTIONS, where), _word(rule, "of", KINDS, where)
    if (action, kind) in (("remove", "hole"), ("add", "component"), ("add", "advance")):
        raise ConfigError(where, found=f"{action} a {kind}", expected="ice to remove, or ground without ice to add")
    when = _mapping(rule.get("when", {}), f"{where}.when")
    conditions = tuple(_condition(str(name), limits, f"{where}.when.{name}") for name, limits in when.items())
    flag, repeat = rule.get("flag", ""), rule.get("repeat", False)
    if not isinstance(repeat, bool):
        raise ConfigError(f"{where}.repeat", found=repr(repeat), expected="true or false")
    if not isinstance(flag, str) or not (_FLAG.fullmatch(flag) or (action == "keep" and not flag)):
        raise ConfigError(f"{where}.flag", found=repr(flag), expected="a word such as removed_patches")
    return Rule(action, kind, conditions, flag, repeat)


def _condition(name: str, limits: object, where: str) -> Condition:
    statistic, dot, layer = name.partition(".")
    if not dot and name not in SHAPES:
        raise ConfigError(where, found=f"no quantity {name!r}", fix=nearest(name, [*SHAPES, "mean.LAYER"]))
    if dot and statistic not in STATISTICS:
        raise ConfigError(where, found=f"no statistic {statistic!r}", fix=nearest(statistic, STATISTICS))
    if dot and layer not in LAYERS and layer not in BUILT_IN:
        raise ConfigError(where, found=f"no layer {layer!r}", fix=nearest(layer, [*LAYERS, *BUILT_IN]))
    expected = "[low, high] with low < high; null for no limit, e.g. [null, 0.05]"
    if not isinstance(limits, Sequence) or isinstance(limits, str) or len(limits) != 2:
        raise ConfigError(where, found=repr(limits), expected=expected)
    if not all(limit is None or _number(limit) for limit in limits):
        raise ConfigError(where, found=repr(limits), expected=expected)
    low, high = limits
    found = Condition(name, -np.inf if low is None else float(low), np.inf if high is None else float(high))
    if not found.low < found.high:
        raise ConfigError(where, found=repr(limits), expected=expected)
    return found


def _segments(data: object, where: str) -> SegmentRules:
    rules, default = _mapping(data, where), SegmentRules()
    _check_keys(rules, _SEGMENT_KEYS, where)
    layers = _mapping(rules.get("layers", dict(default.layers)), f"{where}.layers")
    for name, step in layers.items():
        if name not in LAYERS and name not in BUILT_IN:
            fix = nearest(str(name), [*LAYERS, *BUILT_IN])
            raise ConfigError(f"{where}.layers", found=f"no layer {name!r}", fix=fix)
        if not (_number(step) and step > 0):
            raise ConfigError(f"{where}.layers.{name}", found=repr(step), expected="a number above 0")
    scale, least = rules.get("scale", default.scale), rules.get("min_pixels", default.min_pixels)
    if not (_number(scale) and scale >= 0):
        raise ConfigError(f"{where}.scale", found=repr(scale), expected="a number, 0 or more")
    if type(least) is not int or least < 1:
        raise ConfigError(f"{where}.min_pixels", found=repr(least), expected="a whole number, 1 or more")
    return SegmentRules(tuple((str(n), float(s)) for n, s in layers.items()), float(scale), least)


def _number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(float(value)))


def _mapping(data: object, where: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ConfigError(where, found=repr(data)[:80], expected="a mapping of keys")
    return data


def _check_keys(data: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = tuple(known)
    for key in data:
        if key not in names:
            raise ConfigError(f"{where}.{key}", found="an unknown key", fix=nearest(str(key), names))


def _word(rule: Mapping[str, Any], key: str, known: Iterable[str], where: str) -> str:
    names, word = tuple(known), rule.get(key)
    if word is None:
        raise ConfigError(f"{where}.{key}", found="nothing", expected=f"one of {', '.join(names)}")
    if word not in names:
        raise ConfigError(f"{where}.{key}", found=repr(word), fix=nearest(str(word), names))
    return str(word)
