"""Reading an inventory: sources → one table of glaciers, a report and a digest.

The table has a row for every glacier that was read, mapped or not: a row without geometry says why in `problem`. The
digest depends on what the sources say, not on their names or their order, so that a run can be named by it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from core.errors import ConfigError
from core.grid import home_zones
from core.inventory.identity import position_ids, resolve
from core.inventory.layers import Layer, read_layers
from core.inventory.outlines import Note, centres, clean_outlines, subtract_rocks
from core.inventory.polygons import area_km2, vertex_chunks
from core.inventory.report import Finding, InventoryReport
from core.inventory.schema import UNKNOWN_REGION, normalise
from core.inventory.sources import local_files

COLUMNS = (
    "rgi_id",
    "o1region",
    "o2region",
    "glims_id",
    "src_date",
    "src_date_precision",
    "cenlon",
    "cenlat",
    "area_km2",
    "geometry_area_km2",
    "term_type",
    "surge_type",
    "glac_name",
    "zmin_m",
    "zmax_m",
    "zmed_m",
    "zmean_m",
    "slope_deg",
    "aspect_deg",
    "lmax_m",
    "version",
    "source",
    "zone",
    "problem",
    "geometry",
)
_OBJECTS: tuple[str, ...] = (
    *("rgi_id", "o1region", "o2region", "glims_id", "src_date", "src_date_precision"),
    *("glac_name", "version", "source", "zone", "problem"),
)
# Derived from the rest, or a name of a file: no part of what the sources say.
_NOT_IN_DIGEST = ("geometry_area_km2", "zone", "source", "geometry")
_AREA_TOLERANCE = 0.01
_OUTLINE_TYPES = (None, "glac_bound")
_ROCK = "intrnl_rock"
# How near a glacier of another region must be to be a neighbour: more than any advance reaches.
_NEAR_KM = 10.0
_KM_PER_DEG = 111.32


@dataclass(frozen=True, eq=False)
class Inventory:
    """glaciers: `COLUMNS`, sorted by the unique rgi_id, RangeIndex, EPSG:4326 with continuous longitudes.

    Text columns are objects with None for missing; src_date is datetime.date or None (see `dates`); codes are Int8 with
    <NA>; other numbers float64 with NaN. The geometry is Polygon or MultiPolygon, and None exactly where `problem` says
    why. zone is None only for a glacier without any position.
    neighbours: glaciers of regions that were not asked for within some 10 km of those that were, with the same columns;
    they are measured by nobody here, but their ice is theirs. digest: sha256, hex, of the content of both.
    """

    glaciers: gpd.GeoDataFrame
    report: InventoryReport
    digest: str
    neighbours: gpd.GeoDataFrame


def read_inventory(sources: Sequence[str], regions: Sequence[str] | None) -> Inventory:
    """Read, normalise, repair and identify the glaciers of `sources` that are in `regions` (None: all).

    sources: paths or file://, s3://, memory:// URLs of RGI 4 to 7 (G or C), GLIMS or any polygons; see `sources`.
    Raises ConfigError if a source is missing, unreadable, truncated or without polygons, if a coordinate system is
    missing, or if no glacier is in the regions.
    """
    layers, findings = _read_all(sources)
    table, geometry, notes = _stack(layers)
    read = _rows_read(layers)
    del layers  # whoever still holds the raw outlines doubles the memory of what follows

    inside = _in_regions(table, regions)
    findings += _outside(table[~inside], regions)
    used = inside | _near(geometry, inside)
    renumber = np.cumsum(used) - 1
    notes = [Note(n.kind, int(renumber[n.row]), n.message, n.action) for n in notes if used[n.row]]
    table, geometry, asked = table[used].reset_index(drop=True), geometry[used], inside[used]

    outlines = clean_outlines(geometry)
    notes += outlines.notes
    geometry, keep, found = _bounds_only(table, outlines.geometry)
    notes += found
    lon, lat, found = centres(
        geometry, table["cenlon"].to_numpy(dtype=np.float64), table["cenlat"].to_numpy(dtype=np.float64)
    )
    notes += found
    table["cenlon"], table["cenlat"] = lon, lat
    table["problem"] = pd.Series(outlines.problem, dtype=object)
    table["geometry_area_km2"] = area_km2(geometry)

    ids = table["rgi_id"].to_numpy(dtype=object)
    nameless = table["rgi_id"].isna().to_numpy()
    ids = np.where(nameless, position_ids(lon, lat), ids)
    notes += [n for n in _row_notes(table, nameless) if keep[n.row]]
    table["rgi_id"] = ids
    rows = np.flatnonzero(keep)
    identities = resolve(table.drop(columns="source").iloc[rows], ids[rows], geometry[rows])
    notes += [Note(n.kind, int(rows[n.row]), n.message, n.action) for n in identities.notes]
    ids[rows], keep[rows] = identities.ids, identities.keep
    table["rgi_id"] = ids

    source = table["source"].to_numpy(dtype=object)
    findings += [Finding(n.kind, ids[n.row], source[n.row], n.message, n.action) for n in notes if asked[n.row]]
    findings += _mixed_products(table[keep & asked])
    glaciers = _finish(table[keep & asked], geometry[keep & asked])
    beside = keep & ~asked & table["problem"].isna().to_numpy(dtype=bool)
    neighbours = _finish(table[beside], geometry[beside])
    report = InventoryReport(
        findings=tuple(sorted(findings, key=lambda f: (f.kind, f.source, f.rgi_id or "", f.message))),
        outlines_read=tuple(read.items()),
        glaciers=len(glaciers),
        left_out=sum(read.values()) - len(glaciers),
    )
    digest = _digest(glaciers, neighbours) if len(neighbours) else _digest(glaciers)
    return Inventory(glaciers, report, digest, neighbours)


def _read_all(sources: Sequence[str]) -> tuple[list[Layer], list[Finding]]:
    if not sources:
        raise ConfigError("inventory", found="no source", expected="at least one file of glacier outlines")
    layers: list[Layer] = []
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="icefleet-inventory-") as scratch:
        for source in sources:
            found: list[Layer] = []
            for file in local_files(source, Path(scratch)):
                more, reported = read_layers(file)
                found += more
                findings += reported
            if not any(len(layer.geometry) for layer in found):
                reasons = "; ".join(f.message for f in findings if f.kind == "layer_skipped")
                raise ConfigError(
                    source,
                    found=reasons or "no rows",
                    expected="a layer with polygons of glaciers",
                    fix="give the outlines (RGI product G or C), not the centre lines or intersects",
                )
            layers += found
    return layers, findings


def _rows_read(layers: Sequence[Layer]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for layer in layers:
        total[layer.source] += len(layer.geometry)
    return dict(total)


def _stack(layers: Sequence[Layer]) -> tuple[pd.DataFrame, NDArray[np.object_], list[Note]]:
    """All layers under one another, normalised; rows of notes count through."""
    tables, notes, start = [], [], 0
    for layer in layers:
        table, found = normalise(layer.attributes.reset_index(drop=True))
        table["source"] = pd.Series([layer.source] * len(table), dtype=object)
        tables.append(table)
        notes += [Note(n.kind, n.row + start, n.message, n.action) for n in found]
        start += len(table)
    filled = [t for t in tables if len(t)]
    return pd.concat(filled, ignore_index=True), np.concatenate([layer.geometry for layer in layers]), notes


def _in_regions(table: pd.DataFrame, regions: Sequence[str] | None) -> NDArray[np.bool_]:
    if regions is None:
        return np.ones(len(table), dtype=bool)
    inside = table["o1region"].isin(list(regions)).to_numpy(dtype=bool)
    if not inside.any():
        counts = table["o1region"].value_counts().sort_index()
        raise ConfigError(
            "regions",
            found=", ".join(f"{r}: {n} glaciers" for r, n in counts.items()),
            expected=f"glaciers in {', '.join(regions)}",
            fix="correct `regions`, or add the outlines of those regions under `inventory`",
        )
    return inside


def _near(geometry: NDArray[np.object_], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows outside whose box comes within `_NEAR_KM` of one inside, in degrees, also across 180°."""
    near = np.zeros(len(inside), dtype=bool)
    bounds = shapely.bounds(geometry)
    known = np.isfinite(bounds).all(axis=1)
    others = np.flatnonzero(known & ~inside)
    if not len(others):
        return near
    west, south, east, north = bounds[known & inside].T
    margin_lat = _NEAR_KM / _KM_PER_DEG
    poleward = np.minimum(np.maximum(np.abs(south), np.abs(north)) + margin_lat, 89.0)
    margin_lon = margin_lat / np.cos(np.radians(poleward))
    tree = shapely.STRtree(np.asarray(shapely.box(*bounds[others].T), dtype=object))
    for turn in (-360.0, 0.0, 360.0):
        grown = shapely.box(west - margin_lon + turn, south - margin_lat, east + margin_lon + turn, north + margin_lat)
        near[others[np.unique(tree.query(grown)[1])]] = True
    return near


