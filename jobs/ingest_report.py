"""What `icefleet ingest` reports: what the tiles of a run hold, from their markers, per sensor, scene and block.

Dictionaries that `--json` prints as they are; `jobs.ingest_tables` makes tables of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.grid import Block, Lattice
from core.ingest import offered
from core.ingest.recipe import composite_of
from core.ledger import Ledger
from core.mapping import near_outlines
from core.plan import load_zone_outlines
from core.prepare import Prepared
from core.run import Run
from core.tiles import TileMarker, TileStore
from core.worker import ingest_unit

Progress = Callable[[int, int], None]
MOST_LOOKS = 2000  # blocks whose glaciers are looked at; more are sampled
_LOOK_M = 120
_READERS = 32
# A word with a digit, slash or underscore: a number, a name or a path, without the punctuation around it.
_VARIES = re.compile(r"(?<![^\s(])[^\s(]*[\d/_]\S*?(?=[,:;)]*(?:\s|$))")


def ingest_report(prepared: Prepared, progress: Progress | None = None) -> dict[str, dict[str, Any]]:
    """Sensor → what its tiles hold; see `_sensor_report` for the keys.

    Of the blocks that are planned. progress: called with (blocks looked at, blocks), for the share of the glaciers.
    """
    run, config = prepared.run, prepared.run.config
    store = TileStore(config.tiles, config.storage.backend)
    blocks = prepared.plan.tile_blocks
    out = {name: _sensor_report(run, store, name, blocks) for name in run.stored}
    _add_glacier_shares(prepared, store, out, progress)
    there = offered(config)
    for name in sorted(n for n in there if config.sensor_config(n).virtual):
        out[name] = _empty(run, name, len(blocks), "virtual: read when mapped", virtual=True)
    for need in run.model().spec.needs:
        if need.sensor not in there:
            note = "not on offer: neither `scenes` nor `sources` of it, and the model can do without"
            out[need.sensor] = _empty(run, need.sensor, len(blocks), note)
    return out


def _empty(run: Run, sensor: str, planned: int, note: str, *, virtual: bool = False) -> dict[str, Any]:
    return {
        "epoch": run.config.epoch_of(sensor),
        "res_m": run.resolution(sensor),
        "composite": None if sensor == "oracle" else composite_of(run.config, sensor),
        "virtual": virtual,
        "note": note,
        "blocks": 0,
        "blocks_planned": planned,
        "observed_fraction": 0.0,
        "glacier_observed_fraction": None,
        "glacier_blocks": 0,
        "bytes_read": 0,
        "bytes": 0,
        "ratio": None,
        "n_clipped": 0,
        "scenes": [],
        "first_date": None,
        "last_date": None,
        "used": [],
        "rejected": [],
        "per_block": {},
    }


def _sensor_report(run: Run, store: TileStore, sensor: str, blocks: Sequence[Block]) -> dict[str, Any]:
    """Of one sensor.

    observed_fraction: of the committed blocks; glacier_observed_fraction: of the ground within the buffer of an
    outline, None where there is none; glacier_blocks: looked at for that; bytes_read: of source pixels, as decoded;
    bytes: as stored; ratio: the one by the other; n_clipped: values beyond the stored range; scenes: ids in use; used:
    each with its date, the number of its blocks and its mean scores (0–1, None where it was not ranked); rejected:
    scenes that gave no block a pixel, by reason; per_block: the same by block, with every score and every reason.
    """
    epoch = run.config.epoch_of(sensor)
    committed = store.committed(epoch, sensor)
    wanted = [block for block in blocks if block.name in committed]
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda block: store.marker(epoch, sensor, block), wanted)
        markers = [marker for marker in found if marker is not None]
    failed = _failures(run, sensor, [block.name for block in blocks if block.name not in committed])
    size, n_read = sum(m.bytes for m in markers), sum(m.bytes_read for m in markers)
    dates = sorted(s.date for m in markers for s in m.scenes)
    rejected = _rejected(markers)
    observed = sum(m.observed_fraction for m in markers) / max(1, len(markers))
    return _empty(run, sensor, len(blocks), _note(len(markers), len(blocks), observed, failed, rejected)) | {
        "blocks": len(markers),
        "observed_fraction": observed,
        "bytes_read": n_read,
        "bytes": size,
        "ratio": n_read / size if size and n_read else None,
        "n_clipped": sum(m.n_clipped for m in markers),
        "scenes": sorted({s.id for m in markers for s in m.scenes}),
        "first_date": dates[0].isoformat() if dates else None,
        "last_date": dates[-1].isoformat() if dates else None,
        "used": _used(markers),
        "rejected": rejected,
        "per_block": {m.block: _block_report(m) for m in markers} | {n: {"failure": why} for n, why in failed.items()},
    }


def _block_report(marker: TileMarker) -> dict[str, Any]:
    return {
        "observed_fraction": marker.observed_fraction,
        "glacier_observed_fraction": None,
        "bytes_read": marker.bytes_read,
        "bytes": marker.bytes,
        "n_clipped": marker.n_clipped,
        "bands": list(marker.bands),
        "scenes": [{"id": s.id, "date": s.date.isoformat()} for s in marker.scenes],
        "scores": [s.__dict__ for s in marker.scores],
        "rejected": [r.__dict__ for r in marker.rejected],
    }


def _failures(run: Run, sensor: str, names: Sequence[str]) -> dict[str, str]:
    """Block → why its tile was set aside."""
    ledger = Ledger(run.objects)
    aside = {unit for stage, unit in ledger.quarantined() if stage == "ingest"}
    failures = {name: ledger.failure("ingest", ingest_unit(sensor, name)) for name in names
                if ingest_unit(sensor, name) in aside}  # fmt: skip
    return {name: failure.message for name, failure in failures.items() if failure is not None}


def _note(
    n: int, planned: int, observed: float, failed: Mapping[str, str], rejected: Sequence[Mapping[str, Any]]
) -> str:
    """Why there is not all that was planned; empty if there is."""
    if failed:
        return f"{len(failed)} of {planned} tiles set aside, e.g. {next(iter(failed.values()))}"
    if n < planned:
        return f"{planned - n} of {planned} tiles are not made yet"
    if n and not observed:
        why = f": {rejected[0]['reason']}" if rejected else ": no scene reaches one of its blocks"
        return f"nothing observed{why}"
    return ""


def _used(markers: Iterable[TileMarker]) -> list[dict[str, Any]]:
    """Scenes with the number of blocks that show them, most first."""
    date, n_blocks = {}, defaultdict[str, int](int)
    scores: defaultdict[str, list[Any]] = defaultdict(list)
    for marker in markers:
        for scene in marker.scenes:
            date[scene.id] = scene.date.isoformat()
            n_blocks[scene.id] += 1
        for score in marker.scores:
            scores[score.id].append(score)
    return [
        {
            "id": name,
            "date": date[name],
            "blocks": n,
            **{key: _mean([getattr(s, key) for s in scores[name]]) for key in ("coverage", "cloud", "snow")},
        }
        for name, n in sorted(n_blocks.items(), key=lambda item: (-item[1], item[0]))
    ]


def _rejected(markers: Iterable[TileMarker]) -> list[dict[str, Any]]:
    """Scenes in use nowhere, by the reason, most first; one rejected for several reasons is in each."""
    markers = list(markers)
    used = {s.id for m in markers for s in m.scenes}
    groups: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for marker in markers:
        for scene in marker.rejected:
            if scene.id not in used:
                groups[_kind(scene.reason)].append((scene.id, scene.reason, marker.block))
    out = []
    for kind, members in groups.items():
        reasons = {reason for _, reason, _ in members}
        ids = sorted({name for name, _, _ in members})
        out.append(
            {
                "reason": reasons.pop() if len(reasons) == 1 else kind,
                "scenes": len(ids),
                "tiles": len(members),
                "ids": ids,
            }
        )
    return sorted(out, key=lambda group: (-group["scenes"], group["reason"]))


def _kind(reason: str) -> str:
    """A reason without what differs from scene to scene: numbers, names and paths."""
    return _VARIES.sub("…", reason)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


# ------------------------------------------------------------------ the share of the glaciers


def _add_glacier_shares(
    prepared: Prepared, store: TileStore, report: Mapping[str, dict[str, Any]], progress: Progress | None
) -> None:
    """Fill in `glacier_observed_fraction`, of every k-th block where there are very many."""
    active = sorted(unit.block for unit in prepared.plan.blocks)
    active = active[:: max(1, -(-len(active) // MOST_LOOKS))]
    seen: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    for done, block in enumerate(active, 1):
        near = _near(prepared.run, block)
        n_near = int(np.count_nonzero(near))
        for sensor, entry in report.items():
            one = entry["per_block"].get(block.name)
            if one is None or "failure" in one or not n_near:
                continue
            share = _share(store, entry["epoch"], sensor, block, one["observed_fraction"], near)
            one["glacier_observed_fraction"] = share
            seen[sensor].append((share * n_near, n_near))
        if progress is not None:
            progress(done, len(active))
    for sensor, parts in seen.items():
        report[sensor]["glacier_blocks"] = len(parts)
        report[sensor]["glacier_observed_fraction"] = sum(s for s, _ in parts) / sum(n for _, n in parts)


def _near(run: Run, block: Block) -> NDArray[np.bool_]:
    lattice = Lattice(block.zone, _LOOK_M)
    outlines = load_zone_outlines(run.url, block.zone).home_outlines
    return near_outlines(outlines, lattice, lattice.block_window(block), run.config.grid.buffer_m)


def _share(
    store: TileStore, epoch: str, sensor: str, block: Block, observed_fraction: float, near: NDArray[np.bool_]
) -> float:
    if observed_fraction in (0.0, 1.0):
        return observed_fraction  # no need to look
    lattice = store.lattice(epoch, block.zone, sensor)
    read = store.read(epoch, block.zone, sensor, lattice.block_window(block), ())
    k = _LOOK_M // lattice.res_m
    rows, cols = near.shape
    share = read.observed.reshape(rows, k, cols, k).mean(axis=(1, 3))
    return float(share[near].mean())
