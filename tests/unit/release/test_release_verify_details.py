"""Verification of what a release says beyond areas: parts of σ, surfaces, elevations, hypsometry and fronts."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from release_factory import (
    LAYOUT,
    Row,
    area_row,
    change_table,
    detailed,
    front_row,
    good_rows,
    hypsometry_rows,
    publish,
    square,
    surface_rows,
    with_cell,
)

from core.measure.hypsometry import hypsometry
from core.objects import Objects
from core.release import schema, table_from_rows, verify_release

GLACIER = "RGI2000-v7.0-G-06-00000"  # measured with all details
PLAIN = "RGI2000-v7.0-G-06-00002"  # measured, no details
UNSEEN = "RGI2000-v7.0-G-06-00012"  # not observed
AREA, HYPSOMETRY, FRONT, SURFACE = (
    LAYOUT.part(name, "06") for name in (schema.AREA, schema.HYPSOMETRY, schema.FRONT, schema.SURFACE)
)


def with_value(column: str, value: Any, glacier: str = GLACIER) -> Callable[[pa.Table], pa.Table]:
    """A change of one column in the first row of a glacier."""

    def change(table: pa.Table) -> pa.Table:
        row = table.column("rgi_id").to_pylist().index(glacier)
        changed: pa.Table = with_cell(column, row, value)(table)
        return changed

    return change


def found(url: str, check: str) -> list[str]:
    """Lines of the findings of one check."""
    return [str(f) for f in verify_release(url) if f.check == check]


def area(glacier: str = GLACIER) -> float:
    return float(next(r["area_km2"] for r in good_rows() if r["rgi_id"] == glacier))


@pytest.mark.parametrize(
    ("check", "glacier", "column", "value"),
    [
        ("area-sigma", GLACIER, "area_sigma_boundary_km2", 2.0),
        ("area-sigma", GLACIER, "area_sigma_hidden_km2", None),
        ("area-sigma", GLACIER, "area_sigma_km2", 0.0501 * area()),
        ("area-sigma", PLAIN, "area_sigma_model_km2", 0.0),
        ("surface-sum", GLACIER, "area_lake_km2", 0.0),
        ("surface-sum", GLACIER, "area_clean_ice_km2", 0.70001 * area()),
        ("elevations", GLACIER, "zmin_m", 471.0),
        ("elevations", GLACIER, "zmax_m", 469.0),
        ("elevations", GLACIER, "zmed_m", 400.0),
        ("front-length", GLACIER, "front_length_m", None),
        ("negative", GLACIER, "front_length_m", -1.0),
        ("negative", GLACIER, "lmax_m", -1.0),
        ("negative", GLACIER, "area_sigma_model_km2", -0.1),
        ("reason", UNSEEN, "area_lake_km2", 0.0),
        ("reason", UNSEEN, "area_sigma_model_km2", 0.1),
        ("reason", UNSEEN, "front_length_m", 10.0),
        ("missing-value", GLACIER, "front_change_m", -9999.0),
    ],
)
def test_a_wrong_detail_of_glacier_area_is_found(
    released: str, check: str, glacier: str, column: str, value: Any
) -> None:
    change_table(released, AREA, with_value(column, value, glacier))
    lines = found(released, check)
    assert lines and all(glacier in line for line in lines) and AREA in lines[0]


def test_rounding_and_unknown_details_are_no_fault(released: str) -> None:
    change_table(released, AREA, with_value("area_sigma_km2", 0.05 * area() * (1 + 1e-8)))
    change_table(released, AREA, with_value("zmed_m", None))
    assert verify_release(released) == []


@pytest.mark.parametrize(
    ("check", "column", "value"),
    [
        ("hypsometry-owner", "rgi_id", "RGI2000-v7.0-G-06-99999"),
        ("hypsometry-owner", "rgi_id", UNSEEN),
        ("hypsometry-band", "band_m", 425),
        ("hypsometry-share", "thousandths", 332),
        ("hypsometry-share", "thousandths", -1),
        ("hypsometry-share", "thousandths", 1001),
        ("unique-row", "band_m", 450),
        ("origin", "run_id", "run-2"),
        ("origin", "o1region", "07"),
    ],
)
def test_a_wrong_cell_of_hypsometry_is_found(released: str, check: str, column: str, value: Any) -> None:
    change_table(released, HYPSOMETRY, with_value(column, value))
    lines = found(released, check)
    assert lines and all(HYPSOMETRY in line for line in lines)
    named = value if column == "rgi_id" else GLACIER
    assert check == "origin" or any(named in line for line in lines)


def test_a_glacier_short_of_a_thousandth_is_told_with_its_sum(released: str) -> None:
    change_table(released, HYPSOMETRY, with_value("thousandths", 332))
    assert found(released, "hypsometry-share") == [
        f"hypsometry-share: {HYPSOMETRY}: {GLACIER}: thousandths add up to 999, expected 1000"
    ]


def test_bands_out_of_order_are_found(released: str) -> None:
    change_table(released, HYPSOMETRY, lambda t: t.take([1, 0, *range(2, t.num_rows)]))
    assert {f.check for f in verify_release(released)} == {"hypsometry-order"}


def replaced(schema_: pa.Schema, rows: list[Row]) -> Callable[[pa.Table], pa.Table]:
    return lambda t: table_from_rows(rows, schema_).replace_schema_metadata(t.schema.metadata)


@pytest.mark.parametrize(
    ("check", "column", "value"),
    [
        ("front-owner", "rgi_id", UNSEEN),
        ("front-length", "rgi_id", PLAIN),
        ("front-length", "front_length_m", 500.0),
        ("front-length", "front_change_m", 12.5),
        ("front-length", "front_change_m", None),
        ("front-water", "water", "river"),
        ("front-water", "water_source", "hearsay"),
        ("front-fraction", "front_observed_fraction", 1.2),
        ("front-fraction", "front_observed_fraction", -0.1),
        ("geometry-type", "geometry", square(-20, 64).wkb),
        ("geometry-type", "geometry", shapely.Point(-20, 64).wkb),
        ("geometry-valid", "geometry", shapely.LineString([(-20, 64), (-20, 64)]).wkb),
        ("geometry-valid", "geometry", shapely.LineString().wkb),
        ("geometry-bounds", "geometry", shapely.LineString([(-20, 64), (-181, 64)]).wkb),
        ("geometry-bounds", "geometry", shapely.LineString([(-20, 89), (-20, 95)]).wkb),
        ("unreadable", "geometry", b"no WKB"),
        ("bbox", "bbox", {"xmin": 0.0, "ymin": 0.0, "xmax": 1.0, "ymax": 1.0}),
        ("geo-metadata", "geometry", shapely.MultiLineString([[(-20, 64), (-19.98, 64)]]).wkb),
        ("origin", "year", 2023),
    ],
)
def test_a_wrong_cell_of_glacier_front_is_found(released: str, check: str, column: str, value: Any) -> None:
    change_table(released, FRONT, with_value(column, value))
    lines = found(released, check)
    assert lines and all(FRONT in line for line in lines)
    if check not in ("origin", "unreadable", "geo-metadata"):
        assert all((value if column == "rgi_id" else GLACIER) in line for line in lines)


def test_a_line_of_another_length_is_found(url: str) -> None:
    row = detailed(area_row(0))
    publish(url, [row])
    longer = front_row(row, geometry=shapely.LineString([(-20.0, 64.0), (-19.979, 64.0)]))
    change_table(url, FRONT, replaced(schema.GLACIER_FRONT, [longer]))
    (line,) = found(url, "front-length")
    assert GLACIER in line and "its line has" in line


def test_two_fronts_of_one_glacier_are_found(released: str) -> None:
    change_table(released, FRONT, lambda t: pa.concat_tables([t.slice(0, 1), t]))
    (line,) = found(released, "unique-row")
    assert FRONT in line and f"{first(released, FRONT)}: several rows of one rgi_id" in line


@pytest.mark.parametrize(
    ("check", "column", "value"),
    [
        ("surface-owner", "rgi_id", UNSEEN),
        ("surface-area", "rgi_id", PLAIN),
        ("surface-area", "area_km2", 9.0),
        ("negative", "area_km2", -1.0),
        ("class", "class", "glacier"),
        ("geometry-type", "geometry", shapely.LineString([(-20, 64), (-19, 64)]).wkb),
        ("geometry-valid", "geometry", shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]).wkb),
        ("bbox", "bbox", {"xmin": 0.0, "ymin": 0.0, "xmax": 1.0, "ymax": 1.0}),
        ("origin", "o1region", "07"),
    ],
)
def test_a_wrong_cell_of_glacier_surface_is_found(released: str, check: str, column: str, value: Any) -> None:
    change_table(released, SURFACE, with_value(column, value))
    lines = found(released, check)
    assert lines and all(SURFACE in line for line in lines)
    assert check == "origin" or any((value if column == "rgi_id" else GLACIER) in line for line in lines)


def test_a_surface_twice_is_found(released: str) -> None:
    change_table(released, SURFACE, lambda t: pa.concat_tables([t.slice(0, 1), t]))
    (line,) = found(released, "unique-row")
    assert first(released, SURFACE) in line and "rgi_id and class" in line


@pytest.mark.parametrize("key", [HYPSOMETRY, FRONT, SURFACE])
def test_another_schema_or_an_empty_file_of_any_table_is_found(released: str, key: str) -> None:
    change_table(released, key, lambda t: t.drop_columns(["year"]))
    assert found(released, "schema") == [f"schema: {key}: column year is missing"]
    change_table(released, key, lambda t: t.slice(0, 0))
    assert found(released, "rows") == [f"rows: {key}: has no rows; an empty table has no file"]


@pytest.mark.parametrize("key", [FRONT, SURFACE])
def test_rows_off_the_curve_are_found_in_every_table_with_a_geometry(released: str, key: str) -> None:
    change_table(released, key, lambda t: t.take(list(reversed(range(t.num_rows)))))
    assert {f.check for f in verify_release(released)} == {"hilbert-order"}


def test_details_across_the_antimeridian_have_no_finding(url: str) -> None:
    row = detailed(area_row(0, square(179.99, 66.0)))
    publish(url, [row, detailed(area_row(1, square(-179.5, 66.0)))])
    assert verify_release(url) == []
    assert len(surface_rows(row)) == len(hypsometry_rows(row)) == 3


def test_bands_are_those_that_are_measured() -> None:
    bands = hypsometry(np.array([-1.0, 2510.0, 2560.0]), np.ones(3))
    assert {band % schema.BAND_M for band in bands} == {0} and len(bands) == (2550 + 50) // schema.BAND_M + 1
    assert sum(bands.values()) == schema.THOUSANDTHS


def first(url: str, key: str) -> str:
    return str(pq.read_table(io.BytesIO(Objects(url).get(key)))["rgi_id"][0])
