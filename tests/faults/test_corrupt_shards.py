"""A shard that went bad on the disk costs the glaciers of its block, by name and with the reason, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from core.grid import Block
from core.layout import ReleaseLayout, RunLayout, TileLayout
from core.ledger import Ledger
from core.objects import Objects
from core.plan import load_plan
from core.urls import local_path
from tests.faults.conftest import BLOCKS, GLACIERS, UNITS
from tests.tiny_world import ZONE, Called, TinyWorld, block_name, icefleet, make_world

Spoil = Callable[[Path], None]
Rows = dict[str, dict[str, object]]
ROTTEN = 1


def flip(path: Path) -> None:
    """Another bit in the middle of the data."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def flip_in_index(path: Path) -> None:
    """Another bit in the index at the end of the shard."""
    data = bytearray(path.read_bytes())
    data[-20] ^= 0x01
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


SPOILED = [flip, flip_in_index, cut, empty, Path.unlink]


def world_in(folder: Path) -> TinyWorld:
    made = make_world(folder, glaciers=GLACIERS, blocks=BLOCKS)
    made.edit(plan={"group_glaciers": 2})
    return made


@pytest.fixture
def world(tmp_path: Path) -> TinyWorld:
    return world_in(tmp_path / "w")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows of a world in which nothing is rotten."""
    called, rows = run(world_in(tmp_path_factory.mktemp("healthy") / "w"))
    assert called.code == 0
    return rows


def run(world: TinyWorld) -> tuple[Called, Rows]:
    """`icefleet run --json` and the rows of its release by glacier, geometry and all."""
    called = icefleet("run", world.config, "--json")
    folder = local_path(called.json["release"])
    assert folder is not None
    table = ds.dataset(folder / ReleaseLayout(2024).table("glacier_area"), format="parquet").to_table()
    assert sorted(table.column("rgi_id").to_pylist()) == sorted(world.ids), "one row for each"
    return called, {str(row["rgi_id"]): row for row in table.to_pylist()}


def check_lost(world: TinyWorld, rows: Rows, healthy: Rows, *words: str) -> None:
    """The glaciers of the rotten block say why they were not measured, the others are measured as ever."""
    lost = world.of_block(ROTTEN)
    for name in lost:
        assert rows[name]["status"] == "quarantined" and rows[name]["area_km2"] is None
        assert all(word in str(rows[name]["status_reason"]) for word in (block_name(ROTTEN), *words))
    others = set(world.ids) - set(lost)
    assert {name: rows[name] for name in others} == {name: healthy[name] for name in others}


@pytest.mark.parametrize("spoil", SPOILED)
@pytest.mark.parametrize("array", ["optical", "scene"])
def test_a_corrupt_tile_costs_its_block_and_nothing_else(world, healthy, spoil: Spoil, array):
    assert icefleet("ingest", world.config).code == 0
    block = Block.parse(block_name(ROTTEN))
    key = f"{TileLayout.sensor('2024', ZONE, 'optical')}/{array}/c/{'0/' * (array == 'optical')}{block.row}/{block.col}"
    spoil(world.folder / "tiles" / key)
    called, rows = run(world)
    assert called.code == 1 and called.json["quarantined"] == [f"map/{block.name}"]
    assert called.json["done"] == {"map": BLOCKS - 1, "measure": UNITS["measure"], "publish": 1}
    assert called.json["quarantined_glaciers"] == len(world.of_block(ROTTEN))
    check_lost(world, rows, healthy, key.removeprefix("2024/"))
    again, _ = run(world)
    assert again.code == 1 and again.json["done"] == {}, "what was set aside stays so until `retry`"


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_corrupt_mosaic_costs_its_block_and_retry_maps_it_again(world, healthy, spoil: Spoil):
    called, rows = run(world)
    assert called.code == 0 and rows == healthy
    run_url = called.json["run"]
    objects, block = Objects(run_url), Block.parse(block_name(ROTTEN))
    plan = load_plan(objects)
    assert plan is not None
    Ledger(objects).forget([("publish", "15"), *(("measure", group.name) for group in plan.groups)])
    folder = local_path(run_url)
    assert folder is not None
    spoil(folder / RunLayout.probability(ZONE) / "probability" / "c" / str(block.row) / str(block.col))
    called, rows = run(world)
    assert called.code == 1 and called.json["quarantined_glaciers"] == len(world.of_block(ROTTEN))
    assert called.json["done"] == {"measure": UNITS["measure"], "publish": 1}
    check_lost(world, rows, healthy)
    assert icefleet("retry", run_url).code == 0
    called, rows = run(world)
    assert called.code == 0 and called.json["done"]["map"] == 1
    assert rows == healthy
