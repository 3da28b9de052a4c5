"""Augmentation: another observation of the same ground, never another truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.models.dihedral import turn, turn_sensor, unturn
from core.train.augment import Augmentation, augment, coarsened, focused_cut, turned
from core.train.chip import Chip
from core.train.classes import DEBRIS
from tests.made_chips import made_chip

NOTHING = Augmentation(
    turns=False, scale=1, gamma=0, gain=0, offset=0, db=0, kelvin=0, elevation_m=0, noise=0, occlusion=0, coarsen_p=0,
    drop_sensor=0, drop_infrared=0, drop_band=0,
)  # fmt: skip


def same(a: Chip, b: Chip) -> bool:
    return (
        a.values.keys() == b.values.keys()
        and all(np.array_equal(a.values[n], b.values[n], equal_nan=True) for n in a.values)
        and np.array_equal(a.glacier, b.glacier, equal_nan=True)
        and np.array_equal(a.classes, b.classes)
    )


def test_with_everything_switched_off_nothing_changes():
    chip = made_chip(0)
    out = augment(chip, np.random.default_rng(0), NOTHING)
    assert all(np.allclose(out.values[n], chip.values[n], atol=1e-6) for n in chip.values)
    assert np.array_equal(out.glacier, chip.glacier, equal_nan=True)


@given(st.integers(0, 10_000))
def test_a_generator_says_everything_and_the_chip_stays_as_it_was(seed):
    chip = made_chip(seed % 5)
    kept = replace(chip, values={n: v.copy() for n, v in chip.values.items()}, glacier=chip.glacier.copy())
    first, again = (augment(chip, np.random.default_rng(seed)) for _ in range(2))
    assert same(first, again)
    assert same(chip, kept)
    assert first.shape == chip.shape
    assert "optical" in first.values  # the only anchor
    share = first.glacier[np.isfinite(first.glacier)]
    assert share.min() >= 0 and share.max() <= 1


@given(st.integers(0, 7))
def test_a_turn_and_its_inverse_cancel(k):
    values = np.random.default_rng(k).normal(size=(3, 5, 5))
    assert np.array_equal(unturn(turn(values, k), k), values)


@pytest.mark.parametrize("k", range(8))
def test_velocity_turns_with_the_ground(k):
    """A speed that rises along its own direction keeps doing so, however the ground is turned."""
    rows, cols = np.mgrid[:9, :9].astype(np.float32)
    east, north = np.float32(3), np.float32(-2)
    field = east * cols - north * rows  # rows run south
    values = np.stack([field, np.full((9, 9), east), np.full((9, 9), north)]).astype(np.float32)
    out = turn_sensor(values, "velocity", ("v_m_a", "vx_m_a", "vy_m_a"), k)
    down, right = np.gradient(out[0])
    assert np.allclose(right, out[1]) and np.allclose(-down, out[2])


def test_one_component_of_a_vector_cannot_be_turned():
    with pytest.raises(ConfigError, match="vy_m_a"):
        turn_sensor(np.zeros((1, 4, 4), np.float32), "velocity", ("vx_m_a",), 1)


def test_turned_chips_keep_labels_on_their_pixels():
    chip = made_chip(3)
    for k in range(8):
        out = turned(chip, k)
        bright = out.values["optical"][0] > 0.4
        assert np.array_equal(bright[out.classes != 255], (out.classes == 0)[out.classes != 255])


def test_every_sensor_goes_missing_sometimes_but_never_the_last_anchor():
    chip = made_chip(0)
    both = replace(chip, values={**chip.values, "optical_toa": chip.values["optical"]})
    how = replace(NOTHING, drop_sensor=0.6)
    seen = [frozenset(augment(both, np.random.default_rng(k), how).values) for k in range(200)]
    assert all({"optical", "optical_toa"} & names for names in seen)
    assert {"optical", "optical_toa", "dem", "thermal"} <= {n for names in seen for n in both.values if n not in names}


def test_without_short_wave_infrared_the_visible_stays():
    chip = made_chip(0)
    out = augment(chip, np.random.default_rng(0), replace(NOTHING, drop_infrared=1))
    hidden = np.isnan(out.values["optical"]).all(axis=(1, 2))
    assert hidden.tolist() == [False] * 4 + [True] * 2


def test_an_occlusion_hides_a_rectangle_of_one_sensor_and_no_label():
    chip = made_chip(0)
    out = augment(chip, np.random.default_rng(1), replace(NOTHING, occlusion=1))
    holes = {n: np.isnan(v).any(axis=0) for n, v in out.values.items() if np.isnan(v).any()}
    assert len(holes) == 1
    hole = next(iter(holes.values()))
    rows, cols = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    assert hole.sum() == len(rows) * len(cols) and len(rows) <= 24 and len(cols) <= 24
    assert np.array_equal(out.glacier, chip.glacier, equal_nan=True)


def test_what_was_not_observed_stays_so_and_nothing_else():
    chip = made_chip(0)
    values = chip.values["optical"].copy()
    values[:, 10:20, 10:20] = np.nan
    for size in (1.7, 2.0, 3.0):
        assert np.array_equal(np.isnan(coarsened(values, size, "optical")), np.isnan(values))
    quiet = replace(NOTHING, gamma=0.2, gain=0.1, offset=0.01, noise=0.01)
    out = augment(replace(chip, values={"optical": values}), np.random.default_rng(0), quiet)
    assert np.array_equal(np.isnan(out.values["optical"]), np.isnan(values))


def test_decibels_are_coarsened_as_power():
    db = np.zeros((2, 8, 8), np.float32)
    db[:, ::2] = -100  # nothing beside 0 dB: half the power
    out = coarsened(db, 2.0, "sar_sigma0")
    assert np.allclose(out, 10 * np.log10(0.5), atol=1e-4)


def test_an_enlarged_part_has_smaller_pixels_and_keeps_levels():
    chip = made_chip(0)
    out = augment(chip, np.random.default_rng(5), replace(NOTHING, scale=0.6))
    assert out.res_m < chip.res_m and out.shape == chip.shape
    inner = np.isfinite(out.glacier)
    assert set(np.unique(out.classes)) <= set(np.unique(chip.classes))
    assert np.abs((out.glacier >= 0.5)[inner] == np.isin(out.classes, (0, 1))[inner]).mean() > 0.97


def test_windows_are_cut_around_what_is_asked_for():
    chip = made_chip(0, size=128)
    share = lambda focus: np.mean(  # noqa: E731
        [(focused_cut(chip, 24, np.random.default_rng(k), focus).classes == DEBRIS).any() for k in range(60)]
    )
    assert share({DEBRIS: 1.0}) == 1.0
    assert share({}) < 0.9


def test_a_small_chip_is_filled_up_with_nothing():
    out = focused_cut(made_chip(0, size=20), 32, np.random.default_rng(0), {})
    assert out.shape == (32, 32)
    assert np.isnan(out.glacier[20:]).all() and np.isnan(out.values["optical"][:, :, 20:]).all()
    assert (out.classes[20:] == 255).all()


@pytest.mark.parametrize("wrong", [{"drop_sensor": 1.2}, {"scale": 0.0}, {"noise": -1.0}, {"coarsen": 0.5}])
def test_sizes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match="augment"):
        Augmentation(**wrong)


def test_saturation_cuts_the_image_off_at_one_brightness():
    chip = made_chip(3, size=32)
    how = replace(NOTHING, saturation=1.0, saturation_from=0.2)
    out = augment(chip, np.random.default_rng(1), how)
    top = np.nanmax(out.values["optical"])
    before = chip.values["optical"]
    assert 0.2 <= top <= 1.0
    np.testing.assert_allclose(out.values["optical"], np.minimum(before, top), atol=1e-6)


def test_a_radar_image_may_lie_off_the_rest_and_nothing_is_invented_where_it_left():
    chip = made_chip(4, size=32)
    sar = np.arange(2 * 32 * 32, dtype=np.float32).reshape(2, 32, 32) / 100 - 20
    chip = replace(chip, values=dict(chip.values) | {"sar_sigma0": sar})
    out = augment(chip, np.random.default_rng(7), replace(NOTHING, shift_px=5.0)).values["sar_sigma0"]
    hidden = np.isnan(out[0])
    assert hidden.any() and hidden.mean() < 0.35
    row, col = np.argwhere(~hidden)[0]
    moved = np.argwhere(sar[0] == out[0, row, col])[0] - (row, col)
    assert np.abs(moved).max() <= 5
    there = tuple(slice(a, a + 8) for a in np.array([row, col]) + moved)
    np.testing.assert_array_equal(out[0, row : row + 8, col : col + 8], sar[0][there])


def test_speckle_is_noise_of_every_radar_pixel():
    chip = made_chip(5, size=32)
    chip = replace(chip, values=dict(chip.values) | {"sar_sigma0": np.full((2, 32, 32), -10.0, np.float32)})
    out = augment(chip, np.random.default_rng(2), replace(NOTHING, speckle=3.0)).values["sar_sigma0"]
    assert 0.05 < out.std() <= 3.3 and abs(out.mean() + 10) < 0.5
