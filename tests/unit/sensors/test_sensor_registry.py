"""The registry of sensors: complete, self-consistent, helpful when asked for something else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.errors import ConfigError
from core.grid import ALLOWED_RES_M
from core.sensors import SENSORS, sensor


@pytest.mark.parametrize("entry", SENSORS, ids=lambda s: s.name)
def test_every_sensor_fits_the_lattice_and_its_stored_dtype(entry):
    assert entry.res_m in ALLOWED_RES_M
    assert len(set(entry.band_names)) == len(entry.bands) > 0
    assert all(band.units and band.long_name for band in entry.bands)
    low, high = entry.stored_range
    if entry.dtype != "float32":
        info = np.iinfo(entry.dtype)
        assert info.min <= low < high <= info.max
        assert info.min <= entry.fill <= info.max
    assert not low <= entry.fill <= high


def test_a_sensor_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        sensor("optical").res_m = 20


def test_reflectance_is_stored_in_steps_of_a_ten_thousandth():
    optical = sensor("optical")
    assert optical.band_names == ("blue", "green", "red", "nir", "swir1", "swir2")
    assert (optical.dtype, optical.scale_factor, optical.res_m) == ("int16", 1e-4, 10)


def test_what_does_not_mix_is_another_sensor():
    """Reflectance at the surface and above the air, σ0 and γ0, passes of either direction."""
    names = {entry.name for entry in SENSORS}
    assert {"optical", "optical_toa"} <= names
    assert {f"sar_{symbol}{orbit}" for symbol in ("sigma0", "gamma0") for orbit in ("", "_asc", "_desc")} <= names
    assert {"coherence", "coherence_asc", "coherence_desc"} <= names


@pytest.mark.parametrize("entry", [s for s in SENSORS if s.name.startswith("sar_")], ids=lambda s: s.name)
def test_backscatter_is_averaged_as_power(entry):
    assert entry.resampling == "decibel"
    assert {band.units for band in entry.bands} == {"dB"}


def test_vectors_and_slope_are_bands_of_their_sensor():
    for entry in SENSORS:
        named = {*(entry.vector or ()), *([entry.slope] if entry.slope else [])}
        assert named <= set(entry.band_names)


def test_only_what_does_not_change_is_static():
    assert {entry.name for entry in SENSORS if entry.static} == {"coherence", "dem", "dhdt"}


def test_an_unknown_sensor_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'optical'"):
        sensor("Optcal")
    with pytest.raises(ConfigError, match="known: optical, optical_toa, sar_sigma0"):
        sensor("xyz")


def test_an_unknown_band_names_the_nearest():
    assert sensor("sar_gamma0").band_index("vh_db") == 1
    with pytest.raises(ConfigError, match=r"band 'swir' of sensor 'optical'.*did you mean 'swir"):
        sensor("optical").band_index("swir")
