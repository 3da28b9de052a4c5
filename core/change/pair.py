"""Pair: the change of every glacier between two dates, with its uncertainty and whether it can be told from none.

Change is later minus earlier label; rates are per year between the glacier's own scenes. Nothing is imputed here: a
glacier without an area at both dates has no change, and `status` says which date is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from core.change.dated import INVENTORY
from core.change.error_model import ErrorModel, change_sigma
from core.change.series import STATUS_WORDS, Series
from core.release.schema import BELOW_MINIMUM, WORD_SEPARATOR

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
BOTH, FIRST_ONLY, SECOND_ONLY, NEITHER = "both", "first_only", "second_only", "neither"
# Sorted, because the flags of a row are a sorted set of words.
FLAGS = (
    *("below_minimum", "gap_filled", "no_date", "other_inventory", "other_model", "reversed_dates", "short_period"),
    "undivided_sigma",
)
MIN_YEARS = 0.5  # scenes of one season: their difference says nothing of a year


@dataclass(frozen=True, eq=False)
class Pair:
    """Arrays (n,), in the order of the series; NaN where there is no value.

    years: between the scenes, negative where the second date is earlier (an inventory younger than a release).
    rate_pct_a: relative to the first area, NaN where that is 0. correlation: ρ; common: c, see `error_model`.
    p_value: two-sided, of no change, by σ alone. direction: where |change| > k·σ the sign of the change in time (that
    of the rate), else 0; and 0 where all of the change may lie on ground that was hidden at one of the dates and was
    filled, whatever σ says: how ice and rock were shared out there is not known.
    """

    first: int
    second: int
    labels: tuple[str, str]
    area_first_km2: FloatArray
    area_second_km2: FloatArray
    sigma_first_km2: FloatArray
    sigma_second_km2: FloatArray
    years: FloatArray
    change_km2: FloatArray
    change_sigma_km2: FloatArray
    rate_km2_a: FloatArray
    rate_sigma_km2_a: FloatArray
    rate_pct_a: FloatArray
    rate_pct_sigma_a: FloatArray
    correlation: FloatArray
    common: FloatArray
    p_value: FloatArray
    direction: NDArray[np.int8]
    status: NDArray[np.object_]
    flags: NDArray[np.object_]


def pair_change(series: Series, first: int, second: int, errors: ErrorModel) -> Pair:
    """The change from date `first` to date `second` of a series (column numbers)."""
    a, b = series.area_km2[:, first], series.area_km2[:, second]
    s, t = series.sigma.at(first), series.sigma.at(second)
    same_model = (series.model[:, first] == series.model[:, second]) & (series.model[:, first] >= 0)
    same_inventory = series.inventories[first] == series.inventories[second]
    gaps = series.gap_filled[:, first] | series.gap_filled[:, second]
    # Other outlines are other divides: what the two areas have in common is not known.
    sigma, correlation, common = change_sigma(errors, s, t, same_model & same_inventory)
    change = b - a
    years = series.time[:, second] - series.time[:, first]
    short = np.abs(years) < MIN_YEARS
    usable = np.where(short, np.nan, years)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(change == 0.0, 0.0, np.abs(change) / sigma)
        ratio = np.where(a > 0, b / a, np.nan)
        scaled = ratio * s.total
        relative = np.sqrt(np.maximum(scaled**2 + t.total**2 - 2.0 * correlation * scaled * t.total, 0.0)) / a
    unseen = np.where(gaps, _hidden_km2(series, first) + _hidden_km2(series, second), 0.0)
    sure = (score > errors.significance) & (np.abs(change) > unseen)
    below = series.status == STATUS_WORDS.index(BELOW_MINIMUM)
    backwards = np.where(years < 0, -1, 1)
    flags = {
        "below_minimum": below[:, first] | below[:, second],
        "gap_filled": gaps,
        "no_date": np.isnan(years),
        "other_inventory": np.full(len(a), not same_inventory),
        # The inventory is no model at all; its outlines differ from those of any.
        "other_model": ~same_model & np.isfinite(change),
        "reversed_dates": years < 0,
        "short_period": short,
        "undivided_sigma": ~(s.cancels & t.cancels) & np.isfinite(change),
    }
    return Pair(
        first=first,
        second=second,
        labels=(series.labels[first], series.labels[second]),
        area_first_km2=a,
        area_second_km2=b,
        sigma_first_km2=s.total,
        sigma_second_km2=t.total,
        years=years,
        change_km2=change,
        change_sigma_km2=sigma,
        rate_km2_a=change / usable,
        rate_sigma_km2_a=sigma / np.abs(usable),
        rate_pct_a=100.0 * (ratio - 1.0) / usable,
        rate_pct_sigma_a=100.0 * relative / np.abs(usable),
        correlation=correlation,
        common=common,
        p_value=erfc(score / np.sqrt(2.0)),
        direction=np.where(sure, np.sign(change) * backwards, 0).astype(np.int8),
        status=_status(np.isfinite(a), np.isfinite(b)),
        flags=_words(flags),
    )


def periods(labels: tuple[str, ...]) -> list[tuple[int, int]]:
    """Pairs of dates to compare: first and last, then, of three and more, each with the next.

    The inventory is a date of its own everywhere; it is no part of trends (see `trend`).
    """
    whole = (0, len(labels) - 1)
    return [whole] if len(labels) == 2 else [whole, *((i, i + 1) for i in range(len(labels) - 1))]


def release_dates(labels: tuple[str, ...]) -> list[int]:
    """Column numbers of the dates that are releases."""
    return [k for k, label in enumerate(labels) if label != INVENTORY]


def _hidden_km2(series: Series, column: int) -> FloatArray:
    """Ground of the inventory's outline that was not seen at a date: the most that filling it can be wrong by."""
    inventory = series.glaciers["area_inventory_km2"].to_numpy(dtype=np.float64)
    hidden = 1.0 - np.nan_to_num(series.observed[:, column], nan=0.0)
    return np.where(hidden > 0, np.where(np.isfinite(inventory), hidden * inventory, np.inf), 0.0)


def _status(first: BoolArray, second: BoolArray) -> NDArray[np.object_]:
    words = np.array([NEITHER, FIRST_ONLY, SECOND_ONLY, BOTH], dtype=object)
    return np.asarray(words[first.astype(int) + 2 * second.astype(int)])


def _words(flags: dict[str, BoolArray]) -> NDArray[np.object_]:
    """Sets of flags as joined words, by a table of all 2⁸ sets."""
    code = sum((flags[name].astype(np.int64) << k for k, name in enumerate(FLAGS)), np.int64(0))
    table = [WORD_SEPARATOR.join(n for k, n in enumerate(FLAGS) if c >> k & 1) for c in range(1 << len(FLAGS))]
    return np.asarray(np.array(table, dtype=object)[code])
