"""The scheduler, against a model of what it should do, on random plans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.scheduler import BACKUP_MIN_DONE, BACKUP_TIMES_MEDIAN, ROLES, STAGES, Key, Scheduler, Unit
from core.errors import SystemicError

REGIONS = ("01", "06", "15")


@st.composite
def plans(draw: st.DrawFn) -> list[Unit]:
    """Units that need only earlier ones, of any stage, in any order."""
    units: list[Unit] = []
    for k in range(draw(st.integers(0, 14))):
        needs = draw(st.lists(st.sampled_from(units), max_size=3)) if units else []
        absent = draw(st.lists(st.just(("map", "committed long ago")), max_size=1))
        units.append(
            Unit(
                draw(st.sampled_from(STAGES)),
                f"u{k}",
                draw(st.sampled_from(REGIONS)),
                float(draw(st.integers(1, 4))),
                (*(n.key for n in needs), *absent),
            )
        )
    return draw(st.permutations(units))


def expected(
    waiting: set[Unit], running: set[Unit], settled: set[Unit], keys: set[Key], role: str | None, region: str | None
) -> Unit | None:
    """What `take` should give of all that is ready and fits.

    The latest stage; of that the region that is least busy with it; of that the largest unit.
    """
    done = {u.key for u in settled}
    ready = [
        u
        for u in waiting
        if all(n in done or n not in keys for n in u.needs)
        and role in (None, ROLES[u.stage])
        and region in (None, u.region)
    ]

    def rank(unit: Unit) -> tuple[object, ...]:
        busy = sum((u.stage, u.region) == (unit.stage, unit.region) for u in running)
        return -STAGES.index(unit.stage), busy, -unit.cost, unit.name

    return min(ready, key=rank, default=None)


@given(plans(), st.data())
def test_every_unit_is_taken_in_its_turn_and_settled_once_on_any_plan(units, data):
    scheduler = Scheduler(units)
    keys = {u.key for u in units}
    waiting, running, settled = set(units), set(), set()
    lost = 0
    while not scheduler.finished:
        scheduler.check_alive()
        what = data.draw(st.sampled_from(["take", "settle", "lose"]))
        if what == "take" or not running:
            role = data.draw(st.sampled_from([None, *sorted(set(ROLES.values()))]))
            region = data.draw(st.sampled_from([None, *REGIONS]))
            want = expected(waiting, running, settled, keys, role, region)
            if want is None and not running:  # whatever else the draw says, something must be ready
                role = region = None
                want = expected(waiting, running, settled, keys, None, None)
                assert want is not None
            assert scheduler.take(role, region) == want
            if want is not None:
                waiting.remove(want)
                running.add(want)
        else:
            unit = data.draw(st.sampled_from(sorted(running, key=lambda u: u.key)))
            running.remove(unit)
            if what == "lose" and lost < 10:
                lost += 1
                scheduler.requeue(unit)
                waiting.add(unit)
            else:
                scheduler.settle(unit)
                settled.add(unit)
        assert scheduler.running == len(running)
    assert settled == set(units) and not running and scheduler.take() is None


@given(plans())
def test_one_worker_for_everything_finishes_any_plan(units):
    scheduler, order = Scheduler(units), []
    while (unit := scheduler.take()) is not None:
        order.append(unit.key)
        scheduler.settle(unit)
    assert scheduler.finished and sorted(order) == sorted(u.key for u in units)


@given(plans())
def test_the_order_does_not_depend_on_the_order_in_which_units_are_given(units):
    def order(some):
        scheduler, out = Scheduler(some), []
        while (unit := scheduler.take()) is not None:
            out.append(unit.key)
            scheduler.settle(unit)
        return out

    assert order(units) == order(units[::-1])


def test_a_unit_given_twice_is_done_once():
    unit = Unit("map", "a", "15")
    scheduler = Scheduler([unit, unit])
    assert scheduler.total == {"map": 1}
    assert scheduler.take() == unit and scheduler.take() is None


@pytest.mark.parametrize(
    "needs",
    [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "a"}],
    ids=["itself", "each other", "a ring"],
)
def test_a_cycle_is_systemic_and_says_what_is_stuck(needs):
    ring = [Unit("map", name, "15", needs=(("map", need),)) for name, need in needs.items()]
    scheduler = Scheduler([*ring, Unit("map", "free", "15")])
    free = scheduler.take()
    assert free is not None and free.name == "free" and scheduler.take() is None
    scheduler.check_alive()  # something still runs
    scheduler.settle(free)
    with pytest.raises(SystemicError, match=rf"{len(ring)} units: found \('map', 'a'\).*without cycles"):
        scheduler.check_alive()


def test_settling_twice_frees_what_waits_only_once():
    first, second = Unit("map", "a", "15"), Unit("measure", "b", "15", needs=(("map", "a"), ("map", "c")))
    scheduler = Scheduler([first, Unit("map", "c", "15"), second])
    taken = scheduler.take()
    assert taken is not None
    scheduler.settle(taken)
    scheduler.settle(taken)
    assert scheduler.take("surveyor") is None, "the other need is still open"


def test_a_unit_that_was_settled_meanwhile_is_not_queued_again():
    unit = Unit("map", "a", "15")
    scheduler = Scheduler([unit])
    scheduler.take()
    scheduler.settle(unit)
    scheduler.requeue(unit)
    assert scheduler.finished and scheduler.take() is None


def test_a_role_gets_only_its_stages_and_a_region_only_its_own():
    scheduler = Scheduler([Unit("map", "a", "15"), Unit("publish", "06", "06"), Unit("publish", "15", "15")])
    assert scheduler.take("surveyor") is None
    assert scheduler.take("mapper", "06") is None
    published = scheduler.take("shard", "15")
    assert published is not None and published.name == "15"
    assert scheduler.take("shard", "15") is None


# ------------------------------------------------------------------ stragglers


@pytest.fixture
def late() -> tuple[Scheduler, Unit, float]:
    """A scheduler whose last unit is in flight beyond the limit: everything else took one second."""
    scheduler = Scheduler(Unit("map", f"u{k:02d}", "15") for k in range(BACKUP_MIN_DONE + 1))
    for _ in range(BACKUP_MIN_DONE):
        unit = scheduler.take("mapper", now=0.0)
        assert unit is not None
        scheduler.settle(unit, now=1.0)
    straggler = scheduler.take("mapper", now=1.0)
    assert straggler is not None
    return scheduler, straggler, 1.0 + BACKUP_TIMES_MEDIAN


def test_a_straggler_is_handed_out_a_second_time_and_no_third(late):
    scheduler, straggler, limit = late
    assert scheduler.take("mapper", now=limit) is None, "not late yet"
    assert scheduler.take("surveyor", now=limit + 0.1) is None
    assert scheduler.take("mapper", now=limit + 0.1) == straggler
    assert scheduler.take("mapper", now=limit + 99) is None
    assert scheduler.running == 1


def test_of_two_copies_the_first_to_end_counts(late):
    scheduler, straggler, limit = late
    scheduler.take("mapper", now=limit + 0.1)
    assert scheduler.settle(straggler, now=limit + 1) is True
    assert scheduler.settle(straggler, now=limit + 2) is False
    assert scheduler.finished and scheduler.running == 0


def test_a_straggler_of_which_one_copy_was_lost_is_still_in_flight(late):
    scheduler, straggler, limit = late
    scheduler.take("mapper", now=limit + 0.1)
    scheduler.requeue(straggler)
    assert scheduler.running == 1 and scheduler.take("mapper", now=limit + 0.2) is None
    scheduler.requeue(straggler)
    assert scheduler.running == 0 and scheduler.take("mapper", now=limit + 0.3) == straggler


def test_without_a_clock_nothing_straggles(late):
    scheduler, _, _ = late
    assert scheduler.take("mapper") is None


def test_an_empty_plan_is_finished():
    scheduler = Scheduler([])
    assert scheduler.finished and scheduler.take() is None
    scheduler.check_alive()


def test_no_region_waits_for_the_largest_one_to_end():
    """Two regions, one with far more and far larger units: turns are taken by what is in flight, not by size."""
    units = [Unit("map", f"big-{k}", "13", 100.0 - k) for k in range(40)]
    units += [Unit("map", f"small-{k}", "18", 1.0) for k in range(4)]
    scheduler = Scheduler(units)
    first = [scheduler.take("mapper") for _ in range(8)]
    assert [u.region for u in first if u].count("18") == 4
    assert first[0] is not None and first[0].name == "big-0", "with nothing in flight the largest unit goes first"


def test_what_is_ready_and_not_taken_is_the_hint_for_autoscaling():
    scheduler = Scheduler(
        [Unit("map", str(k), "11") for k in range(5)] + [Unit("measure", "g", "11", needs=(("map", "0"),))]
    )
    assert scheduler.waiting_for("mapper") == 5 and scheduler.waiting_for("surveyor") == 0
    scheduler.take("mapper")
    assert scheduler.waiting_for("mapper") == 4
