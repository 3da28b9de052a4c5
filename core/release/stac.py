"""STAC: a release as a catalogue that any STAC client can read: one collection, one item per region.

Self-contained with relative links, so that the folder can be copied. Items span the year; their boxes follow RFC 7946
at the antimeridian. Specification: https://github.com/radiantearth/stac-spec (1.1.0), extensions file 2.1.0 and
table 1.2.0.
"""

from __future__ import annotations

import datetime as dt
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pystac

from core.layout import ReleaseLayout
from core.release.extent import footprint, merge_extents
from core.release.manifest import Provenance, ReleaseFile
from core.release.schema import AREA, FRONT, HYPSOMETRY, OUTLINE, REGION_TABLES, REGIONAL, SCHEMAS, SURFACE, describe

PARQUET = "application/vnd.apache.parquet"
_EXTENSIONS = [
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/table/v1.2.0/schema.json",
]
_SHA256_MULTIHASH = "1220"  # code of sha2-256 and its length, https://github.com/multiformats/multicodec
_TITLES = {
    AREA: "One row per glacier: outline, area and its uncertainty",
    OUTLINE: "One row per polygon part of an outline",
    HYPSOMETRY: "One row per glacier and elevation band: share of its area",
    FRONT: "One row per calving glacier: front, its length and its advance",
    SURFACE: "One row per glacier and surface: clean ice, debris, lakes",
    REGIONAL: "Area per region",
}


def stac_documents(
    layout: ReleaseLayout, year: int, files: Sequence[ReleaseFile], regional: pa.Table, provenance: Provenance
) -> dict[str, dict[str, Any]]:
    """Key → JSON document, for the collection and every item. files: those of the tables, region_area included."""
    regions = sorted({f.region for f in files if f.region})
    totals = {row["o1region"]: row for row in regional.to_pylist() if row["o2region"] is None}
    collection = _collection(layout, year, files, provenance)
    for region in regions:
        own = [f for f in files if f.region == region]
        item = _item(layout, year, region, own, totals.get(region, {}), provenance)
        collection.add_item(item)
        item.set_self_href(_href(layout.item(region)))  # adding it moved it to pystac's own place
    documents = {layout.item(item.id.rsplit("-", 1)[-1]): item.to_dict(False) for item in collection.get_items()}
    return {layout.collection: collection.to_dict(False), **documents}


def _collection(
    layout: ReleaseLayout, year: int, files: Sequence[ReleaseFile], provenance: Provenance
) -> pystac.Collection:
    box = merge_extents(f.bbox for f in files) or (-180.0, -90.0, 180.0, 90.0)
    simulated = "SIMULATED DATA, not an observation of any glacier. " if provenance.simulated else ""
    collection = pystac.Collection(
        id=f"icefleet-{year}",
        title=f"Glacier inventory {year}" + (" (simulated)" if provenance.simulated else ""),
        description=f"{simulated}Outline, area and its uncertainty for every glacier of the inventory in {year}.",
        extent=pystac.Extent(pystac.SpatialExtent([list(box)]), pystac.TemporalExtent([[*_year_span(year)]])),
        license=provenance.licence,
        stac_extensions=list(_EXTENSIONS),
        extra_fields={
            "icefleet:simulated": provenance.simulated,
            "icefleet:run_id": provenance.run_id,
            "icefleet:model_digest": provenance.model_digest,
            "item_assets": {name: _item_asset(name) for name in REGION_TABLES},
        },
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
    )
    collection.set_self_href(_href(layout.collection))
    for file in files:
        if file.table == REGIONAL:
            collection.add_asset(REGIONAL, _asset(file, layout.collection, _TITLES[REGIONAL], columns=True))
    collection.add_asset(
        "manifest",
        pystac.Asset(
            _relative(layout.manifest, layout.collection),
            title="Files, checksums and provenance",
            media_type=pystac.MediaType.JSON,
            roles=["metadata"],
        ),
    )
    return collection


def _item(
    layout: ReleaseLayout,
    year: int,
    region: str,
    files: Sequence[ReleaseFile],
    total: Mapping[str, Any],
    provenance: Provenance,
) -> pystac.Item:
    box = merge_extents(f.bbox for f in files)
    start, end = _year_span(year)
    counts = ("n_glaciers", "n_measured", "area_km2", "area_sigma_km2", "observed_fraction")
    item = pystac.Item(
        id=f"icefleet-{year}-{region}",
        geometry=footprint(box) if box else None,
        bbox=list(box) if box else None,
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        properties={
            "title": f"RGI region {region}, {year}",
            "icefleet:simulated": provenance.simulated,
            "icefleet:o1region": region,
            **{f"icefleet:{name}": total[name] for name in counts if name in total},
        },
        stac_extensions=list(_EXTENSIONS),
    )
    several = {table for table in REGION_TABLES if sum(f.table == table for f in files) > 1}
    number = dict.fromkeys(REGION_TABLES, 0)
    for file in sorted(files, key=lambda f: f.key):
        name = f"{file.table}_{number[file.table]:05d}" if file.table in several else file.table
        number[file.table] += 1
        item.add_asset(name, _asset(file, layout.item(region), _TITLES[file.table]))
    return item


def _asset(file: ReleaseFile, document: str, title: str, *, columns: bool = False) -> pystac.Asset:
    extra: dict[str, Any] = {
        "file:size": file.bytes,
        "file:checksum": _SHA256_MULTIHASH + file.sha256,
        "table:row_count": file.rows,
    }
    if columns:
        extra["table:columns"] = _columns(file.table)
    return pystac.Asset(
        _relative(file.key, document), title=title, media_type=PARQUET, roles=["data"], extra_fields=extra
    )


def _item_asset(table: str) -> dict[str, Any]:
    return {"type": PARQUET, "roles": ["data"], "title": _TITLES[table], "table:columns": _columns(table)}


def _columns(table: str) -> list[dict[str, str]]:
    columns = []
    for field in SCHEMAS[table]:
        description, unit = describe(field)
        text = f"{description} [{unit}]" if unit else description
        columns.append({"name": field.name, "type": str(field.type), "description": text})
    return columns


def _year_span(year: int) -> tuple[dt.datetime, dt.datetime]:
    return (
        dt.datetime(year, 1, 1, tzinfo=dt.UTC),
        dt.datetime(year, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
    )


def _href(key: str) -> str:
    """A place for pystac to compute relative links from; it never reaches a document."""
    return f"/{key}"


def _relative(key: str, document: str) -> str:
    path = posixpath.relpath(key, posixpath.dirname(document))
    return path if path.startswith("../") else f"./{path}"
