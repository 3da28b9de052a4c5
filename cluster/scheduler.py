"""The scheduler: which unit is ready for which kind of worker. Pure bookkeeping: no I/O, no ray, the time is told.

The local executor, the Ray driver and the fleet simulation ask the same object, so all do the same units in the same
order of preference: stages nearest to the release first (they free memory and disk and end regions); within a stage
the region with the fewest units in flight (no region waits for the largest one to end), and of that region the
largest unit (the tail of a run is its smallest units). A unit waits until everything it needs is settled, which is
done or set aside; what a failed need means is for the unit itself to say.

A straggler gets one backup copy once most of its stage is done: safe because commits are create-if-absent.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import SystemicError

Key = tuple[str, str]
# Stage → role of the worker that does it. Later stages are preferred.
ROLES = {"ingest": "surveyor", "map": "mapper", "measure": "surveyor", "publish": "shard"}
STAGES = tuple(ROLES)
# A backup copy needs a median worth the name, most of the stage done, and a unit far beyond the median.
BACKUP_MIN_DONE, BACKUP_SHARE, BACKUP_TIMES_MEDIAN = 10, 0.5, 3.0


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


@dataclass
class _Flight:
    """A unit in flight: since when, how many copies are, and whether a backup was handed out."""

    since: float
    copies: int = 1
    backed_up: bool = False


class Scheduler:
    """Units that are not settled yet. Needs that are no unit here count as settled.

    now: seconds of any clock that only goes forward; left out, nothing ever straggles.
    """

    def __init__(self, units: Iterable[Unit]) -> None:
        self._units = {u.key: u for u in units}
        self._waiting: dict[Key, int] = {}
        self._blocks: dict[Key, list[Key]] = defaultdict(list)
        # stage → region → heap of (−cost, name)
        self._ready: dict[str, dict[str, list[tuple[float, str]]]] = {stage: {} for stage in STAGES}
        self._flying: dict[Key, _Flight] = {}
        self._busy: Counter[Key] = Counter()  # (stage, region) → units in flight
        self._settled: set[Key] = set()
        self._took: dict[str, list[float]] = {stage: [] for stage in STAGES}  # sorted durations
        self._done: Counter[str] = Counter()
        self.total = Counter(stage for stage, _ in self._units)
        self.by_region = Counter((u.stage, u.region) for u in self._units.values())
        for unit in self._units.values():
            open_needs = {n for n in unit.needs if n in self._units}
            self._waiting[unit.key] = len(open_needs)
            for need in open_needs:
                self._blocks[need].append(unit.key)
            if not open_needs:
                self._push(unit)

    @property
    def finished(self) -> bool:
        return len(self._settled) == len(self._units)

    @property
    def running(self) -> int:
        """Units in flight, copies counted once."""
        return len(self._flying)

    def take(self, role: str | None = None, region: str | None = None, now: float = 0.0) -> Unit | None:
        """A unit to do, now counted as in flight; None if there is none at the moment.

        role: only units for workers of this role; region: only units of this region, for a worker that owns one.
        Where nothing is ready a straggler may be handed out a second time.
        """
        stages = [s for s in reversed(STAGES) if role in (None, ROLES[s])]
        for stage in stages:
            chosen = self._next_region(stage) if region is None else region
            ready = self._ready[stage].get(chosen) if chosen is not None else None
            if ready and chosen is not None:
                name = heapq.heappop(ready)[1]
                self._flying[stage, name] = _Flight(now)
                self._busy[stage, chosen] += 1
                return self._units[stage, name]
        return next((unit for stage in stages if (unit := self._straggler(stage, region, now))), None)

    def settle(self, unit: Unit, now: float = 0.0) -> bool:
        """The unit is done or set aside: free what waits for it. False for the later of two copies."""
        flight = self._flying.pop(unit.key, None)
        if flight is not None:
            self._busy[unit.stage, unit.region] -= 1
            insort(self._took[unit.stage], now - flight.since)
        if unit.key in self._settled:
            return False
        self._settled.add(unit.key)
        self._done[unit.stage] += 1
        for key in self._blocks.pop(unit.key, []):
            self._waiting[key] -= 1
            if not self._waiting[key]:
                self._push(self._units[key])
        return True

    def requeue(self, unit: Unit) -> None:
        """The worker went away: the unit is as good as new, unless a copy of it is still in flight."""
        flight = self._flying.get(unit.key)
        if flight is None:
            return
        flight.copies -= 1
        if flight.copies == 0:
            del self._flying[unit.key]
            self._busy[unit.stage, unit.region] -= 1
            self._push(unit)

    def waiting_for(self, role: str) -> int:
        """Ready units that no worker of this role has taken yet: a hint for autoscaling."""
        return sum(len(heap) for stage in STAGES if ROLES[stage] == role for heap in self._ready[stage].values())

    def check_alive(self) -> None:
        """Raise SystemicError if nothing runs and nothing can start although something is left."""
        if self.finished or self._flying or any(heap for by in self._ready.values() for heap in by.values()):
            return
        stuck = sorted(k for k in self._units if k not in self._settled)
        raise SystemicError(
            f"{len(stuck)} units", found=f"{stuck[0]} waits for nothing that runs", expected="a plan without cycles"
        )

    def _next_region(self, stage: str) -> str | None:
        """The region with the fewest units in flight; of those, the one whose next unit is largest."""
        offers = [(self._busy[stage, region], heap[0], region) for region, heap in self._ready[stage].items() if heap]
        return min(offers)[2] if offers else None

    def _straggler(self, stage: str, region: str | None, now: float) -> Unit | None:
        took = self._took[stage]
        if len(took) < BACKUP_MIN_DONE or self._done[stage] < BACKUP_SHARE * self.total[stage]:
            return None
        limit = BACKUP_TIMES_MEDIAN * took[len(took) // 2]
        late = [
            (flight.since, key)
            for key, flight in self._flying.items()
            if key[0] == stage
            and not flight.backed_up
            and now - flight.since > limit
            and region in (None, self._units[key].region)
        ]
        if not late:
            return None
        key = min(late)[1]
        self._flying[key].backed_up = True
        self._flying[key].copies += 1
        return self._units[key]

    def _push(self, unit: Unit) -> None:
        heapq.heappush(self._ready[unit.stage].setdefault(unit.region, []), (-unit.cost, unit.name))
