"""The simulated world, built once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pytest

from core.config import Config, load_config
from core.simulate import World, build_world


@dataclass(frozen=True)
class Built:
    """The world and what was read back from its files."""

    folder: Path
    world: World
    config: Config
    inventory: gpd.GeoDataFrame
    truth: gpd.GeoDataFrame

    def special(self, reason: str) -> gpd.GeoDataFrame:
        return self.truth[self.truth.special == reason].merge(
            self.inventory.drop(columns="geometry"), on="rgi_id", suffixes=("", "_inventory")
        )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("world")
    world = build_world(folder)
    yield Built(
        folder,
        world,
        load_config(world.config),
        gpd.read_file(folder / "outlines.gpkg"),
        gpd.read_parquet(world.truth),
    )
