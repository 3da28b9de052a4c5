"""`icefleet ingest`: scenes → tile store, for the blocks of the plan."""

from __future__ import annotations

from typing import Any

import typer

from core.config import load_config
from core.prepare import Prepared, prepare
from core.tiles import TileMarker, TileStore
from jobs.console import FAILED, OK, AsJson, ConfigPath, Keys, Overrides, console, print_json, run_verb, table
from jobs.run import Executor, execute, with_executor


def ingest(
    config: ConfigPath,
    overrides: Overrides = None,
    executor: Executor = None,
    as_json: AsJson = False,
    keys: Keys = False,
) -> None:
    """Bring scenes onto the lattice and into the tile store.

    `icefleet run` does this by itself; ingest alone is for filling a store ahead of time. Blocks that are already
    there are not read again.

    Example: icefleet ingest jobs/configs/khumbu.yaml --set tiles=s3://bucket/tiles
    """
    del keys
    prepared = prepare(with_executor(load_config(config, overrides or ()), executor))
    driven = execute(prepared, ingest_only=True, quiet=as_json)
    report = ingest_report(prepared)
    if as_json:
        print_json({"tiles": prepared.run.config.tiles, "sensors": report})
    else:
        columns = ["sensor", "blocks", "observed", "stored", "scenes used", "rejected"]
        rows = [
            (
                name,
                r["blocks"],
                f"{r['observed_fraction']:.1%}",
                f"{r['bytes'] / 1e6:.1f} MB",
                ", ".join(r["scenes"]) or "none",
                ", ".join(f"{k}: {v}" for k, v in r["rejected"].items()) or "none",
            )
            for name, r in report.items()
        ]
        table("Tiles", columns, rows)
        console.print(f"tiles    {prepared.run.config.tiles}", markup=False)
    raise typer.Exit(OK if driven.clean else FAILED)


def ingest_report(prepared: Prepared) -> dict[str, dict[str, Any]]:
    """Per sensor: blocks, bytes, mean observed fraction, scenes used, scenes rejected with the reason."""
    config = prepared.run.config
    store = TileStore(config.tiles, config.storage.backend)
    wanted = {b.name for b in prepared.plan.tile_blocks}
    out: dict[str, dict[str, Any]] = {}
    for need in prepared.run.model().spec.needs:
        there = store.markers(config.epoch_of(need.sensor), need.sensor)
        markers: list[TileMarker] = [m for name, m in sorted(there.items()) if name in wanted]
        used = {s.id for m in markers for s in m.scenes}
        out[need.sensor] = {
            "blocks": len(markers),
            "bytes": sum(m.bytes for m in markers),
            "observed_fraction": sum(m.observed_fraction for m in markers) / max(1, len(markers)),
            "scenes": sorted(used),
            "rejected": {r.id: r.reason for m in markers for r in m.rejected if r.id not in used},
        }
    return out


if __name__ == "__main__":
    run_verb(ingest)
