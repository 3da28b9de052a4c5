"""Area by the rule of the RGI, wherever the outline lies."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod
from shapely.geometry import GeometryCollection, LineString, MultiPolygon

from core.inventory import area_km2
from core.inventory.polygons import only_polygons


@given(st.floats(-179, 178), st.floats(-89, 88), st.floats(1e-3, 1), st.floats(1e-3, 1))
def test_area_is_that_of_the_cea_projection(lon: float, lat: float, width: float, height: float) -> None:
    box = np.array([shapely.box(lon, lat, lon + width, lat + height)], dtype=object)
    expected = gpd.GeoSeries(box, crs="EPSG:4326").to_crs({"proj": "cea"}).area / 1e6
    np.testing.assert_allclose(area_km2(box), expected, rtol=1e-8)


@given(st.floats(-85, 84))
def test_area_of_a_small_outline_is_its_geodesic_area(lat: float) -> None:
    box = shapely.box(10, lat, 10.01, lat + 0.01)
    geodesic = abs(Geod(ellps="WGS84").geometry_area_perimeter(box)[0]) / 1e6
    assert area_km2(np.array([box], dtype=object))[0] == pytest.approx(geodesic, rel=1e-5)


@given(st.floats(-80, 80), st.integers(-1, 1))
def test_area_does_not_change_across_the_antimeridian(lat: float, turn: int) -> None:
    here, there = (np.array([shapely.box(x, lat, x + 1, lat + 1)], dtype=object) for x in (0, 179.5 + 360 * turn))
    np.testing.assert_allclose(area_km2(there), area_km2(here), rtol=1e-9)


def test_area_of_nothing_is_unknown_and_of_many_is_in_order() -> None:
    boxes = np.array([None, *(shapely.box(0, 0, 1, 1 + i) for i in range(3))], dtype=object)
    got = area_km2(boxes)
    assert np.isnan(got[0])
    assert (np.diff(got[1:]) > 0).all()
    assert len(area_km2(boxes[:0])) == 0


def test_only_polygons_of_a_collection_are_kept() -> None:
    a, b, line = shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3), LineString([(0, 0), (5, 5)])
    mixed = np.array(
        [GeometryCollection([line, MultiPolygon([a, b])]), line, None, GeometryCollection([a, line]), b], dtype=object
    )
    got = only_polygons(mixed)
    assert [g and g.geom_type for g in got] == ["MultiPolygon", None, None, "Polygon", "Polygon"]
    assert got[0].area == 2
