"""Schema: the columns of the change tables, their types, units and meaning.

As in a release, missing floats are null and sets of words are joined by `;`.
"""

from __future__ import annotations

import pyarrow as pa

from core.change.breakpoint import LEAST_PACE, LONGEST_YEARS
from core.release.schema import BBOX, SECOND_ORDER

_TEXT, _REAL, _INT, _FLAG = pa.string(), pa.float64(), pa.int32(), pa.bool_()


def _field(name: str, kind: pa.DataType, description: str, unit: str = "", *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description, "unit": unit})


def _required(name: str, kind: pa.DataType, description: str, unit: str = "") -> pa.Field:
    return _field(name, kind, description, unit, nullable=False)


_SURGE = (
    f"broke and advanced, by {LEAST_PACE:.1%} of its area a year or more and for {LONGEST_YEARS:.0f} years or less, "
    "while the other phase did not: worth a look"
)
_DIRECTION = (
    "−1 retreat, 1 advance in time where |change| > k·σ, and where a date is gap_filled larger than the ground hidden "
    "at both; else 0"
)
_GAPS = (
    "a date has the flag gap_filled: ground hidden there is drawn as in the inventory, so pieces on it are no change; "
    "which they are a release does not say"
)
_WHO = [
    _required("rgi_id", _TEXT, "identifier of the glacier in the inventory"),
    _required("o1region", _TEXT, "RGI first-order region, two digits"),
    _field("o2region", _TEXT, "RGI second-order region"),
]
_PERIOD = [
    _required("date_first", _TEXT, "year of the first release, or inventory"),
    _required("date_second", _TEXT, "year of the second release"),
]
_PLACE = [
    _field("geometry", pa.binary(), "the glacier's point (cenlon, cenlat), WKB, longitude and latitude"),
    _field("bbox", BBOX, "bounds of the geometry", "degree"),
]

GLACIER_CHANGE = pa.schema(
    [
        *_WHO,
        _field("glac_name", _TEXT, "name of the glacier"),
        *_PERIOD,
        _required("status", _TEXT, "which dates have an area: both | first_only | second_only | neither"),
        _required("status_first", _TEXT, "status in the first release; no_row if it lacks the glacier"),
        _required("status_second", _TEXT, "status in the second release"),
        _field("area_inventory_km2", _REAL, "area of the inventory's outline", "km²"),
        _field("area_first_km2", _REAL, "area at the first date", "km²"),
        _field("area_second_km2", _REAL, "area at the second date", "km²"),
        _field("years", _REAL, "from scene to scene; negative if the second date is earlier", "yr"),
        _field("change_km2", _REAL, "second minus first area", "km²"),
        _field("change_sigma_km2", _REAL, "standard uncertainty of change_km2", "km²"),
        _field("rate_km2_a", _REAL, "change per year", "km²/yr"),
        _field("rate_sigma_km2_a", _REAL, "standard uncertainty of rate_km2_a", "km²/yr"),
        _field("rate_pct_a", _REAL, "change per year relative to the first area", "%/yr"),
        _field("rate_pct_sigma_a", _REAL, "standard uncertainty of rate_pct_a", "%/yr"),
        _field("correlation", _REAL, "ρ of the errors of the two areas", "1"),
        _field("p_value", _REAL, "two-sided, of no change, by change_sigma_km2 alone", "1"),
        _required("direction", pa.int8(), _DIRECTION),
        _required("left_out", _TEXT, "why regional sums take the rate of its size instead; empty if its own"),
        _required("flags", _TEXT, "sorted, joined by ';'"),
        *_PLACE,
    ]
)

