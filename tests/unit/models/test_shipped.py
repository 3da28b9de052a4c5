"""The checkpoints that come with the project: small, honest about what they are, and they map what they never saw."""

from __future__ import annotations

import numpy as np
import pytest

from core.models import build_model
from core.models.checkpoint import SHIPPED, load_checkpoint
from core.models.learned import Learned
from core.simulate.chips import CHIPS_PER_WORLD, simulate_chip
from core.train.chip import Chip
from core.train.classes import scheme
from core.train.evaluate import evaluate, pooled
from core.train.predict import predictor
from core.train.sample import mapped_share

NAMES = ("debris_cnn", "glacier", "rock_glacier_cnn", "seven")
HEAT_MAPS = ("debris_cnn", "rock_glacier_cnn")
ALL_BUT_IMAGE = "sar_sigma0,coherence,thermal,dem"
# Worlds that were validated on and never trained on, in three regions.
WORLDS = (2000, 2004, 2007)


@pytest.fixture(scope="module")
def chips() -> list[Chip]:
    """SIMULATED, of worlds that no training saw."""
    return [simulate_chip(world * CHIPS_PER_WORLD + k, 256, 30) for world in WORLDS for k in (0, 8, 16)]


def test_together_they_are_small_and_there_are_no_others():
    assert sorted(p.name for p in SHIPPED.iterdir() if p.is_dir()) == sorted(NAMES)
    assert sum(p.stat().st_size for p in SHIPPED.rglob("*") if p.is_file()) < 16e6


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_what_it_was_made_of_and_what_it_scores(name):
    card = load_checkpoint(name).card
    assert card.name == name and card.simulated
    recipe = card.training["recipe"]
    assert {source["kind"] for source in recipe["train"]} == (
        {"simulated"} if name in HEAT_MAPS else {"simulated", "tiles"}
    )
    assert card.calibration.temperature != 1.0 and len(card.calibration.confidence) == 100
    sites = card.metrics["validation"]
    assert len(sites) >= 2 and all(site.startswith("simulated") for site in sites)
    assert card.training["steps"] > 0 and card.licence


def test_the_default_of_the_model_checkpoint_is_the_glacier_model():
    assert build_model("checkpoint", {}).checkpoints[0].card.name == "glacier"


def scores(model: object, chips: list[Chip]) -> dict[str, float]:
    predict, classes = predictor(model)
    tally = pooled(evaluate(predict, chips, classes))
    assert tally is not None
    return tally.scores(classes.classes)


def test_the_glacier_model_beats_the_band_ratio_on_simulated_worlds_with_any_sensors(chips):
    rule = scores(build_model("band_ratio", {}), chips)["iou"]
    found = {w: scores(Learned(without=w), chips)["iou"] for w in ("", "dem", "sar_sigma0,coherence", ALL_BUT_IMAGE)}
    print(f"band ratio {rule:.3f}, glacier without {found}")
    assert min(found.values()) > rule
    assert found[""] > rule + 0.3 and found["dem"] > rule + 0.2 and found["sar_sigma0,coherence"] > rule + 0.1


def test_the_seven_class_model_tells_debris_from_ice(chips):
    found = scores(Learned(path="seven"), chips)
    assert found["iou"] > 0.5 and found["iou_clean_ice"] > 0.5 and found["iou_debris"] > 0.2


def test_a_window_without_radar_or_terrain_is_mapped_wherever_the_image_was_seen(chips):
    model = Learned()
    predict, _ = predictor(model)
    bare = [Chip(**{**vars(chips[0]), "values": {"optical": chips[0].values["optical"]}})]
    found = predict(bare)
    seen = np.isfinite(chips[0].values["optical"]).any(axis=0)
    np.testing.assert_array_equal(np.isfinite(found[0, 0]), seen)


@pytest.mark.parametrize("name", HEAT_MAPS)
def test_a_net_that_draws_a_heat_map_is_the_five_layer_one_and_small(name):
    checkpoint = load_checkpoint(name)
    assert checkpoint.card.net == "cnn5"
    assert sum(p.stat().st_size for p in (SHIPPED / name).iterdir()) < 1e6


def test_the_debris_heat_map_beats_the_band_ratio_with_and_without_radar_and_heat(chips):
    rule = scores(build_model("band_ratio", {}), chips)["iou"]
    found = {w: scores(Learned(path="debris_cnn", without=w), chips)["iou"] for w in ("", "thermal,coherence")}
    print(f"band ratio {rule:.3f}, debris_cnn without {found}")
    assert min(found.values()) > rule + 0.1


def test_the_rock_glacier_heat_map_is_far_better_than_chance_and_knows_glaciers(chips):
    found = scores(Learned(path="rock_glacier_cnn"), chips)
    print(f"rock_glacier_cnn {found}")
    rock = np.concatenate([mapped_share(chip, scheme("rock_glacier")).ravel() for chip in chips])
    chance = float(np.nanmean(rock >= 0.5))
    assert found["precision"] > 4 * chance and found["recall"] > 0.3 and found["iou_glacier"] > 0.6
