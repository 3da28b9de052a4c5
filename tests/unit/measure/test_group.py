"""A group's rows: one for each member, complete, in the words of the release, with geometry that readers can use."""

from __future__ import annotations

import datetime as dt

import geopandas as gpd
import numpy as np
import pytest
import shapely
from made_glaciers import blob, geodesic_area_km2, inventory, lon_lat, objects, row_of
from shapely.geometry.base import BaseGeometry

from core.coverage import coverage_share
from core.grid import Lattice, PixelWindow, Zone
from core.inventory import area_km2, split_antimeridian
from core.measure import Measurement, MeasureRules, MosaicWindow, group, measure_group
from core.measure.calving import Calving
from core.measure.group import Origin, area_row, front_rows, in_lon_lat, outline_rows, surface_rows, to_lon_lat
from core.measure.surfaces import Surfaces
from core.plan import ZoneOutlines, zone_outlines
from core.release.schema import AREA, GLACIER_AREA, GLACIER_FRONT, GLACIER_OUTLINE, GLACIER_SURFACE, OUTLINE
from core.release.table import geometries, table_from_rows
from core.stitch import NOT_OBSERVED, encode
from core.tiles import SceneRef

ORIGIN = Origin("run-1", "0123456789abcdef", 2020)
SCENES = (SceneRef("may", dt.date(2020, 5, 1), "optical"), SceneRef("july", dt.date(2020, 7, 1), "sar"))
ALPS = Zone("utm32n")


class Map:
    """A mosaic in which `ice` is mapped exactly, east of `scene_m` from the second scene, and `cloud` hides."""

    def __init__(self, lattice: Lattice, *ice: BaseGeometry, scene_m: float = 1e9, cloud: BaseGeometry | None = None):
        self.lattice, self.ice, self.scene_m, self.cloud = lattice, objects(*ice), scene_m, cloud

    def __call__(self, window: PixelWindow) -> tuple[MosaicWindow, tuple[SceneRef, ...], tuple[str, ...]]:
        probability = encode(coverage_share(self.ice, self.lattice, window))
        x, _ = self.lattice.centres_m(window)
        scene = np.broadcast_to((x > self.scene_m).astype(np.int32), window.shape).copy()
        if self.cloud is not None:
            hidden = coverage_share(objects(self.cloud), self.lattice, window) > 0
            probability[hidden], scene[hidden] = NOT_OBSERVED, -1
        return MosaicWindow(probability, scene), SCENES, ("sar", "optical")


def outlines_of(zone: Zone, *outline_m: BaseGeometry) -> ZoneOutlines:
    (found,) = zone_outlines(inventory(lon_lat(zone, *(shapely.segmentize(g, 20) for g in outline_m))), 100.0)
    assert found.zone == zone
    return found


def measured(zone: Zone, outline_m: list[BaseGeometry], read: Map, members: list[int] | None = None, **rules: float):
    z = outlines_of(zone, *outline_m)
    members = list(range(len(outline_m))) if members is None else members
    chosen = MeasureRules(**{"advance_m": 20.0, **rules})
    found = measure_group(np.array(members), z.glaciers, z.outline_m, z.tree, read.lattice, read, chosen, ORIGIN)
    return [(tables[AREA][0], tables[OUTLINE]) for tables in found]


def test_every_member_has_one_complete_row_in_order_and_neighbours_have_none():
    shapes = [blob(700_000 + 1500 * k, 5_150_000, 600) for k in range(4)]
    lattice = Lattice(ALPS, 10)
    found = measured(ALPS, shapes, Map(lattice, *shapes[:3]), members=[3, 0, 1])
    rows = [row for row, _ in found]
    assert [row["rgi_id"][-1] for row in rows] == ["3", "0", "1"]
    assert [row["status"] for row in rows] == ["below_minimum", "measured", "measured"]
    table = table_from_rows(rows, GLACIER_AREA)
    assert table.num_rows == 3
    assert set(table.column("run_id").to_pylist()) == {"run-1"}
    assert set(table.column("year").to_pylist()) == {2020}
    parts = table_from_rows([p for _, more in found for p in more], GLACIER_OUTLINE)
    assert parts.column("rgi_id").to_pylist() == [rows[1]["rgi_id"], rows[2]["rgi_id"]]


