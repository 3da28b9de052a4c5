"""Chips and class schemes: refused when they are wrong, cut without copies, kept on disk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.errors import ConfigError, PoisonError
from core.train.chipfile import ChipFolder, load_chip, save_chip
from core.train.classes import CODES, SCHEMES, SURFACES, UNLABELLED, scheme
from core.train.sample import class_labels, mapped_share
from tests.made_chips import made_chip, made_folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": {"optical": np.zeros((5, 48, 48), np.float32)}}, r"expected float32 \(6, 48, 48\)"),
        ({"values": {"optical": np.zeros((6, 48, 48))}}, "float64"),
        ({"glacier": np.full((48, 48), 1.5, np.float32)}, "0 to 1"),
        ({"classes": np.full((48, 48), 10, np.uint8)}, "0 to 9"),
        ({"classes": np.zeros((4, 4), np.uint8)}, "classes"),
        ({"weight": 0.0}, "more than 0"),
    ],
)
def test_a_chip_that_cannot_be_is_refused_by_name(change, message):
    with pytest.raises(PoisonError, match=message) as error:
        replace(made_chip(3), **change)
    assert "made:3" in str(error.value)


def test_an_unknown_sensor_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'optical'"):
        replace(made_chip(3), values={"optcal": np.zeros((6, 48, 48), np.float32)})


def test_a_cut_is_the_same_ground_in_everything():
    chip = made_chip(1)
    part = chip.cut(5, 7, 20, 30)
    assert part.shape == (20, 30)
    assert np.array_equal(part.values["dem"], chip.values["dem"][:, 5:25, 7:37])
    assert np.array_equal(part.classes, chip.classes[5:25, 7:37])
    with pytest.raises(PoisonError, match="inside"):
        chip.cut(40, 0, 20, 20)


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_says_what_is_mapped_and_it_is_ice_clean_or_covered_or_creeping_rock(name):
    chosen = scheme(name)
    mapped = {surface for surface, into in chosen.surfaces.items() if into in chosen.glacier}
    assert mapped == ({"rock_glacier"} if name == "rock_glacier" else {"clean_ice", "debris"})
    assert chosen.maps_glaciers == (name != "rock_glacier")
    assert set(chosen.surfaces.values()) == set(chosen.classes)
    probability = np.full((2, chosen.n_classes, 3), 1 / chosen.n_classes, np.float32)
    assert np.allclose(chosen.glacier_probability(probability, 1), len(chosen.glacier) / chosen.n_classes)


@pytest.mark.parametrize("name", SCHEMES)
def test_labels_are_classes_of_the_scheme_or_unlabelled(name):
    codes = np.array([*range(len(SURFACES)), UNLABELLED], np.uint8)
    labels = scheme(name).labels(codes)
    assert labels[-1] == UNLABELLED
    for code, label in zip(codes[:-1], labels[:-1], strict=True):
        told = None if label == UNLABELLED else scheme(name).classes[label]
        assert told == scheme(name).surfaces.get(SURFACES[code])


def test_codes_that_files_hold_keep_their_meaning():
    assert [CODES[name] for name in ("clean_ice", "debris", "snow", "lake", "non_glacial", "melange")] == [
        *range(4),
        6,
        8,
    ]
    assert CODES["rock_glacier"] == 9


def test_a_rock_glacier_is_no_glacier_and_what_hides_one_is_unknown_to_its_scheme():
    code = np.array([CODES["rock_glacier"]], np.uint8)
    said = {name: scheme(name).classes[scheme(name).labels(code)[0]] for name in SCHEMES}
    assert said == {
        "binary": "other",
        "ice_debris_lake": "other",
        "seven": "non_glacial",
        "calving": "rock",
        "rock_glacier": "rock_glacier",
    }
    hidden = np.array([CODES["snow"], CODES["shadow"]], np.uint8)
    assert (scheme("rock_glacier").labels(hidden) == UNLABELLED).all()


def test_a_scheme_that_maps_no_glaciers_has_a_truth_of_its_own():
    chip = made_chip(2)
    classes = chip.classes.copy()
    classes[:10], classes[10:12] = CODES["rock_glacier"], CODES["shadow"]
    chip = replace(chip, classes=classes)
    share = mapped_share(chip, scheme("rock_glacier"))
    assert (share[:10] == 1).all() and np.isnan(share[10:12]).all() and (share[12:] == 0).all()
    assert mapped_share(chip, scheme("seven")) is chip.glacier


def test_an_unknown_scheme_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'seven'"):
        scheme("sevn")


def test_shadow_on_a_glacier_trains_no_surface_class():
    chip = made_chip(2)
    dark = replace(chip, classes=np.full(chip.shape, CODES["shadow"], np.uint8))
    labels = class_labels(dark, scheme("seven"))
    assert (labels[chip.glacier == 1] == UNLABELLED).all()
    assert (labels[chip.glacier == 0] == scheme("seven").classes.index("shadow")).all()


def test_a_file_gives_a_chip_back_to_the_steps_of_the_tile_store(tmp_path):
    chip = made_chip(4)
    chip.values["optical"][3, 4:9] = np.nan
    save_chip(tmp_path / "a" / "4.npz", chip)
    back = load_chip(tmp_path / "a" / "4.npz")
    assert (back.origin, back.region, back.lat, back.lon, back.weight) == ("made:4", "11", 46.0, 8.0, 1.0)
    assert np.array_equal(np.isnan(back.values["optical"]), np.isnan(chip.values["optical"]))
    assert np.allclose(back.values["optical"], chip.values["optical"], atol=6e-5, equal_nan=True)
    assert np.array_equal(back.values["dem"], chip.values["dem"])
    assert np.array_equal(back.classes, chip.classes)
    assert np.allclose(back.glacier, chip.glacier, atol=1 / 508 + 1e-6, equal_nan=True)


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(PoisonError, match=r"x\.npz"):
        load_chip(tmp_path / "x.npz")


def test_a_folder_is_a_source_and_an_empty_one_is_refused(tmp_path):
    folder = made_folder(tmp_path / "chips", 3)
    source = ChipFolder(str(folder))
    origins = {source.draw(np.random.default_rng(k)).origin for k in range(30)}
    assert origins == {"made:0", "made:1", "made:2"}
    with pytest.raises(ConfigError, match="no chips"):
        ChipFolder(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="no chips"):
        ChipFolder(str(folder), regions=("06",))
