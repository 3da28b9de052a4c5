"""`icefleet fronts`: fronts of a SIMULATED release against drawn lines; what is missing is said."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from shapely.affinity import translate

from core.change.front_reference import compare_fronts
from tests.release_factory import YEAR, Row, area_row, detailed, front_of, publish, square, unmeasured_row
from tests.tiny_world import icefleet

DEGREE_M = 111_500.0  # of latitude, 64 to 71° N
ROWS = [detailed(area_row(k)) for k in range(3)] + [area_row(3), unmeasured_row(4)]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fronts")
    publish(str(folder), ROWS)
    return folder


def drawn(path: Path, moved_m: dict[int, float], names: bool = True, crs: int = 4326) -> Path:
    """The fronts of some rows, so many metres to the north."""
    lines = [translate(front_of(ROWS[k]["geometry"]), 0, d / DEGREE_M) for k, d in moved_m.items()]
    table = gpd.GeoDataFrame({"who": [ROWS[k]["rgi_id"] for k in moved_m]}, geometry=lines, crs=4326).to_crs(crs)
    (table.rename(columns={"who": "rgi_id"}) if names else table).to_file(path)
    return path


@pytest.mark.parametrize("names", [True, False], ids=["by name", "by place"])
@pytest.mark.parametrize("crs", [4326, 32627, 3413])
def test_a_front_drawn_so_many_metres_off_has_that_distance(release, tmp_path, names, crs):
    found = compare_fronts(str(release), drawn(tmp_path / "d.gpkg", {0: 0, 1: 80, 2: 200}, names, crs))
    assert [f.rgi_id for f in found.fronts] == [row["rgi_id"] for row in ROWS[:3]]
    for front, row, away in zip(found.fronts, ROWS, (0, 80, 200), strict=False):
        assert front.mean_m == pytest.approx(away, rel=0.01, abs=0.5)
        assert front.median_m == pytest.approx(away, rel=0.01, abs=0.5) and front.p95_m < away * 1.05 + 1
        assert front.front_m == pytest.approx(front.reference_m, rel=0.001)
        assert front.front_m == pytest.approx(row["front_length_m"], rel=0.002)
    assert found.pooled_m == pytest.approx(280 / 3, rel=0.01)
    assert found.simulated and found.not_found == () and found.not_drawn == ()


def test_what_is_only_on_one_side_is_listed_and_not_counted(release, tmp_path):
    found = compare_fronts(str(release / f"year={YEAR}"), drawn(tmp_path / "d.gpkg", {0: 40, 3: 0}))
    assert [f.rgi_id for f in found.fronts] == [ROWS[0]["rgi_id"]] and found.pooled_m == pytest.approx(40, rel=0.01)
    assert found.not_found == (ROWS[3]["rgi_id"],)
    assert found.not_drawn == (ROWS[1]["rgi_id"], ROWS[2]["rgi_id"])
    far = tmp_path / "far.gpkg"
    gpd.GeoDataFrame(geometry=[shapely.LineString([(-19, 66), (-19, 66.01)])], crs=4326).to_file(far)
    found = compare_fronts(str(release), far)
    assert found.fronts == () and np.isnan(found.pooled_m) and found.not_found == ("row 0",)


def test_lines_of_one_glacier_are_one_front(release, tmp_path):
    (west, south), (east, _) = front_of(ROWS[0]["geometry"]).coords
    ends = [west, (west + east) / 2, east]
    halves = [shapely.LineString([(a, south), (b, south)]) for a, b in pairwise(ends)]
    path = tmp_path / "halves.parquet"
    gpd.GeoDataFrame({"glacier": [ROWS[0]["rgi_id"]] * 2}, geometry=halves, crs=4326).to_parquet(path)
    (front,) = compare_fronts(str(release), path, column="glacier").fronts
    assert front.mean_m < 0.5 and front.reference_m == pytest.approx(front.front_m, rel=1e-3)


def test_a_front_across_180_degrees_is_compared_on_both_sides(tmp_path):
    row: Row = detailed(area_row(0, square(179.99, 71)))
    publish(str(tmp_path / "release"), [row])
    line = translate(shapely.LineString([(179.99, 71), (180.01, 71)]), 0, 100 / DEGREE_M)
    gpd.GeoDataFrame(geometry=[line], crs=4326).to_file(tmp_path / "d.gpkg")
    (front,) = compare_fronts(str(tmp_path / "release"), tmp_path / "d.gpkg").fronts
    assert front.mean_m == pytest.approx(100, rel=0.02) and front.front_m == pytest.approx(725, rel=0.02)


def test_the_verb_prints_a_table_and_json(release, tmp_path):
    path = drawn(tmp_path / "d.gpkg", {0: 0, 1: 80, 3: 5})
    called = icefleet("fronts", release, path)
    assert called.code == 0, called.err
    assert "SIMULATED" in called.out and "mean distance error of all points" in called.out
    assert "1 drawn, but not in the release" in called.out and "1 not drawn" in called.out
    said = icefleet("fronts", release, path, "--json").json
    assert [round(front["mean_m"]) for front in said["fronts"]] == [0, 80]
    assert said["not_found"] == [ROWS[3]["rgi_id"]] and said["pooled_m"] == pytest.approx(40, rel=0.02)


def test_what_cannot_be_compared_is_a_wrong_call_that_says_why(release, tmp_path):
    def said(place: Path, reference: Path) -> str:
        called = icefleet("fronts", place, reference, "--json")
        assert called.code == 2 and called.out == ""
        return " ".join(called.err.split())

    good = drawn(tmp_path / "d.gpkg", {0: 0})
    called = icefleet("fronts", release, good, "--id", "RGIId")
    assert called.code == 2 and "found rgi_id; expected a column RGIId" in " ".join(called.err.split())
    outlines = tmp_path / "outlines.gpkg"
    gpd.GeoDataFrame(geometry=[square(-20, 64)], crs=4326).to_file(outlines)
    assert "found Polygon; expected lines" in said(release, outlines)
    assert "no such file" in said(release, tmp_path / "none.gpkg")
    (tmp_path / "text.gpkg").write_text("no lines")
    assert "expected a file with lines" in said(release, tmp_path / "text.gpkg")
    gpd.GeoDataFrame(geometry=[front_of(square(-20, 64))]).to_parquet(tmp_path / "bare.parquet")
    assert "no coordinate reference system" in said(release, tmp_path / "bare.parquet")
    assert "expected a release" in said(tmp_path, good)
    publish(str(tmp_path / "dry"), [area_row(0)])
    assert "no calving fronts" in said(tmp_path / "dry", good)
