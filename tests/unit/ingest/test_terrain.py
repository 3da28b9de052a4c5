"""Slope on a surface whose slope is known, read from grids like those of the Copernicus DEM: a cone of 30°.

The cone is one of geodesic distances, so neither its height nor its slope knows of any projection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod, Transformer

from core.config import Config
from core.grid import Block, Lattice, PixelWindow, Zone, home_zone
from core.ingest.composite import TILE_PX
from core.terrain import slope_deg
from tests.made_scenes import centres, composing, config, ingested, raster, scene, stored

GEOD = Geod(ellps="WGS84")
SLOPE_DEG = 30.0
Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]


def spacing_s(lat: float) -> float:
    """Seconds of longitude between columns of a tile of the Copernicus DEM, by its lower latitude or that of −lat."""
    edges = ((50, 1.0), (60, 1.5), (70, 2.0), (80, 3.0), (85, 5.0), (90, 10.0))
    return next(seconds for below, seconds in edges if (lat if lat >= 0 else -lat - 1) < below)


def cell_box(lat: int, lon: int) -> tuple[float, float, float, float]:
    """(w, s, e, n) of a tile: half a pixel to the west and to the north of its degrees."""
    dx, dy = spacing_s(lat) / 7200, 1 / 7200
    return lon - dx, lat + dy, lon + 1 - dx, lat + 1 + dy


def cone(lon: float, lat: float) -> Surface:
    """Height above an apex, rising by 30° in all directions."""

    def height(lons: np.ndarray, lats: np.ndarray) -> np.ndarray:
        away = GEOD.inv(np.full(lons.shape, lon), np.full(lons.shape, lat), lons, lats)[2]
        return 100.0 + math.tan(math.radians(SLOPE_DEG)) * away

    return height


def dem_tile(folder: Path, lat: int, lon: int, surface: Surface, near: tuple[float, float, float, float]) -> dict:
    """A 1° tile by its lower left corner, cut to what is near (w, s, e, n); a pixel centre lies on its upper left."""
    dx, dy = spacing_s(lat) / 3600, 1 / 3600
    west, _, _, north = cell_box(lat, lon)
    n_cols, n_rows = round(1 / dx), 3600
    col0, col1 = (int(np.clip((edge - west) / dx, 0, n_cols)) for edge in (near[0], near[2]))
    row0, row1 = (int(np.clip((north - edge) / dy, 0, n_rows)) for edge in (near[3], near[1]))
    transform = Affine(dx, 0, west + col0 * dx, 0, -dy, north - row0 * dy)
    heights = surface(*centres(transform, row1 - row0, col1 - col0)).astype(np.float32)
    path = raster(folder / f"{lat}_{lon}.tif", heights, transform, "EPSG:4326", compress="deflate")
    return scene(path, {"elevation_m": 1}, f"{lat}_{lon}", "dem")


def around(lattice: Lattice, tile: PixelWindow, pixels: int = 12) -> tuple[float, float, float, float]:
    """(w, s, e, n) of a tile and some pixels of the DEM more."""
    xmin, ymin, xmax, ymax = lattice.bounds_m(tile)
    x, y = np.meshgrid(np.linspace(xmin, xmax, 9), np.linspace(ymin, ymax, 9))
    lon, lat = lattice.zone.unproject_points(x.ravel(), y.ravel())
    dx, dy = pixels * 10 / 3600, pixels / 3600
    return lon.min() - dx, lat.min() - dy, lon.max() + dx, lat.max() + dy


def tiles_near(folder: Path, surface: Surface, near: tuple[float, float, float, float]) -> list[dict]:
    west, south, east, north = near
    return [
        dem_tile(folder, lat, lon, surface, near)
        for lat in range(math.floor(south), math.floor(north) + 1)
        for lon in range(math.floor(west), math.floor(east) + 1)
    ]


def tile_at(lon: float, lat: float, res_m: int) -> tuple[Block, PixelWindow]:
    """The block and its fixed tile that hold a place."""
    lattice = Lattice(home_zone(lon, lat), res_m)
    x, y = lattice.zone.project_points(np.array([lon]), np.array([lat]))
    row, col = (int(p[0]) for p in lattice.to_pixels(x, y))
    (block,) = lattice.blocks(PixelWindow(row, row + 1, col, col + 1))
    window, size = lattice.block_window(block), min(TILE_PX, lattice.block_px)
    row0, col0 = (first + (at - first) // size * size for first, at in ((window.row0, row), (window.col0, col)))
    return block, PixelWindow(row0, row0 + size, col0, col0 + size)


def composed(made: Config, block: Block, tile: PixelWindow) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(elevation, slope, scene number) of one tile."""
    with composing(made, "dem", block) as composer:
        values, number = composer.tile(tile)
    return values[0], values[1], number


