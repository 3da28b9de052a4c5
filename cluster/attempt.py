"""One attempt at a unit: what the policy says, done in the process that works.

Waits and tries again, shrinks, writes quarantine records; what concerns the whole run or another worker goes up, as
an exception or in the outcome.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn, Protocol

from cluster.events import NOWHERE, Span
from cluster.policy import ATTEMPTS, Action, action_for, pause_s
from core.errors import DeviceError, SystemicError
from core.ledger import Failure, Ledger
from core.objects import Objects
from core.worker import UnitResult

EXIT_BROKEN_DEVICE = 70


class Doer(Protocol):
    """What an executor needs of a worker."""

    ledger: Ledger

    def do(self, stage: str, unit: str) -> UnitResult:
        """Do one unit. Raises what the work raises."""
        ...

    def shrink(self) -> bool:
        """Need less memory from now on; False if that is not possible any more."""
        ...


@dataclass(frozen=True)
class Outcome:
    """result if it is done, failure if it is set aside, neither if it must be queued again; retries: in place.

    span: of all tries; empty if the process that tried is gone.
    """

    result: UnitResult | None
    failure: Failure | None
    retries: int = 0
    span: Span = NOWHERE

    @property
    def preempted(self) -> bool:
        return self.result is None and self.failure is None


def stop_here(error: BaseException) -> NoReturn:
    """A broken device in a process that nobody would start again."""
    raise SystemicError(
        "device", found=str(error), expected="a device that works", fix="run the same command again in a new process"
    ) from error


def die(error: BaseException) -> NoReturn:
    """A broken device in a worker process: only its end gets rid of the device's state."""
    del error
    os._exit(EXIT_BROKEN_DEVICE)


def attempt(
    worker: Doer,
    stage: str,
    unit: str,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
    on_broken_device: Callable[[BaseException], NoReturn] = stop_here,
) -> Outcome:
    """Do one unit as the policy says. Raises SystemicError or ConfigError, which would hit every unit alike."""
    node, started = socket.gethostname(), time.time()
    outcome = _attempt(worker, stage, unit, sleep, jitter, on_broken_device)
    return replace(outcome, span=Span(f"{node}:{os.getpid()}", node, started, time.time()))


def _attempt(
    worker: Doer,
    stage: str,
    unit: str,
    sleep: Callable[[float], None],
    jitter: Callable[[], float],
    on_broken_device: Callable[[BaseException], NoReturn],
) -> Outcome:
    tried = 0
    while True:
        try:
            return Outcome(worker.do(stage, unit), None, tried)
        except Exception as error:
            action = action_for(error)
            last = tried + 1 >= ATTEMPTS
            if action is Action.STOP or (action is Action.RETRY_THEN_STOP and last):
                raise
            if action is Action.REQUEUE:
                return Outcome(None, None, tried)
            if action is Action.DIE:
                on_broken_device(error)
            if action is Action.SHRINK and worker.shrink():
                continue
            if action in (Action.SHRINK, Action.SET_ASIDE) or last:
                failure = Failure.of(stage, unit, error)
                worker.ledger.quarantine(failure)
                return Outcome(None, failure, tried)
            sleep(pause_s(tried, jitter()))
            tried += 1


def give_up(run_url: str, stage: str, unit: str, losses: int) -> Outcome:
    """Set aside a unit whose process died `losses` times: more likely its own doing than bad luck."""
    error = DeviceError(
        f"{stage} {unit}",
        found=f"its process died {losses} times",
        fix="look for an out-of-memory kill in the system log",
    )
    failure = Failure.of(stage, unit, error)
    Ledger(Objects(run_url)).quarantine(failure)
    return Outcome(None, failure)
