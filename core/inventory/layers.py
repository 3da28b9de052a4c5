"""Layers: one file → its polygon layers as tables with lower-case columns and lon/lat geometry (EPSG:4326).

A layer without polygons beside one with polygons is skipped and reported. A coordinate system is never guessed, except
that bare numbers within the range of degrees are taken as WGS84, and reported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet as pq
import pyogrio
import pyogrio.errors
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from core.errors import ConfigError
from core.inventory.report import Finding
from core.inventory.schema import SOURCE_COLUMNS, is_outline_table
from core.inventory.sources import PARQUET, SourceFile

_WGS84 = CRS.from_epsg(4326)
_BATCH_ROWS = 16_384
_BUFFER_BYTES = 1 << 20
_MAYBE_POLYGONS = ("polygon", "surface", "unknown", "geometry")


@dataclass(frozen=True)
class Layer:
    """attributes: lower-case columns; geometry: lon/lat, same length; source: file name."""

    attributes: pd.DataFrame
    geometry: NDArray[np.object_]
    source: str


@dataclass(frozen=True)
class _Raw:
    """As in the file: attributes, geometry in `crs` (None: the file does not say)."""

    attributes: pd.DataFrame
    geometry: NDArray[np.object_]
    crs: CRS | None


def read_layers(file: SourceFile) -> tuple[list[Layer], list[Finding]]:
    """Every layer of a file that holds outlines; an empty list if there is none.

    Raises ConfigError if the file cannot be read, or a layer has no coordinate system and is not in degrees.
    """
    try:
        named = _read_parquet(file) if file.path.suffix.lower() in PARQUET else _read_vector(file)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyarrow.ArrowException) as error:
        raise _unreadable(file, error) from error
    except (OSError, ValueError, KeyError, shapely.errors.ShapelyError, CRSError) as error:
        raise _unreadable(file, error) from error
    layers: list[Layer] = []
    findings: list[Finding] = []
    for name, raw in named:
        if isinstance(raw, str):
            findings.append(Finding("layer_skipped", None, file.name, f"layer {name!r}: {raw}", "not read"))
            continue
        geometry, found = _to_lonlat(raw, file)
        findings += found
        table = raw.attributes.rename(columns=str.lower)
        layers.append(Layer(table.loc[:, ~table.columns.duplicated()], geometry, file.name))
    return layers, findings


def _unreadable(file: SourceFile, error: Exception) -> ConfigError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ConfigError(
        file.where,
        found=f"a file that cannot be read ({lines[0][:200]})",
        expected="a whole vector file",
        fix="open it in a GIS to see whether it is damaged, or download it again",
    )


def _read_vector(file: SourceFile) -> list[tuple[str, _Raw | str]]:
    """(layer, content, or why it is not read)."""
    out: list[tuple[str, _Raw | str]] = []
    for name, kind in pyogrio.list_layers(file.path):
        if kind is None or not any(word in kind.lower() for word in _MAYBE_POLYGONS):
            out.append((name, f"its geometry is {kind or 'absent'}"))
            continue
        info = pyogrio.read_info(file.path, layer=name)
        fields = list(info["fields"])
        if not is_outline_table(fields):
            out.append((name, "outlines of regions, not of glaciers"))
            continue
        columns = [f for f in fields if f.lower() in SOURCE_COLUMNS]
        with pyogrio.raw.open_arrow(
            file.path, layer=name, columns=columns, batch_size=_BATCH_ROWS, use_pyarrow=True
        ) as (meta, reader):
            raw = _collect(reader, columns, meta["geometry_name"] or "wkb_geometry", _crs(meta["crs"]))
        if 0 <= info["features"] != len(raw.geometry):
            raise ValueError(f"{len(raw.geometry)} of {info['features']} rows of layer {name!r} can be read")
        out.append((name, raw))
    return out


def _read_parquet(file: SourceFile) -> list[tuple[str, _Raw | str]]:
    """GeoParquet 1.x with WKB geometry (https://geoparquet.org/releases/v1.1.0/)."""
    with pq.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as parquet:
        header = (parquet.schema_arrow.metadata or {}).get(b"geo")
        if header is None:
            raise ValueError("Parquet without the `geo` metadata of GeoParquet")
        geo = json.loads(header)
        name = geo["primary_column"]
        column = geo["columns"][name]
        if column["encoding"] != "WKB":
            raise ValueError(f"geometry encoded as {column['encoding']}; only WKB can be read")
        fields = list(parquet.schema_arrow.names)
        if not is_outline_table(fields):
            return [(file.name, "outlines of regions, not of glaciers")]
        columns = [f for f in fields if f.lower() in SOURCE_COLUMNS and f != name]
        # No `crs` key means longitude and latitude, null means unknown.
        crs = _crs(column.get("crs", "OGC:CRS84"))
        raw = _collect(parquet.iter_batches(_BATCH_ROWS, columns=[*columns, name]), columns, name, crs)
    kind = shapely.get_type_id(raw.geometry)
    if len(kind) and not np.isin(kind, (-1, 3, 6, 7)).any():
        return [(file.name, f"its geometry is {shapely.GeometryType(int(kind[0])).name.title()}")]
    return [(file.name, raw)]


def _collect(batches: Iterable[pyarrow.RecordBatch], columns: list[str], geometry: str, crs: CRS | None) -> _Raw:
    """Batch by batch, so that the encoded geometry of a whole inventory never lies beside the decoded one."""
    tables, shapes = [], [np.empty(0, dtype=object)]
    for batch in batches:
        # A copy: GDAL hands out a batch as one piece, which a single column would keep in memory.
        tables.append(batch.select(columns).take(pyarrow.array(np.arange(len(batch)))))
        encoded = batch.column(batch.schema.get_field_index(geometry))
        shapes.append(np.asarray(shapely.from_wkb(encoded.to_numpy(zero_copy_only=False)), dtype=object))
    shape = np.concatenate(shapes)
    if not columns or not tables:
        return _Raw(pd.DataFrame(index=pd.RangeIndex(len(shape))), shape, crs)
    return _Raw(pyarrow.Table.from_batches(tables).to_pandas(), shape, crs)


def _crs(text: object) -> CRS | None:
    return None if text is None else CRS.from_user_input(text)


def _to_lonlat(raw: _Raw, file: SourceFile) -> tuple[NDArray[np.object_], list[Finding]]:
    n = len(raw.geometry)
    if raw.crs is None:
        xmin, ymin, xmax, ymax = shapely.total_bounds(raw.geometry) if n else (0.0, 0.0, 0.0, 0.0)
        if xmin < -180 or xmax > 360 or ymin < -90 or ymax > 90:
            raise ConfigError(
                file.where,
                found=f"no coordinate system and coordinates in {xmin:.0f}…{xmax:.0f}, {ymin:.0f}…{ymax:.0f}",
                expected="a coordinate system, or degrees",
                fix="write the CRS into the file (a .prj beside a .shp; `ogr2ogr -a_srs EPSG:… out.gpkg in`)",
            )
        message = "no coordinate system; all coordinates are within the range of degrees"
        return raw.geometry, [Finding("crs_assumed", None, file.name, message, "taken as EPSG:4326", n)]
    if raw.crs.equals(_WGS84, ignore_axis_order=True):
        return raw.geometry, []
    moved = gpd.GeoSeries(raw.geometry, crs=raw.crs).to_crs(_WGS84).to_numpy()
    found = Finding("reprojected", None, file.name, f"coordinates in {raw.crs.name}", "reprojected to EPSG:4326", n)
    return np.asarray(moved, dtype=object), [found]
