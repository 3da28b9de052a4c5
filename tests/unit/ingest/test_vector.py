"""Velocity: the same flow, given along the axes of any projection, comes out along the axes of the zone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pyproj import Geod, Proj, Transformer

from core.errors import PoisonError
from core.grid import Block, Lattice, Zone
from core.ingest.vector import axis_angle, turn
from core.tiles import TileStore
from tests.made_scenes import centres, config, grid_in, ingested, raster, scene

GEOD = Geod(ellps="WGS84")
SPEED = 250.0
PLACES = {
    "Greenland": (Block(Zone("utm22n"), 75, 16), ["EPSG:3413", "EPSG:32622", "EPSG:32623", "EPSG:4326"]),
    "Svalbard": (Block(Zone("utm33n"), 39, 21), ["EPSG:3413", "EPSG:32634", "EPSG:4326"]),
    "Alaska": (Block(Zone("utm06n"), 108, 12), ["EPSG:3413", "EPSG:32605"]),
    "Antarctica": (Block(Zone("utm20s"), 273, 16), ["EPSG:3031", "EPSG:32719"]),
    "UPS": (Block(Zone("upss"), 272, 75), ["EPSG:3031", "EPSG:4326"]),
    "antimeridian": (Block(Zone("utm01n"), 93, 11), ["EPSG:32660", "EPSG:4326", "EPSG:3413"]),
}
CASES = [(place, crs) for place, (_, all_crs) in PLACES.items() for crs in all_crs]
BANDS = {"v_m_a": 1, "vx_m_a": 2, "vy_m_a": 3}


def axes(crs: str, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Azimuth in radians, clockwise from north, of the x axis of a projection: by a geodesic of 200 m."""
    if crs == "EPSG:4326":
        return np.full(lon.shape, math.pi / 2)
    forward = Transformer.from_crs(4326, crs, always_xy=True)
    x, y = forward.transform(lon, lat)
    there = forward.transform(x + 200.0, y, direction="INVERSE")
    return np.radians(GEOD.inv(lon, lat, *there)[0])


