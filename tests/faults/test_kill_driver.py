"""The driver is killed without warning, again and again, and the same command ends the run as if nothing had happened.

A real `python -m jobs.run` in its own process gets SIGKILL at seeded random moments: while it starts, plans, ingests,
maps, measures, publishes, and while it resumes. What a run leaves at last is compared, byte by byte and key by key,
with what an undisturbed run leaves.
"""

from __future__ import annotations

import hashlib
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from core.layout import RunLayout
from core.objects import Objects
from tests.conftest import ROOT
from tests.faults.conftest import GLACIERS, UNITS, Digests
from tests.tiny_world import TinyWorld

CHAINS, KILLS_A_CHAIN = 2, 6
UNITS_IN_ALL = sum(UNITS.values())
HALF_WRITTEN = re.compile(r"\..+#\d+")
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
        """Every file but those of the event log, by its key without the run's id.

        What a killed writer had not put in place yet is hidden from every reader (see the last test), and so here.
        """
        there = [p for p in self.folder.rglob("*") if p.is_file() and not HALF_WRITTEN.fullmatch(p.name)]
        found = {p.relative_to(self.folder).as_posix(): p for p in there}
        keys = {"/".join(k.split("/")[:1] + k.split("/")[2:]) if k.startswith("runs/") else k: k for k in found}
        return {k: found[v] for k, v in keys.items() if not k.startswith(f"runs/{RunLayout.EVENTS}/")}

    def markers(self) -> dict[str, bytes]:
        return {k: p.read_bytes() for k, p in self.files().items() if "commits/" in k}

    def digests(self) -> Digests:
        """sha256 of all that must not depend on when it was written: not of markers (write ids) and places."""
        return {
            k: hashlib.sha256(p.read_bytes()).hexdigest()
            for k, p in self.files().items()
            if "commits/" not in k and k != f"runs/{RunLayout.RUN}"
        }


@pytest.fixture(scope="module")
def quiet(tiny: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """What an undisturbed driver leaves."""
    place = Place(tmp_path_factory.mktemp("quiet"))
    finish(place, tiny, 1)
    return place


@pytest.mark.parametrize("workers", [1, 2])
def test_a_driver_killed_at_any_moment_loses_nothing_and_does_nothing_twice(tiny, quiet, tmp_path, capsys, workers):
    chance = random.Random(workers)
    killed, done_when_killed, n_rows = 0, Counter[int](), 0
    for chain in range(CHAINS):
        place = Place(tmp_path / str(chain))
        place.folder.mkdir()
        standing: dict[str, bytes] = {}
        for target in sorted(chance.sample(range(-1, UNITS_IN_ALL), KILLS_A_CHAIN)):
            driver = place.start(tiny.config, workers)
            wait_for(place, driver, target)
            time.sleep(chance.uniform(0.0, 0.1 if target >= 0 else 1.0))
            driver.send_signal(signal.SIGKILL)
            out, _ = driver.communicate(timeout=_PATIENCE_S)  # also waits for the end of the worker processes
            assert driver.returncode in (0, -signal.SIGKILL), out
            killed += driver.returncode == -signal.SIGKILL
            standing = check_standing(place, standing)
            done_when_killed[len(standing)] += 1
        finish(place, tiny, workers)
        assert len(check_standing(place, standing)) == UNITS_IN_ALL
        check_same(place, quiet)
        (area,) = (p for k, p in place.files().items() if "/glacier_area/" in k and "/release/" in k)
        n_rows += pq.read_metadata(area).num_rows
    assert killed >= CHAINS * KILLS_A_CHAIN - 2, "a kill or two may come too late"
    with capsys.disabled():
        states = ", ".join(f"{n} of {UNITS_IN_ALL} × {c}" for n, c in sorted(done_when_killed.items()))
        print(f"\nworkers={workers}: faults injected {killed} (SIGKILL; units done at the time: {states})", end="")
        print(f" / survived {killed} / rows lost {CHAINS * GLACIERS - n_rows}")


def test_a_writer_killed_half_way_leaves_nothing_that_a_reader_sees(tmp_path):
    folder = tmp_path / "table"
    folder.mkdir()
    pq.write_table(pa.table({"a": [1]}), folder / "part-00000.parquet")
    program = "import sys; from core.objects import Objects; d = bytes(1 << 20); o = Objects(sys.argv[1])\n"
    program += "while True: o.put('part-00001.parquet', d); o.delete('part-00001.parquet')"
    for _ in range(20):
        writer = subprocess.Popen([sys.executable, "-c", program, str(folder)], cwd=ROOT)
        deadline = time.monotonic() + _PATIENCE_S
        while not half_written(folder):
            assert writer.poll() is None and time.monotonic() < deadline
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        (folder / "part-00001.parquet").unlink(missing_ok=True)
        if half_written(folder):
            break
    assert half_written(folder), "a kill in the middle of a write"
    assert [key for key, _ in Objects(str(folder)).list()] == ["part-00000.parquet"]
    assert ds.dataset(folder, format="parquet").to_table().num_rows == 1


def half_written(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if HALF_WRITTEN.fullmatch(path.name)]


def finish(place: Place, tiny: TinyWorld, workers: int) -> None:
    driver = place.start(tiny.config, workers)
    out, _ = driver.communicate(timeout=_PATIENCE_S)
    assert driver.returncode == 0, out


def wait_for(place: Place, driver: subprocess.Popen[str], target: int) -> None:
    """Return when so many units are committed, 0 for the first file, at once for −1; or when the driver has ended."""
    deadline = time.monotonic() + _PATIENCE_S
    while driver.poll() is None and not (target < 0 or (place.begun and len(place.markers()) >= target)):
        assert time.monotonic() < deadline, f"{target} units were never done"
        time.sleep(0.005)


def check_standing(place: Place, standing: dict[str, bytes]) -> dict[str, bytes]:
    """The markers; those that stood before must stand unchanged."""
    found = place.markers()
    assert {key: found.get(key) for key in standing} == standing, "a commit, once made, stays as it is"
    return found


def check_same(place: Place, undisturbed: Place) -> None:
    """The same keys as an undisturbed run, each with the same bytes."""
    keys, wanted = set(place.files()), set(undisturbed.files())
    assert keys - wanted == set(), "stray files"
    assert wanted - keys == set(), "missing files"
    assert place.digests() == undisturbed.digests()