def test_rows_do_not_depend_on_how_many_glaciers_are_brought_to_degrees_at_once(monkeypatch):
    shapes = [blob(700_000 + 1500 * k, 5_150_000, 300 + 100 * k, lobes=k) for k in range(4)]
    far = [blob(700_200, 5_152_000, 150), blob(702_000, 5_152_500, 250)]
    lattice = Lattice(ALPS, 10)
    ground = shapely.MultiPolygon(far)
    together = measured(ALPS, [*shapes, ground], Map(lattice, *shapes[1:], *far))
    monkeypatch.setattr(group, "_BATCH_PX", 1)
    apart = measured(ALPS, [*shapes, ground], Map(lattice, *shapes[1:], *far))
    assert [row["n_parts"] for row, _ in apart][-1] == 2
    assert len({row["rgi_id"] for row, _ in together}) == 5
    for (row, parts), (row_apart, parts_apart) in zip(together, apart, strict=True):
        for one, other in zip([row, *parts], [row_apart, *parts_apart], strict=True):
            assert one["geometry"] == other["geometry"]
            assert repr({**one, "geometry": None}) == repr({**other, "geometry": None})


def test_a_measured_row_has_the_mapped_outline_of_the_mapped_area():
    old, new = blob(700_000, 5_150_000, 900), blob(700_050, 5_150_000, 400, lobes=5)
    ((row, parts),) = measured(ALPS, [old], Map(Lattice(ALPS, 10), new))
    assert row["area_km2"] == pytest.approx(geodesic_area_km2(ALPS, new), rel=0.001)
    assert area_km2(objects(row["geometry"]))[0] == pytest.approx(row["area_km2"], rel=0.002)
    assert row["area_inventory_km2"] == pytest.approx(geodesic_area_km2(ALPS, old), rel=1e-4)
    assert shapely.is_valid(row["geometry"])
    assert row["n_parts"] == len(parts) == 1


def test_parts_share_the_area_of_their_glacier():
    old = blob(700_000, 5_150_000, 2000)
    pieces = [blob(699_000, 5_150_000, 300), blob(700_800, 5_150_500, 600), blob(700_500, 5_149_000, 450)]
    ((row, parts),) = measured(ALPS, [old], Map(Lattice(ALPS, 10), *pieces))
    assert row["n_parts"] == len(parts) == 3
    assert [p["part"] for p in parts] == [0, 1, 2]
    assert sum(p["area_km2"] for p in parts) == pytest.approx(row["area_km2"])
    truth = sorted(geodesic_area_km2(ALPS, p) for p in pieces)
    assert sorted(p["area_km2"] for p in parts) == pytest.approx(truth, rel=0.01)


def test_ice_beyond_the_outline_goes_to_the_parts_with_the_longest_rims():
    disc, slab = shapely.Point(700_000, 5_150_000).buffer(500), shapely.box(702_000, 5_150_000, 706_000, 5_150_100)
    drawn = shapely.MultiPolygon([disc, slab])
    row = {**OWNER, "area_km2": 2.0, "geometry": to_lon_lat(objects(drawn), ALPS)[0]}
    found = outline_rows(row, Measurement("measured", None, 1.0, geometry=drawn))
    truth = np.array([geodesic_area_km2(ALPS, disc), geodesic_area_km2(ALPS, slab)])
    area = np.array([part["area_km2"] for part in found])
    assert area.sum() == pytest.approx(2.0)
    beyond = (2.0 - truth.sum()) * np.array([disc.length, slab.length]) / (disc.length + slab.length)
    np.testing.assert_allclose(area, truth + beyond, rtol=1e-3)
    less = outline_rows({**row, "area_km2": 0.5}, Measurement("measured", None, 1.0, geometry=drawn))
    np.testing.assert_allclose([part["area_km2"] for part in less], 0.5 * truth / truth.sum(), rtol=1e-3)


