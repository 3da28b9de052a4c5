"""`icefleet retry`: what failed is done again once its cause is mended, and nothing else is."""

from __future__ import annotations

from pathlib import Path

from cluster.retry import retry
from core.layout import RunLayout
from tests.integration.conftest import Run
from tests.tiny_world import make_world


def test_a_mended_scene_and_a_retry_give_the_release_of_an_undisturbed_run(run: Run, tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", glaciers=4, blocks=2)
    whole = world.scenes[1].read_bytes()
    undisturbed = run(world.config, "execution.workers=1")
    places = (f"output={tmp_path}/runs", f"tiles={tmp_path}/tiles", "execution.workers=1")
    world.scenes[1].write_bytes(whole[: len(whole) // 2])
    failed = run(world.config, *places)
    assert not failed.driven.clean and failed.driven.lost_rows == len(world.of_block(1))
    world.scenes[1].write_bytes(whole)
    again = run(world.config, *places)
    assert again.driven.tally.done.total() == 0 and not again.driven.clean, "without a retry nothing is tried again"
    assert {stage for stage, _ in retry(failed.prepared.run.url)} == {"ingest", "map", "measure", "publish"}
    mended = run(world.config, *places)
    assert mended.driven.clean
    assert mended.driven.tally.done == {"ingest": 1, "map": 1, "measure": 1, "publish": 1}
    assert mended.digests() == undisturbed.digests()
    assert retry(mended.prepared.run.url) == []


def test_a_mosaic_shard_that_went_bad_is_mapped_again(run: Run, tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", glaciers=4, blocks=2)
    places = (f"output={tmp_path}/runs", f"tiles={tmp_path}/tiles", "execution.workers=1")
    first = run(world.config, *places)
    digests = first.digests()
    folder = Path(first.prepared.run.url.removeprefix("file://"))
    shards = sorted((folder / RunLayout.PROBABILITY).rglob("probability/c/*/*"))
    shards[0].write_bytes(bytes(b ^ 0xFF for b in shards[0].read_bytes()))
    for marker in [*folder.glob("commits/measure/*"), *folder.glob("commits/publish/*")]:
        marker.unlink()
    hurt = run(world.config, *places)
    assert not hurt.driven.clean and hurt.driven.lost_rows == 2
    assert [stage for stage, _ in retry(hurt.prepared.run.url)] == ["publish", "measure", "map"]
    mended = run(world.config, *places)
    assert mended.driven.clean and mended.driven.tally.done["map"] == 1
    assert mended.digests() == digests
