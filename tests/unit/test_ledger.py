"""The ledger: one commit per unit whoever comes and whatever the network does to the answers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import PoisonError, TransientError
from core.layout import RunLayout
from core.ledger import Failure, Ledger
from core.objects import Objects


class LostAnswer(Objects):
    """Objects whose `create` loses its answer. arrives: whether the bytes get there."""

    def __init__(self, url: str, arrives: bool) -> None:
        super().__init__(url)
        self.arrives = arrives
        self.creates = 0

    def create(self, key: str, data: bytes) -> bool:
        self.creates += 1
        if self.arrives:
            super().create(key, data)
        raise TransientError(key, found="connection reset")


@pytest.fixture
def ledger(memory_url: str) -> Ledger:
    return Ledger(Objects(memory_url))


def failure(unit: str = "u", message: str = "bad") -> Failure:
    try:
        raise PoisonError(unit, found=message)
    except PoisonError as error:
        return Failure.of("map", unit, error)


# ------------------------------------------------------------------ commits


def test_the_first_commit_wins_and_later_ones_get_its_marker(ledger):
    first = ledger.commit("map", "u", {"windows": 1})
    second = ledger.commit("map", "u", {"windows": 2})
    assert second == first == ledger.read("map", "u")
    assert first["windows"] == 1 and first["stage"] == "map" and first["unit"] == "u"


def test_of_eight_commits_at_once_one_stands_and_all_eight_know_which(ledger):
    with ThreadPoolExecutor(8) as pool:
        markers = list(pool.map(lambda k: ledger.commit("map", "u", {"k": k}), range(8)))
    assert len({m["write_id"] for m in markers}) == 1
    assert ledger.read("map", "u") == markers[0]


def test_a_lost_answer_of_a_write_that_arrived_is_a_commit(memory_url):
    flaky = LostAnswer(memory_url, arrives=True)
    marker = Ledger(flaky).commit("map", "u", {"windows": 3})
    assert marker["windows"] == 3 and flaky.creates == 1
    assert Ledger(Objects(memory_url)).read("map", "u") == marker


def test_a_lost_answer_of_a_write_that_did_not_arrive_is_transient_and_commits_nothing(memory_url):
    with pytest.raises(TransientError):
        Ledger(LostAnswer(memory_url, arrives=False)).commit("map", "u", {})
    assert Ledger(Objects(memory_url)).done() == set()


def test_a_lost_answer_after_another_worker_committed_gives_the_other_marker(memory_url, ledger):
    theirs = ledger.commit("map", "u", {"windows": 1})
    ours = Ledger(LostAnswer(memory_url, arrives=False)).commit("map", "u", {"windows": 2})
    assert ours == theirs


def test_done_lists_stage_and_unit_of_every_commit(ledger):
    for stage, unit in (("map", "utm45n-r226-c015"), ("measure", "15-utm45n-g00000"), ("publish", "15")):
        ledger.commit(stage, unit, {})
    ledger.run.put(RunLayout.RUN, b"{}")
    assert ledger.done() == {
        ("map", "utm45n-r226-c015"),
        ("measure", "15-utm45n-g00000"),
        ("publish", "15"),
    }


def test_a_unit_that_nobody_committed_has_no_marker(ledger):
    assert ledger.read("map", "u") is None and ledger.done() == set()


def test_a_marker_that_is_no_json_is_poison_that_names_the_key(ledger):
    ledger.run.put(RunLayout.commit("map", "u"), b"\x00half a mark")
    with pytest.raises(PoisonError, match=r"commits/map/u\.json.*delete it"):
        ledger.read("map", "u")


# ------------------------------------------------------------------ quarantine


def test_a_quarantine_record_keeps_kind_message_and_traceback(ledger):
    ledger.quarantine(failure(message="a broken strip"))
    found = ledger.failure("map", "u")
    assert found is not None
    assert (found.stage, found.unit, found.kind) == ("map", "u", "PoisonError")
    assert found.message == "u: found a broken strip"
    assert "Traceback" in found.traceback and "raise PoisonError" in found.traceback


def test_the_message_of_a_record_is_one_line_and_never_empty():
    assert Failure.of("map", "u", ValueError("first\n  second")).message == "first second"
    assert Failure.of("map", "u", KeyError()).message == "KeyError"


def test_the_first_record_of_a_unit_stays_until_it_is_released(ledger):
    ledger.quarantine(failure(message="first"))
    ledger.quarantine(failure(message="second"))
    assert "first" in ledger.failure("map", "u").message
    ledger.forget([("map", "u"), ("map", "never set aside")])
    assert ledger.failure("map", "u") is None and ledger.quarantined() == set()
    ledger.quarantine(failure(message="second"))
    assert "second" in ledger.failure("map", "u").message


def test_quarantine_is_no_commit(ledger):
    ledger.quarantine(failure())
    assert ledger.done() == set() and ledger.quarantined() == {("map", "u")}


def test_a_record_is_readable_json_for_a_person(ledger):
    ledger.quarantine(failure())
    stored = json.loads(ledger.run.get(RunLayout.quarantine("map", "u")))
    assert set(stored) == {"stage", "unit", "kind", "message", "traceback"}


# ------------------------------------------------------------------ keys


@pytest.mark.parametrize("unit", ["15", "utm45n-r226-c015", "optical.utm45n-r226-c015", "a.json", "v1.2.json.x"])
@pytest.mark.parametrize("key", [RunLayout.commit, RunLayout.quarantine], ids=["commit", "quarantine"])
def test_stage_and_unit_come_back_from_their_key(key, unit):
    assert RunLayout.unit_of(key("ingest", unit)) == ("ingest", unit)
