"""The history: parts under the run, sessions in order, and a store that stutters loses no line."""

from __future__ import annotations

import json

import pytest

from cluster.events import Span, TaskEvent
from cluster.history import EVERY_EVENTS, History, new_session, read_history
from core.errors import PoisonError, RefusedError, TransientError
from core.objects import Objects


def event(unit: str, **changed) -> TaskEvent:
    return TaskEvent("done", "map", unit, "15", 1.0, {"windows": 2.0}, span=Span("h:1", "h", 1.0, 2.0), **changed)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def run(memory_url: str) -> Objects:
    return Objects(memory_url)


def keys(run: Objects) -> list[str]:
    return [key for key, _ in run.list("events")]


def units(run: Objects) -> list[str]:
    return [entry.event.unit for entry in read_history(run)]


def test_a_session_without_events_writes_nothing(run):
    with History(run):
        pass
    assert keys(run) == [] and read_history(run) == []


def test_events_come_back_as_they_were_with_session_and_time(run):
    clock = Clock()
    with History(run, "s", clock=clock) as history:
        history(event("a"))
        clock.now = 1001.5
        history(event("b", message="ü\nzwei"))
    found = read_history(run)
    assert [e.event for e in found] == [event("a"), event("b", message="ü\nzwei")]
    assert [(e.session, e.at) for e in found] == [("s", 1000.0), ("s", 1001.5)]


def test_every_line_is_json_of_its_own(run):
    with History(run, "s") as history:
        history(event("a"))
        history(event("b"))
    lines = run.get("events/s/00000.jsonl").decode().splitlines()
    assert [json.loads(line)["unit"] for line in lines] == ["a", "b"]


def test_so_many_events_make_a_part_and_the_end_writes_the_rest(run):
    with History(run, "s", every_events=2) as history:
        for name in "abcde":
            history(event(name))
            assert len(keys(run)) == "abcde".index(name) // 2 + "abcde".index(name) % 2
    assert keys(run) == [f"events/s/{k:05d}.jsonl" for k in range(3)]
    assert units(run) == list("abcde")


def test_so_many_seconds_make_a_part(run):
    clock = Clock()
    history = History(run, "s", every_s=30, clock=clock)
    history(event("a"))
    assert keys(run) == []
    clock.now += 30
    history(event("b"))
    assert keys(run) == ["events/s/00000.jsonl"] and units(run) == ["a", "b"]
    clock.now += 29
    history(event("c"))
    assert len(keys(run)) == 1


def test_more_than_ten_parts_stay_in_order(run):
    names = [f"u{k}" for k in range(25)]
    with History(run, "s", every_events=1) as history:
        for name in names:
            history(event(name))
    assert len(keys(run)) == 25 and units(run) == names


def test_a_second_session_adds_and_never_overwrites(run):
    first, second = new_session(1_700_000_000.1), new_session(1_700_000_000.2)
    for session, name in ((second, "later"), (first, "earlier")):
        with History(run, session) as history:
            history(event(name))
    assert units(run) == ["earlier", "later"], "sessions by their start, whichever was written first"
    assert len(keys(run)) == 2


def test_sessions_that_start_at_the_same_moment_differ():
    assert len({new_session(1_700_000_000.0) for _ in range(50)}) == 50


class Stuttering(Objects):
    """Fails the next `failures` writes."""

    failures = 0
    error: Exception = TransientError("s3", found="503")
    puts = 0

    def put(self, key: str, data: bytes) -> None:
        self.puts += 1
        if self.failures:
            self.failures -= 1
            raise self.error
        super().put(key, data)


@pytest.mark.parametrize("error", [TransientError("s3", found="503"), RefusedError("s3", found="403")])
def test_a_part_that_could_not_be_written_is_written_with_the_next_one(memory_url, error):
    run = Stuttering(memory_url)
    run.failures, run.error = 1, error
    with History(run, "s", every_events=2) as history:
        for name in "abcd":
            history(event(name))
    assert units(run) == list("abcd") and keys(run) == ["events/s/00000.jsonl"]


def test_a_store_that_stays_down_is_not_asked_at_every_event(memory_url):
    run = Stuttering(memory_url)
    run.failures = 10**6
    history = History(run, "s", every_events=10)
    for k in range(100):
        history(event(f"u{k}"))
    assert run.puts == 10


def test_history_lost_at_the_end_is_an_error_unless_there_is_a_worse_one(memory_url):
    run = Stuttering(memory_url)
    run.failures = 10**6
    with pytest.raises(TransientError), History(run, "s") as history:
        history(event("a"))
    with pytest.raises(KeyboardInterrupt), History(run, "s") as history:
        history(event("a"))
        raise KeyboardInterrupt


def test_an_interrupted_session_keeps_what_it_heard(run):
    with pytest.raises(KeyboardInterrupt), History(run, "s") as history:
        history(event("a"))
        raise KeyboardInterrupt
    assert units(run) == ["a"]


def test_a_part_that_is_no_history_is_named(run):
    run.put("events/s/00000.jsonl", b"{not json\n")
    with pytest.raises(PoisonError, match=r"events/s/00000\.jsonl: found no history"):
        read_history(run)


def test_a_part_is_a_few_hundred_kilobytes_at_most():
    assert EVERY_EVENTS * len(json.dumps(event("utm45n-r226-c014").to_record())) < 1e6
