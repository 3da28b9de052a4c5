"""What measuring the whole world costs: real groups of a SIMULATED inventory, through the worker that measures.

    python -m benchmarks.measure_world [--res 30] [--every 80] [--regions 11,13] [--classes 3]

The inventory has the counts and areas per region of RGI 7.0 and is planned whole; of every region each N-th group in
the order of its number of pixels is measured, so that large and small ones are there in proportion; `--every 1` is all
of them. Before a group is measured its mosaic blocks and tiles (DEM, optical) are written to disk, SIMULATED as
`benchmarks.made_ground` says and not counted. Then `Worker.do("measure", group)` does all that it does in a run:
reads blocks and layers, applies the default rules, writes Parquet; once with layers and once from a run that has
none. A region's cost is that of its sample times its glaciers over those of the sample. Seconds are those of the CPU,
threads included. Costs by size come from measuring the classes of every `--classes`-th group apart, reading not
counted twice. One glacier in a hundred is said to end in a lake, so that fronts are looked for.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.made_ground import create_tiles, make_fields, write_ground
from core.config import Config, GridConfig, ModelConfig, SensorConfig, SourceConfig
from core.grid import Block, Lattice, Zone
from core.layout import RunLayout
from core.measure import MeasureRules
from core.mosaic import Mosaic
from core.plan import GroupUnit, Plan, make_plan, save_plan
from core.plan.store import load_zone_outlines
from core.run import Run, open_run, save_run
from core.simulate.inventory import REGION_SIZES, simulate_inventory
from core.stopwatch import WAIT, Stopwatch
from core.tiles import TileStore
from core.urls import local_path
from core.worker import Worker

CLASSES_KM2 = (0.0, 0.1, 0.5, 1.0, 5.0, 50.0, np.inf)
WITH, WITHOUT = "with layers", "without"
LAKES_EVERY = 100


@dataclass
class Cost:
    """CPU seconds, glaciers and the share of the seconds that went into reading."""

    seconds: float = 0.0
    glaciers: int = 0
    reading: float = 0.0

    def add(self, seconds: float, glaciers: int, reading: float = 0.0) -> None:
        self.seconds, self.glaciers, self.reading = (
            self.seconds + seconds,
            self.glaciers + glaciers,
            self.reading + reading,
        )

    @property
    def ms(self) -> float:
        return 1000 * self.seconds / max(1, self.glaciers)


@dataclass
class Costs:
    """By region, and by index into `CLASSES_KM2`; opening: of the outlines of a zone, paid once a zone and worker."""

    region: dict[str, Cost] = field(default_factory=lambda: defaultdict(Cost))
    size: dict[int, Cost] = field(default_factory=lambda: defaultdict(Cost))
    opening: Cost = field(default_factory=Cost)


def world_config(output: Path, res_m: int, *, layers: bool) -> Config:
    """The defaults; sensors at the resolution of the lattice."""
    sources = [SourceConfig(product="landsat_c2_l2"), SourceConfig(product="copernicus_dem_30")]
    return Config(
        name="measure-world",
        year=2024,
        inventory=["simulated"],
        output=(output / "runs").as_uri(),
        tiles=(output / "tiles").as_uri(),
        simulated=True,
        grid=GridConfig(res_m=res_m),
        model=ModelConfig(name="null"),
        sources=sources if layers else sources[:0],
        sensors={name: SensorConfig(res_m=res_m) for name in ("dem", "optical")} if layers else {},
    )


def plan_runs(glaciers: gpd.GeoDataFrame, folder: Path, res_m: int) -> tuple[dict[str, Run], Plan]:
    """Two runs of one plan: with and without layers."""
    runs = {
        name: open_run(world_config(folder, res_m, layers=name == WITH), "measure-world") for name in (WITH, WITHOUT)
    }
    plan = make_plan(glaciers, runs[WITH].config, runs[WITH].model().spec)
    for run in runs.values():
        save_run(run)
    save_plan(runs[WITH].objects, plan)
    shutil.copytree(_folder(runs[WITH]) / "plan", _folder(runs[WITHOUT]) / "plan")
    return runs, Plan(plan.blocks, plan.groups, ())


def sampled(groups: Iterable[GroupUnit], every: int) -> list[GroupUnit]:
    """Every N-th group of each region in the order of pixels, at least one; by zone, as a worker would meet them."""
    by_region: dict[str, list[GroupUnit]] = defaultdict(list)
    for group in groups:
        by_region[group.region].append(group)
    chosen = []
    for some in by_region.values():
        some.sort(key=lambda g: (g.pixels, g.name))
        chosen += some[(min(every, len(some)) - 1) // 2 :: every]
    return sorted(chosen, key=lambda g: (g.zone, g.name))


class Bench:
    """Workers of both runs, and the ground under them."""

    def __init__(self, runs: dict[str, Run], folder: Path, res_m: int) -> None:
        self.workers = {name: Worker(run.url) for name, run in runs.items()}
        self.costs = {name: Costs() for name in runs}
        self.statuses: dict[str, int] = defaultdict(int)
        self._runs, self._folder, self._res_m = runs, folder, res_m
        self._fields = make_fields(res_m)
        self._zone: Zone | None = None
        self._written: set[str] = set()

    def measure(self, group: GroupUnit, *, by_size: bool) -> None:
        zone = Zone(group.zone)
        if zone != self._zone:
            self._enter(zone)
        self._write(group, zone)
        for name, worker in self.workers.items():
            began = time.process_time()
            result = worker.do("measure", group.name)
            cost = time.process_time() - began
            reading = result.stalls.get(WAIT, 0.0) / result.seconds * cost
            self.costs[name].region[group.region].add(cost, group.n_glaciers, reading)
            for status, count in result.counts.items():
                self.statuses[status] += int(count) if name == WITH else 0
            if by_size:
                self._by_size(name, worker, group, zone)

    def _by_size(self, name: str, worker: Worker, group: GroupUnit, zone: Zone) -> None:
        """Each class apart, without what reading took, which all of them share."""
        outlines = load_zone_outlines(worker.run.url, zone)
        members = outlines.members(group.name)
        of = np.digitize(outlines.glaciers["area_km2"].to_numpy(float)[members], CLASSES_KM2) - 1
        for k in np.unique(of):
            some, watch = members[of == k], Stopwatch()
            began, wall = time.process_time(), time.perf_counter()
            worker.measured(zone, some, watch)
            cost, wall = time.process_time() - began, time.perf_counter() - wall
            self.costs[name].size[int(k)].add(cost * (1 - watch.seconds.get(WAIT, 0.0) / wall), len(some))

    def _enter(self, zone: Zone) -> None:
        """Forget the ground of the last zone, and time the opening of the next one's outlines."""
        if self._zone is not None:
            shutil.rmtree(self._folder / "tiles", ignore_errors=True)
            for run in self._runs.values():
                shutil.rmtree(_folder(run) / RunLayout.probability(self._zone), ignore_errors=True)
        for name, run in self._runs.items():
            began = time.process_time()
            _ = load_zone_outlines(run.url, zone).tree
            self.costs[name].opening.add(time.process_time() - began, 1)
        self.tiles = TileStore((self._folder / "tiles").as_uri())
        for worker in self.workers.values():
            worker.__dict__.pop("_tiles", None)  # markers of tiles that are gone
        self._zone = zone

    def _write(self, group: GroupUnit, zone: Zone) -> None:
        lattice, run = Lattice(zone, self._res_m), self._runs[WITH]
        epochs = {name: run.config.epoch_of(name) for name in ("dem", "optical")}
        create_tiles(self.tiles, lattice, epochs)
        into = [(Mosaic(r.url), w.ledger) for r, w in zip(self._runs.values(), self.workers.values(), strict=True)]
        outlines = load_zone_outlines(run.url, zone)
        for block in set(group.blocks) - self._written:
            buffer_m = run.config.grid.buffer_m
            write_ground(Block.parse(block), outlines, lattice, self._fields, into, self.tiles, epochs, buffer_m)
            self._written.add(block)


