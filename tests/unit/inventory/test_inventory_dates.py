"""Dates with unknown parts."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.inventory.dates import parse_dates


@pytest.mark.parametrize(
    ("text", "date", "precision"),
    [
        ("20020928", dt.date(2002, 9, 28), "day"),
        ("20029999", dt.date(2002, 7, 1), "year"),
        ("20030799", dt.date(2003, 7, 15), "month"),
        ("20030230", dt.date(2003, 2, 15), "month"),
        ("20040229", dt.date(2004, 2, 29), "day"),
        ("2003-07-30T00:00:00", dt.date(2003, 7, 30), "day"),
        ("2003", dt.date(2003, 7, 1), "year"),
        ("-9999999", None, None),
        ("99999999", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_the_unknown_part_of_a_date_is_its_middle(
    text: str | None, date: dt.date | None, precision: str | None
) -> None:
    got = parse_dates(pd.Series([text], dtype=object))
    assert (got.date[0], got.precision[0], got.unreadable[0]) == (date, precision, False)


@given(st.dates(dt.date(1800, 1, 1), dt.date(2100, 12, 31)))
def test_every_way_to_write_a_date_is_read_alike(date: dt.date) -> None:
    ways = [
        pd.Series([date.strftime("%Y%m%d")]),
        pd.Series([int(f"{date.year}{date:%m%d}")]),
        pd.Series([float(f"{date.year}{date:%m%d}")]),
        pd.Series([date.isoformat()]),
        pd.Series([date], dtype=object),
        pd.Series(pd.to_datetime([date]).as_unit("s")),
    ]
    assert all(parse_dates(way).date[0] == date for way in ways)


def test_what_is_no_date_is_said_to_be_unreadable() -> None:
    got = parse_dates(pd.Series(["soon", "00020101", "20020928"]))
    assert got.unreadable.tolist() == [True, True, False]
    assert got.date.tolist() == [None, None, dt.date(2002, 9, 28)]
