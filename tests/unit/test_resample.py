"""Resampling: by a plain double-precision reference, without a leak of gaps or a trace of the window that was cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SystemicError
from core.grid import Lattice, PixelWindow, Zone
from core.resample import resample, resample_classes, source_window

ZONE = Zone("utm32n")
PAIRS = [(10, 30), (20, 30), (30, 10), (60, 20), (120, 30), (30, 20), (10, 60), (30, 60), (20, 20), (60, 10)]
pairs = st.sampled_from(PAIRS)


def field(seed: int, source: Lattice, window: PixelWindow, holes: float) -> np.ndarray:
    """Two bands of noise over any window: a pixel's value depends on its place alone."""
    whole = _NOISE[seed % len(_NOISE)]
    rows = np.arange(window.row0, window.row1)[:, None] % whole.shape[1]
    cols = np.arange(window.col0, window.col1)[None, :] % whole.shape[2]
    values = whole[:, rows, cols].copy()
    for band, pattern in zip(values, _HOLES, strict=True):
        band[pattern[rows, cols] < holes] = np.nan
    return values


_NOISE = [np.random.default_rng(k).normal(0, 1, (2, 97, 89)).astype(np.float32) for k in range(4)]
_HOLES = np.random.default_rng(9).uniform(0, 1, (2, 97, 89))


