"""Points of the site kept out: does a model know the spectra of snow, ice, rock and water of a place nobody fitted?

The simulator's spectra are moments of the other three sites; Sperry is in no fit and no training. A U-Net sees windows
and points have no neighbours, so every figure stands for one of two artificial surroundings and says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sites.contestants import RULES, Contestant
from benchmarks.sites.rows import Row, Section, scores, tally
from core.models.band_ratio import BANDS
from core.sensors import sensor
from core.train.points import INSTRUMENTS, KEPT_OUT, NearestMean, Points, constant_chips, quilts, read_usgs_points

Float32 = NDArray[np.float32]
Accepted = Mapping[str, frozenset[str]]
SURROUNDINGS = ("constant window", "quilt")
# Which classes of the scheme `seven` are right for a surface of the points.
STRICT: Accepted = {
    "snow": frozenset({"snow"}),
    "shadowed_snow": frozenset({"snow", "shadow"}),
    "ice": frozenset({"clean_ice"}),
    "rock": frozenset({"non_glacial", "debris"}),
    "water": frozenset({"lake"}),
}
# Snow on a glacier is `clean_ice` in that scheme, and the points do not say whether they lie on one.
AS_TRAINED: Accepted = {**STRICT} | {name: STRICT[name] | {"clean_ice"} for name in ("snow", "shadowed_snow")}
# The nearest mean answers with the surfaces of the points themselves.
OF_POINTS: Accepted = {name: frozenset({name}) for name in STRICT} | {
    "shadowed_snow": frozenset({"snow", "shadowed_snow"})
}
_WHITE_CLASSES = ("snow", "clean_ice")
_WHITE = ("snow", "shadowed_snow", "ice")
_BATCH = 64
_SITE = f"{KEPT_OUT} (points)"


def score_points(samples: Path, models: Sequence[Contestant]) -> list[Section]:
    """Tables of classes and of glacier against other ground, each instrument apart."""
    by_class: list[Row] = []
    binary: list[Row] = []
    for instrument in INSTRUMENTS:
        points = read_usgs_points(samples / "usgs_points", instrument)
        held_out, others = points.where(points.site == KEPT_OUT), points.where(points.site != KEPT_OUT)
        plain = f"{instrument}, optical"
        nearest = NearestMean.fit(others).surfaces(held_out.reflectance)
        white = np.isin(nearest, _WHITE)
        found = _by_surface(held_out, nearest, OF_POINTS) | {"snow or ice": _agreement(held_out, white)}
        by_class.append(Row(_SITE, "real, held out", plain, "nearest mean of 3 sites", len(held_out), found))
        for name in ("NDSI > 0.4", "band ratio"):
            glacier = _rule(name, held_out)
            agrees = {"snow or ice": _agreement(held_out, glacier >= 0.5)}
            by_class.append(Row(_SITE, "real, held out", plain, name, len(held_out), agrees))
            binary.append(_binary(held_out, glacier, plain, name))
        for contestant in models:
            for sensors, shown in _sensor_sets(held_out).items():
                for around in SURROUNDINGS:
                    told = _ask(contestant, shown, around)
                    where = f"{instrument}, {sensors}"
                    label = f"{contestant.name}, {around}"
                    glacier = contestant.scheme.glacier_probability(told, axis=1)
                    binary.append(_binary(held_out, glacier, where, label))
                    if contestant.scheme.name == "seven":
                        answer = np.array(contestant.scheme.classes)[np.nan_to_num(told, nan=-1).argmax(axis=1)]
                        found = _by_surface(held_out, answer, STRICT)
                        found["mean, snow may be clean ice"] = _by_surface(held_out, answer, AS_TRAINED)["mean"]
                        found["snow or ice"] = _agreement(held_out, np.isin(answer, _WHITE_CLASSES))
                        by_class.append(Row(_SITE, "real, held out", where, label, len(held_out), found))
    around = (
        "Points have no neighbours. `constant window`: 32 × 32 px of one spectrum; `quilt`: patches of 16 × 16 px of "
        "points of the same scene side by side. Neither is a landscape, and nets normalise over what they see."
    )
    return [
        Section(
            f"{KEPT_OUT}, kept out: share of right classes",
            by_class,
            [
                around,
                "Right are: snow → snow; shadowed snow → snow or shadow; ice → clean ice; rock → non-glacial or "
                "debris. `mean` is over surfaces. A model of this project calls snow on a glacier clean ice, and the "
                "points do not say whether they lie on one: `mean, snow may be clean ice` counts both. `snow or ice`: "
                "share of points rightly told to be snow or ice, or neither.",
            ],
            "points",
        ),
        Section(
            f"{KEPT_OUT}, kept out: ice as glacier, rock as none",
            binary,
            [
                around,
                "Snow may lie on a glacier or not, so it counts in no score; `snow called glacier` is the share of its "
                "points that get that answer. Rock may be debris on ice, which here counts as rock.",
            ],
            "points",
        ),
    ]


def _sensor_sets(points: Points) -> dict[str, Points]:
    """Optical alone, and with temperature where it was measured."""
    bare = replace(points, kelvin=np.full_like(points.kelvin, np.nan))
    return {"optical": bare} | ({"optical + thermal": points} if np.isfinite(points.kelvin).any() else {})


def _ask(contestant: Contestant, points: Points, around: str) -> Float32:
    """(n, class) probabilities."""
    out = np.full((len(points), contestant.scheme.n_classes), np.nan, np.float32)
    if around == "quilt":
        for quilt in quilts(points):
            found = contestant.predict([quilt.chip])[0]
            used = quilt.index >= 0
            out[quilt.index[used]] = found[:, quilt.row[used], quilt.col[used]].T
        return out
    waiting = constant_chips(points)
    for start in range(0, len(points), _BATCH):
        found = contestant.predict(list(islice(waiting, _BATCH)))
        middle = found.shape[-1] // 2
        out[start : start + _BATCH] = found[:, :, middle, middle]
    return out


def _rule(name: str, points: Points) -> Float32:
    """(n,) membership; a rule looks at each pixel alone."""
    at = [sensor("optical").band_index(band) for band in BANDS]
    return RULES[name].predict({"optical": points.reflectance[:, at, None, None]})[:, 0, 0]


def _by_surface(points: Points, answer: NDArray[np.str_], accepted: Accepted) -> dict[str, float]:
    """Share of right points of each surface that occurs, after their mean."""
    shares = {
        surface.replace("_", " "): float(np.isin(answer[points.surface == surface], sorted(accepted[surface])).mean())
        for surface in accepted
        if (points.surface == surface).any()
    }
    return {"mean": float(np.mean(list(shares.values())))} | shares


def _agreement(points: Points, white: NDArray[np.bool_]) -> float:
    return float((np.isin(points.surface, _WHITE) == white).mean())


def _binary(points: Points, glacier: Float32, sensors: str, model: str) -> Row:
    share = np.where(points.surface == "ice", 1, np.where(np.isin(points.surface, ("rock", "water")), 0, np.nan))
    pixels, found = scores(tally(glacier[None], share[None].astype(np.float32)))
    snow = np.isin(points.surface, ("snow", "shadowed_snow"))
    found["snow called glacier"] = float((glacier[snow] >= 0.5).mean())
    return Row(_SITE, "real, held out", sensors, model, pixels, found)
