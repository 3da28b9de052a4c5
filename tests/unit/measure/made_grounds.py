"""Grounds that tests draw as text, or at random: a map, who owns a pixel, and layers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from core.measure.objects import Refined, RuleSet, refine_objects, rule_set

PIXEL_KM2 = 0.0009  # 30 m


@dataclass(frozen=True)
class Scene:
    """One glacier in its window; all (rows, cols) float32."""

    probability: np.ndarray
    share: np.ndarray
    own: np.ndarray
    layers: dict[str, np.ndarray] = field(default_factory=dict)
    pixel_km2: float = PIXEL_KM2
    res_m: float = 30.0

    def having(self, **layers: Any) -> Scene:
        """With layers more, a number for the same everywhere."""
        whole = {k: np.broadcast_to(np.float32(v), self.share.shape).astype(np.float32) for k, v in layers.items()}
        return replace(self, layers={**self.layers, **whole})

    def after(self, rules: RuleSet | str | list | dict, threshold: float = 0.5) -> Refined:
        rules = rules if isinstance(rules, RuleSet) else rule_set(rules)
        area = np.full(self.share.shape, self.pixel_km2, np.float32)
        return refine_objects(self.probability, self.share, self.own, area, self.res_m, self.layers, rules, threshold)


def drawn(picture: str) -> Scene:
    """G ice inside the old outline, o bare there; P ice beyond it, . bare there; ? not observed inside, ! beyond;
    x ice of somebody else, _ bare ground of nobody."""
    rows = [list(line.strip()) for line in picture.strip().splitlines()]
    at = np.array(rows)
    probability = np.where(np.isin(at, ["G", "P", "x"]), 0.9, 0.1).astype(np.float32)
    probability[np.isin(at, ["?", "!"])] = np.nan
    share = (~np.isin(at, ["x", "_"])).astype(np.float32)
    return Scene(probability, share, np.isin(at, ["G", "o", "?"]).astype(np.float32))


def picture_of(scene: Scene, probability: np.ndarray) -> str:
    """The drawing of a scene after its map has changed."""
    old, mine, ice = scene.own >= 0.5, scene.share > 0, probability >= 0.5
    at = np.where(mine, np.where(old, np.where(ice, "G", "o"), np.where(ice, "P", ".")), np.where(ice, "x", "_"))
    at[np.isnan(probability)] = np.where(old, "?", "!")[np.isnan(probability)]
    return "\n".join("".join(line) for line in at)


def same_picture(a: str, b: str) -> bool:
    return [line.strip() for line in a.strip().splitlines()] == [line.strip() for line in b.strip().splitlines()]


def at_random(seed: int, shape: tuple[int, int] = (24, 30), hidden: float = 0.1) -> Scene:
    """A scene of blobs in which everything happens: patches, holes, clouds, divides, layers with voids."""
    rng = np.random.default_rng(seed)

    def blobs(px: int) -> np.ndarray:
        coarse = rng.random((-(-shape[0] // px), -(-shape[1] // px)))
        return np.kron(coarse, np.ones((px, px)))[: shape[0], : shape[1]].astype(np.float32)

    def layer(low: float, high: float) -> np.ndarray:
        values = low + (high - low) * blobs(int(rng.integers(1, 5)))
        return np.where(blobs(2) < 0.05, np.nan, values).astype(np.float32)

    probability = blobs(int(rng.integers(1, 6)))
    probability[blobs(3) < hidden] = np.nan
    share = np.where(blobs(6) < 0.2, 0, np.where(blobs(2) < 0.1, 0.5, 1)).astype(np.float32)
    own = (share * np.where(blobs(5) < 0.5, 0, np.where(blobs(2) < 0.1, 0.4, 1))).astype(np.float32)
    layers = {
        "elevation_m": layer(3000, 4000),
        "slope_deg": layer(0, 60),
        "ndsi": layer(-0.5, 1),
        "ndvi": layer(-0.2, 0.9),
        "thermal_k": layer(265, 300),
        "coherence": layer(0, 1),
    }
    return Scene(probability, share, own, layers, pixel_km2=0.004)
