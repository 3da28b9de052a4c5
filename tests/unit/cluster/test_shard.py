"""A region's shard: what is left of a region follows from the plan and the markers, and from nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import geopandas as gpd
import pytest

from cluster.scheduler import Unit
from cluster.shard import RegionShard, Settled
from core.config import load_config
from core.errors import PoisonError
from core.ledger import Failure, Ledger
from core.prepare import prepare
from core.run import Run
from core.worker import ingest_unit
from tests.tiny_world import block_name, make_world

NOTHING = Settled(frozenset(), frozenset())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A planned run: two blocks with a glacier of region 14 and one of region 15 in each."""
    world = make_world(tmp_path, glaciers=4, blocks=2)
    table = gpd.read_file(world.inventory)
    table["O1Region"] = ["15", "15", "14", "14"]
    table["RGIId"] = [f"RGI60-{region}.{k:05d}" for k, region in enumerate(table["O1Region"], 1)]
    table.to_file(world.inventory, driver="GPKG")
    world.edit(regions=["14", "15"])
    prepared = prepare(load_config(world.config))
    prepared.write()
    return prepared.run


def keys(units: list[Unit]) -> set[tuple[str, str]]:
    return {u.key for u in units}


def everything(run: Run, settled: Settled = NOTHING) -> list[Unit]:
    shards = [RegionShard(run.url, region) for region in ("14", "15")]
    return [u for s in shards for u in [*s.ingest_units(settled), *s.units(settled)]]


def set_aside(run: Run, stage: str, unit: str) -> None:
    Ledger(run.objects).quarantine(Failure.of(stage, unit, PoisonError(unit)))


def test_a_fresh_run_has_every_tile_block_group_and_region_to_do(run):
    units = everything(run)
    assert Counter(u.stage for u in {u.key: u for u in units}.values()) == {
        "ingest": 2,
        "map": 2,
        "measure": 2,
        "publish": 2,
    }
    assert {u.name for u in units if u.stage == "map"} == {block_name(0), block_name(1)}
    assert {u.name for u in units if u.stage == "publish"} == {"14", "15"}


def test_a_block_belongs_to_one_region_and_the_groups_of_both_wait_for_it(run):
    units = everything(run)
    maps = [u for u in units if u.stage == "map"]
    assert len(maps) == 2, "no block is mapped for two regions"
    for measure in (u for u in units if u.stage == "measure"):
        assert set(measure.needs) == {u.key for u in maps}


def test_every_need_is_a_unit_of_some_region_and_stages_follow_one_another(run):
    units = everything(run)
    before = {"map": "ingest", "measure": "map", "publish": "measure"}
    for unit in units:
        assert set(unit.needs) <= keys(units)
        assert {stage for stage, _ in unit.needs} == ({before[unit.stage]} if unit.stage in before else set())


def test_cost_follows_windows_and_pixels(run):
    units = everything(run)
    assert all(u.cost >= 1 for u in units)
    assert all(u.cost > 1000 for u in units if u.stage == "measure")


@pytest.mark.parametrize("stage", ["map", "measure", "publish"])
@pytest.mark.parametrize("mark", ["done", "aside"])
def test_what_is_done_or_set_aside_is_not_done_again(run, stage, mark):
    victim = next(u for u in everything(run) if u.stage == stage)
    if mark == "done":
        Ledger(run.objects).commit(stage, victim.name, {})
    else:
        set_aside(run, stage, victim.name)
    assert keys(everything(run)) - keys(everything(run, Settled.read(run))) == {victim.key}


def test_a_tile_that_could_not_be_made_is_not_tried_again_until_its_record_is_gone(run):
    unit = ingest_unit("optical", block_name(0))
    set_aside(run, "ingest", unit)
    assert ("ingest", unit) not in keys(everything(run, Settled.read(run)))
    Ledger(run.objects).forget([("ingest", unit)])
    assert ("ingest", unit) in keys(everything(run, Settled.read(run)))


def test_a_region_that_is_not_planned_has_nothing_but_its_rows_to_publish(run):
    assert keys(RegionShard(run.url, "06").units(NOTHING)) == {("publish", "06")}
    assert RegionShard(run.url, "06").ingest_units(NOTHING) == []


def test_a_unit_is_a_few_hundred_bytes(run):
    assert all(len(repr(u)) < 1000 for u in everything(run))
