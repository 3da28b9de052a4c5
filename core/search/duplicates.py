"""Duplicates: one acquisition that archives list more than once.

Reprocessed products keep the acquisition and change its time by seconds; two archives may list the same. What has the
same key (platform, orbit or tile), lies within ten minutes and covers mostly the same ground is one acquisition, of
which the newest processing is kept. Neighbouring slices of one pass share key and time too, but hardly any ground.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

import shapely
from shapely.geometry.base import BaseGeometry

from core.search.footprint import box_geometry
from core.search.resolve import Found
from core.tiles import RejectedScene

CLOCK = dt.timedelta(minutes=10)
SHARED_GROUND = 0.5  # intersection over union


@dataclass(frozen=True)
class Listed:
    """A scene as one source listed it. source: number of the source among those of the sensor."""

    found: Found
    source: int

    @property
    def ground(self) -> BaseGeometry:
        """Its footprint, or the box of it."""
        return box_geometry(self.found.bounds) if self.found.footprint is None else self.found.footprint


def drop_duplicates(listed: Sequence[Listed]) -> tuple[list[Listed], list[RejectedScene]]:
    """(one of each acquisition, the others with the reason). The order of `listed` does not matter."""
    kept: list[Listed] = []
    rejected: list[RejectedScene] = []
    by_acquisition: dict[str, list[Listed]] = {}
    by_id: dict[str, Listed] = {}
    ordered = sorted(listed, key=lambda one: (one.source, one.found.scene.id, one.found.acquired))
    for one in sorted(ordered, key=lambda one: _version(one.found.processed), reverse=True):
        rivals = by_acquisition.setdefault(one.found.acquisition, [])
        twin = by_id.get(one.found.scene.id) or next((r for r in rivals if _same(one, r)), None)
        if twin is None:
            kept.append(one)
            rivals.append(one)
            by_id[one.found.scene.id] = one
        else:
            rejected.append(RejectedScene(one.found.scene.id, _reason(one.found, twin.found)))
    return kept, rejected


def _same(a: Listed, b: Listed) -> bool:
    if abs(a.found.acquired - b.found.acquired) > CLOCK:
        return False
    one, other = shapely.make_valid(a.ground), shapely.make_valid(b.ground)
    union = shapely.union(one, other).area
    return bool(union == 0.0 or shapely.intersection(one, other).area >= SHARED_GROUND * union)


def _reason(found: Found, kept: Found) -> str:
    for earlier, later in zip(found.processed.split("|"), kept.processed.split("|"), strict=False):
        if _version(earlier) < _version(later):
            said = f"{earlier or 'unknown'} < {later}"
            return f"the same acquisition as {kept.scene.id}, processed earlier ({said})"
    apart = abs(found.acquired - kept.acquired).total_seconds()
    return f"listed twice, {apart:.0f} s apart from {kept.scene.id}"


def _version(processed: str) -> tuple[tuple[int, ...], ...]:
    """Order of processing, baseline before time: their numbers count as numbers, so that 5.9 < 05.10."""
    return tuple(tuple(int(number) for number in re.findall(r"\d+", part)) for part in processed.split("|"))
