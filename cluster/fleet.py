"""The fleet: Ray actors that do the units, and the loop that matches them.

`RegionShard` actors own a region each: they know what remains of it and finish its part of the release. `Mapper`
actors map blocks, one per GPU (or CPU share); `Surveyor` actors ingest and measure. The driver matches free actors
with ready units, at most two in flight per actor, and sees nothing but descriptors and summaries: pixels go from the
object store to an actor and back, never through Ray. Constructors take URLs.

An actor that dies is replaced by a new one, here and not by Ray, which would keep its units until it found room. One
that dies with its node is pre-empted, which is nobody's fault; one that dies alone is counted against the unit that it
was doing. Ray tells at once that an actor does not answer, but only after seconds why: units wait for that verdict.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, AuthenticationError, RayActorError, RayTaskError

from cluster import shard
from cluster.attempt import Doer, Outcome, attempt, die, give_up
from cluster.crew import crew
from cluster.events import Callback, TaskEvent, all_of
from cluster.local import IN_FLIGHT_PER_WORKER, MOST_LOSSES, MakeWorker, report
from cluster.metrics import Metrics
from cluster.scheduler import ROLES, Key, Scheduler, Unit
from cluster.shard import Settled
from core.config import ExecutionConfig
from core.errors import IcefleetError, SystemicError
from core.worker import Worker

_WAIT_S, _LOOK_S, _KNOCK_S = 1.0, 0.05, 20.0
_PATIENCE_S = 900.0  # an autoscaler that cannot give a single node in a quarter of an hour will not


class _Doer:
    """make: run URL → worker."""

    def __init__(self, run_url: str, make: MakeWorker) -> None:
        self._run_url, self._make = run_url, make

    @cached_property
    def _worker(self) -> Doer:
        return self._make(self._run_url)

    def node(self) -> str:
        """Where this is. Asked before the first unit: what no worker can work with shows here, as its own error."""
        _ = self._worker
        return str(ray.get_runtime_context().get_node_id())

    def do(self, stage: str, unit: str) -> Outcome:
        return attempt(self._worker, stage, unit, on_broken_device=die)


@ray.remote(num_cpus=0)
class RegionShard(_Doer):
    """One region: its remaining units, and its part of the release."""

    def units(self, region: str, settled: Settled, ingest_only: bool) -> list[Unit]:
        owned = shard.RegionShard(self._run_url, region)
        return owned.ingest_units(settled, everything=ingest_only) + ([] if ingest_only else owned.units(settled))


@ray.remote
class Mapper(_Doer):
    """Maps blocks."""


@ray.remote
class Surveyor(_Doer):
    """Ingests tiles and measures glacier groups."""


_KINDS: dict[str, Any] = {"shard": RegionShard, "mapper": Mapper, "surveyor": Surveyor}


@dataclass(eq=False)
class _Seat:
    """A place for one actor at a time.

    region: of a shard; node: where the actor is, empty until it said so; asked: that question, while it is open;
    flying: what it is busy with, oldest first; failed: those of them that will not come back.
    """

    role: str
    options: dict[str, Any]
    region: str | None = None
    actor: Any = None
    node: str = ""
    asked: Any = None
    flying: dict[Any, Unit] = field(default_factory=dict)
    failed: set[Any] = field(default_factory=set)


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to the cluster at `address`, $RAY_ADDRESS or the surrounding job; else start one on this machine."""
    if ray.is_initialized():
        yield
        return
    target = address or os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        _reach(target)
        ray.init(
            address=target,
            include_dashboard=None if target else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, AuthenticationError) as error:
        raise SystemicError(
            f"Ray cluster {target or 'on this machine'}",
            found=str(error).splitlines()[0],
            fix="start one with `ray start --head`, or drop the address; if there is one and it wants a token, export "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH, the file that holds it",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _reach(target: str | None) -> None:
    """Raise OSError if nobody listens at host:port; Ray would try for many minutes."""
    host, colon, port = (target or "").rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), _KNOCK_S).close()


