"""Everest in Landsat 7, 30 October 2000: ground that no training saw, and ground that it did, never in one figure.

Training leaves out a box around the Khumbu test frame (`exclude` in `jobs/configs/train_glacier.yaml`). Between that
box and the test frame lies a ring that is neither trained on nor in the test, of the same image as the training ground:
the mildest of all real tests, and it says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio

from benchmarks.sites.contestants import RULES, Contestant
from benchmarks.sites.frame import RES_M, Frame, ingest, outline_dates
from benchmarks.sites.rows import Row, Section, scores, tally
from core.config import load_config
from core.grid import Lattice, Zone

ZONE = Zone("utm45n")
# West, south, east, north, degrees.
TEST_BOX = (86.77, 27.94, 86.86, 28.01)
KEPT_OUT_BOX = (86.72, 27.90, 86.91, 28.05)
_SENSORS = "optical (4 bands)"
CONFIG = Path(__file__).resolve().parents[2] / "jobs" / "configs" / "everest_l7.yaml"


def everest_frame(samples: Path, folder: Path) -> Frame:
    """The whole Landsat frame in a tile store of its own, as in `jobs/configs/everest_l7.yaml`."""
    place = samples / "everest_l7"
    shipped = load_config(CONFIG, env=dict(os.environ) | {"ICEFLEET_SAMPLES": str(samples.resolve())})
    config = ingest(
        folder,
        {
            "name": "everest",
            "year": 2000,
            "inventory": str((place / "rgi60_15_everest_outlines.gpkg").resolve()),
            "regions": ["15"],
            "output": "runs",
            "tiles": "tiles_everest",
            "grid": {"res_m": RES_M},
            "sensors": {"optical": {"res_m": RES_M}},
            "model": {"name": "band_ratio"},
            "execution": {"workers": 1},
            "scenes": [scene.model_dump(mode="json") for scene in shipped.scenes],
        },
    )
    with rasterio.open(place / "LE71400412000304SGS00_RGB.tif") as image:
        window = Lattice(ZONE, RES_M).cover(tuple(image.bounds))
    return Frame("Everest", config, ZONE, window, ("optical",))


def score_everest(frame: Frame, models: Sequence[Contestant]) -> Section:
    """Every model on the three parts of the frame."""
    test, kept = frame.inside(*TEST_BOX), frame.inside(*KEPT_OUT_BOX)
    parts = {
        ("Everest, ring around the test frame", "real, held out"): kept & ~test,
        ("Everest, ground of the test frame", "real, held out"): test,
        ("Everest, training ground", "real, TRAIN"): ~kept,
    }
    maps = {"everything": np.ones_like(frame.share)}
    maps |= {name: frame.map(model, ("optical",)) for name, model in RULES.items() if name == "band ratio"}
    maps |= {contestant.name: frame.map(contestant.model, ("optical",)) for contestant in models}
    rows = [
        Row(site, data, _SENSORS, name, *scores(tally(np.where(part, glacier, np.float32(np.nan)), frame.share)))
        for (site, data), part in parts.items()
        for name, glacier in maps.items()
    ]
    notes = [
        f"Landsat 7, saturated over snow, no short-wave infrared; truth: RGI 6.0 ({outline_dates(frame)}), as drawn. "
        "The band ratio falls back on its visible and near-infrared rule here.",
        f"Training saw this image but for the box {KEPT_OUT_BOX} (west, south, east, north): the held-out parts are "
        "another piece of the same image, close to what was trained on. The last rows are training data.",
    ]
    return Section("Everest, Landsat 7, 2000", rows, notes)
