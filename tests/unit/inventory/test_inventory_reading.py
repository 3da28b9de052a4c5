"""What becomes of outlines: each one is a row, or a finding says why it is not."""

from __future__ import annotations

import json
from collections.abc import Callable

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from made_outlines import rgi7, square
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon

from core.errors import ConfigError
from core.inventory import COLUMNS, read_inventory

Write = Callable[..., str]
BOW_TIE = Polygon([(10, 46), (10.02, 46.02), (10.02, 46), (10, 46.02)])


def test_the_table_has_the_promised_columns_types_and_order(write: Write) -> None:
    frame = rgi7([square(10, 46), square(10.1, 46)], term_type=[1, 9], glac_name=[None, "Ferner"]).iloc[::-1]
    got = read_inventory([write(frame)], None).glaciers
    assert tuple(got.columns) == COLUMNS
    assert got.rgi_id.is_monotonic_increasing
    assert isinstance(got.index, pd.RangeIndex)
    assert got.crs.to_epsg() == 4326
    assert got.term_type.dtype == "Int8"
    assert got.term_type.tolist() == [1, pd.NA]
    assert got.glac_name.tolist() == [None, "Ferner"]
    assert got.o2region.tolist() == [None, None]
    assert got.problem.tolist() == [None, None]
    assert np.isnan(got.area_km2).all()
    assert got.zone.tolist() == ["utm32n", "utm32n"]
    assert got.source.tolist() == ["outlines.gpkg"] * 2


def test_a_computed_centre_lies_on_the_glacier(write: Write) -> None:
    crescent = square(10, 46, 0.1).difference(square(10.01, 46, 0.08))
    got = read_inventory([write(rgi7([crescent]))], None).glaciers.iloc[0]
    assert crescent.contains(Point(got.cenlon, got.cenlat))


def test_a_stated_centre_far_from_the_outline_is_replaced_and_a_near_one_kept(write: Write) -> None:
    frame = rgi7([square(10, 46), square(11, 46)], cenlon=[10.05, 46.0], cenlat=[46.05, 11.0])
    got = read_inventory([write(frame)], None)
    assert got.glaciers.cenlon.tolist() == [10.05, pytest.approx(11.0)]
    assert [f.rgi_id for f in got.report.of_kind("centre_outside")] == ["RGI2000-v7.0-G-11-00002"]


def test_an_invalid_outline_is_repaired_and_reported_with_its_areas(write: Write) -> None:
    got = read_inventory([write(rgi7([BOW_TIE]))], None)
    row = got.glaciers.iloc[0]
    assert row.geometry.is_valid
    assert row.problem is None
    assert row.geometry_area_km2 == pytest.approx(1.718, rel=0.01)
    assert "km² before" in got.report.of_kind("repaired")[0].message


def test_what_cannot_be_mapped_is_a_row_with_the_reason(write: Write) -> None:
    flat = Polygon([(10, 46), (10.1, 46), (10, 46)])
    frame = rgi7(
        [None, Polygon(), Point(10, 46), flat, square(10, 95), square(10, 46)],
        cenlon=[10.0] * 6,
        cenlat=[46.0] * 6,
    )
    got = read_inventory([write(frame, "mixed.parquet")], None)
    assert got.glaciers.problem.tolist() == [
        "null geometry",
        "empty geometry",
        "point, not a polygon",
        "geometry could not be repaired",
        "coordinates outside the globe",
        None,
    ]
    assert got.glaciers.geometry.isna().tolist() == [True] * 5 + [False]
    assert got.glaciers.zone.tolist() == ["utm32n"] * 6
    assert len(got.report.of_kind("not_mappable")) == 5


def test_an_inventory_of_nothing_but_problems_is_still_an_inventory(write: Write) -> None:
    got = read_inventory([write(rgi7([None, None]), "nulls.parquet")], None)
    assert len(got.glaciers) == 2
    assert got.glaciers.zone.tolist() == [None, None]
    assert len(got.digest) == 64


def test_a_collection_gives_its_polygons(write: Write) -> None:
    mixed = GeometryCollection([square(10, 46), LineString([(10, 46), (11, 47)])])
    got = read_inventory([write(rgi7([mixed]), "mixed.parquet")], None)
    assert got.glaciers.geometry.iloc[0].geom_type == "Polygon"
    assert got.report.of_kind("collection")


def test_heights_are_dropped_and_single_parts_are_polygons(write: Write) -> None:
    frame = rgi7([shapely.force_3d(square(10, 46), 1000.0), MultiPolygon([square(11, 46)])])
    got = read_inventory([write(frame, "deep.parquet")], None).glaciers
    assert not got.geometry.has_z.any()
    assert (got.geom_type == "Polygon").all()


@pytest.mark.parametrize(
    "crossing",
    [
        Polygon([(179.99, 66), (-179.98, 66), (-179.98, 66.01), (179.99, 66.01)]),
        MultiPolygon([shapely.box(179.99, 66, 180, 66.01), shapely.box(-180, 66, -179.98, 66.01)]),
    ],
)
def test_a_glacier_across_the_antimeridian_is_one_piece_with_its_true_area(write: Write, crossing: Polygon) -> None:
    got = read_inventory([write(rgi7([crossing], region="10"), "a.parquet")], None)
    row = got.glaciers.iloc[0]
    elsewhere = read_inventory([write(rgi7([shapely.box(0, 66, 0.03, 66.01)]), "b.parquet")], None).glaciers.iloc[0]
    assert row.geometry.geom_type == "Polygon"
    assert row.geometry.bounds[2] - row.geometry.bounds[0] == pytest.approx(0.03)
    assert row.geometry_area_km2 == pytest.approx(elsewhere.geometry_area_km2, rel=1e-9)
    assert -180 <= row.cenlon <= 180
    assert row.zone in ("utm01n", "utm60n")
    assert got.report.of_kind("antimeridian")


