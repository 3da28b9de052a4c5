"""One measuring unit: a group of neighbouring glaciers → the rows of the release."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from core.grid import Lattice, PixelWindow, Zone
from core.inventory import unwrap_longitudes
from core.measure.glacier import Measurement, MeasureRules, MosaicWindow, measure_glacier
from core.measure.outline import tidy
from core.measure.ownership import ownerships
from core.release.schema import WITH_AREA, joined_words
from core.tiles import SceneRef

MosaicRead = tuple[MosaicWindow, tuple[SceneRef, ...], tuple[str, ...]]
ReadMosaic = Callable[[PixelWindow], MosaicRead]
_LON_LAT_DIGITS = 7  # 1 cm: far below a pixel, and the same text on every machine


@dataclass(frozen=True)
class Origin:
    """What every row says of its origin."""

    run_id: str
    model_digest: str
    year: int


def measure_group(
    members: NDArray[np.int64],
    glaciers: pd.DataFrame,
    outlines_m: NDArray[np.object_],
    tree: shapely.STRtree,
    lattice: Lattice,
    read: ReadMosaic,
    rules: MeasureRules,
    origin: Origin,
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """(row of glacier_area, rows of glacier_outline) for each member, in order.

    glaciers: inventory rows of the zone, outlines_m: the same outlines projected (see `ZoneOutlines`); read: the
    mosaic in a window, with the scenes that its `scene` counts and the sensors used there.
    """
    rows = cast("list[dict[str, Any]]", glaciers.iloc[members].to_dict("records"))
    shares = ownerships(members, outlines_m, tree, lattice, rules.advance_m)
    for inventory, (_, ownership) in zip(rows, shares, strict=True):
        mosaic, scenes, sensors = read(ownership.window)
        found = measure_glacier(ownership, mosaic, lattice, rules)
        used = [scenes[k] for k in found.scenes]
        row = area_row(inventory, found, origin, lattice.zone, used, sensors if used else ())
        yield row, outline_rows(row, found)


def area_row(
    inventory: dict[str, Any],
    found: Measurement,
    origin: Origin,
    zone: Zone | None,
    scenes: Sequence[SceneRef] = (),
    sensors: Sequence[str] = (),
) -> dict[str, Any]:
    """One row of glacier_area: every column of the schema, None where it was not measured."""
    mapped = to_lon_lat(found.geometry, zone) if found.geometry is not None and zone else None
    areas = (inventory["area_km2"], inventory["geometry_area_km2"])
    return {
        "rgi_id": inventory["rgi_id"],
        "o1region": inventory["o1region"],
        "o2region": inventory["o2region"],
        "glac_name": inventory["glac_name"],
        "cenlon": inventory["cenlon"],
        "cenlat": inventory["cenlat"],
        "year": origin.year,
        "status": found.status,
        "status_reason": found.reason,
        "area_km2": found.area_km2,
        "area_sigma_km2": found.area_sigma_km2,
        "area_expected_km2": found.area_expected_km2,
        "area_inventory_km2": next((a for a in areas if not pd.isna(a)), None),
        "inventory_date": inventory["src_date"],
        "area_debris_km2": None,
        "area_clean_ice_km2": None,
        "area_advance_km2": found.area_advance_km2,
        "area_loss_km2": found.area_loss_km2,
        "observed_fraction": found.observed_fraction,
        "scene_date_min": min((scene.date for scene in scenes), default=None),
        "scene_date_max": max((scene.date for scene in scenes), default=None),
        "scenes": joined_words(scene.id for scene in scenes),
        "sensors": joined_words(sensors),
        "zmin_m": None,
        "zmax_m": None,
        "zmed_m": None,
        "zmean_m": None,
        "slope_deg": None,
        "aspect_deg": None,
        "term_type": inventory["term_type"],
        "termlon": None,
        "termlat": None,
        "term_elev_m": None,
        "n_parts": None if mapped is None else int(shapely.get_num_geometries(mapped)),
        "flags": joined_words(found.flags),
        "run_id": origin.run_id,
        "model_digest": origin.model_digest,
        "geometry": mapped if found.status in WITH_AREA else inventory["geometry"],
    }


def outline_rows(row: dict[str, Any], found: Measurement) -> list[dict[str, Any]]:
    """The rows of glacier_outline: one per part of a mapped outline; class `glacier`, as no classes are told apart."""
    if found.geometry is None:
        return []
    parts = shapely.get_parts(row["geometry"])
    # Planar degrees shrink alike within one glacier, so they divide its area well enough among its parts.
    share = shapely.area(parts) / shapely.area(parts).sum()
    return [
        {
            "rgi_id": row["rgi_id"],
            "o1region": row["o1region"],
            "year": row["year"],
            "part": k,
            "class": "glacier",
            "area_km2": float(share[k] * row["area_km2"]),
            "run_id": row["run_id"],
            "geometry": part,
        }
        for k, part in enumerate(parts)
    ]


def to_lon_lat(geometry: shapely.Geometry, zone: Zone) -> shapely.Geometry:
    """Zone metres → EPSG:4326, continuous longitudes with 7 decimals; rounding may close a gap, so it is tidied."""
    lon_lat = unwrap_longitudes(zone.unproject(np.array([geometry], dtype=object)))
    rounded = shapely.transform(lon_lat, lambda xy: np.round(xy, _LON_LAT_DIGITS))
    return tidy(shapely.get_parts(rounded))