class Fleet:
    """The actors of one run. Use within `connected`. make: run URL → worker, picklable."""

    def __init__(
        self, run_url: str, regions: Sequence[str], execution: ExecutionConfig, make: MakeWorker = Worker
    ) -> None:
        self._run_url, self._make = run_url, make
        self._losses: Counter[Key] = Counter()
        self._seats = [_Seat("shard", {}, region) for region in regions]
        for post in crew(execution, [node["Resources"] for node in _living_nodes().values()]):
            options = {
                "num_cpus": post.num_cpus,
                "num_gpus": post.num_gpus,
                "resources": dict(post.resources),
                "scheduling_strategy": "SPREAD",  # a network, and a loss, shared by as few as possible
            }
            self._seats += [_Seat(post.role, options) for _ in range(post.number)]
        for seat in self._seats:
            if seat.role == "shard":
                self._fill(seat)

    def units(self, settled: Settled, *, ingest_only: bool) -> list[Unit]:
        """What remains, as every shard sees it."""
        shared = ray.put(settled)
        shards = [seat for seat in self._seats if seat.role == "shard"]
        asked = [seat.actor.units.remote(seat.region, shared, ingest_only) for seat in shards]
        out: list[Unit] = []
        for seat, answer in zip(shards, asked, strict=True):
            for left in reversed(range(MOST_LOSSES)):
                try:
                    with _unwrapped():
                        out += ray.get(answer)
                    break
                except RayActorError as error:
                    _check_started(seat, error)
                    if not left:
                        raise
                    ray.kill(seat.actor)
                    self._fill(seat)
                    answer = seat.actor.units.remote(seat.region, shared, ingest_only)
        return out

    def drive(self, scheduler: Scheduler, callback: Callback) -> None:
        """Do every unit. Raises SystemicError or ConfigError as soon as a unit does."""
        metrics = Metrics(self._run_url)
        callback = all_of(metrics, callback)
        self._staff(scheduler)
        idle_since = time.monotonic()
        while not scheduler.finished:
            self._look_after(scheduler, callback)
            self._hand_out(scheduler)
            metrics.ready(scheduler)
            scheduler.check_alive()
            flying = {ref: seat for seat in self._seats for ref in seat.flying if ref not in seat.failed}
            if not flying:
                self._check_patience(idle_since)
                time.sleep(_LOOK_S)
                continue
            idle_since = time.monotonic()
            ready, _ = ray.wait(list(flying), num_returns=1, timeout=_WAIT_S)
            for ref in ready:
                self._land(ref, flying[ref], scheduler, callback)

    def _staff(self, scheduler: Scheduler) -> None:
        """No more actors than units for them: a finished run starts none, and takes no GPU."""
        left = Counter(
            {role: sum(n for stage, n in scheduler.total.items() if ROLES[stage] == role) for role in _KINDS}
        )
        for seat in [s for s in self._seats if s.actor is None]:
            if left[seat.role]:
                left[seat.role] -= 1
                self._fill(seat)
            else:
                self._seats.remove(seat)

    def _land(self, ref: Any, seat: _Seat, scheduler: Scheduler, callback: Callback) -> None:
        """One unit came back, or its actor does not answer."""
        try:
            with _unwrapped():
                outcome: Outcome = ray.get(ref)
        except RayActorError:
            seat.failed.add(ref)
            return
        self._conclude(seat.flying.pop(ref), outcome, scheduler, callback)

    def _conclude(self, unit: Unit, outcome: Outcome, scheduler: Scheduler, callback: Callback) -> None:
        if outcome.preempted:
            self._again(unit, "its worker was taken away", scheduler, callback)
        elif scheduler.settle(unit, time.monotonic()):
            report(unit, outcome, callback)

    def _again(self, unit: Unit, why: str, scheduler: Scheduler, callback: Callback) -> None:
        callback(TaskEvent("retried", unit.stage, unit.name, unit.region, message=why))
        scheduler.requeue(unit)

    def _look_after(self, scheduler: Scheduler, callback: Callback) -> None:
        """Ask, without waiting, the actors that are new or do not answer; replace those that are no more."""
        for seat in self._seats:
            doubtful = bool(seat.failed) and len(seat.failed) == len(seat.flying)
            if seat.node and not doubtful:
                continue
            if seat.asked is None:
                seat.asked = seat.actor.node.remote()
            if not ray.wait([seat.asked], timeout=0)[0]:
                continue
            asked, seat.asked = seat.asked, None
            try:
                with _unwrapped():
                    seat.node = ray.get(asked)
                self._clear(seat, "its actor could not be reached", 0, scheduler, callback)
            except ActorUnavailableError:
                continue
            except RayActorError as error:
                _check_started(seat, error)
                alone = not error.preempted and seat.node in _living_nodes()
                words = "its process died" if alone else "its node went away"
                self._clear(seat, words, int(alone), scheduler, callback)
                self._fill(seat)

    def _clear(self, seat: _Seat, why: str, loss: int, scheduler: Scheduler, callback: Callback) -> None:
        """Take back what an actor was busy with. The second unit only waited: a death is not its doing."""
        for k, unit in enumerate(seat.flying.values()):
            self._losses[unit.key] += loss if k == 0 else 0
            if self._losses[unit.key] < MOST_LOSSES:
                self._again(unit, why, scheduler, callback)
            else:
                outcome = give_up(self._run_url, unit.stage, unit.name, MOST_LOSSES)
                self._conclude(unit, outcome, scheduler, callback)
        seat.flying.clear()
        seat.failed.clear()

    def _fill(self, seat: _Seat) -> None:
        """Put a new actor on a seat; it counts from when it says where it is."""
        seat.actor = _KINDS[seat.role].options(**seat.options).remote(self._run_url, self._make)
        seat.node, seat.asked = "", None

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
        empty: set[tuple[str, str | None]] = set()  # thousands of seats must not ask the same question each
        for depth in range(IN_FLIGHT_PER_WORKER):
            for seat in self._seats:
                kind = seat.role, seat.region
                if kind in empty or not seat.node or seat.failed or len(seat.flying) != depth:
                    continue
                unit = scheduler.take(*kind, now)
                if unit is None:
                    empty.add(kind)
                else:
                    seat.flying[seat.actor.do.remote(unit.stage, unit.name)] = unit

    def stop(self) -> None:
        for seat in self._seats:
            if seat.actor is not None:
                ray.kill(seat.actor)


def _check_started(seat: _Seat, error: RayActorError) -> None:
    """Raise SystemicError if an actor could not even be made: no other node would do better."""
    if error.actor_init_failed:
        raise SystemicError(
            f"Ray actor {seat.role}", found=str(error), fix="install the same version on every node"
        ) from error


def _living_nodes() -> dict[str, dict[str, Any]]:
    """Node id → what Ray knows of it."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return {str(node["NodeID"]): node for node in nodes if node["Alive"]}


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
