"""The tables of the SIMULATED world: outlines in the schema of RGI 7.0, and the truth of the mapped year.

Ids start with SIM, not RGI. Areas follow the rules of each side: the inventory's in a cylindrical equal-area
projection (as RGI), the truth's on the ellipsoid.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Geod
from scipy import ndimage
from shapely import affinity

from core.grid import Zone
from core.simulate.noise import F32
from core.simulate.outline import Outlines
from core.simulate.place import to_pixels, to_zone
from core.simulate.site import Site
from core.simulate.surface import burn

YEAR = 2024
Geometries = NDArray[np.object_]
_GEOD = Geod(ellps="WGS84")
_SECTORS = 8


@dataclass(frozen=True)
class SiteTables:
    """inventory: one row per glacier, RGI 7.0-G columns; truth: same ids, in the same order. Both EPSG:4326."""

    inventory: gpd.GeoDataFrame
    truth: gpd.GeoDataFrame


def to_degrees(shapes: Geometries, zone: Zone) -> Geometries:
    """Zone metres → EPSG:4326, cut at ±180° as RFC 7946 section 3.1.9 wants; shared vertices stay shared."""
    world = zone.unproject(shapes)
    bounds = shapely.bounds(world)
    out = world.copy()
    for i in np.flatnonzero((bounds[:, 2] > 180.0) | (bounds[:, 0] < -180.0)):
        turns = [affinity.translate(world[i], xoff=k) for k in (-360.0, 0.0, 360.0)]
        inside = shapely.intersection(np.array(turns, dtype=object), shapely.box(-180.0, -90.0, 180.0, 90.0))
        parts = shapely.get_parts(shapely.get_parts(inside))
        parts = parts[shapely.area(parts) > 0]
        out[i] = parts[0] if len(parts) == 1 else shapely.MultiPolygon(list(parts))
    return np.asarray(shapely.orient_polygons(out), dtype=object)


def site_tables(
    site: Site,
    outlines: Outlines,
    zone: Zone,
    surface: F32,
    debris: F32,
    transform: Affine,
    observed: F32,
    special: list[str],
) -> SiteTables:
    """Both tables of a site. observed: share of each glacier that some scene saw; special: why it is there, or ''."""
    n = len(outlines.then)
    ids = [f"SIM2000-v1.0-G-{site.o1region}-{i + 1:05d}" for i in range(n)]
    then = gpd.GeoSeries(to_degrees(outlines.then, zone), crs="EPSG:4326")
    now = gpd.GeoSeries(to_degrees(outlines.now, zone), crs="EPSG:4326")
    number = burn(outlines.then, np.arange(1, n + 1, dtype=np.int32), surface.shape, transform)
    lon, lat = zone.unproject_points(*_xy(shapely.point_on_surface(outlines.then)))
    inventory = gpd.GeoDataFrame(
        {
            "rgi_id": ids,
            "o1region": site.o1region,
            "o2region": site.o2region,
            "glims_id": "",
            "anlys_id": -999,
            "subm_id": -999,
            "src_date": f"{site.inventory_date.isoformat()}T00:00:00",
            "cenlon": lon,
            "cenlat": lat,
            "utm_zone": 0 if zone.polar else (np.floor((lon + 180.0) / 6.0).astype(np.int64) % 60 + 1),
            "area_km2": then.to_crs({"proj": "cea"}).area.to_numpy() / 1e6,
            "primeclass": 0,
            "conn_lvl": 0,
            "surge_type": 9,
            "term_type": 0,
            "glac_name": "",
            "is_rgi6": 0,
            **_relief(outlines.then, number, surface, site, zone, transform),
            "lmax_m": np.rint(_length_m(outlines.then)).astype(np.int64),
        },
        geometry=then,
        crs="EPSG:4326",
    )
    if site.sea:
        inventory.loc[inventory["zmin_m"] < 12.0, "term_type"] = 1
    still = burn(outlines.now, np.arange(1, n + 1, dtype=np.int32), surface.shape, transform)
    area_km2 = np.array([abs(_GEOD.geometry_area_perimeter(g)[0]) for g in now]) / 1e6
    pixels = np.bincount(still.ravel(), minlength=n + 1)[1:]
    covered = np.bincount(still.ravel(), weights=debris.ravel(), minlength=n + 1)[1:] / np.maximum(pixels, 1)
    truth = gpd.GeoDataFrame(
        {
            "rgi_id": ids,
            "year": YEAR,
            "area_km2": area_km2,
            "area_debris_km2": covered * area_km2,
            "observed": observed > 0.0,
            "observed_fraction": observed.astype(np.float64),
            "special": special,
            "simulated": True,
        },
        geometry=now,
        crs="EPSG:4326",
    )
    return SiteTables(inventory, truth)


def _relief(
    then: Geometries, number: NDArray[np.integer], surface: F32, site: Site, zone: Zone, transform: Affine
) -> dict[str, object]:
    """Elevation, slope, aspect and terminus columns; a glacier without a pixel centre takes the nearest pixel."""
    number = number.copy()
    index = np.arange(1, len(then) + 1)
    lost = np.setdiff1d(index, number)
    x, y = _xy(shapely.point_on_surface(then[lost - 1]))
    col, row = to_pixels(transform, x, y)
    number[row.astype(int), col.astype(int)] = lost
    south, east = np.gradient(surface, site.pixel_m)
    mean_east, mean_south = ndimage.mean(east, number, index), ndimage.mean(south, number, index)
    # Aspect is where the surface falls to, clockwise from true north.
    convergence = np.zeros(len(then)) if not zone.polar else -np.asarray(site.lon)
    aspect = (np.degrees(np.arctan2(-mean_east, mean_south)) + convergence) % 360.0
    low = np.array(ndimage.minimum_position(surface, number, index))
    term_x, term_y = to_zone(transform, low[:, 1] + 0.5, low[:, 0] + 0.5)
    lon, lat = zone.unproject_points(term_x, term_y)
    return {
        "termlon": lon,
        "termlat": lat,
        "zmin_m": ndimage.minimum(surface, number, index).astype(np.float64),
        "zmax_m": ndimage.maximum(surface, number, index).astype(np.float64),
        "zmed_m": ndimage.median(surface, number, index).astype(np.float64),
        "zmean_m": ndimage.mean(surface, number, index).astype(np.float64),
        "slope_deg": np.degrees(ndimage.mean(np.arctan(np.hypot(east, south)), number, index)),
        "aspect_deg": aspect,
        "aspect_sec": (np.rint(aspect / 45.0).astype(np.int64) % _SECTORS) + 1,
        "dem_source": "SIMULATED",
    }


def _length_m(shapes: Geometries) -> NDArray[np.float64]:
    """Longer side of the smallest rectangle around each: a stand-in for a centre line."""
    xy = shapely.get_coordinates(shapely.get_exterior_ring(shapely.oriented_envelope(shapes))).reshape(
        len(shapes), -1, 2
    )
    return np.asarray(np.linalg.norm(np.diff(xy[:, :3], axis=1), axis=2).max(axis=1))


def _xy(points: Geometries) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.asarray(shapely.get_x(points)), np.asarray(shapely.get_y(points))


def join_tables(tables: list[SiteTables]) -> SiteTables:
    """All sites below each other."""
    return SiteTables(
        gpd.GeoDataFrame(pd.concat([t.inventory for t in tables], ignore_index=True), crs="EPSG:4326"),
        gpd.GeoDataFrame(pd.concat([t.truth for t in tables], ignore_index=True), crs="EPSG:4326"),
    )
