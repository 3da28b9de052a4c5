"""Learned: maps with trained nets from checkpoints, one or an ensemble.

Sensors are optional but for what the model is anchored on: a pixel is told where an anchor (the optical image, as a
rule) was observed, and is NaN elsewhere, however much terrain or radar there is. A sensor that a run, a block or a
window lacks is missing to the net, not zero. Normalisation, classes and calibration belong to the checkpoint; the
answer is the probability of glacier as its class scheme defines it. Checkpoints are read and checked when the model is
named in a plan; torch is loaded by the first window that is mapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.models.checkpoint import MODEL, WEIGHTS, Checkpoint, checkpoint_url, load_checkpoint
from core.models.dihedral import TURNS
from core.models.inputs import Group, needs
from core.models.protocol import Inputs, ModelSpec
from core.stitch import gaussian_weights
from core.urls import local_path
from core.windows import WindowLattice

if TYPE_CHECKING:
    from core.models.engine import Engine

Float32 = NDArray[np.float32]
DEFAULT = "glacier"


@dataclass(frozen=True)
class Learned:
    """path: checkpoint folder, URL or the name of a shipped one. members: more of them, comma-separated, averaged with
    the first. tta: average the eight turns of each window. mc_dropout: passes with dropout that are averaged, 0 = none.
    place: region code or `lat,lon` for models that take one. without: sensors to leave out, comma-separated.
    device: auto, cpu, cuda, cuda:N; once a window was mapped, the one in use. amp: auto (half precision on CUDA), off,
    bf16, fp16. compile: torch.compile.

    Raises ConfigError for checkpoints that cannot be used, or not together.
    """

    path: str = DEFAULT
    members: str = ""
    tta: bool = False
    mc_dropout: int = 0
    place: str = ""
    without: str = ""
    device: str = "auto"
    amp: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.mc_dropout <= 1000:
            raise ConfigError("model.parameters.mc_dropout", found=str(self.mc_dropout), expected="0 to 1000 passes")
        if self.amp not in ("auto", "off", "bf16", "fp16"):
            raise ConfigError("model.parameters.amp", found=repr(self.amp), expected="auto, off, bf16 or fp16")
        first = self.checkpoints[0].card
        for other in self.checkpoints[1:]:
            for key in ("scheme", "window_px", "stride_px", "anchors"):
                if getattr(other.card, key) != getattr(first, key):
                    raise ConfigError(
                        f"model.parameters.members: {other.url}",
                        found=f"{key} {getattr(other.card, key)}",
                        expected=f"{getattr(first, key)}, as the other members have it",
                    )
        _ = self.spec

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        return tuple(opened(path) for path in (self.path, *_listed(self.members)))

    @cached_property
    def spec(self) -> ModelSpec:
        first = self.checkpoints[0].card
        members = [checkpoint.card.groups for checkpoint in self.checkpoints]
        channels = {c.name: c for groups in members for group in groups for c in group.channels}
        wanted = needs([Group("all", tuple(channels.values()))], first.anchors, _listed(self.without))
        # Neither device nor compilation changes what the answer means; the digests stand for the checkpoints.
        parameters: dict[str, int | str | bool] = {
            "digest": ",".join(checkpoint.digest for checkpoint in self.checkpoints),
            "tta": self.tta,
            "mc_dropout": self.mc_dropout,
            "place": self.place,
            "without": ",".join(sorted(_listed(self.without))),
            "amp": self.amp,
        }
        lattice = WindowLattice(first.window_px, first.stride_px)
        return ModelSpec("checkpoint", wanted, lattice, tuple(sorted(parameters.items())))

    @property
    def simulated(self) -> bool:
        """Whether a member was trained on simulated data."""
        return any(checkpoint.card.simulated for checkpoint in self.checkpoints)

    @property
    def area_calibration(self) -> Mapping[str, float]:
        """Of the first member; empty for an ensemble, whose intervals are others."""
        return self.checkpoints[0].card.calibration.area if len(self.checkpoints) == 1 else {}

    def weights(self) -> Float32:
        return gaussian_weights(self.checkpoints[0].card.window_px)

    def predict(self, inputs: Inputs) -> Float32:
        return self.predict_spread(inputs)[0]

    @property
    def votes(self) -> int:
        return len(self.checkpoints) * (TURNS if self.tta else 1) * max(1, self.mc_dropout)

    def predict_spread(self, inputs: Inputs) -> tuple[Float32, Float32]:
        """Probability of glacier, and its standard deviation among members, turns and passes: both (n, h, w) float32,
        NaN where no anchor was observed."""
        classes, spread = self.probabilities(inputs)
        return self.checkpoints[0].card.classes.glacier_probability(classes, axis=1), spread

    def probabilities(self, inputs: Inputs) -> tuple[Float32, Float32]:
        """Probability of every class of the scheme (n, class, h, w), and the spread of that of glacier (n, h, w)."""
        told = self._told(inputs)
        (n, h, w), n_classes = told.shape, self.checkpoints[0].card.classes.n_classes
        mean, spread = np.full((n, n_classes, h, w), np.nan, np.float32), np.full((n, h, w), np.nan, np.float32)
        # A window without a single pixel to tell costs nothing.
        some = np.flatnonzero(told.any(axis=(1, 2)))
        if len(some):
            bands = {need.sensor: need.bands for need in self.spec.needs}
            classes, apart = self._engine.probability({name: inputs[name][some] for name in bands}, bands)
            mean[some] = np.where(told[some][:, None], classes, np.float32(np.nan))
            spread[some] = np.where(told[some], apart, np.float32(np.nan))
        return mean, spread

    @property
    def transfer_s(self) -> float:
        """Seconds that the last `predict` spent on copies (see `OnDevice`)."""
        return self._engine.transfer_s if "_engine" in vars(self) else 0.0

    def _told(self, inputs: Inputs) -> NDArray[np.bool_]:
        """(n, h, w): where any band of an anchor was observed."""
        anchors = [name for name in self.checkpoints[0].card.anchors if name in {n.sensor for n in self.spec.needs}]
        return np.asarray(np.logical_or.reduce([np.isfinite(inputs[name]).any(axis=1) for name in anchors]))

    @cached_property
    def _engine(self) -> Engine:
        from core.models.engine import Engine

        engine = Engine(
            self.checkpoints,
            device=self.device,
            amp=self.amp,
            compiled=self.compile,
            mc_dropout=self.mc_dropout,
            tta=self.tta,
            place=self.place,
        )
        # `auto` becomes what it was resolved to, which is what `OnDevice` is asked for.
        object.__setattr__(self, "device", str(engine.device))
        return engine


def opened(path: str) -> Checkpoint:
    """`load_checkpoint`, remembered: a run asks for its model many times, and a checkpoint does not change under it."""
    folder = local_path(checkpoint_url(path))
    files = [folder / name for name in (MODEL, WEIGHTS)] if folder is not None else []
    return _opened(path, tuple((f.stat().st_mtime_ns, f.stat().st_size) if f.is_file() else (0, 0) for f in files))


@lru_cache(maxsize=16)
def _opened(path: str, stamp: tuple[tuple[int, int], ...]) -> Checkpoint:
    del stamp
    return load_checkpoint(path)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
