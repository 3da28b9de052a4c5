"""Driving a run: shards say what remains, an executor does it, the release is finished when all of it is settled."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.events import Callback, Span, TaskEvent, all_of
from cluster.history import History
from cluster.local import run_local
from cluster.scheduler import Key, Scheduler, Unit
from cluster.shard import RegionShard, Settled
from core.layout import ReleaseLayout, RunLayout
from core.ledger import Ledger
from core.models.learned import Learned
from core.objects import Objects
from core.release import Provenance, finish_release, read_manifest, region_area
from core.release.schema import AREA
from core.run import Run, described_model, load_run, sources_identity
from core.worker import release_files


@dataclass
class Tally:
    """Counts what happened; a callback like any other.

    Keys of counts and stalls are `stage.name`; spans: of all units of a stage that ended; device_s: seconds of work by
    device; retried: by stage.
    """

    done: Counter[str] = field(default_factory=Counter)
    quarantined: list[TaskEvent] = field(default_factory=list)
    retried: Counter[str] = field(default_factory=Counter)
    counts: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    stalls: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    device_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    spans: defaultdict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))

    def __call__(self, event: TaskEvent) -> None:
        if event.kind == "retried":
            self.retried[event.stage] += 1
            return
        if event.span.worker:
            self.spans[event.stage].append(event.span)
        if event.kind == "quarantined":
            self.quarantined.append(event)
            return
        self.done[event.stage] += 1
        self.seconds[event.stage] += event.seconds
        self.device_s[event.device] += event.seconds
        for name, value in event.counts.items():
            self.counts[f"{event.stage}.{name}"] += value
        for name, value in event.stalls.items():
            self.stalls[f"{event.stage}.{name}"] += value


@dataclass(frozen=True)
class Driven:
    """How a drive ended.

    set_aside: units in quarantine, of this and earlier runs; lost_rows: glaciers published as `quarantined`, be it
    for a unit or for their own outline; complete: the release stands.
    """

    tally: Tally
    set_aside: tuple[tuple[str, str], ...]
    lost_rows: int
    complete: bool

    @property
    def clean(self) -> bool:
        return not self.set_aside and not self.lost_rows


Announce = Callable[[Counter[str], Counter[Key]], Callback]


def drive(
    run_url: str,
    regions: Sequence[str],
    announce: Announce,
    *,
    ingest_only: bool = False,
    limit: int | None = None,
) -> Driven:
    """Do all that is left of a run, on the executor that its configuration names.

    announce: gets the numbers of units per stage, and per stage and region, before the first one starts, and returns
    the callback that hears of each. All of it is also written to the run's history.
    limit: map at most so many blocks; the release is then left for later. It is not finished either while a region
    that could not be published is set aside. Raises SystemicError and ConfigError.
    """
    run = load_run(run_url)
    tally = Tally()
    if run.config.execution.executor == "ray":
        from cluster.fleet import Fleet, connected  # ray is imported only if it is asked for

        with connected(run.config.execution.ray_address):
            settled = Settled.read(run)
            fleet = Fleet(run_url, regions, run.config.execution)
            try:
                scheduler = _scheduler(fleet.units(settled, ingest_only=ingest_only), settled, limit)
                with History(run.objects) as history:
                    listener = announce(scheduler.total, scheduler.by_region)
                    fleet.drive(scheduler, all_of(listener, tally, history))
            finally:
                fleet.stop()
    else:
        settled = Settled.read(run)
        shards = [RegionShard(run_url, region) for region in regions]
        units = [u for s in shards for u in s.ingest_units(settled, everything=ingest_only)]
        units += [] if ingest_only else [u for s in shards for u in s.units(settled)]
        scheduler = _scheduler(units, settled, limit)
        with History(run.objects) as history:
            listener = announce(scheduler.total, scheduler.by_region)
            run_local(run_url, scheduler, run.config.execution.workers, all_of(listener, tally, history))
    aside = sorted(Ledger(run.objects).quarantined())
    complete = not ingest_only and limit is None and not any(stage == "publish" for stage, _ in aside)
    if complete and not (scheduler.total.total() == 0 and _published(run)):
        finish(run, regions)
    lost = sum(int(m["quarantined"]) for r in regions if (m := Ledger(run.objects).read("publish", r)))
    return Driven(tally, tuple(aside), lost, complete)


def finish(run: Run, regions: Sequence[str]) -> None:
    """Region sums, STAC and the manifest, from the files that the regions committed."""
    release, layout = Objects(run.release_url), ReleaseLayout(run.config.year)
    files = release_files(Ledger(run.objects), list(regions))
    sums = []
    for region in regions:
        parts = [f.key for f in files if f.table == AREA and f.region == region]
        sums.append(region_area(pa.concat_tables([pq.read_table(io.BytesIO(release.get(k))) for k in parts])))
    glaciers = pq.read_metadata(io.BytesIO(run.objects.get(RunLayout.INVENTORY))).num_rows
    finish_release(release, layout, files, sums, provenance_of(run, glaciers))


def provenance_of(run: Run, n_glaciers: int) -> Provenance:
    """What the manifest says of the origin of a release."""
    config = run.config
    return Provenance(
        run_id=run.run_id,
        model_digest=run.model_digest,
        inventory_glaciers=n_glaciers,
        inventory_digest=run.inventory_digest,
        res_m=config.grid.res_m,
        min_area_km2=config.measure.min_area_km2,
        simulated=config.simulated,
        details={
            "name": config.name,
            "model": described_model(config) | _checkpoints(run),
            "measure": config.measure.model_dump(mode="json"),
            "buffer_m": config.grid.buffer_m,
            "scenes": [{"id": s.id, "sensor": s.sensor, "date": s.date.isoformat()} for s in config.scenes],
            "sources": sources_identity(config),
            "code_digest": run.code_digest,
        },
    )


def _checkpoints(run: Run) -> dict[str, Any]:
    """Digests of the checkpoints behind a learned model, and whether any of them saw simulated data."""
    model = run.model()
    if not isinstance(model, Learned):
        return {}
    return {
        "checkpoints": [checkpoint.digest for checkpoint in model.checkpoints],
        "trained_on_simulated_data": model.simulated,
    }


def _published(run: Run) -> bool:
    manifest = read_manifest(Objects(run.release_url), ReleaseLayout(run.config.year))
    return manifest is not None and manifest.get("run_id") == run.run_id


def _scheduler(units: Sequence[Unit], settled: Settled, limit: int | None) -> Scheduler:
    unique = {u.key: u for u in units}
    if limit is None:
        return Scheduler(unique.values())
    maps = sorted((u for u in unique.values() if u.stage == "map"), key=lambda u: (-u.cost, u.name))[:limit]
    chosen = {u.key for u in maps}
    reachable = chosen | settled.done | settled.aside
    chosen |= {u.key for u in unique.values() if u.stage == "measure" and set(u.needs) <= reachable}
    chosen |= {need for u in maps for need in u.needs if need in unique}
    return Scheduler(unique[key] for key in unique if key in chosen)
