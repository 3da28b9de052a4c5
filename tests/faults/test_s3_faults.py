"""The whole job in a bucket that has bad moments: it ends as if nothing had happened, or says what is wrong and stops.

Every test runs against a real S3 endpoint behind `FaultProxy`, in one process, and compares the release byte by byte
with that of an undisturbed run.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter

import numpy as np
import pytest

from core import objects as objects_module
from core.errors import PoisonError, RefusedError, SystemicError, TransientError
from core.grid import Block, Lattice
from core.layout import TileLayout
from core.ledger import Ledger
from core.objects import Objects, zarr_location
from core.tiles import SceneRef, TileStore
from tests.faults.conftest import BLOCKS, GLACIERS, GROUPS, UNITS, Digests, Ran
from tests.faults.proxy import FaultProxy, Kind, Rule, faults
from tests.tiny_world import ZONE, icefleet

OURS = "/(runs|tiles)/"  # what is read and written by our own client; scenes are read by GDAL
MARKERS = BLOCKS + BLOCKS + GROUPS + 1
ANY = ("GET", "PUT", "LIST", "POST")
READS = ("GET", "LIST")
BLOCK = Block(ZONE, 226, 14)


def check_survived(
    ran: Ran, undisturbed: Digests, proxy: FaultProxy, capsys: pytest.CaptureFixture[str], injected: int | None = None
) -> None:
    """All done, nothing set aside, the same release; and the faults really happened."""
    counts = proxy.counts.injected
    assert counts.total() > 0 and injected in (None, counts.total())
    assert ran.driven.clean and ran.driven.complete
    assert ran.driven.tally.done == UNITS
    assert ran.release == undisturbed
    rows = sum(int(m["rows"]) for m in [Ledger(ran.prepared.run.objects).read("publish", "15")] if m)
    assert rows == GLACIERS
    with capsys.disabled():
        kinds = ", ".join(f"{kind} × {n}" for kind, n in sorted(counts.items()))
        print(f"\nfaults injected {counts.total()} ({kinds}) / survived {counts.total()} / rows lost {GLACIERS - rows}")


# ------------------------------------------------------------------ one kind at a time


@pytest.mark.parametrize(
    ("kind", "methods", "times"),
    [
        ("500", ANY, 20),
        ("503", ANY, 20),
        ("403", ANY, 20),
        ("cut", READS, 15),
        ("lost", ANY, 20),
        ("lost500", ANY, 20),
        ("slow", ANY, 30),
        ("flip", ("GET",), 15),
    ],
)
def test_a_fault_that_passes_changes_nothing(bucket, undisturbed, capsys, kind: Kind, methods, times):
    with faults(Rule(kind, methods, OURS, share=0.5, each_once=True, times=times), seed=1, delay_s=0.05) as proxy:
        ran = bucket.run()
    check_survived(ran, undisturbed, proxy, capsys, times)


@pytest.mark.parametrize("skip", [0, 10, 60, 120])
def test_one_403_is_survived_wherever_it_comes(bucket, undisturbed, capsys, skip):
    with faults(Rule("403", ANY, OURS, skip=skip, times=1)) as proxy:
        ran = bucket.run()
    check_survived(ran, undisturbed, proxy, capsys, 1)
    assert proxy.counts.injected == {"403": 1}


def test_a_403_that_outlives_the_tries_of_a_request_is_tried_again_with_its_unit(bucket, undisturbed, capsys):
    with faults(Rule("403", ("GET",), "utm45n/probability/c/", times=4)) as proxy:
        ran = bucket.run()
    check_survived(ran, undisturbed, proxy, capsys, 4)


def test_a_bucket_that_refuses_from_the_start_stops_the_run_with_the_fix(bucket):
    with faults(Rule("403", ANY, OURS)) as proxy:
        called = icefleet("run", bucket.config)
    assert called.code == 1
    assert called.err.startswith("RefusedError s3://") and "found access refused" in called.err
    assert "check AWS_ACCESS_KEY_ID / AWS_PROFILE" in called.err and "Traceback" not in called.err
    assert proxy.counts.injected == {"403": 3}, "the first request and its two repeats, and no second request"


def test_a_bucket_that_begins_to_refuse_stops_the_run_and_a_later_one_goes_on(bucket, undisturbed):
    with faults(Rule("403", ("PUT",), "commits/map/")) as proxy, pytest.raises(SystemicError) as caught:
        bucket.run()
    assert isinstance(caught.value, RefusedError) and "commits/map/" in caught.value.where
    assert "check AWS_ACCESS_KEY_ID" in str(caught.value)
    refused = {s.key for s in proxy.counts.seen if s.fault}
    assert len(refused) == 1, "no second block was even begun"
    ran = bucket.run()
    assert ran.driven.clean and ran.release == undisturbed
    assert ran.driven.tally.done["map"] == BLOCKS and ran.driven.tally.done["ingest"] < BLOCKS


def test_scenes_from_a_bucket_that_asks_to_slow_down_are_read(bucket, undisturbed, capsys):
    with faults(Rule("503", ("GET", "HEAD"), "/input/scene", each_once=True, times=2)) as proxy:
        ran = bucket.run()
    check_survived(ran, undisturbed, proxy, capsys, 2)


# ------------------------------------------------------------------ everything at once


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_of_everything_changes_nothing(bucket, undisturbed, capsys, seed):
    kinds: list[tuple[Kind, tuple[str, ...]]] = [
        ("500", ANY),
        ("503", ANY),
        ("403", ANY),
        ("cut", READS),
        ("lost", ANY),
        ("lost500", ANY),
        ("slow", ANY),
        ("flip", ("GET",)),
    ]
    rules = [Rule(kind, methods, OURS, share=0.04) for kind, methods in kinds]
    with faults(*rules, seed=seed, delay_s=0.1) as proxy:
        ran = bucket.run()
    check_survived(ran, undisturbed, proxy, capsys)
    assert len(proxy.counts.injected) >= 6


# ------------------------------------------------------------------ lost answers of conditional writes


def test_a_commit_tried_again_that_collides_with_itself_stands(bucket, undisturbed, capsys):
    """The answer to every commit is lost once: the client library repeats it and sees 412."""
    with faults(Rule("lost", ("PUT",), "/commits/", each_once=True)) as proxy:
        ran = bucket.run()
    check_survived(ran, undisturbed, proxy, capsys, MARKERS)
    assert Counter(k for k in proxy.counts.keys("PUT") if "/commits/" in k) == Counter(
        dict.fromkeys({k for k in proxy.counts.keys("PUT") if "/commits/" in k}, 2)
    )


def test_a_commit_whose_answer_never_comes_is_found_by_reading_it_back(bucket, undisturbed, capsys, monkeypatch):
    """Every answer to every commit is lost, repeats included: only the marker itself can tell."""
    monkeypatch.setitem(objects_module._RETRY, "max_retries", 0)
    with faults(Rule("lost", ("PUT",), "/commits/")) as proxy:
        ran = bucket.run()
    check_survived(ran, undisturbed, proxy, capsys, MARKERS * objects_module._TRIES)


@pytest.mark.parametrize("kind", ["lost", "lost500"])
@pytest.mark.parametrize("times", [1, None])
def test_whose_commit_stands_is_told_by_its_write_id(s3_url, monkeypatch, kind: Kind, times):
    if times is None:
        monkeypatch.setitem(objects_module._RETRY, "max_retries", 0)
    url = f"{s3_url}/ledger-{kind}-{times}"
    with faults(Rule(kind, ("PUT",), "/commits/", times=times)) as proxy:
        mine = Ledger(Objects(url)).commit("map", "u", {"who": "first"})
    assert proxy.counts.injected[kind] == (times or objects_module._TRIES)
    assert mine["who"] == "first" and Ledger(Objects(url)).read("map", "u") == mine
    with faults(Rule(kind, ("PUT",), "/commits/", times=times)):
        theirs = Ledger(Objects(url)).commit("map", "u", {"who": "second"})
    assert theirs == mine, "the second worker learns that it was late"


@pytest.mark.parametrize("times", [1, None])
def test_a_tile_committed_with_a_lost_answer_is_reported_as_it_stands(s3_url, monkeypatch, times):
    if times is None:
        monkeypatch.setitem(objects_module._RETRY, "max_retries", 0)
    store = tile_store(f"{s3_url}/tile-{times}")
    with faults(Rule("lost", ("PUT",), "/commits/", times=times)) as proxy:
        mine = write_tile(TileStore(store.url))
    assert proxy.counts.injected["lost"] == (times or objects_module._TRIES)
    again = TileStore(store.url)
    assert again.marker("2024", "optical", BLOCK) == mine
    assert write_tile(again) == mine


def test_a_commit_that_never_arrived_is_an_error_and_not_a_commit(s3_url, monkeypatch):
    monkeypatch.setitem(objects_module._RETRY, "max_retries", 0)
    url = f"{s3_url}/never"
    with faults(Rule("500", ("PUT",), "/commits/")), pytest.raises(TransientError):
        Ledger(Objects(url)).commit("map", "u", {})
    ledger = Ledger(Objects(url))
    assert ledger.read("map", "u") is None and ledger.done() == set()


# ------------------------------------------------------------------ wrong bytes


def test_whole_objects_carry_their_checksum_however_they_are_put(s3_url):
    place = Objects(f"{s3_url}/sums")
    big = bytes(range(256)) * (6 << 12)  # beyond 5 MB the client uploads in parts
    place.put("put", b"one")
    assert place.create("create", b"two")
    place.put("parts", big)
    with faults(Rule("flip", ("GET",), "^sums/", each_once=True)) as proxy:
        assert (place_again := Objects(place.url)).get("put") == b"one"
        assert place_again.get("create") == b"two" and place_again.get("parts") == big
    assert proxy.counts.injected == {"flip": 3} and proxy.counts.requests == {"GET": 6}


def test_bytes_that_never_match_their_checksum_are_an_error_and_not_an_answer(s3_url):
    place = Objects(f"{s3_url}/rotten")
    place.put("k", b"abc")
    with (
        faults(Rule("flip", ("GET",), "^rotten/")) as proxy,
        pytest.raises(
            TransientError, match=r"rotten/k: found 3 bytes of SHA-256 .*expected ba7816bf8f01, as they were put"
        ),
    ):
        Objects(place.url).get("k")
    assert proxy.counts.injected == {"flip": 3}


def test_a_flipped_byte_in_array_metadata_is_read_again(s3_url):
    store = tile_store(f"{s3_url}/metadata")
    write_tile(store)
    with faults(Rule("flip", ("GET",), r"zarr\.json", each_once=True)) as proxy:
        lattice = TileStore(store.url).lattice("2024", ZONE, "optical")
    assert lattice == Lattice(ZONE, 120) and proxy.counts.injected["flip"] >= 1


def test_a_shard_that_fails_its_checksum_every_time_is_poison_that_names_the_shard(s3_url):
    store = tile_store(f"{s3_url}/shard")
    write_tile(store)
    window = Lattice(ZONE, 120).block_window(BLOCK)
    with (
        faults(Rule("flip", ("GET",), "/scene/c/")) as proxy,
        pytest.raises(PoisonError, match=r"scene/c/226/14: found .*expected bytes that match their checksum"),
    ):
        TileStore(store.url).read("2024", ZONE, "optical", window)
    assert proxy.counts.injected == {"flip": 2}, "wrong in the same way twice"
    with faults(Rule("flip", ("GET",), "/(scene|optical)/c/", each_once=True)) as proxy:
        assert TileStore(store.url).read("2024", ZONE, "optical", window).observed.all()
    assert proxy.counts.injected["flip"] == 2, "one shard of each array"


# ------------------------------------------------------------------ patience


def test_a_connection_that_falls_silent_is_given_up_and_tried_again(s3_url, monkeypatch):
    place = Objects(f"{s3_url}/silent")
    place.put("k", b"abc")
    monkeypatch.setitem(objects_module._CLIENT, "read_timeout", "300ms")
    with faults(Rule("slow", ("GET",), "^silent/", times=1), delay_s=1.5) as proxy:
        assert Objects(place.url).get("k") == b"abc"
        time.sleep(2)  # the silent request ends, and is counted, only now
    assert proxy.counts.requests == {"GET": 2} and proxy.counts.injected == {"slow": 1}


def test_the_client_waits_longer_than_a_hiccup_and_shorter_than_a_coffee():
    retry = objects_module._RETRY
    assert dt.timedelta(seconds=20) < retry["retry_timeout"] < dt.timedelta(minutes=2)
    zarr_location("s3://bucket/x", "")  # the client accepts every setting


# ------------------------------------------------------------------ resume


def test_resuming_a_finished_run_costs_a_listing_per_kind_of_marker_and_writes_nothing(bucket, undisturbed):
    first = bucket.run()
    with faults() as proxy:
        again = bucket.run()
    assert again.driven.tally.done == {} and again.driven.clean and again.driven.complete
    run, tiles = f"/runs/{first.prepared.run.run_id}", "/tiles"
    listed = Counter(key[key.index("/") :] for key in proxy.counts.keys("LIST"))
    assert listed == {f"{tiles}/commits/2024/optical/": 1, f"{run}/commits/": 1, f"{run}/quarantine/": 2}
    written = {key[key.index("/") :] for key in proxy.counts.keys("PUT", "POST", "DELETE")}
    assert written <= {f"{run}/run.json", f"{tiles}/{TileLayout.recipe('2024', 'optical')}"}, "conditional, and refused"
    assert not [k for k in proxy.counts.keys("GET") if "/c/" in k or "/partials/" in k], "no data is read"
    assert again.release == undisturbed


def test_a_listing_costs_one_request_per_thousand_markers(s3_url):
    ledger = Ledger(Objects(f"{s3_url}/many"))
    for k in range(1001):
        ledger.run.put(f"commits/map/u{k}.json", b"{}")
    with faults() as proxy:
        assert len(Ledger(Objects(ledger.run.url)).done()) == 1001
    assert proxy.counts.requests == {"LIST": 2}


# ------------------------------------------------------------------ helpers


def tile_store(url: str) -> TileStore:
    store = TileStore(url)
    store.create("2024", ZONE, "optical", 120, {"scenes": []})
    return store


def write_tile(store: TileStore):
    lattice = Lattice(ZONE, 120)
    window = lattice.block_window(BLOCK)
    values = np.random.default_rng(1).random((6, *window.shape)).astype(np.float32)
    scene = np.ones(window.shape, dtype=np.uint8)
    ref = SceneRef("S0", dt.date(2024, 8, 1), "optical")
    return store.write_block("2024", "optical", BLOCK, window, values, scene, scenes=[ref])


@pytest.mark.parametrize(("kind", "skip"), [("403", 3), ("cut", 3), ("lost", 3), ("403", 0), ("lost", 0)])
def test_a_scene_that_arrives_badly_once_is_read_again(bucket, undisturbed, capsys, kind: Kind, skip):
    with faults(Rule(kind, ("GET",), "/input/scene", skip=skip, times=1)) as proxy:
        ran = bucket.run()
    check_survived(ran, undisturbed, proxy, capsys, 1)
