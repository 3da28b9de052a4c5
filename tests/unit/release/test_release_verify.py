"""Verification: a sound release has no finding, and each fault is found by its own check."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from release_factory import (
    LAYOUT,
    area_row,
    change_manifest,
    change_table,
    good_rows,
    moved,
    outline_row,
    publish,
    seal,
    square,
    unmeasured_row,
    with_cell,
)

from core.objects import Objects
from core.release import table_from_rows, verify_release
from core.release.check_geometry import check_areas, overlapping_pairs
from core.release.schema import GLACIER_AREA, GLACIER_OUTLINE

AREA = LAYOUT.part("glacier_area", "06")
OUTLINE = LAYOUT.part("glacier_outline", "06")
REGIONAL = LAYOUT.region_area
M = 1 / 111_320.0  # one metre of latitude, degrees
Change = Callable[[pa.Table], pa.Table]


def checks(url: str) -> set[str]:
    return {finding.check for finding in verify_release(url)}


def test_a_sound_release_has_no_finding(released: str) -> None:
    assert verify_release(released) == []


def test_a_sound_release_of_several_regions_and_parts_has_no_finding(url: str) -> None:
    rows = good_rows()
    publish(url, rows + moved(rows, "07", 30.0), max_rows=4)
    assert verify_release(url, 2024) == []


@cache
def row_of(status: str) -> int:
    """Row of the published file with this status; rows are ordered along the curve, so it is looked up."""
    import pyarrow.parquet as pq

    publish("memory://lookup")
    statuses = pq.read_table(io.BytesIO(Objects("memory://lookup").get(AREA)))["status"].to_pylist()
    return statuses.index(status)


BROKEN_CELLS: list[tuple[str, str, str, Any]] = [
    ("status", "measured", "status", "melted"),
    ("measured", "measured", "area_km2", None),
    ("measured", "measured", "area_sigma_km2", None),
    ("measured", "measured", "observed_fraction", None),
    ("measured", "measured", "scene_date_min", None),
    ("measured", "measured", "sensors", ""),
    ("measured", "measured", "geometry", None),
    ("reason", "not_observed", "status_reason", None),
    ("reason", "quarantined", "status_reason", ""),
    ("reason", "not_observed", "area_km2", 1.0),
    ("below-minimum", "below_minimum", "area_km2", 0.5),
    ("below-minimum", "below_minimum", "area_km2", None),
    ("observed-fraction", "measured", "observed_fraction", 1.2),
    ("observed-fraction", "measured", "observed_fraction", -0.1),
    ("negative", "measured", "area_loss_km2", -0.1),
    ("missing-value", "measured", "zmin_m", -9999.0),
    ("missing-value", "measured", "slope_deg", float("nan")),
    ("dates", "measured", "scene_date_min", dt.date(2024, 12, 1)),
    ("area-geometry", "measured", "area_km2", 5.0),
    ("origin", "measured", "model_digest", "model-2"),
    ("origin", "measured", "year", 2023),
    ("origin", "measured", "o1region", "07"),
    ("origin", "measured", "run_id", "run-2"),
    ("unique-id", "measured", "rgi_id", "RGI2000-v7.0-G-06-00012"),
    ("bbox", "measured", "bbox", {"xmin": 0.0, "ymin": 0.0, "xmax": 1.0, "ymax": 1.0}),
    ("geometry-valid", "measured", "geometry", shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]).wkb),
    ("geometry-valid", "measured", "geometry", shapely.Polygon().wkb),
    ("geometry-bounds", "measured", "geometry", square(179.99, 10).wkb),
    ("geometry-type", "measured", "geometry", shapely.Point(0, 0).wkb),
    ("geo-metadata", "measured", "geometry", shapely.multipolygons([square(-20, 64)]).wkb),
    ("geo-metadata", "measured", "geometry", shapely.reverse(square(-20, 64)).wkb),
    ("unreadable", "measured", "geometry", b"no WKB"),
    ("outline-owner", "measured", "status", "quarantined"),
]


@pytest.mark.parametrize(("check", "status", "column", "value"), BROKEN_CELLS)
def test_a_wrong_cell_of_glacier_area_is_found(released: str, check: str, status: str, column: str, value: Any) -> None:
    change_table(released, AREA, with_cell(column, row_of(status), value))
    assert check in checks(released)


@pytest.mark.parametrize(
    ("check", "column", "value"),
    [
        ("class", "class", "moraine"),
        ("negative", "area_km2", -1.0),
        ("outline-owner", "rgi_id", "RGI2000-v7.0-G-06-99999"),
        ("outline-owner", "rgi_id", "RGI2000-v7.0-G-06-00012"),
        ("origin", "run_id", "run-2"),
        ("area-geometry", "area_km2", 9.0),
    ],
)
def test_a_wrong_cell_of_glacier_outline_is_found(released: str, check: str, column: str, value: Any) -> None:
    change_table(released, OUTLINE, with_cell(column, 0, value))
    assert check in checks(released)


def test_a_part_number_used_twice_is_found(released: str) -> None:
    twice = table_from_rows([outline_row(area_row(0)), outline_row(area_row(0))], GLACIER_OUTLINE)
    change_table(released, OUTLINE, lambda t: twice.replace_schema_metadata(t.schema.metadata))
    assert "unique-row" in checks(released)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("area_km2", 1.0), ("n_measured", 3), ("o1region", "07"), ("sigma_model", "independent")),
        *(("area_filled_km2", 1.0), ("area_filled_km2", None), ("area_filled_sigma_km2", 1.0)),
    ],
)
def test_a_wrong_total_is_found(released: str, column: str, value: Any) -> None:
    change_table(released, REGIONAL, with_cell(column, 0, value))
    assert checks(released) == {"region-area"}


def test_a_total_twice_is_found(released: str) -> None:
    change_table(released, REGIONAL, lambda t: pa.concat_tables([t, t.slice(0, 1)]))
    assert checks(released) == {"region-area"}


def without_column(table: pa.Table) -> pa.Table:
    return table.drop_columns(["slope_deg"])


def with_float32(table: pa.Table) -> pa.Table:
    return table.set_column(table.schema.get_field_index("area_km2"), "area_km2", table["area_km2"].cast(pa.float32()))


def with_extra(table: pa.Table) -> pa.Table:
    return table.append_column("colour", pa.array(["blue"] * table.num_rows))


def reordered(table: pa.Table) -> pa.Table:
    return table.select(list(reversed(table.column_names)))


@pytest.mark.parametrize("change", [without_column, with_float32, with_extra, reordered])
def test_another_schema_is_found(released: str, change: Change) -> None:
    change_table(released, AREA, change)
    assert "schema" in checks(released)


def test_rows_off_the_curve_are_found(released: str) -> None:
    change_table(released, AREA, lambda t: t.take(list(reversed(range(t.num_rows)))))
    assert checks(released) == {"hilbert-order"}


def edit_geo(edit: Callable[[dict[str, Any]], object]) -> Change:
    def change(table: pa.Table) -> pa.Table:
        geo = json.loads(table.schema.metadata[b"geo"])
        edit(geo)
        return table.replace_schema_metadata({"geo": json.dumps(geo)})

    return change


@pytest.mark.parametrize(
    "edit",
    [
        lambda g: g.update(version="1.0.0"),
        lambda g: g.pop("columns"),
        lambda g: g["columns"]["geometry"].pop("covering"),
        lambda g: g["columns"]["geometry"].update(bbox=[0, 0, 1, 1]),
        lambda g: g["columns"]["geometry"].update(geometry_types=["Point"]),
        lambda g: g["columns"]["geometry"].update(edges="spherical"),
        lambda g: g["columns"]["geometry"].update(crs={"type": "nonsense"}),
        lambda g: g["columns"]["geometry"].update(crs=__import__("pyproj").CRS(3857).to_json_dict()),
    ],
)
def test_wrong_geo_metadata_is_found(released: str, edit: Callable[[dict[str, Any]], object]) -> None:
    change_table(released, AREA, edit_geo(edit))
    assert checks(released) == {"geo-metadata"}


def test_a_missing_file_is_found(released: str) -> None:
    Objects(released).delete(OUTLINE)
    assert checks(released) == {"missing-file"}


def test_a_truncated_file_is_found(released: str) -> None:
    Objects(released).put(AREA, Objects(released).get(AREA)[:-10])
    assert {"size", "unreadable"} <= checks(released)


def test_a_flipped_bit_is_found(released: str) -> None:
    data = bytearray(Objects(released).get(LAYOUT.collection))
    data[10] ^= 1
    Objects(released).put(LAYOUT.collection, bytes(data))
    assert checks(released) == {"digest"}


def test_a_stray_file_is_found(released: str) -> None:
    Objects(released).put(LAYOUT.part("glacier_area", "06", 7), b"x")
    assert checks(released) == {"stray-file"}


def test_wrong_row_counts_are_found(released: str) -> None:
    seal(released, AREA, Objects(released).get(AREA), 99)
    assert checks(released) == {"rows"}


def test_an_empty_file_is_found(released: str) -> None:
    change_table(released, OUTLINE, lambda t: t.slice(0, 0))
    assert checks(released) == {"rows"}


def test_a_missing_glacier_is_found(released: str) -> None:
    change_table(released, AREA, lambda t: t.slice(1))
    assert {"inventory-count", "region-area"} <= checks(released)


def test_an_unfinished_release_is_found(released: str) -> None:
    Objects(released).delete(LAYOUT.manifest)
    assert checks(released) == {"manifest"}


@pytest.mark.parametrize("text", [b"{", b"[]"])
def test_a_broken_manifest_is_found(released: str, text: bytes) -> None:
    Objects(released).put(LAYOUT.manifest, text)
    assert checks(released) == {"manifest"}


@pytest.mark.parametrize("key", ["run_id", "inventory", "res_m", "files", "licence", "year", "format"])
def test_a_manifest_without_a_key_is_found_and_nothing_breaks(released: str, key: str) -> None:
    change_manifest(released, lambda m: m.pop(key))
    assert "manifest" in checks(released)


def test_a_manifest_without_the_catalogue_is_found(released: str) -> None:
    change_manifest(released, lambda m: m.update(files=[f for f in m["files"] if f["key"] != LAYOUT.item("06")]))
    assert checks(released) == {"manifest", "stray-file"}


def test_no_release_is_a_finding_and_makes_no_folder(tmp_path: Path) -> None:
    assert [f.check for f in verify_release(str(tmp_path / "nowhere"))] == ["manifest"]
    assert not (tmp_path / "nowhere").exists()
    assert [f.check for f in verify_release(str(tmp_path))] == ["manifest"]
    assert [f.check for f in verify_release(str(tmp_path), 1999)] == ["manifest"]


def test_a_finding_is_one_line_and_names_few_of_many(released: str) -> None:
    change_table(released, AREA, lambda t: t.set_column(
        t.schema.get_field_index("observed_fraction"), "observed_fraction", pa.array([2.0] * t.num_rows)
    ))  # fmt: skip
    line = str(next(f for f in verify_release(released) if f.check == "observed-fraction"))
    assert "\n" not in line and "and 13 more" in line and AREA in line


# Overlaps


def test_two_glaciers_on_the_same_ground_are_found(url: str) -> None:
    publish(url, [area_row(0, square(-20, 64)), area_row(1, square(-19.99, 64))])
    found = verify_release(url)
    assert [f.check for f in found] == ["overlap"]
    assert "00000" in found[0].message and "00001" in found[0].message


def test_two_glaciers_of_different_regions_on_the_same_ground_are_found(url: str) -> None:
    publish(url, [area_row(0, square(-20, 64)), *moved([area_row(1, square(-20, 64))], "07", 0.01)])
    assert checks(url) == {"overlap"}


def test_the_inventory_outline_of_an_unseen_glacier_may_be_under_its_neighbour(url: str) -> None:
    publish(url, [area_row(0, square(-20, 64)), unmeasured_row(1, geometry=square(-19.99, 64))])
    assert verify_release(url) == []


def test_a_part_that_cannot_be_read_does_not_end_the_look_across_regions(url: str) -> None:
    rows = [area_row(i, square(-20 + 0.02 * i, 64)) for i in range(4)]
    publish(url, rows + moved([area_row(9, square(-20, 64, 0.08))], "07", 0.0), max_rows=2)
    Objects(url).put(LAYOUT.part("glacier_area", "06", 0), b"PAR1")
    assert {"size", "unreadable", "overlap", "inventory-count"} <= checks(url)


def test_an_outline_beyond_the_pole_is_a_finding_and_not_an_error(released: str) -> None:
    for geometry in (square(-20, 89.99), square(-20, 95.0), square(1e6, 64)):
        change_table(released, AREA, with_cell("geometry", row_of("measured"), geometry.wkb))
        assert "geometry-bounds" in checks(released)


def test_a_file_of_an_unknown_table_is_still_compared_with_the_manifest(released: str) -> None:
    change_manifest(released, lambda m: [f.update(table="melt", sha256="0") for f in m["files"] if f["key"] == AREA])
    assert "digest" in checks(released)


@pytest.mark.parametrize(("width_m", "found"), [(0.0, False), (4.0, False), (10.0, True)])
def test_a_sliver_is_tolerated_and_a_row_of_pixels_is_not(width_m: float, found: bool) -> None:
    left, right = shapely.box(0, 0, 0.01, 0.02), shapely.box(0.01 - width_m * M, 0, 0.02, 0.02)
    assert bool(overlapping_pairs(np.array([left, right]), 10.0)) is found


@settings(max_examples=40, deadline=None)
@given(lon=st.floats(-170, 170), lat=st.floats(-80, 80), n=st.integers(2, 5))
def test_neighbours_with_a_common_divide_do_not_overlap(lon: float, lat: float, n: int) -> None:
    cells = [shapely.box(lon + 0.01 * i, lat, lon + 0.01 * (i + 1), lat + 0.01) for i in range(n)]
    assert overlapping_pairs(np.array(cells), 10.0) == []


def test_an_area_within_a_quarter_pixel_along_the_outline_is_accepted(url: str) -> None:
    shape = square(-20, 64)
    row = area_row(0, shape)
    publish(url, [row | {"area_km2": row["area_km2"] * 1.025}], res_m=30.0)
    assert verify_release(url) == []


@pytest.mark.parametrize(("pixels", "found"), [(3, 0), (6, 1)])
def test_each_of_many_small_bodies_may_hold_a_few_pixels_that_are_not_drawn(pixels: int, found: int) -> None:
    shape = shapely.MultiPolygon([square(-20 + 0.01 * k, 64, 0.0002) for k in range(9)])
    row = area_row(0, shape)
    table = table_from_rows([row | {"area_km2": row["area_km2"] + 9 * pixels * 0.03**2}], GLACIER_AREA)
    assert len(list(check_areas("t", table, np.array([shape], dtype=object), 30.0, np.zeros(1)))) == found


def test_an_area_beyond_the_tolerance_is_found(url: str) -> None:
    publish(url, [area_row(0, area_km2=2.0, observed_fraction=1.0)], res_m=10.0)
    assert checks(url) == {"area-geometry"}