def test_a_stated_area_that_is_off_by_more_than_a_hundredth_is_pointed_out(write: Write) -> None:
    area = read_inventory([write(rgi7([square(10, 46)]), "a.gpkg")], None).glaciers.geometry_area_km2.iloc[0]
    frame = rgi7([square(10, 46), square(11, 46)], area_km2=[area * 1.009, area * 1.02])
    got = read_inventory([write(frame, "b.gpkg")], None)
    assert [f.rgi_id for f in got.report.of_kind("area_mismatch")] == ["RGI2000-v7.0-G-11-00002"]
    assert got.glaciers.area_km2.iloc[1] == pytest.approx(area * 1.02)


def test_outlines_without_ids_get_stable_ones_from_their_position(write: Write) -> None:
    frame = gpd.GeoDataFrame({"o1region": ["11", "11"]}, geometry=[square(7.654, 46.789), square(8, 46)], crs=4326)
    got = read_inventory([write(frame)], None)
    assert got.glaciers.rgi_id.tolist() == ["NOID-G007654E46789N", "NOID-G008000E46000N"]
    assert len(got.report.of_kind("no_id")) == 2
    assert got.glaciers.version.tolist() == ["unknown"] * 2


def test_copies_versions_and_double_counting_are_told_apart(write: Write) -> None:
    a = rgi7([square(10, 46), square(10.5, 46), square(11, 46)])
    b = rgi7([square(10, 46), square(12, 46), square(13, 46), square(10.5, 46)])
    got = read_inventory([write(a, "a.gpkg"), write(b, "b.gpkg")], None)
    kinds = {k: n for (_, k), n in got.report.counts.items()}
    assert kinds == {"duplicate": 1, "same_id": 2, "same_outline": 1}
    assert len(got.glaciers) == 6
    assert got.glaciers.rgi_id.is_unique
    assert sum(n for _, n in got.report.outlines_read) == got.report.glaciers + got.report.left_out
    swapped = read_inventory([write(b, "b.gpkg"), write(a, "a.gpkg")], None)
    assert swapped.digest == got.digest


def test_only_the_regions_asked_for_are_kept_and_the_rest_is_accounted_for(write: Write) -> None:
    sources = [
        write(rgi7([square(10, 46)]), "alps.gpkg"),
        write(rgi7([square(-20, 64)] * 2, region="06"), "iceland.gpkg"),
    ]
    got = read_inventory(sources, ["11"])
    assert got.glaciers.o1region.tolist() == ["11"]
    assert got.report.of_kind("other_region")[0].count == 2
    assert (got.report.glaciers, got.report.left_out) == (1, 2)
    with pytest.raises(ConfigError, match="06: 2 glaciers, 11: 1 glaciers") as caught:
        read_inventory(sources, ["07"])
    assert "07" in caught.value.expected


def test_a_region_that_nobody_states_is_00_and_reported(write: Write) -> None:
    frame = gpd.GeoDataFrame({"rgi_id": ["mine"]}, geometry=[square(10, 46)], crs=4326)
    got = read_inventory([write(frame)], None)
    assert got.glaciers.o1region.tolist() == ["00"]
    assert got.report.of_kind("no_region")


def test_glims_rocks_are_holes_of_their_glacier_and_other_lines_no_glaciers(write: Write) -> None:
    frame = gpd.GeoDataFrame(
        {
            "glac_id": ["G1", "G1", "G2", "G3", "G1"],
            "anlys_id": [1, 1, 2, 3, 1],
            "line_type": ["glac_bound", "intrnl_rock", "glac_bound", "intrnl_rock", "debris_cov"],
            "gtng_o1reg": [2.0] * 5,
        },
        geometry=[square(10, 46, 0.1), square(10, 46, 0.02), square(11, 46), square(12, 46), square(10.05, 46)],
        crs=4326,
    )
    got = read_inventory([write(frame)], None)
    assert got.glaciers.rgi_id.tolist() == ["G1", "G2"]
    assert len(got.glaciers.geometry.iloc[0].interiors) == 1
    assert {f.message: f.action for f in got.report.of_kind("not_a_glacier")} == {
        "line_type debris_cov": "left out: not the boundary of a glacier",
        "line_type intrnl_rock": "left out: not the boundary of a glacier",
    }
    assert [f.action for f in got.report.of_kind("not_a_glacier") if f.rgi_id == "G1"][1] == "cut out of its glacier"
    assert (got.report.glaciers, got.report.left_out) == (2, 3)


def test_glaciers_and_complexes_together_are_pointed_out(write: Write) -> None:
    both = rgi7([square(10, 46), square(11, 46)])
    both.loc[1, "rgi_id"] = "RGI2000-v7.0-C-11-00001"
    assert read_inventory([write(both)], None).report.of_kind("mixed_versions")


def test_the_report_is_a_table_and_json(write: Write) -> None:
    got = read_inventory([write(rgi7([BOW_TIE, *(square(10 + i, 46) for i in range(1, 4))]))], None).report
    kind, count, action, examples = got.rows()[0]
    assert (kind, count) == ("repaired", "1")
    assert "repaired" in action
    assert "RGI2000-v7.0-G-11-00001" in examples
    told = json.loads(got.to_json())
    assert told["glaciers"] == 4
    assert told["counts"] == [{"source": "outlines.gpkg", "kind": "repaired", "count": 1}]
    assert told["findings"][0]["rgi_id"] == "RGI2000-v7.0-G-11-00001"
