"""Manifest: what a release consists of and where it comes from; the marker that makes it one.

Written last and read first: files that no manifest names are not a release. It holds no wall-clock time, no host name
and no absolute path, so the same run publishes the same bytes wherever it runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import core
from core.errors import ConfigError, SystemicError
from core.layout import ReleaseLayout
from core.objects import Objects
from core.release.extent import Extent
from core.release.schema import AREA
from core.urls import join_url

FORMAT = "icefleet-release"
FORMAT_VERSION = 1
_ABSOLUTE = re.compile(r"^(/|~|file:|[A-Za-z]:\\)")


@dataclass(frozen=True)
class ReleaseFile:
    """One object of a release. table and region are empty for what belongs to no table; bbox follows RFC 7946."""

    key: str
    bytes: int
    sha256: str
    rows: int | None = None
    table: str = ""
    region: str = ""
    bbox: Extent | None = None


@dataclass(frozen=True)
class Provenance:
    """Where the numbers of a release come from.

    inventory_glaciers: rows that glacier_area must have; inventory_digest: identity of the inventory as read;
    res_m: pixel of the probability mosaic, metres; details: further JSON values for the manifest (configuration
    without paths).
    """

    run_id: str
    model_digest: str
    inventory_glaciers: int
    inventory_digest: str
    res_m: float
    min_area_km2: float
    simulated: bool
    licence: str = "CC-BY-4.0"
    created_by: str = f"icefleet {core.__version__}"
    details: Mapping[str, Any] = field(default_factory=dict)


def put_file(
    release: Objects,
    key: str,
    data: bytes,
    *,
    rows: int | None = None,
    table: str = "",
    region: str = "",
    bbox: Extent | None = None,
) -> ReleaseFile:
    """Write one object and describe it."""
    release.put(key, data)
    return ReleaseFile(key, len(data), hashlib.sha256(data).hexdigest(), rows, table, region, bbox)


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys: same document, same bytes. Raises ValueError for NaN and infinity."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def build_manifest(year: int, files: Sequence[ReleaseFile], provenance: Provenance) -> dict[str, Any]:
    """The manifest as JSON values.

    Raises SystemicError if glacier_area has not one row per glacier of the inventory, ConfigError if a value would
    give away a machine (an absolute path).
    """
    rows = sum(f.rows or 0 for f in files if f.table == AREA)
    if rows != provenance.inventory_glaciers:
        raise SystemicError(
            f"glacier_area of {year}",
            found=f"{rows} rows",
            expected=f"one for each of the {provenance.inventory_glaciers} glaciers of the inventory",
            fix="publish every region of the run before finishing the release",
        )
    keys = ("key", "bytes", "sha256", "rows", "table", "region")
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "year": year,
        "run_id": provenance.run_id,
        "model_digest": provenance.model_digest,
        "inventory": {"glaciers": provenance.inventory_glaciers, "digest": provenance.inventory_digest},
        "regions": sorted({f.region for f in files if f.table == AREA}),
        "res_m": provenance.res_m,
        "min_area_km2": provenance.min_area_km2,
        "simulated": provenance.simulated,
        "licence": provenance.licence,
        "created_by": provenance.created_by,
        "details": dict(provenance.details),
        "files": [{k: dataclasses.asdict(f)[k] for k in keys} for f in sorted(files, key=lambda f: f.key)],
    }
    _refuse_paths(manifest, "manifest.json")
    return manifest


def read_manifest(release: Objects, layout: ReleaseLayout) -> dict[str, Any] | None:
    """None if the year is not published. Raises SystemicError for a manifest that is no JSON object."""
    data = release.get_or_none(layout.manifest)
    if data is None:
        return None
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise _broken(release, layout, "no JSON") from error
    if not isinstance(manifest, dict):
        raise _broken(release, layout, type(manifest).__name__)
    return manifest


def claim(release: Objects, layout: ReleaseLayout, run_id: str) -> dict[str, Any] | None:
    """The manifest of an earlier attempt of the same run, or None. Raises ConfigError if another run is published."""
    manifest = read_manifest(release, layout)
    if manifest is not None and manifest.get("run_id") != run_id:
        raise ConfigError(
            join_url(release.url, layout.manifest),
            found=f"the release of run {manifest.get('run_id')}",
            expected=f"nothing, or run {run_id}",
            fix="set `release` to another folder, or delete the published year first",
        )
    return manifest


def _broken(release: Objects, layout: ReleaseLayout, found: str) -> SystemicError:
    return SystemicError(
        join_url(release.url, layout.manifest),
        found=found,
        expected="a JSON object",
        fix="delete it and run the same command again, which writes it anew",
    )


def _refuse_paths(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_paths(inner, f"{where}: {key}")
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_paths(inner, where)
    elif isinstance(value, str) and _ABSOLUTE.match(value):
        raise ConfigError(where, found=repr(value), expected="no absolute path", fix="give the name or the digest")