def dem(scenes: Iterable[dict], res_m: int = 30) -> Config:
    return config(*scenes, res_m=res_m)


@pytest.mark.parametrize("res_m", [30, 120])
@pytest.mark.parametrize(
    ("lon", "lat"),
    [(15.31, 60.55), (15.31, 59.55), (9.4, 0.45), (-73.4, -45.55), (33.6, 80.55), (33.6, 79.5), (-45.3, 84.6)],
    ids=["60N-2s", "60N-1.5s", "0N", "45S", "80N-5s", "80N-3s", "UPS-5s"],
)
def test_the_slope_of_a_cone_is_that_of_the_cone(lon, lat, res_m, tmp_path):
    block, tile = tile_at(lon, lat, res_m)
    near = around(Lattice(block.zone, res_m), tile)
    apex = (near[0] - 0.2, near[1] - 0.05)
    surface = cone(*apex)
    elevation, slope, number = composed(dem(tiles_near(tmp_path, surface, near), res_m), block, tile)
    assert (number > 0).all()
    # GDAL's average of some 4 × 4 pixels places them to 0.01 of the lattice's, which is a metre of height here.
    assert np.abs(slope - SLOPE_DEG).max() < (0.1 if res_m < 120 else 0.2)
    x, y = np.meshgrid(*Lattice(block.zone, res_m).centres_m(tile))
    lons, lats = block.zone.unproject_points(x.ravel(), y.ravel())
    assert np.abs(elevation.ravel() - surface(lons, lats)).max() < (0.5 if res_m < 120 else 1.0)


def test_the_slope_is_whole_where_four_tiles_of_different_spacing_meet(tmp_path):
    """At 60° N and 15° E: tiles of 1.5″ to the south and of 2″ to the north."""
    block, tile = tile_at(15.0, 60.0, 30)
    near = around(Lattice(block.zone, 30), tile)
    assert near[0] < 15 < near[2] and near[1] < 60 < near[3]
    scenes = tiles_near(tmp_path, cone(near[0] - 0.2, near[1] - 0.1), near)
    assert len(scenes) == 4
    _elevation, slope, number = composed(dem(scenes), block, tile)
    assert set(np.unique(number)) == {1, 2, 3, 4}
    assert np.abs(slope - SLOPE_DEG).max() < 0.1


def test_tiles_meet_at_the_antimeridian(tmp_path):
    block, tile = tile_at(-179.999, 65.0, 30)
    lattice = Lattice(block.zone, 30)
    x, y = np.meshgrid(*lattice.centres_m(tile))
    lons, lats = block.zone.unproject_points(x.ravel(), y.ravel())
    assert lons.min() < -179.9 and lons.max() > 179.9
    surface = cone(179.0, 64.5)
    sides = {-180: (-180.01, -179.3), 179: (179.3, 180.01)}
    scenes = [
        dem_tile(tmp_path, lat, lon, surface, (west, lats.min() - 0.01, east, lats.max() + 0.01))
        for lat in range(math.floor(lats.min()), math.floor(lats.max()) + 1)
        for lon, (west, east) in sides.items()
    ]
    elevation, slope, number = composed(dem(scenes), block, tile)
    assert (number > 0).all()
    assert np.abs(slope - SLOPE_DEG).max() < 0.1
    assert np.abs(elevation.ravel() - surface(lons, lats)).max() < 0.5


def test_neighbouring_blocks_and_tiles_agree_at_their_borders(store, tmp_path):
    left, right = Block(Zone("utm33n"), 111, 15), Block(Zone("utm33n"), 111, 16)
    lattice = Lattice(left.zone, 30)
    window = PixelWindow(
        lattice.block_window(left).row0,
        lattice.block_window(left).row1,
        lattice.block_window(right).col0 - 512,
        lattice.block_window(right).col0 + 512,
    )
    near = around(lattice, window)
    rough = cone(near[0] - 0.2, near[1] - 0.1)

    def surface(lons, lats):
        return rough(lons, lats) + 60 * np.sin(lons * 900) * np.cos(lats * 1700)

    made = dem(tiles_near(tmp_path, surface, near))
    for block in (left, right):
        ingested(store, made, "dem", block)
    read = store.read("static", left.zone, "dem", window)
    assert read.observed.all()
    inner = PixelWindow(window.row0 + 1, window.row1 - 1, window.col0 + 1, window.col1 - 1)
    np.testing.assert_allclose(read.values[1, 1:-1, 1:-1], slope_deg(read.values[0], lattice, inner), atol=0.01)
    assert read.values[1].std() > 3, "a surface on which a wrong border would show"