def region_table(costs: dict[str, Costs], groups: int) -> Table:
    table = Table("region", "glaciers", "measured", title=f"CPU ms per glacier, {groups} groups")
    for name in costs:
        table.add_column(name)
        table.add_column("of it reading")
    total: dict[str, float] = defaultdict(float)
    for region in sorted(costs[WITH].region):
        row = [region, f"{REGION_SIZES[region].n_glaciers:,}", f"{costs[WITH].region[region].glaciers:,}"]
        for name, cost in costs.items():
            found = cost.region[region]
            row += [f"{found.ms:.1f}", f"{found.reading / max(found.seconds, 1e-9):.0%}"]
            total[name] += found.ms / 1000 * REGION_SIZES[region].n_glaciers
        table.add_row(*row)
    n = sum(REGION_SIZES[region].n_glaciers for region in costs[WITH].region)
    table.add_section()
    done = sum(cost.glaciers for cost in costs[WITH].region.values())
    row = ["all, weighted", f"{n:,}", f"{done:,}"]
    for name in costs:
        row += [f"{1000 * total[name] / n:.1f}", ""]
    table.add_row(*row)
    for label, seconds in (("CPU hours", 3600.0), ("hours on 2 cores", 7200.0), ("minutes on 64 CPUs", 60.0 * 64)):
        row = [label, "", ""]
        for name in costs:
            row += [f"{total[name] / seconds:.2f}", ""]
        table.add_row(*row)
    return table


