"""The scale rehearsal: the whole world planned and scheduled, without a pixel.

`python -m benchmarks.rehearsal [--vertices 4]` simulates an inventory of 274,531 glaciers, plans it in a fresh process
with 10 m pixels and the windows of a network (384 px every 192; model `null`), and drives every unit of that plan
through the real scheduler and the real local executor with workers that do nothing. What it prints is therefore the
cost of the machinery alone. The inventory is SIMULATED; only counts and areas per region are those of RGI 7.0.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas as gpd
import pandas as pd
import shapely
from rich.console import Console
from rich.table import Table

from cluster.drive import Tally
from cluster.local import run_local
from cluster.scheduler import Scheduler, Unit
from cluster.shard import RegionShard, Settled
from core.config import Config, GridConfig, ModelConfig, SourceConfig
from core.ledger import Ledger
from core.objects import Objects
from core.plan import Plan, make_plan, save_plan
from core.run import Run, open_run, save_run
from core.simulate.inventory import REGION_SIZES, simulate_inventory
from core.worker import UnitResult

NOTHING = Settled(frozenset(), frozenset())


class IdleWorker:
    """A worker that is done at once."""

    def __init__(self, run_url: str) -> None:
        self.ledger = Ledger(Objects(run_url))

    def do(self, stage: str, unit: str) -> UnitResult:
        return UnitResult(stage, unit, 0.0)

    def shrink(self) -> bool:
        return False


def world_config(output: str) -> Config:
    """The defaults, with 10 m pixels and a network's windows."""
    return Config(
        name="rehearsal",
        year=2024,
        inventory=["simulated"],
        output=output,
        simulated=True,
        grid=GridConfig(res_m=10),
        model=ModelConfig(name="null"),
        sources=[SourceConfig(product="sentinel2_l2a")],
    )


def save_world(glaciers: gpd.GeoDataFrame, folder: Path) -> None:
    """One file per region, so that who reads it never holds all of it in two forms."""
    for region, rows in glaciers.groupby("o1region"):
        rows.to_parquet(folder / f"{region}.parquet", compression="zstd")


def load_world(folder: Path) -> gpd.GeoDataFrame:
    parts = [gpd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    return gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), crs="EPSG:4326")


def plan_world(glaciers: gpd.GeoDataFrame, output: str) -> tuple[Run, Plan]:
    """The run of these glaciers under `output`, written without its plan, and the plan."""
    run = open_run(world_config(output), "rehearsal")
    plan = make_plan(glaciers, run.config, run.model().spec)
    save_run(run)
    return run, plan


def units_of(run_url: str, regions: Sequence[str]) -> list[Unit]:
    """All units of a planned run, as the shards of its regions see them."""
    shards = [RegionShard(run_url, region) for region in regions]
    units = [u for s in shards for u in s.ingest_units(NOTHING)] + [u for s in shards for u in s.units(NOTHING)]
    return list({u.key: u for u in units}.values())


def take_and_settle(units: Sequence[Unit], in_flight: int) -> float:
    """Seconds that the scheduler needs to hand out and settle all units, with so many in flight."""
    began = time.perf_counter()
    scheduler = Scheduler(units)
    flying: list[Unit] = []
    while not scheduler.finished:
        while len(flying) < in_flight and (unit := scheduler.take()) is not None:
            flying.append(unit)
        scheduler.settle(flying.pop(0))
    return time.perf_counter() - began


def drive_idle(run_url: str, units: Sequence[Unit], workers: int) -> float:
    """Seconds that the local executor needs for all units, if the work itself takes no time."""
    began = time.perf_counter()
    tally = Tally()
    run_local(run_url, Scheduler(units), workers, tally, IdleWorker)
    assert tally.done.total() == len(units)
    return time.perf_counter() - began