def test_dates_and_sensors_are_those_of_the_scenes_used():
    shape = blob(700_000, 5_150_000, 900)
    lattice = Lattice(ALPS, 10)
    ((both, _),) = measured(ALPS, [shape], Map(lattice, shape, scene_m=700_000))
    assert (both["scene_date_min"], both["scene_date_max"]) == (dt.date(2020, 5, 1), dt.date(2020, 7, 1))
    assert both["scenes"] == "july;may"
    assert both["sensors"] == "optical;sar"
    ((one, _),) = measured(ALPS, [shape], Map(lattice, shape, scene_m=690_000))
    assert (one["scene_date_min"], one["scene_date_max"]) == (dt.date(2020, 7, 1),) * 2
    assert one["scenes"] == "july"


def test_a_glacier_under_cloud_keeps_the_outline_of_the_inventory_and_says_why():
    shape = blob(700_000, 5_150_000, 900)
    everything = shapely.box(690_000, 5_140_000, 710_000, 5_160_000)
    ((row, parts),) = measured(ALPS, [shape], Map(Lattice(ALPS, 10), shape, cloud=everything))
    assert row["status"] == "not_observed"
    assert row["status_reason"]
    assert row["area_km2"] is None
    assert (row["scene_date_min"], row["sensors"]) == (None, "")
    assert geodesic_area_km2(ALPS, shape) == pytest.approx(area_km2(objects(row["geometry"]))[0], rel=1e-4)
    assert parts == []
    table_from_rows([row], GLACIER_AREA)


def test_a_glacier_that_is_gone_has_a_row_without_geometry():
    ((row, parts),) = measured(ALPS, [blob(700_000, 5_150_000, 900)], Map(Lattice(ALPS, 10)))
    assert (row["status"], row["area_km2"], row["geometry"], row["n_parts"]) == ("below_minimum", 0.0, None, None)
    assert parts == []
    assert geometries(table_from_rows([row], GLACIER_AREA))[0] is None


AT_180 = {
    "utm01n": (180.0, 66.0),
    "utm60n": (179.99, 66.0),
    "utm01s": (-179.99, -78.0),
    "upsn": (180.0, 86.0),
    "upss": (180.0, -85.0),
}


@pytest.mark.parametrize("name", AT_180)
def test_a_glacier_across_180_degrees_is_published_as_large_as_it_was_measured(name):
    zone = Zone(name)
    lon, lat = AT_180[name]
    x, y = (float(v[0]) for v in zone.project_points(np.array([lon]), np.array([lat])))
    shape = blob(x, y, 3000)
    row, parts = measured_at(zone, shape)
    assert row["area_km2"] == pytest.approx(geodesic_area_km2(zone, shape), rel=0.002)
    west, _, east, _ = row["geometry"].bounds
    assert east - west < 5
    assert area_km2(objects(row["geometry"]))[0] == pytest.approx(row["area_km2"], rel=0.005)
    cut = split_antimeridian(objects(row["geometry"]))
    assert shapely.is_valid(cut).all()
    assert area_km2(cut)[0] == pytest.approx(row["area_km2"], rel=0.005)
    assert cut[0].bounds[0] == -180.0 and cut[0].bounds[2] == 180.0
    table_from_rows(parts, GLACIER_OUTLINE)


@pytest.mark.parametrize("name", ["upsn", "upss"])
def test_a_glacier_around_a_pole_is_published_as_a_cap(name):
    zone = Zone(name)
    shape = blob(2_001_000, 2_000_500, 6000)
    (mapped,) = to_lon_lat(objects(shape), zone)
    assert shapely.is_valid(mapped)
    west, south, east, north = mapped.bounds
    assert (east - west, max(north, -south)) == pytest.approx((360, 90))
    # Near a pole degrees are no plane: the straight edges between vertices cut corners.
    assert area_km2(objects(mapped))[0] == pytest.approx(geodesic_area_km2_around_pole(zone, shape), rel=0.02)


def geodesic_area_km2_around_pole(zone: Zone, shape: BaseGeometry) -> float:
    half = shapely.box(-1e9, -1e9, 2_000_000, 1e9)
    return sum(geodesic_area_km2(zone, p) for p in (shape.intersection(half), shape.difference(half)))


