"""Scores of a release against the truth of a place: glaciers, debris-covered ice, rock glaciers.

Debris is told from clean ice by the release itself (glacier_surface), so ground that is wrongly mapped and not bright
counts against it. A rock glacier is found if at least half of its ground is mapped; a mapped part is false if less than
half of its ground is a rock glacier, so parts that spill over wide ground are false ones too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.obia.runs import Bool, Float32, Found
from benchmarks.sites.rows import tally
from core.grid import Lattice, PixelWindow
from core.train.evaluate import Tally

HALF = 0.5
LEAST_KM2 = 0.02  # smaller rock glaciers, most of them cut off by something, are neither searched nor false


@dataclass(frozen=True)
class Ground:
    """The truth of a place. glacier: (h, w) share, NaN where nobody knows or nothing was searched; debris,
    rock_glacier: (h, w), None where the truth does not tell them."""

    name: str
    lattice: Lattice
    window: PixelWindow
    glacier: Float32
    debris: Bool | None = None
    rock_glacier: Bool | None = None

    @property
    def known(self) -> Bool:
        return np.isfinite(self.glacier)


def of_glaciers(found: Found, ground: Ground) -> dict[str, Tally]:
    """`glacier`, and `debris` where the truth tells it."""
    mapped = found.mapped(ground.lattice, ground.window)
    out = {"glacier": _tally(mapped, ground.glacier)}
    if ground.debris is not None:
        debris = found.mapped_debris(ground.lattice, ground.window)
        out["debris"] = _tally(debris, np.where(ground.known, ground.debris, np.nan))
    return out


@dataclass(frozen=True)
class Counted:
    """of rock glaciers: found of those that there are, parts that were mapped and those of them that are false."""

    found: int
    there: int
    parts: int
    false: int
    pixels: Tally

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.found + other.found,
            self.there + other.there,
            self.parts + other.parts,
            self.false + other.false,
            self.pixels + other.pixels,
        )

    @property
    def scores(self) -> dict[str, float]:
        return {"found": self.found, "of": self.there, "parts": self.parts, "false": self.false} | some(self.pixels)


def of_rock_glaciers(found: Found, ground: Ground) -> Counted:
    assert ground.rock_glacier is not None, "a place whose rock glaciers are known"
    truth = ground.rock_glacier & ground.known
    mapped = found.mapped(ground.lattice, ground.window)
    sizes, share = _objects(truth, mapped, ground.lattice.res_m)
    large = sizes >= LEAST_KM2
    part_km2 = _areas_km2(found)
    true = found.shares(truth, ground.lattice, ground.window)
    return Counted(
        found=int((share[large] >= HALF).sum()),
        there=int(large.sum()),
        parts=len(true),
        false=int(((true < HALF) & (part_km2 >= LEAST_KM2)).sum()),
        pixels=_tally(mapped, np.where(ground.known, ground.rock_glacier, np.nan)),
    )


def some(found: Tally, names: Sequence[str] = ("iou", "precision", "recall", "f1"), of: str = "") -> dict[str, float]:
    """A few of the scores of a tally, under the name of what they are of."""
    scores: Mapping[str, float] = found.scores()
    return {f"{of} {name}".strip(): scores[name] for name in names}


def _objects(truth: Bool, mapped: Bool, res_m: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(km² of each connected rock glacier, share of it that is mapped)."""
    labels, n = ndimage.label(truth, structure=np.ones((3, 3)))
    pixels = np.bincount(labels.ravel(), minlength=n + 1)[1:].astype(np.float64)
    hit = np.bincount(labels.ravel(), mapped.ravel(), n + 1)[1:]
    return pixels * (res_m / 1000.0) ** 2, hit / np.maximum(pixels, 1)


def _areas_km2(found: Found) -> NDArray[np.float64]:
    return np.array([part.area for part in found.parts]) / 1e6


def _tally(mapped: Bool, share: NDArray[np.floating]) -> Tally:
    return tally(mapped.astype(np.float32), np.asarray(share, dtype=np.float32))
