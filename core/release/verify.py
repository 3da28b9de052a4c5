"""Verify: a published release against every promise that can be read off it.

Reads a release as a stranger would, from its URL alone, one region at a time. A broken release gives findings, never
an exception; only an unreachable store raises (SystemicError, TransientError). No finding means that the invariants
of the design hold as far as the files can tell.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from core.errors import SystemicError
from core.layout import ReleaseLayout
from core.objects import Objects
from core.release.check_details import check_hypsometry
from core.release.check_files import check_bytes, check_manifest, check_order, check_schema
from core.release.check_geometry import check_overlaps, overlap_finding, overlapping_pairs
from core.release.check_rows import check_region_area, check_unique
from core.release.check_table import check_table, res_m
from core.release.finding import Finding, about
from core.release.manifest import read_manifest
from core.release.owners import Owners, outlined
from core.release.region_area import region_area
from core.release.schema import AREA, HYPSOMETRY, REGION_TABLES, REGIONAL, SCHEMAS
from core.release.table import bbox_array, geometries
from core.urls import local_path, normalise_url

_YEAR = re.compile(r"^year=(\d{4})/")


def verify_release(url: str, year: int | None = None) -> list[Finding]:
    """Everything that is wrong with one year of a release, or with all its years. Empty: nothing is."""
    folder = local_path(normalise_url(url))
    if folder is not None and not folder.is_dir():
        return [Finding("manifest", url, "there is no such folder")]
    release = Objects(url)
    found = {int(m[1]) for key, _ in release.list() if (m := _YEAR.match(key))}
    years = sorted(found) if year is None else [year]
    if not years:
        return [Finding("manifest", url, "no folder year=YYYY: this is no release")]
    return [finding for y in years for finding in _Year(release, y).findings()]


@dataclass
class _Mapped:
    """Mapped outlines of a region, kept as boxes only, for the look across borders."""

    region: str
    ids: NDArray[np.object_]
    boxes: NDArray[np.float64]


@dataclass
class _Year:
    release: Objects
    year: int
    manifest: Mapping[str, Any] = field(default_factory=dict)
    totals: list[pa.Table] = field(default_factory=list)
    mapped: list[_Mapped] = field(default_factory=list)
    ids: list[NDArray[np.object_]] = field(default_factory=list)
    sound: set[str] = field(default_factory=set)  # keys of files whose rows could be read

    @property
    def layout(self) -> ReleaseLayout:
        return ReleaseLayout(self.year)

    def findings(self) -> Iterator[Finding]:
        key = self.layout.manifest
        try:
            manifest = read_manifest(self.release, self.layout)
        except SystemicError as error:
            yield Finding("manifest", key, f"found {error.found}, expected {error.expected}")
            return
        if manifest is None:
            yield Finding("manifest", key, "is missing: the release was never finished")
            return
        self.manifest = manifest
        yield from check_manifest(key, manifest, self.year)
        entries = [e for e in _list(manifest.get("files")) if isinstance(e, dict) and isinstance(e.get("key"), str)]
        present = {k for k, _ in self.release.list(self.layout.root)}
        for stray in sorted(present - {e["key"] for e in entries} - {key}):
            yield Finding("stray-file", stray, "is in the release but not in its manifest")
        regional = [e for e in entries if e.get("region") and e.get("table") in REGION_TABLES]
        regions = sorted({str(e["region"]) for e in regional})
        for region in regions:
            yield from self._region(region, [e for e in regional if e["region"] == region])
        for entry in (e for e in entries if e not in regional):
            yield from self._other(entry)
        yield from self._whole(entries, regions)
        yield from self._across_regions(entries)

    def _region(self, region: str, entries: list[dict[str, Any]]) -> Iterator[Finding]:
        """The tables of a region, file by file and then as a whole."""
        owners = Owners.none()
        for name in REGION_TABLES:
            parts: dict[str, pa.Table] = {}
            for entry in sorted((e for e in entries if e.get("table") == name), key=lambda e: str(e["key"])):
                key = str(entry["key"])
                table = yield from self._read(entry)
                if table is not None and (yield from check_table(key, name, table, region, owners, self.manifest)):
                    parts[key] = table
            if not parts:
                continue
            first, whole = next(iter(parts)), pa.concat_tables(parts.values())
            if name == HYPSOMETRY:
                yield from check_hypsometry(first, whole, owners)
            else:
                yield from check_order(first, whole)
            if name == AREA:
                owners = Owners.of(whole)
                yield from self._glaciers(region, whole)
            else:
                yield from check_unique(first, name, whole)
            self.sound.update(parts)

    def _glaciers(self, region: str, whole: pa.Table) -> Iterator[Finding]:
        """glacier_area of a region, all files together."""
        ids = np.asarray(whole.column("rgi_id").to_pylist(), dtype=object)
        self.ids.append(ids)
        mapped = outlined(whole)
        chosen = whole.filter(pa.array(mapped))
        yield from check_overlaps(self.layout.table(AREA), ids[mapped], geometries(chosen), res_m(self.manifest))
        self.mapped.append(_Mapped(region, ids[mapped], bbox_array(chosen)))
        if len(whole.column("run_id").unique()) == 1 and len(whole.column("year").unique()) == 1:
            self.totals.append(region_area(whole))

    def _other(self, entry: Mapping[str, Any]) -> Iterator[Finding]:
        """Files that belong to no region."""
        if entry.get("table") == REGIONAL:
            table = yield from self._read(entry)
            if table is not None:
                yield from check_region_area(str(entry["key"]), table, self.totals)
        else:
            yield from check_bytes(entry, self.release.get_or_none(str(entry["key"])))

    def _read(self, entry: Mapping[str, Any]) -> Generator[Finding, None, pa.Table | None]:
        """The table of a file with the right schema, else None; findings on the way."""
        key, schema = str(entry["key"]), SCHEMAS[str(entry["table"])]
        data = self.release.get_or_none(key)
        yield from check_bytes(entry, data)
        if data is None:
            return None
        try:
            table = pq.ParquetFile(io.BytesIO(data)).read()
        except (pa.ArrowException, OSError) as error:
            yield Finding("unreadable", key, f"is no Parquet file ({str(error).splitlines()[0]})")
            return None
        if table.num_rows != entry.get("rows"):
            yield Finding("rows", key, f"{table.num_rows} rows, the manifest says {entry.get('rows')}")
        if table.num_rows == 0:
            yield Finding("rows", key, "has no rows; an empty table has no file")
        wrong = list(check_schema(key, table.schema, schema))
        yield from wrong
        return None if wrong or table.num_rows == 0 else table

    def _whole(self, entries: list[dict[str, Any]], regions: list[str]) -> Iterator[Finding]:
        """One row per glacier of the inventory; the documents that belong to the tables."""
        key = self.layout.table(AREA)
        ids = np.concatenate(self.ids) if self.ids else np.empty(0, dtype=object)
        names, counts = np.unique(ids.astype(str), return_counts=True)
        yield from about("unique-id", key, names[counts > 1], "rgi_id has several rows")
        inventory = self.manifest.get("inventory")
        expected = inventory.get("glaciers") if isinstance(inventory, dict) else None
        if len(ids) != expected:
            yield Finding("inventory-count", key, f"{len(ids)} rows, the inventory has {expected} glaciers")
        keys = {e["key"] for e in entries}
        wanted = [self.layout.region_area, self.layout.collection, *(self.layout.item(r) for r in regions)]
        for missing in (k for k in wanted if k not in keys):
            yield Finding("manifest", missing, "every release has this file, the manifest does not name it")

    def _across_regions(self, entries: list[dict[str, Any]]) -> Iterator[Finding]:
        """Overlaps of glaciers of different regions: candidates by their boxes, then by geometry."""
        if len(self.mapped) < 2:
            return
        boxes = np.concatenate([m.boxes for m in self.mapped])
        ids = np.concatenate([m.ids for m in self.mapped])
        group = np.repeat(np.arange(len(self.mapped)), [len(m.ids) for m in self.mapped])
        areas = shapely.box(*boxes.T)
        left, right = shapely.STRtree(areas).query(areas, predicate="intersects")
        wanted = np.unique(left[group[left] != group[right]])
        shapes = np.full(len(wanted), None, dtype=object)
        for number in np.unique(group[wanted]):
            region, mine = self.mapped[number].region, group[wanted] == number
            shapes[mine] = self._outlines(entries, region, ids[wanted[mine]])
        for i, j, area in overlapping_pairs(shapes, res_m(self.manifest), group[wanted]):
            yield overlap_finding(self.layout.table(AREA), str(ids[wanted[i]]), str(ids[wanted[j]]), area)

    def _outlines(self, entries: list[dict[str, Any]], region: str, ids: NDArray[np.object_]) -> NDArray[np.object_]:
        """The mapped geometries of some glaciers, in the order of ids; read again, to hold one region at a time."""
        shapes: dict[str, Any] = {}
        for entry in entries:
            if entry.get("table") == AREA and entry.get("region") == region and entry["key"] in self.sound:
                data = self.release.get(str(entry["key"]))
                table = pq.ParquetFile(io.BytesIO(data)).read(columns=["rgi_id", "geometry"])
                chosen = table.filter(pc.is_in(table.column("rgi_id"), pa.array(ids.tolist())))
                shapes |= dict(zip(chosen.column("rgi_id").to_pylist(), geometries(chosen), strict=True))
        return np.asarray([shapes.get(i) for i in ids], dtype=object)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
