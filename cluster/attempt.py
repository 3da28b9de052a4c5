"""One attempt at a unit: the failure classes turned into what happens next, in one place for every executor.

Transient errors wait and try again here, with full jitter; a poisoned or unexpected error becomes a quarantine record
and the run goes on; a systemic one goes up and stops the run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.errors import ConfigError, DeviceError, SystemicError, TransientError
from core.ledger import Failure, Ledger
from core.objects import Objects
from core.worker import UnitResult

ATTEMPTS = 5
BASE_S, CAP_S = 0.5, 20.0


class Doer(Protocol):
    """What an executor needs of a worker."""

    ledger: Ledger

    def do(self, stage: str, unit: str) -> UnitResult:
        """Do one unit. Raises what the work raises."""
        ...


@dataclass(frozen=True)
class Outcome:
    """Exactly one of result and failure is set; retries: transient errors survived."""

    result: UnitResult | None
    failure: Failure | None
    retries: int = 0


def attempt(
    worker: Doer,
    stage: str,
    unit: str,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> Outcome:
    """Do one unit. Raises SystemicError or ConfigError, which would hit every unit alike; returns all else."""
    for tried in range(ATTEMPTS):
        try:
            return Outcome(worker.do(stage, unit), None, tried)
        except (SystemicError, ConfigError):
            raise
        except TransientError as error:
            if tried + 1 == ATTEMPTS:
                return _aside(worker, Failure.of(stage, unit, error), tried)
            sleep(jitter() * min(CAP_S, BASE_S * 2**tried))
        except Exception as error:
            return _aside(worker, Failure.of(stage, unit, error), tried)
    raise AssertionError("unreachable: every attempt returns, raises or is the last")


def _aside(worker: Doer, failure: Failure, retries: int) -> Outcome:
    worker.ledger.quarantine(failure)
    return Outcome(None, failure, retries)


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
