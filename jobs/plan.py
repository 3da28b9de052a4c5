"""`icefleet plan`: work units, windows, bytes, GPU-hours and cost, before anything is paid for."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer
from rich.markup import escape

from core.config import load_config
from core.plan.estimate import Estimate, estimate
from core.prepare import Prepared, prepare
from jobs.console import AsJson, Bars, ConfigPath, Keys, Overrides, console, print_json, run_verb, table


def plan(
    config: ConfigPath,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only print; write no plan files")] = False,
    as_json: AsJson = False,
    keys: Keys = False,
) -> None:
    """Plan a run and show what it will cost.

    Writes the plan to OUTPUT/<run_id>/plan as Parquet and as GeoJSON, which opens in QGIS or geojson.io.

    Example: icefleet plan jobs/configs/iceland_oracle.yaml --dry-run
    """
    del keys
    prepared = prepare(load_config(config, overrides or ()))
    summary = plan_summary(prepared)
    if not dry_run:
        with Bars(as_json) as bars:
            prepared.write(bars.follow("search"))
    if as_json:
        print_json(summary)
        return
    print_inventory_report(prepared)
    print_plan(prepared, summary)
    if not dry_run:
        console.print(f"plan     {prepared.run.url}/plan", markup=False)


def plan_summary(prepared: Prepared) -> dict[str, Any]:
    """The plan in numbers, per region and in total."""
    regions = {
        region: estimate(prepared.run, prepared.plan, region).__dict__
        for region in sorted({b.region for b in prepared.plan.blocks} | {g.region for g in prepared.plan.groups})
    }
    return {
        "run_id": prepared.run.run_id,
        "run": prepared.run.url,
        "model": prepared.run.config.model.name,
        "res_m": prepared.run.config.grid.res_m,
        "glaciers": len(prepared.inventory.glaciers),
        "zones": len({g.zone for g in prepared.plan.groups}),
        "total": estimate(prepared.run, prepared.plan).__dict__,
        "regions": regions,
        "notes": list(prepared.scenes.notes),
    }


def print_plan(prepared: Prepared, summary: dict[str, Any]) -> None:
    """The plan as a table, one row per region."""
    console.print(
        f"run {summary['run_id']} · {summary['glaciers']} glaciers · {summary['zones']} zones · "
        f"model {summary['model']} at {summary['res_m']} m"
    )
    rows = [_row(region, Estimate(**e)) for region, e in summary["regions"].items()]
    rows.append(_row("all", Estimate(**summary["total"])))
    columns = ["region", "glaciers", "groups", "blocks", "windows", "read", "write", "GPU-hours", "cost"]
    table("Plan (rates and price from `plan.*` in the configuration)", columns, rows)
    for note in summary["notes"]:
        console.print(f"[yellow]note[/] {escape(note)}")


def print_inventory_report(prepared: Prepared) -> None:
    """What reading the inventory had to mend or point out."""
    rows = prepared.inventory.report.rows()
    if rows:
        table("Inventory report", ["finding", "glaciers", "action", "examples"], rows)
    status = Counter(prepared.inventory.glaciers["o1region"])
    console.print("inventory " + ", ".join(f"{n} in region {region}" for region, n in sorted(status.items())))


def _row(region: str, e: Estimate) -> list[str]:
    return [
        region,
        f"{e.glaciers:,}",
        f"{e.groups:,}",
        f"{e.blocks:,}",
        f"{e.windows:,}",
        _bytes(e.read_bytes),
        _bytes(e.write_bytes),
        f"{e.gpu_hours:.3g}",
        f"${e.usd:.2f}",
    ]


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"


if __name__ == "__main__":
    run_verb(plan)
