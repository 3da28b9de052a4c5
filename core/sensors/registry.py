"""Sensors: everything that a tile store can hold.

The one owner of band names, units and encodings: nothing else knows that reflectance is kept in steps of 1e-4 or that
decibels must not be averaged. What was measured in another way is another sensor: reflectance at the surface and at
the top of the atmosphere, γ0 and σ0, ascending and descending passes never meet in one array, because a model trained
on the one does not hold for the other and because every pixel has one scene. A stored fill value only says "never
written"; whether a pixel was observed is a matter of the array `scene` of its tile, never of the fill.
"""

from __future__ import annotations

from core.errors import ConfigError
from core.sensors.sensor import Band, Sensor, nearest

_PASSES = {"": "", "_asc": ", ascending passes", "_desc": ", descending passes"}


def _reflectance(name: str, what: str, standard_name: str) -> Sensor:
    return Sensor(
        name,
        (
            Band("blue", "1", f"{what}, blue", "blue"),
            Band("green", "1", f"{what}, green", "green"),
            Band("red", "1", f"{what}, red", "red"),
            Band("nir", "1", f"{what}, near infrared", "nir"),
            Band("swir1", "1", f"{what}, short-wave infrared 1.6 µm", "swir16"),
            Band("swir2", "1", f"{what}, short-wave infrared 2.2 µm", "swir22"),
        ),
        res_m=10,
        dtype="int16",
        long_name=what,
        scale_factor=1e-4,
        standard_name=standard_name,
    )


def _backscatter(symbol: str, normalisation: str, orbit: str) -> Sensor:
    what = f"radar backscatter {normalisation}{_PASSES[orbit]}"
    return Sensor(
        f"sar_{symbol}{orbit}",
        (Band("vv_db", "dB", f"{what}, VV"), Band("vh_db", "dB", f"{what}, VH")),
        res_m=10,
        dtype="int16",
        long_name=what,
        scale_factor=0.01,
        resampling="decibel",
    )


def _coherence(orbit: str) -> Sensor:
    what = f"interferometric coherence VV{_PASSES[orbit]}"
    return Sensor(
        f"coherence{orbit}",
        tuple(Band(f"coh{days:02d}", "1", f"{what}, {days} days apart") for days in (6, 12, 24, 36, 48)),
        res_m=60,
        dtype="int16",
        long_name=what,
        scale_factor=1e-4,
        static=not orbit,
    )


SENSORS: tuple[Sensor, ...] = (
    _reflectance("optical", "surface reflectance", "surface_bidirectional_reflectance"),
    _reflectance("optical_toa", "reflectance at the top of the atmosphere", "toa_bidirectional_reflectance"),
    *(_backscatter("sigma0", "σ0 (per ground area)", orbit) for orbit in _PASSES),
    *(_backscatter("gamma0", "γ0 (terrain-flattened)", orbit) for orbit in _PASSES),
    *(_coherence(orbit) for orbit in _PASSES),
    Sensor(
        "thermal",
        (Band("kelvin", "K", "surface temperature", "lwir11"),),
        res_m=30,
        dtype="int16",
        long_name="surface temperature",
        scale_factor=0.01,
        add_offset=273.15,
        standard_name="surface_temperature",
    ),
    Sensor(
        "dem",
        (
            Band("elevation_m", "m", "surface elevation above the geoid"),
            Band("slope_deg", "degree", "slope of the surface"),
        ),
        res_m=30,
        dtype="float32",
        long_name="surface elevation above the geoid and its slope",
        static=True,
        slope="slope_deg",
    ),
    Sensor(
        "dhdt",
        (
            Band("dhdt_m_a", "m year-1", "rate of elevation change"),
            Band("dhdt_sigma_m_a", "m year-1", "standard error of the rate of elevation change"),
        ),
        res_m=120,
        dtype="float32",
        long_name="rate of elevation change",
        static=True,
    ),
    Sensor(
        "velocity",
        (
            Band("v_m_a", "m year-1", "surface speed"),
            Band("vx_m_a", "m year-1", "surface velocity along the easting of the zone"),
            Band("vy_m_a", "m year-1", "surface velocity along the northing of the zone"),
        ),
        res_m=120,
        dtype="float32",
        long_name="surface velocity of ice",
        vector=("vx_m_a", "vy_m_a"),
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
