"""A SIMULATED world inventory: as many glaciers and as much ice per region as RGI 7.0, shapes and places invented.

For rehearsals of scale only: what `read_inventory` would give for the globe, without a download. Counts per region
are exact, areas agree to 1e-5; sizes follow a Pareto II distribution whose classes come close to those of the
RGI. Glaciers lie in massifs within the boxes of their region, two of which cross 180°; they are star-shaped, and
neighbours may overlap a little. Vectorised: no loop over glaciers; the same seed always gives the same table, and a
region does not depend on which others are asked for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from core.grid import home_zones
from core.inventory import COLUMNS, area_km2, unwrap_longitudes
from core.inventory.identity import position_ids
from core.inventory.longitude import wrap_degrees
from core.simulate.noise import F64, stream

IntArray = NDArray[np.int64]
Box = tuple[float, float, float, float]  # west, east (beyond 180 where it crosses), south, north; degrees


@dataclass(frozen=True)
class RegionSize:
    """n_glaciers, area_km2: of RGI 7.0 (https://doi.org/10.5067/F6JMOVY5NAVZ). cover: share of a massif under ice."""

    n_glaciers: int
    area_km2: float
    cover: float
    boxes: tuple[Box, ...]


# The boxes follow the mountains by eye; glaciers are shared among them by area. Covers are on the low side: regions 06
# and 16 touch half as many blocks again as their real outlines do, so a rehearsal errs towards more work.
REGION_SIZES: dict[str, RegionSize] = {
    "01": RegionSize(27509, 86708, 0.2, ((-154, -144, 60, 63), (-144, -136, 59, 62), (-136, -130, 55.5, 60))),
    "02": RegionSize(18730, 14521, 0.1, ((-131, -123, 50, 57), (-121, -114, 48.5, 53), (-122, -109, 43, 48.5))),
    "03": RegionSize(5216, 105370, 0.25, ((-90, -64, 76.5, 82.8), (-95, -87, 78.5, 81.2), (-90, -80, 74.6, 75.8))),
    "04": RegionSize(11009, 40538, 0.2, ((-80, -69, 69.5, 73.6), (-69, -62, 65.5, 69))),
    "05": RegionSize(
        19994,
        90482,
        0.2,
        ((-48, -42.5, 60.2, 62), (-54, -50.5, 64, 71.5), (-60, -25, 81, 83.2), (-30, -21, 69, 77), (-40, -33, 65, 68)),
    ),
    "06": RegionSize(568, 11060, 0.25, ((-23, -14.5, 63.6, 66),)),
    "07": RegionSize(1666, 33959, 0.25, ((11, 27, 76.7, 80.4), (-9, -8, 70.9, 71.1))),
    "08": RegionSize(3410, 2948, 0.1, ((5.8, 9, 60, 62.5), (13.5, 20, 65.5, 69.8))),
    "09": RegionSize(1069, 51595, 0.25, ((55, 68, 73.5, 77), (94, 105, 78.2, 81), (46, 64, 79.9, 81.6))),
    "10": RegionSize(
        7155,
        2643,
        0.05,
        ((84, 92, 48, 51), (138, 148, 60, 66), (157, 162, 52, 57), (176, 186, 65.5, 67.5), (59, 66, 64, 68)),
    ),
    "11": RegionSize(4079, 2124, 0.1, ((6, 13.5, 45.6, 47.2), (-0.5, 1, 42.6, 42.8))),
    "12": RegionSize(2275, 1407, 0.1, ((40.5, 47.5, 42, 43.5), (43.5, 44.5, 37.2, 37.8))),
    "13": RegionSize(
        75613,
        50344,
        0.125,
        ((70, 88, 41, 44), (68.5, 75, 37.5, 39.7), (76, 92, 35.3, 37), (83, 96, 30, 34), (94, 102, 37.5, 39.7)),
    ),
    "14": RegionSize(37562, 33075, 0.15, ((73, 78.5, 34.6, 36.9), (70, 73, 35, 37), (76, 79.5, 31.5, 34))),
    "15": RegionSize(18587, 16049, 0.15, ((80, 91, 27.8, 29.2), (92, 98, 28.5, 30.5), (98, 102, 27.8, 30))),
    "16": RegionSize(
        3695,
        1929,
        0.1,
        ((-78, -75, -10.5, -8.5), (-73, -68, -16.5, -13.5), (-78.4, -77.8, -0.8, 0.2), (29.8, 30, 0.2, 0.5)),
    ),
    "17": RegionSize(
        30634,
        27674,
        0.125,
        ((-71, -69.5, -36, -30), (-74, -71.5, -49, -44), (-74, -72, -52, -49), (-73, -68.5, -55, -54)),
    ),
    "18": RegionSize(3018, 886, 0.075, ((168, 171.6, -44.8, -42.9),)),
    "19": RegionSize(
        2742,
        133432,
        0.25,
        ((-75, -58, -70, -62), (-38, -35.9, -54.9, -54.1), (68.7, 70.2, -49.6, -48.8), (178, 182, -78.5, -77)),
    ),
}

_MASSIF_GLACIERS = 25
_SMALLEST_KM2, _LARGEST_KM2, _LARGEST_SHARE = 0.01, 6000.0, 0.08
# Median 0.23 km²; 84 % below 1 km², as in RGI 7.0.
_SCALE_KM2 = 0.3
_GOLDEN = np.pi * (3.0 - 5.0**0.5)
_HARMONICS = np.arange(2, 6)
_CHUNK = 20_000
_A_M, _E2 = 6_378_137.0, 0.00669437999014  # WGS84


def simulate_inventory(
    seed: int = 0, regions: Sequence[str] | None = None, share: float = 1.0, vertices: float = 1.0
) -> gpd.GeoDataFrame:
    """A SIMULATED inventory, normalised like `core.inventory.Inventory.glaciers`, one row per glacier.

    regions: None for all. share: of the glaciers and of the area of each region, at least one glacier. vertices:
    factor on 20–200 vertices per outline, which grow with size.
    """
    parts = [_region(name, REGION_SIZES[name], seed, share, vertices) for name in sorted(regions or REGION_SIZES)]
    table = pd.concat(parts, ignore_index=True)
    for column in table.columns[table.dtypes == "str"]:
        table[column] = table[column].astype(object)
    return gpd.GeoDataFrame(table, geometry="geometry", crs="EPSG:4326")[list(COLUMNS)]


def pareto_areas(n: int, total_km2: float) -> F64:
    """`n` areas, ascending, that sum to `total_km2`: quantiles of a Pareto II distribution cut at both ends.

    Only the exponent is fitted (by bisection). A total that no exponent reaches is met by scaling.
    """
    largest = min(_LARGEST_KM2, max(10.0, _LARGEST_SHARE * total_km2))
    beyond = 1.0 - (np.arange(n) + 0.5) / n

    def areas(exponent: float) -> F64:
        return np.minimum(_SMALLEST_KM2 + _SCALE_KM2 * (beyond ** (-1.0 / exponent) - 1.0), largest)

    low, high = 0.05, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if areas(middle).sum() > total_km2 else (low, middle)
    found = areas(high)
    return np.asarray(found * (total_km2 / found.sum()))


def _region(name: str, size: RegionSize, seed: int, share: float, vertices: float) -> pd.DataFrame:
    rng = stream(seed, "inventory", name)
    n = max(1, round(size.n_glaciers * share))
    wanted = rng.permutation(pareto_areas(n, size.area_km2 * n / size.n_glaciers))
    lon, lat, box = _places(wanted, size, rng)
    n_vertices = np.clip(60.0 * wanted**0.3, 20.0, 200.0) * vertices
    outline = [_stars(lon[k], lat[k], wanted[k], n_vertices[k].astype(np.int64), rng) for k in _chunks(n)]
    geometry = unwrap_longitudes(np.concatenate(outline))
    area = area_km2(geometry)
    lon = wrap_degrees(lon)
    # A snow line that falls with latitude, and more relief for larger glaciers.
    middle = 300.0 + 4900.0 * np.cos(np.radians(lat)) ** 2 + rng.normal(0.0, 150.0, n).clip(-250.0, 250.0)
    half = 150.0 * area**0.25
    table = pd.DataFrame(
        {
            "rgi_id": (f"SIM2000-v1.0-G-{name}-" + _digits(np.arange(1, n + 1), 5)).to_numpy(dtype=object),
            "o1region": np.full(n, name, dtype=object),
            "o2region": (f"{name}-" + _digits(box + 1, 2)).to_numpy(dtype=object),
            "glims_id": pd.Series(position_ids(lon, lat)).str.removeprefix("NOID-").to_numpy(dtype=object),
            "src_date": np.array([dt.date(1999, 7, 1) + dt.timedelta(days=d) for d in range(1000)])[
                rng.integers(0, 1000, n)
            ],
            "src_date_precision": np.full(n, "day", dtype=object),
            "cenlon": lon,
            "cenlat": lat,
            "area_km2": area,
            "geometry_area_km2": area,
            "term_type": pd.Series(np.zeros(n), dtype="Int8"),
            "surge_type": pd.Series(np.zeros(n), dtype="Int8"),
            "glac_name": np.full(n, None, dtype=object),
            "zmin_m": middle - half,
            "zmax_m": middle + half,
            "zmed_m": middle,
            "zmean_m": middle,
            "slope_deg": np.clip(25.0 - 5.0 * np.log10(area) + rng.normal(0.0, 4.0, n), 2.0, 60.0),
            "aspect_deg": rng.uniform(0.0, 360.0, n),
            "lmax_m": 1600.0 * np.sqrt(area),
            "version": np.full(n, "simulated", dtype=object),
            "source": np.full(n, "simulated", dtype=object),
            "zone": home_zones(lon, lat).astype(object),
            "problem": np.full(n, None, dtype=object),
        }
    )
    return table.assign(geometry=geometry)


def _digits(number: IntArray, width: int) -> pd.Series:
    return pd.Series(number).astype(str).str.zfill(width)


def _chunks(n: int) -> Iterator[slice]:
    return (slice(k, min(k + _CHUNK, n)) for k in range(0, n, _CHUNK))


def _places(area: F64, size: RegionSize, rng: np.random.Generator) -> tuple[F64, F64, IntArray]:
    """(longitude, which may be beyond 180; latitude; number of the box) of each glacier.

    A massif is packed like the head of a sunflower, the largest glacier in the middle, so that glaciers share its
    ground in proportion to their areas.
    """
    n_massifs = max(1, round(len(area) / _MASSIF_GLACIERS))
    west, east, south, north = np.array(size.boxes, dtype=np.float64).T
    ground = (east - west) * (np.sin(np.radians(north)) - np.sin(np.radians(south)))
    box = rng.choice(len(ground), n_massifs, p=ground / ground.sum())
    box[: len(ground)] = np.arange(len(ground))[:n_massifs]  # none is left empty
    lon0 = rng.uniform(west[box], east[box])
    lat0 = rng.uniform(south[box], north[box])
    weight = rng.lognormal(0.0, 0.7, n_massifs)
    massif = rng.choice(n_massifs, len(area), p=weight / weight.sum())

    order = np.lexsort((-area, massif))
    sorted_massif, sorted_area = massif[order], area[order]
    start = np.searchsorted(sorted_massif, sorted_massif)
    summed = np.cumsum(sorted_area)
    inner = summed - (summed - sorted_area)[start] - sorted_area / 2
    radius_m = 1000.0 * np.sqrt(inner / (np.pi * size.cover))
    angle = _GOLDEN * (np.arange(len(area)) - start) + rng.uniform(0.0, 2 * np.pi, n_massifs)[sorted_massif]
    lon, lat = np.empty(len(area)), np.empty(len(area))
    lon[order], lat[order] = _offset(
        lon0[sorted_massif], lat0[sorted_massif], radius_m * np.cos(angle), radius_m * np.sin(angle)
    )
    return lon, lat, box[massif]


def _stars(lon: F64, lat: F64, area: F64, n_vertices: IntArray, rng: np.random.Generator) -> NDArray[np.object_]:
    """Star-shaped polygons in lon/lat of these areas (km²) around these points: shapely array."""
    n = len(lon)
    n_vertices = np.maximum(n_vertices, 4)
    of = np.repeat(np.arange(n), n_vertices)
    start = np.cumsum(n_vertices) - n_vertices
    turn = (np.arange(len(of)) - start[of] + rng.uniform(-0.3, 0.3, len(of))) / n_vertices[of] * 2 * np.pi
    wave = rng.normal(0.0, 0.16, (len(_HARMONICS), n))
    phase = rng.uniform(0.0, 2 * np.pi, (len(_HARMONICS), n))
    swell = np.zeros(len(of))
    for k, amplitude, shift in zip(_HARMONICS, wave, phase, strict=True):
        swell += amplitude[of] * np.cos(k * turn + shift[of])
    ray = np.exp(swell)
    longer = np.exp(np.abs(rng.normal(0.0, 0.25, n)))
    heading = rng.uniform(0.0, 2 * np.pi, n)
    along, across = ray * np.cos(turn) * longer[of], ray * np.sin(turn) / longer[of]
    x = along * np.cos(heading)[of] - across * np.sin(heading)[of]
    y = along * np.sin(heading)[of] + across * np.cos(heading)[of]
    following = np.arange(len(of)) + 1
    following[start + n_vertices - 1] = start
    planar = 0.5 * np.add.reduceat(x * y[following] - x[following] * y, start)
    scale = (1000.0 * np.sqrt(area / planar))[of]
    rings = shapely.linearrings(np.column_stack(_offset(lon[of], lat[of], x * scale, y * scale)), indices=of)
    return np.asarray(shapely.polygons(rings), dtype=object)


def _offset(lon: F64, lat: F64, east_m: F64, north_m: F64) -> tuple[F64, F64]:
    """The point so many metres east and north: equal-area, with the radii of curvature of WGS84 at `lat`."""
    curve = 1.0 - _E2 * np.sin(np.radians(lat)) ** 2
    meridian, normal = _A_M * (1.0 - _E2) / curve**1.5, _A_M / np.sqrt(curve)
    to_lat = lat + np.degrees(north_m / meridian)
    return lon + np.degrees(east_m / (normal * np.cos(np.radians(to_lat)))), to_lat
