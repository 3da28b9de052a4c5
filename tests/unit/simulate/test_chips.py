"""Simulated chips: deterministic, in the units of the registry, with truth for every class, and lawful physics."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import ConfigError
from core.grid import Lattice, PixelWindow, Zone
from core.sensors import sensor
from core.simulate import chips as made
from core.simulate.chips import CHIPS_PER_WORLD, chips, classify, simulate_chip
from core.simulate.land.land import Land, build_land
from core.simulate.land.place import ARCHETYPES, draw_place
from core.simulate.sense.day import Day, see_day
from core.simulate.sense.ground import elevation
from core.simulate.sense.optical import Optical, look
from core.simulate.sense.radar import Pass, listen
from core.simulate.sense.spectra import INSTRUMENTS, moments, scene_mean
from core.simulate.sense.thermal import warmth
from core.terrain import slope_deg
from core.train.chip import Chip
from core.train.classes import CLEAN_ICE, DEBRIS, ROCK_GLACIER, SURFACES

PX = 256
WIDE_PX = 384
RANGES = {
    "optical": (0.0, 1.7),
    "optical_toa": (0.0, 1.7),
    "thermal": (190.0, 345.0),
    "sar_sigma0": (-41.0, 25.0),
    "sar_gamma0": (-41.0, 15.0),
    "coherence": (0.0, 1.0),
}


@pytest.fixture(scope="module", autouse=True)
def small_worlds():
    """Worlds of 256 pixels: the same code, a sixteenth of the time."""
    patch = pytest.MonkeyPatch()
    patch.setattr(made, "WORLD_PX", PX)
    made._land.cache_clear()
    made._seen.cache_clear()
    yield
    patch.undo()
    made._land.cache_clear()
    made._seen.cache_clear()


@pytest.fixture(scope="module")
def worlds() -> list[tuple[Land, Day, Optical]]:
    """Debris-covered landscapes on their first day."""
    out = []
    for seed in range(4):
        land = build_land(seed, WIDE_PX, 30.0, site="himalaya")
        day = see_day(land, 0)
        out.append((land, day, look(land, day, 0)))
    return out


@pytest.fixture(scope="module")
def twenty() -> list[Chip]:
    """One chip of each of twenty worlds, of every kind of mountains in turn."""
    kinds = ["arctic_coast"] * 4 + ["fjords", "himalaya", *ARCHETYPES]
    return [simulate_chip(i * CHIPS_PER_WORLD, 160, 30.0, kinds[i % len(kinds)]) for i in range(20)]


def test_a_chip_depends_on_its_seed_alone():
    first = simulate_chip(3, 64, 30.0)
    list(chips([200, 4], 64, 30.0))
    again = simulate_chip(3, 64, 30.0)
    assert first.values.keys() == again.values.keys()
    for name in first.values:
        np.testing.assert_array_equal(first.values[name], again.values[name])
    np.testing.assert_array_equal(first.glacier, again.glacier)
    assert not np.array_equal(first.values["dem"], simulate_chip(3 + CHIPS_PER_WORLD, 64, 30.0).values["dem"])


def test_another_process_makes_the_same_chip():
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import numpy as np\nfrom core.simulate import chips as m\n"
            f"m.WORLD_PX = {PX}\nc = m.simulate_chip(3, 64, 30.0)\n"
            "print(sum(float(np.nansum(v, dtype=np.float64)) for v in c.values.values()))",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    here = sum(float(np.nansum(v, dtype=np.float64)) for v in simulate_chip(3, 64, 30.0).values.values())
    assert float(told.stdout) == here


def test_chips_are_called_simulated_and_say_where_they_pretend_to_be(twenty):
    for chip in twenty:
        assert chip.origin.startswith("simulated:")
        assert 1 <= int(chip.region) <= 19 and -90 < chip.lat < 90


def test_every_class_occurs(twenty):
    seen = np.unique(np.concatenate([np.unique(chip.classes) for chip in twenty]))
    assert [SURFACES[code] for code in seen] == list(SURFACES)


def test_bands_order_units_and_ranges_are_those_of_the_registry(twenty):
    for chip in twenty:
        for name, values in chip.values.items():
            assert values.shape == (len(sensor(name).bands), *chip.shape)
            low, high = RANGES.get(name.removesuffix("_asc").removesuffix("_desc"), (-np.inf, np.inf))
            known = values[np.isfinite(values)]
            assert known.size == 0 or (known.min() >= low and known.max() <= high), name
        assert np.isfinite(chip.values["dem"]).all() and np.isfinite(chip.values["velocity"]).all()
        assert np.isnan(chip.values["optical"]).mean() < 0.9


def test_truth_agrees_with_itself(twenty):
    for chip in twenty:
        ice = np.isin(chip.classes, (CLEAN_ICE, DEBRIS))
        assert (chip.glacier[ice] >= 0.5).all()
        assert chip.glacier.min() >= 0.0 and chip.glacier.max() <= 1.0


def test_a_rock_glacier_is_a_surface_of_its_own_wherever_it_is_seen_and_never_on_ice(worlds):
    found = 0
    for land, day, optical in worlds:
        classes = classify(land, day, optical)
        told = classes == ROCK_GLACIER
        assert (land.rock_glacier[told] > 0.5).all() and (land.glacier[told] < 0.5).all()
        hidden = (land.glacier >= 0.5) | (land.lake > 0.5) | (day.snow > 0.5) | (optical.shadow > 0.5)
        assert told[(land.rock_glacier > 0.5) & ~hidden].all()
        found += int(told.sum())
    assert found > 0


def test_himalayan_chips_hold_debris(worlds):
    covered = [float((land.glacier * land.debris.cover).mean()) for land, _, _ in worlds]
    assert max(covered) > 0.03 and np.mean(covered) > 0.01


def test_cast_shadow_is_dark(worlds):
    for land, day, optical in worlds:
        bare = (day.snow < 0.05) & (land.glacier < 0.05) & np.isfinite(optical.surface[0])
        shade, sun = bare & (day.direct < 0.02), bare & (day.direct > 0.8)
        if shade.sum() > 30 and sun.sum() > 30:
            assert np.median(optical.top[3][shade]) < 0.6 * np.median(optical.top[3][sun])


def test_thick_debris_is_colder_than_rock_and_warmer_than_ice(worlds):
    compared = 0
    for land, day, optical in worlds:
        kelvin = warmth(land, day, optical, 0)[0]
        plain = (day.snow < 0.02) & np.isfinite(kelvin) & (day.direct > 0.8) & (day.direct < 1.25)
        calm = plain & (land.lake < 0.01) & (np.abs(land.below_ela_m) < 900.0)
        debris = calm & (land.glacier > 0.99) & (land.debris.cover > 0.95) & (land.debris.thick_m > 0.1)
        rock = calm & (land.glacier < 0.01) & (optical.vegetation < 0.05)
        ice = plain & (land.glacier > 0.99) & (land.debris.cover < 0.05)
        if min(debris.sum(), rock.sum()) > 40 and np.median(day.air_c[debris]) > 0.0:
            # At the same height: the lapse rate alone would decide otherwise.
            excess = kelvin - (day.air_c + 273.15)
            assert np.median(excess[debris]) < np.median(excess[rock])
            compared += 1
            if ice.sum() > 40:
                assert np.median(kelvin[debris]) > np.median(kelvin[ice])
    assert compared


def test_coherence_is_low_on_ice_and_high_on_bare_rock(worlds):
    for land, day, optical in worlds:
        seen: Pass = listen(land, day, optical, 0, descending=False)
        quiet = (day.snow < 0.05) & np.isfinite(seen.gamma0[0]) & (land.lake < 0.01)
        rock = quiet & (land.glacier < 0.01) & (optical.vegetation < 0.05)
        ice = (land.glacier > 0.95) & (land.speed > 5.0)
        if min(rock.sum(), ice.sum()) > 100:
            assert np.median(seen.coherence[1][ice]) < 0.6 * np.median(seen.coherence[1][rock])
        assert (np.diff(np.median(seen.coherence, axis=(1, 2))) <= 0.02).all()


def test_slopes_towards_the_radar_are_bright_and_terrain_flattening_takes_most_of_it_out(worlds):
    for land, day, optical in worlds:
        up = listen(land, day, optical, 0, descending=False)
        down = listen(land, day, optical, 0, descending=True)
        east = np.gradient(land.surface_m, land.res_m, axis=1)
        towards, away = (east > 0.25) & (east < 0.5), (east < -0.25) & (east > -0.5)

        def contrast(image, towards=towards, away=away):
            return float(np.nanmedian(image[0][towards]) - np.nanmedian(image[0][away]))

        assert contrast(down.gamma0) > -3.0 and abs(contrast(up.gamma0)) < 2.5
        assert abs(contrast(up.gamma0)) < max(abs(contrast(up.sigma0)), 2.5)


def test_slope_is_that_of_the_elevation_by_core_terrain(worlds):
    land = worlds[0][0]
    z, slope = elevation(land)
    lattice = Lattice(Zone("utm45n"), 30)
    # Rows of the lattice count from its top; this window lies on the central meridian at 28° N.
    window = PixelWindow(233_000, 233_000 + WIDE_PX - 2, 16_600, 16_600 + WIDE_PX - 2)
    expected = slope_deg(z, lattice, window)
    np.testing.assert_allclose(slope[1:-1, 1:-1], expected, atol=0.1)


def test_later_ice_is_never_thicker():
    lands = [build_land(5, PX, 30.0, year, "alps") for year in range(3)]
    assert (lands[2].ice_m <= lands[0].ice_m + 1.0).mean() > 0.999
    assert lands[2].glacier.sum() < lands[0].glacier.sum()


def test_an_unknown_site_and_an_impossible_size_are_refused():
    with pytest.raises(ConfigError, match="archetype"):
        draw_place(1, "himalya")
    with pytest.raises(ConfigError, match="px"):
        simulate_chip(0, PX + 1, 30.0)


def test_half_of_all_places_are_in_high_mountain_asia():
    regions = [draw_place(seed).region for seed in range(300)]
    assert 0.4 < np.mean([region in ("13", "14", "15") for region in regions]) < 0.65


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_spectra_agree_with_the_site_that_was_kept_out(instrument, samples):
    """The mean of the kept-out site lies among the scenes that the simulator draws, in every band."""
    from core.simulate.spectra_fit import KEPT_OUT, read_points

    assert moments()["site_kept_out"] == KEPT_OUT and KEPT_OUT not in moments()["sites_fitted"]
    points = read_points(samples / "usgs_points", instrument)
    points = points[points["site"] == KEPT_OUT]
    rng = np.random.default_rng(0)
    for surface in ("snow", "ice", "rock"):
        rows = points[points["surface"] == surface]
        measured = np.log(np.clip(rows[moments()["bands"]].to_numpy(), 0.004, 1.2)).mean(axis=0)
        drawn = np.stack([scene_mean(instrument, surface, rng) for _ in range(400)])
        within = np.sqrt(np.diag(np.array(moments()["instruments"][instrument][surface]["log_cov_within_scene"])))
        assert (np.abs(measured - drawn.mean(axis=0)) < 3.0 * np.hypot(drawn.std(axis=0), within)).all(), surface
        # Brightness within a factor of two, bands of snow and rock in their order.
        assert np.abs(measured[:4] - drawn.mean(axis=0)[:4]).max() < 0.75, surface


def test_the_fitted_table_is_that_of_the_program(samples):
    from core.simulate.spectra_fit import fit

    assert fit(samples / "usgs_points") == moments()


def test_relief_may_be_that_of_real_mountains(samples):
    real = build_land(1, PX, 30.0, site="alps", samples=samples)
    made_up = build_land(1, PX, 30.0, site="alps")
    assert np.isfinite(real.surface_m).all() and real.place == made_up.place
    assert not np.array_equal(real.surface_m, made_up.surface_m)
    assert 3.0 < np.median(elevation(real)[1]) < 45.0


def test_debris_looks_like_the_rock_beside_it(worlds):
    """The hard problem: by brightness alone debris and rock overlap, so that a threshold on it maps nothing."""
    compared = 0
    for land, day, optical in worlds:
        plain = (day.snow < 0.02) & np.isfinite(optical.surface[0]) & (day.direct > 0.6)
        debris = plain & (land.glacier > 0.99) & (land.debris.cover > 0.95)
        rock = plain & (land.glacier < 0.01) & (optical.vegetation < 0.1) & (land.lake < 0.01)
        if min(debris.sum(), rock.sum()) > 200:
            a, b = np.log(optical.surface[2][debris]), np.log(optical.surface[2][rock])
            assert abs(np.median(a) - np.median(b)) < 2.5 * np.hypot(a.std(), b.std())
            compared += 1
    assert compared
