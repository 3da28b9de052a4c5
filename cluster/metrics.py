"""Metrics of a fleet: task events as Prometheus series, through Ray, which exports them on every node.

Only names and units live here; Ray adds the prefix `ray_` and, to counters, the suffix `_total`. Numbers come from
the driver alone, so nothing is counted twice, whatever actors restart.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge, Histogram

from cluster.events import TaskEvent
from cluster.scheduler import ROLES, Scheduler

# A tile takes seconds, a block of 10 m a minute, a large group some minutes.
_SECONDS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0]


class Metrics:
    """A callback; `ready` is the hint for whoever scales. Construct after `ray.init`; series carry the run's id."""

    def __init__(self, run_url: str) -> None:
        run = {"run": run_url.rsplit("/", 1)[-1]}
        self._units = Counter(
            "icefleet_units", "units that ended, by kind: done, quarantined, retried", ("run", "stage", "kind")
        ).set_default_tags(run)
        self._seconds = Histogram(
            "icefleet_unit_seconds", "seconds of work of a unit that was done", _SECONDS, ("run", "stage")
        ).set_default_tags(run)
        self._stalls = Counter(
            "icefleet_stall_seconds", "seconds of work by what they went into", ("run", "stage", "stall")
        ).set_default_tags(run)
        self._windows = Counter("icefleet_windows", "model windows that ran", ("run",)).set_default_tags(run)
        self._bytes = Counter(
            "icefleet_bytes", "bytes: decoded by map, written by ingest and publish", ("run", "stage")
        ).set_default_tags(run)
        self._ready = Gauge(
            "icefleet_ready_units", "units that wait for a free worker of a role", ("run", "role")
        ).set_default_tags(run)

    def __call__(self, event: TaskEvent) -> None:
        stage = {"stage": event.stage}
        self._units.inc(1, {**stage, "kind": event.kind})
        if event.kind != "done":
            return
        self._seconds.observe(event.seconds, stage)
        for name, seconds in event.stalls.items():
            _add(self._stalls, seconds, {**stage, "stall": name})
        _add(self._windows, event.counts.get("windows", 0.0), {})
        _add(self._bytes, event.bytes, stage)

    def ready(self, scheduler: Scheduler) -> None:
        """How many units of each role could start at once if there were workers."""
        for role in sorted(set(ROLES.values())):
            self._ready.set(scheduler.waiting_for(role), {"role": role})


def _add(counter: Counter, value: float, tags: dict[str, str]) -> None:
    if value > 0:  # Ray refuses to count nothing
        counter.inc(value, tags)
