"""Layers: bands and indices on the lattice of the mosaic, from tiles of other resolutions, block by block."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

import numpy as np
import pytest

from core.errors import ConfigError
from core.grid import Block, Lattice, PixelWindow, Zone
from core.layers import Layers, sensors_of
from core.tiles import SceneRef, StoredTiles, TileStore

ZONE = Zone("utm45n")
LATTICE = Lattice(ZONE, 60)
LEFT, RIGHT = Block(ZONE, 226, 15), Block(ZONE, 226, 16)
DAY = SceneRef("a", dt.date(2020, 8, 1), "optical")


class Counting(StoredTiles):
    """Says how often it was read."""

    calls: ClassVar[list[PixelWindow]] = []

    def read(self, window, bands):
        self.calls.append(window)
        return super().read(window, bands)


@pytest.fixture
def layers(memory_url) -> Layers:
    """An image at 60 m and a DEM at 120 m whose elevation is the column, over two blocks; the right one lacks a part
    of its image."""
    store = TileStore(memory_url)
    store.create("2020", ZONE, "optical", 60, {})
    store.create("static", ZONE, "dem", 120, {})
    for block in (LEFT, RIGHT):
        window = LATTICE.block_window(block)
        values = np.zeros((6, *window.shape), np.float32)
        for band, value in ((1, 0.6), (2, 0.5), (3, 0.4), (4, 0.2)):
            values[band] = value
        scene = np.ones(window.shape, np.uint8)
        if block == RIGHT:
            scene[:, :10] = 0
        store.write_block("2020", "optical", block, window, values, scene, scenes=[DAY])
        window = Lattice(ZONE, 120).block_window(block)
        ground = np.zeros((2, *window.shape), np.float32)
        ground[0] = np.arange(window.col0, window.col1) - 3800.0
        store.write_block("static", "dem", block, window, ground, np.ones(window.shape, np.uint8), scenes=[DAY])
    Counting.calls = []
    sources = {
        "optical": Counting(store, "2020", ZONE, "optical", 60),
        "dem": StoredTiles(store, "static", ZONE, "dem", 120),
    }
    return Layers(LATTICE, sources, {LEFT.name, RIGHT.name})


def seam(layers: Layers, width: int = 20) -> PixelWindow:
    edge = LATTICE.block_window(RIGHT)
    return PixelWindow(edge.row0 + 5, edge.row0 + 25, edge.col0 - width, edge.col0 + width)


def test_indices_are_those_of_the_bands_and_what_was_not_observed_is_nan(layers):
    found = layers.read(seam(layers), ["red", "ndsi", "ndwi", "ndvi"])
    assert set(found) == {"red", "ndsi", "ndwi", "ndvi"}
    hidden = np.isnan(found["red"])
    assert hidden[:, 20:30].all() and hidden.sum() == 200
    for name, value in (("red", 0.5), ("ndsi", 0.5), ("ndwi", 0.2), ("ndvi", -1 / 9)):
        np.testing.assert_array_equal(np.isnan(found[name]), hidden)
        np.testing.assert_allclose(found[name][~hidden], value, atol=1e-3)


def test_elevation_comes_from_its_own_resolution_without_a_step_at_the_seam(layers):
    window = seam(layers)
    found = layers.read(window, ["elevation_m"])["elevation_m"]
    expected = (np.arange(window.col0, window.col1) + 0.5) / 2 - 0.5 - 3800.0
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=0.3)


def test_a_layer_of_a_sensor_that_is_not_there_is_left_out(layers):
    assert "thermal_k" not in layers.names and {"elevation_m", "slope_deg", "ndsi"} <= layers.names
    assert set(layers.read(seam(layers), ["thermal_k", "red"])) == {"red"}


def test_outside_the_plan_nothing_was_observed(layers):
    window = LATTICE.block_window(LEFT)
    beside = PixelWindow(window.row0, window.row0 + 4, window.col0 - 4, window.col0 + 4)
    found = layers.read(beside, ["red"])["red"]
    assert np.isnan(found[:, :4]).all() and np.isfinite(found[:, 4:]).all()


def test_a_block_is_read_once_for_many_windows_and_layers(layers):
    for _ in range(3):
        layers.read(seam(layers), ["red", "nir", "ndsi"])
    assert len(Counting.calls) == 2


@pytest.fixture
def few(layers) -> Layers:
    """The same, for one window on the left block and one across the seam, wide enough that the image has a part."""
    left = LATTICE.block_window(LEFT)
    told = [PixelWindow(left.row0 + 30, left.row0 + 40, left.col0 + 3, left.col0 + 9), seam(layers)]
    return Layers(LATTICE, layers._sources, {LEFT.name, RIGHT.name}, told)


def test_of_a_block_only_the_rectangle_around_the_windows_that_were_told_is_read(few, layers):
    left, right = LATTICE.block_window(LEFT), LATTICE.block_window(RIGHT)
    few.read(seam(few), ["red", "elevation_m"])
    assert Counting.calls == [
        PixelWindow(left.row0 + 5, left.row0 + 40, left.col0 + 3, left.col1),
        PixelWindow(right.row0 + 5, right.row0 + 25, right.col0, right.col0 + 20),
    ]


def test_a_layer_is_the_same_whether_its_window_was_told_or_not(few, layers):
    """An interpolated one too, and one that reaches beyond what was told: that costs reading its blocks again."""
    for window in (seam(layers), seam(layers, 150), seam(layers).pad(1)):
        for name in ("red", "ndsi", "elevation_m", "slope_deg"):
            np.testing.assert_array_equal(few.read(window, [name])[name], layers.read(window, [name])[name])
    again = len(Counting.calls)
    few.read(seam(few), ["red"])
    assert len(Counting.calls) == again


def test_an_unknown_layer_is_refused_with_the_nearest(layers):
    with pytest.raises(ConfigError, match="elevation_m"):
        sensors_of(["elevation"])
    assert sensors_of(["ndsi", "slope_deg", "red"]) == ["optical", "dem"]
