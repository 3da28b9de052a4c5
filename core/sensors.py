"""Sensors: what a tile array holds, band by band, and how it is stored.

The one owner of band names, units and encodings: nothing else knows that reflectance is kept in steps of 1e-4 or that
decibels must not be averaged. Declarative: one entry = one sensor. A stored fill value only says "never written";
whether a pixel was observed is a matter of the array `scene` of its tile, never of the fill.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.errors import ConfigError

# continuous: average the values; decibel: average the linear power; class: nearest pixel, never a mixture.
Resampling = Literal["continuous", "decibel", "class"]
Dtype = Literal["int16", "uint16", "float32"]


@dataclass(frozen=True)
class Band:
    """One band. units: UDUNITS of the decoded value; common_name: of the STAC eo extension, empty where it has none."""

    name: str
    units: str
    long_name: str
    common_name: str = ""


@dataclass(frozen=True)
class Sensor:
    """One sensor as stored: decoded = stored · scale_factor + add_offset, in the units of its bands.

    res_m: pixel of its tiles unless the configuration says otherwise. standard_name: of the CF table, empty where
    the table has none. `raster`: False if its tiles are not made from scenes.
    """

    name: str
    bands: tuple[Band, ...]
    res_m: int
    dtype: Dtype
    long_name: str
    scale_factor: float = 1.0
    add_offset: float = 0.0
    resampling: Resampling = "continuous"
    standard_name: str = ""
    raster: bool = True

    @property
    def band_names(self) -> tuple[str, ...]:
        return tuple(band.name for band in self.bands)

    @property
    def numpy_dtype(self) -> np.dtype[np.int16] | np.dtype[np.uint16] | np.dtype[np.float32]:
        return np.dtype(self.dtype)

    @property
    def fill(self) -> float:
        """The stored number that no decoded value maps to: lowest int16, highest uint16, NaN of float32."""
        return {"int16": -32768.0, "uint16": 65535.0, "float32": float("nan")}[self.dtype]

    @property
    def stored_range(self) -> tuple[float, float]:
        """(lowest, highest) stored number that a value may take, fill excluded."""
        return {"int16": (-32767.0, 32767.0), "uint16": (0.0, 65534.0), "float32": (-np.inf, np.inf)}[self.dtype]

    def band_index(self, band: str) -> int:
        """Position of a band. Raises ConfigError naming the nearest known one."""
        if band not in self.band_names:
            raise ConfigError(
                f"band {band!r} of sensor {self.name!r}", found="no such band", fix=nearest(band, self.band_names)
            )
        return self.band_names.index(band)


SENSORS: tuple[Sensor, ...] = (
    Sensor(
        "optical",
        (
            Band("blue", "1", "surface reflectance, blue", "blue"),
            Band("green", "1", "surface reflectance, green", "green"),
            Band("red", "1", "surface reflectance, red", "red"),
            Band("nir", "1", "surface reflectance, near infrared", "nir"),
            Band("swir1", "1", "surface reflectance, short-wave infrared 1.6 µm", "swir16"),
            Band("swir2", "1", "surface reflectance, short-wave infrared 2.2 µm", "swir22"),
        ),
        res_m=10,
        dtype="int16",
        long_name="surface reflectance",
        scale_factor=1e-4,
        standard_name="surface_bidirectional_reflectance",
    ),
    Sensor(
        "sar",
        (
            Band("vv_db", "dB", "radar backscatter VV"),
            Band("vh_db", "dB", "radar backscatter VH"),
        ),
        res_m=10,
        dtype="float32",
        long_name="radar backscatter",
        resampling="decibel",
    ),
    Sensor(
        "dem",
        (Band("elevation_m", "m", "surface elevation above the geoid"),),
        res_m=30,
        dtype="float32",
        long_name="surface elevation above the geoid",
        standard_name="surface_altitude",
    ),
    Sensor(
        "thermal",
        (Band("kelvin", "K", "surface temperature", "lwir11"),),
        res_m=30,
        dtype="float32",
        long_name="surface temperature",
        standard_name="surface_temperature",
    ),
    Sensor(
        "oracle",
        (Band("coverage", "1", "share of the pixel inside the inventory's outlines"),),
        res_m=10,
        dtype="uint16",
        long_name="share of the pixel inside the inventory's outlines",
        scale_factor=1e-4,
        standard_name="land_ice_area_fraction",
        raster=False,
    ),
)
_BY_NAME = {entry.name: entry for entry in SENSORS}


def sensor(name: str) -> Sensor:
    """The registered sensor. Raises ConfigError naming the nearest known one."""
    if name not in _BY_NAME:
        raise ConfigError(f"sensor {name!r}", found="no such sensor", fix=nearest(name, _BY_NAME))
    return _BY_NAME[name]


def nearest(name: str, known: Iterable[str]) -> str:
    """The clause `did you mean …?`, or the list of what is known where nothing is near."""
    names = list(known)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
