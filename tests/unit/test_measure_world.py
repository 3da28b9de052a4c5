"""The benchmark of the world: its sample holds every region, and what it times is measuring and not giving up."""

from __future__ import annotations

import io

import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks.measure_world import WITH, WITHOUT, Bench, plan_runs, sampled
from core.layout import RunLayout
from core.plan import GroupUnit
from core.release.schema import AREA
from core.simulate.inventory import simulate_inventory
from core.worker import Worker

RES_M = 60


def groups_of(region: str, count: int) -> list[GroupUnit]:
    return [GroupUnit(f"{region}-utm32n-g{k:05d}", region, "utm32n", 256, 1000 * k, ()) for k in range(count)]


def test_a_sample_takes_each_nth_group_of_every_region_and_one_at_least():
    world = groups_of("11", 9) + groups_of("13", 100) + groups_of("18", 1)
    chosen = sampled(world, 10)
    count = {region: sum(g.region == region for g in chosen) for region in ("11", "13", "18")}
    assert count == {"11": 1, "13": 10, "18": 1}
    pixels = sorted(g.pixels for g in chosen if g.region == "13")
    assert pixels[0] < 10_000 and pixels[-1] > 90_000
    assert sampled(world, 1) == sorted(world, key=lambda g: (g.zone, g.name))


def test_a_simulated_group_is_measured_with_and_without_layers(tmp_path):
    glaciers = simulate_inventory(0, ["11"], share=0.01)
    truth = glaciers["area_km2"].sum()
    runs, plan = plan_runs(glaciers, tmp_path, RES_M)
    bench = Bench(runs, tmp_path, RES_M)
    for unit in sampled(plan.groups, 1):
        bench.measure(unit, by_size=True)
    for name in (WITH, WITHOUT):
        cost = bench.costs[name]
        assert cost.region["11"].glaciers == sum(c.glaciers for c in cost.size.values()) == len(glaciers)
        assert cost.region["11"].seconds > 0
    assert bench.statuses["glaciers"] == len(glaciers)
    assert set(bench.statuses) <= {"glaciers", "measured", "below_minimum"}
    found = {name: pd.concat([area_rows(worker, g) for g in plan.groups]) for name, worker in bench.workers.items()}
    for rows in found.values():
        assert len(rows) == len(glaciers)
        assert rows["area_km2"].sum() == pytest.approx(truth, rel=0.1)
    assert found[WITH]["zmed_m"].notna().mean() > 0.9
    assert found[WITHOUT]["zmed_m"].isna().all()


def area_rows(worker: Worker, unit: GroupUnit) -> pd.DataFrame:
    return pq.read_table(io.BytesIO(worker.objects.get(RunLayout.partial(unit.name, AREA)))).to_pandas()
