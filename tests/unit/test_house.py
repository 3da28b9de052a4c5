"""The house: arrows point down, ray stays in its room, and every file says what it is for."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_world import make_world

ROOT = Path(__file__).parents[2]
MODULES = sorted(p for part in ("core", "cluster", "jobs") for p in (ROOT / part).rglob("*.py"))
# What each part of the house may import of the others, besides itself.
BELOW = {"core": set(), "cluster": {"core"}, "jobs": {"core", "cluster"}}
# Where a job connects to a cluster, and what that cluster exports.
RAY = {"cluster/fleet.py", "cluster/metrics.py", "cluster/train.py"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> set[str]:
    """First names of everything that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_there_is_a_house():
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_down_and_ray_stays_in_its_room(path):
    part = name(path).split("/")[0]
    forbidden = set(BELOW) - {part} - BELOW[part] | {"tests", "benchmarks"}
    if name(path) not in RAY:
        forbidden.add("ray")
    assert not imported(path) & forbidden


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_opens_with_what_it_is_for(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text and len(text.split()) >= 5


def test_git_ignores_no_module_of_the_house():
    """A pattern such as `tiles/` also means `core/tiles/`, and a fresh clone would lack it."""
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", *map(name, MODULES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode not in (0, 1):
        pytest.skip(f"no git checkout: {asked.stderr.strip()}")
    assert asked.stdout.split() == []


# A run, and then what it has loaded.
LOADED = """
import json, sys
from jobs.console import run_verb
from jobs.run import run
try:
    run_verb(run)
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]))
"""


def test_a_local_run_never_imports_ray_or_torch(tmp_path):
    world = make_world(tmp_path, glaciers=1)
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(world.config), "--executor", "local"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    loaded = {m.split(".")[0] for m in modules}
    assert "core" in loaded and not loaded & {"ray", "torch"}
