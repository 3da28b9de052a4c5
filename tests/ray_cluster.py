"""Ray clusters of several nodes on this machine, for tests, with a tiny world of two regions and workers that fail.

Every node is one `ray start --block` in a process group of its own, so that a node is lost the way machines are: all
of its processes at once, without a word. Each cluster has its own folder, ports and token; it neither sees nor stops
another cluster on the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import geopandas as gpd
import psutil
from ray._private.authentication_test_utils import reset_auth_token_state

from core.errors import ConfigError
from core.worker import UnitResult, Worker
from tests.conftest import ROOT
from tests.tiny_world import TinyWorld, make_world

MAPPER, SURVEYOR = {"icefleet_mapper": 1}, {"icefleet_surveyor": 1}
REGIONS = ("14", "15")
_RAY = (sys.executable, "-m", "ray.scripts.scripts")
_STORE_BYTES = 100 * 2**20
_START_S, _END_S = 120.0, 60.0
# Nodes share two cores: no spare processes ahead of need, and a lost node is noticed in seconds.
_QUIET = {
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONPATH": str(ROOT),
}


@dataclass(eq=False)
class Node:
    """One node: the process that started it leads its process group."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> None:
        """Until it has joined."""
        wait_for(lambda: b"Ray runtime started" in self.log.read_bytes(), f"node of {self.log}", self._check)

    def _check(self) -> None:
        if self.process.poll() is not None:
            raise RuntimeError(f"ray start ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")

    def actors(self) -> dict[int, str]:
        """Process → name of the actor class in it, of the actors that live here now."""
        found = {}
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    title = " ".join(child.cmdline()).strip()
                    if title.startswith(("ray::Mapper", "ray::Surveyor", "ray::RegionShard")):
                        found[child.pid] = title.removeprefix("ray::").split(".")[0]
        return found

    def kill(self) -> None:
        """All of its processes at once, as if the machine had lost power."""
        family = _family(self.process.pid)
        for process in [*family, psutil.Process(self.process.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.process.wait(_END_S)
        psutil.wait_procs(family, _END_S)

    def stop(self) -> None:
        """In order: the node says goodbye first."""
        family = _family(self.process.pid)
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_S / 4)
        for process in psutil.wait_procs(family, 5.0)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait(_END_S)


@dataclass
class RayCluster:
    """A head without CPUs, and the nodes that joined. env: what a process needs in order to reach the cluster."""

    folder: Path
    env: dict[str, str]
    dashboard: str = ""
    nodes: list[Node] = field(default_factory=list)

    @property
    def head(self) -> Node:
        return self.nodes[0]

    @property
    def workers(self) -> list[Node]:
        return self.nodes[1:]

    @property
    def address(self) -> str:
        return (self.folder / "ray_current_cluster").read_text().strip()

    def start_head(self, *, cpus: int = 0, dashboard: bool = False) -> Node:
        port = free_port()
        words = ["--head", "--port=0", f"--ray-client-server-port={free_port()}", f"--temp-dir={self.folder}"]
        words += [f"--include-dashboard={dashboard}".lower(), f"--dashboard-port={port}", "--dashboard-host=127.0.0.1"]
        self.dashboard = f"http://127.0.0.1:{port}"
        return self._start(words, cpus)

    def add(self, resources: Mapping[str, float], *, cpus: int = 1, place: int | None = None) -> Node:
        """A node that joins in a moment; `wait` for it if that matters. place: among the workers, else the last."""
        node = self._start([f"--address={self.address}", f"--resources={json.dumps(resources)}"], cpus)
        if place is not None:
            self.nodes.insert(place + 1, self.nodes.pop())
        return node

    def kill(self, node: Node) -> None:
        """Lose a node."""
        self.nodes.remove(node)
        node.kill()

    def stop(self) -> None:
        for node in reversed(self.nodes):
            node.stop()
        self.nodes.clear()

    def _start(self, words: list[str], cpus: int) -> Node:
        for node in self.nodes:
            node.wait()  # nodes that start at the same moment choose the same socket
        log = self.folder / f"node-{secrets.token_hex(4)}.log"
        common = [f"--num-cpus={cpus}", "--num-gpus=0", f"--object-store-memory={_STORE_BYTES}"]
        common += ["--min-worker-port=0", "--max-worker-port=0", f"--dashboard-agent-listen-port={free_port()}"]
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [*_RAY, "start", *words, *common, "--disable-usage-stats", "--block"],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env, **_QUIET},
                start_new_session=True,
            )
        node = Node(process, log)
        self.nodes.append(node)
        return node


@contextmanager
def ray_cluster(
    *resources: Mapping[str, float], cpus: int = 1, head_cpus: int = 0, dashboard: bool = False
) -> Iterator[RayCluster]:
    """A head, and a node for each of `resources`. This process can connect to it until the end, and to no other."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets lie in it, and their paths must be short
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    cluster = RayCluster(folder, env)
    with mock.patch.dict(os.environ, env):
        for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH"):
            os.environ.pop(name, None)
        reset_auth_token_state()
        try:
            cluster.start_head(cpus=head_cpus, dashboard=dashboard).wait()
            for each in resources:
                cluster.add(each, cpus=cpus).wait()
            yield cluster
        finally:
            cluster.stop()
            shutil.rmtree(folder, ignore_errors=True)
    reset_auth_token_state()


class Deadly(Worker):
    """Its process dies of one unit, whoever does it."""

    def __init__(self, stage: str, unit: str, run_url: str) -> None:
        super().__init__(run_url)
        self._deadly = (stage, unit)

    def do(self, stage: str, unit: str) -> UnitResult:
        if (stage, unit) == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().do(stage, unit)


class Misled(Worker):
    """No worker can work."""

    def __init__(self, run_url: str) -> None:
        raise ConfigError("model", found=f"none for {run_url}", expected="a model")


def two_regions(folder: Path, *, blocks: int) -> TinyWorld:
    """A tiny world whose blocks belong to two regions in turn; two glaciers in each block, one unit each."""
    world = make_world(folder, glaciers=2 * blocks, blocks=blocks)
    table = gpd.read_file(world.inventory)
    table["O1Region"] = [REGIONS[k % blocks % 2] for k in range(len(table))]
    table["RGIId"] = [f"RGI60-{region}.{k + 1:05d}" for k, region in enumerate(table["O1Region"])]
    table.to_file(world.inventory, driver="GPKG")
    world.edit(regions=list(REGIONS), plan={"group_glaciers": 1})
    return TinyWorld(world.folder, world.config, world.inventory, world.scenes, tuple(table["RGIId"]))


def wait_for(happened: Callable[[], bool], what: str, check: Callable[[], None] = lambda: None) -> None:
    """Until it happened. Raises TimeoutError after two minutes, or what `check` raises."""
    deadline = time.monotonic() + _START_S
    while not happened():
        check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {_START_S:.0f} s")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []
