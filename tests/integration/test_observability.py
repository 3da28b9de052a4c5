"""What a run tells of itself: history, timeline, the split of its seconds, the table at the end, and metrics."""

from __future__ import annotations

import itertools
import json
import re
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.history import Entry, read_history
from cluster.scheduler import STAGES
from core.ledger import Ledger
from core.objects import Objects
from core.stopwatch import STALLS
from tests.ray_cluster import two_regions, wait_for
from tests.tiny_world import Called, TinyWorld, icefleet, make_world, truncate

BLOCKS = 4


def run_folder(world: TinyWorld) -> Path:
    [folder] = world.folder.glob("runs/*")
    return folder


def objects(world: TinyWorld) -> Objects:
    return Objects(run_folder(world).as_uri())


def history(world: TinyWorld, kind: str | None = None) -> list[Entry]:
    return [e for e in read_history(objects(world)) if kind in (None, e.event.kind)]


def of_tiles(units: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What is committed in the run: all stages but the one whose commits lie with the tiles."""
    return {(stage, unit) for stage, unit in units if stage != "ingest"}


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyWorld, Called]:
    """A world of two regions, and how its run ended."""
    world = two_regions(tmp_path_factory.mktemp("observed") / "w", blocks=BLOCKS)
    world.edit(execution={"workers": request.param})
    called = icefleet("run", world.config, "--json")
    assert called.code == 0, called.err
    return world, called


@pytest.fixture
def world(ran) -> TinyWorld:
    return ran[0]


def trace_of(world: TinyWorld, path: Path) -> dict[str, Any]:
    called = icefleet("status", run_folder(world), "--timeline", path, "--json")
    assert called.json["timeline"] == str(path)
    return json.loads(path.read_text())


def unit_slices(trace: dict[str, Any]) -> list[dict[str, Any]]:
    return [e for e in trace["traceEvents"] if e["ph"] == "X" and e["cat"] in STAGES]


# ------------------------------------------------------------------ history


def test_history_counts_as_done_what_the_ledger_committed(world):
    done = [(e.event.stage, e.event.unit) for e in history(world, "done")]
    assert len(done) == len(set(done))
    assert of_tiles(set(done)) == Ledger(objects(world)).done()
    assert Counter(stage for stage, _ in done)["ingest"] == BLOCKS
    assert len({e.session for e in history(world)}) == 1


def test_a_session_that_does_nothing_adds_nothing_to_the_history(world):
    before = objects(world).list("events")
    assert icefleet("run", world.config).code == 0
    assert objects(world).list("events") == before


def test_a_second_session_writes_its_own_part_of_the_history(tmp_path):
    world = make_world(tmp_path / "w", glaciers=4, blocks=2)
    icefleet("run", world.config, "--limit", 1)
    first = history(world)
    icefleet("run", world.config)
    both = history(world)
    assert both[: len(first)] == first and len({e.session for e in both}) == 2
    assert of_tiles({(e.event.stage, e.event.unit) for e in both}) == Ledger(objects(world)).done()


def test_what_was_set_aside_is_in_the_history_with_its_reason(tmp_path):
    world = make_world(tmp_path / "w", glaciers=2, blocks=2)
    truncate(world.scenes[1])
    assert icefleet("run", world.config).code == 1
    aside = {(e.event.stage, e.event.unit): e.event for e in history(world, "quarantined")}
    assert set(aside) == Ledger(objects(world)).quarantined()
    assert all(event.message and event.span.worker for event in aside.values())
    # The table of a run that failed in part still prints, and counts it.
    assert icefleet("status", run_folder(world), "--timeline", tmp_path / "t.json").code == 1


# ------------------------------------------------------------------ timeline


def test_the_timeline_has_one_slice_per_unit(world, tmp_path):
    slices = unit_slices(trace_of(world, tmp_path / "t.json"))
    assert Counter((s["cat"], s["args"]["unit"]) for s in slices) == Counter(
        (e.event.stage, e.event.unit) for e in history(world, "done")
    )


def test_no_two_slices_of_a_worker_overlap(world, tmp_path):
    rows = defaultdict(list)
    for s in unit_slices(trace_of(world, tmp_path / "t.json")):
        rows[s["pid"], s["tid"]].append((s["ts"], s["ts"] + s["dur"]))
    assert len(rows) in (1, 2)
    for spans in rows.values():
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(sorted(spans)))


def test_a_run_without_history_has_no_timeline_and_says_so(tmp_path):
    world = make_world(tmp_path / "w")
    assert icefleet("plan", world.config).code == 0
    called = icefleet("status", run_folder(world), "--timeline", tmp_path / "t.json")
    assert called.code == 2 and "found no history" in called.err and not (tmp_path / "t.json").exists()


def test_a_timeline_that_cannot_be_written_is_a_wrong_call(world, tmp_path):
    called = icefleet("status", run_folder(world), "--timeline", tmp_path / "nowhere" / "t.json")
    assert called.code == 2 and "nowhere" in called.err and "Traceback" not in called.err


# ------------------------------------------------------------------ the split of the seconds


def test_stalls_of_a_unit_are_known_names_and_sum_to_no_more_than_its_seconds(world):
    for entry in history(world, "done"):
        event = entry.event
        assert set(event.stalls) <= set(STALLS) and all(s >= 0 for s in event.stalls.values())
        assert 0 < sum(event.stalls.values()) <= event.seconds
        assert event.seconds <= (event.span.ended - event.span.started) * (1 + 1e-3) + 1e-3


@pytest.mark.parametrize(
    ("stage", "names"),
    [
        ("ingest", {"wait", "warp", "write"}),
        ("map", {"wait", "prepare", "to_device", "compute", "blend", "write"}),
        ("measure", {"wait", "compute", "write"}),
        ("publish", {"wait", "compute", "write"}),
    ],
)
def test_every_stage_says_what_its_seconds_went_into(world, stage, names):
    events = [e.event for e in history(world, "done") if e.event.stage == stage]
    assert events and all(set(e.stalls) == names for e in events)
    if stage == "map":
        assert all(e.stalls["to_device"] == 0 and e.device == "cpu" for e in events)


# ------------------------------------------------------------------ the end


def test_the_json_of_a_run_has_every_number_of_the_table(ran):
    found = ran[1].json
    assert list(found["stages"]) == list(STAGES)
    for stage, s in found["stages"].items():
        assert s["units"] == found["done"][stage] and (s["quarantined"], s["retried"]) == (0, 0)
        assert s["wall_s"] > 0 and s["work_s"] > 0 and 0 < sum(s["stalls"].values()) <= 1
    mapped = found["stages"]["map"]
    assert mapped["windows_per_s"] > 0 and mapped["mb_per_s"] > 0
    assert mapped["counts"]["bytes_needed"] > 0 and mapped["counts"]["windows"] > 0
    assert mapped["read_amplification"] == mapped["counts"]["bytes"] / mapped["counts"]["bytes_needed"]
    assert found["stages"]["measure"]["read_amplification"] is None
    used = found["usage"]
    assert used["cpu_hours"] > 0 and used["gpu_hours"] == 0 and used["mapped_km2"] == mapped["counts"]["km2"] > 0
    assert used["usd"] is None and used["usd_per_gpu_hour"] == 1.2


def test_the_table_names_every_stage_and_what_was_used(tmp_path):
    world = make_world(tmp_path / "w")
    called = icefleet("run", world.config)
    assert called.code == 0
    rows = [line for line in called.out.splitlines() if line.startswith("│")]
    assert [row.split()[1] for row in rows if row.split()[1] in STAGES] == list(STAGES)
    assert re.search(r"^used     [\d.e-]+ CPU-hours · [\d,]+ km² mapped$", called.out, re.MULTILINE)


def test_progress_names_the_regions_where_there_are_several(tmp_path):
    world = two_regions(tmp_path / "w", blocks=2)
    called = icefleet("run", world.config)
    assert called.code == 0 and "map by region · 2 mapped" in called.err.splitlines()


def test_read_amplification_is_chunks_opened_over_pixels_needed(tmp_path):
    """Two windows of 256 px, whole in their block and on its chunks, of a sensor with six bands of which five count."""
    world = make_world(tmp_path / "w", glaciers=1)
    [event] = [e.event for e in read_after_run(world) if e.event.stage == "map"]
    block_px, chunk_px, n = 1024, 256, event.counts["windows"]
    assert event.counts["bytes_needed"] == n * chunk_px**2 * (5 * 2 + 1)
    assert event.counts["bytes"] <= n * chunk_px**2 * 6 * 2 + block_px**2
    assert event.counts["km2"] == n * (chunk_px * 30) ** 2 / 1e6


def read_after_run(world: TinyWorld) -> list[Entry]:
    assert icefleet("run", world.config).code == 0
    return history(world, "done")


# ------------------------------------------------------------------ metrics


@pytest.fixture
def ray_that_reports(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Ray of this process alone, whose metrics are out in a moment; yields their address."""
    import ray

    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
        _system_config={"metrics_report_interval_ms": 500},
    )
    try:
        [node] = ray.nodes()
        yield f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    finally:
        ray.shutdown()


