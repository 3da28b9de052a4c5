"""The plan as files in the run's folder, so that a person can open it and any process can pick up its part.

Parquet for machines, GeoJSON of the blocks for a map. Written once; a plan that is already there is the same plan,
because the run's id is a digest of everything that it depends on.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import lru_cache

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from core.grid import Block, Zone
from core.inventory import split_antimeridian, unwrap_longitudes
from core.layout import RunLayout
from core.objects import Objects
from core.plan.outlines import ZoneOutlines
from core.plan.plan import BlockUnit, GroupUnit, Plan

_BLOCKS = pa.schema(
    [
        ("block", pa.string()),
        ("region", pa.string()),
        ("n_windows", pa.int64()),
        ("n_glaciers", pa.int64()),
        ("halo", pa.list_(pa.string())),
    ]
)
_GROUPS = pa.schema(
    [
        ("group", pa.string()),
        ("region", pa.string()),
        ("zone", pa.string()),
        ("n_glaciers", pa.int64()),
        ("pixels", pa.int64()),
        ("blocks", pa.list_(pa.string())),
    ]
)


def save_plan(run: Objects, plan: Plan) -> None:
    """Write the plan under `run`."""
    for outlines in plan.zones:
        table = outlines.glaciers.assign(
            home=outlines.home, group=outlines.group, outline_m=shapely.to_wkb(outlines.outline_m)
        )
        run.put(RunLayout.outlines(outlines.zone), _parquet(table))
    blocks = [(b.name, b.region, b.n_windows, b.n_glaciers, list(b.halo)) for b in plan.blocks]
    groups = [(g.name, g.region, g.zone, g.n_glaciers, g.pixels, list(g.blocks)) for g in plan.groups]
    run.put(RunLayout.BLOCKS, _table(blocks, _BLOCKS))
    run.put(RunLayout.PLAN_GEOJSON, plan_geojson(plan).encode())
    run.put(RunLayout.GROUPS, _table(groups, _GROUPS))  # last: who finds the groups finds the rest


def load_plan(run: Objects) -> Plan | None:
    """The units of a plan, without outlines (see `load_zone_outlines`); None if there is none yet."""
    stored = run.get_or_none(RunLayout.GROUPS)
    if stored is None:
        return None
    groups = pq.read_table(io.BytesIO(stored)).to_pylist()
    blocks = pq.read_table(io.BytesIO(run.get(RunLayout.BLOCKS))).to_pylist()
    return Plan(
        tuple(
            BlockUnit(Block.parse(b["block"]), b["region"], b["n_windows"], b["n_glaciers"], tuple(b["halo"]))
            for b in blocks
        ),
        tuple(
            GroupUnit(g["group"], g["region"], g["zone"], g["n_glaciers"], g["pixels"], tuple(g["blocks"]))
            for g in groups
        ),
        (),
    )


@lru_cache(maxsize=4)
def load_zone_outlines(run_url: str, zone: Zone) -> ZoneOutlines:
    """The outlines of one zone, kept for the next unit of the same zone in this process."""
    stored = Objects(run_url).get(RunLayout.outlines(zone))
    table = gpd.read_parquet(io.BytesIO(stored))
    return ZoneOutlines(
        zone=zone,
        glaciers=table.drop(columns=["home", "group", "outline_m"]),
        outline_m=np.asarray(shapely.from_wkb(table["outline_m"].to_numpy()), dtype=object),
        home=table["home"].to_numpy(dtype=bool),
        group=table["group"].to_numpy(dtype=object),
    )


def plan_geojson(plan: Plan) -> str:
    """Blocks as GeoJSON in lon/lat, cut at the antimeridian as RFC 7946 asks."""
    squares = np.empty(len(plan.blocks), dtype=object)
    for k, unit in enumerate(plan.blocks):
        square = shapely.segmentize(np.array([shapely.box(*unit.block.bounds_m)], dtype=object), 5000.0)
        squares[k] = unit.block.zone.unproject(square)[0]
    squares = split_antimeridian(unwrap_longitudes(squares))
    features = [
        {
            "type": "Feature",
            "properties": {
                "block": b.name,
                "region": b.region,
                "n_windows": b.n_windows,
                "n_glaciers": b.n_glaciers,
            },
            "geometry": json.loads(shapely.to_geojson(shapely.set_precision(square, 1e-6))),
        }
        for b, square in zip(plan.blocks, squares, strict=True)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def _table(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> bytes:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in schema]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _parquet(table: gpd.GeoDataFrame) -> bytes:
    sink = io.BytesIO()
    table.to_parquet(sink, compression="zstd")
    return sink.getvalue()
