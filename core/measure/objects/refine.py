"""The object step: rules asked one after the other, each on the map as the earlier ones left it.

An object that a rule takes up is decided: later rules leave its pixels alone, so that `keep` protects. Only observed
pixels of the glacier's own ground ever change: ice that is removed gets probability 0, ground that is added gets 1.
A rule that asks for a layer which is not there is left out, and the answer says so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.measure.objects.features import quantity
from core.measure.objects.ground import Bool, Ground, crop_ground
from core.measure.objects.kinds import Objects, objects_of
from core.measure.objects.rules import LayerArrays, Rule, RuleSet, rule_layers

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Change:
    """What one rule did: objects of which at least one pixel changed, those pixels, and their ground."""

    flag: str
    action: str
    objects: int
    pixels: int
    area_km2: float


@dataclass(frozen=True)
class Refined:
    """probability: (rows, cols) float32 after the rules, NaN where not observed. changes: of the rules that changed
    something, in their order. left_out: (number of the rule, layer that was not there)."""

    probability: Float32
    changes: tuple[Change, ...] = ()
    left_out: tuple[tuple[int, str], ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """Words such as `removed_patches:3`, sorted; rules with the same flag are counted together."""
        total: defaultdict[str, int] = defaultdict(int)
        for change in self.changes:
            total[change.flag] += change.objects
        return tuple(f"{flag}:{count}" for flag, count in sorted(total.items()))

    @property
    def removed_km2(self) -> float:
        return sum(c.area_km2 for c in self.changes if c.action == "remove")

    @property
    def added_km2(self) -> float:
        return sum(c.area_km2 for c in self.changes if c.action == "add")


def refine_objects(
    probability: Float32,
    share: Float32,
    own: Float32,
    area_km2: Float32,
    res_m: float,
    layers: LayerArrays,
    rules: RuleSet,
    threshold: float = 0.5,
) -> Refined:
    """Apply a rule set to one glacier.

    probability: (rows, cols) float32, NaN where not observed; ice where it reaches `threshold`. share, own: as in
    `core.measure.Ownership`. area_km2: of each whole pixel. layers: name → (rows, cols) float32, NaN = unknown; see
    `core.layers`. The input is not changed; without a change it is given back as it is.
    Raises ConfigError if a layer is not on the window.
    """
    ground = crop_ground(probability, share, own, area_km2, res_m, layers) if rules.rules else None
    if ground is None:
        return Refined(probability)
    left_out = tuple((k, n) for k, rule in enumerate(rules.rules) for n in rule_layers(rule) if not ground.has(n))
    unusable = {k for k, _ in left_out}
    board = _Board(ground, rules, threshold)
    found = [board.play(rule) for k, rule in enumerate(rules.rules) if k not in unusable]
    changes = tuple(change for change in found if change is not None)
    if not changes:
        return Refined(probability, left_out=left_out)
    edited = probability.copy()
    edited[ground.box] = board.edited()
    return Refined(edited, changes, left_out)


class _Board:
    """The map while rules are played on it, with the objects found so far."""

    def __init__(self, ground: Ground, rules: RuleSet, threshold: float) -> None:
        self.ground, self.rules = ground, rules
        self.seen = ground.mine & ~np.isnan(ground.probability)
        self.first: Bool = self.seen & (ground.probability >= threshold)
        self.ice = self.first.copy()
        self.decided = np.zeros_like(self.ice)
        self.known: dict[str, Objects] = {}

    def edited(self) -> Float32:
        fresh = np.where(self.ice, np.float32(1.0), np.float32(0.0))
        return np.where(self.ice == self.first, self.ground.probability, fresh)

    def play(self, rule: Rule) -> Change | None:
        """None if nothing changed."""
        objects = pixels = 0
        area_km2 = 0.0
        while True:
            asked = self._objects(rule.of)
            taken = _matches(rule, asked, self.ice, self.ground)[asked.labels] & ~self.decided
            self.decided |= taken
            hit = taken & (self.ice if rule.action == "remove" else ~self.ice)
            if rule.action == "keep" or not hit.any():
                break
            objects += int(np.count_nonzero(np.bincount(asked.labels[hit])))
            pixels += int(np.count_nonzero(hit))
            area_km2 += float(self.ground.area_km2[hit].sum())
            self.ice ^= hit
            # Segments and pixels are what the ground is made of; the rest is drawn anew on the changed map.
            self.known = {kind: o for kind, o in self.known.items() if kind in ("segment", "pixel")}
            if not rule.repeat:
                break
        return Change(rule.flag, rule.action, objects, pixels, area_km2) if objects else None

    def _objects(self, kind: str) -> Objects:
        if kind not in self.known:
            self.known[kind] = objects_of(kind, self.ice, self.ground, self.rules.segments)
        return self.known[kind]


def _matches(rule: Rule, objects: Objects, ice: Bool, ground: Ground) -> Bool:
    """(count + 1,) bool. Stops asking when nobody is left, so cheap conditions are best put first."""
    left = np.ones(objects.count + 1, dtype=bool)
    left[0] = False
    for condition in rule.when:
        if not left.any():
            break
        value = quantity(condition.quantity, objects, ice, ground)
        left &= (value >= condition.low) & (value < condition.high)
    return left
