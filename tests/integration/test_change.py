"""`icefleet change` from releases on disk to tables: exact counts, exit codes, files that others can read."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from core.change import Options, compare
from core.inventory import area_km2
from tests.release_factory import area_row, moved, small_row, square, unmeasured_row
from tests.tiny_world import icefleet
from tests.unit.change.made_changes import parts, publish_year, scaled_row

YEARS = (2000, 2003, 2006, 2009, 2012)
SURGE = 20
SIGMA = parts(boundary=0.01 * 0.5**0.5, model=0.01 * 0.5**0.5)


def glaciers(year: int) -> list[dict]:
    """Iceland: 20 that shrink by 1 % of their side a year, one that surges in 2006, one that vanishes, one hidden in
    2012, one never seen, one that only the first release has. And three at 180° in region 19, one of them steady."""
    age = year - YEARS[0]
    side = 1.0 - 0.01 * age
    rows = [scaled_row(i, side, **SIGMA) for i in range(SURGE)]
    rows.append(scaled_row(SURGE, side + (0.3 if year >= 2006 else 0.0), **SIGMA))
    gone = small_row(21, geometry=None, area_km2=0.0, **parts(), area_inventory_km2=2.0)
    rows.append(scaled_row(21, 1.0, **SIGMA) if year < 2006 else gone)
    rows.append(unmeasured_row(22) if year == 2012 else scaled_row(22, side, **SIGMA))
    rows.append(unmeasured_row(23))
    rows += [scaled_row(24, 1.0, **SIGMA)] if year == 2000 else []
    far = [area_row(i, square(lon, -67.0 - 0.1 * i, 0.02 * s), **SIGMA)
           for i, (lon, s) in enumerate([(179.99, side), (-179.5, side), (179.5, 1.0)])]  # fmt: skip
    return [*rows, *moved(far, "19", 0.0)]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("change") / "release"
    for year in YEARS:
        publish_year(str(folder), year, glaciers(year))
    return folder


@pytest.fixture(scope="module")
def out(release: Path) -> Path:
    folder = release.parent / "out"
    called = icefleet("change", release, "--out", folder, "--plots")
    assert called.code == 0, called.err
    assert "SIMULATED" in called.out and "surge candidate" in called.out
    return folder


def whole(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["date_first"] == "2000") & (frame["date_second"] == "2012")].set_index("rgi_id").sort_index()


def named(number: int, region: str = "06") -> str:
    return f"RGI2000-v7.0-G-{region}-{number:05d}"


def test_every_glacier_has_a_row_for_the_whole_and_for_each_step(out):
    frame = gpd.read_parquet(out / "glacier_change.parquet")
    assert frame.crs.to_epsg() == 4326 and frame.geom_type.unique().tolist() == ["Point"]
    assert len(frame) == (25 + 3) * 5
    assert frame.groupby(["date_first", "date_second"]).size().tolist() == [28] * 5
    assert whole(frame)["status"].value_counts().to_dict() == {"both": 25, "first_only": 2, "neither": 1}
    assert whole(frame)["status_second"].value_counts().to_dict() == {
        "measured": 24, "not_observed": 2, "no_row": 1, "below_minimum": 1}  # fmt: skip


def test_changes_of_glaciers_are_those_of_their_areas(out):
    frame = whole(gpd.read_parquet(out / "glacier_change.parquet"))
    shrunk = frame.loc[[named(i) for i in range(SURGE)]]
    assert (shrunk["direction"] == -1).all() and (shrunk["left_out"] == "").all()
    assert shrunk["rate_pct_a"].to_numpy() == pytest.approx(np.full(SURGE, 100 * (0.88**2 - 1) / 12), rel=1e-3)
    assert shrunk["change_sigma_km2"].to_numpy() == pytest.approx(np.full(SURGE, 0.01 * np.sqrt(1.5)))
    gone = frame.loc[named(21)]
    assert gone["area_second_km2"] == 0.0 and gone["direction"] == -1 and gone["flags"] == "below_minimum"
    assert frame.loc[named(22), "change_km2"] != frame.loc[named(22), "change_km2"]
    assert frame.loc[named(22), "left_out"] == "not measured at both dates"
    assert frame.loc[named(2, "19"), "direction"] == 0


def test_trends_and_the_surge(out):
    frame = gpd.read_parquet(out / "glacier_trend.parquet").set_index("rgi_id").sort_index()
    assert len(frame) == 28
    assert frame["n_dates"].value_counts().to_dict() == {5: 25, 4: 1, 1: 1, 0: 1}
    assert frame.index[frame["surge_candidate"]].tolist() == [named(SURGE)]
    surge = frame.loc[named(SURGE)]
    assert surge["break_kind"] == "step" and 2003 < surge["break_time"] - 0.6 < 2006
    assert (frame.loc[[named(i) for i in range(SURGE)], "trend_p_value"] < 0.05).all()
    assert frame.loc[named(23), ["trend_km2_a", "first_time"]].isna().all()


def test_polygons_are_the_ground_that_changed(out):
    frame = gpd.read_parquet(out / "change_polygons.parquet")
    assert frame.is_valid.all() and frame["sliver_m"].unique().tolist() == [5.0]
    frame = whole(frame).reset_index()
    assert frame.groupby("kind").size().to_dict() == {"advance": 1, "loss": 23}
    assert frame[frame["kind"] == "advance"]["rgi_id"].tolist() == [named(SURGE)]
    assert frame["area_km2"].to_numpy() == pytest.approx(area_km2(frame.geometry.to_numpy()), rel=1e-6)
    table = whole(gpd.read_parquet(out / "glacier_change.parquet"))
    lost = frame[frame["kind"] == "loss"].set_index("rgi_id")["area_km2"]
    assert lost.to_numpy() == pytest.approx(-table.loc[lost.index, "change_km2"].to_numpy(), rel=2e-3)


def periods(frame: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(frame["date_first"], frame["date_second"], strict=True))


def test_every_period_of_the_changes_has_its_polygons(out):
    changes, polygons = (pd.read_parquet(out / f"{name}.parquet") for name in ("glacier_change", "change_polygons"))
    assert periods(polygons) == periods(changes) and len(periods(changes)) == 5
    surge = polygons[(polygons["kind"] == "advance") & (polygons["rgi_id"] == named(SURGE))]
    assert periods(surge) == {("2000", "2012"), ("2003", "2006")}


def test_periods_from_the_inventory_on_have_no_polygons_and_all_others_do(release, tmp_path):
    years = [f"{release}/year={year}" for year in (2000, 2006, 2012)]
    compare(years, tmp_path, Options(inventory=True))
    changes, polygons = (
        pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("glacier_change", "change_polygons")
    )
    assert periods(polygons) == {("2000", "2006"), ("2006", "2012")}
    assert periods(changes) - periods(polygons) == {("inventory", "2012"), ("inventory", "2000")}


def test_polygons_of_a_glacier_that_was_partly_hidden_say_so(tmp_path):
    for year, flags in ((2000, ["", "gap_filled", "", "gap_filled"]), (2010, ["", "", "abc;gap_filled", "gap_filled"])):
        side = 1.0 if year == 2000 else 0.9
        publish_year(str(tmp_path), year, [scaled_row(i, side, flags=f) for i, f in enumerate(flags)])
    compare([str(tmp_path)], tmp_path / "out")
    frame = gpd.read_parquet(tmp_path / "out" / "change_polygons.parquet").set_index("rgi_id").sort_index()
    assert frame["gap_filled"].tolist() == [False, True, True, True]


def test_polygons_at_180_degrees_are_cut_there_and_nowhere_else(out):
    frame = whole(gpd.read_parquet(out / "change_polygons.parquet"))
    assert set(frame.index[frame["o1region"] == "19"]) == {named(0, "19"), named(1, "19")}
    seam = frame.loc[named(0, "19"), "geometry"]
    assert seam.geom_type == "MultiPolygon" and shapely.bounds(seam)[2] == 180.0 and shapely.bounds(seam)[0] == -180.0


def test_regions_and_the_world_add_up(out):
    frame = pd.read_parquet(out / "region_change.parquet")
    frame = frame[(frame["date_first"] == "2000") & (frame["date_second"] == "2012")]
    total = frame[frame["o2region"].isna()].set_index("o1region")
    assert total.index.tolist() == ["06", "19", "world"]
    assert total["n_glaciers"].tolist() == [25, 3, 28]
    assert total["n_measured"].tolist() == [22, 3, 25]
    assert total["n_extrapolated"].tolist() == [3, 0, 3]
    assert total["n_retreat"].tolist() == [21, 2, 23] and total["n_advance"].tolist() == [1, 0, 1]
    for column in ("rate_km2_a", "rate_measured_km2_a", "change_measured_km2", "area_measured_km2"):
        assert total.loc[["06", "19"], column].sum() == pytest.approx(total.loc["world", column])
    parts = frame[frame["o1region"].eq("06") & frame["o2region"].notna()]
    assert parts["rate_km2_a"].sum() == pytest.approx(total.loc["06", "rate_km2_a"])
    assert (total["rate_sigma_km2_a"] <= total["rate_sigma_upper_km2_a"]).all()
    assert frame["simulated"].all() and frame["sigma_model"].str.contains("divides cancel").all()


def test_pictures_are_drawn(out):
    for name in ("rate_by_size.png", "rate_by_region.png", "rate_map.png"):
        assert (out / name).read_bytes()[:4] == b"\x89PNG"


def test_json_holds_every_region_and_names_what_is_missing(release):
    called = icefleet("change", release, "--json", "--no-polygons")
    found = json.loads(called.out)
    assert called.code == 0 and len(found["releases"]) == 5 and found["out"] is None
    missing = {entry["rgi_id"]: entry["status"] for entry in found["without_change"]}
    assert missing == {named(22): "first_only", named(23): "neither", named(24): "first_only"}
    assert found["surge_candidates"] == [named(SURGE)]


def test_the_inventory_can_be_the_first_date(release, tmp_path):
    called = icefleet("change", release / "year=2012", "--inventory", "--out", tmp_path)
    assert called.code == 0, called.err
    frame = gpd.read_parquet(tmp_path / "glacier_change.parquet")
    assert len(frame) == 27 and frame["date_first"].unique().tolist() == ["inventory"]
    assert frame.loc[frame["status"] == "both", "flags"].str.contains("other_model").all()
    assert not (tmp_path / "change_polygons.parquet").exists() and not (tmp_path / "glacier_trend.parquet").exists()


def test_tables_of_an_earlier_comparison_do_not_stay(release, tmp_path):
    compare([str(release)], tmp_path)
    compare([f"{release}/year=2000", f"{release}/year=2012"], tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "change_polygons.parquet", "glacier_change.parquet", "region_change.parquet"]  # fmt: skip


def test_a_glacier_that_is_gone_and_was_seen_twice_in_one_scene_stops_nobody(tmp_path):
    gone = small_row(0, geometry=None, area_km2=0.0, **parts(), area_inventory_km2=2.0)
    for year, scene in ((2000, 2000), (2001, 2000), (2002, 2002)):
        publish_year(str(tmp_path / "r"), year, [gone, *(scaled_row(i, 1.0, **SIGMA) for i in (1, 2))], scene)
    compare([str(tmp_path / "r")], tmp_path / "out")
    frame = pd.read_parquet(tmp_path / "out" / "glacier_trend.parquet").set_index("rgi_id")
    assert frame.loc[named(0), ["trend_km2_a", "kendall_s", "trend_p_value"]].tolist() == [0.0, 0.0, 1.0]
    assert frame[["trend_low_km2_a", "trend_high_km2_a"]].isna().all(axis=None)


def test_same_releases_same_bytes(release, tmp_path):
    for name in ("a", "b"):
        compare([str(release)], tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "expected two dates or more"),
        (("--inventory", "--correlation", "1.5"), "--correlation"),
        (("--inventory", "--plots"), "add --out DIR"),
        (("--inventory", "--significance", "0"), "positive number"),
    ],
)
def test_wrong_calls_end_with_2_and_the_fix(release, words, says):
    called = icefleet("change", release / "year=2000", *words)
    assert called.code == 2 and says in called.err


def test_an_out_that_is_a_file_is_named(release, tmp_path):
    (tmp_path / "file").write_text("")
    called = icefleet("change", release, "--out", tmp_path / "file")
    assert called.code == 2 and str(tmp_path / "file") in called.err


def test_a_damaged_release_ends_with_1(tmp_path):
    for year in (2000, 2010):
        publish_year(str(tmp_path), year, [scaled_row(0, 1.0)])
    [part] = tmp_path.glob("year=2010/glacier_area/*/*.parquet")
    part.write_bytes(b"PAR1")
    called = icefleet("change", tmp_path)
    assert called.code == 1 and part.name in called.err


def test_help_teaches():
    called = icefleet("change", "--help")
    assert called.code == 0 and "Example: icefleet change" in called.out and "surges" in called.out
