"""The protocol between the mapper and a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from core.windows import WindowLattice

# sensor → (n, band, h, w) float32 in the sensor's physical units, bands in the order of the need, NaN = not observed.
# A sensor that the block lacks is all NaN.
Inputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Need:
    """Bands of one sensor that a model reads. The first need of a model dates its pixels. optional: the model also
    maps without it, where a block or a whole run has none."""

    sensor: str
    bands: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """What a model is: name, needs, windows and every parameter that changes a number."""

    name: str
    needs: tuple[Need, ...]
    windows: WindowLattice
    parameters: tuple[tuple[str, float | int | str | bool], ...] = ()

    @property
    def digest(self) -> str:
        """Identity of the model: 16 hex digits of the sha256 over everything above."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@runtime_checkable
class OnDevice(Protocol):
    """What a model that may run on an accelerator says besides, so that its time can be told apart."""

    @property
    def device(self) -> str:
        """`cpu`, `cuda:0` …"""
        ...

    @property
    def transfer_s(self) -> float:
        """Seconds that the last `predict` spent copying windows to the device and scores back."""
        ...


@runtime_checkable
class Voting(Protocol):
    """What a model says besides whose answer is a mean over votes: members of an ensemble, turns, passes."""

    @property
    def votes(self) -> int:
        """1: nothing to compare."""
        ...

    def predict_spread(self, inputs: Inputs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As `Model.predict`, and the standard deviation of the probability among the votes: both (n, h, w)."""
        ...


@runtime_checkable
class Calibrated(Protocol):
    """What a model says besides whose areas were compared with known ones."""

    @property
    def area_calibration(self) -> Mapping[str, float]:
        """`boundary_px` and `correlation_m` of `core.measure.uncertainty`; empty where nothing was compared."""
        ...


def has_spread(model: object) -> bool:
    """Whether a model has votes that can differ."""
    return isinstance(model, Voting) and model.votes > 1


class Model(Protocol):
    """A mapper of glaciers. Implementations are deterministic: the same window gives the same answer in any batch."""

    @property
    def spec(self) -> ModelSpec: ...

    def weights(self) -> NDArray[np.float32]:
        """(h, w) strictly positive weight of each pixel of a window when windows are blended."""
        ...

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        """Probability of glacier per pixel: (n, h, w) float32 in [0, 1], NaN where it cannot be told."""
        ...
