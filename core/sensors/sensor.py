"""Band and Sensor: what a tile array holds, band by band, and how it is stored. Declarative; one entry, one sensor."""

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
    the table has none. `raster`: False if its tiles are not made from scenes. static: the same for every year, so
    that its tiles belong to the epoch `static`. slope: name of the band that ingest computes from the first band,
    which is an elevation in metres, on the lattice; vector: names of the two bands that are components of a vector
    along the axes of the raster that they come from, and are turned to the axes of the zone.
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
    static: bool = False
    slope: str = ""
    vector: tuple[str, str] | None = None

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


def nearest(name: str, known: Iterable[str]) -> str:
    """The clause `did you mean …?`, or the list of what is known where nothing is near."""
    names = list(known)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
