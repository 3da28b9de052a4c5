"""One attempt at a unit: how often it is called, how long it waits, and what becomes of each class of failure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NoReturn

import pytest

from cluster.attempt import attempt, give_up
from cluster.policy import ATTEMPTS, CAP_S
from core.errors import (
    ConfigError,
    DeviceError,
    IcefleetError,
    PoisonError,
    PreemptedError,
    ResourceError,
    SystemicError,
    TransientError,
)
from core.ledger import Ledger
from core.objects import Objects
from core.worker import UnitResult


class Scripted:
    """A worker whose calls fail as the script says; after its end they succeed. It can be halved `sizes` times."""

    def __init__(self, url: str, *script: BaseException, sizes: int = 0) -> None:
        self.ledger = Ledger(Objects(url))
        self._script: Iterator[BaseException] = iter(script)
        self.calls: list[tuple[str, str]] = []
        self.sizes = sizes

    def do(self, stage: str, unit: str) -> UnitResult:
        self.calls.append((stage, unit))
        for error in self._script:
            raise error
        return UnitResult(stage, unit, 0.0, {"windows": 1.0})

    def shrink(self) -> bool:
        self.sizes -= 1
        return self.sizes >= 0


def transient(times: int) -> list[TransientError]:
    return [TransientError("s3", found=f"503 number {k}") for k in range(times)]


def go(worker: Scripted, pauses: list[float] | None = None, jitter: float = 1.0):
    return attempt(worker, "map", "u", (pauses if pauses is not None else []).append, lambda: jitter)


def test_a_unit_that_succeeds_is_called_once(memory_url):
    worker = Scripted(memory_url)
    outcome = go(worker)
    assert worker.calls == [("map", "u")]
    assert outcome.result is not None and outcome.failure is None and outcome.retries == 0
    assert worker.ledger.quarantined() == set()


@pytest.mark.parametrize("failures", range(1, ATTEMPTS))
def test_transient_errors_are_tried_again_until_the_unit_succeeds(memory_url, failures):
    worker, pauses = Scripted(memory_url, *transient(failures)), []
    outcome = go(worker, pauses)
    assert len(worker.calls) == failures + 1 and len(pauses) == failures
    assert outcome.result is not None and outcome.retries == failures
    assert worker.ledger.quarantined() == set()


def test_transient_errors_without_end_are_bounded_and_set_the_unit_aside(memory_url):
    worker, pauses = Scripted(memory_url, *transient(100)), []
    outcome = go(worker, pauses)
    assert len(worker.calls) == ATTEMPTS and len(pauses) == ATTEMPTS - 1
    assert outcome.result is None and outcome.failure is not None and outcome.failure.kind == "TransientError"
    assert worker.ledger.quarantined() == {("map", "u")}
    assert f"503 number {ATTEMPTS - 1}" in worker.ledger.failure("map", "u").message


def test_pauses_double_up_to_a_cap_and_jitter_shrinks_them(memory_url):
    full: list[float] = []
    go(Scripted(memory_url, *transient(100)), full)
    assert all(b == min(2 * a, CAP_S) for a, b in itertools.pairwise(full))
    none: list[float] = []
    go(Scripted(memory_url, *transient(100)), none, jitter=0.0)
    assert set(none) == {0.0}


@pytest.mark.parametrize(
    "error",
    [
        PoisonError("u", found="a broken strip"),
        ResourceError("u", found="out of memory, and nothing left to shrink"),
        IcefleetError("u"),
        ValueError("an error that nobody foresaw"),
        FileNotFoundError("partials/x.parquet"),
        MemoryError(),
    ],
    ids=lambda e: type(e).__name__,
)
def test_anything_that_only_this_unit_suffers_sets_it_aside_once_with_its_traceback(memory_url, error):
    worker = Scripted(memory_url, error)
    outcome = go(worker)
    assert len(worker.calls) == 1
    record = worker.ledger.failure("map", "u")
    assert record == outcome.failure and record is not None
    assert record.kind == type(error).__name__ and "in do" in record.traceback
    assert len(worker.ledger.run.list()) == 1


def test_a_pre_empted_unit_is_neither_done_nor_set_aside(memory_url):
    worker = Scripted(memory_url, PreemptedError("u"))
    outcome = go(worker)
    assert outcome.preempted and len(worker.calls) == 1
    assert worker.ledger.quarantined() == set()


def test_out_of_memory_shrinks_the_worker_without_a_pause_and_without_counting_as_a_try(memory_url):
    worker, pauses = Scripted(memory_url, *[ResourceError("u")] * (ATTEMPTS + 2), sizes=ATTEMPTS + 2), []
    outcome = go(worker, pauses)
    assert outcome.result is not None and outcome.retries == 0 and pauses == []
    assert len(worker.calls) == ATTEMPTS + 3


def test_out_of_memory_sets_aside_once_nothing_is_left_to_shrink(memory_url):
    worker = Scripted(memory_url, *[ResourceError("u")] * 100, sizes=2)
    outcome = go(worker)
    assert len(worker.calls) == 3 and outcome.failure is not None and outcome.failure.kind == "ResourceError"


def test_a_broken_device_ends_the_process_or_where_nobody_starts_another_the_run(memory_url):
    def end(error: BaseException) -> NoReturn:
        raise SystemExit(str(error))

    worker = Scripted(memory_url, DeviceError("gpu 3"), DeviceError("gpu 3"))
    with pytest.raises(SystemExit, match="gpu 3"):
        attempt(worker, "map", "u", on_broken_device=end)
    with pytest.raises(SystemicError, match="gpu 3; expected a device that works"):
        go(worker)
    assert len(worker.calls) == 2 and worker.ledger.quarantined() == set()


def test_poison_after_a_transient_error_is_not_tried_again(memory_url):
    worker = Scripted(memory_url, *transient(2), PoisonError("u"))
    outcome = go(worker)
    assert len(worker.calls) == 3 and outcome.retries == 2 and outcome.failure is not None


@pytest.mark.parametrize("kind", [SystemicError, ConfigError])
def test_what_would_hit_every_unit_goes_up_at_once_and_sets_nothing_aside(memory_url, kind):
    worker = Scripted(memory_url, kind("s3://b", found="access refused"))
    with pytest.raises(kind, match="access refused"):
        go(worker)
    assert len(worker.calls) == 1 and worker.ledger.quarantined() == set()


def test_an_interrupt_is_no_failure_of_the_unit(memory_url):
    worker = Scripted(memory_url, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        go(worker)
    assert worker.ledger.quarantined() == set()


def test_a_unit_whose_process_died_too_often_is_set_aside_with_the_count(memory_url):
    outcome = give_up(memory_url, "map", "u", 3)
    record = Ledger(Objects(memory_url)).failure("map", "u")
    assert record == outcome.failure and record is not None
    assert record.kind == "DeviceError" and "its process died 3 times" in record.message