GLACIER_TREND = pa.schema(
    [
        *_WHO,
        _required("n_dates", _INT, "releases with an area"),
        _field("first_time", _REAL, "of the first area, decimal year", "yr"),
        _field("last_time", _REAL, "of the last area", "yr"),
        _field("trend_km2_a", _REAL, "Theil–Sen slope", "km²/yr"),
        _field("trend_low_km2_a", _REAL, "lower limit, 95 %; null below five dates, which cannot be as sure", "km²/yr"),
        _field("trend_high_km2_a", _REAL, "upper limit, 95 %; null like the lower", "km²/yr"),
        _field("trend_pct_a", _REAL, "slope relative to the mean area", "%/yr"),
        _field("kendall_s", _REAL, "S of Mann and Kendall", "1"),
        _field("trend_p_value", _REAL, "two-sided, of no trend", "1"),
        _required("break_kind", _TEXT, "none | step | hinge"),
        _field("break_time", _REAL, "of the break, decimal year", "yr"),
        _field("break_gain", _REAL, "BIC of a line minus that of the best break; above 6 is a break", "1"),
        _field("before_km2_a", _REAL, "slope before the break", "km²/yr"),
        _field("after_km2_a", _REAL, "slope after the break", "km²/yr"),
        _field("step_km2", _REAL, "offset at the break", "km²"),
        _required("surge_candidate", _FLAG, _SURGE),
        *_PLACE,
    ]
)

CHANGE_POLYGONS = pa.schema(
    [
        *_WHO,
        *_PERIOD,
        _required("kind", _TEXT, "advance | loss"),
        _required("area_km2", _REAL, "area of the pieces on the ellipsoid", "km²"),
        _required("n_parts", _INT, "pieces"),
        _required("sliver_m", _REAL, "pieces nowhere as wide as this are left out", "m"),
        _required("gap_filled", _FLAG, _GAPS),
        _required("geometry", pa.binary(), "pieces, WKB, longitude and latitude"),
        _required("bbox", BBOX, "bounds of the geometry", "degree"),
    ]
)

REGION_CHANGE = pa.schema(
    [
        _required("o1region", _TEXT, "RGI first-order region, or world"),
        _field("o2region", _TEXT, SECOND_ORDER),
        *_PERIOD,
        _required("n_glaciers", _INT, "glaciers of the releases"),
        _required("n_measured", _INT, "glaciers that enter with their own rate"),
        _required(
            "n_extrapolated", _INT, "glaciers that enter with the rate of their size, losing no more than they had"
        ),
        _required("n_unknown", _INT, "glaciers of unknown area, or without anything to extrapolate from; in no sum"),
        _required("n_retreat", _INT, "measured glaciers whose loss is significant"),
        _required("n_advance", _INT, "measured glaciers whose gain is significant"),
        _field("years", _REAL, "mean time between scenes, weighted by inventory area", "yr"),
        _required("area_measured_km2", _REAL, "first area of the measured glaciers", "km²"),
        _required(
            "area_extrapolated_km2", _REAL, "first area of the others; where unknown from the inventory's", "km²"
        ),
        _field("change_measured_km2", _REAL, "summed change of the measured glaciers; null without any", "km²"),
        _field("change_sigma_measured_km2", _REAL, "its uncertainty under sigma_model", "km²"),
        _field("rate_measured_km2_a", _REAL, "summed rate of the measured glaciers", "km²/yr"),
        _field("rate_sigma_measured_km2_a", _REAL, "its uncertainty under sigma_model", "km²/yr"),
        _field("rate_extrapolated_km2_a", _REAL, "summed rate of the others", "km²/yr"),
        _field("rate_sigma_extrapolated_km2_a", _REAL, "its uncertainty: regression, scatter, sigma_model", "km²/yr"),
        _field("rate_km2_a", _REAL, "rate of all", "km²/yr"),
        _field("rate_sigma_km2_a", _REAL, "its uncertainty under sigma_model", "km²/yr"),
        _field("rate_sigma_upper_km2_a", _REAL, "upper bound: errors fully correlated between glaciers", "km²/yr"),
        _field("rate_pct_a", _REAL, "rate_km2_a relative to measured and extrapolated first area", "%/yr"),
        _field("rate_pct_sigma_a", _REAL, "its uncertainty", "%/yr"),
        _required("regression", _TEXT, "form of the rate by size: none | mean | linear | quadratic; regional: several"),
        _field("scatter_pct_a", _REAL, "scatter of true rates between glaciers of one size", "%/yr"),
        _required("sigma_model", _TEXT, "how errors are assumed to be correlated"),
        _required("simulated", _FLAG, "whether a release is SIMULATED"),
    ]
)
