"""The end of a session in numbers: rates over wall time, amplification, the split of the work, and honest prices."""

from __future__ import annotations

import pytest

from cluster.drive import Tally
from cluster.events import Span, TaskEvent
from jobs.summary import covered_s, stage_summary, usage


def span(started: float, ended: float) -> Span:
    return Span("h:1", "h", started, ended)


def tally(*events: TaskEvent) -> Tally:
    out = Tally()
    for event in events:
        out(event)
    return out


def mapped(started: float, ended: float, device: str = "cpu", **counts: float) -> TaskEvent:
    stalls = {"wait": (ended - started) / 4, "compute": (ended - started) / 2}
    return TaskEvent(
        "done", "map", "a", "15", ended - started, counts, stalls=stalls, device=device, span=span(started, ended)
    )


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([], 0),
        ([(0, 2)], 2),
        ([(0, 2), (5, 6)], 3),
        ([(0, 4), (1, 2), (3, 6)], 6),
        ([(5, 6), (0, 2)], 3),
        ([(0, 1), (0, 3)], 3),
    ],
)
def test_wall_time_counts_a_second_once_and_pauses_not_at_all(spans, seconds):
    assert covered_s(span(*s) for s in spans) == seconds


def test_rates_are_per_second_of_wall_and_shares_are_of_the_work():
    found = stage_summary(
        tally(
            mapped(0, 4, windows=30, bytes=24e6, bytes_needed=20e6),
            mapped(2, 6, windows=30, bytes=24e6, bytes_needed=20e6),
        ),
        "map",
    )
    assert (found["units"], found["wall_s"], found["work_s"]) == (2, 6, 8)
    assert (found["windows_per_s"], found["mb_per_s"], found["read_amplification"]) == (10, 8, 1.2)
    assert found["stalls"] == {"wait": 0.25, "compute": 0.5}
    assert found["counts"] == {"bytes": 48e6, "bytes_needed": 40e6, "windows": 60}


def test_a_stage_without_windows_or_bytes_has_no_rate_of_them():
    found = stage_summary(
        tally(TaskEvent("done", "measure", "g", "15", 1.0, {"glaciers": 3}, span=span(0, 1))), "measure"
    )
    assert (found["windows_per_s"], found["mb_per_s"], found["read_amplification"]) == (None, None, None)
    assert found["stalls"] == {} and found["counts"] == {"glaciers": 3}


def test_a_stage_that_only_failed_divides_by_nothing():
    found = stage_summary(tally(TaskEvent("quarantined", "map", "a", "15")), "map")
    assert (found["units"], found["quarantined"], found["wall_s"], found["stalls"]) == (0, 1, 0, {})


def test_counts_of_a_stage_are_not_those_of_a_longer_name():
    both = tally(
        TaskEvent("done", "map", "a", "15", counts={"n": 1}), TaskEvent("done", "mapx", "a", "15", counts={"n": 2})
    )
    assert stage_summary(both, "map")["counts"] == {"n": 1}


def test_gpu_hours_are_priced_per_million_square_kilometres():
    found = usage(tally(mapped(0, 3600, "cuda:0", km2=2e5), mapped(0, 1800, km2=0)), 1.2)
    assert found == {
        "gpu_hours": 1.0,
        "cpu_hours": 0.5,
        "mapped_km2": 2e5,
        "usd_per_gpu_hour": 1.2,
        "usd": 1.2,
        "usd_per_mkm2": pytest.approx(6.0),
    }


def test_hours_of_a_cpu_have_no_price_because_only_that_of_a_gpu_is_configured():
    found = usage(tally(mapped(0, 3600, km2=2e5)), 1.2)
    assert (found["cpu_hours"], found["usd"], found["usd_per_mkm2"]) == (1.0, None, None)
