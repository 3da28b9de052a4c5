"""Seasons: every region has one, it ends in the year of the map, and it can be overridden."""

from __future__ import annotations

import csv
import datetime as dt
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import REGIONS
from core.errors import ConfigError
from core.search.seasons import season_windows

ROWS = list(csv.DictReader(files("core.search").joinpath("seasons.csv").read_text(encoding="utf-8").splitlines()))


def test_the_table_has_every_region_once_and_says_what_it_rests_on():
    assert [row["region"] for row in ROWS] == list(REGIONS)
    assert all(
        row["rationale"] and row["source"] and row["hemisphere"] in ("north", "south", "tropics") for row in ROWS
    )


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("year", [2023, 2024])
def test_a_season_lasts_one_to_four_months_and_ends_in_its_year(region, year):
    start, end = season_windows(region, year)
    assert end.year == year
    assert 30 <= (end - start).days <= 125


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["region"])
def test_a_season_is_summer_of_its_hemisphere(row):
    """Its last day is late in summer or in autumn: that is when seasonal snow is least."""
    _, end = season_windows(row["region"], 2024)
    assert end.month in {"north": (8, 9, 10, 11), "south": (2, 3, 4), "tropics": (9,)}[row["hemisphere"]]


def test_the_alps():
    assert season_windows("11", 2024) == (dt.date(2024, 8, 1), dt.date(2024, 10, 15))


def test_a_season_across_new_year_starts_in_the_year_before():
    assert season_windows("19", 2024) == (dt.date(2023, 12, 15), dt.date(2024, 3, 15))
    assert season_windows("11", 2024, "11-20/02-10") == (dt.date(2023, 11, 20), dt.date(2024, 2, 10))


def test_an_override_holds_for_any_region():
    assert season_windows("17", 2021, "02-01/03-31") == (dt.date(2021, 2, 1), dt.date(2021, 3, 31))
    assert season_windows("17", 2021, "02-01/02-01") == (dt.date(2021, 2, 1), dt.date(2021, 2, 1))


@pytest.mark.parametrize(("year", "last"), [(2023, 28), (2024, 29), (2100, 28)])
def test_the_leap_day_is_the_last_of_february_in_other_years(year, last):
    assert season_windows("11", year, "02-01/02-29")[1] == dt.date(year, 2, last)
    assert season_windows("20", year)[1] == dt.date(year, 2, last)


@pytest.mark.parametrize("override", ["02-30/03-31", "13-01/12-31", "02-01", "00-00/01-01", "x/y"])
def test_a_day_that_no_year_has_is_refused(override):
    with pytest.raises(ConfigError, match="MM-DD/MM-DD"):
        season_windows("11", 2024, override)


def test_an_unknown_region_is_refused():
    with pytest.raises(ConfigError, match=r"region '21'.*no such region"):
        season_windows("21", 2024)


@given(
    start=st.dates(dt.date(2000, 1, 1), dt.date(2000, 12, 31)),
    end=st.dates(dt.date(2000, 1, 1), dt.date(2000, 12, 31)),
    year=st.integers(1985, 2060),
)
def test_any_season_starts_before_it_ends_within_a_year(start, end, year):
    first, last = season_windows("11", year, f"{start:%m-%d}/{end:%m-%d}")
    assert last.year == year
    assert dt.timedelta(0) <= last - first <= dt.timedelta(366)
