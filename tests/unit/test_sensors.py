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


def test_an_unknown_sensor_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'optical'"):
        sensor("Optcal")
    with pytest.raises(ConfigError, match="known: optical, sar, dem, thermal, oracle"):
        sensor("xyz")


def test_an_unknown_band_names_the_nearest():
    assert sensor("sar").band_index("vh_db") == 1
    with pytest.raises(ConfigError, match=r"band 'swir' of sensor 'optical'.*did you mean 'swir"):
        sensor("optical").band_index("swir")
