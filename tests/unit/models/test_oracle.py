"""The oracle says what it is shown."""

from __future__ import annotations

import numpy as np

from core.models.oracle import Oracle


def test_the_answer_is_the_layer_itself_with_its_gaps():
    layer = np.random.default_rng(0).uniform(0, 1, (3, 1, 8, 8)).astype(np.float32)
    layer[1, 0, 2:4] = np.nan
    np.testing.assert_array_equal(Oracle(8, 4).predict({"oracle": layer}), layer[:, 0])


def test_windows_and_weights_are_those_asked_for():
    oracle = Oracle(64, 32)
    assert (oracle.spec.windows.size_px, oracle.spec.windows.stride_px) == (64, 32)
    assert oracle.weights().shape == (64, 64)
    assert oracle.weights().min() > 0
    assert oracle.spec.digest != Oracle(64, 64).spec.digest
