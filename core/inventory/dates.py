"""Dates of outlines, with how much of them is known.

The RGI writes 20029999 for "some day of 2002" and 20030799 for "some day of July 2003". The unknown part is filled with
its middle (1 July; the 15th), because a date is used as a point in time, and `precision` says that it was filled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_PATTERN = r"^\s*(\d{4})(?:[-/]?(\d{2}))?(?:[-/]?(\d{2}))?"
_YEARS = (1800, 2100)


@dataclass(frozen=True)
class Dates:
    """date: datetime.date or None; precision: 'day', 'month', 'year' or None; unreadable: stated, but no date."""

    date: NDArray[np.object_]
    precision: NDArray[np.object_]
    unreadable: NDArray[np.bool_]


def parse_dates(values: pd.Series) -> Dates:
    """Dates written as yyyymmdd (text or number), ISO 8601 text, or date and time types.

    A month outside 01–12 or a day outside its month is unknown; a year outside 1800–2100 is no date.
    -9999999, 9999…, 0 and empty text mean "none stated".
    """
    code, distinct = pd.factorize(_as_text(values), use_na_sentinel=False)
    text = pd.Series(distinct, dtype="string")
    part = text.str.extract(_PATTERN).apply(pd.to_numeric).fillna(0).to_numpy(dtype=np.int64)
    year, month, day = part.T
    known_year = (year >= _YEARS[0]) & (year <= _YEARS[1])
    known_month = known_year & (month >= 1) & (month <= 12)
    first = _first_days(np.where(known_year, year, 2000), np.where(known_month, month, 7))
    exact = first + (np.clip(day, 1, 31) - 1).astype("timedelta64[D]")
    known_day = known_month & (day >= 1) & (day <= 31) & (exact.astype("M8[M]") == first.astype("M8[M]"))
    date = np.where(known_day, exact, np.where(known_month, first + np.timedelta64(14, "D"), first))
    date = np.where(known_year, date, np.datetime64("NaT", "D"))
    precision = np.where(known_day, "day", np.where(known_month, "month", "year")).astype(object)
    precision[~known_year] = None
    nothing = (text.isna() | text.str.fullmatch(r"-9+|9{4,}|0*|")).to_numpy(dtype=bool)
    return Dates(date.astype("M8[D]").astype(object)[code], precision[code], (~known_year & ~nothing)[code])


def _first_days(year: NDArray[np.int64], month: NDArray[np.int64]) -> NDArray[np.datetime64]:
    months = (year - 1970) * 12 + month - 1
    return np.asarray(months.astype("M8[M]").astype("M8[D]"))


def _as_text(values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values):
        values = pd.to_numeric(values).round().astype("Int64")
    return values.astype("string").str.strip()
