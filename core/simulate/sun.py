"""The sun over a SIMULATED site: where it stands, how it lights each slope, and what lies in cast shadow."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from pyproj import Proj
from scipy import ndimage

from core.grid import Zone
from core.simulate.noise import F32, ramp

_OVERPASS_HOUR = 10.5  # local solar time of Landsat and Sentinel-2, nearly


@dataclass(frozen=True)
class Sun:
    """bearing_deg: clockwise from the grid's north, towards the sun; elevation_deg above the horizon."""

    bearing_deg: float
    elevation_deg: float

    @property
    def step(self) -> tuple[float, float]:
        """(rows, columns) of one pixel towards the sun."""
        bearing = np.radians(self.bearing_deg)
        return float(-np.cos(bearing)), float(np.sin(bearing))


def sun_over(zone: Zone, lon: float, lat: float, date: dt.date) -> Sun:
    """Position at 10:30 local solar time; the bearing is from the north of the zone's grid."""
    sun = sun_at(lat, date)
    convergence = Proj(zone.crs).get_factors(lon, lat).meridian_convergence
    return Sun(float((sun.bearing_deg - convergence) % 360.0), sun.elevation_deg)


def sun_at(lat: float, date: dt.date, hour: float = _OVERPASS_HOUR) -> Sun:
    """Position at `hour` of local solar time, from Cooper's declination (1969), good to a degree; true north."""
    day = date.timetuple().tm_yday
    declination = np.radians(23.45 * np.sin(2.0 * np.pi * (284 + day) / 365.0))
    angle, phi = np.radians(15.0 * (hour - 12.0)), np.radians(lat)
    up = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(angle)
    north = np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(angle)
    east = -np.cos(declination) * np.sin(angle)
    return Sun(float(np.degrees(np.arctan2(east, north))), float(np.degrees(np.arcsin(up))))


def illumination(surface: F32, pixel_m: float, sun: Sun) -> tuple[F32, F32]:
    """(direct, sky): sunlight relative to flat open ground with cast shadows, and the visible share of the sky."""
    down_south, east = np.gradient(surface, pixel_m)
    bearing, elevation = np.radians(sun.bearing_deg), np.radians(sun.elevation_deg)
    norm = np.sqrt(1.0 + east**2 + down_south**2)
    towards = -east * np.sin(bearing) + down_south * np.cos(bearing)
    cosine = (np.cos(elevation) * towards + np.sin(elevation)) / norm
    direct = np.clip(cosine, 0.0, None) / np.sin(elevation) * (1.0 - cast_shadow(surface, pixel_m, sun))
    return direct.astype(np.float32), (0.5 + 0.5 / norm).astype(np.float32)


def cast_shadow(surface: F32, pixel_m: float, sun: Sun) -> F32:
    """Share of the direct sun that terrain towards the sun takes away, float32.

    The surface is turned so that the sun shines along its rows; then a running maximum of z + distance · tan(elevation)
    finds everything below a ray in one pass.
    """
    n = int(np.ceil(np.hypot(*surface.shape))) + 2
    rows, cols = sun.step
    centre = (np.array(surface.shape) - 1.0) / 2.0
    turn = np.array([[rows, -cols], [cols, rows]])  # (towards the sun, across) → (row, column)
    turned = ndimage.affine_transform(
        surface, turn, centre - turn @ np.full(2, (n - 1) / 2.0), output_shape=(n, n), order=1, mode="nearest"
    )
    ray = (
        turned - (np.arange(n, dtype=np.float32) * np.float32(pixel_m * np.tan(np.radians(sun.elevation_deg))))[:, None]
    )
    hidden = np.maximum.accumulate(ray[::-1], axis=0)[::-1] - ray
    back = ndimage.affine_transform(
        hidden, turn.T, np.full(2, (n - 1) / 2.0) - turn.T @ centre, output_shape=surface.shape, order=1, mode="nearest"
    )
    return ramp(back, 1.0, 0.35 * pixel_m)
