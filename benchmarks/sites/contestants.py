"""Contestants: the models that are scored beside each other, and the rules that need no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.models.band_ratio import BandRatio
from core.models.debris_rule import DebrisRule
from core.models.learned import Learned
from core.models.protocol import Model
from core.train.classes import Scheme
from core.train.evaluate import Predict
from core.train.predict import predictor

RULES: Mapping[str, Model] = {
    "band ratio": BandRatio(),
    "NDSI > 0.4": BandRatio(method="ndsi"),
    "debris rule": DebrisRule(),
}


@dataclass(frozen=True)
class Contestant:
    """A trained model under the name that it has in the tables."""

    name: str
    model: Learned

    @property
    def temperature(self) -> float:
        return self.model.checkpoints[0].card.calibration.temperature

    @property
    def about(self) -> str:
        """Which weights these are: name, digest and temperature of the checkpoint."""
        checkpoint = self.model.checkpoints[0]
        trained = "SIMULATED data in training, " if checkpoint.card.simulated else ""
        return f"{checkpoint.card.name}, digest {checkpoint.digest[:16]}, {trained}temperature {self.temperature:.3f}"

    @property
    def window_px(self) -> int:
        return self.model.checkpoints[0].card.window_px

    @property
    def scheme(self) -> Scheme:
        return self.model.checkpoints[0].card.classes

    @property
    def predict(self) -> Predict:
        return predictor(self.model)[0]


def contestants(glacier: str | None, seven: str | None, device: str = "auto") -> list[Contestant]:
    """Those of the checkpoints that are given. Raises ConfigError for one that cannot be used."""
    given = {"glacier": glacier, "seven": seven}
    return [Contestant(name, Learned(path=path, device=device)) for name, path in given.items() if path]