def reference(values: np.ndarray, source_m: int, have: PixelWindow, target_m: int, want: PixelWindow) -> np.ndarray:
    """One band, pixel by pixel, in float64, from the definitions."""
    out = np.full(want.shape, np.nan)
    at = lambda r, c: float(values[r - have.row0, c - have.col0])  # noqa: E731
    for row in range(want.row0, want.row1):
        for col in range(want.col0, want.col1):
            if source_m > target_m:
                r, c = ((k + 0.5) * target_m / source_m - 0.5 for k in (row, col))
                r0, c0 = math.floor(r), math.floor(c)
                centre = math.floor((row + 0.5) * target_m / source_m), math.floor((col + 0.5) * target_m / source_m)
                if math.isnan(at(*centre)):
                    continue
                weights = {
                    (r0, c0): (1 - (r - r0)) * (1 - (c - c0)),
                    (r0, c0 + 1): (1 - (r - r0)) * (c - c0),
                    (r0 + 1, c0): (r - r0) * (1 - (c - c0)),
                    (r0 + 1, c0 + 1): (r - r0) * (c - c0),
                }
                seen = {k: w for k, w in weights.items() if w > 0 and not math.isnan(at(*k))}
                out[row - want.row0, col - want.col0] = sum(w * at(*k) for k, w in seen.items()) / sum(seen.values())
            else:
                top, left = row * target_m, col * target_m
                total = area = 0.0
                for r in range(top // source_m, -((-top - target_m) // source_m)):
                    for c in range(left // source_m, -((-left - target_m) // source_m)):
                        height = min(top + target_m, (r + 1) * source_m) - max(top, r * source_m)
                        width = min(left + target_m, (c + 1) * source_m) - max(left, c * source_m)
                        if not math.isnan(at(r, c)):
                            total, area = total + at(r, c) * height * width, area + height * width
                if 2 * area >= target_m**2:
                    out[row - want.row0, col - want.col0] = total / area
    return out


@st.composite
def wanted(draw: st.DrawFn, largest: int = 9) -> PixelWindow:
    row, col = draw(st.integers(1000, 1040)), draw(st.integers(-20, 20))
    return PixelWindow(row, row + draw(st.integers(1, largest)), col, col + draw(st.integers(1, largest)))


@settings(max_examples=60)
@given(pairs, wanted(), st.integers(0, 3), st.sampled_from([0.0, 0.2, 0.6]), st.integers(0, 3))
def test_values_are_those_of_the_definitions_in_double_precision(pair, want, seed, holes, more):
    source, target = Lattice(ZONE, pair[0]), Lattice(ZONE, pair[1])
    have = source_window(target, want, source).pad(more)
    values = field(seed, source, have, holes)
    found = resample(values, source, have, target, want)
    assert found.shape == (2, *want.shape)
    assert found.dtype == np.float32
    if pair[0] == pair[1]:
        np.testing.assert_array_equal(found, values[(slice(None), *want.slices(have))])
        return
    for band in range(2):
        np.testing.assert_allclose(
            found[band], reference(values[band], pair[0], have, pair[1], want), rtol=1e-5, atol=1e-5
        )


@given(pairs, wanted(30), st.integers(0, 3), st.sampled_from([0.0, 0.4]), st.data())
def test_a_pixel_does_not_depend_on_the_window_that_was_cut(pair, want, seed, holes, data):
    source, target = Lattice(ZONE, pair[0]), Lattice(ZONE, pair[1])
    row, col = data.draw(st.integers(want.row0, want.row1 - 1)), data.draw(st.integers(want.col0, want.col1 - 1))
    part = PixelWindow(row, want.row1, want.col0, col + 1)
    results = []
    for window in (want, part):
        have = source_window(target, window, source)
        results.append(resample(field(seed, source, have, holes), source, have, target, window))
    np.testing.assert_array_equal(results[1], results[0][(slice(None), *part.slices(want))])


@given(pairs, wanted(20), st.floats(-300, 9000, width=32))
def test_a_constant_stays_itself(pair, want, level):
    source, target = Lattice(ZONE, pair[0]), Lattice(ZONE, pair[1])
    have = source_window(target, want, source)
    values = np.full((1, *have.shape), level, dtype=np.float32)
    np.testing.assert_allclose(resample(values, source, have, target, want), level, rtol=3e-7)


@given(pairs, wanted(20), st.floats(-2, 2), st.floats(-2, 2))
def test_a_slope_stays_a_slope(pair, want, per_x, per_y):
    source, target = Lattice(ZONE, pair[0]), Lattice(ZONE, pair[1])
    have = source_window(target, want, source)
    (x0, *_), (y0, *_) = target.centres_m(want)

    def plane(lattice: Lattice, window: PixelWindow) -> np.ndarray:
        x, y = lattice.centres_m(window)
        return (per_x * (x[None, :] - x0) + per_y * (y[:, None] - y0)).astype(np.float32)[None]

    found = resample(plane(source, have), source, have, target, want)
    # 20 → 30 m: of a pixel that is shared by two, each half is taken to be as high as the whole.
    step = (abs(per_x) + abs(per_y)) * pair[0] / 12 if pair[0] < pair[1] and pair[1] % pair[0] else 0.0
    np.testing.assert_allclose(found, plane(target, want), rtol=1e-4, atol=0.01 + step)


@given(pairs, wanted(12), st.integers(0, 3))
def test_nothing_observed_gives_nothing_and_gaps_are_never_filled_beyond_their_pixel(pair, want, seed):
    source, target = Lattice(ZONE, pair[0]), Lattice(ZONE, pair[1])
    have = source_window(target, want, source)
    values = field(seed, source, have, 0.5)
    found = resample(values, source, have, target, want)
    if pair[0] > pair[1]:
        index = np.where(np.isnan(values[0]), 0, 1).astype(np.int16)
        np.testing.assert_array_equal(np.isfinite(found[0]), resample_classes(index, source, have, target, want) == 1)
    assert np.isnan(resample(np.full_like(values, np.nan), source, have, target, want)).all()


def test_half_of_an_area_is_enough_and_less_is_not():
    source, target = Lattice(ZONE, 10), Lattice(ZONE, 20)
    want = PixelWindow(5, 6, 7, 8)
    have = source_window(target, want, source)
    half = np.array([[[1.0, np.nan], [np.nan, 3.0]]], dtype=np.float32)
    assert resample(half, source, have, target, want) == pytest.approx(2.0)
    less = np.array([[[1.0, np.nan], [np.nan, np.nan]]], dtype=np.float32)
    assert np.isnan(resample(less, source, have, target, want)).all()


@given(pairs, wanted(15), st.integers(0, 5))
def test_a_class_is_that_of_the_source_pixel_under_the_centre(pair, want, more):
    source, target = Lattice(ZONE, pair[0]), Lattice(ZONE, pair[1])
    have = source_window(target, want, source).pad(more)
    values = np.arange(have.size, dtype=np.int16).reshape(have.shape)
    found = resample_classes(values, source, have, target, want)
    x, y = target.centres_m(want)
    row = np.floor(source.to_pixels(np.zeros_like(y), y)[0]).astype(int) - have.row0
    col = np.floor(source.to_pixels(x, np.zeros_like(x))[1]).astype(int) - have.col0
    np.testing.assert_array_equal(found, values[np.ix_(row, col)])


@pytest.mark.parametrize("pair", PAIRS)
def test_too_little_source_is_refused(pair):
    source, target = Lattice(ZONE, pair[0]), Lattice(ZONE, pair[1])
    want = PixelWindow(12, 24, 12, 24)
    have = source_window(target, want, source).pad(-1)
    with pytest.raises(SystemicError, match="source_window"):
        resample(np.zeros((1, *have.shape), np.float32), source, have, target, want)
