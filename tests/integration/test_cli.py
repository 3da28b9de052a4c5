"""The command line: help that teaches, JSON that parses, exit codes that a scheduler can act on, and resuming."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from core.layout import RunLayout
from jobs.cli import app
from tests.tiny_world import TinyWorld, block_name, icefleet, make_world, truncate

ROOT = Path(__file__).parents[2]
VERBS = [command.callback.__name__ for command in app.registered_commands if command.callback]
_PATIENCE_S = 120.0


def tree(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def run_folder(world: TinyWorld) -> Path:
    [folder] = world.folder.glob("runs/*")
    return folder


@pytest.fixture
def world(tmp_path: Path) -> TinyWorld:
    return make_world(tmp_path / "w")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    """A finished run; tests only look at it."""
    world = make_world(tmp_path_factory.mktemp("finished"), glaciers=4, blocks=2)
    assert icefleet("run", world.config).code == 0
    return world


# ------------------------------------------------------------------ help


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_shows_an_example_of_itself(verb):
    called = icefleet(verb, "--help")
    assert called.code == 0
    assert f"Example: icefleet {verb}" in " ".join(called.out.split())
    assert "--json" in called.out


def test_the_help_names_every_verb_the_first_steps_and_the_exit_codes():
    called = icefleet("--help")
    said = " ".join(called.out.split())
    assert called.code == 0 and all(verb in said for verb in VERBS)
    assert "icefleet demo" in said and "Exit codes: 0 all done" in said


def test_the_example_configurations_in_the_help_exist():
    for verb in VERBS:
        words = icefleet(verb, "--help").out.split()
        for path in (w for w in words if w.startswith("jobs/configs/")):
            assert (ROOT / path).is_file()


@pytest.mark.parametrize("verb", ["plan", "ingest", "run"])
def test_keys_lists_every_key_without_a_configuration(verb):
    called = icefleet(verb, "--keys")
    assert called.code == 0 and "grid.res_m  (default 30)" in called.out


def test_version_prints_the_version_alone():
    called = icefleet("--version")
    assert called.code == 0 and called.out.strip()[0].isdigit() and len(called.out.split()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("rnu",),
        ("run", "c.yaml", "--no-such-option"),
        ("run", "c.yaml", "--limit", "0"),
        ("run", "c.yaml", "--executor", "slurm"),
        ("status",),
    ],
)
def test_a_wrong_call_is_exit_code_2_without_a_traceback(words):
    called = icefleet(*words)
    assert called.code == 2 and called.err and "Traceback" not in called.err


def test_a_verb_runs_as_a_module_of_its_own_in_a_fresh_process(world):
    done = subprocess.run(
        [sys.executable, "-m", "jobs.plan", str(world.config), "--dry-run", "--set", "grid.res=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"error {world.config}: grid.res: found an unknown key; did you mean 'res_m'?\n"


# ------------------------------------------------------------------ JSON and dry run


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_dry_run_writes_nothing_and_tells_units_bytes_and_cost(world, verb):
    before = tree(world.folder)
    called = icefleet(verb, world.config, "--dry-run", "--json")
    assert called.code == 0 and tree(world.folder) == before
    assert not (world.folder / "runs").exists() and not (world.folder / "tiles").exists()
    total = called.json["total"]
    assert (total["glaciers"], total["groups"], total["blocks"]) == (2, 1, 1)
    assert total["windows"] > 0 and total["read_bytes"] > 0 and total["write_bytes"] > 0
    assert called.json["glaciers"] == 2 and list(called.json["regions"]) == ["15"]


def test_plan_and_run_mean_the_same_run(world):
    planned = icefleet("plan", world.config, "--json")
    dry = icefleet("run", world.config, "--json", "--dry-run")
    assert planned.json == dry.json
    assert icefleet("run", world.config, "--json").json["run_id"] == planned.json["run_id"]


def test_every_verb_that_prints_a_table_prints_json_and_nothing_else_if_asked(finished):
    run = run_folder(finished)
    for words in (
        ("plan", finished.config, "--dry-run"),
        ("ingest", finished.config),
        ("run", finished.config),
        ("status", run),
        ("verify", run / "release"),
    ):
        called = icefleet(*words, "--json")
        assert called.code == 0, called.err
        assert isinstance(called.json, dict) and called.err == ""


def test_without_json_places_are_whole_lines_that_can_be_copied(finished):
    run = run_folder(finished)
    called = icefleet("run", finished.config)
    assert called.code == 0
    assert f"run      {run.as_uri()}" in called.out.splitlines()
    assert f"release  {run.as_uri()}/release" in called.out.splitlines()


def test_a_folder_with_a_space_and_brackets_works_and_is_shown_as_it_is(tmp_path):
    world = make_world(tmp_path / "a [bold]b[/bold]", glaciers=1)
    called = icefleet("run", world.config)
    assert called.code == 0, called.err
    run = run_folder(world)
    assert f"run      {run.as_uri()}" in called.out.splitlines()
    assert icefleet("status", run).code == 0
    assert icefleet("verify", run / "release").code == 0


# ------------------------------------------------------------------ resuming


def test_the_second_run_of_a_finished_run_does_no_unit_and_leaves_every_byte(finished):
    before = tree(finished.folder)
    times = {p: p.stat().st_mtime_ns for p in finished.folder.rglob("*") if p.is_file()}
    called = icefleet("run", finished.config, "--json")
    assert called.code == 0 and called.json["done"] == {} and called.json["release"]
    assert tree(finished.folder) == before
    assert {p: p.stat().st_mtime_ns for p in finished.folder.rglob("*") if p.is_file()} == times


def test_a_limited_run_maps_so_many_blocks_publishes_nothing_and_is_completed_by_the_same_command(tmp_path):
    world = make_world(tmp_path / "w", glaciers=6, blocks=3)
    one = icefleet("run", world.config, "--limit", 1, "--json")
    assert one.code == 0 and one.json["done"] == {"ingest": 1, "map": 1} and one.json["release"] is None
    assert not list(world.folder.rglob("manifest.json"))
    two = icefleet("run", world.config, "--limit", 1, "--json")
    assert two.json["done"] == {"ingest": 1, "map": 1}
    rest = icefleet("run", world.config, "--json")
    assert rest.code == 0 and rest.json["done"] == {"ingest": 1, "map": 1, "measure": 1, "publish": 1}
    assert icefleet("verify", rest.json["release"].removeprefix("file://")).code == 0


def test_a_release_made_in_pieces_is_byte_for_byte_the_one_made_at_once(tmp_path):
    worlds = [make_world(tmp_path / name, glaciers=4, blocks=2) for name in ("once", "pieces")]
    assert icefleet("run", worlds[0].config).code == 0
    for words in (("plan",), ("ingest",), ("run", "--limit", 1), ("run",)):
        assert icefleet(words[0], worlds[1].config, *words[1:]).code == 0
    once, pieces = (tree(run_folder(w) / "release") for w in worlds)
    assert once == pieces and any(name.endswith("manifest.json") for name in once)


def test_ingest_ahead_of_time_leaves_nothing_to_ingest(world):
    ahead = icefleet("ingest", world.config, "--json")
    assert ahead.code == 0
    assert ahead.json["sensors"]["optical"]["blocks"] == 1
    assert ahead.json["sensors"]["optical"]["scenes"] == ["S0"]
    assert icefleet("run", world.config, "--json").json["done"] == {"map": 1, "measure": 1, "publish": 1}


def test_tiles_are_shared_by_runs_that_differ_in_the_model(world):
    assert icefleet("run", world.config).code == 0
    other = icefleet("run", world.config, "--json", "--set", "model.parameters.ratio=1.8")
    assert other.code == 0 and "ingest" not in other.json["done"]
    assert len(list(world.folder.glob("runs/*"))) == 2


def test_a_manifest_that_was_lost_is_written_again_without_any_unit(tmp_path):
    world = make_world(tmp_path / "w")
    assert icefleet("run", world.config).code == 0
    manifest = next(run_folder(world).rglob("manifest.json"))
    stored = manifest.read_bytes()
    manifest.unlink()
    called = icefleet("run", world.config, "--json")
    assert called.code == 0 and called.json["done"] == {} and manifest.read_bytes() == stored


def in_background(world: TinyWorld) -> subprocess.Popen[str]:
    """A run in a process group of its own, as a shell starts one."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.run", str(world.config)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(done: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not done():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("how", ["Ctrl-C in one process", "Ctrl-C in two", "kill -9"])
def test_an_interrupted_run_leaves_no_process_behind_and_the_same_command_completes_it(tmp_path, how):
    world = make_world(tmp_path / "w", glaciers=14, blocks=14)
    world.edit(execution={"workers": 1 if how == "Ctrl-C in one process" else 2})
    process = in_background(world)
    wait_for(lambda: list(world.folder.glob("runs/*/commits/map/*")), process)
    if how == "kill -9":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGINT)
    # The pipes close only when the last process of the pool is gone.
    _, said = process.communicate(timeout=_PATIENCE_S)
    if how != "kill -9":
        assert process.returncode == 130
        assert said == "interrupted; the same command goes on where this one stopped\n"
    mapped = len(list((run_folder(world) / RunLayout.COMMITS / "map").iterdir()))
    assert 0 < mapped < 14
    world.edit(execution={"workers": 1})
    rest = icefleet("run", world.config, "--json")
    assert rest.code == 0 and rest.json["done"]["map"] == 14 - mapped
    assert len(list(world.folder.glob("runs/*"))) == 1
    assert icefleet("verify", run_folder(world) / "release").code == 0


