"""Fixtures of the integration tests: the simulated world, run once, and helpers to run a configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from cluster.drive import Driven
from core.layout import ReleaseLayout
from core.objects import Objects
from core.prepare import Prepared
from core.simulate import World, build_world
from jobs.run import run_config


@dataclass(frozen=True)
class Ran:
    """A finished run."""

    prepared: Prepared
    driven: Driven

    @property
    def release(self) -> Objects:
        return Objects(self.prepared.run.release_url)

    @property
    def layout(self) -> ReleaseLayout:
        return ReleaseLayout(self.prepared.run.config.year)

    def digests(self) -> dict[str, str]:
        """sha256 of every object of the release."""
        return {key: hashlib.sha256(self.release.get(key)).hexdigest() for key, _ in self.release.list()}

    def table(self, name: str) -> pa.Table:
        """A table of a local release without the run's id, in order."""
        folder = self.prepared.run.release_url.removeprefix("file://")
        rows = ds.dataset(f"{folder}/{self.layout.table(name)}", format="parquet").to_table()
        return in_order(rows.drop_columns([c for c in ("run_id",) if c in rows.column_names]))

    def area(self) -> gpd.GeoDataFrame:
        folder = self.prepared.run.release_url.removeprefix("file://")
        return gpd.read_parquet(f"{folder}/{self.layout.table('glacier_area')}").set_index("rgi_id")


def in_order(rows: pa.Table) -> pa.Table:
    """Rows of any table of a release, sorted by glacier, part and class."""
    keys = [(c, "ascending") for c in ("rgi_id", "part", "class") if c in rows.column_names]
    return rows.sort_by(keys).combine_chunks()


Run = Callable[..., Ran]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The SIMULATED demo world."""
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """run(config, *overrides) → Ran, in folders of its own unless an override says otherwise."""

    def go(config: Path, *overrides: str) -> Ran:
        folder = tmp_path_factory.mktemp("run")
        places = [f"output={folder}/runs", f"tiles={folder}/tiles"]
        return Ran(*run_config(config, [*places, *overrides]))

    return go


@pytest.fixture(scope="session")
def demo_run(world: World, run: Run) -> Ran:
    """The demo world run in this process."""
    return run(world.config, "execution.workers=1")
