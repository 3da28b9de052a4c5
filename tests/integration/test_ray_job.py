"""The annual job as operators start it: `ray job submit` to a cluster that only a token opens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.release import verify_release
from tests.conftest import ROOT
from tests.faults.conftest import digests
from tests.integration.conftest import Run
from tests.ray_cluster import RayCluster, ray_cluster, two_regions
from tests.tiny_world import TinyWorld, truncate

BLOCKS = 3
PACKAGE_BYTES = 20e6  # of which the shipped checkpoints are 15
LEFT_BEHIND = {".git", ".venv", "tests", "docs", "benchmarks", "infra", "runs", "tiles", "demo"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """One node that does everything, and takes jobs."""
    with ray_cluster(head_cpus=2, dashboard=True) as started:
        yield started


@pytest.fixture
def tiny(tmp_path: Path) -> TinyWorld:
    return two_regions(tmp_path / "world", blocks=BLOCKS)


def submit(cluster: RayCluster, *entrypoint: object, token: str | None = "") -> subprocess.CompletedProcess[str]:
    """`ray job submit --working-dir .`, and wait. token: another than the cluster's; None: none at all."""
    env = dict(os.environ)
    if token is None:
        env |= {"RAY_AUTH_MODE": "disabled"}
        del env["RAY_AUTH_TOKEN"]
    elif token:
        env["RAY_AUTH_TOKEN"] = token
    command = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", f"--address={cluster.dashboard}"]
    command += ["--working-dir=.", "--", *map(str, entrypoint)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def job(world: TinyWorld) -> list[object]:
    return [sys.executable, "-m", "jobs.run", world.config, "--executor", "ray"]


def packages(cluster: RayCluster) -> list[Path]:
    """What the cluster has unpacked of submitted folders."""
    return [p for p in cluster.folder.glob("session_*/runtime_resources/working_dir_files/_ray_pkg_*") if p.is_dir()]


def test_a_submitted_job_publishes_the_release(cluster: RayCluster, tiny: TinyWorld, run: Run) -> None:
    done = submit(cluster, *job(tiny))
    log = done.stdout + done.stderr
    assert done.returncode == 0 and "succeeded" in log, log
    assert f"map {BLOCKS}/{BLOCKS}" in log
    [line] = [line for line in log.splitlines() if line.startswith("release  ")]
    url = line.split()[-1]
    assert verify_release(url) == []
    here = run(tiny.config)
    assert digests(url) == here.digests()
    for package in packages(cluster):
        names = {p.name for p in package.iterdir()}
        assert names >= {"core", "cluster", "jobs"} and not names & LEFT_BEHIND
        assert sum(p.stat().st_size for p in package.rglob("*")) < PACKAGE_BYTES


def test_a_job_that_sets_something_aside_fails(cluster: RayCluster, tiny: TinyWorld) -> None:
    truncate(tiny.scenes[1])
    done = submit(cluster, *job(tiny))
    log = done.stdout + done.stderr
    assert done.returncode != 0 and "failed" in log and "exit code 1" in log, log
    assert "in quarantine" in log and "release  " in log


@pytest.mark.parametrize("token", [None, "0" * 64], ids=["no token", "another token"])
def test_a_submission_without_the_token_is_refused(cluster: RayCluster, token: str | None) -> None:
    refused = submit(cluster, "true", token=token)
    assert refused.returncode != 0
    assert "oken" in refused.stdout + refused.stderr and "succeeded" not in refused.stdout, refused.stdout


def test_a_driver_without_the_token_is_told_which_one_it_needs(cluster: RayCluster, tiny: TinyWorld) -> None:
    env = {**os.environ, "RAY_AUTH_TOKEN": "0" * 64, "RAY_ADDRESS": cluster.address, "RAY_NUM_REDIS_GET_RETRIES": "2"}
    refused = subprocess.run([*map(str, job(tiny))], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "SystemicError" in refused.stderr and "RAY_AUTH_TOKEN_PATH" in refused.stderr, refused.stderr
