"""Task events: what an executor says of a unit, and that it survives the way to a file and back."""

from __future__ import annotations

import json
import os

from cluster.attempt import Outcome, attempt
from cluster.drive import Tally
from cluster.events import Span, TaskEvent, all_of
from cluster.local import report
from cluster.scheduler import Scheduler, Unit
from core.errors import PoisonError, TransientError
from core.ledger import Failure, Ledger
from core.objects import Objects
from core.worker import UnitResult

UNIT = Unit("map", "a", "15")
SPAN = Span("host:7", "host", 100.0, 103.5)
DONE = TaskEvent(
    "done", "map", "a", "15", 3.0, {"windows": 4, "bytes": 5e6}, stalls={"wait": 1.0}, device="cuda:0", span=SPAN
)


def reported(outcome: Outcome) -> list[TaskEvent]:
    heard: list[TaskEvent] = []
    report(UNIT, outcome, heard.append)
    return heard


def test_a_unit_that_is_done_says_what_where_and_how_long():
    result = UnitResult("map", "a", 3.0, {"windows": 4, "bytes": 5e6}, {"wait": 1.0}, "cuda:0")
    [event] = reported(Outcome(result, None, span=SPAN))
    assert event == DONE and event.bytes == 5e6


def test_tries_in_place_are_told_before_the_end_of_the_unit():
    heard = reported(Outcome(UnitResult("map", "a", 1.0), None, retries=2, span=SPAN))
    assert [e.kind for e in heard] == ["retried", "retried", "done"]


def test_a_unit_that_is_set_aside_says_why_and_when():
    [event] = reported(Outcome(None, Failure("map", "a", "PoisonError", "found a broken strip"), span=SPAN))
    assert (event.kind, event.message, event.span) == ("quarantined", "found a broken strip", SPAN)
    assert event.seconds == 0 and event.counts == {} and event.bytes == 0


def test_an_event_goes_into_json_and_comes_back():
    for event in (DONE, TaskEvent("retried", "map", "a", "15", message="its node went away")):
        assert TaskEvent.from_record(json.loads(json.dumps(event.to_record()))) == event


def test_a_record_of_another_version_is_read_as_far_as_it_is_known():
    old = {"kind": "done", "stage": "map", "unit": "a", "region": "15", "weather": "snow"}
    assert TaskEvent.from_record(old) == TaskEvent("done", "map", "a", "15")


def test_all_callbacks_hear_every_event_in_turn():
    heard: list[str] = []
    all_of(lambda e: heard.append(f"1 {e.unit}"), lambda e: heard.append(f"2 {e.unit}"))(DONE)
    assert heard == ["1 a", "2 a"]


class Worker:
    """Fails once with a passing error, then as told."""

    def __init__(self, url: str, *errors: BaseException) -> None:
        self.ledger = Ledger(Objects(url))
        self._errors = iter(errors)

    def do(self, stage: str, unit: str) -> UnitResult:
        for error in self._errors:
            raise error
        return UnitResult(stage, unit, 0.0)

    def shrink(self) -> bool:
        return False


def test_an_attempt_knows_its_process_and_spans_its_tries(memory_url):
    pauses: list[float] = []
    worker = Worker(memory_url, TransientError("s3"))
    span = attempt(worker, "map", "a", sleep=pauses.append).span
    assert len(pauses) == 1
    assert span.worker == f"{span.node}:{os.getpid()}" and span.node
    assert 0 < span.started <= span.ended


def test_an_attempt_that_sets_aside_has_a_span_too(memory_url):
    outcome = attempt(Worker(memory_url, PoisonError("a")), "map", "a")
    assert outcome.failure is not None and outcome.span.worker


def test_a_tally_keeps_what_the_table_at_the_end_needs():
    tally = Tally()
    for event in (DONE, DONE, TaskEvent("retried", "map", "b", "15"), TaskEvent("quarantined", "map", "b", "15")):
        tally(event)
    assert tally.done == {"map": 2} and tally.retried == {"map": 1} and [e.unit for e in tally.quarantined] == ["b"]
    assert tally.counts == {"map.windows": 8, "map.bytes": 1e7} and tally.stalls == {"map.wait": 2}
    assert tally.device_s == {"cuda:0": 6} and tally.spans == {"map": [SPAN, SPAN]}


def test_the_scheduler_counts_units_by_stage_and_region():
    units = [Unit("map", "a", "14"), Unit("map", "b", "15"), Unit("map", "c", "15"), Unit("publish", "15", "15")]
    assert Scheduler(units).by_region == {("map", "14"): 1, ("map", "15"): 2, ("publish", "15"): 1}
