"""The local executor: the same units in one process, or in a pool of processes, without ray.

Processes are spawned, never forked: object-store clients do not survive a fork. A process that dies takes nothing
with it but its units in flight, which are taken again by a fresh pool.
"""

from __future__ import annotations

import multiprocessing as mp
import os
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from cluster.attempt import Outcome, attempt, give_up
from cluster.events import Callback, TaskEvent
from cluster.scheduler import ROLES, Scheduler, Unit
from core.worker import Worker

IN_FLIGHT_PER_WORKER = 2
MOST_LOSSES = 3
_worker: Worker | None = None


def run_local(run_url: str, scheduler: Scheduler, workers: int, callback: Callback) -> None:
    """Do every unit. workers: processes; 0 = one per CPU; 1 = this process.

    Raises SystemicError or ConfigError as soon as a unit does; what is committed by then stays.
    """
    workers = workers or len(os.sched_getaffinity(0))
    # memory:// exists in one process only, and a pool is not worth its start for a handful of units.
    if workers == 1 or run_url.startswith("memory://") or scheduler.total.total() <= workers:
        _here(run_url, scheduler, callback)
    else:
        _pool(run_url, scheduler, workers, callback)


def _here(run_url: str, scheduler: Scheduler, callback: Callback) -> None:
    worker = Worker(run_url)
    while not scheduler.finished:
        unit = _take(scheduler)
        if unit is None:
            scheduler.check_alive()
            continue
        report(unit, attempt(worker, unit.stage, unit.name), callback)
        scheduler.settle(unit)


def _pool(run_url: str, scheduler: Scheduler, workers: int, callback: Callback) -> None:
    losses: Counter[tuple[str, str]] = Counter()
    while not scheduler.finished:
        with ProcessPoolExecutor(workers, mp.get_context("spawn"), _start, (run_url,)) as pool:
            flying: dict[Future[Outcome], Unit] = {}
            try:
                _drain(pool, scheduler, workers, flying, callback)
            except BrokenProcessPool:
                for unit in flying.values():
                    losses[unit.key] += 1
                    if losses[unit.key] >= MOST_LOSSES:
                        report(unit, give_up(run_url, unit.stage, unit.name, MOST_LOSSES), callback)
                        scheduler.settle(unit)
                    else:
                        callback(TaskEvent("retried", unit.stage, unit.name, unit.region, message="its process died"))
                        scheduler.requeue(unit)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _drain(
    pool: ProcessPoolExecutor,
    scheduler: Scheduler,
    workers: int,
    flying: dict[Future[Outcome], Unit],
    callback: Callback,
) -> None:
    while not scheduler.finished:
        while len(flying) < workers * IN_FLIGHT_PER_WORKER and (unit := _take(scheduler)) is not None:
            flying[pool.submit(_do, unit.stage, unit.name)] = unit
        scheduler.check_alive()
        done, _ = wait(flying, return_when=FIRST_COMPLETED)
        for future in done:
            outcome = future.result()
            unit = flying.pop(future)
            report(unit, outcome, callback)
            scheduler.settle(unit)


def _take(scheduler: Scheduler) -> Unit | None:
    for role in reversed(list(dict.fromkeys(ROLES.values()))):
        unit = scheduler.take(role)
        if unit is not None:
            return unit
    return None


def report(unit: Unit, outcome: Outcome, callback: Callback) -> None:
    """Tell the callback how a unit ended."""
    for _ in range(outcome.retries):
        callback(TaskEvent("retried", unit.stage, unit.name, unit.region))
    if outcome.result is not None:
        callback(TaskEvent("done", unit.stage, unit.name, unit.region, outcome.result.seconds, outcome.result.counts))
    elif outcome.failure is not None:
        callback(TaskEvent("quarantined", unit.stage, unit.name, unit.region, message=outcome.failure.message))


def _start(run_url: str) -> None:
    global _worker
    _worker = Worker(run_url)


def _do(stage: str, unit: str) -> Outcome:
    assert _worker is not None, "the pool starts every process with a worker"
    return attempt(_worker, stage, unit)
