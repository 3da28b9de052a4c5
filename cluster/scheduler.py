"""The scheduler: which unit is ready for which kind of worker. Pure bookkeeping: no clock, no I/O, no ray.

The local executor and the Ray driver ask the same object, so both do the same units in the same order of preference:
stages nearest to the release first (they free memory and disk and end regions), large units before small ones (the
tail of a run is its smallest units). A unit waits until everything it needs is settled, which is done or set aside;
what a failed need means is for the unit itself to say.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import SystemicError

Key = tuple[str, str]
# Stage → role of the worker that does it. Later stages are preferred.
ROLES = {"ingest": "surveyor", "map": "mapper", "measure": "surveyor", "publish": "shard"}
STAGES = tuple(ROLES)


@dataclass(frozen=True)
class Unit:
    """One unit of work: a few hundred bytes, whatever it stands for. cost: relative size, larger goes first."""

    stage: str
    name: str
    region: str
    cost: float = 1.0
    needs: tuple[Key, ...] = ()

    @property
    def key(self) -> Key:
        return self.stage, self.name


class Scheduler:
    """Units that are not settled yet. Needs that are no unit here count as settled."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self._units = {u.key: u for u in units}
        self._waiting: dict[Key, int] = {}
        self._blocks: dict[Key, list[Key]] = defaultdict(list)
        self._ready: dict[str, list[tuple[float, str]]] = {stage: [] for stage in STAGES}
        self._running: set[Key] = set()
        self._settled: set[Key] = set()
        for unit in self._units.values():
            open_needs = {n for n in unit.needs if n in self._units}
            self._waiting[unit.key] = len(open_needs)
            for need in open_needs:
                self._blocks[need].append(unit.key)
            if not open_needs:
                self._push(unit)

    @property
    def total(self) -> Counter[str]:
        """Units per stage."""
        return Counter(stage for stage, _ in self._units)

    @property
    def finished(self) -> bool:
        return len(self._settled) == len(self._units)

    @property
    def running(self) -> int:
        return len(self._running)

    def take(self, role: str | None = None, region: str | None = None) -> Unit | None:
        """The first ready unit, now counted as running; None if there is none at the moment.

        role: only units for workers of this role; region: only units of this region, for a worker that owns one.
        """
        for stage in reversed(STAGES):
            if role not in (None, ROLES[stage]):
                continue
            ready = self._ready[stage]
            if region is None:
                entry = heapq.heappop(ready) if ready else None
            else:
                entry = min((e for e in ready if self._units[stage, e[1]].region == region), default=None)
                if entry is not None:
                    ready.remove(entry)
                    heapq.heapify(ready)
            if entry is not None:
                self._running.add((stage, entry[1]))
                return self._units[stage, entry[1]]
        return None

    def settle(self, unit: Unit) -> None:
        """The unit is done or set aside: free what waits for it. Settling twice (a backup copy) is harmless."""
        self._running.discard(unit.key)
        if unit.key in self._settled:
            return
        self._settled.add(unit.key)
        for key in self._blocks.pop(unit.key, []):
            self._waiting[key] -= 1
            if not self._waiting[key]:
                self._push(self._units[key])

    def requeue(self, unit: Unit) -> None:
        """The worker went away: the unit is as good as new."""
        if unit.key in self._running:
            self._running.discard(unit.key)
            self._push(unit)

    def check_alive(self) -> None:
        """Raise SystemicError if nothing runs and nothing can start although something is left."""
        if not self.finished and not self._running and not any(self._ready.values()):
            stuck = sorted(k for k in self._units if k not in self._settled)
            raise SystemicError(
                f"{len(stuck)} units", found=f"{stuck[0]} waits for nothing that runs", expected="a plan without cycles"
            )

    def _push(self, unit: Unit) -> None:
        heapq.heappush(self._ready[unit.stage], (-unit.cost, unit.name))
