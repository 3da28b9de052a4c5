"""The fleet simulation: it keeps the books of a run, so its figures mean what they say."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.fleet_simulation import Rates, service_seconds, simulate
from benchmarks.rehearsal import plan_world, units_of
from cluster.scheduler import Key, Unit
from core.plan import Plan, save_plan
from core.simulate.inventory import simulate_inventory

RATES = Rates(life_s=3600.0, start_s=10.0, replace_s=30.0)
# Every worker is gone after a minute: hundreds of pre-emptions in a small run.
HARSH = replace(RATES, life_s=60.0, straggler_share=0.05)


def chain(n: int) -> tuple[list[Unit], dict[Key, float]]:
    """Two regions; each block needs its tiles, each group four blocks, each region all of its groups."""
    units = []
    for region in ("01", "02"):
        for k in range(n):
            units.append(Unit("ingest", f"{region}-t{k}", region))
            units.append(Unit("map", f"{region}-b{k}", region, 1.0 + k % 7, (("ingest", f"{region}-t{k}"),)))
        groups = range(0, n, 4)
        for g in groups:
            needs = tuple(("map", f"{region}-b{k}") for k in range(g, min(g + 4, n)))
            units.append(Unit("measure", f"{region}-g{g}", region, 1.0, needs))
        units.append(Unit("publish", region, region, 1.0, tuple(("measure", f"{region}-g{g}") for g in groups)))
    took = {"ingest": 4.0, "map": 5.0, "measure": 6.0, "publish": 2.0}
    return units, {u.key: took[u.stage] for u in units}


@pytest.mark.parametrize("rates", [RATES, HARSH], ids=["calm", "harsh"])
@pytest.mark.parametrize("gpus", [1, 6])
def test_every_unit_is_done_exactly_once_whatever_is_pre_empted(rates: Rates, gpus: int) -> None:
    units, seconds = chain(120)
    outcome = simulate(units, seconds, gpus, rates)
    assert outcome.done == Counter(u.key for u in units)
    if rates is HARSH:
        assert outcome.preemptions > 20 and outcome.lost_gpu_s > 0


def test_more_gpus_end_sooner() -> None:
    units, seconds = chain(200)
    spans = [simulate(units, seconds, gpus, RATES).makespan_s for gpus in (1, 2, 4, 16)]
    assert spans == sorted(spans, reverse=True) and spans[0] > 3 * spans[-1]


@pytest.mark.parametrize("rates", [RATES, HARSH], ids=["calm", "harsh"])
@pytest.mark.parametrize("gpus", [1, 5, 200])
def test_shares_are_shares_and_a_fleet_does_no_more_than_it_is_there_for(rates: Rates, gpus: int) -> None:
    units, seconds = chain(60)
    outcome = simulate(units, seconds, gpus, rates)
    assert 0 <= outcome.idle_share <= 1
    assert 0 <= outcome.tail_share <= 1
    assert 0 <= outcome.lost_gpu_s <= outcome.gpu_s * (1 - outcome.idle_share) + 1e-6
    assert outcome.gpu_s <= gpus * outcome.makespan_s + 1e-6


def test_without_noise_one_gpu_takes_as_long_as_its_units() -> None:
    units = [Unit("map", f"b{k}", "01", float(k)) for k in range(50)]
    calm = replace(RATES, sigma=0.0, straggler_share=0.0, life_s=1e9)
    outcome = simulate(units, {u.key: 2.0 for u in units}, 1, calm)
    assert outcome.makespan_s == pytest.approx(calm.start_s + 100.0)
    assert outcome.gpu_s * (1 - outcome.idle_share) == pytest.approx(100.0)
    assert outcome.preemptions == outcome.backups == 0


def test_pre_emptions_and_stragglers_cost_time() -> None:
    units, seconds = chain(120)
    assert simulate(units, seconds, 4, HARSH).makespan_s > simulate(units, seconds, 4, RATES).makespan_s


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    units, seconds = chain(40)
    one, again, other = (simulate(units, seconds, 3, HARSH, seed) for seed in (1, 1, 2))
    assert replace(one, scheduler_s=0.0) == replace(again, scheduler_s=0.0)
    assert one.makespan_s != other.makespan_s


def test_a_simulated_world_goes_through_the_real_plan_and_shards(memory_url: str) -> None:
    glaciers = simulate_inventory(regions=["06", "11"], share=0.1)
    run, plan = plan_world(glaciers, memory_url)
    save_plan(run.objects, Plan(plan.blocks, plan.groups, ()))
    units = units_of(run.url, ["06", "11"])
    seconds = service_seconds(plan, ["optical"], run.config.grid.res_m, RATES)
    assert {u.key for u in units} == seconds.keys()
    assert simulate(units, seconds, 2, RATES).done == Counter(seconds.keys())
