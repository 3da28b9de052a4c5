"""Geographic folds: no validation chip within the buffer of a training chip, wherever on Earth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from core.train.folds import Fold, OneSide, distance_km, geographic_folds, reach_km, split
from core.train.sample import ChipList
from tests.made_chips import made_chip

PLACES = st.lists(st.tuples(st.floats(-89, 89), st.floats(-180, 180)), min_size=4, max_size=40, unique=True)
TEMPLATE = made_chip(0, size=32)


def at(lat: float, lon: float):
    return replace(TEMPLATE, lat=lat, lon=lon)


@settings(max_examples=60)
@given(PLACES, st.integers(2, 4), st.floats(0, 300))
def test_no_validation_chip_lies_within_the_buffer_of_a_training_chip(places, n, buffer_km):
    lon = np.array([p[1] for p in places])
    assume(len(np.unique(np.round(lon % 360, 6))) > 2 * n)
    try:
        folds = geographic_folds(lon, n, buffer_km)
    except ConfigError:
        assume(False)
    chips = tuple(at(*p) for p in places)
    sides = [[fold.side_of(chip) for fold in folds] for chip in chips]
    assert all(row.count("validation") == 1 for row in sides), "each chip validates exactly one fold"
    apart = buffer_km + 2 * reach_km(TEMPLATE)
    for fold in folds:
        train, validation = split(chips, fold)
        for a in train:
            for b in validation:
                assert distance_km(a.lat, a.lon, b.lat, b.lon) >= apart - 1e-6


def test_folds_hold_about_as_many_each_and_start_in_the_widest_gap():
    rng = np.random.default_rng(0)
    lon = np.concatenate([rng.uniform(170, 180, 50), rng.uniform(-180, -170, 50)])
    folds = geographic_folds(lon, 5, 10)
    counts = [sum(fold.side(60, float(x)) == "validation" for x in lon) for fold in folds]
    assert counts == [20] * 5
    middle = [fold for fold in folds if fold.side(60, 180.0) == "validation"]
    assert len(middle) == 1, "180° is a longitude like any other"


def test_what_lies_in_the_buffer_is_in_neither_set():
    fold = Fold(8.0, 9.0, 50.0)
    chips = (at(46, 8.5), at(46, 9.1), at(46, 12.0))
    train, validation = split(chips, fold)
    assert [c.lon for c in train] == [12.0] and [c.lon for c in validation] == [8.5]
    assert fold.side(46, 9.1) == "buffer"


def test_a_source_gives_one_side_only():
    fold = Fold(8.0, 9.0, 50.0)
    source = ChipList((at(46, 8.5), at(46, 9.1), at(46, 12.0)))
    for side, lon in (("train", 12.0), ("validation", 8.5)):
        drawn = OneSide(source, fold, side)
        assert {drawn.draw(np.random.default_rng(k)).lon for k in range(20)} == {lon}
    with pytest.raises(ConfigError, match="no train chip"):
        OneSide(ChipList((at(46, 8.5),)), fold, "train").draw(np.random.default_rng(0))


@pytest.mark.parametrize(("lon", "n"), [([8.0, 8.0, 8.0], 2), ([1.0, 2.0], 3), ([1.0, 2.0], 1)])
def test_folds_that_cannot_be_are_refused(lon, n):
    with pytest.raises(ConfigError, match="folds"):
        geographic_folds(np.array(lon), n, 10)
