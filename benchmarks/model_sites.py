"""Trained models beside the classical rules, site by site: the tables of BENCHMARKS.md on accuracy.

    python -m benchmarks.model_sites --glacier CHECKPOINT --seven CHECKPOINT [--sites khumbu everest] [--json FILE]
        [--out DIR]

Every site has rows of its own and no figure is a mean over sites. Rows say whether a site is SIMULATED or real, and
whether it was trained on, held out or is a test that nothing was ever fitted on. Real sites need the sample data
(`ICEFLEET_SAMPLES`). Scenes are ingested into a folder that is gone afterwards. --out draws a picture per site.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.sites.calibration import score_calibration
from benchmarks.sites.contestants import RULES, Contestant, contestants
from benchmarks.sites.everest import KEPT_OUT_BOX, everest_frame, score_everest
from benchmarks.sites.frame import Float32, Frame
from benchmarks.sites.khumbu import SENSOR_SETS, khumbu_frames, score_khumbu
from benchmarks.sites.pictures import composite, draw_site
from benchmarks.sites.rows import Section
from benchmarks.sites.simulated import held_out_chips, score_simulated
from benchmarks.sites.snow import score_snow
from benchmarks.sites.spectra import score_points
from core.train.calibrate import plot_reliability
from core.train.chip import Chip
from core.train.classes import DEBRIS
from core.train.config import load_train_config
from core.train.predict import predictor

ROOT = Path(__file__).resolve().parents[1]
SITES = ("simulated", "khumbu", "everest", "points", "snow", "calibration")


@dataclass(frozen=True, eq=False)
class Places:
    """Where the data of all sites come from, each made when it is first asked for."""

    samples: Path
    scratch: Path
    config: Path
    n_chips: int

    @cached_property
    def chips(self) -> list[Chip]:
        return held_out_chips(load_train_config(self.config), self.n_chips)

    @cached_property
    def khumbu(self) -> dict[str, Frame]:
        return khumbu_frames(self.samples, self.scratch)

    @cached_property
    def everest(self) -> Frame:
        return everest_frame(self.samples, self.scratch)


def score_site(site: str, places: Places, models: Sequence[Contestant], out: Path | None, few: bool) -> list[Section]:
    """The tables of one of SITES. out: pictures go there, None for none; few: not every subset of the sensors."""
    if site == "simulated":
        if out:
            draw_simulated(out, places.chips, models)
        return score_simulated(places.chips, models, all_sets=not few)
    if site == "khumbu":
        if out:
            frame = places.khumbu["autumn"]
            draw_frame(out / "khumbu.png", frame, models, "optical + SAR + DEM", "Sentinel-2 autumn 2024, test site")
        return [score_khumbu(places.khumbu, models)]
    if site == "everest":
        if out:
            draw_everest(out / "everest_held_out.png", places.everest, models)
        return [score_everest(places.everest, models)]
    if site == "points":
        return score_points(places.samples, models)
    if site == "snow":
        return [score_snow(places.samples, models)]
    found = score_calibration(places.chips, places.khumbu, models)
    if out:
        for name, curves in found.curves.items():
            plot_reliability(dict(curves), out / f"reliability_{name}.png", f"{name}: reliability")
    return [found.section]


def draw_simulated(out: Path, chips: Sequence[Chip], models: Sequence[Contestant]) -> None:
    """The chip with the most debris among those with glacier and other ground and clear sky."""
    chip = max(chips, key=_worth_seeing)
    maps = {c.name: c.scheme.glacier_probability(c.predict([chip])[0], axis=0) for c in models}
    maps["band ratio"] = predictor(RULES["band ratio"])[0]([chip])[0, 1]
    title = f"SIMULATED held-out chip ({chip.origin}, all sensors)"
    draw_site(out / "simulated.png", title, composite(chip.values["optical"]), chip.glacier, maps)


def _worth_seeing(chip: Chip) -> float:
    ice = float(np.nanmean(chip.glacier))
    seen = float(np.isfinite(chip.values["optical"][0]).mean()) if "optical" in chip.values else 0.0
    debris = 0.0 if chip.classes is None else float((chip.classes == DEBRIS).mean())
    return (seen > 0.97) * (0.15 < ice < 0.6) * (0.05 + min(debris, 0.15))


def draw_frame(path: Path, frame: Frame, models: Sequence[Contestant], sensors: str, about: str) -> None:
    """A whole frame with the maps of all models."""
    maps = {f"{c.name}, {sensors}": frame.map(c.model, SENSOR_SETS[sensors]) for c in models}
    maps["band ratio"] = frame.map(RULES["band ratio"], ("optical",))
    draw_site(path, f"{frame.site}: {about}", composite(frame.chip.values["optical"]), frame.share, maps)


def draw_everest(path: Path, frame: Frame, models: Sequence[Contestant]) -> None:
    """The box that training left out."""
    rows, cols = (np.flatnonzero(frame.inside(*KEPT_OUT_BOX).any(axis=axis)) for axis in (1, 0))
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)

    def cut(full: Float32) -> Float32:
        return full[box]

    maps = {c.name: cut(frame.map(c.model, ("optical",))) for c in models}
    maps["band ratio"] = cut(frame.map(RULES["band ratio"], ("optical",)))
    image = composite(frame.chip.values["optical"][:, *box], ("nir", "red", "green"))
    draw_site(path, "Everest, held out of training: Landsat 7, 2000-10-30", image, cut(frame.share), maps)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glacier", help="checkpoint of the binary model")
    parser.add_argument("--seven", help="checkpoint of the seven-class model")
    parser.add_argument("--sites", nargs="+", choices=SITES, default=SITES)
    parser.add_argument("--config", type=Path, default=ROOT / "jobs" / "configs" / "train_glacier.yaml")
    parser.add_argument("--chips", type=int, default=32, help="simulated chips, at most those of the configuration")
    parser.add_argument("--few", action="store_true", help="not every combination of sensors on simulated chips")
    parser.add_argument("--out", type=Path, help="draw pictures into this folder")
    parser.add_argument("--json", type=Path, help="also write all rows to this file")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args(arguments)
    models = contestants(asked.glacier, asked.seven, asked.device)
    samples = Path(os.environ.get("ICEFLEET_SAMPLES", ROOT.parent / "shared" / "samples"))
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
    for contestant in models:
        print(f"`{contestant.name}`: {contestant.about}\n", flush=True)
    sections: list[Section] = []
    with tempfile.TemporaryDirectory(prefix="model-sites-") as scratch:
        places = Places(samples.resolve(), Path(scratch), asked.config, asked.chips)
        for site in asked.sites:
            began = time.perf_counter()
            for section in score_site(site, places, models, asked.out, asked.few):
                sections.append(section)
                print(f"{section.markdown()}\n", flush=True)
            print(f"{site}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    if asked.json:
        about = {c.name: {"digest": c.model.checkpoints[0].digest, "temperature": c.temperature} for c in models}
        record = {"models": about, "sections": [section.record() for section in sections]}
        asked.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