def size_table(costs: dict[str, Costs]) -> Table:
    table = Table("size, km²", "glaciers", title="CPU ms per glacier without reading and writing")
    for name in costs:
        table.add_column(name)
    for k in sorted(costs[WITH].size):
        low, high = CLASSES_KM2[k], CLASSES_KM2[k + 1]
        label = f"{low:g}–{high:g}" if np.isfinite(high) else f"> {low:g}"
        table.add_row(label, f"{costs[WITH].size[k].glaciers:,}", *(f"{c.size[k].ms:.1f}" for c in costs.values()))
    return table


def _folder(run: Run) -> Path:
    path = local_path(run.url)
    assert path is not None
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--res", type=int, default=30, help="pixel, metres")
    parser.add_argument("--every", type=int, default=80, help="measure each N-th group of every region; 1: all")
    parser.add_argument("--classes", type=int, default=3, help="of the measured groups each N-th also by size")
    parser.add_argument("--regions", default="", help="such as 11,13; none: all")
    asked = parser.parse_args()
    regions = asked.regions.split(",") if asked.regions else None
    console = Console(width=110)
    with tempfile.TemporaryDirectory(prefix="measure-world-") as scratch:
        glaciers = simulate_inventory(0, regions)
        glaciers.loc[::LAKES_EVERY, "term_type"] = 2
        runs, plan = plan_runs(glaciers, Path(scratch), asked.res)
        del glaciers
        groups = sampled(plan.groups, asked.every)
        bench, began = Bench(runs, Path(scratch), asked.res), time.perf_counter()
        for k, group in enumerate(groups):
            bench.measure(group, by_size=k % asked.classes == 0)
            console.log(
                f"{k + 1} of {len(groups)}: {group.name}, {group.n_glaciers} glaciers, {group.pixels / 1e6:.1f} Mpx"
            )
        console.print(f"SIMULATED world at {asked.res} m, layers: {', '.join(MeasureRules().layers)}")
        console.print(region_table(bench.costs, len(groups)), size_table(bench.costs))
        opening = bench.costs[WITH].opening
        console.print(f"opening the outlines of a zone: {opening.seconds / opening.glaciers:.2f} s CPU each")
        console.print(f"statuses: {dict(bench.statuses)}; {time.perf_counter() - began:.0f} s with making the ground")


if __name__ == "__main__":
    main()
