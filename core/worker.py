"""A worker: does one unit of any stage, given the URL of the run.

The same object is a process of the local executor and the inside of a Ray actor. It is built from a URL inside its
process, keeps what the next unit can use again (model, stores, outlines of the zone), writes data first and the
marker last, and returns a summary of a few hundred bytes. It never decides what to do next or whether to try again.
"""

from __future__ import annotations

import datetime as dt
import io
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.errors import ConfigError, PoisonError
from core.grid import Block, Lattice, PixelWindow, Zone
from core.ingest import VirtualTiles, ingest_block, ingest_oracle_block, offered, sources_of
from core.layers import Layers
from core.layout import ReleaseLayout, RunLayout
from core.ledger import Ledger
from core.mapping import map_block
from core.measure import Measurement, glacier_windows, measure_group
from core.measure.group import MosaicRead, Origin, area_row
from core.models import Model, OnDevice, has_spread
from core.mosaic import Mosaic, MosaicReader
from core.objects import Objects
from core.plan import load_plan, load_zone_outlines
from core.release import ReleaseFile, write_region
from core.release.schema import AREA, GLACIER_AREA, QUARANTINED, REGION_TABLES, SCHEMAS
from core.release.table import table_from_rows
from core.run import load_run
from core.search.store import BlockScenes
from core.search.store import load as load_scenes
from core.stitch import NOT_OBSERVED
from core.stopwatch import COMPUTE, PREPARE, WAIT, WARP, WRITE, Stopwatch
from core.tiles import NoTiles, StoredTiles, TileSource, TileStore

Row = dict[str, object]


@dataclass(frozen=True)
class UnitResult:
    """What a unit has to say.

    seconds: of work; counts: a few numbers, see `cluster.events`; stalls: what the seconds went into; device: that of
    the model where one ran, else `cpu`.
    """

    stage: str
    unit: str
    seconds: float
    counts: dict[str, float] = field(default_factory=dict)
    stalls: dict[str, float] = field(default_factory=dict)
    device: str = "cpu"


