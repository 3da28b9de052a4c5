"""GeoParquet files: bytes that depend on the rows alone, metadata as specified, order along the Hilbert curve."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from release_factory import area_row, good_rows, outline_row, small_row, square, tables

from core.errors import ConfigError
from core.release import GLACIER_AREA, GLACIER_OUTLINE, table_from_rows, to_geoparquet
from core.release.geoparquet import hilbert_keys, hilbert_order
from core.release.table import geometries


def geo(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pq.ParquetFile(io.BytesIO(data)).metadata.metadata[b"geo"])
    return found


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(1, 15))
def test_bytes_do_not_depend_on_the_order_or_the_chunks_of_the_rows(seed: int, cut: int) -> None:
    rows = good_rows()
    shuffled = random.Random(seed).sample(rows, len(rows))
    chunked = pa.concat_tables(
        [table_from_rows(shuffled[:cut], GLACIER_AREA), table_from_rows(shuffled[cut:], GLACIER_AREA)]
    )
    assert to_geoparquet(chunked) == to_geoparquet(table_from_rows(rows, GLACIER_AREA))


def test_the_schema_survives_with_descriptions_and_without_pandas() -> None:
    schema = pq.ParquetFile(io.BytesIO(to_geoparquet(tables(good_rows())["glacier_area"]))).schema_arrow
    assert schema.equals(GLACIER_AREA, check_metadata=False)
    assert all(field.metadata[b"description"] for field in schema)
    assert set(schema.metadata) == {b"geo"}


def test_geo_metadata_names_everything_that_readers_need() -> None:
    meta = geo(
        to_geoparquet(table_from_rows([area_row(0, square(10, 60)), area_row(1, square(179.99, -70))], GLACIER_AREA))
    )
    column = meta["columns"]["geometry"]
    assert meta["version"] == "1.1.0" and meta["primary_column"] == "geometry"
    assert column["geometry_types"] == ["MultiPolygon", "Polygon"]
    assert column["bbox"] == [-180.0, -70.0, 180.0, 60.02]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 4326}
    assert column["orientation"] == "counterclockwise" and column["edges"] == "planar"
    assert column["covering"]["bbox"]["xmax"] == ["bbox", "xmax"]


def test_orientation_is_not_promised_for_rings_that_do_not_have_it() -> None:
    table = table_from_rows([area_row(0)], GLACIER_AREA)
    turned = shapely.to_wkb(shapely.reverse(geometries(table)))
    place = table.schema.get_field_index("geometry")
    table = table.set_column(place, table.schema.field(place), pa.array(turned, pa.binary()))
    assert "orientation" not in geo(to_geoparquet(table))["columns"]["geometry"]


def test_rows_lie_in_geopandas_own_hilbert_order_with_null_geometries_last() -> None:
    rows = [area_row(i, square(lon, lat)) for i, (lon, lat) in enumerate([(170, -40), (-150, 60), (7, 46), (86, 28)])]
    table = table_from_rows([small_row(9, geometry=None, area_km2=0.0), *rows], GLACIER_AREA)
    keys = hilbert_keys(table)
    expected = geopandas.GeoSeries(geometries(table)[1:]).hilbert_distance(total_bounds=(-180, -90, 180, 90), level=16)
    assert keys[1:].tolist() == expected.tolist()
    stored = pq.read_table(io.BytesIO(to_geoparquet(table)))
    assert (np.diff(hilbert_keys(stored)) >= 0).all()
    assert stored["geometry"].is_null().to_pylist() == [False] * 4 + [True]


def test_equal_places_are_ordered_by_id_and_part() -> None:
    rows = [outline_row(area_row(i, square(7, 46)), part) for i, part in [(2, 0), (1, 1), (1, 0)]]
    assert hilbert_order(table_from_rows(rows, GLACIER_OUTLINE)).tolist() == [2, 1, 0]


def test_row_groups_are_small_and_even() -> None:
    table = tables([area_row(i) for i in range(25)])["glacier_area"]
    file = pq.ParquetFile(io.BytesIO(to_geoparquet(table, row_group_rows=10)))
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [13, 12]


def test_row_groups_carry_bbox_statistics_and_no_statistics_of_geometry() -> None:
    group = pq.ParquetFile(io.BytesIO(to_geoparquet(tables(good_rows())["glacier_area"]))).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert columns["bbox.xmin"].statistics.min == -20.0
    assert columns["geometry"].statistics is None
    assert {c.compression for c in columns.values()} == {"ZSTD"}


def test_a_file_without_any_geometry_has_no_bbox() -> None:
    column = geo(to_geoparquet(table_from_rows([small_row(1, geometry=None)], GLACIER_AREA)))["columns"]["geometry"]
    assert column["geometry_types"] == [] and "bbox" not in column


def test_there_is_no_file_for_an_empty_table() -> None:
    with pytest.raises(ConfigError, match="write no file"):
        to_geoparquet(GLACIER_AREA.empty_table())
