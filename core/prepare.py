"""Preparing a run: everything that can be checked and planned before work starts.

Reads the inventory, checks the scenes, makes the plan and writes it. A configuration that cannot work fails here,
in seconds, and not in the middle of a fleet's night.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass

from core.config import Config
from core.errors import ConfigError
from core.grid import Block
from core.ingest import SceneReport, check_scenes, offered, scenes_recipe
from core.inventory import Inventory, read_inventory
from core.layout import ReleaseLayout, RunLayout
from core.objects import Objects
from core.plan import Plan, load_plan, make_plan, save_plan
from core.release.manifest import claim
from core.run import Run, open_run, save_run
from core.search.search import search
from core.search.store import save as save_scenes
from core.sensors.products import product
from core.tiles import TileStore

SearchProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Prepared:
    """A planned run. Nothing is written until `write`."""

    run: Run
    inventory: Inventory
    scenes: SceneReport
    plan: Plan

    def write(self, progress: SearchProgress | None = None) -> None:
        """Write run.json, inventory and plan, search the sources, and make the tile arrays.

        Repeating it changes nothing: what the search found the first time stays. progress: called with (blocks
        searched, blocks). Raises ConfigError if another run is published where this one's release should go, or if the
        tile store holds other tiles; TransientError if a catalogue does not answer.
        """
        claim(Objects(self.run.release_url), ReleaseLayout(self.run.config.year), self.run.run_id)
        save_run(self.run)
        objects = self.run.objects
        if objects.get_or_none(RunLayout.GROUPS) is None:
            sink = io.BytesIO()
            self.inventory.glaciers.to_parquet(sink, compression="zstd")
            objects.put(RunLayout.INVENTORY, sink.getvalue())
            objects.put(RunLayout.INVENTORY_REPORT, self.inventory.report.to_json().encode())
            save_plan(objects, self.plan)
        if self.run.config.sources and objects.get_or_none(RunLayout.SEARCHED) is None:
            self._search(objects, progress)
        config = self.run.config
        store = TileStore(config.tiles, config.storage.backend)
        for zone in sorted({b.zone for b in self.plan.tile_blocks}):
            for sensor in self.run.stored:
                store.create(config.epoch_of(sensor), zone, sensor, self.run.resolution(sensor), self._recipe(sensor))

    def _search(self, objects: Objects, progress: SearchProgress | None) -> None:
        """Ask the catalogues once; the marker last, so that a search cut short is made again."""
        regions = {block: b.region for b in self.plan.blocks for block in map(Block.parse, b.halo)}
        regions |= {b.block: b.region for b in self.plan.blocks}
        sensors = sorted({product(source.product).sensor for source in self.run.config.sources})
        save_scenes(objects, search(self.run.config, sensors, regions, progress))
        objects.put(RunLayout.SEARCHED, json.dumps({"sensors": sensors, "blocks": len(regions)}).encode())

    def _recipe(self, sensor: str) -> dict[str, object]:
        if sensor == "oracle":
            return {"outlines": self.run.inventory_digest}
        return scenes_recipe(self.run.config, sensor)


def prepare(config: Config) -> Prepared:
    """Read, check and plan. Raises ConfigError for anything that could not work."""
    inventory = read_inventory(config.inventory, config.region_list)
    run = open_run(config, inventory.digest)
    needs = {need.sensor for need in run.model().spec.needs if not need.optional}
    lacking = sorted(needs - offered(config))
    if lacking:
        raise ConfigError(
            "scenes",
            found=f"none of sensor {lacking[0]!r}, which model {config.model.name!r} reads",
            expected=f"`scenes` or `sources` of {', '.join(sorted(needs))}",
        )
    sound = inventory.glaciers[inventory.glaciers["problem"].isna()]
    scenes = check_scenes(config, sound)
    # The run's id is a digest of all that a plan depends on, so a plan that lies there is this one.
    plan = load_plan(run.objects) or make_plan(inventory.glaciers, config, run.model().spec, inventory.neighbours)
    return Prepared(run, inventory, scenes, plan)
