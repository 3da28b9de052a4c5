"""Pictures: what is decimated stays true, every sensor has a look of its own, and a PNG shows what the tiles hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from core.config import load_config
from core.grid import Block, Lattice, PixelWindow
from core.prepare import Prepared, prepare
from core.quicklook import draw_block, draw_run
from core.quicklook.marks import draw_outlines, outline_lines, scale_bar
from core.quicklook.thumbnail import cell_means, thumbnail
from core.quicklook.views import views
from core.sensors import sensor
from core.sensors.registry import SENSORS
from core.tiles import TileStore
from core.worker import Worker, ingest_unit
from jobs.run import run_config
from tests.tiny_world import RES_M, SIDE_PX, ZONE, TinyWorld, block_name, make_world, middle

PNG = b"\x89PNG\r\n\x1a\n"
# What rasters of the world hold besides the optical scene: (sensor, band → what its pixels are, x and y in 0–1).
RASTERS = {
    "sar_gamma0_desc": {"vv_db": lambda x, y: -20 + 15 * x, "vh_db": lambda x, y: -28 + 15 * y},
    "thermal": {"kelvin": lambda x, y: 250 + 30 * y},
    "dem": {"elevation_m": lambda x, y: 4000 + 900 * np.sin(6 * x) * np.cos(5 * y)},
    "velocity": {"v_m_a": lambda x, y: 300 * x**4 + 0.2, "vx_m_a": lambda x, y: 90 * x, "vy_m_a": lambda x, y: -90 * y},
    "coherence": {"coh06": lambda x, y: x, "coh12": lambda x, y: x * y},
    "dhdt": {"dhdt_m_a": lambda x, y: 3 * x - 2, "dhdt_sigma_m_a": lambda x, y: 0.1 + y},
}


@dataclass(frozen=True)
class Drawn:
    world: TinyWorld
    prepared: Prepared
    path: Path


def add_rasters(world: TinyWorld, folder: Path) -> None:
    """A raster of every sensor of RASTERS on the ground of the first scene, its north-west corner not observed."""
    x, y = middle(0)
    west, north = x - SIDE_PX / 2 * RES_M, y + SIDE_PX / 2 * RES_M
    u, v = np.meshgrid(np.linspace(0, 1, SIDE_PX), np.linspace(0, 1, SIDE_PX))
    scenes = list(world.settings()["scenes"])
    for name, bands in RASTERS.items():
        path = folder / f"{name}.tif"
        data = np.stack([np.broadcast_to(paint(u, v), u.shape) for paint in bands.values()]).astype(np.float32)
        data[:, : SIDE_PX // 4, : SIDE_PX // 4] = np.nan
        profile = {"driver": "GTiff", "height": SIDE_PX, "width": SIDE_PX, "count": len(data), "dtype": "float32"}
        transform = Affine(RES_M, 0, west, 0, -RES_M, north)
        with rasterio.open(path, "w", crs=f"EPSG:{ZONE.epsg}", transform=transform, nodata=np.nan, **profile) as out:
            out.write(data)
        files = [{"path": path.name, "bands": {band: i + 1 for i, band in enumerate(bands)}}]
        scenes.append({"id": f"{name}-2024", "sensor": name, "date": "2024-08-03", "files": files})
    res_m = {name: {"res_m": 60 if sensor(name).res_m < 60 else sensor(name).res_m} for name in RASTERS}
    world.edit(scenes=scenes, sensors={"optical": {"res_m": 30}, **res_m}, simulated=True)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """The picture of a block with seven sensors; tests only look at it."""
    folder = tmp_path_factory.mktemp("quicklook")
    world = make_world(folder, glaciers=3)
    add_rasters(world, folder)
    prepared = prepare(load_config(world.config))
    prepared.write()
    worker = Worker(prepared.run.url)
    for name in prepared.run.stored:
        worker.do("ingest", ingest_unit(name, block_name(0)))
    path = folder / "block.png"
    assert draw_block(prepared.run, Block.parse(block_name(0)), path)
    return Drawn(world, prepared, path)


# ------------------------------------------------------------------ decimation


@given(rows=st.integers(1, 9), cols=st.integers(1, 9), step=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_pixel_of_a_thumbnail_is_the_mean_of_what_was_observed_under_it(rows, cols, step, seed):
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((2, rows, cols)) < 0.7, rng.random((2, rows, cols)), np.nan).astype(np.float32)
    got = cell_means(values, step)
    assert got.shape == (2, -(-rows // step), -(-cols // step)) and got.dtype == np.float32
    for b, r, c in np.ndindex(got.shape):
        cell = values[b, r * step : (r + 1) * step, c * step : (c + 1) * step]
        want = cell[np.isfinite(cell)]
        assert np.isclose(got[b, r, c], want.mean(), atol=1e-6) if want.size else np.isnan(got[b, r, c])


@pytest.mark.parametrize("most_px", [1024, 100, 7])
def test_a_thumbnail_fits_its_size_and_lies_where_its_window_does(drawn, most_px):
    config, block = drawn.prepared.run.config, Block.parse(block_name(0))
    lattice = Lattice(ZONE, 30)
    window = lattice.block_window(block)
    store = TileStore(config.tiles)
    small = thumbnail(store, config.epoch_of("optical"), lattice, "optical", window, ("red", "nir"), most_px)
    assert small.values.shape[0] == 2 and max(small.scene.shape) <= most_px
    assert small.values.shape[1:] == small.scene.shape
    left, right, bottom, top = small.extent_m
    xmin, ymin, xmax, ymax = block.bounds_m
    assert (left, top) == (xmin, ymax) and 0 <= right - xmax < small.px_m and 0 <= ymin - bottom < small.px_m
    assert [s.id for s in small.scenes] == ["S0"]
    share = (SIDE_PX / lattice.block_px) ** 2
    assert share <= small.observed.mean() <= (share**0.5 + 2 / len(small.scene)) ** 2


def test_strips_of_a_thumbnail_agree_on_the_numbers_of_scenes_across_blocks(tmp_path):
    world = make_world(tmp_path / "w", blocks=2)
    prepared, _ = run_config(world.config)
    lattice, config = Lattice(ZONE, 30), prepared.run.config
    first, second = (lattice.block_window(Block.parse(block_name(k))) for k in (0, 1))
    window = PixelWindow(first.row0, first.row1, first.col0, second.col1)
    small = thumbnail(TileStore(config.tiles), "2024", lattice, "optical", window, ("red",), 256)
    west, east = np.split(small.scene, 2, axis=1)
    assert {small.scenes[k].id for k in np.unique(west[west >= 0])} == {"S0"}
    assert {small.scenes[k].id for k in np.unique(east[east >= 0])} == {"S1"}


# ------------------------------------------------------------------ views


@pytest.mark.parametrize("entry", SENSORS, ids=lambda entry: entry.name)
def test_every_sensor_has_a_look_that_shows_what_is_observed_and_nothing_else(entry):
    rng = np.random.default_rng(7)
    shown = views(entry, entry.band_names)
    assert 1 <= len(shown) <= 2
    for view in shown:
        values = rng.uniform(0.01, 0.9, (len(view.bands), 12, 9)).astype(np.float32)
        values[:, :3] = np.nan
        image = view.paint(values, 30.0)
        assert image.rgba.shape == (12, 9, 4) and image.label
        assert np.isfinite(image.rgba).all() and image.rgba.min() >= 0 and image.rgba.max() <= 1
        assert (image.rgba[:3, :, 3] == 0).all() and (image.rgba[3:, :, 3] == 1).all()


@pytest.mark.parametrize("fill", [np.nan, 0.0, -5.0, 1e9])
@pytest.mark.parametrize("entry", SENSORS, ids=lambda entry: entry.name)
def test_a_picture_of_nothing_or_of_one_number_is_still_a_picture(entry, fill):
    for view in views(entry, entry.band_names):
        for shape in ((5, 4), (1, 1)):
            image = view.paint(np.full((len(view.bands), *shape), fill, dtype=np.float32), 30.0)
            assert np.isfinite(image.rgba).all() and (image.rgba[..., 3] == np.isfinite(fill)).all()


def test_bands_that_the_tiles_lack_are_not_asked_for():
    landsat7 = views(sensor("optical"), ("green", "red", "nir"))
    assert [view.bands for view in landsat7] == [("green",), ("red",)]
    assert [view.bands for view in views(sensor("optical"), ("blue", "green", "red"))] == [("red", "green", "blue")]
    assert views(sensor("optical"), ()) == []


def test_ground_that_faces_the_sun_is_brighter_in_a_hillshade():
    x = np.arange(40, dtype=np.float32)
    ridge = np.broadcast_to(1000 - 20 * np.abs(x - 20), (40, 40)).astype(np.float32)  # runs from north to south
    shade = views(sensor("dem"), sensor("dem").band_names)[0].paint(ridge[None], 30.0).rgba[..., :3].sum(axis=2)
    assert shade[20, 10] > shade[20, 30]  # the sun is in the north-west


def test_thinning_is_red_and_thickening_blue_with_white_at_no_change():
    look = views(sensor("dhdt"), ("dhdt_m_a",))[0]
    red, white, blue = look.paint(np.array([[[-2.0, 0.0, 2.0]]], dtype=np.float32), 120.0).rgba[0, :, :3]
    assert red[0] > red[2] + 0.2 and blue[2] > blue[0] + 0.2 and white.min() > 0.9


# ------------------------------------------------------------------ marks


def test_outlines_are_drawn_ring_by_ring():
    hole = shapely.Point(0, 0).buffer(10).difference(shapely.Point(0, 0).buffer(3))
    two = shapely.MultiPolygon([hole, shapely.box(20, 20, 30, 30)])
    rings = outline_lines(np.array([two], dtype=object))
    assert len(rings) == 3 and all((ring[0] == ring[-1]).all() for ring in rings)
    assert outline_lines(np.array([], dtype=object)) == []
    axes = Figure().subplots()
    draw_outlines(axes, np.array([two], dtype=object), "red", 1.0, "black")
    assert len(axes.collections) == 2


@pytest.mark.parametrize(("width_m", "words"), [(30_720, "5 km"), (9_000, "2 km"), (2_000, "0.5 km")])
def test_a_scale_bar_has_a_round_length_of_at_most_a_quarter(width_m, words):
    axes = Figure().subplots()
    scale_bar(axes, 0.0, 0.0, width_m)
    assert axes.texts[0].get_text() == words
    x = axes.lines[0].get_xdata()
    assert 0 < x[1] - x[0] <= width_m / 4


# ------------------------------------------------------------------ pictures


def test_a_block_with_seven_sensors_is_one_png_whose_pictures_are_at_most_700_pixels(drawn):
    data = drawn.path.read_bytes()
    assert data.startswith(PNG) and len(drawn.prepared.run.stored) == 7
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    assert width < 3 * 1100 and height < 3 * 800


def test_the_same_tiles_give_the_same_picture(drawn, tmp_path):
    assert draw_block(drawn.prepared.run, Block.parse(block_name(0)), tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == drawn.path.read_bytes()


def test_a_block_without_an_observed_pixel_has_no_picture(drawn, tmp_path):
    path = tmp_path / "none.png"
    assert not draw_block(drawn.prepared.run, Block.parse(block_name(5)), path)
    assert not path.exists()


def test_a_published_run_has_a_map_of_each_region_and_zone(tmp_path):
    prepared, _ = run_config(make_world(tmp_path / "w").config)
    [path] = draw_run(prepared.run, tmp_path / "maps")
    assert path.name == f"region_15_{ZONE.name}.png" and path.read_bytes().startswith(PNG)


def test_a_run_that_stored_no_tiles_has_a_map_of_its_outlines(tmp_path):
    world = make_world(tmp_path / "w")
    world.edit(sensors={"optical": {"res_m": 30, "virtual": True}})
    prepared, driven = run_config(world.config)
    assert driven.clean and prepared.run.stored == []
    [path] = draw_run(prepared.run, tmp_path / "maps")
    assert path.read_bytes().startswith(PNG)
