"""Terminus refinement: only where the nets disagree, only at the terminus, by what is agreed there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.measure.terminus_refinement import TerminusRules, maps_from_spread, refine_terminus

SHAPE = (100, 20)
ROWS = np.arange(100)[:, None] * np.ones((1, 20))
ELEVATION = (5000 - 10 * ROWS).astype(np.float32)  # the glacier flows down the rows
TRUE_END, SHORT, LONG = 90, 84, 98


def ending_at(row: int, high: float = 0.9, low: float = 0.1) -> np.ndarray:
    return np.where(row > ROWS, high, low).astype(np.float32)


def scene(seed: int = 0) -> dict[str, np.ndarray]:
    """Two nets that stop too early and too late; features that know where the ice truly ends; the ground ends beside
    the glacier, so that both nets see bare ground at the terminus."""
    rng = np.random.default_rng(seed)
    first, second = ending_at(SHORT), ending_at(LONG)
    first[:, 16:] = second[:, 16:] = 0.1
    truth = (ROWS < TRUE_END) & (np.arange(20) < 16)
    features = np.stack([truth * 3.0, truth * -2000.0]) + rng.normal(0, [[[0.1]], [[60.0]]], (2, *SHAPE))
    return {
        "first": first,
        "second": second,
        "features": features.astype(np.float32),
        "elevation_m": ELEVATION,
        "mine": np.ones(SHAPE, bool),
    }


TRUTH = (ROWS < TRUE_END) & (np.arange(20) < 16)


def test_disputed_ground_goes_to_the_class_it_looks_like():
    s = scene()
    found = refine_terminus(**s)
    assert found.outcome == "refined"
    assert np.array_equal(found.probability >= 0.5, TRUTH)
    assert found.settled == (LONG - SHORT) * 16
    assert found.left == 0
    # 15 % of the 97 rows of ice reach up to row 82.45.
    assert found.iou == pytest.approx((SHORT - 83) / (LONG - 83))
    untouched = (ROWS < SHORT) | (ROWS >= LONG)
    assert np.array_equal(found.probability[untouched], ((s["first"] + s["second"]) / 2)[untouched])


def test_a_dispute_above_the_terminus_keeps_the_mean():
    s = scene()
    s["first"][10:20] = 0.2
    found = refine_terminus(**s)
    assert np.allclose(found.probability[10:20, :16], 0.55)


def test_nets_that_agree_well_enough_are_left_alone():
    s = scene()
    s["first"] = s["second"].copy()
    s["first"][LONG - 2 : LONG] = 0.1
    found = refine_terminus(**s)
    assert found.outcome == "agreed"
    assert found.iou == pytest.approx(13 / 15)
    assert found.settled == 0
    assert refine_terminus(**s, rules=TerminusRules(max_iou=0.9)).outcome == "refined"


def test_without_agreed_pixels_of_both_classes_there_is_nothing_to_learn_from():
    s = scene()
    s["first"] = np.where(ROWS < 50, s["first"], np.float32(0.1))
    found = refine_terminus(**s)
    assert found.outcome == "nothing_to_learn_from"
    assert found.left == 15 * 16


def test_unknown_features_leave_the_mean():
    s = scene()
    s["features"][0, 88] = np.nan
    found = refine_terminus(**s)
    assert found.left == 16
    assert np.allclose(found.probability[88, :16], 0.5)


@pytest.mark.parametrize("change", ["nothing seen", "no elevation", "no ice", "no ground"])
def test_without_a_terminus_the_mean_stands(change):
    s = scene()
    if change == "nothing seen":
        s["first"][:] = np.nan
    elif change == "no elevation":
        s["elevation_m"] = np.full(SHAPE, np.nan, np.float32)
    elif change == "no ice":
        s["first"], s["second"] = ending_at(0), ending_at(0)
    else:
        s["mine"] = np.zeros(SHAPE, bool)
    found = refine_terminus(**s)
    assert found.outcome == "no_terminus" and found.iou is None
    assert np.array_equal(found.probability, (s["first"] + s["second"]) / 2, equal_nan=True)


def test_mean_and_half_difference_are_enough():
    s = scene()
    mean, half = (s["first"] + s["second"]) / 2, (s["first"] - s["second"]) / 2
    upper, lower = maps_from_spread(mean, half)
    found = refine_terminus(**{**s, "first": upper, "second": lower})
    assert np.array_equal(found.probability >= 0.5, TRUTH)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 6), min_size=4, max_size=4), st.floats(0.01, 1000))
def test_the_answer_depends_on_neither_order_of_nets_nor_window_nor_units(seed, pads, unit):
    s = scene(seed)
    s["mine"] = np.random.default_rng(seed).random(SHAPE) > 0.1
    here = refine_terminus(**s)
    swapped = refine_terminus(**{**s, "first": s["second"], "second": s["first"]})
    assert np.array_equal(swapped.probability, here.probability)
    width = ((pads[0], pads[1]), (pads[2], pads[3]))
    wide = {k: np.pad(s[k], width, constant_values=1) for k in ("first", "second", "elevation_m")}
    wide["mine"] = np.pad(s["mine"], width)
    wide["features"] = np.pad(s["features"] * np.float32(unit), ((0, 0), *width), constant_values=np.nan)
    there = refine_terminus(**wide)
    within = tuple(slice(low, low + n) for (low, _), n in zip(width, SHAPE, strict=True))
    assert np.array_equal(there.probability[within] >= 0.5, here.probability >= 0.5)
    assert replace(there, probability=here.probability) == replace(here, probability=here.probability)
    off = ~s["mine"]
    assert np.array_equal(here.probability[off], ((s["first"] + s["second"]) / 2)[off])


@pytest.mark.parametrize(
    "change",
    [{"features": np.zeros((2, 3, 3), np.float32)}, {"first": np.zeros((3, 3), np.float32)}, {"features": ELEVATION}],
)
def test_shapes_that_do_not_fit_are_refused(change):
    with pytest.raises(ConfigError, match=r"\(h, w\) maps"):
        refine_terminus(**{**scene(), **change})


def test_an_even_number_of_neighbours_is_refused():
    with pytest.raises(ConfigError, match="an odd number"):
        refine_terminus(**scene(), rules=TerminusRules(neighbours=4))
