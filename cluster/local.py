"""The local executor: the same units in one process, or in a pool of processes, without ray.

Processes are spawned, never forked: object-store clients do not survive a fork. A process that dies takes nothing
with it but its units in flight, which are taken again, one at a time, by a fresh pool.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from cluster.attempt import Doer, Outcome, attempt, die, give_up
from cluster.events import Callback, TaskEvent
from cluster.scheduler import Key, Scheduler, Unit
from core.errors import SystemicError
from core.worker import Worker

MakeWorker = Callable[[str], Doer]
IN_FLIGHT_PER_WORKER = 2
MOST_LOSSES = 3
_worker: Doer | None = None


def run_local(run_url: str, scheduler: Scheduler, workers: int, callback: Callback, make: MakeWorker = Worker) -> None:
    """Do every unit. workers: processes; 0 = one per CPU; 1 = this process. make: run URL → worker, picklable.

    Raises SystemicError or ConfigError as soon as a unit does; what is committed by then stays.
    """
    workers = workers or len(os.sched_getaffinity(0))
    # memory:// exists in one process only, and a pool is not worth its start for a handful of units.
    if workers == 1 or run_url.startswith("memory://") or scheduler.total.total() <= workers:
        _here(make(run_url), scheduler, callback)
    else:
        _Pool(run_url, scheduler, workers, callback, make).run()


def _here(worker: Doer, scheduler: Scheduler, callback: Callback) -> None:
    while not scheduler.finished:
        unit = scheduler.take()
        if unit is None:
            scheduler.check_alive()
            continue
        _conclude(attempt(worker, unit.stage, unit.name), unit, scheduler, callback)


@dataclass
class _Pool:
    """A pool of processes, and a fresh one whenever a process of it died.

    A death takes all units in flight with it, guilty or not. They are suspects: each is tried again alone, so that
    a unit is set aside for its own deaths only. flying: units in flight; losses: deaths a unit was there for.
    """

    run_url: str
    scheduler: Scheduler
    workers: int
    callback: Callback
    make: MakeWorker
    flying: dict[Future[Outcome], Unit] = field(default_factory=dict)
    suspects: list[Unit] = field(default_factory=list)
    losses: Counter[Key] = field(default_factory=Counter)

    def run(self) -> None:
        while not self.scheduler.finished:
            try:
                with ProcessPoolExecutor(
                    self.workers, mp.get_context("spawn"), _start, (self.make, self.run_url)
                ) as pool:
                    try:
                        self._work(pool)
                    except BaseException:
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise
            except BrokenProcessPool:
                self._bury()

    def _work(self, pool: ProcessPoolExecutor) -> None:
        try:
            with _deaf():
                first = pool.submit(os.getpid)
            first.result()
        except BrokenProcessPool as error:
            raise SystemicError(
                "worker processes", found="they end before their first unit", fix="set execution.workers=1 to see why"
            ) from error
        while self.suspects:
            self._submit(pool, self.suspects.pop())
            self._settle_done()
        while not self.scheduler.finished:
            while len(self.flying) < self.workers * IN_FLIGHT_PER_WORKER and (unit := self.scheduler.take()):
                self._submit(pool, unit)
            self.scheduler.check_alive()
            self._settle_done()

    def _submit(self, pool: ProcessPoolExecutor, unit: Unit) -> None:
        try:
            with _deaf():
                self.flying[pool.submit(_do, unit.stage, unit.name)] = unit
        except BrokenProcessPool:
            self.scheduler.requeue(unit)
            raise

    def _settle_done(self) -> None:
        done, _ = wait(self.flying, return_when=FIRST_COMPLETED)
        for future in done:
            self._settle(future.result(), self.flying[future])
            del self.flying[future]

    def _settle(self, outcome: Outcome, unit: Unit) -> None:
        _conclude(outcome, unit, self.scheduler, self.callback)

    def _bury(self) -> None:
        """After a death: what was finished counts, the rest is suspect."""
        for future, unit in self.flying.items():
            if not future.cancelled() and future.exception() is None:
                self._settle(future.result(), unit)
                continue
            self.losses[unit.key] += 1
            if self.losses[unit.key] < MOST_LOSSES:
                self.callback(TaskEvent("retried", unit.stage, unit.name, unit.region, message="its process died"))
                self.suspects.append(unit)
            else:
                self._settle(give_up(self.run_url, unit.stage, unit.name, MOST_LOSSES), unit)
        self.flying.clear()


def _conclude(outcome: Outcome, unit: Unit, scheduler: Scheduler, callback: Callback) -> None:
    if outcome.preempted:
        callback(TaskEvent("retried", unit.stage, unit.name, unit.region, message="its worker was taken away"))
        scheduler.requeue(unit)
    elif scheduler.settle(unit):
        report(unit, outcome, callback)


def report(unit: Unit, outcome: Outcome, callback: Callback) -> None:
    """Tell the callback how a unit ended."""
    for _ in range(outcome.retries):
        callback(TaskEvent("retried", unit.stage, unit.name, unit.region))
    event = TaskEvent("done", unit.stage, unit.name, unit.region, span=outcome.span)
    if outcome.result is not None:
        r = outcome.result
        callback(replace(event, seconds=r.seconds, counts=r.counts, stalls=r.stalls, device=r.device))
    elif outcome.failure is not None:
        callback(replace(event, kind="quarantined", message=outcome.failure.message))


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started within never hear Ctrl-C, which reaches the whole group: what is in flight ends in peace."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _start(make: MakeWorker, run_url: str) -> None:
    global _worker
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _worker = make(run_url)


def _die_with_parent() -> None:
    """A killed parent closes no queue: without this its processes would wait for work for ever."""
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(stage: str, unit: str) -> Outcome:
    assert _worker is not None, "the pool starts every process with a worker"
    return attempt(_worker, stage, unit, on_broken_device=die)
