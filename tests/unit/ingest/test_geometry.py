"""Regridding, at every resolution and from every projection that archives use: pixels stay where they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from scipy.ndimage import binary_erosion

from core.grid import ALLOWED_RES_M, Block, Lattice, PixelWindow, Zone
from core.ingest.composite import TILE_PX
from tests.made_scenes import (
    BLOCK,
    STEP,
    centres,
    composing,
    config,
    grid_in,
    ingested,
    linear_fields,
    raster,
    scene,
    zone_metres,
)

DEGREE_M = 111_195.0


@dataclass(frozen=True)
class Place:
    """A block, and the projections in which archives hold rasters of it."""

    block: Block
    lat: float
    crs: tuple[str, ...]

    def pixel(self, crs: str, res_m: float) -> float | tuple[float, float]:
        """A source pixel of about res_m, in the units of the projection."""
        if crs != "EPSG:4326":
            return res_m
        return res_m / DEGREE_M / math.cos(math.radians(self.lat)), res_m / DEGREE_M


PLACES = {
    "28N": Place(BLOCK, 28, ("EPSG:32645", "EPSG:32644", "EPSG:4326")),
    "28N-zone-border": Place(Block(Zone("utm45n"), 226, 25), 28, ("EPSG:32645", "EPSG:32646", "EPSG:4326")),
    "70N": Place(Block(Zone("utm22n"), 75, 16), 70, ("EPSG:32622", "EPSG:32623", "EPSG:4326", "EPSG:3413")),
    "83N-zone-border": Place(Block(Zone("utm22n"), 28, 17), 83, ("EPSG:32622", "EPSG:3413", "EPSG:4326")),
    "85N": Place(Block(Zone("upsn"), 280, 65), 85, ("EPSG:32661", "EPSG:3413", "EPSG:4326", "EPSG:32631")),
    "86N-45E": Place(Block(Zone("upsn"), 275, 76), 86, ("EPSG:32661", "EPSG:3413", "EPSG:4326")),
    "75S": Place(Block(Zone("utm20s"), 273, 16), -75, ("EPSG:32720", "EPSG:32721", "EPSG:4326", "EPSG:3031")),
    "78S": Place(Block(Zone("utm46s"), 286, 16), -78, ("EPSG:3031", "EPSG:4326")),
    "85S": Place(Block(Zone("upss"), 280, 65), -85, ("EPSG:32761", "EPSG:3031", "EPSG:4326")),
    "antimeridian": Place(Block(Zone("utm01n"), 93, 11), 65, ("EPSG:32601", "EPSG:32660", "EPSG:4326")),
}
WHERE = [(place, crs) for place, entry in PLACES.items() for crs in entry.crs]
BRANCHES = {"bilinear": 0.83, "average": 0.29}  # source pixels, in pixels of the lattice


def a_tile(block: Block, res_m: int) -> PixelWindow:
    """A tile in the middle of a block."""
    window = Lattice(block.zone, res_m).block_window(block)
    n = min(TILE_PX, window.shape[0])
    row, col = window.row0 + window.shape[0] // n // 2 * n, window.col0 + window.shape[1] // n // 2 * n
    return PixelWindow(row, row + n, col, col + n)


def error_px(place: Place, crs: str, res_m: int, share: float, folder) -> np.ndarray:
    """How far each pixel of a tile is from where its source pixels were: pixels of the lattice, flat."""
    block, lattice, tile = place.block, Lattice(place.block.zone, res_m), a_tile(place.block, res_m)
    transform, rows, cols = grid_in(crs, place.pixel(crs, res_m * share), block.zone, lattice.bounds_m(tile))
    fields = linear_fields(transform, rows, cols, crs, block, res_m)
    path = raster(folder / "field.tif", fields, transform, crs)
    with composing(config(scene(path, {"red": 1, "nir": 2}), res_m=res_m), "optical", block) as composer:
        assert tile in list(composer.tiles(composer.window))
        values, number = composer.tile(tile)
        origin = composer.window
    assert (number == 1).all()
    column, row = np.arange(tile.col0, tile.col1) - origin.col0, np.arange(tile.row0, tile.row1) - origin.row0
    off = np.stack([values[2] / STEP - (column + 0.5), values[3] / STEP - (row + 0.5)[:, None]])
    return off[:, binary_erosion(number == 1, iterations=2, border_value=1)].ravel()


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize(("place", "crs"), WHERE)
def test_pixels_stay_where_they_are_from_every_projection(place, crs, branch, tmp_path):
    off = error_px(PLACES[place], crs, 120, BRANCHES[branch], tmp_path)
    assert np.abs(off).max() < 0.05
    assert abs(off.mean()) < 0.005, "a shift common to all pixels"


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("res_m", ALLOWED_RES_M)
@pytest.mark.parametrize("crs", ["EPSG:32644", "EPSG:4326"])
def test_pixels_stay_where_they_are_at_every_resolution(crs, res_m, branch, tmp_path):
    off = error_px(PLACES["28N"], crs, res_m, BRANCHES[branch], tmp_path)
    assert np.abs(off).max() < 0.05
    assert abs(off.mean()) < 0.005


@pytest.mark.parametrize(
    ("place", "crs", "branch"),
    [
        ("28N", "EPSG:32644", "bilinear"),
        ("28N", "EPSG:32644", "average"),
        ("70N", "EPSG:3413", "bilinear"),
        ("70N", "EPSG:3413", "average"),
        ("75S", "EPSG:3031", "bilinear"),  # lies 27° aslant, where GDAL's average is none: see core.ingest.warp
    ],
)
def test_values_are_those_of_gdals_own_warp(place, crs, branch, store, tmp_path):
    entry = PLACES[place]
    transform, rows, cols = grid_in(crs, 120 * BRANCHES[branch], entry.block.zone, entry.block.bounds_m)
    u, v = centres(transform, rows, cols)
    wave = 0.5 + 0.4 * np.sin(u / 900.0) * np.cos(v / 700.0)
    path = raster(tmp_path / "a.tif", wave.astype(np.float32), transform, crs)
    read = ingested(store, config(scene(path, {"red": 1})), block=entry.block)
    lattice = Lattice(entry.block.zone, 120)
    with (
        rasterio.open(path) as d,
        WarpedVRT(
            d,
            crs=CRS.from_epsg(entry.block.zone.epsg),
            transform=lattice.transform(lattice.block_window(entry.block)),
            width=lattice.block_px,
            height=lattice.block_px,
            nodata=np.nan,
            resampling=Resampling[branch],
            tolerance=0.01,
            # Of pixels that are finer than the lattice GDAL widens the kernel, which shifts: see core.ingest.warp.
            **({"XSCALE": 1, "YSCALE": 1} if branch == "bilinear" else {}),
        ) as warped,
    ):
        expected = warped.read(1)
    assert read.observed.all()
    assert np.abs(read.values[2] - expected).max() < 1e-3


@pytest.mark.parametrize("crs", ["EPSG:32645", "EPSG:3413", "EPSG:4326"])
def test_reflectance_is_kept_to_half_a_step(crs, store, tmp_path):
    """Of a surface that bilinear interpolation keeps: only the rounding to 1e-4 is left."""
    entry = PLACES["28N"]
    transform, rows, cols = grid_in(crs, entry.pixel(crs, 100.0), entry.block.zone, entry.block.bounds_m)
    x, y = zone_metres(transform, rows, cols, crs)
    xmin, _, _, ymax = BLOCK.bounds_m
    plane = 0.1 + 2e-5 * (x - xmin) / 120 - 3e-5 * (y - ymax) / 120
    read = ingested(
        store, config(scene(raster(tmp_path / "a.tif", plane.astype("float32"), transform, crs), {"red": 1}))
    )
    col, row = np.arange(256) + 0.5, (np.arange(256) + 0.5)[:, None]
    assert np.abs(read.values[2] - (0.1 + 2e-5 * col + 3e-5 * row)).max() < 0.55e-4


@pytest.mark.parametrize("linear", [False, True], ids=["decibel", "power"])
@pytest.mark.parametrize("branch", BRANCHES)
def test_backscatter_is_kept_to_half_a_hundredth_of_a_decibel(branch, linear, store, tmp_path):
    transform, rows, cols = grid_in("EPSG:32644", 120 * BRANCHES[branch], BLOCK.zone, BLOCK.bounds_m)
    x, y = zone_metres(transform, rows, cols, "EPSG:32644")
    xmin, _, _, ymax = BLOCK.bounds_m
    power = 0.02 + 1e-5 * (x - xmin) / 120 - 2e-5 * (y - ymax) / 120
    held = np.stack([power, power / 4]) if linear else 10 * np.log10(np.stack([power, power / 4]))
    path = raster(tmp_path / "s1.tif", held.astype(np.float32), transform, "EPSG:32644")
    made = scene(path, {"vv_db": 1, "vh_db": 2}, sensor="sar_gamma0", linear_power=linear)
    read = ingested(store, config(made), "sar_gamma0")
    expected = 10 * np.log10(0.02 + 1e-5 * (np.arange(256) + 0.5) + 2e-5 * (np.arange(256) + 0.5)[:, None])
    assert np.abs(read.values[0] - expected).max() < 0.0055
    assert np.abs(read.values[1] - (expected + 10 * np.log10(0.25))).max() < 0.0055


@pytest.mark.parametrize("crs", ["EPSG:32644", "EPSG:4326", "EPSG:3413"])
def test_masks_are_taken_from_the_nearest_pixel_in_every_projection(crs, store, tmp_path):
    entry = PLACES["28N"]
    transform, rows, cols = grid_in(crs, entry.pixel(crs, 170.0), BLOCK.zone, BLOCK.bounds_m)
    classes = np.random.default_rng(3).choice(np.array([4, 9, 11], np.uint8), (rows, cols))
    values = raster(tmp_path / "a.tif", np.full((rows, cols), 0.4, np.float32), transform, crs)
    mask = raster(tmp_path / "scl.tif", classes, transform, crs)
    read = ingested(store, config(scene(values, {"red": 1}, mask={"path": str(mask), "invalid": [9]})))
    lattice = Lattice(BLOCK.zone, 120)
    x, y = np.meshgrid(*lattice.centres_m(lattice.block_window(BLOCK)))
    col, row = ~transform @ Transformer.from_crs(BLOCK.zone.epsg, crs, always_xy=True).transform(x, y)
    # A centre within a hundredth of a pixel of a border may fall on either side.
    sure = (np.abs(col - np.rint(col)) > 0.02) & (np.abs(row - np.rint(row)) > 0.02)
    clear = classes[row.astype(int), col.astype(int)] != 9
    assert sure.mean() > 0.9
    assert (read.observed == clear)[sure].all()
