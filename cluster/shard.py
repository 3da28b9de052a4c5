"""A region's shard: which units of one region remain, from the plan and the ledger.

It never holds pixels or outlines longer than it needs: descriptors go to the scheduler, the work to the workers.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster.scheduler import Key, Unit
from core.ledger import Ledger
from core.objects import Objects
from core.plan import Plan, load_plan
from core.run import Run, load_run
from core.tiles import TileStore
from core.worker import ingest_unit


@dataclass(frozen=True)
class Settled:
    """What earlier runs left: done, and set aside (which is not tried again until `retry` forgets it)."""

    done: frozenset[Key]
    aside: frozenset[Key]

    @classmethod
    def read(cls, run: Run) -> Settled:
        """Two listings of the run, one per sensor of the tile store."""
        ledger = Ledger(run.objects)
        store = TileStore(run.config.tiles, run.config.storage.backend)
        tiles = {
            ("ingest", ingest_unit(sensor, block))
            for sensor in run.stored
            for block in store.committed(run.config.epoch_of(sensor), sensor)
        }
        return cls(frozenset(ledger.done() | tiles), frozenset(ledger.quarantined()))


class RegionShard:
    """Units of one region."""

    def __init__(self, run_url: str, region: str) -> None:
        self.run, self.region = load_run(run_url), region
        plan = load_plan(Objects(run_url))
        self.plan = plan if plan is not None else Plan((), (), ())

    def units(self, settled: Settled) -> list[Unit]:
        """What is left to do. A region is published when all of its groups are settled."""
        sensors = self.run.ingested
        past = settled.done | settled.aside
        out: list[Unit] = []
        for block in self.plan.blocks:
            if block.region == self.region:
                needs = tuple(("ingest", ingest_unit(s, h)) for h in block.halo for s in sensors)
                out.append(Unit("map", block.name, self.region, float(block.n_windows), needs))
        groups = [g for g in self.plan.groups if g.region == self.region]
        for group in groups:
            needs = tuple(("map", b) for b in group.blocks)
            out.append(Unit("measure", group.name, self.region, float(group.pixels), needs))
        out.append(Unit("publish", self.region, self.region, 1.0, tuple(("measure", g.name) for g in groups)))
        return [u for u in out if u.key not in past]

    def ingest_units(self, settled: Settled, *, everything: bool = False) -> list[Unit]:
        """Tiles that the blocks of this region read; shared ones come from several regions and are done once.

        everything: also of sensors that the model does not read.
        """
        sensors = self.run.stored if everything else self.run.ingested
        past = settled.done | settled.aside
        names = sorted({h for b in self.plan.blocks if b.region == self.region for h in b.halo})
        units = [Unit("ingest", ingest_unit(s, n), self.region) for n in names for s in sensors]
        return [u for u in units if u.key not in past]
