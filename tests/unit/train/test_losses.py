"""Losses against plain numpy, and what must not matter to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from core.train.losses import Labels, LossWeights, total_loss

PLAIN = LossWeights(focal=1, dice=0, aux=0, smoothing=0)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def case(seed: int, n: int = 2, classes: int = 3, side: int = 5):
    """Logits, one-hot shares, known, glacier share and weights, with holes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes, side, side))
    label = rng.integers(0, classes, (n, side, side))
    shares = np.moveaxis(np.eye(classes)[label], -1, 1)
    known = rng.random((n, side, side)) < 0.7
    glacier = (label == 0).astype(float)
    glacier[~known & (rng.random(known.shape) < 0.5)] = np.nan
    return logits, shares, known, glacier, rng.uniform(0.2, 2, n)


def tensors(shares, known, glacier, weight, distance=None) -> Labels:
    return Labels(
        torch.tensor(shares).float(),
        torch.tensor(glacier).float(),
        torch.tensor(known),
        torch.tensor(weight).float(),
        None if distance is None else torch.tensor(distance).float(),
    )


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([0.0, 0.1]))
def test_focal_is_the_sum_over_pixels_that_its_formula_says(seed, gamma, smoothing):
    logits, shares, known, _, weight = case(seed)
    p = softmax(logits)
    total = mass = 0.0
    for i, row, col in np.argwhere(known):
        for c in range(3):
            t = shares[i, c, row, col] * (1 - smoothing) + smoothing / 3
            q = p[i, c, row, col]
            total -= weight[i] * t * max(1 - q, 1e-6) ** gamma * np.log(q)
        mass += weight[i]
    labels = tensors(shares, known, np.full(known.shape, np.nan), weight)
    found = total_loss(torch.tensor(logits), labels, LossWeights(1, 0, gamma=gamma, smoothing=smoothing), (0,))
    assert float(found["focal"]) == pytest.approx(total / max(mass, 1e-6), rel=1e-4, abs=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_tversky_and_dice_are_what_their_formulas_say(seed, alpha):
    logits, shares, known, _, weight = case(seed)
    p = softmax(logits)

    def index(c: int, a: float, b: float) -> float:
        common = fp = fn = 0.0
        for i, row, col in np.argwhere(known):
            q, t, w = p[i, c, row, col], shares[i, c, row, col], weight[i]
            common, fp, fn = common + w * min(q, t), fp + w * max(q - t, 0), fn + w * max(t - q, 0)
        return (common + 1e-6) / (common + a * fp + b * fn + 1e-6)

    occurs = [c for c in range(3) if shares[:, c][known].any()]
    labels = tensors(shares, known, np.full(known.shape, np.nan), weight)
    weights = LossWeights(0, 1, 1, alpha=alpha, beta=1 - alpha)
    found = total_loss(torch.tensor(logits), labels, weights, (0,))
    expected = [np.mean([1 - index(c, a, b) for c in occurs]) for a, b in ((0.5, 0.5), (alpha, 1 - alpha))]
    assert [float(found["dice"]), float(found["tversky"])] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_where_only_the_share_of_glacier_is_known_the_sum_of_its_classes_learns():
    logits, shares, known, glacier, weight = case(7)
    known[:] = False
    labels = tensors(shares, known, glacier, weight)
    x = torch.tensor(logits, requires_grad=True)
    found = total_loss(x, labels, PLAIN, (0, 2))
    p = softmax(logits)[:, [0, 2]].sum(1)
    there = np.isfinite(glacier)
    g = np.nan_to_num(glacier)
    each = -(g * (1 - p) ** 2 * np.log(p) + (1 - g) * p**2 * np.log(1 - p))
    mass = there * weight[:, None, None]
    assert float(found["total"].detach()) == pytest.approx((each * mass).sum() / mass.sum(), rel=1e-4)
    found["total"].backward()
    # A step against the gradient moves both glacier classes the same way.
    assert (torch.sign(x.grad[:, 0][there]) == torch.sign(x.grad[:, 2][there])).all()


@pytest.mark.parametrize("name", ["focal", "dice", "tversky", "boundary"])
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_an_unlabelled_pixel_has_no_influence(name, seed):
    logits, shares, known, _, weight = case(seed)
    glacier = np.where(known, shares[:, 0], np.nan)
    distance = np.where(known, np.random.default_rng(seed).uniform(-1, 1, known.shape), np.nan)
    weights = LossWeights(**{"focal": 0.0, "dice": 0.0, name: 1.0})
    labels = tensors(shares, known, glacier, weight, distance)
    other = np.where(known[:, None], logits, 50 * np.random.default_rng(seed + 1).normal(size=logits.shape))
    gradients = []
    for x in (logits, other):
        x = torch.tensor(x, requires_grad=True)
        loss = total_loss(x, labels, weights, (0,))["total"]
        loss.backward()
        gradients.append((float(loss.detach()), x.grad.numpy()))
    assert gradients[0][0] == gradients[1][0]
    assert not np.moveaxis(gradients[1][1], 1, -1)[~known].any()
    assert np.isfinite(gradients[1][1]).all()


@pytest.mark.parametrize("weights", [LossWeights(1, 0, smoothing=0), LossWeights(0, 1), LossWeights(0, 0, 1)])
def test_the_truth_costs_next_to_nothing_and_its_opposite_much(weights):
    _, shares, known, _, weight = case(5, classes=2)
    labels = tensors(shares, known, np.full(known.shape, np.nan), weight)
    right, wrong = (torch.tensor((2 * t - 1) * 12) for t in (shares, 1 - shares))
    assert float(total_loss(right, labels, weights, (0,))["total"]) < 1e-3
    assert float(total_loss(wrong, labels, weights, (0,))["total"]) > 0.9


def test_a_half_covered_pixel_wants_one_half():
    labels = tensors(np.full((1, 2, 1, 1), 0.5), np.ones((1, 1, 1), bool), np.full((1, 1, 1), 0.5), np.ones(1))
    for weights in (LossWeights(1, 0, gamma=0, smoothing=0), LossWeights(0, 1)):
        best = min(
            np.linspace(-2, 2, 41),
            key=lambda x: float(total_loss(torch.tensor([[[[0.0]], [[float(x)]]]]), labels, weights, (1,))["total"]),
        )
        assert best == pytest.approx(0, abs=1e-9)


def test_nothing_labelled_is_no_loss_and_no_gradient():
    logits, shares, known, _, weight = case(3)
    labels = tensors(shares, known & False, np.full(known.shape, np.nan), weight)
    x = torch.tensor(logits, requires_grad=True)
    loss = total_loss(x, labels, LossWeights(1, 1, 1), (0,), aux=x * 2)["total"]
    loss.backward()
    assert float(loss.detach()) == 0 and not x.grad.any()


def test_the_auxiliary_head_counts_by_its_weight():
    logits, shares, known, glacier, weight = case(3)
    labels = tensors(shares, known, glacier, weight)
    x = torch.tensor(logits)
    alone = total_loss(x, labels, LossWeights(1, 0.5, aux=0.5), (0,))["total"]
    both = total_loss(x, labels, LossWeights(1, 0.5, aux=0.5), (0,), aux=x)["total"]
    assert float(both) == pytest.approx(1.5 * float(alone), rel=1e-5)


def test_a_boundary_loss_is_least_for_the_inside_alone():
    from core.train.labels import signed_distance

    truth = np.zeros((16, 16), np.float32)
    truth[4:12, 4:12] = 1
    distance = signed_distance(truth, 8.0)[None]
    labels = tensors(np.stack([1 - truth, truth])[None], np.ones((1, 16, 16), bool), truth[None], np.ones(1), distance)
    losses = {}
    for name, mask in (("right", truth), ("small", truth * 0), ("large", truth * 0 + 1)):
        logits = torch.tensor(np.stack([-mask, mask])[None] * 20 + np.array([10, -10])[None, :, None, None])
        losses[name] = float(total_loss(logits, labels, LossWeights(0, 0, 0, 1), (1,))["boundary"])
    assert losses["right"] < losses["small"] < losses["large"]


@pytest.mark.parametrize("wrong", [{"focal": 0.0}, {"dice": -1.0}, {"smoothing": 1.0}])
def test_weights_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match="loss"):
        LossWeights(**wrong)
