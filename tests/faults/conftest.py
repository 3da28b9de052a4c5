"""Fixtures of the fault tests: the tiny world, what an undisturbed run makes of it, and the same world in a bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cluster.drive import Driven
from core.objects import Objects
from core.prepare import Prepared
from jobs.run import run_config
from tests.tiny_world import TinyWorld, make_world

BLOCKS, GLACIERS, GROUPS = 3, 9, 5
UNITS = {"ingest": BLOCKS, "map": BLOCKS, "measure": GROUPS, "publish": 1}
Digests = dict[str, str]


@dataclass(frozen=True)
class Ran:
    """A run and how it ended."""

    prepared: Prepared
    driven: Driven

    @property
    def release(self) -> Digests:
        return digests(self.prepared.run.release_url)


@dataclass(frozen=True)
class Bucket:
    """The world in a folder of a bucket: inventory, scenes, tiles, runs."""

    url: str
    config: Path

    def run(self) -> Ran:
        return Ran(*run_config(self.config))


MakeBucket = Callable[[], Bucket]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    """Nine glaciers on three blocks, in groups of two."""
    world = make_world(tmp_path_factory.mktemp("tiny") / "world", glaciers=GLACIERS, blocks=BLOCKS)
    world.edit(plan={"group_glaciers": 2})
    return world


@pytest.fixture(scope="session")
def undisturbed(tiny: TinyWorld) -> Digests:
    """sha256 of every object of the release that a quiet run makes; the same wherever it runs."""
    prepared, driven = run_config(tiny.config)
    assert driven.clean and driven.tally.done == UNITS
    return digests(prepared.run.release_url)


@pytest.fixture
def bucket(tiny: TinyWorld, s3_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Bucket:
    """The world in a folder of its own."""
    url = f"{s3_url}/{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]}"
    place = Objects(url)
    for path in (tiny.inventory, *tiny.scenes):
        place.put(f"input/{path.name}", path.read_bytes())
    settings = yaml.safe_load(tiny.config.read_text())
    settings |= {"inventory": f"{url}/input/{tiny.inventory.name}", "output": f"{url}/runs", "tiles": f"{url}/tiles"}
    for scene in settings["scenes"]:
        for file in scene["files"]:
            file["path"] = f"{url}/input/{file['path']}"
    config = tmp_path / "bucket.yaml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    return Bucket(url, config)


def digests(url: str) -> Digests:
    """sha256 of every object under a URL."""
    place = Objects(url)
    return {key: hashlib.sha256(place.get(key)).hexdigest() for key, _ in place.list()}
