"""Table: rows as Python values → an Arrow table of one schema, or an error; and foreign tables made to conform.

The one place where geometry is prepared for publication: polygons and lines split at the antimeridian (RFC 7946),
exterior rings counter-clockwise, two-dimensional, WKB, with its bounds in `bbox`. NaN becomes null; infinity, −9999
and a null in a required column are refused, because a reader of the release could not tell them from data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from core.errors import ConfigError
from core.inventory import split_antimeridian
from core.release.lines import split_lines
from core.release.schema import BBOX

SENTINEL = -9999.0


def table_from_rows(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows → table.

    rows: every key of the schema but `bbox`, no other; geometry, where the schema has one, is a (multi)polygon, a
    (multi)line or None, longitudes continuous (they may pass ±180). Empty geometries become null. Raises ConfigError
    naming row and column.
    """
    wanted = [name for name in schema.names if name != "bbox"]
    _check_keys(rows, wanted)
    columns: dict[str, pa.Array] = {}
    for field in schema:
        if field.name == "bbox":
            continue
        values = [row[field.name] for row in rows]
        if field.name == "geometry":
            columns["geometry"], columns["bbox"] = _geometry_columns(values)
        else:
            columns[field.name] = _column(values, field)
    return conform(pa.table({name: columns[name] for name in schema.names}), schema)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly this schema, field metadata included. Raises ConfigError where it does not fit."""
    if table.schema.names != schema.names:
        raise ConfigError(
            "columns of a release table", found=", ".join(table.schema.names), expected=", ".join(schema.names)
        )
    for field in schema:
        column = table.column(field.name)
        if not column.type.equals(field.type):
            raise ConfigError(f"column {field.name}", found=str(column.type), expected=str(field.type))
        if not field.nullable and column.null_count:
            row = int(pc.index(column.is_null(), True).as_py())
            raise ConfigError(f"row {row}, column {field.name}", found="null", expected="a value in every row")
        if pa.types.is_floating(field.type):
            _check_floats(column, field.name)
    return pa.Table.from_arrays(table.columns, schema=schema)


def geometries(table: pa.Table) -> NDArray[np.object_]:
    """The geometry column as shapely objects, None where null."""
    return np.asarray(shapely.from_wkb(np.asarray(table.column("geometry").to_pylist(), dtype=object)), dtype=object)


def bbox_array(table: pa.Table) -> NDArray[np.float64]:
    """The bbox column as (n, 4) xmin, ymin, xmax, ymax; NaN where null."""
    column = table.column("bbox").combine_chunks()
    struct = column.chunk(0) if isinstance(column, pa.ChunkedArray) and column.num_chunks == 1 else column
    if len(struct) == 0:
        return np.empty((0, 4))
    box = np.stack([np.asarray(struct.field(f.name).to_numpy(zero_copy_only=False), dtype=float) for f in BBOX], axis=1)
    box[np.asarray(struct.is_null())] = np.nan
    return box


def _check_keys(rows: Sequence[Mapping[str, Any]], wanted: list[str]) -> None:
    expected = set(wanted)
    for i, row in enumerate(rows):
        if row.keys() == expected:
            continue
        who = f"row {i} ({row.get('rgi_id', 'without rgi_id')})"
        unknown, missing = sorted(row.keys() - expected), [k for k in wanted if k not in row]
        if unknown:
            fix = "bbox is computed from the geometry" if "bbox" in unknown else "see schema_markdown for the columns"
            raise ConfigError(who, found=f"unknown {', '.join(unknown)}", fix=fix)
        raise ConfigError(who, found=f"no {', '.join(missing)}", expected="every column, None where there is no value")


def _column(values: list[Any], field: pa.Field) -> pa.Array:
    try:
        return pa.array(values, type=field.type, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"column {field.name}", found=first, expected=f"values of type {field.type}") from error


def _check_floats(column: pa.ChunkedArray, name: str) -> None:
    values = np.asarray(column.to_numpy(), dtype=float)
    nan = ~np.isfinite(values) & ~np.asarray(column.is_null())
    wrong = np.flatnonzero(nan | (values == SENTINEL))
    if wrong.size:
        row = int(wrong[0])
        raise ConfigError(f"row {row}, column {name}", found=str(values[row]), expected="a number, or null if missing")


def _geometry_columns(values: list[Any]) -> tuple[pa.Array, pa.Array]:
    """(WKB, bbox), both null for None and for empty geometries."""
    source = np.asarray(values, dtype=object)
    source[shapely.is_missing(source) | shapely.is_empty(source)] = None
    known = np.flatnonzero(~shapely.is_missing(source))
    wkb = np.full(len(source), None, dtype=object)
    bounds = np.zeros((len(source), 4))
    if known.size:
        ready = np.asarray(shapely.force_2d(source[known]), dtype=object)
        line = shapely.get_dimensions(ready) == 1
        ready[line] = split_lines(ready[line])
        ready[~line] = shapely.orient_polygons(split_antimeridian(ready[~line]))
        wkb[known] = shapely.to_wkb(ready, byte_order=1, flavor="iso")
        bounds[known] = shapely.bounds(ready)
    missing = np.ones(len(source), dtype=bool)
    missing[known] = False
    children = [pa.array(bounds[:, i]) for i in range(4)]
    box = pa.StructArray.from_arrays(children, fields=list(BBOX), mask=pa.array(missing))
    return pa.array(wkb, type=pa.binary()), box
