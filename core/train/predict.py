"""Predict: a model of the mapper answers for chips, the same way as it does for windows of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.models.learned import Learned
from core.models.protocol import Model
from core.sensors import sensor
from core.train.chip import Chip
from core.train.classes import SCHEMES, Scheme
from core.train.evaluate import Predict


def inputs_of(chips: Sequence[Chip], model: Model) -> dict[str, NDArray[np.float32]]:
    """sensor → (n, band, h, w) as the model needs it; what a chip lacks is NaN."""
    out = {}
    for need in model.spec.needs:
        at = [sensor(need.sensor).band_index(band) for band in need.bands]
        missing = np.full((len(at), *chips[0].shape), np.nan, np.float32)
        out[need.sensor] = np.stack([c.values[need.sensor][at] if need.sensor in c.values else missing for c in chips])
    return out


def predictor(model: Model) -> tuple[Predict, Scheme]:
    """The model as a function of chips, and its scheme. Rules of the band ratio's kind answer in the binary scheme."""
    if isinstance(model, Learned):
        learned = model
        return (lambda chips: learned.probabilities(inputs_of(chips, learned))[0]), learned.checkpoints[0].card.classes

    def binary(chips: Sequence[Chip]) -> NDArray[np.float32]:
        glacier = model.predict(inputs_of(chips, model))
        return np.stack([1 - glacier, glacier], axis=1)

    return binary, SCHEMES["binary"]
