"""The driver is killed without warning, again and again, and the same command ends the run as if nothing had happened.

A real `python -m jobs.run` in its own process gets SIGKILL at seeded random moments: while it starts, plans, ingests,
maps, measures, publishes, and while it resumes. What a run leaves at last is compared, byte by byte and key by key,
with what an undisturbed run leaves.
"""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.layout import RunLayout
from tests.conftest import ROOT
from tests.faults.conftest import GLACIERS, UNITS, Digests
from tests.tiny_world import TinyWorld

CHAINS, KILLS_A_CHAIN = 4, 3
UNITS_IN_ALL = sum(UNITS.values())
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Place:
    """Folders of one run. Files are looked at as they lie on the disk, so that nothing can hide."""

    folder: Path

    def start(self, config: Path, workers: int) -> subprocess.Popen[str]:
        words = [f"output={self.folder}/runs", f"tiles={self.folder}/tiles", f"execution.workers={workers}"]
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.run", str(config), *(w for word in words for w in ("--set", word))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def begun(self) -> bool:
        """Something was written."""
        return any(self.folder.glob("runs/*/*"))

    def files(self) -> dict[str, Path]:
        """Every file but those of the event log, by its key without the run's id."""
        found = {p.relative_to(self.folder).as_posix(): p for p in self.folder.rglob("*") if p.is_file()}
        keys = {"/".join(k.split("/")[:1] + k.split("/")[2:]) if k.startswith("runs/") else k: k for k in found}
        return {k: found[v] for k, v in keys.items() if not k.startswith(f"runs/{RunLayout.EVENTS}/")}

    def markers(self) -> dict[str, bytes]:
        return {k: p.read_bytes() for k, p in self.files().items() if "commits/" in k and "#" not in k}

    def digests(self) -> Digests:
        """sha256 of all that must not depend on when it was written: not of markers (write ids) and places."""
        return {
            k: hashlib.sha256(p.read_bytes()).hexdigest()
            for k, p in self.files().items()
            if "commits/" not in k and k != f"runs/{RunLayout.RUN}"
        }


@pytest.fixture(scope="module")
def quiet(tiny: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, float]:
    """(what an undisturbed driver leaves, seconds from its first write to its end)."""
    place = Place(tmp_path_factory.mktemp("quiet"))
    driver = place.start(tiny.config, 1)
    began = wait_for_work(place, driver)
    out, _ = driver.communicate(timeout=_PATIENCE_S)
    assert driver.returncode == 0, out
    return place, time.monotonic() - began


@pytest.mark.parametrize("workers", [1, 2])
def test_a_driver_killed_at_any_moment_loses_nothing_and_does_nothing_twice(tiny, quiet, tmp_path, capsys, workers):
    undisturbed, busy_s = quiet
    # A pool of processes takes longer to start than the tiny world takes to do.
    span_s = busy_s * (1 if workers == 1 else 2.5)
    chance = random.Random(workers)
    killed, done_when_killed, n_rows = 0, Counter[int](), 0
    for chain in range(CHAINS):
        place = Place(tmp_path / str(chain))
        place.folder.mkdir()
        standing: dict[str, bytes] = {}
        for k in range(KILLS_A_CHAIN):
            driver = place.start(tiny.config, workers)
            if chain or k:
                wait_for_work(place, driver)
                time.sleep(chance.uniform(0, span_s * (k + 1) / KILLS_A_CHAIN))
            else:
                time.sleep(chance.uniform(0.1, 1.0))  # while it still loads its modules
            driver.send_signal(signal.SIGKILL)
            out, _ = driver.communicate(timeout=_PATIENCE_S)
            assert driver.returncode in (0, -signal.SIGKILL), out
            killed += driver.returncode == -signal.SIGKILL
            found = place.markers()
            assert {key: found.get(key) for key in standing} == standing, "a commit, once made, stays as it is"
            standing = found
            done_when_killed[len(standing)] += 1
        driver = place.start(tiny.config, workers)
        out, _ = driver.communicate(timeout=_PATIENCE_S)
        assert driver.returncode == 0, out
        check_same(place, undisturbed)
        found = place.markers()
        assert {key: found.get(key) for key in standing} == standing
        assert len(found) == UNITS_IN_ALL
        n_rows += GLACIERS
    assert killed >= CHAINS * KILLS_A_CHAIN * 3 // 4, "most of the kills met a driver that was still alive"
    with capsys.disabled():
        states = ", ".join(f"{n} of {UNITS_IN_ALL} × {c}" for n, c in sorted(done_when_killed.items()))
        print(f"\nworkers={workers}: faults injected {killed} (SIGKILL; units done at the time: {states})", end="")
        print(f" / survived {killed} / rows lost {CHAINS * GLACIERS - n_rows}")


def check_same(place: Place, undisturbed: Place) -> None:
    """The same keys as an undisturbed run, each with the same bytes."""
    keys, wanted = set(place.files()), set(undisturbed.files())
    assert keys - wanted == set(), "stray files"
    assert wanted - keys == set(), "missing files"
    assert place.digests() == undisturbed.digests()


def wait_for_work(place: Place, driver: subprocess.Popen[str]) -> float:
    """Return as soon as the driver has written something, or ended; the time of that."""
    deadline = time.monotonic() + _PATIENCE_S
    while not place.begun and driver.poll() is None:
        assert time.monotonic() < deadline, "the driver never began"
        time.sleep(0.005)
    return time.monotonic()
