"""Windows from tile stores: the pixels that the mapper would see, the labels that the inventory says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.config import load_config
from core.errors import ConfigError
from core.train.tile_windows import TileWindows
from tests.tiny_world import ICE, ROCK, icefleet, make_world


@pytest.fixture(scope="module")
def windows(tmp_path_factory) -> TileWindows:
    world = make_world(tmp_path_factory.mktemp("world"), glaciers=2)
    assert icefleet("ingest", world.config, "--json").code == 0
    config = load_config(world.config)
    return TileWindows(
        name="tiny",
        store=config.tiles,
        epochs=(("optical", config.epoch_of("optical")), ("dem", "static")),
        year=config.year + 0.7,
        inventory=tuple(config.inventory),
        res_m=30,
        size_px=48,
        beside=0.0,
        weak_classes=True,
    )


def test_a_window_shows_ice_where_the_labels_say_glacier(windows):
    chips = [windows.draw(np.random.default_rng(k)) for k in range(6)]
    for chip in chips:
        assert chip.shape == (48, 48) and chip.origin.startswith("tiny:utm45n-") and list(chip.values) == ["optical"]
        blue = chip.values["optical"][0]
        seen = np.isfinite(blue) & np.isfinite(chip.glacier)
        assert np.allclose(blue[seen & (chip.glacier == 1)], ICE[0], atol=0.02)
    assert any((chip.glacier == 1).any() for chip in chips)
    assert {chip.region for chip in chips} <= {"13", "14", "15"}


def test_a_draw_follows_from_its_generator(windows):
    a, b = (windows.draw(np.random.default_rng(4)) for _ in range(2))
    assert a.origin == b.origin and np.array_equal(a.glacier, b.glacier, equal_nan=True)


def test_old_outlines_have_a_ring_without_labels(windows):
    wide = replace(windows, rules=replace(windows.rules, ring_m=90.0))
    chips = [(source.draw(np.random.default_rng(1))) for source in (windows, wide)]
    assert np.isnan(chips[1].glacier).sum() >= np.isnan(chips[0].glacier).sum()


def test_ground_that_is_kept_for_tests_is_neither_seen_nor_labelled(windows):
    first = windows.draw(np.random.default_rng(2))
    around = (first.lon - 0.002, first.lat - 0.002, first.lon + 0.002, first.lat + 0.002)
    chip = replace(windows, exclude=(around,)).draw(np.random.default_rng(2))
    hidden = np.isnan(chip.values["optical"][0]) & ~np.isnan(first.values["optical"][0])
    assert hidden[24, 24] and 0 < hidden.sum() < hidden.size / 2
    assert np.isnan(chip.glacier[hidden]).all() and (chip.classes[hidden] == 255).all()


def test_surfaces_come_from_rules_where_wanted(windows):
    chip = next(c for c in (windows.draw(np.random.default_rng(k)) for k in range(20)) if (c.glacier == 1).sum() > 50)
    assert (chip.classes[chip.glacier == 1] == 0).mean() > 0.5
    assert replace(windows, weak_classes=False).draw(np.random.default_rng(0)).classes is None
    assert ROCK[0] < 0.2


def test_where_the_sun_is_known_the_rules_know_shade(windows):
    # 45° down to the north: behind it a low sun in the south does not reach the ground.
    elevation = np.repeat(-30.0 * np.arange(48, dtype=np.float32)[::-1, None], 48, axis=1)
    values = {"dem": np.stack([elevation, np.full((48, 48), 45.0, np.float32)])}
    lit, shaded = (replace(windows, sun=(azimuth, 30.0))._incidence(values) for azimuth in (0.0, 180.0))
    assert lit is not None and shaded is not None and (lit > 0.9).all() and (shaded < 0).all()
    assert windows._incidence(values) is None and replace(windows, sun=(0.0, 30.0))._incidence({}) is None


def test_a_store_without_tiles_under_a_glacier_is_refused(windows):
    with pytest.raises(ConfigError, match="ingest"):
        replace(windows, epochs=(("optical", "1999"),)).draw(np.random.default_rng(0))
    with pytest.raises(ConfigError, match="epoch of"):
        replace(windows, anchor="thermal").draw(np.random.default_rng(0))
