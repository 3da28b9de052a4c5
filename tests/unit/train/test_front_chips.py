"""Chips of drawn fronts: the line through the middle of its stroke, and the side of it as the label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image, ImageDraw

from benchmarks.fronts import CHOSEN_ON, GLACIERS, between, box_of, downstream, otsu, strongest_path
from core.errors import ConfigError, PoisonError
from core.measure.front_error import mean_distance_error
from core.train.chipfile import load_chip, save_chip
from core.train.evaluate import site
from core.train.fronts import front_chip, front_scenes, read_front, stroke, upstream_of

NAME = "LC08_L1TP_231012_20140807_20170420_01_T1_B8_{}.png"


def made(folder: Path, line: list[tuple[int, int]], name: str = NAME, size: tuple[int, int] = (40, 60)) -> Path:
    """One made scene: grey levels that grow downwards, and a line of three pixels."""
    for part in ("images", "labels"):
        (folder / part).mkdir(exist_ok=True)
    grey = np.repeat(np.linspace(0, 255, size[1]).astype(np.uint8)[:, None], size[0], axis=1)
    Image.fromarray(grey).convert("RGBA").save(folder / "images" / name.format("Subset"))
    label = Image.new("RGB", size, "white")
    ImageDraw.Draw(label).line(line, fill="black", width=3)
    label.save(folder / "labels" / name.format("Front"))
    return folder


def test_a_name_says_satellite_path_row_date_and_band(tmp_path):
    (scene,) = front_scenes(made(tmp_path, [(5, 20), (35, 20)]))
    assert (scene.satellite, scene.path_row, scene.date, scene.band) == ("LC08", "231012", "20140807", "B8")
    assert front_scenes(tmp_path, ["231012"]) == (scene,)
    with pytest.raises(ConfigError, match="no scenes"):
        front_scenes(tmp_path, ["008011"])


def test_a_picture_without_a_line_is_refused(tmp_path):
    (scene,) = front_scenes(made(tmp_path, [(5, 20), (35, 20)]))
    Image.new("RGB", (40, 60), "white").save(scene.label)
    with pytest.raises(PoisonError, match="no line"):
        front_chip(scene)
    scene.label.unlink()
    with pytest.raises(ConfigError, match="no such pair"):
        front_scenes(tmp_path)


def test_the_line_runs_through_the_middle_of_its_stroke_from_left_to_right(tmp_path):
    drawn = [(6, 30), (12, 20), (28, 24), (34, 15)]
    (scene,) = front_scenes(made(tmp_path, drawn))
    found, wanted = read_front(scene), shapely.LineString(np.array(drawn) + 0.5)
    assert mean_distance_error(found, wanted, 0.1) < 0.6
    assert found.coords[0][0] < found.coords[-1][0] and found.is_simple


def test_a_stroke_that_bends_back_is_followed_round_its_bend(tmp_path):
    (scene,) = front_scenes(made(tmp_path, [(20, 5), (8, 10), (8, 30), (30, 34)]))
    assert read_front(scene).length == pytest.approx(13 + 20 + 22.4, abs=5)


def test_the_largest_stroke_is_the_front_and_two_pixels_are_enough():
    drawn = np.zeros((9, 9), bool)
    drawn[4, 2:4] = drawn[8, 8] = True
    assert stroke(drawn).tolist() == [[2.5, 4.5], [3.5, 4.5]]


def test_upstream_is_below_the_line_and_columns_beside_it_are_unlabelled():
    side = upstream_of(shapely.LineString([(2.5, 5.5), (7.5, 5.5)]), (10, 10))
    assert np.isnan(side[:, :2]).all() and np.isnan(side[:, 8:]).all()
    assert (side[:5, 2:8] == 0).all() and (side[6:, 2:8] == 1).all()
    assert side[5, 2] == side[5, 7] == 0.5


def test_a_chip_holds_grey_levels_in_one_band_and_survives_its_file(tmp_path):
    (scene,) = front_scenes(made(tmp_path, [(5, 20), (35, 20)]))
    chip = front_chip(scene)
    bands = chip.values["optical_toa"]
    assert np.isfinite(bands).any(axis=(1, 2)).tolist() == [False, True, False, False, False, False]
    assert bands[1].min() == 0 and bands[1].max() == 1
    assert site(chip) == "greenland_fronts-231012" and chip.classes is None
    save_chip(tmp_path / "chip.npz", chip)
    again = load_chip(tmp_path / "chip.npz")
    assert np.allclose(again.glacier, chip.glacier, atol=0.005, equal_nan=True)
    mirrored = front_chip(scene, mirrored=True)
    assert np.array_equal(mirrored.glacier[:, ::-1], chip.glacier, equal_nan=True)
    assert np.array_equal(mirrored.values["optical_toa"][..., ::-1], bands, equal_nan=True)


def test_the_label_of_a_sample_gives_its_line_back(samples):
    """Through the same function that finds fronts on maps; off the walls, along which some lines run. A line that bends
    back over itself loses what is behind the bend."""
    scenes = front_scenes(samples / "greenland_fronts")
    assert len(scenes) == 93
    errors = []
    for scene in scenes[::6]:
        left, right = box_of([scene])
        walls = left + 6, right - 6
        side = front_chip(scene).glacier[:, slice(*walls)]
        found = between(side, downstream(side < 0.5), 0, walls[0])
        inside = shapely.box(walls[0], 0, walls[1], 300)
        errors.append(mean_distance_error(found, shapely.intersection(read_front(scene), inside), 0.25))
    assert np.median(errors) < 0.05 and np.quantile(errors, 0.9) < 0.5 and max(errors) < 5


def test_path_rows_of_one_glacier_are_kept_out_together(samples):
    of = {row: name for name, rows in GLACIERS.items() for row in rows}
    assert len(of) == sum(map(len, GLACIERS.values()))
    assert {scene.path_row for scene in front_scenes(samples / "greenland_fronts")} == set(of)
    for kept_out, chosen in CHOSEN_ON.items():
        assert all(of[row] != kept_out for row in chosen)


def test_the_threshold_of_otsu_parts_two_heaps():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.2, 0.03, 900), rng.normal(0.8, 0.03, 300)]).astype(np.float32)
    assert 0.25 < otsu(values) < 0.75


def test_the_strongest_path_follows_a_ridge_no_steeper_than_allowed():
    strength = np.zeros((20, 15), np.float32)
    ridge = np.clip(np.abs(np.arange(15) - 7) + 4, 0, 19)
    strength[ridge, np.arange(15)] = 1
    assert (strongest_path(strength, 1) == ridge).all()
    assert np.abs(np.diff(strongest_path(np.random.default_rng(1).random((20, 15), np.float32), 2))).max() <= 2