class Worker:
    """Stages: `ingest` (unit `sensor.block`), `map` (block), `measure` (group), `publish` (region)."""

    def __init__(self, run_url: str) -> None:
        self.run = load_run(run_url)
        self.objects = Objects(run_url)
        self.ledger = Ledger(self.objects)
        self._batch = self.run.config.model.batch

    def do(self, stage: str, unit: str) -> UnitResult:
        """Do one unit. Raises what the work raises (`core.errors`); ConfigError for an unknown stage."""
        # Beside each stage what its seconds go into where it does not say otherwise.
        stages: dict[str, tuple[Callable[[str, Stopwatch], dict[str, float]], str]] = {
            "ingest": (self._ingest, WARP),
            "map": (self._map, PREPARE),
            "measure": (self._measure, COMPUTE),
            "publish": (self._publish, COMPUTE),
        }
        if stage not in stages:
            raise ConfigError(f"stage {stage!r}", expected=", ".join(stages))
        work, own = stages[stage]
        began, watch = time.perf_counter(), Stopwatch()
        with watch.on(own):
            counts = work(unit, watch)
        seconds = time.perf_counter() - began
        model = self._model if stage == "map" else None
        device = model.device if isinstance(model, OnDevice) else "cpu"
        return UnitResult(stage, unit, seconds, counts, watch.seconds, device)

    def shrink(self) -> bool:
        """Halve the batch for good, because the device ran out of memory; False if it is one window already."""
        if self._batch == 1:
            return False
        self._batch //= 2
        return True

    @cached_property
    def _tiles(self) -> TileStore:
        return TileStore(self.run.config.tiles, self.run.config.storage.backend)

    @cached_property
    def _model(self) -> Model:
        return self.run.model()

    @cached_property
    def _mosaic(self) -> Mosaic:
        return Mosaic(self.run.url, self.run.config.storage.backend, spread=has_spread(self._model))

    def _lattice(self, zone: Zone) -> Lattice:
        return Lattice(zone, self.run.config.grid.res_m)

    def _ingest(self, unit: str, watch: Stopwatch) -> dict[str, float]:
        name, _, block_name = unit.partition(".")
        block, config = Block.parse(block_name), self.run.config
        if name == "oracle":
            marker = ingest_oracle_block(
                self._tiles,
                block,
                config.epoch_of(name),
                self.run.resolution(name),
                self._outlines(block.zone),
                dt.date(config.year, 7, 1),
            )
        else:
            marker = ingest_block(
                config, self._tiles, block, name, watch, self._found(name, block), self._outlines(block.zone)
            )
        return {"bytes": marker.bytes, "bytes_read": marker.bytes_read, "observed": marker.observed_fraction}

    def _found(self, sensor: str, block: Block) -> BlockScenes | None:
        """What the search of the run found for a block; None for a sensor that is not searched."""
        return load_scenes(self.objects, sensor, block) if sources_of(self.run.config, sensor) else None

    def _outlines(self, zone: Zone) -> NDArray[np.object_]:
        return load_zone_outlines(self.run.url, zone).home_outlines

    def _source(self, sensor: str, zone: Zone, watch: Stopwatch) -> TileSource:
        config, res_m = self.run.config, self.run.resolution(sensor)
        if sensor not in offered(config):
            return NoTiles(sensor, Lattice(zone, res_m))
        if config.sensor_config(sensor).virtual:
            return VirtualTiles(config, sensor, zone, partial(self._found, sensor), self._outlines(zone), watch)
        return StoredTiles(self._tiles, config.epoch_of(sensor), zone, sensor, res_m)

    def _map(self, unit: str, watch: Stopwatch) -> dict[str, float]:
        block, config = Block.parse(unit), self.run.config
        lattice = self._lattice(block.zone)
        with watch.on(WAIT):
            self._check_tiles(unit)
        mapped = map_block(
            block,
            lattice,
            self._outlines(block.zone),
            {need.sensor: self._source(need.sensor, block.zone, watch) for need in self._model.spec.needs},
            self._model,
            config.grid.buffer_m,
            self._batch,
            watch,
        )
        marker = {
            "windows": mapped.n_windows,
            "pixels": int(np.count_nonzero(mapped.probability != NOT_OBSERVED)),
            "sensors": list(mapped.sensors),
            "scenes": [{"id": s.id, "date": s.date.isoformat(), "sensor": s.sensor} for s in mapped.scenes],
        }
        with watch.on(WRITE):
            self._mosaic.write_block(lattice, block, mapped.probability, mapped.scene, mapped.spread)
            self.ledger.commit("map", unit, marker)
        return {
            "windows": mapped.n_windows,
            "bytes": mapped.bytes_read,
            "bytes_needed": mapped.bytes_needed,
            "km2": mapped.n_pixels * lattice.res_m**2 / 1e6,
        }

    def _check_tiles(self, block: str) -> None:
        """A tile whose ingest failed must not pass for one in which nothing was observed."""
        for name in self._planned_blocks.get(block, (block,)):
            for sensor in self.run.ingested:
                if self._tiles.marker(self.run.config.epoch_of(sensor), sensor, Block.parse(name)) is None:
                    failure = self.ledger.failure("ingest", ingest_unit(sensor, name))
                    raise PoisonError(
                        f"{sensor} tile {name}",
                        found=failure.message if failure else "no commit",
                        expected="a committed tile",
                        fix="" if failure else "run `icefleet ingest` first",
                    )

    def _measure(self, unit: str, watch: Stopwatch) -> dict[str, float]:
        zone = Zone(unit.split("-")[1])
        rows, lost = self.measured(zone, load_zone_outlines(self.run.url, zone).members(unit), watch)
        statuses = [str(row["status"]) for row in rows[AREA]]
        counts = {status: float(statuses.count(status)) for status in sorted(set(statuses))}
        # Most groups have no front and some no surfaces: what is empty is not written, and not read.
        tables = {name: table_from_rows(some, SCHEMAS[name]) for name, some in rows.items() if some}
        with watch.on(WRITE):
            for name, table in tables.items():
                self.objects.put(RunLayout.partial(unit, name), _to_parquet(table))
            self.ledger.commit(
                "measure",
                unit,
                {
                    "glaciers": len(statuses),
                    "statuses": counts,
                    "lost_blocks": sorted(lost),
                    "tables": sorted(tables),
                },
            )
        return {"glaciers": len(statuses), **counts}

    def measured(
        self, zone: Zone, members: NDArray[np.int64], watch: Stopwatch
    ) -> tuple[dict[str, list[Row]], Collection[str]]:
        """Measure glaciers of a zone, by their rows among its outlines: (table → rows, blocks that could not be read).

        Nothing is written.
        """
        outlines = load_zone_outlines(self.run.url, zone)
        lattice = self._lattice(zone)
        reader = MosaicReader(self._mosaic, self.ledger, lattice, self._planned_blocks.keys())

        def read(window: PixelWindow) -> MosaicRead:
            with watch.on(WAIT):
                return reader.read(window)

        layers = Layers(
            lattice,
            {name: self._source(name, zone, watch) for name in self.run.measured_with},
            self._planned_blocks.keys(),
            glacier_windows(outlines.outline_m[members], lattice, self.run.rules.advance_m),
        )

        def ground(window: PixelWindow, names: Collection[str]) -> Mapping[str, NDArray[np.float32]]:
            with watch.on(WAIT):
                return layers.read(window, names)

        rows: dict[str, list[Row]] = {name: [] for name in REGION_TABLES}
        for found in measure_group(
            members,
            outlines.glaciers,
            outlines.outline_m,
            outlines.tree,
            lattice,
            read,
            self.run.rules,
            self._origin,
            ground,
        ):
            for name, more in found.items():
                rows[name] += more
        return rows, reader.lost

    def _publish(self, region: str, watch: Stopwatch) -> dict[str, float]:
        """Partials of a region → its part of the release; glaciers of failed groups get a row with the reason."""
        plan = load_plan(self.objects)
        groups = [g.name for g in plan.groups if g.region == region] if plan else []
        done = self.ledger.done()
        found = {name: [SCHEMAS[name].empty_table()] for name in REGION_TABLES}
        with watch.on(WAIT):
            for group in groups:
                if ("measure", group) in done:
                    marker = self.ledger.read("measure", group) or {}
                    for name in marker["tables"]:
                        found[name].append(_from_parquet(self.objects.get(RunLayout.partial(group, name))))
        lost = self._unmeasured(region, set(groups), done)
        if lost:
            found[AREA].append(table_from_rows(lost, GLACIER_AREA))
        tables = {name: pa.concat_tables(parts) for name, parts in found.items()}
        area = tables[AREA]
        n_failed = area.column("status").to_pylist().count(QUARANTINED)
        release = Objects(self.run.release_url)
        with watch.on(WRITE):
            files = write_region(release, self._release_layout, region, tables)
            self.ledger.commit(
                "publish",
                region,
                {"files": [f.__dict__ for f in files], "rows": area.num_rows, "quarantined": n_failed},
            )
        return {"rows": area.num_rows, "bytes": sum(f.bytes for f in files)}

    def _unmeasured(self, region: str, groups: set[str], done: set[tuple[str, str]]) -> list[Row]:
        """Rows of glaciers that no partial holds: unusable outlines, and groups that were set aside."""
        stored = io.BytesIO(self.objects.get(RunLayout.INVENTORY))
        inventory = gpd.read_parquet(stored, filters=[("o1region", "==", region)])
        reasons: dict[str, str] = {}
        for zone in sorted({g.split("-")[1] for g in groups}):
            outlines = load_zone_outlines(self.run.url, Zone(zone))
            for group in sorted(groups):
                if group.split("-")[1] == zone and ("measure", group) not in done:
                    failure = self.ledger.failure("measure", group)
                    why = failure.message if failure else "the run ended before it was measured"
                    names = outlines.glaciers["rgi_id"].iloc[outlines.members(group)]
                    reasons |= dict.fromkeys(names, f"group {group}: {why}")
        # Read back from Parquet, a missing text is NaN, which is true to Python.
        inventory["problem"] = inventory["problem"].astype(object).where(inventory["problem"].notna(), None)
        sick = inventory[inventory["problem"].notna() | inventory["rgi_id"].isin(list(reasons))]
        return [
            area_row(
                record,
                Measurement("quarantined", record["problem"] or reasons[record["rgi_id"]], None),
                self._origin,
            )
            for record in sick.to_dict("records")
        ]

    @cached_property
    def _planned_blocks(self) -> dict[str, tuple[str, ...]]:
        """Block → blocks whose tiles it reads."""
        plan = load_plan(self.objects)
        return {b.name: b.halo for b in plan.blocks} if plan else {}

    @property
    def _origin(self) -> Origin:
        return Origin(self.run.run_id, self.run.model_digest, self.run.config.year)

    @property
    def _release_layout(self) -> ReleaseLayout:
        return ReleaseLayout(self.run.config.year)


def ingest_unit(sensor: str, block: str) -> str:
    """The unit of the stage `ingest` for one sensor of one block."""
    return f"{sensor}.{block}"


def release_files(ledger: Ledger, regions: list[str]) -> list[ReleaseFile]:
    """The files that the committed regions wrote."""
    out: list[ReleaseFile] = []
    for region in regions:
        marker = ledger.read("publish", region)
        out += [ReleaseFile(**f) for f in marker["files"]] if marker else []
    return out


def _to_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _from_parquet(data: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(data))
