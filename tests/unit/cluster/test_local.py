"""The local executor: every unit once, in one process or in several, and no innocent unit pays for a death."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from cluster.events import TaskEvent
from cluster.local import MOST_LOSSES, run_local
from cluster.scheduler import Scheduler, Unit
from core.errors import PoisonError, SystemicError
from core.ledger import Ledger
from core.objects import Objects
from core.urls import local_path
from core.worker import UnitResult


class Diary:
    """A worker that writes down every call in the run's folder, and behaves as the name of the unit says."""

    def __init__(self, run_url: str) -> None:
        self.ledger = Ledger(Objects(run_url))
        self._diary = local_path(run_url) / "diary"
        self._diary.mkdir(exist_ok=True)

    def do(self, stage: str, unit: str) -> UnitResult:
        (self._diary / f"{unit}.{os.getpid()}.{uuid.uuid4().hex}").touch()
        if unit == "killer":
            os._exit(1)
        if unit == "poison":
            raise PoisonError(unit, found="poison")
        if unit == "systemic":
            raise SystemicError(unit, found="no credentials")
        return UnitResult(stage, unit, 0.0)

    def shrink(self) -> bool:
        return False


def stillborn(run_url: str) -> Diary:
    raise RuntimeError(f"no worker can start for {run_url}")


class Log(list[TaskEvent]):
    def units(self, kind: str) -> list[str]:
        return sorted(e.unit for e in self if e.kind == kind)


def calls(url: str) -> Counter[str]:
    """How often each unit was begun."""
    return Counter(p.name.split(".")[0] for p in (local_path(url) / "diary").iterdir())


def processes(url: str) -> set[str]:
    return {p.name.split(".")[1] for p in (local_path(url) / "diary").iterdir()}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return tmp_path.as_uri()


def units(*names: str) -> list[Unit]:
    """Map units of falling size, and one that publishes when all of them are settled."""
    maps = [Unit("map", name, "15", float(100 - k)) for k, name in enumerate(names)]
    return [*maps, Unit("publish", "15", "15", needs=tuple(u.key for u in maps))]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_unit_is_called_once_and_poison_stops_nobody(url, workers):
    log, names = Log(), ["a", "b", "poison", "c", "d", "e"]
    run_local(url, Scheduler(units(*names)), workers, log.append, Diary)
    assert calls(url) == Counter([*names, "15"])
    assert log.units("done") == ["15", "a", "b", "c", "d", "e"] and log.units("quarantined") == ["poison"]
    assert log[-1].stage == "publish" and log.units("retried") == []
    assert (str(os.getpid()) in processes(url)) == (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_systemic_error_stops_the_run_and_comes_out_as_it_was(url, workers):
    names = ["systemic", *(f"u{k}" for k in range(40))]
    with pytest.raises(SystemicError, match="systemic: found no credentials"):
        run_local(url, Scheduler(units(*names)), workers, Log().append, Diary)
    assert calls(url)["systemic"] == 1 and len(calls(url)) < len(names)
    assert Ledger(Objects(url)).quarantined() == set()


def test_a_unit_that_kills_its_process_is_set_aside_and_all_others_are_done(url):
    log, innocent = Log(), [f"u{k}" for k in range(7)]
    run_local(url, Scheduler(units("killer", *innocent)), 2, log.append, Diary)
    counted = calls(url)
    assert counted["killer"] == MOST_LOSSES
    assert log.units("done") == ["15", *innocent] and log.units("quarantined") == ["killer"]
    # Only what was in flight at the first death is begun again, and only once.
    assert all(counted[name] in (1, 2) for name in innocent)
    assert log.units("retried").count("killer") == MOST_LOSSES - 1
    assert max(Counter(log.units("retried")).values()) == MOST_LOSSES - 1
    assert Ledger(Objects(url)).quarantined() == {("map", "killer")}
    assert f"its process died {MOST_LOSSES} times" in Ledger(Objects(url)).failure("map", "killer").message


def test_processes_that_cannot_start_stop_the_run_instead_of_spoiling_units(url):
    log = Log()
    with pytest.raises(SystemicError, match=r"end before their first unit; set execution\.workers=1 to see why"):
        run_local(url, Scheduler(units("a", "b", "c")), 2, log.append, stillborn)
    assert log == [] and Ledger(Objects(url)).quarantined() == set()


def test_fewer_units_than_processes_are_done_here(url):
    run_local(url, Scheduler(units("a")), 2, Log().append, Diary)
    assert processes(url) == {str(os.getpid())}


def test_a_run_in_memory_is_done_here_because_memory_has_one_process(memory_url, url):
    run_local(memory_url, Scheduler(units("a", "b", "c")), 2, Log().append, partial(elsewhere, url))
    assert processes(url) == {str(os.getpid())}


def elsewhere(url: str, run_url: str) -> Diary:
    return Diary(url)


def test_stages_near_the_release_go_first_and_larger_units_before_smaller_ones(url):
    log = Log()
    plan = [
        Unit("ingest", "i", "15"),
        Unit("map", "small", "15", 1.0, (("ingest", "i"),)),
        Unit("map", "large", "15", 9.0, (("ingest", "i"),)),
        Unit("measure", "of-large", "15", 1.0, (("map", "large"),)),
    ]
    run_local(url, Scheduler(plan), 1, log.append, Diary)
    assert [e.unit for e in log] == ["i", "large", "of-large", "small"]


def test_a_cycle_ends_in_an_error_and_not_in_waiting_for_ever(url):
    ring = [Unit("map", "a", "15", needs=(("map", "b"),)), Unit("map", "b", "15", needs=(("map", "a"),))]
    for workers in (1, 2):
        with pytest.raises(SystemicError, match="without cycles"):
            run_local(url, Scheduler([*ring, Unit("map", "c", "15")]), workers, Log().append, Diary)
