"""Scores and calibration against plain counting."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from core.train.calibrate import (
    Pixels,
    confidence,
    confidence_table,
    entropy_confidence,
    fit_temperature,
    glacier_of,
    labelled_pixels,
    log_loss,
    plot_reliability,
    reliability,
    with_temperature,
)
from core.train.classes import scheme
from core.train.evaluate import Tally, evaluate, expected_calibration_error, mean_iou, pooled, site
from tests.made_chips import made_chip

BINARY = scheme("binary")


def answer(p: np.ndarray):
    """A model that says p for every chip."""
    return lambda chips: np.stack([np.stack([1 - p, p])] * len(chips)).astype(np.float32)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_scores_are_what_counting_pixels_gives(seed, threshold):
    rng = np.random.default_rng(seed)
    p = rng.random((48, 48)).astype(np.float32)
    p[rng.random(p.shape) < 0.1] = np.nan
    chip = made_chip(seed % 7)
    scores = evaluate(answer(p), [chip], BINARY, threshold=threshold)["made/11"].scores()
    tp = fp = fn = untold = n = 0
    for row in range(48):
        for col in range(48):
            truth, said = chip.glacier[row, col], p[row, col]
            if np.isnan(truth):
                continue
            if np.isnan(said):
                untold += 1
                continue
            n += 1
            yes, true = said >= threshold, truth >= 0.5
            tp, fp, fn = tp + (yes and true), fp + (yes and not true), fn + (not yes and true)
    assert scores["pixels"] == n and scores["untold"] == pytest.approx(untold / (untold + n))
    assert scores["iou"] == pytest.approx(tp / (tp + fp + fn))
    assert scores["recall"] == pytest.approx(tp / (tp + fn))
    if tp + fp:
        assert scores["precision"] == pytest.approx(tp / (tp + fp))
    assert scores["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_batches_and_order_change_no_score():
    chips = [made_chip(k) for k in range(5)] + [made_chip(9, size=32)]

    def predict(group):
        p = np.stack([c.values["optical"][0] for c in group]).clip(0, 1)
        return np.stack([1 - p, p], 1)

    one = pooled(evaluate(predict, chips, BINARY, batch=1))
    many = pooled(evaluate(predict, chips[::-1], BINARY, batch=4))
    assert one.scores() == pytest.approx(many.scores(), nan_ok=True)


def test_every_site_has_its_own_scores():
    chips = [made_chip(0), made_chip(1, origin="other", region=""), made_chip(2, region="06")]
    found = evaluate(answer(np.full((48, 48), 0.9, np.float32)), chips, BINARY)
    assert set(found) == {"made/11", "other", "made/06"} == {site(c) for c in chips}
    assert 0 < mean_iou(found) < 1


def test_a_site_without_glaciers_has_no_iou():
    chip = replace(made_chip(0), glacier=np.zeros((48, 48), np.float32))
    scores = evaluate(answer(np.zeros((48, 48), np.float32)), [chip], BINARY)["made/11"].scores()
    assert np.isnan(scores["iou"]) and scores["pixels"] > 0
    assert mean_iou({}) == 0.0


def test_classes_have_ious_of_their_own():
    seven = scheme("seven")

    def perfect(chips):
        labels = np.stack([seven.labels(c.classes) for c in chips])
        labels[labels == 255] = 0
        return np.moveaxis(np.eye(7, dtype=np.float32)[labels], -1, 1)

    scores = evaluate(perfect, [made_chip(0)], seven)["made/11"].scores(seven.classes)
    assert scores["iou"] == scores["iou_clean_ice"] == scores["iou_debris"] == 1.0
    assert np.isnan(scores["iou_vegetation"])


def test_calibration_error_is_zero_for_shares_and_the_gap_otherwise():
    share = np.random.default_rng(0).random(5000)
    assert expected_calibration_error(reliability(share, share)) == pytest.approx(0, abs=1e-12)
    assert expected_calibration_error(reliability(np.full(100, 0.9), np.full(100, 0.6))) == pytest.approx(0.3)
    assert np.isnan(expected_calibration_error(np.zeros((3, 5))))


def overconfident(factor: float, n: int = 20_000) -> Pixels:
    """Pixels whose logits are `factor` times too large."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, n)
    true = 1 / (1 + np.exp(-logits))
    said = 1 / (1 + np.exp(-factor * logits))
    share = (rng.random(n) < true).astype(float)
    return Pixels(np.stack([1 - said, said], 1), share, np.zeros(n, np.int64), ("made",))


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_overconfidence(factor):
    pixels = overconfident(factor)
    t = fit_temperature(pixels, BINARY)
    assert t == pytest.approx(factor, rel=0.08)
    before, after = (glacier_of(with_temperature(pixels.probability, k), BINARY) for k in (1.0, t))
    assert log_loss(after, pixels.share) <= log_loss(before, pixels.share) + 1e-9
    if factor == 3.0:
        errors = [expected_calibration_error(reliability(p, pixels.share)) for p in (before, after)]
        assert errors[1] < errors[0] / 3


def test_temperature_one_is_the_same_and_no_temperature_moves_the_answer():
    p = np.random.default_rng(0).dirichlet((1, 1, 1), 500)
    assert np.allclose(with_temperature(p, 1.0), p)
    assert np.array_equal(with_temperature(p, 4.0).argmax(1), p.argmax(1))


def test_confidence_is_entropy_in_bits():
    assert entropy_confidence(np.array([0.5, 0.0, 1.0])) == pytest.approx([0, 1, 1], abs=1e-4)
    assert entropy_confidence(np.array([0.11])) == pytest.approx([0.5], abs=1e-3)


def test_the_confidence_table_rises_and_says_how_often_it_was_right():
    pixels = overconfident(3.0, 100_000)
    glacier = pixels.probability[:, 1]
    table = confidence_table(glacier, pixels.share)
    assert len(table) == 100 and all(b >= a - 1e-12 for a, b in pairwise(table))
    said = confidence(glacier.astype(np.float32), table)
    right = np.where(glacier >= 0.5, pixels.share, 1 - pixels.share)
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        here = (said >= low) & (said < high)
        assert right[here].mean() == pytest.approx(said[here].mean(), abs=0.02)
    assert np.isnan(confidence(np.array([np.nan], np.float32), table)).all()


def test_pixels_are_labelled_told_and_bounded():
    p = np.full((48, 48), 0.7, np.float32)
    p[:20] = np.nan
    pixels = labelled_pixels(answer(p), [made_chip(0), made_chip(1)], BINARY, per_chip=100)
    assert pixels.probability.shape == (200, 2) and np.isfinite(pixels.share).all()
    with pytest.raises(ConfigError, match="no labelled pixel"):
        labelled_pixels(answer(np.full((48, 48), np.nan, np.float32)), [made_chip(0)], BINARY)


def test_reliability_is_drawn(tmp_path):
    pixels = overconfident(2.0)
    path = plot_reliability({"before": reliability(pixels.probability[:, 1], pixels.share)}, tmp_path / "r.png", "made")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_tallies_add_up():
    a, b = Tally(2), Tally(2)
    one = np.ones((2, 2), np.float32)
    nobody = np.full((2, 2), 255, np.uint8)
    a.add(one, one, np.ones((2, 2), np.int64), nobody, 0.5)
    b.add(one, one * 0, np.ones((2, 2), np.int64), nobody, 0.5)
    assert (a + b).scores()["iou"] == 0.5