# ------------------------------------------------------------------ status


def counts(world: TinyWorld) -> dict[str, tuple[int, int, int, int]]:
    """stage → (total, done, left, quarantined)."""
    stages = icefleet("status", run_folder(world), "--json").json["stages"]
    return {s: (c["total"], c["done"], c["left"], c["quarantined"]) for s, c in stages.items()}


def test_status_follows_a_run_from_its_plan_to_its_release(tmp_path):
    world = make_world(tmp_path / "w", glaciers=4, blocks=2)
    assert icefleet("plan", world.config).code == 0
    assert counts(world) == {
        "ingest": (2, 0, 2, 0),
        "map": (2, 0, 2, 0),
        "measure": (1, 0, 1, 0),
        "publish": (1, 0, 1, 0),
    }
    icefleet("run", world.config, "--limit", 1)
    assert counts(world) == {
        "ingest": (2, 1, 1, 0),
        "map": (2, 1, 1, 0),
        "measure": (1, 0, 1, 0),
        "publish": (1, 0, 1, 0),
    }
    half = icefleet("status", run_folder(world))
    assert half.code == 0 and "not published" in half.out
    icefleet("run", world.config)
    assert counts(world) == {
        "ingest": (2, 2, 0, 0),
        "map": (2, 2, 0, 0),
        "measure": (1, 1, 0, 0),
        "publish": (1, 1, 0, 0),
    }
    whole = icefleet("status", run_folder(world))
    assert whole.code == 0 and "published" in whole.out and "not published" not in whole.out


