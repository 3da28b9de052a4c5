"""Rows → table: what is refused, what is made of geometry, and the documentation of the columns."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from release_factory import area_row, good_rows, small_row, square, unmeasured_row

from core.errors import ConfigError
from core.release import GLACIER_AREA, joined_words, schema_markdown, table_from_rows
from core.release.measures import area_km2
from core.release.schema import SCHEMAS, describe
from core.release.table import bbox_array, geometries


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_column_is_described_and_every_quantity_has_its_unit(schema: pa.Schema) -> None:
    text = schema_markdown(schema)
    for field in schema:
        description, unit = describe(field)
        assert description and f"`{field.name}`" in text
        for ending, expected in (("_km2", "km²"), ("_m", "m"), ("_deg", "degree"), ("_fraction", "1")):
            if field.name.endswith(ending):
                assert unit == expected
    assert len({line.replace("\\|", "").count("|") for line in text.splitlines()}) == 1


def test_rows_become_a_table_of_the_schema() -> None:
    table = table_from_rows(good_rows(), GLACIER_AREA)
    assert table.schema.equals(GLACIER_AREA, check_metadata=True)
    assert table.num_rows == len(good_rows())
    assert table_from_rows([], GLACIER_AREA).schema.equals(GLACIER_AREA)


def test_nan_and_not_a_time_become_null() -> None:
    row = unmeasured_row(1, area_km2=float("nan"), inventory_date=pd.NaT, zmin_m=np.nan, n_parts=None)
    found = table_from_rows([row], GLACIER_AREA).to_pylist()[0]
    assert (found["area_km2"], found["inventory_date"], found["zmin_m"]) == (None, None, None)


def test_dates_may_be_timestamps() -> None:
    found = table_from_rows([area_row(1, inventory_date=pd.Timestamp("2000-08-01"))], GLACIER_AREA)
    assert found["inventory_date"].to_pylist() == [dt.date(2000, 8, 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "blue"}, "unknown colour"),
        ({"bbox": None}, "computed from the geometry"),
        ({"rgi_id": None}, "column rgi_id: found null"),
        ({"status": None}, "column status: found null"),
        ({"zmin_m": -9999.0}, "column zmin_m: found -9999.0"),
        ({"area_km2": float("inf")}, "column area_km2: found inf"),
        ({"year": "this year"}, "column year"),
        ({"sensors": ["sentinel2"]}, "column sensors"),
    ],
)
def test_a_wrong_row_is_refused_with_its_column(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        table_from_rows([area_row(0), area_row(1) | change], GLACIER_AREA)


def test_a_missing_key_is_refused_and_named() -> None:
    row = area_row(7)
    del row["sensors"], row["cenlon"]
    with pytest.raises(ConfigError, match=r"00007.*no cenlon, sensors"):
        table_from_rows([row], GLACIER_AREA)


def test_an_empty_geometry_becomes_null_with_a_null_bbox() -> None:
    rows = [area_row(0), small_row(1, geometry=shapely.Polygon(), area_km2=0.0), small_row(2, geometry=None)]
    table = table_from_rows(rows, GLACIER_AREA)
    assert table["geometry"].is_null().to_pylist() == table["bbox"].is_null().to_pylist() == [False, True, True]


def test_rings_are_oriented_and_two_dimensional() -> None:
    clockwise = shapely.Polygon([(0, 60, 5), (0, 61, 5), (1, 61, 5), (1, 60, 5)])
    shape = geometries(table_from_rows([area_row(0, clockwise)], GLACIER_AREA))[0]
    assert shape.exterior.is_ccw and not shape.has_z


def test_words_have_one_spelling() -> None:
    assert joined_words(["b", "a", "b"]) == "a;b"
    assert joined_words([]) == ""


@settings(max_examples=60, deadline=None)
@given(
    lon=st.one_of(st.floats(-180.5, -179.5), st.floats(179, 180), st.floats(-179, 179)),
    lat=st.floats(-85, 84),
    width=st.floats(0.01, 0.9),
    height=st.floats(0.01, 0.9),
)
def test_splitting_at_the_antimeridian_keeps_area_and_stays_in_range(
    lon: float, lat: float, width: float, height: float
) -> None:
    whole = shapely.box(lon, lat, lon + width, lat + height)
    table = table_from_rows([area_row(0, whole)], GLACIER_AREA)
    shape = geometries(table)
    west, south, east, north = bbox_array(table)[0]
    assert -180 <= west <= east <= 180 and (south, north) == (lat, lat + height)
    assert np.allclose(bbox_array(table), shapely.bounds(shape), rtol=0, atol=0)
    assert area_km2(shape)[0] == pytest.approx(area_km2(np.array([whole]))[0], rel=1e-9)


def test_a_square_has_the_area_of_the_ellipsoid() -> None:
    from pyproj import Geod

    shape = square(10.0, 60.0)
    exact, _ = Geod(ellps="WGS84").geometry_area_perimeter(shape)
    assert area_km2(np.array([shape]))[0] == pytest.approx(exact / 1e6, rel=1e-4)
