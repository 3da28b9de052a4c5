"""What a search found, as Parquet in the run's folder: one file of a sensor and zone, one row of a scene and block.

Written once and never over: a resumed run maps the scenes that its first start found, whatever the archives list by
then. Rows are readable by anybody; the column `scene` holds the whole of it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.config import SceneConfig
from core.errors import ConfigError
from core.grid import Block, Zone
from core.layout import RunLayout
from core.objects import Objects
from core.tiles import RejectedScene

_SCENE, _REJECTED, _NONE = "scene", "rejected", "none"
_SCHEMA = pa.schema(
    [
        ("block", pa.string()),
        ("status", pa.string()),
        ("rank", pa.int32()),
        ("id", pa.string()),
        ("date", pa.date32()),
        ("cloud_percent", pa.float64()),
        ("reason", pa.string()),
        ("scene", pa.string()),
    ]
)


@dataclass(frozen=True)
class BlockScenes:
    """The scenes of a block, preferred first, and those that were listed and left out."""

    scenes: tuple[SceneConfig, ...] = ()
    rejected: tuple[RejectedScene, ...] = ()


def save(objects: Objects, found: Mapping[str, Mapping[Block, BlockScenes]]) -> None:
    """Write what is not there yet. objects: the run; found: sensor → block → scenes."""
    for sensor, blocks in found.items():
        for zone in sorted({block.zone for block in blocks}):
            key = RunLayout.scenes(sensor, zone)
            objects.create(key, _parquet({b: blocks[b] for b in sorted(blocks) if b.zone == zone}))


def load(objects: Objects, sensor: str, block: Block) -> BlockScenes:
    """Raises FileNotFoundError if this sensor was not searched for in the block's zone, ConfigError if not for it."""
    table = _table(objects.url, sensor, block.zone)
    rows = table.filter(pc.equal(table["block"], block.name)).sort_by("rank").to_pylist()
    if not rows:
        where = f"{objects.url}/{RunLayout.scenes(sensor, block.zone)}"
        raise ConfigError(where, found=f"no block {block.name}", fix="delete the file to have it searched again")
    return BlockScenes(
        tuple(SceneConfig.model_validate_json(r["scene"]) for r in rows if r["status"] == _SCENE),
        tuple(RejectedScene(r["id"], r["reason"]) for r in rows if r["status"] == _REJECTED),
    )


@lru_cache(maxsize=8)
def _table(run_url: str, sensor: str, zone: Zone) -> pa.Table:
    """One file, kept for the next block of the same zone in this process; it never changes."""
    return pq.read_table(io.BytesIO(Objects(run_url).get(RunLayout.scenes(sensor, zone))))


def _parquet(blocks: Mapping[Block, BlockScenes]) -> bytes:
    rows: list[tuple[object, ...]] = []
    for block, listed in blocks.items():
        none = (block.name, _NONE, 0, None, None, None, None, None)
        own: list[tuple[object, ...]] = [
            (block.name, _SCENE, rank, s.id, s.date, s.cloud_percent, None, s.model_dump_json(exclude_defaults=True))
            for rank, s in enumerate(listed.scenes)
        ]
        own += [
            (block.name, _REJECTED, rank, r.id, None, None, r.reason, None)
            for rank, r in enumerate(listed.rejected, len(own))
        ]
        rows += own or [none]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in _SCHEMA]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
