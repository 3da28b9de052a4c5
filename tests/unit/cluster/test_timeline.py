"""The timeline: a row per worker, a slice per unit, and nothing on top of anything else."""

from __future__ import annotations

import itertools
import json

from cluster.events import Span, TaskEvent
from cluster.history import Entry
from cluster.scheduler import STAGES
from cluster.timeline import STALL, chrome_trace


def entry(unit: str, started: float, ended: float, worker: str = "h:1", kind: str = "done", **changed) -> Entry:
    span = Span(worker, worker.split(":")[0], started, ended)
    seconds = changed.pop("seconds", ended - started)
    return Entry("s", ended, TaskEvent(kind, "map", unit, "15", seconds, span=span, **changed))


def slices(trace, stage: bool = True):
    return [e for e in trace["traceEvents"] if e["ph"] == "X" and (e["cat"] in STAGES) == stage]


def test_no_history_is_an_empty_trace():
    assert chrome_trace([]) == {"traceEvents": [], "displayTimeUnit": "ms"}


def test_times_are_microseconds_since_the_first_unit():
    trace = chrome_trace([entry("a", 1000.0, 1001.5), entry("b", 1002.0, 1002.25)])
    assert [(e["ts"], e["dur"], e["args"]["unit"]) for e in slices(trace)] == [
        (0, 1_500_000, "a"),
        (2_000_000, 250_000, "b"),
    ]


def test_rows_are_workers_and_processes_are_nodes_by_name():
    trace = chrome_trace([entry("a", 0, 1, "h:1"), entry("b", 0, 1, "h:2"), entry("c", 0, 1, "k:1")])
    a, b, c = slices(trace)
    assert a["pid"] == b["pid"] != c["pid"] and len({e["tid"] for e in (a, b, c)}) == 3
    names = {(e["name"], e["args"]["name"]) for e in trace["traceEvents"] if e["ph"] == "M"}
    assert names == {
        *(("process_name", n) for n in ("h", "k")),
        *(("thread_name", n) for n in ("h:1", "h:2", "k:1")),
    }


def test_slices_of_a_worker_never_overlap_even_where_its_clock_was_set_back():
    trace = chrome_trace([entry("a", 10, 20), entry("b", 15, 18), entry("c", 17.5, 30), entry("d", 30, 31)])
    spans = [(e["ts"], e["ts"] + e["dur"]) for e in slices(trace)]
    assert len(spans) == 4 and all(one[1] <= other[0] for one, other in itertools.pairwise(spans))


def test_stalls_lie_one_after_the_other_within_the_last_try_of_their_unit():
    trace = chrome_trace([entry("a", 0, 10, seconds=4, stalls={"write": 1, "wait": 2, "compute": 0, "own": 0.5})])
    [unit] = slices(trace)
    assert [(e["name"], e["ts"], e["dur"]) for e in slices(trace, stage=False)] == [
        ("wait", 6_000_000, 2_000_000),
        ("write", 8_000_000, 1_000_000),
        ("own", 9_000_000, 500_000),
    ]
    assert unit["dur"] == 10_000_000 and {e["cat"] for e in slices(trace, stage=False)} == {STALL}


def test_stalls_never_stick_out_of_their_slice():
    trace = chrome_trace([entry("a", 0, 1), entry("b", 0.5, 1.2, stalls={"wait": 0.7})])
    unit, [stall] = slices(trace)[1], slices(trace, stage=False)
    assert unit["ts"] <= stall["ts"] and stall["ts"] + stall["dur"] <= unit["ts"] + unit["dur"]


def test_retries_and_units_without_a_worker_are_marks():
    lost = Entry("s", 5.0, TaskEvent("quarantined", "map", "b", "15", message="its process died 3 times"))
    again = Entry("s", 3.0, TaskEvent("retried", "map", "b", "15", message="its node went away"))
    trace = chrome_trace([entry("a", 2.0, 4.0), again, lost])
    marks = [e for e in trace["traceEvents"] if e["ph"] == "i"]
    assert [(m["name"], m["ts"]) for m in marks] == [("retried map", 1_000_000), ("quarantined map", 3_000_000)]
    assert len(slices(trace)) == 1


def test_stages_and_failures_have_colours_of_their_own():
    stages = [Entry("s", 1, TaskEvent("done", s, "u", "15", span=Span(f"h:{s}", "h", 0, 1))) for s in STAGES]
    trace = chrome_trace([*stages, entry("x", 0, 1, kind="quarantined", message="found [bad]")])
    assert len({e["cname"] for e in slices(trace)}) == len(STAGES) + 1
    json.dumps(trace)