def _outside(table: pd.DataFrame, regions: Sequence[str] | None) -> list[Finding]:
    """One finding per source and region that was not asked for."""
    if regions is None:
        return []
    counts = Counter(zip(table["source"], table["o1region"], strict=True))
    return [
        Finding(
            "other_region",
            None,
            str(source),
            f"{n} in {'no known region' if region == UNKNOWN_REGION else 'region ' + region}",
            "left out: not among the regions of the run",
            n,
        )
        for (source, region), n in sorted(counts.items())
    ]


def _bounds_only(
    table: pd.DataFrame, geometry: NDArray[np.object_]
) -> tuple[NDArray[np.object_], NDArray[np.bool_], list[Note]]:
    """GLIMS rows that are not glacier boundaries: rocks are cut out of their glacier, other lines are left out."""
    kind = table["line_type"].to_numpy(dtype=object)
    keep = np.isin(kind.astype(str), [str(k) for k in _OUTLINE_TYPES])
    geometry, placed, notes = subtract_rocks(geometry, table["analysis"].to_numpy(dtype=object), kind == _ROCK)
    notes += [
        Note(
            "not_a_glacier",
            int(i),
            f"line_type {kind[i]}",
            "cut out of its glacier" if placed[i] else "left out: not the boundary of a glacier",
        )
        for i in np.flatnonzero(~keep)
    ]
    return geometry, keep, notes


