"""From a map to objects: connected ice, ice beyond the old outline, holes, pixels. Segments have their own module.

Labels are whole numbers from 1; 0 is no object. What was not observed may connect two pieces of ice and never
encloses a hole: of two readings of hidden ground, the one that changes less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.errors import ConfigError
from core.measure.frame import framed
from core.measure.objects.ground import Bool, Ground
from core.measure.objects.rules import KINDS, SegmentRules
from core.measure.objects.segmentation import segment
from core.sensors import nearest

Labels = NDArray[np.int32]
_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Objects:
    """labels: (h, w) int32, 0 where there is none. count: the largest label; some may have no pixel."""

    labels: Labels
    count: int


def objects_of(kind: str, ice: Bool, ground: Ground, segments: SegmentRules) -> Objects:
    """Objects of one kind (see `core.measure.objects.rules.KINDS`) of a map. ice: (h, w), within the ground."""
    hidden = ground.mine & np.isnan(ground.probability)
    if kind == "component":
        return _connected(ice, hidden)
    if kind == "advance":
        return _connected(ice & ~ground.old, hidden)
    if kind == "hole":
        return _holes(ice, ground.mine, hidden)
    if kind == "pixel":
        seen = ground.mine & ~hidden
        labels = np.where(seen, np.cumsum(seen).reshape(seen.shape), 0).astype(np.int32)
        return Objects(labels, int(np.count_nonzero(seen)))
    if kind == "segment":
        named = [(name, step) for name, step in segments.layers if ground.has(name)]
        values = np.stack([ground.layer(name) / step for name, step in named] or [np.zeros(ice.shape)])
        return Objects(*segment(values, ground.mine & ~hidden, segments.scale, segments.min_pixels))
    raise ConfigError(f"objects {kind!r}", found="no such kind", fix=nearest(kind, KINDS))


def _connected(ice: Bool, hidden: Bool) -> Objects:
    labels, count = ndimage.label(ice | hidden, structure=_EIGHT)
    return Objects(np.where(ice, labels, 0).astype(np.int32), int(count))


def _holes(ice: Bool, mine: Bool, hidden: Bool) -> Objects:
    bare = mine & ~hidden & ~ice
    labels, count = ndimage.label(bare)  # 4 neighbours: ice that meets at a corner encloses
    away = framed(~mine | hidden, True)
    outside = away[:-2, 1:-1] | away[2:, 1:-1] | away[1:-1, :-2] | away[1:-1, 2:]
    whole = np.ones(count + 1, dtype=bool)
    whole[0] = False
    whole[labels[outside]] = False
    number = np.where(whole, np.cumsum(whole), 0)
    return Objects(number[labels].astype(np.int32), int(np.count_nonzero(whole)))
