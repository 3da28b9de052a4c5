"""The object step: exact answers on drawn scenes, and promises that hold on any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_grounds import PIXEL_KM2, Scene, at_random, drawn, picture_of, same_picture
from scipy import ndimage

from core.errors import ConfigError
from core.measure.objects import PRESETS, refine_objects, rule_set
from core.release.schema import joined_words

SEEDS = st.integers(0, 2**32 - 1)
EIGHT = np.ones((3, 3))
PATCH_BESIDE = """
    ..........
    .oGGGo....
    .GGGGG..P.
    .GGGGG.PP.
    .GGGGG....
    ..........
"""
HOLES = """
    ............
    .GGGGGGGGGG.
    .GoGGGooGGG.
    .GGGGGooGGG.
    .GGGGGGGGGo.
    ............
"""


def removing(**when):
    return [{"action": "remove", "of": "component", "when": when, "flag": "removed"}]


def test_a_snow_patch_beside_a_glacier_is_not_in_its_area():
    scene = drawn(PATCH_BESIDE).having(ndsi=0.8, slope_deg=10, elevation_m=3000)
    found = scene.after("default")
    assert same_picture(picture_of(scene, found.probability), PATCH_BESIDE.replace("P", "."))
    assert found.flags == ("removed_snow_patches:1",)
    assert found.changes[0].pixels == 3
    assert found.removed_km2 == pytest.approx(3 * PIXEL_KM2)
    assert found.added_km2 == 0
    assert joined_words(("gap_filled", *found.flags)) == "gap_filled;removed_snow_patches:1"


def test_without_bands_a_small_patch_goes_all_the_same():
    found = drawn(PATCH_BESIDE).after("default")
    assert found.flags == ("removed_patches:1",)
    assert [layer for _, layer in found.left_out] == ["ndsi", "slope_deg", "ndsi", "elevation_m", "ndsi", "slope_deg"]


def test_a_tongue_under_debris_that_looks_cut_off_is_kept():
    scene = drawn(PATCH_BESIDE).having(ndsi=-0.1, slope_deg=10, elevation_m=3000)
    assert scene.after("default").probability is scene.probability
    steep = scene.having(slope_deg=40)
    assert steep.after("default").flags == ("removed_patches:1",)


def test_a_large_patch_goes_only_if_it_is_bright():
    scene = drawn("GG...PPPPPP\nGG...PPPPPP")
    scene = Scene(scene.probability, scene.share, scene.own, pixel_km2=0.01).having(slope_deg=40, elevation_m=3000)
    assert scene.having(ndsi=0.0).after("default").flags == ()
    assert scene.having(ndsi=0.6).after("default").flags == ("removed_snow_patches:1",)


def test_what_is_inside_the_old_outline_is_no_patch():
    apart = drawn("GGG.o.G..\nGGG.o.G..").having(ndsi=0.9, slope_deg=10, elevation_m=3000)
    assert apart.after("default").flags == ()


def test_broad_bright_ice_beyond_the_upper_half_is_snow_and_an_advancing_tongue_is_not():
    rows = ["PPPPPP"] * 6 + ["GGGGGG"] * 8 + ["PPPPPP"] * 6
    scene = drawn("\n".join(rows)).having(ndsi=0.8, slope_deg=10)
    scene = scene.having(elevation_m=4000 - 10 * np.arange(20)[:, None])
    found = scene.after("default")
    assert found.flags == ("removed_snow_patches:1",)
    assert same_picture(picture_of(scene, found.probability), "\n".join(["......"] * 6 + rows[6:]))
    # A pixel of the scene's 30 m may be the map's own error; two, which is as far as new ice is seen, are not.
    for wide, flags in ((1, ()), (2, ("removed_snow_patches:1",))):
        fringe = drawn("\n".join(["PPPPPP"] * wide + rows[6:])).having(ndsi=0.8, slope_deg=10)
        fringe = fringe.having(elevation_m=4000 - 10 * np.arange(14 + wide)[:, None])
        assert fringe.after("default").flags == flags


@pytest.mark.parametrize(("slope_deg", "flags"), [(29.9, ("filled_holes:2",)), (30, ()), (np.nan, ())])
def test_holes_are_filled_by_the_slope_rule(slope_deg, flags):
    scene = drawn(HOLES).having(slope_deg=slope_deg)
    found = scene.after("default")
    assert found.flags == flags
    # Bare ground at the margin is no hole.
    expected = "............\n.GGGGGGGGGG.\n.GGGGGGGGGG.\n.GGGGGGGGGG.\n.GGGGGGGGGo.\n............" if flags else HOLES
    assert same_picture(picture_of(scene, found.probability), expected)
    assert found.added_km2 == pytest.approx(5 * PIXEL_KM2 if flags else 0)


@pytest.mark.parametrize(
    "hole", ["PPPP\nP.PP\nPPPP", "GGGG\nGo?G\nGGGG", "GGGG\nGo_G\nGGGG", "GGGG\nGoGG", "GGGG\nGoxG\nGGGG"]
)
def test_no_hole_is_filled_that_was_outside_hidden_or_open(hole):
    scene = drawn(hole).having(slope_deg=5)
    assert scene.after("default").added_km2 == 0


def test_what_was_not_observed_may_connect_a_patch():
    assert drawn("GGG.PP").after(removing(**{"max.inside": [None, 0.5]})).flags == ("removed:1",)
    assert drawn("GGG!PP").after(removing(**{"max.inside": [None, 0.5]})).flags == ()


def test_keep_protects_and_the_first_rule_that_matches_decides():
    keep = [{"action": "keep", "of": "component", "when": {"pixels": [2, None]}}]
    scene = drawn("P.PP.PPP")
    assert scene.after(keep + removing()).flags == ("removed:1",)
    assert scene.after(removing() + keep).flags == ("removed:3",)
    named = [*removing(pixels=[None, 2]), {"action": "remove", "of": "component", "flag": "rest"}]
    assert scene.after(named).flags == ("removed:1", "rest:2")
    assert scene.after(named[:1] + named[:1]).flags == ("removed:1",)


def test_rules_with_one_flag_are_counted_together():
    twice = removing(pixels=[None, 2]) + removing(pixels=[3, None])
    found = drawn("P.PP.PPP").after(twice)
    assert found.flags == ("removed:2",)
    assert [c.objects for c in found.changes] == [1, 1]


def test_a_rule_without_its_layer_is_left_out_and_the_others_are_not():
    rules = removing(**{"mean.thermal_k": [280, None]}) + removing(pixels=[None, 2])
    found = drawn("P.PP").after(rules)
    assert found.left_out == ((0, "thermal_k"),)
    assert found.flags == ("removed:1",)


def test_growing_goes_on_as_long_as_it_finds_ice():
    steps = np.array([[0.9, 0.9, 0.4, 0.4, 0.3, 0.3, 0.45, 0.45, 0.0, 0.0]], np.float32)
    scene = Scene(steps, np.ones_like(steps), np.ones_like(steps))
    segments = {"layers": {"probability": 0.01}, "scale": 0, "min_pixels": 1}
    grow = {"action": "add", "of": "segment", "flag": "grown"}
    grow["when"] = {"mean.probability": [0.2, None], "ice_border": [0.01, None]}
    once = scene.after({"segments": segments, "rules": [grow]})
    assert once.flags == ("grown:1",)
    assert (once.probability >= 0.5).sum() == 4
    on = scene.after({"segments": segments, "rules": [{**grow, "repeat": True}]})
    assert on.flags == ("grown:3",)
    assert (on.probability >= 0.5).sum() == 8


def tongue() -> Scene:
    """Clean ice above, then a debris-covered tongue that the net half believes, a moraine that it half believes too,
    and a valley floor."""
    zone = np.repeat([0, 1, 2, 3], 8)[:, None] * np.ones((1, 12), int)
    pick = lambda *values: np.array(values, np.float32)[zone]  # noqa: E731
    layers = {
        "ndsi": pick(0.8, 0.0, 0.0, -0.2),
        "slope_deg": pick(15, 8, 12, 5),
        "thermal_k": pick(272, 278, 284, 292),
        "coherence": pick(0.2, 0.2, 0.95, 0.9),
        "ndvi": pick(-0.1, 0.1, 0.1, 0.1),
        "ndwi": pick(0.1, -0.1, -0.1, -0.1),
    }
    ones = np.ones(zone.shape, np.float32)
    return Scene(pick(0.95, 0.4, 0.6, 0.02), ones, ones, layers)


def test_the_chain_for_debris_adds_the_tongue_and_drops_the_moraine():
    scene = tongue()
    found = scene.after("cnn_obia_debris")
    ice = found.probability >= 0.5
    assert ice[:16].all() and not ice[16:].any()
    assert found.flags == ("added_debris_segments:1", "removed_stable_segments:1")
    assert found.left_out == ()


def test_a_whole_glacier_without_thermal_and_coherence_is_still_segmented():
    scene = tongue()
    kept = {k: v for k, v in scene.layers.items() if k not in ("thermal_k", "coherence")}
    bare = Scene(scene.probability, scene.share, scene.own, kept)
    found = bare.after("cnn_obia_debris")
    assert {layer for _, layer in found.left_out} == {"thermal_k", "coherence"}
    assert found.probability is bare.probability


def test_the_chain_for_debris_drops_lakes_and_plants():
    for layer, flag in (
        ({"ndwi": 0.5}, "removed_water_segments"),
        ({"ndvi": 0.5}, "removed_vegetation_segments"),
    ):
        scene = tongue()
        for name, value in layer.items():
            scene.layers[name][16:24] = value
        scene.layers["slope_deg"][16:24] = 5
        found = scene.after("cnn_obia_debris")
        ice = found.probability >= 0.5
        assert ice[:16].all() and not ice[16:].any()
        assert found.flags == ("added_debris_segments:1", f"{flag}:1")


def test_the_rock_glacier_chain_keeps_the_lobe_and_drops_wood_and_water():
    heat = np.full((20, 30), 0.1, np.float32)
    heat[4:14, 4:12] = 0.9
    heat[4:14, 14:20] = 0.7
    heat[4:14, 22:28] = 0.7
    ndvi, ndwi = np.full_like(heat, 0.1), np.full_like(heat, -0.2)
    ndvi[:, 13:21], ndwi[:, 21:] = 0.8, 0.5
    ones = np.ones_like(heat)
    scene = Scene(heat, ones, ones, {"ndvi": ndvi, "ndwi": ndwi}).having(ndsi=0.0, slope_deg=15, coherence=0.4)
    found = scene.after("rock_glacier")
    assert np.array_equal(found.probability >= 0.5, heat > 0.8)
    assert "removed_vegetation_segments:1" in found.flags and "removed_water_segments:1" in found.flags


def test_glaciernet2_drops_plants_and_small_regions():
    scene = drawn("\n".join(["G" * 80] * 60 + ["." * 80] + ["PPP" + "." * 77])).having(slope_deg=10, ndvi=0.1)
    scene.layers["ndvi"][0, :7] = 0.8
    found = scene.after("glaciernet2")
    assert found.flags == ("removed_patches:1", "removed_vegetation_pixels:7")


def test_a_pixel_on_the_divide_is_inside_and_counts_for_the_part_that_is_owned():
    share = np.array([[0.25, 1.0, 1.0]], np.float32)
    scene = Scene(np.full((1, 3), 0.9, np.float32), share, share)
    assert scene.after(removing(**{"min.inside": [1, None]})).removed_km2 == pytest.approx(2.25 * PIXEL_KM2)


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 1)])
@pytest.mark.parametrize("preset", PRESETS)
def test_grounds_of_nothing_one_pixel_and_nothing_seen(preset, shape):
    ones = np.ones(shape, np.float32)
    for scene in (Scene(ones, ones * 0, ones * 0), Scene(ones * np.nan, ones, ones), Scene(ones, ones, ones)):
        kept = scene.having(ndsi=0.7, slope_deg=5, elevation_m=np.nan, coherence=np.nan, thermal_k=270)
        assert kept.after(preset).probability.shape == shape


def test_a_layer_of_another_window_is_refused():
    scene = drawn(PATCH_BESIDE)
    scene.layers["ndsi"] = np.zeros((3, 3), np.float32)
    with pytest.raises(ConfigError, match="the shape of the glacier's window"):
        scene.after(removing(**{"mean.ndsi": [0, 1]}))


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=25)
@given(seed=SEEDS)
def test_nothing_changes_but_seen_pixels_of_the_glaciers_own_ground(preset, seed):
    scene = at_random(seed)
    before = scene.probability.copy()
    found = scene.after(preset)
    assert np.array_equal(scene.probability, before, equal_nan=True)
    assert found.probability.dtype == np.float32
    fixed = (scene.share == 0) | np.isnan(before)
    assert np.array_equal(found.probability[fixed], before[fixed], equal_nan=True)
    edited = ~np.isclose(found.probability, before, equal_nan=True)
    assert set(np.unique(found.probability[edited])) <= {0.0, 1.0}


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=25)
@given(seed=SEEDS, pads=st.lists(st.integers(0, 7), min_size=4, max_size=4))
def test_the_answer_does_not_depend_on_the_window(preset, seed, pads):
    scene, rng = at_random(seed), np.random.default_rng(seed + 1)
    width = ((pads[0], pads[1]), (pads[2], pads[3]))
    within = tuple(slice(low, low + n) for (low, _), n in zip(width, scene.share.shape, strict=True))

    def padded(values: np.ndarray, around: np.ndarray | float) -> np.ndarray:
        out = np.pad(values, width)
        whole = np.broadcast_to(np.float32(around), out.shape).copy()
        whole[within] = values
        return whole

    strange = rng.random(np.pad(scene.share, width).shape)
    wide = Scene(
        padded(scene.probability, strange),
        padded(scene.share, 0),
        padded(scene.own, 0),
        {name: padded(values, 1000 * strange) for name, values in scene.layers.items()},
        scene.pixel_km2,
    )
    here, there = scene.after(preset), wide.after(preset)
    assert np.array_equal(there.probability[within], here.probability, equal_nan=True)
    assert there.changes == here.changes


@given(SEEDS, st.floats(0.001, 0.3))
def test_the_default_applied_twice_is_applied_once(seed, pixel_km2):
    scene = at_random(seed)
    scene = Scene(scene.probability, scene.share, scene.own, scene.layers, pixel_km2 / 10)
    once = scene.after("default")
    again = Scene(once.probability, scene.share, scene.own, scene.layers, pixel_km2 / 10).after("default")
    assert again.changes == ()


@given(SEEDS, st.integers(2, 60))
def test_the_count_is_the_number_of_objects_that_changed(seed, pixels):
    scene = at_random(seed, hidden=0)
    for rule, structure in (
        ({"action": "remove", "of": "component", "flag": "f"}, EIGHT),
        ({"action": "remove", "of": "advance", "flag": "f"}, EIGHT),
        ({"action": "add", "of": "hole", "flag": "f"}, None),
    ):
        found = scene.after([{**rule, "when": {"pixels": [None, pixels]}}])
        changed = (found.probability >= 0.5) != (scene.probability >= 0.5)
        count = ndimage.label(changed, structure=structure)[1]
        assert found.flags == ((f"f:{count}",) if count else ())
        assert sum(c.pixels for c in found.changes) == changed.sum()
        ground = (scene.share * scene.pixel_km2)[changed].sum()
        assert found.removed_km2 + found.added_km2 == pytest.approx(ground, rel=1e-5)


@settings(max_examples=30)
@given(SEEDS, st.floats(0.05, 0.95))
def test_the_threshold_says_what_is_ice(seed, threshold):
    scene = at_random(seed)
    found = scene.after(removing(), threshold)
    mine = scene.share > 0
    assert not (found.probability[mine] >= threshold).any()
    below = mine & (scene.probability < threshold)
    assert np.array_equal(found.probability[below], scene.probability[below])


def test_the_input_comes_back_as_it_is_where_there_are_no_rules():
    scene = drawn(PATCH_BESIDE)
    area = np.full(scene.share.shape, PIXEL_KM2, np.float32)
    found = refine_objects(scene.probability, scene.share, scene.own, area, 30, {}, rule_set("none"))
    assert found.probability is scene.probability
    assert found.flags == ()
