"""Layers: one file → its polygon layers as tables with lower-case columns and lon/lat geometry (EPSG:4326).

A layer without polygons beside one with polygons is skipped and reported. A coordinate system is never guessed, except
that bare numbers within the range of degrees are taken as WGS84, and reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow
import pyogrio
import pyogrio.errors
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from core.errors import ConfigError
from core.inventory.report import Finding
from core.inventory.schema import SOURCE_COLUMNS, is_outline_table
from core.inventory.sources import PARQUET, SourceFile

_WGS84 = CRS.from_epsg(4326)
_MAYBE_POLYGONS = ("polygon", "surface", "unknown", "geometry")


@dataclass(frozen=True)
class Layer:
    """attributes: lower-case columns; geometry: lon/lat, same length; source: file name."""

    attributes: pd.DataFrame
    geometry: NDArray[np.object_]
    source: str


def read_layers(file: SourceFile) -> tuple[list[Layer], list[Finding]]:
    """Every layer of a file that holds outlines; an empty list if there is none.

    Raises ConfigError if the file cannot be read, or a layer has no coordinate system and is not in degrees.
    """
    try:
        named = _read_parquet(file) if file.path.suffix.lower() in PARQUET else _read_vector(file)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyarrow.ArrowException) as error:
        raise _unreadable(file, error) from error
    except (OSError, ValueError, UnicodeDecodeError, shapely.errors.ShapelyError) as error:
        raise _unreadable(file, error) from error
    layers: list[Layer] = []
    findings: list[Finding] = []
    for name, frame in named:
        if isinstance(frame, str):
            findings.append(Finding("layer_skipped", None, file.name, f"layer {name!r}: {frame}", "not read"))
            continue
        geometry, found = _to_lonlat(frame, file.name)
        findings += found
        table = pd.DataFrame(frame.drop(columns=frame.geometry.name))
        table.columns = table.columns.str.lower()
        layers.append(Layer(table.loc[:, ~table.columns.duplicated()], geometry, file.name))
    return layers, findings


def _unreadable(file: SourceFile, error: Exception) -> ConfigError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ConfigError(
        str(file.path),
        found=f"a file that cannot be read ({lines[0][:200]})",
        expected="a whole vector file",
        fix="open it in a GIS to see whether it is damaged, or download it again",
    )


def _read_vector(file: SourceFile) -> list[tuple[str, gpd.GeoDataFrame | str]]:
    """(layer, table, or why it is not read)."""
    out: list[tuple[str, gpd.GeoDataFrame | str]] = []
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
        frame = pyogrio.read_dataframe(file.path, layer=name, columns=columns, use_arrow=True)
        if not isinstance(frame, gpd.GeoDataFrame):
            frame = gpd.GeoDataFrame(frame, geometry=np.full(len(frame), None, dtype=object), crs=info["crs"])
        if 0 <= info["features"] != len(frame):
            raise ValueError(f"{len(frame)} of {info['features']} rows of layer {name!r} can be read")
        out.append((name, frame))
    return out


def _read_parquet(file: SourceFile) -> list[tuple[str, gpd.GeoDataFrame | str]]:
    frame = gpd.read_parquet(file.path)
    if not is_outline_table(list(frame.columns)):
        return [(file.name, "outlines of regions, not of glaciers")]
    kind = shapely.get_type_id(frame.geometry.to_numpy())
    if len(kind) and not np.isin(kind, (-1, 3, 6, 7)).any():
        return [(file.name, f"its geometry is {shapely.GeometryType(int(kind[0])).name.title()}")]
    return [(file.name, frame)]


def _to_lonlat(frame: gpd.GeoDataFrame, source: str) -> tuple[NDArray[np.object_], list[Finding]]:
    n = len(frame)
    if frame.crs is None:
        geometry = np.asarray(frame.geometry.to_numpy(), dtype=object)
        xmin, ymin, xmax, ymax = shapely.total_bounds(geometry) if n else (0.0, 0.0, 0.0, 0.0)
        if xmin < -180 or xmax > 360 or ymin < -90 or ymax > 90:
            raise ConfigError(
                source,
                found=f"no coordinate system and coordinates in {xmin:.0f}…{xmax:.0f}, {ymin:.0f}…{ymax:.0f}",
                expected="a coordinate system, or degrees",
                fix="write the CRS into the file (a .prj beside a .shp; `ogr2ogr -a_srs EPSG:… out.gpkg in`)",
            )
        message = "no coordinate system; all coordinates are within the range of degrees"
        return geometry, [Finding("crs_assumed", None, source, message, "taken as EPSG:4326", n)]
    if CRS.from_user_input(frame.crs).equals(_WGS84, ignore_axis_order=True):
        return np.asarray(frame.geometry.to_numpy(), dtype=object), []
    moved = frame.geometry.to_crs(_WGS84).to_numpy()
    found = Finding("reprojected", None, source, f"coordinates in {frame.crs.name}", "reprojected to EPSG:4326", n)
    return np.asarray(moved, dtype=object), [found]
