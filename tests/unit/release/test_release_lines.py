"""Lines at the antimeridian: as long as before, never around the globe; and a table of fronts."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from release_factory import area_row, detailed, front_row, square
from shapely import LineString, MultiLineString

from core.release import GLACIER_FRONT, table_from_rows, to_geoparquet
from core.release.lines import split_lines
from core.release.measures import length_km
from core.release.table import bbox_array, geometries


def split(line: shapely.Geometry) -> shapely.Geometry:
    return split_lines(np.array([line], dtype=object))[0]


def jumping(line: LineString) -> LineString:
    """The same vertices with every longitude in [−180, 180), as a projection gives them."""
    return shapely.transform(line, lambda xy: np.stack([(xy[:, 0] + 180.0) % 360.0 - 180.0, xy[:, 1]], axis=1))


@pytest.mark.parametrize("line", [LineString([(7, 46), (7.1, 46.2)]), LineString([(179.9, 70), (180, 70.1)])])
def test_a_line_on_one_side_comes_back_untouched(line: LineString) -> None:
    assert shapely.equals_exact(split(line), line, 0)


def test_lines_of_any_kind_none_and_nothing_pass() -> None:
    lines = np.array([None, LineString([(179, 1), (181, 3)]), LineString(), LineString([(1, 1), (2, 2)])], dtype=object)
    found = split_lines(lines)
    assert found[0] is None and found[2].is_empty and found[3] == lines[3]
    assert found[1] == MultiLineString([[(179, 1), (180, 2)], [(-180, 2), (-179, 3)]])
    assert split_lines(np.empty(0, dtype=object)).size == 0


def test_a_line_that_starts_or_ends_on_the_seam_has_no_piece_without_length() -> None:
    assert split(LineString([(180, 70), (180.5, 70)])) == LineString([(-180, 70), (-179.5, 70)])
    assert split(LineString([(-180.5, 70), (-180, 70)])) == LineString([(179.5, 70), (180, 70)])


def test_the_lines_of_one_front_are_cut_each_by_itself() -> None:
    both = MultiLineString([[(179.8, 70), (179.9, 70)], [(179.9, 71), (180.3, 71)]])
    assert split(both) == MultiLineString(
        [[(179.8, 70), (179.9, 70)], [(179.9, 71), (180, 71)], [(-180, 71), (-179.7, 71)]]
    )


steps = st.tuples(st.floats(-0.3, 0.3), st.floats(0.01, 0.05))


@settings(max_examples=100, deadline=None)
@given(
    lon=st.one_of(st.floats(-180.5, -179.5), st.floats(179.5, 180.5)),
    lat=st.floats(-80, 80),
    walk=st.lists(steps, min_size=1, max_size=12),
)
def test_cutting_keeps_the_length_and_stays_in_range_whichever_way_the_line_came(
    lon: float, lat: float, walk: list[tuple[float, float]]
) -> None:
    xy = np.cumsum([(lon, lat), *walk], axis=0)
    line = LineString(xy)
    found = np.array([split(line), split(jumping(line))], dtype=object)
    assert shapely.is_valid(found).all() and (np.abs(shapely.bounds(found)[:, [0, 2]]) <= 180.0).all()
    np.testing.assert_allclose(shapely.length(found), line.length, rtol=1e-9)
    np.testing.assert_allclose(length_km(found), length_km(np.array([line, line])), rtol=1e-5)
    parts = shapely.get_parts(found[0])
    assert (shapely.length(parts) > 0).all()
    assert (np.ptp(shapely.bounds(parts)[:, [0, 2]], axis=1) < 10.0).all()


def test_a_table_of_fronts_has_line_types_a_box_and_no_orientation() -> None:
    rows = [front_row(detailed(area_row(0, square(lon, 66)))) for lon in (-20.0, 179.99)]
    table = table_from_rows(rows, GLACIER_FRONT)
    np.testing.assert_array_equal(bbox_array(table), shapely.bounds(geometries(table)))
    data = to_geoparquet(table)
    column = json.loads(pq.ParquetFile(io.BytesIO(data)).metadata.metadata[b"geo"])["columns"]["geometry"]
    assert column["geometry_types"] == ["LineString", "MultiLineString"] and "orientation" not in column
    assert column["bbox"] == [-180.0, 66.0, 180.0, 66.0]


def test_heights_of_a_line_are_left_out() -> None:
    row = front_row(detailed(area_row(0)), geometry=LineString([(1, 60, 5), (2, 60, 6)]))
    assert geometries(table_from_rows([row], GLACIER_FRONT))[0] == LineString([(1, 60), (2, 60)])
