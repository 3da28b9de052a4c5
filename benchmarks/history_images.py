"""Images of a SIMULATED landscape in several years, as GeoTIFFs: optical, radar, thermal, coherence, elevation.

A year is seen on one day near the end of the season of melt, without cloud; some images have gaps, as old sensors do.
There is one elevation model for all years, of the middle one. Deterministic: the same landscapes give the same files.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from core.errors import ConfigError
from core.grid import Zone
from core.sensors import sensor as registered
from core.simulate.files import write_raster
from core.simulate.land.ice import YEARS
from core.simulate.land.land import Land
from core.simulate.noise import stream
from core.simulate.sense.day import Day, draw_date, see_day
from core.simulate.sense.ground import elevation
from core.simulate.sense.optical import look
from core.simulate.sense.radar import listen
from core.simulate.sense.thermal import warmth

SENSORS = ("optical", "sar_sigma0", "thermal", "coherence", "dem")
_LATE_SUMMER = 245  # day of the year, as `core.simulate.sense.day.draw_date`; half a year later in the south
_AROUND_DAYS = 35
_CLEAR_DAYS = 2
_DAYS_OF_YEAR = 100  # numbers of days that each year has for itself
# Reflectance in steps of 1e-4, as archives have it; all else as it is.
REFLECTANCE = 1e-4


def write_images(folder: Path, lands: Mapping[int, Land], zone: Zone, transform: Affine) -> dict[int, dt.date]:
    """GeoTIFFs of every sensor and year; returns the day of each year. transform: pixels → metres of the zone."""
    dates = {}
    for k, (year, land) in enumerate(lands.items()):
        number, day = late_summer_day(land, _DAYS_OF_YEAR * k)
        dates[year] = day.date.replace(year=year)
        for sensor, values in _seen(land, day, number):
            if sensor == "dem" and year != dem_year():
                continue
            data, nodata = (_counts(values), 0.0) if sensor == "optical" else (values, float("nan"))
            names = registered(sensor).band_names[: len(data)]
            tags = {"SEED": str(land.seed), "YEAR": str(year)}
            write_raster(folder / image_path(sensor, year), data, transform, zone, nodata, names, tags)
    return dates


def late_summer_day(land: Land, first: int) -> tuple[int, Day]:
    """Number and view of a day near the end of the season of melt without cloud: of the first two from number
    `first` on, the one with less snow beside the glaciers. Raises ConfigError if there is none."""
    middle = _LATE_SUMMER + (182 if land.place.south else 0)
    best: tuple[float, int, Day] | None = None
    seen = 0
    for number in range(first, first + _DAYS_OF_YEAR):
        date = draw_date(land.place, stream(land.seed, "day", str(number)))
        if abs((date.timetuple().tm_yday - middle + 182) % 365 - 182) > _AROUND_DAYS:
            continue
        day = see_day(land, number)
        if day.cloud != "clear":
            continue
        snow = float(day.snow[land.glacier < 0.5].mean())
        if best is None or snow < best[0]:
            best = (snow, number, day)
        seen += 1
        if seen == _CLEAR_DAYS:
            break
    if best is None:
        raise ConfigError(f"simulated world {land.seed}", found="no clear day of late summer", fix="take another seed")
    return best[1], best[2]


def _seen(land: Land, day: Day, number: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """(sensor, (band, px, px)) as `core.simulate.chips` makes them."""
    optical = look(land, day, number)
    yield "optical", optical.surface
    yield "thermal", warmth(land, day, optical, number)
    up, down = (listen(land, day, optical, number, descending) for descending in (False, True))
    yield "sar_sigma0", (up, down)[int(stream(land.seed, "pass").integers(2))].sigma0
    yield "coherence", (0.5 * (up.coherence + down.coherence)).astype(np.float32)
    yield "dem", elevation(land)[:1]


def _counts(reflectance: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Reflectance in steps, 0 where it was not observed."""
    counts = np.clip(np.rint(reflectance / REFLECTANCE), 1, np.iinfo(np.uint16).max)
    return np.where(np.isfinite(reflectance), counts, 0).astype(np.uint16)


def dem_year() -> int:
    """All years are mapped with the one elevation model that there is, of the middle one."""
    return YEARS[len(YEARS) // 2]


def image_path(sensor: str, year: int) -> str:
    return f"scenes/{sensor}-{dem_year() if sensor == 'dem' else year}.tif"
