"""The day on which SIMULATED land is seen: date, sun, temperature, where snow lies and what cloud hides."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from core.simulate.cloud import Sky, make_sky
from core.simulate.land.land import Land
from core.simulate.land.place import Place
from core.simulate.noise import F32, fractal, ramp, stream
from core.simulate.sun import Sun, illumination, sun_at

LAPSE_C_PER_M = -0.0065
_LOWEST_SUN_DEG = 14.0


@dataclass(frozen=True)
class Day:
    """(h, w) float32 shares unless said otherwise. direct, open_sky: light relative to flat open ground; snow: of the
    ground and of the ice under snow of the season; fresh: 0 old … 1 new; wet: share of it that melts; air_c: °C;
    cloud: how the mask treats it, one of `clear`, `masked`, `ragged` (its edges are missed), `missed`."""

    date: dt.date
    sun: Sun
    direct: F32
    open_sky: F32
    snow: F32
    fresh: float
    wet: F32
    air_c: F32
    season_c: float
    sky: Sky
    cloud: str


def draw_date(place: Place, rng: np.random.Generator) -> dt.date:
    """Mostly the end of the season of melt, as an inventory asks for; else any day on which the sun is up."""
    for _ in range(50):
        day = int(rng.normal(245.0, 18.0)) if rng.random() < 0.55 else int(rng.integers(1, 366))
        day = (day + (182 if place.south else 0) - 1) % 365 + 1
        date = dt.date(2023, 1, 1) + dt.timedelta(days=day - 1)
        if sun_at(place.lat, date).elevation_deg > _LOWEST_SUN_DEG:
            return date
    return dt.date(2023, 1 if place.south else 7, 15)


def see_day(land: Land, number: int) -> Day:
    """The `number`-th day of a landscape."""
    place, res_m, shape = land.place, land.res_m, (land.px, land.px)
    rng = stream(land.seed, "day", str(number))
    date = draw_date(place, rng)
    sun = sun_at(place.lat, date)
    direct, open_sky = illumination(land.surface_m, res_m, sun)
    # Phase of the year: 1 at midsummer, a month after the longest day.
    phase = float(np.cos(2.0 * np.pi * (date.timetuple().tm_yday - (20 if place.south else 202)) / 365.0))
    season_c = place.warmth_c - place.swing_c * (1.0 - phase) + float(rng.normal(0.0, 2.0))
    above = -land.below_ela_m
    air = (season_c + LAPSE_C_PER_M * above).astype(np.float32)
    snow, fresh = _lay_snow(land, season_c, above, rng)
    wet = ramp(air + 2.5 * np.clip(direct - 1.0, -1.0, 1.0), -1.0, 2.5)
    kind = str(rng.choice(["clear", "masked", "ragged", "missed"], p=[0.66, 0.16, 0.12, 0.06]))
    none = np.zeros(shape, dtype=bool)
    share = 0.0 if kind == "clear" else float(rng.uniform(0.02, 0.22 if kind != "missed" else 0.1))
    sky = make_sky(shape, res_m, sun, share, rng, none, none, False)
    if kind == "clear":
        nothing = np.zeros(shape, dtype=np.float32)
        sky = Sky(nothing, nothing, np.ones(shape, dtype=np.uint8))
    return Day(date, sun, direct, open_sky, snow, fresh, wet, air, season_c, sky, kind)


def _lay_snow(land: Land, season_c: float, above_ela_m: F32, rng: np.random.Generator) -> tuple[F32, float]:
    """(share of snow, freshness). The line follows the 0 °C height of the past weeks; snow stays on slopes away from
    the midday sun and in hollows, slides off steep faces, and goes last where it was blown together."""
    shape = (land.px, land.px)
    gy, gx = np.gradient(ndimage.gaussian_filter(land.surface_m, 60.0 / land.res_m), land.res_m)
    slope = np.hypot(gx, gy)
    poleward = np.clip((gy if not land.place.south else -gy) / np.maximum(slope, 0.3), -1.0, 1.0)
    line = np.clip(season_c / -LAPSE_C_PER_M, -2500.0, 600.0) * float(rng.uniform(0.7, 1.0)) + float(
        rng.normal(0.0, 120.0)
    )
    fresh = float(rng.beta(1.2, 4.0))
    kind = rng.random()
    if kind < 0.12:  # a fall of the last days covers everything or all but the lowest ground
        line, fresh = line - float(rng.uniform(500.0, 2500.0)), float(rng.uniform(0.7, 1.0))
    elif kind < 0.62:  # dry winds, or a late summer without snow
        line = max(line, float(rng.uniform(-100.0, 250.0)))
    wander = 60.0 * fractal(shape, rng, 2.6, 1500.0 / land.res_m)
    height = above_ela_m + float(rng.uniform(80.0, 260.0)) * poleward + 90.0 * land.hollow + wander
    # New snow sticks to steeper faces than old snow.
    holds = ramp(slope, 1.5 + 0.7 * fresh, 0.8 + 0.3 * fresh)
    width = float(rng.uniform(40.0, 220.0))
    snow = ramp(height - np.float32(line), -width, width) * holds
    # Debris and dark ground melt it out first.
    snow = snow * (1.0 - 0.35 * land.debris.cover * land.glacier * (1.0 - fresh))
    thin = 0.12 * fractal(shape, rng, 1.8, 300.0 / land.res_m)
    snow = np.clip(snow + thin * (snow > 0.02) * (snow < 0.98), 0.0, 1.0) * (1.0 - land.sea)
    return np.asarray(snow, dtype=np.float32), fresh