def _plan_alone(folder: Path) -> None:
    """In a process of its own: plan the saved inventory, print the figures as JSON, then save the plan."""
    began = time.perf_counter()
    glaciers = load_world(folder / "inventory")
    read_s, read_mb = time.perf_counter() - began, _peak_mb()
    began, cpu = time.perf_counter(), time.process_time()
    run, plan = plan_world(glaciers, str(folder / "runs"))
    figures = {
        "read_s": read_s,
        "read_mb": read_mb,
        "plan_s": time.perf_counter() - began,
        "plan_cpu_s": time.process_time() - cpu,
        "plan_mb": _peak_mb(),
        "glaciers": len(glaciers),
        "zones": len(plan.zones),
        "blocks": len(plan.blocks),
        "tile_blocks": len(plan.tile_blocks),
        "windows": sum(b.n_windows for b in plan.blocks),
        "groups": len(plan.groups),
    }
    began = time.perf_counter()
    save_plan(run.objects, plan)
    save_s = time.perf_counter() - began
    print(json.dumps({**figures, "save_s": save_s, "save_mb": _peak_mb(), "url": run.url}))


def _peak_mb() -> float:
    """Largest resident memory of this process so far, 10⁶ bytes (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the glaciers")
    parser.add_argument("--vertices", type=float, default=1.0, help="factor on 20–200 vertices per outline")
    parser.add_argument("--plan-alone", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plan_alone:
        _plan_alone(arguments.plan_alone)
        return
    console = Console(width=110)
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as scratch:
        folder = Path(scratch)
        (folder / "inventory").mkdir()
        began = time.perf_counter()
        glaciers = simulate_inventory(arguments.seed, share=arguments.share, vertices=arguments.vertices)
        made_s = time.perf_counter() - began
        n_vertices = int(shapely.get_num_coordinates(glaciers.geometry.to_numpy()).sum())
        save_world(glaciers, folder / "inventory")
        area_km2 = glaciers["area_km2"].sum()
        del glaciers
        alone = [sys.executable, "-m", "benchmarks.rehearsal", "--plan-alone", str(folder)]
        said = json.loads(subprocess.run(alone, check=True, capture_output=True, text=True).stdout)
        n_bytes = sum(f.stat().st_size for f in folder.glob("runs/*/plan/**/*") if f.is_file())
        console.print(_plan_table(said, made_s, n_vertices, area_km2, n_bytes))
        console.print(_unit_table(said["url"]))


def _plan_table(said: dict[str, float], made_s: float, n_vertices: int, area_km2: float, n_bytes: int) -> Table:
    table = Table("planning", "", title="SIMULATED world inventory, 10 m, windows of 384 px every 192 px")
    table.columns[1].justify = "right"
    for name, value in (
        ("glaciers", f"{said['glaciers']:,}"),
        ("their area", f"{area_km2:,.0f} km²"),
        ("vertices", f"{n_vertices:,}"),
        ("zones", f"{said['zones']}"),
        ("blocks (with tiles to read)", f"{said['blocks']:,} ({said['tile_blocks']:,})"),
        ("windows", f"{said['windows']:,}"),
        ("groups", f"{said['groups']:,}"),
        ("simulating the inventory", f"{made_s:.1f} s"),
        ("planning", f"{said['plan_s']:.1f} s ({said['plan_cpu_s']:.1f} s of CPU)"),
        ("peak memory after reading the inventory", f"{said['read_mb'] / 1000:.2f} GB"),
        ("peak memory after planning", f"{said['plan_mb'] / 1000:.2f} GB"),
        ("writing the plan", f"{said['save_s']:.1f} s"),
        ("peak memory after writing the plan", f"{said['save_mb'] / 1000:.2f} GB"),
        ("the plan, all zones' outlines included", f"{n_bytes / 1e6:.0f} MB"),
    ):
        table.add_row(name, value)
    return table


def _unit_table(run_url: str) -> Table:
    units: list[Unit] = []
    shards_s = _timed(lambda: units.extend(units_of(run_url, sorted(REGION_SIZES))))
    count = ", ".join(f"{sum(u.stage == s for u in units):,} {s}" for s in dict.fromkeys(u.stage for u in units))
    table = Table("overhead without work", "seconds", "µs per unit", title=f"{len(units):,} units: {count}")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, seconds in (
        ("region shards: plan → units", shards_s),
        ("scheduler: take and settle, 1 in flight", take_and_settle(units, 1)),
        ("scheduler: take and settle, 1,024 in flight", take_and_settle(units, 1024)),
        ("local executor, this process", drive_idle(run_url, units, 1)),
        ("local executor, 2 processes", drive_idle(run_url, units, 2)),
    ):
        table.add_row(name, f"{seconds:.2f}", f"{1e6 * seconds / len(units):,.0f}")
    return table


if __name__ == "__main__":
    main()