def flow(crs: str, lon: np.ndarray, lat: np.ndarray, azimuth_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Components of a flow towards one azimuth along the axes of a (conformal) projection."""
    turned = axes(crs, lon, lat) - math.radians(azimuth_deg)  # anticlockwise from the x axis
    return SPEED * np.cos(turned), SPEED * np.sin(turned)


@pytest.mark.parametrize("azimuth_deg", [0.0, 130.0, 255.0])
@pytest.mark.parametrize(("place", "crs"), CASES)
def test_components_are_those_of_the_zone(place, crs, azimuth_deg, store, tmp_path):
    block = PLACES[place][0]
    _, lat0 = block.zone.unproject_points(np.array([block.bounds_m[0]]), np.array([block.bounds_m[1]]))
    degree = 111_195.0
    res = (240 / degree / math.cos(math.radians(lat0[0])), 240 / degree) if crs == "EPSG:4326" else 240.0
    transform, rows, cols = grid_in(crs, res, block.zone, block.bounds_m)
    lon, lat = Transformer.from_crs(crs, 4326, always_xy=True).transform(*centres(transform, rows, cols))
    vx, vy = flow(crs, lon, lat, azimuth_deg)
    held = np.stack([np.full(vx.shape, SPEED), vx, vy]).astype(np.float32)
    path = raster(tmp_path / "v.tif", held, transform, crs)
    read = ingested(store, config(scene(path, BANDS, sensor="velocity"), composite="median"), "velocity", block)
    assert read.observed.all()
    speed, zx, zy = read.values
    lattice = Lattice(block.zone, 120)
    x, y = np.meshgrid(*lattice.centres_m(lattice.block_window(block)))
    lons, lats = block.zone.unproject_points(x.ravel(), y.ravel())
    ex, ey = (v.reshape(x.shape) for v in flow(f"EPSG:{block.zone.epsg}", lons, lats, azimuth_deg))
    angle = np.degrees(np.arctan2(zy * ex - zx * ey, zx * ex + zy * ey))
    assert np.abs(angle).max() < 0.1
    assert np.abs(np.hypot(zx, zy) / SPEED - 1).max() < 0.005
    np.testing.assert_allclose(speed, SPEED, rtol=1e-5)


def test_a_mosaic_turns_what_it_sums(store, tmp_path):
    block = PLACES["Greenland"][0]
    transform, rows, cols = grid_in("EPSG:3413", 240.0, block.zone, block.bounds_m)
    lon, lat = Transformer.from_crs("EPSG:3413", 4326, always_xy=True).transform(*centres(transform, rows, cols))
    vx, vy = flow("EPSG:3413", lon, lat, 40.0)
    speed = raster(tmp_path / "v.tif", np.full(vx.shape, SPEED, np.float32), transform, "EPSG:3413")
    files = [{"path": str(speed), "bands": {"v_m_a": 1}}]
    pair = raster(tmp_path / "pair.tif", np.stack([vx, vy]).astype(np.float32), transform, "EPSG:3413")
    files.append({"path": str(pair), "bands": {"vx_m_a": 1, "vy_m_a": 2}})
    made = {**scene("x", BANDS, sensor="velocity"), "files": files}
    read = ingested(store, config(made, composite="mosaic"), "velocity", block)
    lattice = Lattice(block.zone, 120)
    x, y = np.meshgrid(*lattice.centres_m(lattice.block_window(block)))
    ex, ey = flow(f"EPSG:{block.zone.epsg}", *block.zone.unproject_points(x.ravel(), y.ravel()), 40.0)
    assert np.abs(read.values[1].ravel() - ex).max() < 0.5
    assert np.abs(read.values[2].ravel() - ey).max() < 0.5


def test_components_in_files_of_their_own_are_turned_as_well(store, tmp_path):
    """As the archives have them: v, vx and vy, each a GeoTIFF."""
    block = PLACES["Greenland"][0]
    transform, rows, cols = grid_in("EPSG:3413", 240.0, block.zone, block.bounds_m)
    lon, lat = Transformer.from_crs("EPSG:3413", 4326, always_xy=True).transform(*centres(transform, rows, cols))
    planes = dict(zip(BANDS, (np.full(lon.shape, SPEED), *flow("EPSG:3413", lon, lat, 40.0)), strict=True))
    files = [
        {"path": str(raster(tmp_path / f"{n}.tif", v.astype(np.float32), transform, "EPSG:3413")), "bands": {n: 1}}
        for n, v in planes.items()
    ]
    lattice = Lattice(block.zone, 120)
    x, y = np.meshgrid(*lattice.centres_m(lattice.block_window(block)))
    ex, ey = flow(f"EPSG:{block.zone.epsg}", *block.zone.unproject_points(x.ravel(), y.ravel()), 40.0)
    for strategy in ("first", "mosaic"):
        made = config({**scene("x", BANDS, sensor="velocity"), "files": files}, composite=strategy)
        read = ingested(TileStore(f"{store.url}/{strategy}"), made, "velocity", block)
        assert np.abs(read.values[1].ravel() - ex).max() < 0.5, strategy
        assert np.abs(read.values[2].ravel() - ey).max() < 0.5, strategy


def test_the_angle_is_that_of_the_convergence_of_meridians():
    """A geographic x axis points east: its angle from the zone's x axis is the convergence."""
    for block, lattice in ((b, Lattice(b.zone, 120)) for b, _ in PLACES.values()):
        window = lattice.block_window(block)
        x, y = np.meshgrid(*lattice.centres_m(window))
        lon, lat = block.zone.unproject_points(x.ravel(), y.ravel())
        convergence = np.asarray(Proj(block.zone.crs).get_factors(lon, lat).meridian_convergence).reshape(x.shape)
        angle = np.degrees(axis_angle("EPSG:4326", lattice, window))
        assert np.abs((angle - convergence + 180) % 360 - 180).max() < 0.05, block.name


def test_turning_keeps_the_length_and_the_unknown():
    vx, vy = np.array([[3.0, np.nan]], np.float32), np.array([[4.0, 1.0]], np.float32)
    x, y = turn(vx, vy, np.full((1, 2), math.pi / 2, np.float32))
    np.testing.assert_allclose((x[0, 0], y[0, 0]), (-4, 3), atol=1e-6)
    assert np.isnan(x[0, 1]) and np.isnan(y[0, 1])


def test_components_in_two_projections_are_refused(store, tmp_path):
    files = []
    for band, crs in (("vx_m_a", "EPSG:3413"), ("vy_m_a", "EPSG:32622")):
        block = PLACES["Greenland"][0]
        transform, rows, cols = grid_in(crs, 240.0, block.zone, block.bounds_m)
        path = raster(tmp_path / f"{band}.tif", np.ones((rows, cols), np.float32), transform, crs)
        files.append({"path": str(path), "bands": {band: 1}})
    made = config({**scene("x", BANDS, sensor="velocity"), "files": files})
    with pytest.raises(PoisonError, match=r"vy_m_a\.tif \(scene a, block utm22n.*that of the other component"):
        ingested(store, made, "velocity", PLACES["Greenland"][0])
