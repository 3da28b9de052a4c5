"""A cluster of several nodes publishes the same release, every role on its own nodes, and pixels stay out of Ray."""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import ray
from ray._private.internal_api import node_stats

from cluster import fleet
from cluster.attempt import Outcome
from cluster.drive import Driven, drive
from cluster.events import Callback, TaskEvent, ignore
from cluster.fleet import connected
from cluster.scheduler import Unit
from core.config import load_config
from core.errors import SystemicError
from core.prepare import prepare
from core.release import verify_release
from tests.integration.conftest import Ran, Run
from tests.ray_cluster import MAPPER, REGIONS, SURVEYOR, RayCluster, ray_cluster, two_regions
from tests.tiny_world import TinyWorld

BLOCKS = 8
STORE_BYTES_PER_UNIT_IN_FLIGHT = 1e6
SUMMARY_BYTES = 8e3


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return two_regions(tmp_path_factory.mktemp("tiny") / "world", blocks=BLOCKS)


@pytest.fixture(scope="module")
def alone(tiny: TinyWorld, run: Run) -> Ran:
    """The same world in this process."""
    return run(tiny.config, "execution.workers=1")


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(MAPPER, MAPPER, SURVEYOR) as started:
        yield started


@dataclass(frozen=True)
class OnCluster:
    """A run on the cluster. lived: node → actor classes seen on it; stored: bytes that ever lay in object stores."""

    ran: Ran
    lived: list[Counter[str]]
    most_in_flight: int
    stored: int
    largest_summary: int


@pytest.fixture(scope="module")
def on_cluster(tiny: TinyWorld, cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> OnCluster:
    """One run with as many actors as the cluster calls for, watched from outside."""
    folder = tmp_path_factory.mktemp("on-cluster")
    places = [f"output={folder}/runs", f"tiles={folder}/tiles"]
    prepared = prepare(load_config(tiny.config, [*places, "execution.executor=ray"]))
    prepared.write()
    lived: defaultdict[int, Counter[str]] = defaultdict(Counter)
    summaries: list[int] = []
    seats: list[Any] = []

    def announce(total: Counter[str], *_: object) -> Callback:
        assert total == {"ingest": BLOCKS, "map": BLOCKS, "measure": 2 * BLOCKS, "publish": len(REGIONS)}
        return on

    def on(event: TaskEvent) -> None:
        for k, node in enumerate(cluster.nodes):
            lived[k].update(set(node.actors().values()))

    class Watched(fleet.Fleet):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            seats.extend(self._seats)

        def _conclude(self, unit: Unit, outcome: Outcome, *rest: Any) -> None:
            summaries.append(len(pickle.dumps((unit, outcome))))
            super()._conclude(unit, outcome, *rest)

    with connected(cluster.address), pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet, "Fleet", Watched)
        before = stored()
        driven: Driven = drive(prepared.run.url, REGIONS, announce)
        after = stored()
    ran = Ran(prepared, driven)
    watched = [lived[k] for k in range(len(cluster.nodes))]
    return OnCluster(ran, watched, fleet.IN_FLIGHT_PER_WORKER * len(seats), after - before, max(summaries))


def stored() -> int:
    """Bytes that ever were in an object store of the cluster."""
    stats = [node_stats(n["NodeManagerAddress"], n["NodeManagerPort"], False) for n in ray.nodes() if n["Alive"]]
    return sum(s.store_stats.cumulative_created_bytes for s in stats)


def test_three_nodes_publish_the_same_bytes_as_one_process(on_cluster: OnCluster, alone: Ran) -> None:
    assert on_cluster.ran.driven.clean and on_cluster.ran.driven.tally.done == alone.driven.tally.done
    assert on_cluster.ran.digests() == alone.digests()
    assert verify_release(on_cluster.ran.prepared.run.release_url) == []


def test_actors_live_on_the_nodes_of_their_role_only(on_cluster: OnCluster) -> None:
    head, mapper, other_mapper, surveyor = (set(seen) - {"RegionShard"} for seen in on_cluster.lived)
    assert not head and mapper == other_mapper == {"Mapper"} and surveyor == {"Surveyor"}


def test_pixels_stay_out_of_the_object_store(on_cluster: OnCluster) -> None:
    """Counted over the whole run, which is more than what lay there at any moment."""
    per_unit = on_cluster.stored / on_cluster.most_in_flight
    units = on_cluster.ran.driven.tally.done.total()
    print(
        f"object store: {on_cluster.stored} bytes in all for {units} units, {per_unit:.0f} per unit in flight; "
        f"largest unit with its summary {on_cluster.largest_summary} bytes"
    )
    assert per_unit < STORE_BYTES_PER_UNIT_IN_FLIGHT
    assert on_cluster.largest_summary < SUMMARY_BYTES


def test_a_finished_run_starts_no_unit_on_a_cluster(on_cluster: OnCluster, cluster: RayCluster, alone: Ran) -> None:
    with connected(cluster.address):
        again = drive(on_cluster.ran.prepared.run.url, REGIONS, lambda *_: ignore)
    assert again.clean and again.complete and not again.tally.done
    assert on_cluster.ran.digests() == alone.digests()


def test_a_cluster_that_is_not_there_is_named(tiny: TinyWorld) -> None:
    with pytest.raises(SystemicError, match=r"127\.0\.0\.1:9.*ray start"), connected("127.0.0.1:9"):
        pass
