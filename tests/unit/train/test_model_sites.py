"""The scoring of models by sites: that it counts what it says, and maps what a run maps."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.sites.calibration import halves, score_calibration
from benchmarks.sites.contestants import contestants
from benchmarks.sites.everest import KEPT_OUT_BOX, TEST_BOX
from benchmarks.sites.frame import Frame
from benchmarks.sites.pictures import composite, draw_site
from benchmarks.sites.rows import Row, Section, scores, tally
from benchmarks.sites.simulated import score_simulated, sensor_sets, with_sensors
from benchmarks.sites.snow import snow_scores
from core.config import load_config
from core.grid import Block, Lattice
from core.models.band_ratio import BandRatio
from core.models.learned import Learned
from core.mosaic import Mosaic
from core.prepare import prepare
from core.stitch import decode
from jobs.run import execute
from tests.made_chips import made_chip, tiny_checkpoint
from tests.tiny_world import COL, ROW, ZONE, make_world


def test_a_tally_counts_pixels_that_are_told_and_labelled() -> None:
    share = np.array([[1, 1, 0, 0, np.nan, 1]], np.float32)
    glacier = np.array([[0.9, 0.2, 0.8, 0.1, 0.9, np.nan]], np.float32)
    pixels, found = scores(tally(glacier, share))
    assert pixels == 4
    assert found["iou"] == pytest.approx(1 / 3) and found["precision"] == found["recall"] == 0.5


def test_a_table_has_a_dash_where_a_row_has_no_such_score_and_json_has_null() -> None:
    rows = [Row("a", "real, test", "optical", "m", 1234, {"iou": 0.5}), Row("b", "d", "s", "m", 1, {"ece": math.nan})]
    section = Section("T", rows, ("note",))
    lines = section.markdown().splitlines()
    assert lines[2] == "| site | data | sensors | model | IoU | ECE | pixels |"
    assert lines[4] == "| a | real, test | optical | m | 0.500 | – | 1,234 |" and lines[-1] == "- note"
    assert len({line.count("|") for line in lines[2:6]}) == 1
    assert json.loads(json.dumps(section.record(), allow_nan=False))["rows"][1]["scores"] == {"ece": None}


def test_all_subsets_of_the_sensors_are_there_once() -> None:
    every = sensor_sets(True)
    assert len(every) == len(set(every)) == 16 and set(sensor_sets(False)) < set(every)


def test_a_sensor_that_is_left_out_is_not_there() -> None:
    chip = made_chip(0)
    assert list(with_sensors([chip], ("terrain",))[0].values) == ["optical", "dem"]
    assert list(with_sensors([chip], ())[0].values) == ["optical"]


def test_leaving_a_sensor_out_of_chips_is_leaving_it_out_of_the_model(tmp_path: Path) -> None:
    from core.train.predict import predictor

    tiny_checkpoint(tmp_path / "m")
    chips = [made_chip(k, 32) for k in range(2)]
    whole, without = (Learned(path=str(tmp_path / "m"), without=names, amp="off") for names in ("", "dem"))
    ours = predictor(whole)[0](with_sensors(chips, ("thermal",)))
    np.testing.assert_allclose(ours, predictor(without)[0](chips), atol=1e-6)


def test_snow_and_ice_are_scored_where_labelled() -> None:
    truth = np.array([1, 1, 0, 0, np.nan], np.float32)
    found = snow_scores(np.array([True, False, False, False, True]), truth)
    assert found["accuracy"] == found["balanced"] == 0.75
    assert found["IoU snow"] == 0.5 and found["IoU bare ice"] == pytest.approx(2 / 3)
    only = snow_scores(np.array([True, False]), np.ones(2, np.float32))
    assert only["balanced"] == 0.5 and only["IoU bare ice"] == 0
    assert math.isnan(snow_scores(np.zeros(1, bool), np.full(1, np.nan, np.float32))["accuracy"])


def test_halves_share_no_world() -> None:
    chips = [made_chip(seed, 16, origin="simulated") for seed in range(96000, 96512, 8)]
    one, other = ({int(c.origin.split(":")[1]) // 48 for c in half} for half in halves(chips))
    assert one and other and not one & other and len(one | other) == 11


def test_simulated_sites_have_a_row_per_model_and_set_and_region(tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path / "glacier")
    models = contestants(str(tmp_path / "glacier"), None, "cpu")
    chips = [made_chip(k, 32, origin="simulated", region=region) for k, region in enumerate(("11", "15"))]
    by_set, by_region = score_simulated(chips, models, all_sets=False)
    assert next(row.sensors for row in by_set.rows if row.model == "glacier") == "optical"
    assert {row.pixels for row in by_set.rows} == {2 * (32 * 32 - 3 * 32)}
    assert {row.site for row in by_region.rows} == {"simulated, region 11", "simulated, region 15"}
    assert all("simulated" in row.data for row in (*by_set.rows, *by_region.rows))


def test_calibration_undoes_the_temperature_of_the_card(tmp_path: Path) -> None:
    from core.models.checkpoint import Calibration, rewrite_card

    plain = tiny_checkpoint(tmp_path / "glacier")
    rewrite_card(plain, str(tmp_path / "warm"), calibration=Calibration(3.0))
    chips = [made_chip(seed, 32, origin="simulated") for seed in (0, 48, 96, 144)]
    tables = [
        score_calibration(chips, {}, contestants(str(tmp_path / name), None, "cpu")).section.rows
        for name in ("glacier", "warm")
    ]
    (before, _, fitted), (warm_before, warm_card, warm_fitted) = tables
    assert before.scores["ece"] == pytest.approx(warm_before.scores["ece"], abs=1e-5)
    assert fitted.scores["temperature"] == pytest.approx(warm_fitted.scores["temperature"], rel=1e-2)
    assert warm_card.scores["temperature"] == 3 and warm_card.scores["ece"] != warm_before.scores["ece"]


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Frame, np.ndarray]:
    """A frame over a tiny world, and what a real run stored of its ground."""
    world = make_world(tmp_path_factory.mktemp("world"), glaciers=2)
    config = load_config(world.config)
    prepared = prepare(config)
    assert execute(prepared, limit=1, quiet=True).tally.done["map"] == 1
    lattice, block = Lattice(ZONE, 30), Block(ZONE, ROW, COL)
    stored = decode(Mosaic(prepared.run.url).read_block(lattice, block)[0])
    return Frame("tiny", config, ZONE, lattice.block_window(block), ("optical",)), stored


def test_a_frame_is_mapped_as_a_run_maps_it(mapped: tuple[Frame, np.ndarray]) -> None:
    frame, stored = mapped
    ours, told = frame.map(BandRatio(), ("optical",)), np.isfinite(stored)
    assert told.any() and told[frame.seen].sum() < frame.seen.sum()  # a run keeps what is near outlines alone
    np.testing.assert_array_equal(ours[told], stored[told])
    np.testing.assert_array_equal(np.isfinite(ours), frame.seen)
    np.testing.assert_array_equal(told, frame.near & frame.seen)


def test_truth_is_the_share_inside_the_outlines_where_something_was_seen(mapped: tuple[Frame, np.ndarray]) -> None:
    frame, _ = mapped
    np.testing.assert_array_equal(np.isfinite(frame.share), frame.seen)
    assert scores(tally(frame.map(BandRatio(), ("optical",)), frame.share))[1]["iou"] > 0.9


def test_a_frame_without_the_sensor_tells_nothing(mapped: tuple[Frame, np.ndarray]) -> None:
    frame, _ = mapped
    assert np.isnan(frame.map(BandRatio(), ())).all()


def test_the_box_kept_out_of_training_surrounds_the_test_box_and_is_that_of_the_configurations() -> None:
    import yaml

    west, south, east, north = KEPT_OUT_BOX
    assert west < TEST_BOX[0] < TEST_BOX[2] < east and south < TEST_BOX[1] < TEST_BOX[3] < north
    configs = Path(__file__).resolve().parents[3] / "jobs" / "configs"
    for name in ("train_glacier", "train_seven"):
        sources = yaml.safe_load((configs / f"{name}.yaml").read_text())["train"]
        assert [s["exclude"] for s in sources if s["kind"] == "tiles"] == [[list(KEPT_OUT_BOX)]]


def test_pictures_are_small_and_bear_what_was_not_observed(tmp_path: Path) -> None:
    chip = made_chip(0)
    optical = chip.values["optical"].copy()
    optical[:, :5] = np.nan
    image = composite(optical)
    assert image.shape == (48, 48, 3) and (image[:5] == 128).all() and composite(optical * np.nan).min() == 128
    path = draw_site(tmp_path / "a" / "site.png", "made", image, chip.glacier, {"nothing": chip.glacier * np.nan})
    assert 1000 < path.stat().st_size < 200_000