@pytest.mark.parametrize(("lat", "lon"), [(30, 15), (60, 15), (82, 33), (84, 33)])
@pytest.mark.parametrize("sea", ["east", "south"])
def test_the_sea_begins_where_the_tiles_end(sea, lat, lon, tmp_path):
    """Land to 30 m above the sea at the border: nothing between the two is unobserved, and no cliff is higher."""
    block, tile = tile_at(lon + 1.0 if sea == "east" else lon + 0.5, lat + 0.5 if sea == "east" else lat + 1e-3, 30)
    west, south, east, north = around(Lattice(block.zone, 30), tile)
    here, there = ((lat, lon), (lat, lon + 1)) if sea == "east" else ((lat, lon), (lat - 1, lon))
    box = cell_box(*there)

    def surface(lons, lats):
        return 0 * lons + 30.0

    land = dem_tile(tmp_path, *here, surface, (west, south, east, north))
    water = scene(f"constant:0?bounds={','.join(map(str, box))}", {"elevation_m": 1}, "sea", "dem")
    elevation, slope, number = composed(dem([land, water]), block, tile)
    x, y = np.meshgrid(*Lattice(block.zone, 30).centres_m(tile))
    lons, lats = (a.reshape(tile.shape) for a in block.zone.unproject_points(x.ravel(), y.ravel()))
    east_end = lon + 1.99 if sea == "east" else lon + 0.99
    inside = (lons > lon + 0.01) & (lons < east_end) & (lats > there[0] + 0.01) & (lats < lat + 0.99)
    assert (number > 0)[inside].all(), f"{np.count_nonzero((number == 0) & inside)} pixels between land and sea"
    beyond = lons - (lon + 1) if sea == "east" else lat - lats
    seconds = 3600 * beyond / (spacing_s(lat) if sea == "east" else 1.0)
    assert np.abs(elevation[inside & (seconds < -3)] - 30).max() < 1e-3
    assert np.abs(elevation[inside & (seconds > 3)]).max() == 0
    assert elevation[inside].min() >= 0 and elevation[inside].max() <= 30.001
    assert np.abs(slope[inside & (np.abs(seconds) > 6)]).max() < 0.01


def test_a_height_of_the_sea_is_not_measured_beyond_its_box(store, tmp_path):
    """A constant is a raster like others: of the block only what its box covers."""
    block, _ = tile_at(15.3, 60.5, 120)
    made = dem([scene("constant:0?bounds=15.2,60,16,61", {"elevation_m": 1}, "sea", "dem")], 120)
    read = ingested(store, made, "dem", block)
    lattice = Lattice(block.zone, 120)
    x, y = np.meshgrid(*lattice.centres_m(lattice.block_window(block)))
    to_degrees = Transformer.from_crs(block.zone.epsg, 4326, always_xy=True)
    lons, lats = to_degrees.transform(x, y)
    inside = (lons > 15.201) & (lats > 60.001) & (lats < 60.999)
    assert read.observed[inside].all()
    assert not read.observed[lons < 15.199].any()
    assert (read.values[:, read.observed] == 0).all()
    assert stored(store, made, "dem", block).scenes[0].id == "sea"


def test_a_slope_needs_a_neighbour_on_either_axis():
    lattice = Lattice(Zone("utm33n"), 30)
    heights = np.full((7, 7), np.nan, np.float32)
    heights[2:5, 2:5] = np.arange(3, dtype=np.float32) * 30
    heights[1, 1] = 5
    window = PixelWindow(100_000, 100_005, 16_000, 16_005)
    slope = slope_deg(heights, lattice, window)
    known = np.zeros((5, 5), bool)
    known[1:4, 1:4] = True
    assert (np.isfinite(slope) == known).all()
    np.testing.assert_allclose(slope[known], 45, atol=0.05)


@pytest.mark.parametrize("angle", [0, 30, 45, 90, 200])
def test_one_sided_differences_are_right_on_a_plane(angle):
    lattice = Lattice(Zone("utm33n"), 30)
    window = lattice.block_window(Block(lattice.zone, 111, 16))
    window = PixelWindow(window.row0, window.row0 + 20, window.col0 + 280, window.col0 + 300)
    col, row = np.meshgrid(np.arange(22.0), np.arange(22.0))
    plane = 30 * 0.5 * (col * math.cos(math.radians(angle)) - row * math.sin(math.radians(angle)))
    plane[:4] = plane[:, :3] = np.nan
    slope = slope_deg(plane.astype(np.float32), lattice, window)
    # On the central meridian the scale is 0.9996: 30 m of the lattice are 30.012 m on the ground.
    expected = math.degrees(math.atan(0.5 * 0.9996))
    assert np.isnan(slope[:3]).all() and np.isnan(slope[:, :2]).all()
    np.testing.assert_allclose(slope[3:, 2:], expected, atol=0.01)
