"""The outlines of one zone, projected: the glaciers at home there and their neighbours from other zones and regions.

A neighbour across a zone border is known in both lattices, and one of a region that the run does not measure is known
too, so that ice next to it is not taken for an advance and shared pixels are divided the same way in every run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from core.grid import Zone

_M_PER_DEG = 111_320.0


@dataclass(frozen=True)
class ZoneOutlines:
    """glaciers: normalised inventory rows in lon/lat, sorted by rgi_id, home ones and neighbours;
    outline_m: the same outlines in zone metres; home: False for neighbours; group: measuring unit, "" for neighbours.
    """

    zone: Zone
    glaciers: gpd.GeoDataFrame
    outline_m: NDArray[np.object_]
    home: NDArray[np.bool_]
    group: NDArray[np.object_]

    @cached_property
    def tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.outline_m)

    @property
    def home_outlines(self) -> NDArray[np.object_]:
        return self.outline_m[self.home]

    def members(self, group: str) -> NDArray[np.int64]:
        """Rows of one measuring unit."""
        return np.flatnonzero(self.group == group)


def zone_outlines(
    glaciers: gpd.GeoDataFrame, near_m: float, neighbours: gpd.GeoDataFrame | None = None
) -> list[ZoneOutlines]:
    """Project every glacier without a problem into its home zone, with the neighbours within `near_m`.

    neighbours: others that are at home nowhere in this run. Groups are left empty. Vectorised per zone; glaciers with
    `problem` are left out.
    """
    sound = glaciers[glaciers["problem"].isna()].reset_index(drop=True)
    asked = np.ones(len(sound), dtype=bool)
    if neighbours is not None and len(neighbours):
        both = pd.concat([sound, neighbours], ignore_index=True)
        # Ties are broken by this order, which must be that of a run over all regions.
        order = np.argsort(both["rgi_id"].to_numpy(dtype=object), kind="stable")
        asked = order < len(sound)
        sound = gpd.GeoDataFrame(both.iloc[order].reset_index(drop=True), crs=glaciers.crs)
    zones = sound["zone"].to_numpy(dtype=str)
    geometry = sound.geometry.to_numpy()
    bounds = shapely.bounds(geometry)
    homes = np.unique(zones[asked])
    return [_one(Zone(str(name)), sound, asked & (zones == name), bounds, near_m) for name in homes]


def _one(
    zone: Zone, sound: gpd.GeoDataFrame, home: NDArray[np.bool_], bounds: NDArray[np.float64], near_m: float
) -> ZoneOutlines:
    geometry = sound.geometry.to_numpy()
    own = project_outlines(zone, geometry[home])
    reach = near_m + 1.0
    around = _reachable(zone, bounds, home, reach)
    strangers = np.flatnonzero(around & ~home)
    theirs = project_outlines(zone, geometry[strangers])
    if len(strangers):
        tree = shapely.STRtree(own)
        close = np.unique(tree.query(theirs, predicate="dwithin", distance=reach)[0])
        strangers, theirs = strangers[close], theirs[close]
    rows = np.concatenate([np.flatnonzero(home), strangers])
    order = np.argsort(rows, kind="stable")  # the inventory is sorted by rgi_id, and ties are broken by this order
    is_home = np.concatenate([np.ones(int(home.sum()), dtype=bool), np.zeros(len(strangers), dtype=bool)])
    return ZoneOutlines(
        zone=zone,
        glaciers=sound.iloc[rows[order]].reset_index(drop=True),
        outline_m=np.concatenate([own, theirs])[order],
        home=is_home[order],
        group=np.full(len(rows), "", dtype=object),
    )


def project_outlines(zone: Zone, geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """Lon/lat outlines → valid polygons in zone metres; a ring that projection made touch itself is mended."""
    projected = zone.project(geometry)
    bad = ~shapely.is_valid(projected)
    if bad.any():
        projected[bad] = shapely.make_valid(projected[bad], method="structure", keep_collapsed=False)
    return projected


def _reachable(zone: Zone, bounds: NDArray[np.float64], home: NDArray[np.bool_], reach_m: float) -> NDArray[np.bool_]:
    """Glaciers whose lon/lat box comes near the home glaciers: a cheap first sieve, generous by a degree's cosine."""
    xmin, ymin, xmax, ymax = bounds.T
    margin_lat = reach_m / _M_PER_DEG
    low, high = ymin[home].min() - margin_lat, ymax[home].max() + margin_lat
    by_lat = (ymax >= low) & (ymin <= high)
    if zone.polar:
        return np.asarray(by_lat)
    lon0 = zone.central_meridian_deg

    def wrapped(lon: NDArray[np.float64]) -> NDArray[np.float64]:
        return (lon - lon0 + 180.0) % 360.0 - 180.0

    middle, half = wrapped((xmin + xmax) / 2), (xmax - xmin) / 2
    margin = reach_m / (_M_PER_DEG * np.cos(np.radians(np.minimum(89.0, max(abs(low), abs(high))))))
    left = (middle - half)[home].min() - margin
    right = (middle + half)[home].max() + margin
    return np.asarray(by_lat & (middle + half >= left) & (middle - half <= right))
