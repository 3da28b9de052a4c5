"""Khumbu, a test site: the debris-covered tongue in four seasons of 2024, by sensors. Nothing is fitted on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.warp import transform_bounds

from benchmarks.sites.contestants import RULES, Contestant
from benchmarks.sites.frame import BUFFER_M, RES_M, Float32, Frame, ingest, outline_dates
from benchmarks.sites.rows import Row, Section, scores, tally
from core.grid import Lattice, Zone

ZONE = Zone("utm45n")
# The exact days are not in the files: each stands for the middle of its season.
SEASONS = {"winter": "2024-01-15", "spring": "2024-04-15", "summer": "2024-07-15", "autumn": "2024-10-15"}
SENSOR_SETS = {
    "optical": ("optical",),
    "optical + SAR": ("optical", "sar_sigma0"),
    "optical + SAR + DEM": ("optical", "sar_sigma0", "dem"),
}
DATA = "real, test"


def khumbu_frames(samples: Path, folder: Path) -> dict[str, Frame]:
    """season → its frame, all in one tile store under `folder`."""
    place = samples / "khumbu_s1_s2"
    out = {}
    for season, date in SEASONS.items():
        config = ingest(folder, _keys(samples, season, date))
        with rasterio.open(place / f"s2_{season}_2024.tif") as image:
            bounds = transform_bounds(image.crs, f"EPSG:{ZONE.epsg}", *image.bounds)
        window = Lattice(ZONE, RES_M).cover(bounds)
        out[season] = Frame(f"Khumbu, {season}", config, ZONE, window, SENSOR_SETS["optical + SAR + DEM"])
    return out


def _keys(samples: Path, season: str, date: str) -> dict[str, Any]:
    """As in `jobs/configs/khumbu_s1_s2_dem.yaml`, but on pixels of 30 m, those of the models."""
    place = samples / "khumbu_s1_s2"
    optical = {
        "path": str(place / f"s2_{season}_2024.tif"),
        "bands": {name: k + 1 for k, name in enumerate(("blue", "green", "red", "nir", "swir1", "swir2"))},
        "nodata": 0,
    }
    radar = {"path": str(place / f"s1_{season}_2024_dB.tif"), "bands": {"vv_db": 1, "vh_db": 2}}
    terrain = {"path": str(place / "hma-khumbu.tif"), "bands": {"elevation_m": 1}, "nodata": 0}
    return {
        "name": f"khumbu_{season}",
        "year": 2024,
        "epoch": season,
        "inventory": str((samples / "everest_l7" / "rgi60_15_everest_outlines.gpkg").resolve()),
        "regions": ["15"],
        "output": "runs",
        "tiles": "tiles",
        "grid": {"res_m": RES_M, "buffer_m": BUFFER_M},
        "sensors": {name: {"res_m": RES_M} for name in ("optical", "sar_sigma0", "dem")},
        "model": {"name": "debris_rule"},
        "execution": {"workers": 1},
        "scenes": [
            {"id": f"S2_L2A_{season}_2024", "sensor": "optical", "date": date, "files": [optical]},
            {"id": f"S1_GRD_{season}_2024", "sensor": "sar_sigma0", "date": date, "files": [radar]},
            {"id": "HMA_DEM_8m", "sensor": "dem", "date": "2015-01-01", "files": [terrain]},
        ],
    }


def score_khumbu(frames: dict[str, Frame], models: Sequence[Contestant]) -> Section:
    """All seasons, sensors and models on the pixels of the frame."""
    rows = [row for frame in frames.values() for row in _of_season(frame, models)]
    autumn = frames["autumn"]
    notes = [
        "Sentinel-2 L2A and Sentinel-1 GRD of 2024; truth: share of each 30 m pixel inside the outlines of RGI 6.0 as "
        f"drawn, glacier from one half on ({outline_dates(autumn)}, images of 2024: retreat since then counts "
        f"against every model). {(autumn.share[autumn.seen] >= 0.5).mean():.0%} of the frame is glacier.",
        "IoU, precision, recall and ECE: all pixels of the frame, mapped without any help of the outlines. `IoU in "
        f"buffer`: as a run maps, beyond {BUFFER_M:.0f} m of an outline nothing is glacier. `IoU where DEM`: without "
        "the west of the frame, which the elevation model lacks.",
        "`everything` says glacier everywhere; its IoU is the glacier's share of the frame, or of the buffer.",
    ]
    return Section("Khumbu Glacier, four seasons", rows, notes)


def _of_season(frame: Frame, models: Sequence[Contestant]) -> Iterator[Row]:
    yield _row(frame, np.ones_like(frame.share), "none", "everything")
    for name, model in RULES.items():
        sensors = "optical + SAR + DEM" if name == "debris rule" else "optical"
        yield _row(frame, frame.map(model, SENSOR_SETS[sensors]), sensors, name)
    for contestant in models:
        for sensors, names in SENSOR_SETS.items():
            yield _row(frame, frame.map(contestant.model, names), sensors, contestant.name)


def _row(frame: Frame, glacier: Float32, sensors: str, model: str) -> Row:
    pixels, found = scores(tally(glacier, frame.share))
    buffered = np.where(frame.near, glacier, np.float32(0))
    sloped = np.isfinite(frame.chip.values["dem"]).all(axis=0)
    found["IoU in buffer"] = tally(buffered, frame.share).scores()["iou"]
    found["IoU where DEM"] = tally(np.where(sloped, glacier, np.float32(np.nan)), frame.share).scores()["iou"]
    return Row(frame.site, DATA, sensors, model, pixels, found)
