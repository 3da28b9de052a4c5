"""The release does not depend on how the work was cut, where it ran or where it was stored."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from core.inventory import read_inventory
from core.release import verify_release
from core.simulate import World
from jobs.run import run_config
from tests.integration.conftest import Ran, Run, in_order

TABLES = ("glacier_area", "glacier_outline", "glacier_surface")


def test_a_pool_of_processes_publishes_the_same_bytes_as_one_process(world: World, run: Run, demo_run: Ran) -> None:
    assert run(world.config, "execution.workers=2").digests() == demo_run.digests()


@pytest.mark.parametrize(("mappers", "surveyors"), [(1, 1), (3, 2)])
def test_ray_actors_publish_the_same_bytes_as_one_process(
    world: World, run: Run, demo_run: Ran, mappers: int, surveyors: int
) -> None:
    actors = (f"execution.mappers={mappers}", f"execution.surveyors={surveyors}")
    on_ray = run(world.config, "execution.executor=ray", *actors)
    assert on_ray.driven.clean and on_ray.driven.tally.done["map"] == demo_run.driven.tally.done["map"]
    assert on_ray.digests() == demo_run.digests()


def test_the_batch_of_windows_does_not_change_a_byte(world: World, run: Run, demo_run: Ran) -> None:
    assert run(world.config, "execution.workers=1", "model.batch=1").digests() == demo_run.digests()


@pytest.mark.parametrize("backend", ["obstore", "fsspec"])
def test_a_run_in_a_bucket_publishes_the_same_bytes_as_one_in_a_folder(
    world: World, run: Run, demo_run: Ran, s3_url: str, backend: str
) -> None:
    places = (f"output={s3_url}/{backend}/runs", f"tiles={s3_url}/{backend}/tiles")
    in_bucket = run(world.config, *places, "execution.workers=1", f"storage.backend={backend}")
    assert in_bucket.prepared.run.url.startswith("s3://")
    assert in_bucket.digests() == demo_run.digests()
    assert verify_release(in_bucket.prepared.run.release_url) == []


def test_a_run_in_memory_publishes_the_same_bytes_as_one_in_a_folder(world: World, run: Run, demo_run: Ran) -> None:
    assert run(world.config, "output=memory://inv/runs", "tiles=memory://inv/tiles").digests() == demo_run.digests()


def test_other_groups_of_glaciers_give_the_same_tables(world: World, run: Run, demo_run: Ran) -> None:
    small = run(world.config, "execution.workers=1", "plan.group_glaciers=7", "plan.group_mpx=0.2")
    assert len(small.prepared.plan.groups) > 2 * len(demo_run.prepared.plan.groups)
    for name in TABLES:
        assert small.table(name).equals(demo_run.table(name)), name


def test_regions_run_one_by_one_give_the_same_tables_as_together(world: World, run: Run, demo_run: Ran) -> None:
    regions = sorted({g.region for g in demo_run.prepared.plan.groups})
    alone = [run(world.config, "execution.workers=1", f'regions=["{region}"]') for region in regions]
    for name in TABLES:
        together = in_order(pa.concat_tables([r.table(name) for r in alone]))
        assert together.equals(demo_run.table(name)), name


def test_every_glacier_of_the_inventory_has_exactly_one_row(world: World, demo_run: Ran) -> None:
    inventory = read_inventory([str(world.config.parent / "outlines.gpkg")], None)
    assert sorted(demo_run.area().index) == sorted(inventory.glaciers["rgi_id"])


def test_the_demo_release_has_no_finding(demo_run: Ran) -> None:
    assert verify_release(demo_run.prepared.run.release_url) == []


def test_a_finished_run_does_nothing_again(world: World, demo_run: Ran) -> None:
    before = demo_run.digests()
    run_url = demo_run.prepared.run.url
    output, tiles = run_url.rsplit("/", 1)[0], demo_run.prepared.run.config.tiles
    _, again = run_config(Path(world.config), [f"output={output}", f"tiles={tiles}", "execution.workers=1"])
    assert again.tally.done.total() == 0 and again.complete
    assert demo_run.digests() == before


def test_the_shipped_demo_configuration_is_the_same_run_as_that_of_the_simulated_world(
    world: World, run: Run, demo_run: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICEFLEET_DEMO", str(world.config.parent))
    shipped = Path(__file__).resolve().parents[2] / "jobs" / "configs" / "demo.yaml"
    assert run(shipped, "execution.workers=1").digests() == demo_run.digests()
