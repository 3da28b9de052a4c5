"""Glaciers that tests make up: outlines in zone metres or degrees, inventory rows, and their true areas."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from hypothesis import strategies as st
from pyproj import Geod
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from core.grid import Lattice, PixelWindow, Zone, home_zones
from core.inventory import COLUMNS, area_km2, unwrap_longitudes

WGS84 = Geod(ellps="WGS84")


def objects(*geometry: BaseGeometry) -> np.ndarray:
    """Geometries as the object array that the code takes."""
    out = np.empty(len(geometry), dtype=object)
    out[:] = geometry
    return out


def geodesic_area_km2(zone: Zone, geometry_m: BaseGeometry, step_m: float = 50.0) -> float:
    """Area on the ellipsoid of a polygon whose edges are straight in the zone; independent of the grid's own sums."""
    dense = shapely.segmentize(geometry_m, step_m)
    total = 0.0
    for part in shapely.get_parts(dense):
        rings = [part.exterior, *part.interiors]
        for k, ring in enumerate(rings):
            xy = shapely.get_coordinates(ring)[:-1]
            lon, lat = zone.unproject_points(xy[:, 0], xy[:, 1])
            area = abs(WGS84.polygon_area_perimeter(lon, lat)[0]) / 1e6
            total += area if k == 0 else -area
    return total


def blob(x: float, y: float, radius_m: float, lobes: int = 3, wobble: float = 0.25, points: int = 360) -> Polygon:
    """A smooth outline in zone metres."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    r = radius_m * (1 + wobble * np.sin(lobes * angle) + 0.3 * wobble * np.cos(2 * angle))
    return Polygon(np.column_stack([x + r * np.cos(angle), y + r * np.sin(angle)]))


@st.composite
def stars(draw: st.DrawFn, extent: float = 20.0, on_grid: bool | None = None, hole: bool | None = None) -> Polygon:
    """A star-shaped polygon around a point of [0, extent]², perhaps with a hole, perhaps with corners on the grid."""
    n = draw(st.integers(3, 10))
    turn = draw(st.floats(0, 6.28))
    angle = turn + 2 * np.pi * (np.arange(n) + draw(st.floats(0, 0.9))) / n
    radius = np.array(draw(st.lists(st.floats(0.05, extent / 2), min_size=n, max_size=n)))
    cx, cy = draw(st.floats(0, extent)), draw(st.floats(0, extent))
    ring = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    holes = [ring * 0.4 + np.array([cx, cy])] if (draw(st.booleans()) if hole is None else hole) else []
    polygon = Polygon(ring + np.array([cx, cy]), holes)
    if draw(st.booleans()) if on_grid is None else on_grid:
        rounded = shapely.make_valid(shapely.transform(polygon, np.round), method="structure", keep_collapsed=False)
        if rounded.geom_type in ("Polygon", "MultiPolygon") and rounded.area > 0:
            return rounded
    return polygon


@st.composite
def multi_stars(draw: st.DrawFn, extent: float = 20.0) -> Polygon | MultiPolygon:
    """The union of up to three stars: parts, holes and bays."""
    union = shapely.union_all(draw(st.lists(stars(extent), min_size=1, max_size=3)))
    polygons = [p for p in shapely.get_parts(union) if p.geom_type == "Polygon" and p.area > 0]
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)


def on_lattice(geometry_px: BaseGeometry, lattice: Lattice, origin: PixelWindow) -> BaseGeometry:
    """A geometry in pixels (x = column, y = row) relative to `origin` → zone metres."""
    a = lattice.transform(origin)
    return shapely.transform(geometry_px, lambda xy: np.column_stack([a.c + a.a * xy[:, 0], a.f + a.e * xy[:, 1]]))


def inventory(
    geometry: Sequence[BaseGeometry | None],
    *,
    region: str | Sequence[str] = "11",
    ids: Sequence[str] | None = None,
    problem: Sequence[str | None] | None = None,
    centre: Sequence[tuple[float, float]] | None = None,
) -> gpd.GeoDataFrame:
    """Normalised inventory rows (`core.inventory`) of lon/lat outlines, sorted by id."""
    n = len(geometry)
    shapes = objects(*geometry)
    whole = unwrap_longitudes(shapes)
    if centre is None:
        points = [shapely.point_on_surface(g) if g is not None else None for g in whole]
        centre = [((p.x + 180) % 360 - 180, p.y) if p is not None else (0.0, 0.0) for p in points]
    lon, lat = (np.array([c[k] for c in centre], dtype=float) for k in (0, 1))
    table = pd.DataFrame({name: pd.Series([None] * n, dtype=object) for name in COLUMNS})
    table["rgi_id"] = list(ids) if ids is not None else [f"RGI2000-v7.0-G-11-{k:05d}" for k in range(n)]
    table["o1region"] = [region] * n if isinstance(region, str) else list(region)
    table["cenlon"], table["cenlat"] = lon, lat
    table["zone"] = home_zones(lon, lat).astype(object)
    table["src_date"] = pd.Series([dt.date(2000, 8, 1)] * n, dtype=object)
    table["problem"] = pd.Series(list(problem) if problem else [None] * n, dtype=object)
    for name in ("area_km2", "zmin_m", "zmax_m", "zmed_m", "zmean_m", "slope_deg", "aspect_deg", "lmax_m"):
        table[name] = np.nan
    table["geometry_area_km2"] = area_km2(whole)
    for name in ("term_type", "surge_type"):
        table[name] = pd.Series([pd.NA] * n, dtype="Int8")
    frame = gpd.GeoDataFrame(table.drop(columns="geometry"), geometry=whole, crs="EPSG:4326")[list(COLUMNS)]
    return frame.sort_values("rgi_id").reset_index(drop=True)


def lon_lat(zone: Zone, *geometry_m: BaseGeometry) -> np.ndarray:
    """Zone metres → degrees with continuous longitudes."""
    return unwrap_longitudes(zone.unproject(objects(*geometry_m)))


def row_of(**changed: Any) -> dict[str, Any]:
    """One inventory row as a dictionary."""
    row = inventory([shapely.box(7.9, 46.4, 8.0, 46.5)]).to_dict("records")[0]
    return {**row, **changed}