def test_status_names_what_is_set_aside_and_fails(tmp_path):
    world = make_world(tmp_path / "w", glaciers=2, blocks=2)
    truncate(world.scenes[1])
    icefleet("run", world.config)
    called = icefleet("status", run_folder(world))
    assert called.code == 1
    [ingest, mapped] = [line for line in called.out.splitlines() if line.startswith("set aside ")]
    assert f"ingest optical.{block_name(1)}" in ingest and str(world.scenes[1]) in ingest
    assert f"map {block_name(1)}" in mapped
    assert counts(world)["map"] == (2, 1, 0, 1)


def test_status_counts_a_region_in_which_no_glacier_could_be_planned(tmp_path):
    world = make_world(tmp_path / "w", glaciers=3)
    table = gpd.read_file(world.inventory)
    table["O1Region"] = ["15", "15", "14"]
    table["RGIId"] = [f"RGI60-{region}.{k:05d}" for k, region in enumerate(table["O1Region"], 1)]
    table.loc[2, "geometry"] = shapely.Polygon()
    table.to_file(world.inventory, driver="GPKG")
    world.edit(regions=["14", "15"])
    icefleet("run", world.config)
    assert counts(world)["publish"] == (2, 2, 0, 0)


@pytest.mark.parametrize("verb", ["status", "verify"])
def test_looking_at_a_folder_that_is_not_there_fails_and_does_not_make_it(tmp_path, verb):
    called = icefleet(verb, tmp_path / "typo" / "run")
    assert called.code in (1, 2) and str(tmp_path / "typo" / "run") in called.out + called.err
    assert "Traceback" not in called.err and not (tmp_path / "typo").exists()


def test_status_of_a_folder_without_a_run_is_a_wrong_call(tmp_path):
    called = icefleet("status", tmp_path)
    assert called.code == 2 and "found no run.json; give the folder OUTPUT/<run_id>" in called.err


def test_verify_finds_a_changed_byte_and_names_the_file(tmp_path):
    world = make_world(tmp_path / "w")
    icefleet("run", world.config)
    release = run_folder(world) / "release"
    assert icefleet("verify", release).code == 0
    part = next(release.rglob("glacier_area/**/*.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(bytes(data))
    called = icefleet("verify", release)
    assert called.code == 1 and part.name in called.out
