"""How near mapped areas are to the truth, and whether their intervals hold it, in SIMULATED worlds of three years.

    python -m benchmarks.area_truth [--worlds 3] [--models oracle,band_ratio,checkpoint:models/glacier/best]
                                    [--set measure.boundary_px=0.3] [--fit] [--out DIR] [--json FILE] [--plots DIR]

Every world and year goes through the real pipeline, plan to release; what is scored is the release. Per model: bias of
the regional area, share of glaciers whose 68 % interval (area ± σ) holds the truth, whether the regional interval does,
and the sign of change between years where |change| > 2σ, σ of a change being the root of the sum of both variances.
`--fit` finds (boundary_px, correlation_m) on worlds of other seeds than those scored; no training uses any of them.
Everything is SIMULATED: it tests measuring and the arithmetic of σ, and says nothing of a model on real scenes.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyarrow.parquet as pq

from benchmarks.area_plots import plot_areas
from benchmarks.area_scores import bias, changes, coverage, fit, measured, scaled_sigma
from benchmarks.history_world import HistoryWorld, lay_truth, write_history_world
from core.config import load_config
from core.layout import ReleaseLayout, RunLayout
from core.objects import Objects
from core.plan import load_plan
from core.prepare import prepare
from core.release.schema import AREA
from core.run import load_run
from core.simulate.land.ice import YEARS
from core.urls import local_path
from core.worker import Worker
from jobs.run import execute

SCORED_FROM, FITTED_FROM = 7001, 8001
LENGTHS_M = (75.0, 100.0, 125.0, 150.0)


@dataclass(frozen=True)
class Year:
    """One run. rows: a glacier each, see `_joined`; region: region_area of the release; seconds: of this session."""

    world: HistoryWorld
    year: int
    model: str
    url: str
    rows: pd.DataFrame
    region: dict[str, float]
    seconds: float


def run_year(world: HistoryWorld, year: int, model: str, overrides: Sequence[str] = ()) -> Year:
    """Run the pipeline in this process, or go on where an earlier call stopped. Raises RuntimeError if it fails."""
    began = time.perf_counter()
    prepared = prepare(load_config(world.write_config(year, model), overrides))
    prepared.write()
    if model == "oracle":
        lay_truth(prepared, world)
    driven = execute(prepared, quiet=True)
    if not driven.clean:
        raise RuntimeError(f"{prepared.run.url}: not every unit succeeded; see `icefleet status`")
    seconds = time.perf_counter() - began
    folder = local_path(prepared.run.release_url)
    assert folder is not None, "the world's configuration has relative paths"
    layout = ReleaseLayout(year)
    area = pd.DataFrame(gpd.read_parquet(folder / layout.table(AREA)).drop(columns="geometry"))
    regions = pq.read_table(folder / layout.region_area).to_pandas()
    region = regions[regions["o2region"] == world.o2region].iloc[0]
    known = {name: float(region[name]) for name in ("area_km2", "area_sigma_km2", "n_glaciers")}
    return Year(world, year, model, prepared.run.url, _joined(world, year, area), known, seconds)


def remeasured(run: Year, correlation_m: float) -> pd.DataFrame:
    """The rows of a finished run measured again with another correlation length: nothing is mapped, and the run stays
    as it is."""
    source = local_path(run.url)
    assert source is not None
    with tempfile.TemporaryDirectory(prefix="area-truth-") as scratch:
        copy = Path(scratch) / source.name
        left = ("release", "measure", "publish", RunLayout.PARTIALS, RunLayout.EVENTS)
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*left))
        record = json.loads((copy / RunLayout.RUN).read_text())
        record["config"]["measure"]["correlation_m"] = correlation_m
        (copy / RunLayout.RUN).write_text(json.dumps(record))
        objects, worker = Objects(str(copy)), Worker(str(copy))
        plan = load_plan(objects)
        assert plan is not None
        tables = []
        for group in plan.groups:
            worker.do("measure", group.name)
            tables.append(pq.read_table(io.BytesIO(objects.get(RunLayout.partial(group.name, AREA)))).to_pandas())
    area = pd.concat(tables, ignore_index=True)
    return _joined(run.world, run.year, area)


def _joined(world: HistoryWorld, year: int, area: pd.DataFrame) -> pd.DataFrame:
    """A row per glacier of the truth: rgi_id, world, year, status, truth_km2, area_km2, sigma_km2, boundary_km2,
    model_km2, hidden_km2 (parts of sigma; NaN areas where not measured)."""
    names = {f"area_sigma_{part}km2": f"{part or 'sigma_'}km2" for part in ("", "boundary_", "model_", "hidden_")}
    found = pd.DataFrame(area[["rgi_id", "status", "area_km2", *names]]).rename(columns=names)
    truth = pd.DataFrame(world.truth().query("year == @year")[["rgi_id", "area_km2"]])
    truth = truth.rename(columns={"area_km2": "truth_km2"}).assign(world=world.seed, year=year)
    return truth.merge(found, on="rgi_id", how="left", validate="one_to_one")


def areas(runs: Sequence[Year]) -> list[dict[str, Any]]:
    """A line per world and year, and one of all."""
    lines = []
    for run in runs:
        seen = measured(run.rows)
        truth, region = float(seen["truth_km2"].sum()), run.region
        lines.append(
            {
                "world": f"{run.world.seed} {run.world.archetype}",
                "year": run.year,
                "glaciers": len(run.rows),
                "measured": len(seen),
                "truth_km2": truth,
                "area_km2": region["area_km2"],
                "sigma_km2": region["area_sigma_km2"],
                "bias": region["area_km2"] / truth - 1.0 if truth else None,
                "holds": abs(region["area_km2"] - truth) <= region["area_sigma_km2"],
                "seconds": run.seconds,
            }
        )
    return lines


def score(model: str, runs: Sequence[Year]) -> dict[str, Any]:
    """All that is said of a model."""
    rows = pd.concat([run.rows for run in runs], ignore_index=True)
    seen, lines = measured(rows), areas(runs)
    return {
        "data": "SIMULATED",
        "model": model,
        "areas": lines,
        "bias": bias(rows),
        "worst_bias": max((line["bias"] for line in lines if line["bias"] is not None), key=abs),
        "region_holds": sum(line["holds"] for line in lines) / len(lines),
        "coverage": coverage(seen),
        "change": changes(rows),
    }


def fitted(scored: Sequence[Year], others: Sequence[Year]) -> dict[str, Any]:
    """Parameters fitted on `others`, and what they do there and on `scored`."""
    together = {run.world.seed for run in scored} & {run.world.seed for run in others}
    if together:
        raise ValueError(f"worlds {sorted(together)} are both fitted and scored")
    boundary_px = load_run(others[0].url).rules.boundary_px
    found = fit({length: _again(others, length) for length in LENGTHS_M}, boundary_px)
    out: dict[str, Any] = {"fit": asdict(found)}
    for name, runs in (("fitted", others), ("scored", scored)):
        seen = measured(_again(runs, found.correlation_m))
        out[name] = {
            "worlds": sorted({run.world.seed for run in runs}),
            "coverage": coverage(seen, scaled_sigma(seen, found.boundary_px / boundary_px)),
        }
    return out


def _again(runs: Sequence[Year], length: float) -> pd.DataFrame:
    return pd.concat([remeasured(run, length) for run in runs], ignore_index=True)


def show(scores: dict[str, Any]) -> None:
    """The tables of one model."""
    head = f"SIMULATED | {scores['model']}"
    print("\n| data | model | world | year | measured | truth km² | mapped km² | bias | σ km² | holds | s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for a in scores["areas"]:
        seen = f"{a['measured']} of {a['glaciers']} | {a['truth_km2']:.2f} | {a['area_km2']:.2f}"
        bias_ = "" if a["bias"] is None else f"{a['bias']:+.2%}"
        told = f"{bias_} | {a['sigma_km2']:.2f} | {'yes' if a['holds'] else 'no'} | {a['seconds']:.0f}"
        print(f"| {head} | {a['world']} | {a['year']} | {seen} | {told} |")
    print(f"| {head} | all | | | | | {scores['bias']:+.2%} | | {scores['region_holds']:.0%} | |")
    _show_coverage(head, "scored", scores["coverage"])
    c = scores["change"]
    share = "" if c["share"] is None else f" ({c['share']:.1%})"
    print(f"\n{head}: {c['clear']} of {c['n']} changes above 2σ, {c['right']} of these have the right sign{share}")
    if "fit" in scores:
        f = scores["fit"]
        print(f"\n{head}: fitted boundary_px {f['boundary_px']:.3f}, correlation_m {f['correlation_m']:.0f}")
        for name in ("fitted", "scored"):
            _show_coverage(head, f"{name}: {scores[name]['worlds']}", scores[name]["coverage"])


def _show_coverage(head: str, worlds: str, classes: Sequence[dict[str, Any]]) -> None:
    print("\n| data | model | worlds | size km² | glacier-years | 68 % interval holds truth | bias |")
    print("|---|---|---|---|---|---|---|")
    for c in classes:
        print(f"| {head} | {worlds} | {c['class']} | {c['n']} | {c['holds']:.0%} | {c['bias']:+.2%} |")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=3, help="how many are scored")
    parser.add_argument("--fit-worlds", type=int, default=2, help="how many others --fit uses")
    parser.add_argument("--models", default="oracle,band_ratio")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--site", help="kind of mountains; none: drawn by the seed")
    parser.add_argument("--px", type=int, default=1024)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument(
        "--out", type=Path, help="keeps worlds and runs, which are used again; none: a temporary folder"
    )
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument("--plots", type=Path, help="also draw errors and intervals of every model into this folder")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="area-truth-") as temporary:
        folder = asked.out or Path(temporary)
        seeds = {"scored": range(SCORED_FROM, SCORED_FROM + asked.worlds)}
        seeds |= {"fitted": range(FITTED_FROM, FITTED_FROM + asked.fit_worlds)} if asked.fit else {}
        worlds: dict[str, list[HistoryWorld]] = {}
        for name, chosen in seeds.items():
            worlds[name] = []
            for seed in chosen:
                print(f"SIMULATED world {seed}", file=sys.stderr, flush=True)
                worlds[name].append(write_history_world(seed, folder / str(seed), asked.site, asked.px))
        out = []
        for model in asked.models.split(","):
            runs = {
                name: [run_year(w, year, model, asked.overrides) for w in some for year in YEARS]
                for name, some in worlds.items()
            }
            scores = score(model, runs["scored"])
            if asked.fit:
                scores |= fitted(runs["scored"], runs["fitted"])
            show(scores)
            sys.stdout.flush()
            if asked.plots:
                asked.plots.mkdir(parents=True, exist_ok=True)
                name = model.rpartition("/")[2]
                rows = pd.concat([run.rows for run in runs["scored"]], ignore_index=True)
                plot_areas(rows, scores["coverage"], f"model {name}", asked.plots / f"area_truth_{name}.png")
            out.append(scores)
        if asked.json:
            asked.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
