"""The registry of products: every entry fits its sensor, and its numbers are of the size that its values have."""

from __future__ import annotations

import dataclasses
import math

import pytest

from core.errors import ConfigError
from core.sensors import Product, sensor
from core.sensors.products import PRODUCTS, product
from core.sensors.products.glavitu import TRAINING_TILES

# What a stored number of typical size must come to, in the units of the sensor.
PLAUSIBLE = {
    "optical": (10_000, 0.0, 1.1),
    "optical_toa": (10_000, 0.0, 1.1),
    "thermal": (35_000, 250.0, 290.0),
    "coherence": (60, 0.5, 0.7),
    "dem": (3000, 3000, 3000),
    "dhdt": (-1, -1, -1),
    "velocity": (100, 100, 100),
}
# Archives that store values in the units of the sensors.
PHYSICAL = {"optical_toa": 0.5, "thermal": 270, "coherence_asc": 0.5, "coherence_desc": 0.5, "dem": 3000}

every_product = pytest.mark.parametrize("entry", PRODUCTS, ids=lambda p: p.name)


def test_names_are_unique():
    assert len({entry.name for entry in PRODUCTS}) == len(PRODUCTS)


@every_product
def test_a_product_has_each_observed_band_of_its_sensor_once(entry: Product):
    of_sensor = sensor(entry.sensor)
    bands = [band.band for band in entry.bands]
    assert len(set(bands)) == len(bands)
    if entry.tiling == TRAINING_TILES:  # coherence of one interval alone
        assert set(bands) <= set(of_sensor.band_names) - {of_sensor.slope}
        return
    assert set(bands) == set(of_sensor.band_names) - {of_sensor.slope}


@every_product
def test_a_band_can_be_found(entry: Product):
    assert all(band.assets or band.common_name for band in entry.bands)
    assert all(band.index >= 1 for band in entry.bands)


@every_product
def test_common_names_are_those_of_the_sensor_or_its_narrow_near_infrared(entry: Product):
    known = {band.name: band.common_name for band in sensor(entry.sensor).bands}
    for band in entry.bands:
        assert band.common_name in {known[band.band], "nir08", ""}


@every_product
def test_stored_numbers_come_to_plausible_values(entry: Product):
    if entry.linear_power:
        assert (entry.scale, entry.offset) == (1.0, 0.0)
        return
    if entry.tiling == TRAINING_TILES:
        assert entry.scale * PHYSICAL[entry.sensor] + entry.offset == PHYSICAL[entry.sensor]
        return
    stored, low, high = PLAUSIBLE[entry.sensor]
    assert low <= entry.scale * stored + entry.offset <= high
    assert all(band.scale is None and band.offset is None for band in entry.bands)


@every_product
def test_only_backscatter_is_linear_power(entry: Product):
    assert entry.linear_power == (sensor(entry.sensor).resampling == "decibel")


@every_product
def test_an_entry_says_whence_under_what_licence_and_what_goes_wrong(entry: Product):
    assert entry.title and entry.licence and entry.source.startswith("https://")
    assert entry.traps
    assert all(trap.endswith(".") and len(trap.split()) > 4 for trap in entry.traps)


@every_product
def test_an_archive_is_searched_or_its_tiles_are_found_by_name(entry: Product):
    if entry.tiling:
        assert not entry.catalog or entry.catalog.startswith("s3://")
    elif entry.name.startswith("sentinel1_sigma0"):
        assert not entry.catalog  # there is no public archive of it
    else:
        assert entry.catalog.startswith("https://")
        assert any(not host for host, _ in entry.collections) or entry.name == "landsat_c2_l1"


@every_product
def test_an_archive_has_an_owner_of_the_bill(entry: Product):
    assert not (entry.access.anonymous and entry.access.requester_pays)
    assert bool(entry.access.region) == bool(entry.access.buckets)


@every_product
def test_what_depends_on_the_baseline_has_a_trap_whose_bands_exist(entry: Product):
    assert (entry.radiometry == "baseline") == (entry.offset_trap is not None)
    if entry.offset_trap is not None:
        assert set(entry.offset_trap.bands) <= {band.band for band in entry.bands}
        assert 0 < entry.offset_trap.absent_below <= entry.offset_trap.present_above
        assert 0 < entry.offset_trap.percentile < 50


@pytest.mark.parametrize("reflectance", [0.0, 0.02, 0.06])
def test_the_offset_of_sentinel_2_shows_in_the_darkest_short_wave_of_water_snow_and_shadow(reflectance):
    trap = product("sentinel2_l2a").offset_trap
    assert trap is not None
    assert 10_000 * reflectance < trap.absent_below
    assert 10_000 * reflectance - trap.dn >= trap.present_above


def test_passes_of_either_direction_are_products_of_their_own():
    for name in ("sentinel1_rtc", "opera_rtc_s1"):
        for short, orbit in (("asc", "ascending"), ("desc", "descending")):
            entry = product(f"{name}_{short}")
            assert entry.sensor == f"sar_gamma0_{short}"
            assert dict(entry.properties) == {"sat:orbit_state": orbit}


def test_opera_has_no_number_for_nothing():
    nodata = product("opera_rtc_s1_asc").nodata
    assert nodata is not None and math.isnan(nodata)


def test_only_the_harmonised_are_harmonised():
    assert {entry.name for entry in PRODUCTS if entry.harmonised} == {"hls_s30", "hls_l30"}


def test_a_product_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        product("landsat_c2_l2").scale = 1.0


def test_an_unknown_product_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'sentinel2_l2a'"):
        product("sentinel2_l2")
