"""Zones: the projected grids that glaciers live in.

A zone is a UTM zone and hemisphere, or UPS beyond 84° N / 80° S, computed from the representative point alone.
The Norway and Svalbard exceptions of UTM are deliberately ignored: areas are geodesic, so all that matters is that
one glacier has one zone and that everybody computes the same one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from threading import get_ident

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Proj, Transformer

from core.errors import ConfigError

UPS_NORTH_LAT = 84.0
UPS_SOUTH_LAT = -80.0
_NAME = re.compile(r"^(?:utm(0[1-9]|[1-5][0-9]|60)([ns])|ups([ns]))$")


@dataclass(frozen=True, order=True)
class Zone:
    """One projected grid, named `utm32n`, `utm59s`, `upsn` or `upss`.

    Raises ConfigError for any other name.
    """

    name: str

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ConfigError(f"zone {self.name!r}", expected="utm01n … utm60s, upsn or upss")

    @property
    def polar(self) -> bool:
        return self.name.startswith("ups")

    @property
    def north(self) -> bool:
        return self.name.endswith("n")

    @property
    def number(self) -> int:
        """UTM zone number 1–60, 0 for UPS."""
        return 0 if self.polar else int(self.name[3:5])

    @property
    def epsg(self) -> int:
        if self.polar:
            return 32661 if self.north else 32761
        return (32600 if self.north else 32700) + self.number

    @property
    def central_meridian_deg(self) -> float:
        return 0.0 if self.polar else 6.0 * self.number - 183.0

    @cached_property
    def crs(self) -> CRS:
        """EPSG 326xx / 327xx / 32661 / 32761; axis order easting, northing wherever `transform` is used."""
        return CRS.from_epsg(self.epsg)

    def project(self, geometry: NDArray[np.object_]) -> NDArray[np.object_]:
        """Project EPSG:4326 geometries (shapely array, lon/lat in degrees) to metres in this zone.

        Longitudes may be beyond ±180: both sides of the antimeridian land beside each other in zones 1 and 60.
        """
        return _transform(geometry, _transformer(self.epsg, inverse=False))

    def unproject(self, geometry: NDArray[np.object_]) -> NDArray[np.object_]:
        """Inverse of `project`. Longitudes are continuous around a UTM zone, so they may pass ±180.

        Those of a polar zone are in [−180, 180] and jump at 180°: `core.inventory.unwrap_longitudes` has to follow.
        """
        lon0 = self.central_meridian_deg
        polar = self.polar

        def inverse(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            lon, lat = _transformer(self.epsg, inverse=True).transform(xy[:, 0], xy[:, 1])
            if not polar:
                lon = (np.asarray(lon) - lon0 + 180.0) % 360.0 - 180.0 + lon0
            return np.column_stack([lon, lat])

        return np.asarray(shapely.transform(geometry, inverse), dtype=object)

    def project_points(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Degrees → (easting, northing) in metres."""
        x, y = _transformer(self.epsg, inverse=False).transform(lon, lat)
        return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)

    def unproject_points(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(easting, northing) in metres → degrees, longitude in [−180, 180]."""
        lon, lat = _transformer(self.epsg, inverse=True).transform(x, y)
        return np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)

    def areal_scale(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Area in the projection over that on the ellipsoid, at points in degrees."""
        return np.asarray(_proj(self.epsg, get_ident()).get_factors(lon, lat).areal_scale)

    def convergence_deg(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Meridian convergence at points in degrees: see `core.terrain.convergence_deg`."""
        return np.asarray(_proj(self.epsg, get_ident()).get_factors(lon, lat).meridian_convergence)


def home_zones(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.str_]:
    """Zone names of representative points in degrees; any longitude, wrapped. Vectorised.

    Raises ConfigError if a coordinate is not finite or a latitude is beyond ±90.
    """
    lon, lat = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
    bad = ~(np.isfinite(lon) & np.isfinite(lat) & (np.abs(lat) <= 90.0))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ConfigError(f"representative point {i}", found=f"({lon[i]}, {lat[i]})", expected="degrees, |lat| ≤ 90")
    number = np.floor((lon + 180.0) / 6.0).astype(np.int64) % 60 + 1
    names = np.char.add(np.char.add("utm", np.char.zfill(number.astype(str), 2)), np.where(lat >= 0, "n", "s"))
    names = np.where(lat > UPS_NORTH_LAT, "upsn", names)
    return np.where(lat < UPS_SOUTH_LAT, "upss", names).astype(np.str_)


def home_zone(lon: float, lat: float) -> Zone:
    """The zone of one representative point in degrees."""
    return Zone(str(home_zones(np.array([lon]), np.array([lat]))[0]))


@lru_cache(maxsize=256)
def _transformer(epsg: int, *, inverse: bool) -> Transformer:
    source, target = (epsg, 4326) if inverse else (4326, epsg)
    return Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=256)
def _proj(epsg: int, thread: int) -> Proj:
    """Kept for each thread: unlike transformers, two of them must not share one."""
    del thread
    return Proj(CRS.from_epsg(epsg))


def _transform(geometry: NDArray[np.object_], transformer: Transformer) -> NDArray[np.object_]:
    def apply(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))

    return np.asarray(shapely.transform(geometry, apply), dtype=object)
