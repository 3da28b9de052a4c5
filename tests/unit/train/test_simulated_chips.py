"""Simulated chips on disk: made once, in the order of their seeds, with the bands that are wanted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.errors import ConfigError
from core.train.simulated import SimulatedChips
from tests.made_chips import made_chip


@pytest.fixture
def made(monkeypatch) -> list[int]:
    """A simulator that takes no time, and the seeds that it was asked for."""
    asked: list[int] = []
    chips = pytest.importorskip("core.simulate.chips")

    def simulate(seed, size_px, res_m, site=None, samples=None):
        asked.append(seed)
        return made_chip(seed, size=size_px, origin="simulated")

    monkeypatch.setattr(chips, "simulate_chip", simulate)
    return asked


def source(folder, **changes) -> SimulatedChips:
    keys = {"folder": str(folder), "first": 100, "n": 6, "size_px": 24, "res_m": 30, "stride": 10}
    bands = (("optical", ("red", "nir")), ("dem", ("slope_deg",)), ("coherence", ("coh12",)))
    return SimulatedChips(**(keys | {"bands": bands} | changes))


def test_filling_goes_on_and_makes_nothing_twice(tmp_path, made):
    told = []
    chips = source(tmp_path)
    chips.make(110)
    chips.fill(watch=lambda done, total: told.append((done, total)))
    assert made == [110, 100, 120, 130, 140, 150] and told[-1] == (5, 5)
    chips.fill()
    assert len(made) == 6 and not chips.missing()
    assert {chips.draw(np.random.default_rng(k)).origin for k in range(40)} == {f"simulated:{s}" for s in chips.seeds}
    assert len(made) == 6


def test_only_the_wanted_bands_are_kept(tmp_path, made):
    chip = source(tmp_path).chip(100)
    seen = np.isfinite(chip.values["optical"]).all(axis=(1, 2))
    assert seen.tolist() == [False, False, True, True, False, False]
    assert set(chip.values) == {"optical", "dem"}


def test_another_recipe_has_a_folder_of_its_own_and_another_range_has_not(tmp_path):
    base = source(tmp_path)
    assert source(tmp_path, first=0, n=3, stride=1).recipe_folder == base.recipe_folder
    assert len({source(tmp_path, **c).recipe_folder for c in ({}, {"res_m": 10}, {"size_px": 32}, {"site": "x"})}) == 4


def test_picked_chips_are_different_ones(tmp_path, made):
    assert [chip.origin for chip in source(tmp_path).pick(3)] == ["simulated:110", "simulated:130", "simulated:150"]
    assert len(source(tmp_path).pick(99)) == 6


def test_regions_choose_among_the_worlds_and_share_the_folder(tmp_path, made):
    from core.simulate.chips import CHIPS_PER_WORLD
    from core.simulate.land.place import draw_place

    everywhere = source(tmp_path, first=0, n=20, stride=CHIPS_PER_WORLD // 2)
    region = draw_place(0).region
    one = replace(everywhere, regions=(region,))
    assert one.recipe_folder == everywhere.recipe_folder
    assert set(one.seeds) == {s for s in everywhere.seeds if draw_place(s // CHIPS_PER_WORLD).region == region}
    one.fill()
    assert set(made) == set(one.seeds) and not one.missing()
    with pytest.raises(ConfigError, match="regions"):
        _ = replace(everywhere, n=1, regions=("20",)).seeds
