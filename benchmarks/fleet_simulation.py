"""A SIMULATION of fleets: how the real scheduler would run a world's plan on 1 to 512 GPUs. No unit is really done.

`python -m benchmarks.fleet_simulation` plans a SIMULATED world (`benchmarks.rehearsal`), then lets a discrete-event
loop with its own clock ask the real `cluster.scheduler.Scheduler` for everything: what each worker does next, what a
pre-emption gives back, which straggler gets a backup copy. Service times are the plan's windows, bytes and pixels at
rates that are stated with the table, times log-normal noise, and ten times as long for a few stragglers. Mappers and
surveyors straggle, live for an exponential time and are replaced after a while; regions are published on a machine
that does neither.

It says how scheduling behaves, not how fast a real fleet is: shared bandwidth and the limits of a bucket are not in it.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.rehearsal import plan_world, units_of
from cluster.local import IN_FLIGHT_PER_WORKER
from cluster.scheduler import Key, Scheduler, Unit
from core.grid import BLOCK_M
from core.plan import Plan, save_plan
from core.sensors import sensor
from core.simulate.inventory import simulate_inventory

T = TypeVar("T")
TICK_S = 1.0
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Rates:
    """What the service times are made of. members: forward passes per window (of an
    ensemble); life_s: mean time to pre-emption; replace_s: until the next worker is up."""

    windows_per_s: float = 300.0
    members: int = 1
    map_overhead: float = 0.10
    map_latency_s: float = 0.3
    ingest_mb_s: float = 50.0
    measure_ms_glacier: float = 10.0
    measure_s_mpx: float = 0.16
    publish_ms_glacier: float = 1.0
    sigma: float = 0.4
    straggler_share: float = 0.005
    straggler_times: float = 10.0
    life_s: float = 2 * _HOUR_S
    replace_s: float = 180.0
    start_s: float = 180.0
    surveyors_per_gpu: int = 4


@dataclass(frozen=True)
class Outcome:
    """What a simulated run came to. Times in seconds; gpu_s: paid for; lost_gpu_s: thrown away by pre-emptions, and by
    copies that were second; tail_share: of the wall time, from 95 % of the blocks to the last one; idle_share: of the
    time that GPUs were there; done: how often each unit was settled first."""

    gpus: int
    makespan_s: float
    idle_share: float
    tail_share: float
    preemptions: int
    backups: int
    lost_gpu_s: float
    gpu_s: float
    scheduler_s: float
    done: Counter[Key]


@dataclass(eq=False)
class _Worker:
    """One seat: `life` counts the machines that sat on it, so that what a dead one had promised is known as void."""

    role: str
    region: str | None
    up: bool = False
    life: int = 0
    queue: deque[Unit] = field(default_factory=deque)
    began: float = 0.0
    up_since: float = 0.0


class Simulation:
    """One fleet doing `units`. seconds: mean service time of each."""

    def __init__(self, units: Sequence[Unit], seconds: Mapping[Key, float], gpus: int, rates: Rates, seed: int) -> None:
        self.scheduler_s = 0.0
        self._scheduler = self._clocked(partial(Scheduler, units))
        self._seconds, self._rates, self._gpus = seconds, rates, gpus
        self._rng = np.random.default_rng([seed, gpus])
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._now = 0.0
        self._n_maps = sum(u.stage == "map" for u in units)
        self._mapped: list[float] = []
        self._done: Counter[Key] = Counter()
        self._busy_s = self._lost_s = self._there_s = 0.0
        self._preemptions = self._backups = 0
        self._ticking = False
        regions = dict.fromkeys(u.region for u in units)
        crew = [("mapper", None)] * gpus + [("surveyor", None)] * (gpus * rates.surveyors_per_gpu)
        self._workers = [_Worker(role, region) for role, region in [*crew, *(("shard", r) for r in regions)]]
        # Seats with room by (role, region) and how much they hold: only they are asked for, emptiest first.
        self._room: dict[tuple[str, str | None], list[dict[_Worker, None]]] = {
            (w.role, w.region): [{} for _ in range(IN_FLIGHT_PER_WORKER)] for w in self._workers
        }

    def run(self) -> Outcome:
        """Raises SystemicError, as a real run would, if units are left that nothing can free."""
        for worker in self._workers:
            self._at(self._rates.start_s if worker.region is None else 0.0, partial(self._arrive, worker))
        while not self._scheduler.finished:
            self._now = self._events[0][0]
            while self._events and self._events[0][0] <= self._now:
                heapq.heappop(self._events)[2]()
            self._hand_out()
        gpu_s = self._there_s + sum(self._now - w.up_since for w in self._workers if w.role == "mapper" and w.up)
        gpu_s += self._gpus * min(self._rates.start_s, self._now)  # booting is paid for, and idle
        # What still runs now that everything is settled is a copy of something.
        copies_s = sum(self._now - w.began for w in self._workers if w.role == "mapper" and w.queue)
        last = self._mapped[-1] - self._mapped[int(0.95 * len(self._mapped)) - 1] if self._mapped else 0.0
        return Outcome(
            gpus=self._gpus,
            makespan_s=self._now,
            idle_share=1.0 - (self._busy_s + copies_s) / gpu_s,
            tail_share=last / self._now,
            preemptions=self._preemptions,
            backups=self._backups,
            lost_gpu_s=self._lost_s + copies_s,
            gpu_s=gpu_s,
            scheduler_s=self.scheduler_s,
            done=self._done,
        )

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._number), what))

    def _clocked(self, ask: Callable[[], T]) -> T:
        began = time.perf_counter()
        answer = ask()
        self.scheduler_s += time.perf_counter() - began
        return answer

    def _arrive(self, worker: _Worker) -> None:
        worker.up, worker.up_since = True, self._now
        self._room[worker.role, worker.region][0][worker] = None
        if worker.region is None:
            self._at(self._now + float(self._rng.exponential(self._rates.life_s)), partial(self._preempt, worker))

    def _preempt(self, worker: _Worker) -> None:
        self._preemptions += 1
        self._forget_room(worker)
        if worker.role == "mapper":
            self._there_s += self._now - worker.up_since
            if worker.queue:
                self._busy_s += self._now - worker.began
                self._lost_s += self._now - worker.began
        for unit in worker.queue:
            self._clocked(partial(self._scheduler.requeue, unit))
        worker.queue.clear()
        worker.up, worker.life = False, worker.life + 1
        self._at(self._now + self._rates.replace_s, partial(self._arrive, worker))

    def _hand_out(self) -> None:
        """As `cluster.fleet` does: nobody gets a second unit while another has none."""
        starved = False
        for (role, region), room in self._room.items():
            ask = partial(self._scheduler.take, role, region, self._now)
            while (seats := next(filter(None, room), None)) is not None:
                if (unit := self._clocked(ask)) is None:
                    starved = True
                    break
                self._give(seats.popitem()[0], unit)
        if starved and not self._ticking:
            # A straggler shows by time passing alone: look again, as the real loop does.
            self._ticking = True
            self._at(self._now + TICK_S, self._tick)
        if not any(w.queue or not w.up for w in self._workers):
            self._scheduler.check_alive()

    def _tick(self) -> None:
        self._ticking = False

    def _give(self, worker: _Worker, unit: Unit) -> None:
        worker.queue.append(unit)
        if len(worker.queue) < IN_FLIGHT_PER_WORKER:
            self._room[worker.role, worker.region][len(worker.queue)][worker] = None
        if len(worker.queue) == 1:
            self._begin(worker)

    def _begin(self, worker: _Worker) -> None:
        rates = self._rates
        noise = self._rng.lognormal(-(rates.sigma**2) / 2, rates.sigma)
        straggles = worker.region is None and self._rng.random() < rates.straggler_share
        slow = rates.straggler_times if straggles else 1.0
        worker.began, life = self._now, worker.life
        takes = self._seconds[worker.queue[0].key] * noise * slow
        self._at(self._now + takes, partial(self._end, worker, life))

    def _end(self, worker: _Worker, life: int) -> None:
        if worker.life != life:
            return
        self._forget_room(worker)
        unit = worker.queue.popleft()
        first = self._clocked(partial(self._scheduler.settle, unit, self._now))
        if worker.role == "mapper":
            self._busy_s += self._now - worker.began
            self._lost_s += 0.0 if first else self._now - worker.began
        if first:
            self._done[unit.key] += 1
            if unit.stage == "map":
                self._mapped.append(self._now)
        self._backups += not first
        self._room[worker.role, worker.region][len(worker.queue)][worker] = None
        if worker.queue:
            self._begin(worker)

    def _forget_room(self, worker: _Worker) -> None:
        for seats in self._room[worker.role, worker.region]:
            seats.pop(worker, None)


def service_seconds(plan: Plan, sensors: Iterable[str], res_m: int, rates: Rates) -> dict[Key, float]:
    """Mean seconds of every unit of a plan, from what the plan says about it."""
    out: dict[Key, float] = {}
    for name in sensors:
        kind = sensor(name)
        tile_mb = (BLOCK_M // res_m) ** 2 * len(kind.bands) * kind.numpy_dtype.itemsize / 1e6
        for block in plan.tile_blocks:
            out["ingest", f"{name}.{block.name}"] = tile_mb / rates.ingest_mb_s
    for unit in plan.blocks:
        forward = unit.n_windows * rates.members / rates.windows_per_s
        out["map", unit.name] = forward * (1 + rates.map_overhead) + rates.map_latency_s
    rows: Counter[str] = Counter()
    for group in plan.groups:
        work = group.n_glaciers * rates.measure_ms_glacier / 1000 + group.pixels / 1e6 * rates.measure_s_mpx
        out["measure", group.name] = work
        rows[group.region] += group.n_glaciers
    return out | {("publish", r): 5.0 + n * rates.publish_ms_glacier / 1000 for r, n in rows.items()}


def simulate(units: Sequence[Unit], seconds: Mapping[Key, float], gpus: int, rates: Rates, seed: int = 0) -> Outcome:
    """One SIMULATED run. The same arguments give the same outcome, scheduler_s apart."""
    return Simulation(units, seconds, gpus, rates, seed).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64, 512])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the glaciers")
    parser.add_argument("--usd-per-gpu-hour", type=float, help="default: plan.usd_per_gpu_hour")
    for name, value in vars(Rates()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = parser.parse_args()
    rates = Rates(**{name: getattr(arguments, name) for name in vars(Rates())})
    glaciers = simulate_inventory(arguments.seed, share=arguments.share)
    run, plan = plan_world(glaciers, "memory://fleet-simulation")
    save_plan(run.objects, Plan(plan.blocks, plan.groups, ()))
    units = units_of(run.url, sorted({g.region for g in plan.groups}))
    needs = [need.sensor for need in run.model().spec.needs]
    seconds = service_seconds(plan, needs, run.config.grid.res_m, rates)
    usd = run.config.plan.usd_per_gpu_hour if arguments.usd_per_gpu_hour is None else arguments.usd_per_gpu_hour
    mkm2 = float(glaciers["area_km2"].sum()) / 1e6
    console = Console(width=140)
    for what, chosen in (
        ("tiles are ingested in the same run", units),
        ("tiles are there already", [u for u in units if u.stage != "ingest"]),
    ):
        outcomes = [simulate(chosen, seconds, gpus, rates, arguments.seed) for gpus in arguments.gpus]
        console.print(outcome_table(outcomes, f"{len(chosen):,} units, {what}", usd, mkm2))
    console.print(assumptions(rates, usd))


def assumptions(rates: Rates, usd: float) -> str:
    """Everything that the figures rest on, in words."""
    return (
        f"Assumed: {rates.windows_per_s:g} windows/s per GPU, forward passes per window: {rates.members}, "
        f"+ {rates.map_overhead:.0%} + {rates.map_latency_s:g} s per block; ingest {rates.ingest_mb_s:g} MB/s per CPU; "
        f"measuring {rates.measure_ms_glacier:g} ms per glacier + {rates.measure_s_mpx:g} s per Mpx; "
        f"publishing 5 s + {rates.publish_ms_glacier:g} ms per glacier; log-normal noise {rates.sigma:g}; "
        f"{rates.straggler_share:.1%} of the units {rates.straggler_times:g} × as long; "
        f"pre-emption after {rates.life_s / _HOUR_S:g} h on average, replaced in {rates.replace_s:g} s; "
        f"cold start {rates.start_s:g} s; {rates.surveyors_per_gpu} CPUs per GPU, in its price of {usd:g} USD/h."
    )


def outcome_table(outcomes: Sequence[Outcome], what: str, usd: float, mkm2: float) -> Table:
    """A row per fleet. usd: per GPU-hour; mkm2: million km² of glaciers."""
    table = Table(title=f"SIMULATED fleets, real scheduler: {what}")
    for name in (
        *("GPUs", "hours", "× faster", "GPU idle", "last 5 % of blocks", "pre-empted", "copies too late"),
        *("lost GPU-h", "GPU-h", "USD", "USD per Mkm²", "scheduler CPU, s"),
    ):
        table.add_column(name, justify="right")
    for o in outcomes:
        hours = o.gpu_s / _HOUR_S
        table.add_row(
            f"{o.gpus}",
            f"{o.makespan_s / _HOUR_S:.2f}",
            f"{outcomes[0].makespan_s / o.makespan_s:.1f}",
            f"{o.idle_share:.0%}",
            f"{o.tail_share:.1%}",
            f"{o.preemptions:,}",
            f"{o.backups:,}",
            f"{o.lost_gpu_s / _HOUR_S:.2f}",
            f"{hours:.1f}",
            f"{hours * usd:.1f}",
            f"{hours * usd / mkm2:.0f}",
            f"{o.scheduler_s:.2f}",
        )
    return table


if __name__ == "__main__":
    main()
