"""Numbers in words: sizes, rates and counts as a person reads them."""

from __future__ import annotations

import datetime as dt

import pytest

from jobs.plan import _bytes
from jobs.status import _per_minute

NOON = dt.datetime(2024, 8, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("n", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1.5e6, "1.5 MB"), (2e12, "2 TB")]
)
def test_bytes_are_written_with_three_digits_and_a_unit(n, words):
    assert _bytes(n) == words


def test_a_rate_needs_two_moments():
    assert _per_minute([]) is None
    assert _per_minute([NOON]) is None
    assert _per_minute([NOON, NOON]) is None


def test_a_rate_is_commits_per_minute_between_the_first_and_the_last():
    times = [NOON + dt.timedelta(seconds=s) for s in (90, 0, 30, 60)]
    assert _per_minute(times) == 2.0
