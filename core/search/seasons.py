"""Seasons: the days of a year in which glaciers show least seasonal snow, region by region.

Data, not code: `seasons.csv`, one row for each first-order region of the Randolph Glacier Inventory, with what it rests
on; all but the Alps are a choice by climate that nobody has measured here, and `season` of a source overrides them. A
season across New Year belongs to the year in which it ends, so that a year's map never shows the next one's snow.
"""

from __future__ import annotations

import calendar
import csv
import datetime as dt
from functools import lru_cache
from importlib.resources import files

from core.errors import ConfigError
from core.sensors import nearest

_FORM = "MM-DD/MM-DD, such as 08-01/10-15"


def season_windows(region: str, year: int, override: str | None = None) -> tuple[dt.date, dt.date]:
    """(first day, last day) of the season that ends in `year`; both belong to it.

    region: "01" … "20". override: `MM-DD/MM-DD` instead of the table. 02-29 is 02-28 where there is none. A start
    after the end is in the year before. Raises ConfigError for an unknown region or a day that no year has.
    """
    if override is not None:
        start, slash, end = override.partition("/")
        if not slash:
            raise ConfigError(f"season {override!r}", found="no '/'", expected=_FORM)
        where = f"season {override!r}"
    else:
        table = _table()
        if region not in table:
            raise ConfigError(f"season of region {region!r}", found="no such region", fix=nearest(region, table))
        start, end = table[region]
        where = f"season of region {region}"
    first, last = _month_day(start, where), _month_day(end, where)
    return _date(year - 1 if first > last else year, first), _date(year, last)


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[str, str]]:
    text = files("core.search").joinpath("seasons.csv").read_text(encoding="utf-8")
    return {row["region"]: (row["start"], row["end"]) for row in csv.DictReader(text.splitlines())}


def _month_day(text: str, where: str) -> tuple[int, int]:
    month, _, day = text.partition("-")
    try:
        found = dt.date(2000, int(month), int(day))  # a leap year
    except ValueError as error:
        raise ConfigError(where, found=f"{text!r}: {error}", expected=_FORM) from error
    return found.month, found.day


def _date(year: int, month_day: tuple[int, int]) -> dt.date:
    month, day = month_day
    return dt.date(year, month, min(day, calendar.monthrange(year, month)[1]))
