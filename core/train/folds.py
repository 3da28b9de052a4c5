"""Folds: cross-validation by geography, never by random tiles.

Tiles that touch share glaciers, weather and outlines, so a random split scores what was learned by heart (the published
split of GlaViTU's tiles is random and leaks). Here a fold is a band of longitudes, from west to east, as in DL4GAM
(10.1029/2025EA004197): chips inside it validate, chips further off than the buffer train, and chips in between are used
for neither. Distances are on the sphere and count from the edges of the chips.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.train.chip import Chip
from core.train.sample import ChipSource

EARTH_KM = 6371.0
Side = Literal["train", "validation", "buffer"]
_TRIES = 200


@dataclass(frozen=True)
class Fold:
    """Longitudes from `west` to `east` (degrees, eastwards, so west may be the larger number) are kept for validation.

    buffer_km: between the edges of training and validation chips at least.
    """

    west: float
    east: float
    buffer_km: float

    def side(self, lat: float, lon: float, reach_km: float = 0.0) -> Side:
        """Which part a chip belongs to. reach_km: from its centre to its corner; all chips are taken for that large."""
        if (lon - self.west) % 360.0 < (self.east - self.west) % 360.0:
            return "validation"
        away = min(_to_meridian_km(lat, lon, self.west), _to_meridian_km(lat, lon, self.east))
        return "train" if away > self.buffer_km + 2 * reach_km else "buffer"

    def side_of(self, chip: Chip) -> Side:
        return self.side(chip.lat, chip.lon, reach_km(chip))


def reach_km(chip: Chip) -> float:
    """From the centre of a chip to its corner."""
    return float(np.hypot(*chip.shape) / 2 * chip.res_m / 1000)


def geographic_folds(lon: NDArray[np.float64], n: int, buffer_km: float) -> list[Fold]:
    """n bands with about as many of the positions each, the first one east of the widest gap between any two.

    lon: degrees, any range. Raises ConfigError if there are fewer positions than folds or all lie on one meridian.
    """
    at = np.unique(np.asarray(lon, dtype=np.float64) % 360.0)
    if n < 2 or len(at) < n:
        raise ConfigError(
            "folds", found=f"{n} folds of {len(at)} longitudes", expected="2 or more, and no more than those"
        )
    gap = np.diff(at, append=at[0] + 360.0)
    start = float((at[np.argmax(gap)] + gap.max() / 2) % 360.0)
    east_of = np.sort((np.asarray(lon, dtype=np.float64) - start) % 360.0)
    # Borders lie half-way between neighbours, so that no position is on one.
    distinct = np.unique(east_of)
    ranks = [distinct.searchsorted(east_of[len(east_of) * k // n]) for k in range(1, n)]
    inner = [(distinct[max(r, 1) - 1] + distinct[max(r, 1)]) / 2 for r in ranks]
    borders = [0.0, *sorted(inner), 360.0]
    if any(b - a <= 0 for a, b in pairwise(borders)):
        raise ConfigError(
            "folds", found=f"{n} folds that share a border", expected="positions spread over more longitudes"
        )
    # Beyond the first and the last position there is nothing, so their bands may end in the widest gap.
    return [Fold((a + start) % 360.0, (min(b, 359.999999) + start) % 360.0, buffer_km) for a, b in pairwise(borders)]


def split(chips: tuple[Chip, ...], fold: Fold) -> tuple[tuple[Chip, ...], tuple[Chip, ...]]:
    """(training, validation) chips; those in the buffer are in neither."""
    sides = [fold.side_of(chip) for chip in chips]
    return (
        tuple(chip for chip, side in zip(chips, sides, strict=True) if side == "train"),
        tuple(chip for chip, side in zip(chips, sides, strict=True) if side == "validation"),
    )


@dataclass(frozen=True)
class OneSide:
    """The chips of a source that lie on one side of a fold. Raises ConfigError if there seem to be none."""

    source: ChipSource
    fold: Fold
    side: Literal["train", "validation"]

    def draw(self, rng: np.random.Generator) -> Chip:
        for _ in range(_TRIES):
            chip = self.source.draw(rng)
            if self.fold.side_of(chip) == self.side:
                return chip
        raise ConfigError("folds", found=f"no {self.side} chip in {_TRIES}", expected="some on either side of the fold")


def distance_km(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Great-circle distance."""
    a, b, c, d = np.radians([lat_a, lon_a, lat_b, lon_b])
    h = np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2
    return float(2 * EARTH_KM * np.arcsin(np.sqrt(min(1.0, h))))


def _to_meridian_km(lat: float, lon: float, meridian: float) -> float:
    """Distance to the nearest point of a half meridian, pole to pole."""
    off = abs((lon - meridian + 180.0) % 360.0 - 180.0)
    if off >= 90.0:
        return float(EARTH_KM * np.radians(90.0 - abs(lat)))
    return float(EARTH_KM * np.arcsin(np.cos(np.radians(lat)) * np.sin(np.radians(off))))
