"""Publish: the tables of regions → the files of a release, and at the very end its manifest.

Same tables, same bytes, whoever writes them and how often. A region is written by one writer at a time, regions are
independent, and only `finish_release` makes them a release. Another run's release is never overwritten.
Tables with a geometry are GeoParquet along the Hilbert curve; hypsometry and region_area are plain Parquet.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.errors import ConfigError
from core.layout import ReleaseLayout
from core.objects import Objects
from core.release.extent import Extent, extent_of
from core.release.geoparquet import ROW_GROUP_ROWS, hilbert_order, take_rows, to_geoparquet
from core.release.manifest import Provenance, ReleaseFile, build_manifest, claim, json_bytes, put_file
from core.release.schema import AREA, HYPSOMETRY, REGION_AREA, REGION_TABLES, REGIONAL, SCHEMAS
from core.release.stac import stac_documents
from core.release.table import conform, geometries
from core.urls import join_url

# One row group a file: readers skip whole files by their boxes (dask-geopandas can skip nothing smaller), and two or
# three pieces of one Hilbert curve in a file have boxes that overlap anyway.
MAX_ROWS_PER_FILE = ROW_GROUP_ROWS


def write_region(
    release: Objects,
    layout: ReleaseLayout,
    region: str,
    tables: Mapping[str, pa.Table],
    max_rows: int = MAX_ROWS_PER_FILE,
) -> list[ReleaseFile]:
    """Write the tables of a region, those with a geometry in several parts above `max_rows`.

    tables: by name (`REGION_TABLES`); glacier_area is required, another may be left out or empty and then has no file.
    Removes parts of an earlier attempt that are not written again, and takes back the manifest of the same run
    before it changes a file that the manifest describes. Raises ConfigError for rows of another region, year or run,
    for an unknown table, and if another run is published here.
    """
    run_id = _one_origin(layout, region, tables)
    manifest = claim(release, layout, run_id)
    published = {str(f.get("key")): f.get("sha256") for f in (manifest or {}).get("files", [])}
    files: list[ReleaseFile] = []
    for name in REGION_TABLES:
        table = conform(tables[name], SCHEMAS[name]) if name in tables else SCHEMAS[name].empty_table()
        kept = set()
        for part, (data, rows, box) in enumerate(_files(name, table, max_rows)):
            key = layout.part(name, region, part)
            if published and published.get(key) != hashlib.sha256(data).hexdigest():
                release.delete(layout.manifest)
                published = {}
            files.append(put_file(release, key, data, rows=rows, table=name, region=region, bbox=box))
            kept.add(key)
        folder = layout.part(name, region).rsplit("/", 1)[0]
        for key, _ in release.list(folder):
            if key not in kept:
                release.delete(layout.manifest)
                published = {}
                release.delete(key)
    return files


def finish_release(
    release: Objects,
    layout: ReleaseLayout,
    files: Sequence[ReleaseFile],
    region_areas: Sequence[pa.Table],
    provenance: Provenance,
) -> dict[str, Any]:
    """Write region_area.parquet, the STAC documents and then the manifest, which is returned.

    files: everything that `write_region` returned; region_areas: `region_area` of each region. Overwrites the same
    run identically. Raises ConfigError if another run is published here or foreign files lie among those of the
    release, SystemicError if a glacier of the inventory has no row.
    """
    claim(release, layout, provenance.run_id)
    regional = conform(pa.concat_tables([REGION_AREA.empty_table(), *region_areas]), REGION_AREA)
    names = pa.table([regional["o1region"], regional["o2region"].fill_null("")], names=["o1region", "o2region"])
    regional = regional.take(pc.sort_indices(names, [("o1region", "ascending"), ("o2region", "ascending")]))
    year = layout_year(layout)
    build_manifest(year, files, provenance)  # complete and clean, before anything is written
    data = plain_parquet(regional)
    tables = [*files, put_file(release, layout.region_area, data, rows=regional.num_rows, table=REGIONAL)]
    documents = stac_documents(layout, year, tables, regional, provenance)
    everything = tables + [put_file(release, key, json_bytes(doc)) for key, doc in documents.items()]
    _refuse_strays(release, layout, {f.key for f in everything})
    manifest = build_manifest(year, everything, provenance)
    release.put(layout.manifest, json_bytes(manifest))
    return manifest


def plain_parquet(table: pa.Table) -> bytes:
    """A Parquet file of a table without geometry, in the order of its rows."""
    sink = io.BytesIO()
    pq.write_table(table.combine_chunks(), sink, compression="zstd")
    return sink.getvalue()


def layout_year(layout: ReleaseLayout) -> int:
    """The year that a layout stands for."""
    return int(layout.root.rpartition("=")[2])


def _files(name: str, table: pa.Table, max_rows: int) -> Iterator[tuple[bytes, int, Extent | None]]:
    """(bytes, rows, extent) of each file of a table; none for an empty one.

    Hypsometry is one file a region: there are no boxes to skip it by, and its rows take a few bytes each.
    """
    if table.num_rows == 0:
        return
    if name == HYPSOMETRY:
        yield plain_parquet(table.sort_by([("rgi_id", "ascending"), ("band_m", "ascending")])), table.num_rows, None
        return
    order = hilbert_order(table)
    for chosen in np.array_split(order, -(-len(order) // max_rows)):
        rows = take_rows(table, chosen)
        yield to_geoparquet(rows), rows.num_rows, extent_of(geometries(rows))


def _one_origin(layout: ReleaseLayout, region: str, tables: Mapping[str, pa.Table]) -> str:
    """The run of all rows, after checking names, region and year."""
    unknown = sorted(tables.keys() - set(REGION_TABLES))
    if unknown:
        expected = f"some of {', '.join(REGION_TABLES)}"
        raise ConfigError(f"tables of region {region}", found=", ".join(unknown), expected=expected)
    area = tables.get(AREA)
    if area is None or area.num_rows == 0:
        raise ConfigError(f"glacier_area of region {region}", found="no rows", fix="publish regions with glaciers only")
    wanted = {"o1region": region, "year": layout_year(layout), "run_id": area.column("run_id")[0].as_py()}
    for name, table in tables.items():
        for column, value in wanted.items():
            found = pc.unique(table.column(column)).to_pylist()
            if found not in ([], [value]):
                raise ConfigError(
                    f"{name} of region {region}", found=f"{column} {found[:3]}", expected=f"{column} {value!r} only"
                )
    return str(wanted["run_id"])


def _refuse_strays(release: Objects, layout: ReleaseLayout, known: set[str]) -> None:
    strays = [key for key, _ in release.list(layout.root) if key not in known | {layout.manifest}]
    if strays:
        raise ConfigError(
            join_url(release.url, layout.root),
            found=f"{len(strays)} files of something else, e.g. {strays[0]}",
            expected="nothing beside this run's release, because readers take whole folders",
            fix="delete them and run the same command again, or set `release` to another folder",
        )