def _row_notes(table: pd.DataFrame, nameless: NDArray[np.bool_]) -> list[Note]:
    notes = [Note("no_id", int(i), "no id stated", "id made from the position") for i in np.flatnonzero(nameless)]
    unknown = (table["o1region"] == UNKNOWN_REGION).to_numpy(dtype=bool)
    notes += [Note("no_region", int(i), "no region stated", "region 00") for i in np.flatnonzero(unknown)]
    problem = table["problem"].to_numpy(dtype=object)
    notes += [
        Note("not_mappable", int(i), str(problem[i]), "kept as a row without geometry")
        for i in np.flatnonzero(table["problem"].notna())
    ]
    stated, measured = table["area_km2"].to_numpy(), table["geometry_area_km2"].to_numpy()
    off = np.abs(stated / measured - 1) > _AREA_TOLERANCE
    return notes + [
        Note(
            "area_mismatch",
            int(i),
            f"{stated[i]:.4f} km² stated, {measured[i]:.4f} km² in the geometry",
            "kept; stated area is in area_km2",
        )
        for i in np.flatnonzero(off)
    ]


def _mixed_products(table: pd.DataFrame) -> list[Finding]:
    versions = sorted(table["version"].unique())
    if len(versions) < 2:
        return []
    message = ", ".join(f"{v}: {n}" for v, n in table["version"].value_counts().sort_index().items())
    action = "kept; where versions or products cover the same ice, its area is counted twice"
    return [Finding("mixed_versions", None, "all sources", message, action, len(table))]


def _finish(table: pd.DataFrame, geometry: NDArray[np.object_]) -> gpd.GeoDataFrame:
    order = np.argsort(table["rgi_id"].to_numpy(dtype=object), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    placed = np.isfinite(table["cenlon"].to_numpy(dtype=np.float64))
    zone = np.full(len(table), None, dtype=object)
    if placed.any():
        zone[placed] = home_zones(table["cenlon"].to_numpy()[placed], table["cenlat"].to_numpy()[placed]).astype(object)
    table["zone"] = pd.Series(zone, dtype=object)
    for name in _OBJECTS:
        # pandas makes text of arrays with text in them, and NaN of None.
        values = table[name].astype(object)
        table[name] = values.where(values.notna(), None)
    return gpd.GeoDataFrame(table, geometry=geometry[order], crs="EPSG:4326")[list(COLUMNS)]


def _digest(*tables: gpd.GeoDataFrame) -> str:
    """sha256 over the columns and the WKB (little endian) of the rows in their order."""
    total = hashlib.sha256()
    for table in tables:
        _add_to(total, table)
    return total.hexdigest()


def _add_to(total: hashlib._Hash, glaciers: gpd.GeoDataFrame) -> None:
    for name in (c for c in COLUMNS if c not in _NOT_IN_DIGEST):
        column = glaciers[name]
        total.update(name.encode() + b"\x00")
        if pd.api.types.is_numeric_dtype(column):
            number = column.to_numpy(dtype=np.float64, na_value=np.nan)
            # One bit pattern for every NaN.
            total.update(np.where(np.isnan(number), np.nan, number).astype("<f8").tobytes())
        else:
            total.update("\x1e".join("\x00" if v is None else str(v) for v in column).encode())
    geometry = np.asarray(glaciers.geometry.to_numpy(), dtype=object)
    for rows in vertex_chunks(geometry):
        for wkb in shapely.to_wkb(geometry[rows], byte_order=1):
            total.update(b"\x00" if wkb is None else wkb)
