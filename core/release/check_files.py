"""Checks on the files of a release: against the manifest, and against the GeoParquet specification."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from core.release.finding import Finding
from core.release.geoparquet import COVERING, VERSION, geometry_types, hilbert_order, is_oriented
from core.release.manifest import FORMAT, FORMAT_VERSION
from core.release.table import bbox_array

MANIFEST_KEYS: dict[str, type | tuple[type, ...]] = {
    "year": int,
    "run_id": str,
    "model_digest": str,
    "inventory": dict,
    "res_m": (int, float),
    "min_area_km2": (int, float),
    "simulated": bool,
    "licence": str,
    "files": list,
}


def check_manifest(key: str, manifest: Mapping[str, Any], year: int) -> Iterator[Finding]:
    """Format, and that every key that readers rely on is there."""
    version = (manifest.get("format"), manifest.get("format_version"))
    if version != (FORMAT, FORMAT_VERSION):
        yield Finding("manifest", key, f"format is {version}, expected {(FORMAT, FORMAT_VERSION)}")
    for name, kind in MANIFEST_KEYS.items():
        if not isinstance(manifest.get(name), kind):
            yield Finding("manifest", key, f"{name} is {manifest.get(name)!r}")
    if manifest.get("year") != year:
        yield Finding("manifest", key, f"year is {manifest.get('year')}, the folder says {year}")


def check_bytes(entry: Mapping[str, Any], data: bytes | None) -> Iterator[Finding]:
    """A file of the manifest: there, of its size and digest. data: None if it is missing."""
    key = str(entry.get("key"))
    if data is None:
        yield Finding("missing-file", key, "is in the manifest but not in the release")
    elif len(data) != entry.get("bytes"):
        yield Finding("size", key, f"{len(data)} bytes, the manifest says {entry.get('bytes')}")
    elif hashlib.sha256(data).hexdigest() != entry.get("sha256"):
        yield Finding("digest", key, "its sha256 is not the manifest's: the file was changed after publication")


def check_schema(key: str, found: pa.Schema, expected: pa.Schema) -> Iterator[Finding]:
    """Names, types and nullability, in order."""
    if found.equals(expected, check_metadata=False):
        return
    have = {f.name: f for f in found}
    for field in expected:
        other = have.pop(field.name, None)
        if other is None:
            yield Finding("schema", key, f"column {field.name} is missing")
        elif not other.equals(field):
            yield Finding("schema", key, f"column {field.name} is {_kind(other)}, expected {_kind(field)}")
    if have:
        yield Finding("schema", key, f"unknown columns {', '.join(have)}")
    elif found.names != expected.names and set(found.names) == set(expected.names):
        yield Finding("schema", key, "columns are in another order")


def check_geo(key: str, table: pa.Table, shapes: NDArray[np.object_]) -> Iterator[Finding]:
    """The `geo` metadata against GeoParquet 1.1 and against the data."""
    try:
        geo = json.loads((table.schema.metadata or {})[b"geo"])
        column = geo["columns"]["geometry"]
        crs = CRS.from_json_dict(column["crs"])
        facts = {
            "version": (geo["version"], VERSION),
            "primary_column": (geo["primary_column"], "geometry"),
            "encoding": (column["encoding"], "WKB"),
            "edges": (column.get("edges", "planar"), "planar"),
            "covering": (column.get("covering"), COVERING),
        }
    except (KeyError, TypeError, ValueError, CRSError) as error:
        yield Finding("geo-metadata", key, f"the geo metadata cannot be read ({type(error).__name__}: {error})")
        return
    there = shapes[~shapely.is_missing(shapes)]
    facts["geometry_types"] = (sorted(column.get("geometry_types", [])), geometry_types(there))
    if there.size:
        box = bbox_array(table)
        bounds = [*np.nanmin(box[:, :2], axis=0).tolist(), *np.nanmax(box[:, 2:], axis=0).tolist()]
        facts["bbox"] = (column.get("bbox"), bounds)
    for name, (found, expected) in facts.items():
        if found != expected:
            yield Finding("geo-metadata", key, f"{name} is {found!r}, expected {expected!r}")
    if not (crs.equals(CRS.from_epsg(4326)) or crs.equals(CRS.from_authority("OGC", "CRS84"))):
        yield Finding("geo-metadata", key, f"crs is {crs.name!r}, expected WGS 84 (EPSG:4326)")
    if "orientation" in column and not is_oriented(there):
        yield Finding("geo-metadata", key, "orientation is promised, but some rings have the other one")


def check_order(key: str, table: pa.Table) -> Iterator[Finding]:
    """Rows lie along the world's Hilbert curve. table: all parts of a region, in order."""
    order = hilbert_order(table)
    wrong = np.flatnonzero(order != np.arange(len(order)))
    if wrong.size:
        who = table.column("rgi_id")[int(wrong[0])].as_py()
        yield Finding("hilbert-order", key, f"row {int(wrong[0])} ({who}) is out of order")


def _kind(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ' not null'}"
