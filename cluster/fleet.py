"""The fleet: Ray actors that do the units, and the loop that matches them.

`RegionShard` actors own a region each: they know what remains of it and finish its part of the release. `Mapper`
actors map blocks, one per GPU (or CPU share); `Surveyor` actors ingest and measure. The driver matches free actors
with ready units, at most two in flight per actor, and sees nothing but descriptors and summaries: pixels go from the
object store to an actor and back, never through Ray. Constructors take URLs.

Nodes that offer the custom resource `icefleet_mapper` or `icefleet_surveyor` get the actors of that role and no other
node does; without such nodes GPUs decide. An actor that dies with its node is pre-empted, which is nobody's fault; an
actor that dies alone is counted against the unit it was doing.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from cluster import shard
from cluster.attempt import Outcome, attempt, die, give_up
from cluster.events import Callback, TaskEvent
from cluster.local import IN_FLIGHT_PER_WORKER, MOST_LOSSES, report
from cluster.scheduler import Key, Scheduler, Unit
from cluster.shard import Settled
from core.config import ExecutionConfig
from core.errors import IcefleetError, SystemicError
from core.worker import Worker

_WAIT_S, _LOOK_S = 1.0, 0.05
_PATIENCE_S = 900.0  # an autoscaler that cannot give a single node in a quarter of an hour will not
_RESTARTS = 1000  # actors restart on any node that is left; units, not actors, are given up
ROLE_RESOURCE = "icefleet_{role}"


@ray.remote(num_cpus=0, max_restarts=_RESTARTS)
class RegionShard:
    """One region: its remaining units, and its part of the release."""

    def __init__(self, run_url: str, region: str) -> None:
        self._run_url = run_url
        self._shard = shard.RegionShard(run_url, region)

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())

    def units(self, settled: Settled) -> list[Unit]:
        return self._shard.units(settled)

    def ingest_units(self, settled: Settled) -> list[Unit]:
        return self._shard.ingest_units(settled)

    def do(self, stage: str, unit: str) -> Outcome:
        return attempt(Worker(self._run_url), stage, unit, on_broken_device=die)


class _Doer:
    def __init__(self, run_url: str) -> None:
        self._worker = Worker(run_url)

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())

    def do(self, stage: str, unit: str) -> Outcome:
        return attempt(self._worker, stage, unit, on_broken_device=die)


@ray.remote(max_restarts=_RESTARTS)
class Mapper(_Doer):
    """Maps blocks."""


@ray.remote(max_restarts=_RESTARTS)
class Surveyor(_Doer):
    """Ingests tiles and measures glacier groups."""


@dataclass(eq=False)
class _Seat:
    """One actor, the node it was last seen on, and what it is busy with, oldest first."""

    actor: Any
    role: str
    region: str | None = None
    node: str = ""
    asked: Any = None
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
        self._losses: Counter[Key] = Counter()
        self._shards = {region: _actor(RegionShard).remote(run_url, region) for region in regions}
        self._seats = [_Seat(actor, "shard", region) for region, actor in self._shards.items()]
        for role, kind, number, needs in _crew(execution):
            self._seats += [_Seat(_actor(kind, **needs).remote(run_url), role) for _ in range(number)]

    def units(self, settled: Settled, *, ingest_only: bool) -> list[Unit]:
        """What remains, as every shard sees it."""
        with _unwrapped():
            ingest = ray.get([s.ingest_units.remote(settled) for s in self._shards.values()])
            rest = [] if ingest_only else ray.get([s.units.remote(settled) for s in self._shards.values()])
        return [unit for part in [*ingest, *rest] for unit in part]

    def drive(self, scheduler: Scheduler, callback: Callback) -> None:
        """Do every unit. Raises SystemicError or ConfigError as soon as a unit does."""
        idle_since = time.monotonic()
        while not scheduler.finished:
            self._locate()
            self._hand_out(scheduler)
            scheduler.check_alive()
            flying = {ref: seat for seat in self._seats for ref in seat.flying}
            if not flying:
                self._check_patience(idle_since)
                time.sleep(_LOOK_S)
                continue
            idle_since = time.monotonic()
            ready, _ = ray.wait(list(flying), num_returns=1, timeout=_WAIT_S)
            for ref in ready:
                self._land(ref, flying[ref], scheduler, callback)

    def _land(self, ref: Any, seat: _Seat, scheduler: Scheduler, callback: Callback) -> None:
        """One unit came back, or its actor did not."""
        first = next(iter(seat.flying)) == ref
        unit = seat.flying.pop(ref)
        try:
            with _unwrapped():
                outcome: Outcome = ray.get(ref)
        except (RayActorError, ActorUnavailableError) as error:
            # The second unit in flight only waited: its actor's death is not its doing.
            alone = first and seat.node in _living_nodes()
            self._losses[unit.key] += alone
            seat.node = ""
            if self._losses[unit.key] < MOST_LOSSES:
                words = str(error).splitlines()[0] if alone else "its node went away"
                callback(TaskEvent("retried", unit.stage, unit.name, unit.region, message=words))
                scheduler.requeue(unit)
                return
            outcome = give_up(self._run_url, unit.stage, unit.name, MOST_LOSSES)
        if outcome.preempted:
            callback(TaskEvent("retried", unit.stage, unit.name, unit.region, message="its worker was taken away"))
            scheduler.requeue(unit)
        elif scheduler.settle(unit, time.monotonic()):
            report(unit, outcome, callback)

    def _check_patience(self, idle_since: float) -> None:
        if time.monotonic() - idle_since > _PATIENCE_S:
            waiting = sorted({seat.role for seat in self._seats if not seat.node})
            raise SystemicError(
                "Ray cluster",
                found=f"no room for any {' or '.join(waiting)} in {_PATIENCE_S / 60:.0f} minutes",
                fix="add nodes, or lower execution.mappers and execution.surveyors",
            )

    def _hand_out(self, scheduler: Scheduler) -> None:
        """Ready units to the least busy actors first, so that nobody queues two while another has none.

        Only to actors that have said where they are: one that waits for a node would keep its units for ever.
        """
        now = time.monotonic()
        for depth in range(IN_FLIGHT_PER_WORKER):
            for seat in self._seats:
                if (
                    seat.node
                    and len(seat.flying) == depth
                    and (unit := scheduler.take(seat.role, seat.region, now)) is not None
                ):
                    seat.flying[seat.actor.do.remote(unit.stage, unit.name)] = unit

    def _locate(self) -> None:
        """Learn, without waiting, which node each actor is on: it tells a pre-emption from a crash."""
        for seat in self._seats:
            if seat.node:
                continue
            if seat.asked is None:
                seat.asked = seat.actor.node.remote()
            if ray.wait([seat.asked], timeout=0)[0]:
                try:
                    seat.node = ray.get(seat.asked)
                except (RayActorError, ActorUnavailableError):
                    seat.node = ""
                seat.asked = None

    def stop(self) -> None:
        for seat in self._seats:
            ray.kill(seat.actor)


def _living_nodes() -> set[str]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return {str(node["NodeID"]) for node in nodes if node["Alive"]}


def _actor(kind: Any, **resources: Any) -> Any:
    """An actor class with these resources; ray's own types do not know what its decorator adds."""
    return kind.options(**resources)


def _crew(execution: ExecutionConfig) -> list[tuple[str, Any, int, dict[str, Any]]]:
    """(role, actor class, number, resources of one) for the cluster as it is now."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    mappers = execution.mappers or gpus or max(1, cpus // 2)
    surveyors = execution.surveyors or max(1, cpus - mappers)
    # More actors than CPUs: let them share, or the last ones would wait for ever.
    each = 1.0 if mappers + surveyors <= cpus else cpus / (mappers + surveyors)
    crew = []
    for role, kind, number in (("mapper", Mapper, mappers), ("surveyor", Surveyor, surveyors)):
        needs: dict[str, Any] = {"num_cpus": each}
        if role == "mapper" and gpus:
            needs["num_gpus"] = 1
        name = ROLE_RESOURCE.format(role=role)
        if name in resources:
            needs["resources"] = {name: 1e-3}
        crew.append((role, kind, number, needs))
    return crew


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
