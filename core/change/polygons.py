"""Polygons: the ground that glaciers lost and gained between two mapped outlines.

Outlines are subtracted in the metres of the glacier's home zone, so that widths are true; areas are ellipsoidal. What
is nowhere as wide as half a pixel is noise of the boundary and is dropped, also where it hangs on a wider piece
(a morphological opening): else the ground lost at a terminus would drag a thread around the whole glacier. What is left
does therefore not add up to the change of area to the last metre: the areas of the release do.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from core.grid import Zone, home_zones
from core.inventory import area_km2, unwrap_longitudes

ADVANCE, LOSS = "advance", "loss"
SLIVER_PX = 0.5
_POLYGON = 3  # shapely type id
_LON_LAT_DIGITS = 7  # as outlines are published


def change_polygons(
    first: NDArray[np.object_],
    second: NDArray[np.object_],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    sliver_m: float,
) -> pd.DataFrame:
    """What changed between outlines: a row per glacier and kind that has a piece.

    first, second: (n,) (multi)polygons in degrees as published, None or empty where nothing is left; split at 180° is
    fine. lon, lat: (n,) a point of each glacier, which says its zone. sliver_m: width below which a piece is dropped.
    Returns columns row (into the arrays), kind (`advance` | `loss`), area_km2, n_parts, geometry (degrees, continuous
    longitudes).
    """
    found = list(_by_zone(first, second, lon, lat, sliver_m))
    columns = ["row", "kind", "area_km2", "n_parts", "geometry"]
    if not found:
        return pd.DataFrame({name: [] for name in columns}).astype({"row": np.int64})
    return pd.concat(found, ignore_index=True).sort_values(["row", "kind"], ignore_index=True)[columns]


def _by_zone(
    first: NDArray[np.object_],
    second: NDArray[np.object_],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    sliver_m: float,
) -> Iterator[pd.DataFrame]:
    placed = np.flatnonzero(np.isfinite(lon) & np.isfinite(lat))
    if len(placed) == 0:
        return
    zones = home_zones(lon[placed], lat[placed])
    for name in np.unique(zones):
        rows, zone = placed[zones == name], Zone(str(name))
        then, now = _in_metres(first[rows], zone), _in_metres(second[rows], zone)
        for kind, whole, less in ((ADVANCE, now, then), (LOSS, then, now)):
            pieces, owner = _pieces(shapely.difference(whole, less), sliver_m)
            if len(pieces):
                yield _table(pieces, rows[owner], kind, zone)


def _in_metres(outlines: NDArray[np.object_], zone: Zone) -> NDArray[np.object_]:
    empty = shapely.is_missing(outlines) | shapely.is_empty(outlines)
    out = np.full(len(outlines), shapely.Polygon(), dtype=object)
    out[~empty] = zone.project(unwrap_longitudes(outlines[~empty]))
    broken = ~shapely.is_valid(out)  # rounding to centimetres can fold a corner
    out[broken] = shapely.make_valid(out[broken], method="structure", keep_collapsed=False)
    return out


def _pieces(difference: NDArray[np.object_], sliver_m: float) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Polygons of the differences where they are at least `sliver_m` wide, and the glacier of each."""
    parts, owner = _polygons(difference, np.arange(len(difference)))
    core = shapely.buffer(parts, -sliver_m / 2.0, join_style="mitre")
    wide = ~shapely.is_empty(core)
    grown = shapely.buffer(core[wide], sliver_m / 2.0, join_style="mitre")
    return _polygons(shapely.intersection(parts[wide], grown), owner[wide])


def _polygons(shapes: NDArray[np.object_], owner: NDArray[np.int64]) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """The polygons among the parts of shapes, and the owner of each."""
    parts, of = shapely.get_parts(shapes, return_index=True)
    keep = (shapely.get_type_id(parts) == _POLYGON) & (shapely.area(parts) > 0)
    return parts[keep], np.asarray(owner[of[keep]], dtype=np.int64)


def _table(pieces: NDArray[np.object_], rows: NDArray[np.int64], kind: str, zone: Zone) -> pd.DataFrame:
    degrees = unwrap_longitudes(zone.unproject(pieces))
    degrees = np.asarray(shapely.transform(degrees, lambda xy: np.round(xy, _LON_LAT_DIGITS)), dtype=object)
    who, start, parts = np.unique(rows, return_index=True, return_counts=True)
    # Pieces come glacier by glacier, in order.
    shapes = np.array(
        [
            degrees[i] if n == 1 else shapely.multipolygons(degrees[i : i + n])
            for i, n in zip(start.tolist(), parts.tolist(), strict=True)
        ],
        dtype=object,
    )
    broken = ~shapely.is_valid(shapes)
    shapes[broken] = shapely.make_valid(shapes[broken], method="structure", keep_collapsed=False)
    area = area_km2(shapes)
    table = pd.DataFrame({"row": who, "kind": kind, "area_km2": area, "n_parts": parts, "geometry": shapes})
    return table[area > 0]
