"""Sample: where chips come from, and how a step's batch is made of them.

A source gives a chip for a generator; a sampler gives the batch of a step. Every number of a batch follows from the
seed, the step and the place in the batch, so training goes on from any step as if it had never stopped, whoever
prepares the batches and however many of them. Sources are small and picklable: they open what they read where they
are used, so loader processes and nodes can each have their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.models.inputs import Group, needed_bands
from core.sensors import sensor
from core.train.augment import Augmentation, augment, focused_cut
from core.train.chip import Chip
from core.train.classes import CODES, SHADOW, UNLABELLED, Scheme
from core.train.labels import signed_distance

Float32 = NDArray[np.float32]


class ChipSource(Protocol):
    """A place that chips come from."""

    def draw(self, rng: np.random.Generator) -> Chip:
        """Any chip, of any size."""
        ...


@dataclass(frozen=True)
class ChipList:
    """Chips in memory, each as likely as the next."""

    chips: tuple[Chip, ...]

    def __post_init__(self) -> None:
        if not self.chips:
            raise ConfigError("data", found="no chips", expected="at least one")

    def draw(self, rng: np.random.Generator) -> Chip:
        return self.chips[int(rng.integers(len(self.chips)))]


@dataclass(frozen=True)
class Mixture:
    """Several sources, each drawn from as often as its share says. Raises ConfigError for shares that are none."""

    sources: tuple[ChipSource, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.sources or len(self.sources) != len(self.shares) or min(self.shares) <= 0:
            raise ConfigError("data", found=f"shares {self.shares}", expected="a positive share for each source")

    def draw(self, rng: np.random.Generator) -> Chip:
        shares = np.asarray(self.shares) / sum(self.shares)
        return self.sources[int(rng.choice(len(shares), p=shares))].draw(rng)


@dataclass(frozen=True)
class Batch:
    """What a step learns from, as arrays; n samples of window_px².

    values: sensor → (n, band, h, w) float32 with NaN, bands as `bands` says; labels: (n, h, w) uint8 classes of the
    scheme, 255 = unknown; glacier: (n, h, w) float32 share, NaN = unknown; distance: signed distance (n, h, w), or
    None; weight, lat, lon: (n,); region: RGI codes.
    """

    values: Mapping[str, Float32]
    labels: NDArray[np.uint8]
    glacier: Float32
    distance: Float32 | None
    weight: Float32
    lat: Float32
    lon: Float32
    region: tuple[str, ...]


def make_batch(chips: Sequence[Chip], groups: Sequence[Group], scheme: Scheme, *, distance: bool = False) -> Batch:
    """Chips of one size → batch with the bands that the groups use, in registry order."""
    bands = needed_bands(groups)
    labels = np.stack([class_labels(chip, scheme) for chip in chips])
    shares = [mapped_share(chip, scheme) for chip in chips]
    distances = [signed_distance(share, max(share.shape) / 2) for share in shares] if distance else None
    return Batch(
        values={name: np.stack([_bands(chip, name, wanted) for chip in chips]) for name, wanted in bands.items()},
        labels=labels,
        glacier=np.stack(shares),
        distance=np.stack(distances) if distances else None,
        weight=np.array([chip.weight for chip in chips], np.float32),
        lat=np.array([chip.lat for chip in chips], np.float32),
        lon=np.array([chip.lon for chip in chips], np.float32),
        region=tuple(chip.region for chip in chips),
    )


def _bands(chip: Chip, name: str, wanted: Sequence[str]) -> Float32:
    if name not in chip.values:
        return np.full((len(wanted), *chip.shape), np.nan, np.float32)
    return chip.values[name][[sensor(name).band_index(band) for band in wanted]]


def class_labels(chip: Chip, scheme: Scheme) -> NDArray[np.uint8]:
    """(h, w) classes of the scheme, 255 where they are unknown. Of the binary scheme always 255: it learns shares.

    What lies in shadow on a glacier is unknown to every scheme of surfaces (see `core.train.classes`).
    """
    if chip.classes is None or scheme.name == "binary":
        return np.full(chip.shape, UNLABELLED, np.uint8)
    hidden = (chip.classes == SHADOW) & (chip.glacier > 0.01)
    return scheme.labels(np.where(hidden, np.uint8(UNLABELLED), chip.classes))


def mapped_share(chip: Chip, scheme: Scheme) -> Float32:
    """(h, w) share of what the scheme maps, NaN where unknown: that of glacier, or for a scheme that maps something
    else 0 or 1 by the surface of the pixel."""
    if scheme.maps_glaciers:
        return chip.glacier
    labels = class_labels(chip, scheme)
    mapped = np.isin(labels, scheme.glacier_index).astype(np.float32)
    return np.where(labels == UNLABELLED, np.float32(np.nan), mapped)


@dataclass(frozen=True)
class Sampler:
    """Batches of a source. focus: surface → share of the windows that are cut around a pixel of it. borrow: sensor →
    share of the windows that show it as of another place, so that a net does not believe one sensor against all others,
    and real images meet sensors that only simulated ones have."""

    source: ChipSource
    groups: tuple[Group, ...]
    scheme: Scheme
    window_px: int
    batch: int
    seed: int = 0
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    focus: Mapping[str, float] | None = None
    anchors: tuple[str, ...] = ("optical",)
    distance: bool = False
    borrow: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        focus = self.focus or {}
        wrong = [name for name, share in (self.borrow or {}).items() if not 0 <= share <= 1]
        if wrong:
            raise ConfigError(f"borrow.{wrong[0]}", found=str((self.borrow or {})[wrong[0]]), expected="0 to 1")
        unknown = [name for name in focus if name not in CODES]
        if unknown or sum(focus.values()) > 1 or any(share < 0 for share in focus.values()):
            raise ConfigError(
                "focus", found=str(focus), expected="shares that sum to at most 1, of " + ", ".join(CODES)
            )

    def chip(self, step: int, place: int) -> Chip:
        """The chip at a place of the batch of a step: drawn, cut and augmented."""
        rng = np.random.default_rng((self.seed, step, place))
        focus = {CODES[name]: share for name, share in (self.focus or {}).items()}
        # A chip without any label teaches nothing; a source of few labels is not asked for ever.
        for _ in range(8):
            cut = focused_cut(self.source.draw(rng), self.window_px, rng, focus)
            if cut.labelled_fraction > 0.02:
                break
        cut = self._with_borrowed(cut, rng) if self.borrow else cut
        return cut if self.augmentation is None else augment(cut, rng, self.augmentation, self.anchors)

    def _with_borrowed(self, chip: Chip, rng: np.random.Generator) -> Chip:
        names = [name for name, share in sorted((self.borrow or {}).items()) if rng.random() < share]
        if not names:
            return chip
        other = focused_cut(self.source.draw(rng), self.window_px, rng, {})
        return replace(chip, values=dict(chip.values) | {n: other.values[n] for n in names if n in other.values})

    def make(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The batch of a step, or the part of it that is rank's: places rank, rank + ranks, …"""
        chips = [self.chip(step, place) for place in range(rank, self.batch, ranks)]
        return make_batch(chips, self.groups, self.scheme, distance=self.distance)


def default_focus(scheme: Scheme) -> dict[str, float]:
    """Debris is a tenth of the ice and most of the errors: a third of the windows is cut around it."""
    return {"debris": 0.3} if "debris" in scheme.surfaces else {}