def test_a_run_on_ray_exports_what_it_does(tmp_path, ray_that_reports):
    world = make_world(tmp_path / "w", glaciers=2, blocks=2)
    called = icefleet("run", world.config, "--executor", "ray", "--json")
    assert called.code == 0, called.err
    done = Counter(e.event.stage for e in history(world, "done"))
    assert done == called.json["done"] == {"ingest": 2, "map": 2, "measure": 1, "publish": 1}
    wait_for(lambda: units_exported(ray_that_reports) == done, "metrics of every unit")
    text = scraped(ray_that_reports)
    for name in ("unit_seconds_count", "stall_seconds_total", "windows_total", "bytes_total", "ready_units"):
        assert re.search(rf'^ray_icefleet_{name}{{.*run="{run_folder(world).name}"', text, re.MULTILINE), name
    windows = called.json["stages"]["map"]["counts"]["windows"]
    assert f" {windows:.1f}" in next(
        line for line in text.splitlines() if line.startswith("ray_icefleet_windows_total")
    )
    assert set(re.findall(r'^ray_icefleet_ready_units{.*role="(\w+)"', text, re.MULTILINE)) == {
        "mapper",
        "surveyor",
        "shard",
    }


def units_exported(url: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in scraped(url).splitlines():
        if line.startswith("ray_icefleet_units_total{") and 'kind="done"' in line:
            found[re.search(r'stage="(\w+)"', line)[1]] += int(float(line.rsplit(" ", 1)[1]))
    return found


def scraped(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return ""
