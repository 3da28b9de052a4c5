"""`icefleet status`: where a run stands, read from the object store alone."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer
from rich.markup import escape

from cluster.history import read_history
from cluster.scheduler import STAGES
from cluster.shard import RegionShard, Settled
from cluster.timeline import chrome_trace
from core.errors import ConfigError
from core.layout import ReleaseLayout, RunLayout
from core.ledger import Ledger
from core.objects import Objects
from core.plan import load_plan
from core.release import read_manifest
from core.run import load_run
from core.urls import normalise_url
from jobs.console import FAILED, OK, AsJson, console, print_json, run_verb, table


def status(
    run: Annotated[str, typer.Argument(metavar="RUN", help="URL of the run's folder, OUTPUT/<run_id>")],
    timeline: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="also write its history as a trace for ui.perfetto.dev"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is done, left and set aside in a run, and how fast it goes.

    Needs no live cluster: everything is read from the markers in the run's folder. Exit code 1 if anything is in
    quarantine. The timeline has a row per worker and a slice per unit, of all sessions of the run.

    Example: icefleet status s3://bucket/runs/global-2024-1a2b3c4d5e6f
    """
    found = run_status(normalise_url(run))
    if timeline is not None:
        write_timeline(found["run"], timeline)
        found["timeline"] = str(timeline)
    if as_json:
        print_json(found)
    else:
        rows = [
            (s, c["total"], c["done"], c["left"], c["quarantined"], c["per_minute"] or "", c["minutes_left"] or "")
            for s, c in found["stages"].items()
        ]
        columns = ["stage", "units", "done", "left", "quarantined", "per minute", "minutes left"]
        table(f"{found['run_id']} · {'published' if found['published'] else 'not published'}", columns, rows)
        for record in found["quarantine"]:
            console.print(f"[yellow]set aside[/] {record['stage']} {record['unit']}: {escape(record['message'])}")
        if timeline is not None:
            console.print(f"timeline {timeline}", markup=False)
    raise typer.Exit(FAILED if found["quarantine"] else OK)


def write_timeline(url: str, path: Path) -> None:
    """The history of a run as a Chrome trace. Raises ConfigError if it has none, or if the file cannot be written."""
    history = read_history(Objects(url))
    if not history:
        raise ConfigError(f"{url}/{RunLayout.EVENTS}", found="no history", fix="the next `icefleet run` writes it")
    try:
        path.write_text(json.dumps(chrome_trace(history)), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            str(path), found=error.strerror or str(error), fix="give a file in a folder that exists"
        ) from error


def run_status(url: str) -> dict[str, Any]:
    """Units per stage, rates from the times of the markers, quarantine records, and whether the release stands."""
    run = load_run(url)
    objects = Objects(url)
    ledger, settled, plan = Ledger(objects), Settled.read(run), load_plan(objects)
    regions = _regions(objects) if plan else []
    nothing = Settled(frozenset(), frozenset())
    shards = [RegionShard(url, region) for region in regions]
    units = {u.key for s in shards for u in [*s.ingest_units(nothing), *s.units(nothing)]}
    total, done = Counter(s for s, _ in units), Counter(s for s, _ in units & settled.done)
    aside = Counter(s for s, _ in units & settled.aside - settled.done)
    times: dict[str, list[dt.datetime]] = {}
    for key, _, modified in objects.list_times(RunLayout.COMMITS):
        times.setdefault(RunLayout.unit_of(key)[0], []).append(modified)
    stages = {}
    for stage in STAGES:
        left = total[stage] - done[stage] - aside[stage]
        rate = _per_minute(times.get(stage, []))
        stages[stage] = {
            "total": total[stage],
            "done": done[stage],
            "left": left,
            "quarantined": aside[stage],
            "per_minute": rate,
            "minutes_left": round(left / rate, 1) if rate and left else None,
        }
    manifest = read_manifest(Objects(run.release_url), ReleaseLayout(run.config.year))
    failures = [ledger.failure(stage, unit) for stage, unit in sorted(settled.aside)]
    return {
        "run_id": run.run_id,
        "run": url,
        "published": manifest is not None and manifest.get("run_id") == run.run_id,
        "stages": stages,
        "quarantine": [{"stage": f.stage, "unit": f.unit, "kind": f.kind, "message": f.message} for f in failures if f],
    }


def _regions(objects: Objects) -> list[str]:
    """Every region of the run, those included in which no glacier could be planned."""
    inventory = io.BytesIO(objects.get(RunLayout.INVENTORY))
    return sorted(set(pq.read_table(inventory, columns=["o1region"])["o1region"].to_pylist()))


def _per_minute(times: list[dt.datetime]) -> float | None:
    """Commits per minute between the first and the last, None with fewer than two moments."""
    span_s = (max(times) - min(times)).total_seconds() if times else 0.0
    return round((len(times) - 1) / span_s * 60, 1) if span_s > 0 else None


if __name__ == "__main__":
    run_verb(status)