def measured_at(zone: Zone, shape: BaseGeometry):
    degrees = lon_lat(zone, shapely.segmentize(shape, 50))
    frame = inventory(degrees)
    frame["zone"] = zone.name  # the representative point may be on the other side of 180°
    (z,) = zone_outlines(frame, 100.0)
    lattice = Lattice(zone, 20)
    read = Map(lattice, shape)
    (tables,) = measure_group(np.array([0]), z.glaciers, z.outline_m, z.tree, lattice, read, MeasureRules(), ORIGIN)
    return tables[AREA][0], tables[OUTLINE]


def test_the_area_that_the_inventory_states_comes_before_that_of_its_geometry():
    found = Measurement("not_observed", "cloud", 0.0)
    stated = area_row(row_of(area_km2=1.5, geometry_area_km2=1.4), found, ORIGIN)
    assert stated["area_inventory_km2"] == 1.5
    unstated = area_row(row_of(area_km2=np.nan, geometry_area_km2=1.4), found, ORIGIN)
    assert unstated["area_inventory_km2"] == 1.4


def test_published_coordinates_have_seven_decimals_and_stay_valid():
    ragged = shapely.Polygon(
        [(700_000, 5_150_000), (700_900, 5_150_000.004), (700_900, 5_150_700), (700_899.999, 5_150_000.006)]
    )
    parts = shapely.union_all([ragged, shapely.box(700_000, 5_150_000, 700_100, 5_150_100)])
    (found,) = to_lon_lat(objects(parts), ALPS)
    assert shapely.is_valid(found)
    xy = shapely.get_coordinates(found)
    np.testing.assert_array_equal(xy, np.round(xy, 7))


def test_no_outline_has_no_parts():
    assert outline_rows({"geometry": None}, Measurement("below_minimum", "gone", 1.0, area_km2=0.0)) == []


OWNER = {"rgi_id": "RGI2000-v7.0-G-11-00001", "o1region": "11", "year": 2020, "run_id": "run-1"}


def test_a_surface_too_small_for_seven_decimals_has_no_row():
    none = np.zeros((1, 1), np.float32)
    cover = Surfaces(none, none, none, 1.0, area_clean_ice_km2=2.0, area_debris_km2=1e-12, area_lake_km2=0.0)
    shapes = {"clean_ice": blob(700_000, 5_150_000, 800), "debris": shapely.box(7e5, 5.15e6, 7e5 + 1e-3, 5.15e6 + 1e-3)}
    assert to_lon_lat(objects(shapes["debris"]), ALPS)[0].is_empty
    (mapped,) = in_lon_lat([Measurement("measured", None, 1.0, cover=cover, surfaces=shapes)], ALPS)
    found = surface_rows(OWNER, mapped)
    assert [(row["class"], row["area_km2"]) for row in found] == [("clean_ice", 2.0)]
    assert table_from_rows(found, GLACIER_SURFACE).num_rows == 1


@pytest.mark.parametrize("name", ["utm01n", "utm60n", "upsn"])
def test_a_front_across_180_degrees_is_published_in_two_short_lines(name):
    zone = Zone(name)
    x, y = zone.project_points(np.array([179.99, 179.996, -179.99]), np.array([81.0, 81.001, 81.0]))
    calving = Calving(shapely.LineString(np.column_stack([x, y])), 600.0, None, "sea", 1.0, "image")
    (mapped,) = in_lon_lat([Measurement("measured", None, 1.0, calving=calving)], zone)
    rows = front_rows(OWNER, mapped)
    line = geometries(table_from_rows(rows, GLACIER_FRONT))[0]
    assert [part.bounds[2] - part.bounds[0] < 0.011 for part in shapely.get_parts(line)] == [True, True]
    assert line.bounds[0] == -180.0 and line.bounds[2] == 180.0


def test_a_frame_of_the_inventory_gives_rows_without_pandas_missing_values():
    shape = blob(700_000, 5_150_000, 900)
    ((row, _),) = measured(ALPS, [shape], Map(Lattice(ALPS, 10), shape))
    table = table_from_rows([row], GLACIER_AREA)
    assert table.column("term_type").to_pylist() == [None]
    assert table.column("glac_name").to_pylist() == [None]
    assert isinstance(gpd.GeoSeries(geometries(table)).union_all(), BaseGeometry)
