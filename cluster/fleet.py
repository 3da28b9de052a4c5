"""The fleet: Ray actors that do the units, and the loop that matches them.

`RegionShard` actors own a region each: they know what remains of it and finish its part of the release. `Mapper`
actors map blocks, one per GPU (or CPU share); `Surveyor` actors ingest and measure. The driver matches free actors
with ready units, at most two in flight per actor, and sees nothing but descriptors and summaries: pixels go from the
object store to an actor and back, never through Ray. Constructors take URLs.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from cluster import shard
from cluster.attempt import Outcome, attempt, give_up
from cluster.events import Callback, TaskEvent
from cluster.local import IN_FLIGHT_PER_WORKER, MOST_LOSSES, report
from cluster.scheduler import Scheduler, Unit
from cluster.shard import Settled
from core.config import ExecutionConfig
from core.errors import IcefleetError, SystemicError
from core.worker import Worker

_WAIT_S = 1.0
_RESTARTS = 100


@ray.remote(num_cpus=0, max_restarts=_RESTARTS)
class RegionShard:
    """One region: its remaining units, and its part of the release."""

    def __init__(self, run_url: str, region: str) -> None:
        self._run_url = run_url
        self._shard = shard.RegionShard(run_url, region)

    def units(self, settled: Settled) -> list[Unit]:
        return self._shard.units(settled)

    def ingest_units(self, settled: Settled) -> list[Unit]:
        return self._shard.ingest_units(settled)

    def do(self, stage: str, unit: str) -> Outcome:
        return attempt(Worker(self._run_url), stage, unit)


class _Doer:
    def __init__(self, run_url: str) -> None:
        self._worker = Worker(run_url)

    def do(self, stage: str, unit: str) -> Outcome:
        return attempt(self._worker, stage, unit)


@ray.remote(max_restarts=_RESTARTS)
class Mapper(_Doer):
    """Maps blocks."""


@ray.remote(max_restarts=_RESTARTS)
class Surveyor(_Doer):
    """Ingests tiles and measures glacier groups."""


@dataclass
class _Seat:
    """One actor and what it is busy with."""

    actor: Any
    role: str
    region: str | None = None
    flying: dict[Any, Unit] = field(default_factory=dict)


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to the cluster at `address`, $RAY_ADDRESS or the surrounding job; else start one on this machine."""
    if ray.is_initialized():
        yield
        return
    target = address or os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(
            address=target,
            include_dashboard=None if target else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        raise SystemicError(
            f"Ray cluster {target}", found=str(error), fix="start one with `ray start --head`, or drop the address"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


class Fleet:
    """The actors of one run. Use within `connected`."""

    def __init__(self, run_url: str, regions: Sequence[str], execution: ExecutionConfig) -> None:
        self._run_url = run_url
        self._shards = {region: _actor(RegionShard).remote(run_url, region) for region in regions}
        mappers, surveyors, share = _size(execution)
        self._seats = [_Seat(actor, "shard", region) for region, actor in self._shards.items()]
        self._seats += [_Seat(_actor(Mapper, **share).remote(run_url), "mapper") for _ in range(mappers)]
        cpu = {"num_cpus": share["num_cpus"]}
        self._seats += [_Seat(_actor(Surveyor, **cpu).remote(run_url), "surveyor") for _ in range(surveyors)]

    def units(self, settled: Settled, *, ingest_only: bool) -> list[Unit]:
        """What remains, as every shard sees it."""
        with _unwrapped():
            ingest = ray.get([s.ingest_units.remote(settled) for s in self._shards.values()])
            rest = [] if ingest_only else ray.get([s.units.remote(settled) for s in self._shards.values()])
        return [unit for part in [*ingest, *rest] for unit in part]

    def drive(self, scheduler: Scheduler, callback: Callback) -> None:
        """Do every unit. Raises SystemicError or ConfigError as soon as a unit does."""
        losses: Counter[tuple[str, str]] = Counter()
        while not scheduler.finished:
            self._hand_out(scheduler)
            scheduler.check_alive()
            flying = {ref: seat for seat in self._seats for ref in seat.flying}
            ready, _ = ray.wait(list(flying), num_returns=1, timeout=_WAIT_S)
            for ref in ready:
                seat = flying[ref]
                unit = seat.flying.pop(ref)
                try:
                    with _unwrapped():
                        outcome: Outcome = ray.get(ref)
                except RayActorError as error:
                    losses[unit.key] += 1
                    if losses[unit.key] < MOST_LOSSES:
                        message = str(error).splitlines()[0]
                        callback(TaskEvent("retried", unit.stage, unit.name, unit.region, message=message))
                        scheduler.requeue(unit)
                        continue
                    outcome = give_up(self._run_url, unit.stage, unit.name, MOST_LOSSES)
                report(unit, outcome, callback)
                scheduler.settle(unit)

    def _hand_out(self, scheduler: Scheduler) -> None:
        """Ready units to the least busy actors first, so that nobody queues two while another has none."""
        for depth in range(IN_FLIGHT_PER_WORKER):
            for seat in self._seats:
                if len(seat.flying) == depth and (unit := scheduler.take(seat.role, seat.region)) is not None:
                    seat.flying[seat.actor.do.remote(unit.stage, unit.name)] = unit

    def stop(self) -> None:
        for seat in self._seats:
            ray.kill(seat.actor)


def _actor(kind: Any, **resources: float) -> Any:
    """An actor class with these resources; ray's own types do not know what its decorator adds."""
    return kind.options(**resources)


def _size(execution: ExecutionConfig) -> tuple[int, int, dict[str, float]]:
    """(mappers, surveyors, resources of a mapper) for the cluster as it is now."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    share: dict[str, float] = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": 1}
    mappers = execution.mappers or gpus or max(1, cpus // 2)
    surveyors = execution.surveyors or max(1, cpus - mappers)
    if mappers + surveyors > cpus:
        # More actors than CPUs: let them share, or the last ones would wait for ever.
        each = cpus / (mappers + surveyors)
        share = {**share, "num_cpus": each}
    return mappers, surveyors, share


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Ray wraps what an actor raises; give our own errors back as they were."""
    try:
        yield
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, IcefleetError):
            raise cause from error
        raise
