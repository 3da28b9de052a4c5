"""The stopwatch: every second has one name, and no more seconds than passed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.stopwatch import Stopwatch


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_seconds_are_charged_to_the_innermost_name(clock):
    watch = Stopwatch(clock)
    with watch.on("prepare"):
        clock.sleep(1)
        with watch.on("wait"):
            clock.sleep(2)
        clock.sleep(4)
    assert watch.seconds == {"prepare": 5, "wait": 2}


def test_what_happens_outside_is_charged_to_nobody(clock):
    watch = Stopwatch(clock)
    clock.sleep(1)
    with watch.on("wait"):
        clock.sleep(2)
    clock.sleep(4)
    with watch.on("wait"):
        clock.sleep(8)
    assert watch.seconds == {"wait": 10}


def test_a_name_within_itself_is_not_counted_twice(clock):
    watch = Stopwatch(clock)
    with watch.on("wait"), watch.on("wait"):
        clock.sleep(3)
    assert watch.seconds == {"wait": 3}


def test_work_that_raises_is_charged_and_leaves_the_watch_in_order(clock):
    watch = Stopwatch(clock)
    with watch.on("prepare"):
        with pytest.raises(ValueError, match="x"), watch.on("wait"):
            clock.sleep(2)
            raise ValueError("x")
        clock.sleep(1)
    assert watch.seconds == {"wait": 2, "prepare": 1}


@pytest.mark.parametrize(("told", "moved"), [(0.0, 0), (2.0, 2), (99.0, 3), (-1.0, 0)])
def test_what_another_measured_moves_but_never_more_than_there_is(clock, told, moved):
    watch = Stopwatch(clock)
    with watch.on("compute"):
        clock.sleep(3)
    watch.move("compute", "to_device", told)
    assert watch.seconds == {"compute": 3 - moved, "to_device": moved}


def test_moving_from_a_name_that_has_nothing_names_both():
    watch = Stopwatch()
    watch.move("compute", "to_device", 1.0)
    assert watch.seconds == {"compute": 0, "to_device": 0}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 1e3)), max_size=30))
def test_names_sum_to_the_time_within_them_however_they_nest(steps):
    clock, within = Clock(), 0.0
    watch = Stopwatch(clock)

    def go(k: int, depth: int) -> int:
        nonlocal within
        while k < len(steps):
            name, deeper, seconds = steps[k]
            k += 1
            with watch.on(name):
                clock.sleep(seconds)
                within += seconds
                k = go(k, depth + 1) if deeper and depth < 5 else k
            if depth and not deeper:
                return k
        return k

    go(0, 0)
    assert sum(watch.seconds.values()) == pytest.approx(within)
    assert all(seconds >= 0 for seconds in watch.seconds.values())
