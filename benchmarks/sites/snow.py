"""Swiss snow, test data: snow against bare ice on two glaciers in three visible and near-infrared bands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sites.contestants import Contestant
from benchmarks.sites.rows import Row, Section
from core.sensors import sensor
from core.train.augment import filled_up
from core.train.swiss_snow import SnowClip, otsu_threshold, read_snow_clips

Float32 = NDArray[np.float32]
_SENSORS = "optical (blue, nir)"


def score_snow(samples: Path, models: Sequence[Contestant]) -> Section:
    """A row per clip and model."""
    rows = [row for clip in read_snow_clips(samples / "swiss_snow") for row in _of_clip(clip, models)]
    notes = [
        "Labels lie on the glacier alone. Snow and bare ice are told apart by the larger of the two probabilities "
        "`snow` and `clean_ice` of the seven-class model. That model was taught that snow on a glacier is `clean_ice` "
        "and `snow` is snow on other ground, so this asks it for something that it was not trained to tell.",
        "Otsu: threshold on the near infrared, fitted to each clip without its labels; it splits a clip without bare "
        "ice too. `balanced`: mean of the shares of snow and of bare ice that are right. `recall`: share of all "
        "labelled pixels called glacier; there is no other ground, so no precision.",
        "Two bands are given (order of the file unchecked), at 30 m, with nothing observed beside the glacier: further "
        "from training than any other site.",
    ]
    return Section("Swiss glaciers, snow against bare ice", rows, notes)


def _of_clip(clip: SnowClip, models: Sequence[Contestant]) -> Iterator[Row]:
    site = f"{clip.glacier}, {clip.date}"
    pixels = int(np.isfinite(clip.snow).sum())
    nir = clip.chip.values["optical"][sensor("optical").band_index("nir")]
    split = snow_scores(nir >= otsu_threshold(nir), clip.snow)
    yield Row(site, "real, test", _SENSORS, "Otsu on nir", pixels, split | {"recall": float("nan")})
    for contestant in models:
        h, w = clip.chip.shape
        classes = contestant.predict([filled_up(clip.chip, contestant.window_px)])[0][:, :h, :w]
        glacier = contestant.scheme.glacier_probability(classes, axis=0)
        found = {"recall": float((glacier[np.isfinite(clip.snow)] >= 0.5).mean())}
        if contestant.scheme.name == "seven":
            at = contestant.scheme.classes.index
            found = snow_scores(classes[at("snow")] > classes[at("clean_ice")], clip.snow) | found
        yield Row(site, "real, test", _SENSORS, contestant.name, pixels, found)


def snow_scores(snow: NDArray[np.bool_], truth: Float32) -> dict[str, float]:
    """accuracy, balanced (mean recall of snow and of ice) and the IoU of each; truth: share, NaN = unlabelled."""
    known = np.isfinite(truth)
    said, true = snow[known], truth[known] >= 0.5
    both, neither = np.count_nonzero(said & true), np.count_nonzero(~said & ~true)
    recalls = [hits / n for hits, n in ((both, true.sum()), (neither, (~true).sum())) if n]
    return {
        "accuracy": _over(both + neither, len(true)),
        "balanced": float(np.mean(recalls)) if recalls else float("nan"),
        "IoU snow": _over(both, np.count_nonzero(said | true)),
        "IoU bare ice": _over(neither, np.count_nonzero(~said | ~true)),
    }


def _over(part: int | np.integer, whole: int | np.integer) -> float:
    return float(part / whole) if whole else float("nan")
