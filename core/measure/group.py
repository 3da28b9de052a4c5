"""One measuring unit: a group of neighbouring glaciers → the rows of the release."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from core.grid import Lattice, PixelWindow, Zone
from core.inventory import unwrap_longitudes
from core.measure.glacier import Measurement, MosaicWindow, measure_glacier, no_layers
from core.measure.hypsometry import hypsometry_rows
from core.measure.outline import tidy
from core.measure.ownership import ownerships
from core.measure.rules import MeasureRules
from core.release.measures import area_km2, perimeter_km
from core.release.schema import AREA, FRONT, HYPSOMETRY, OUTLINE, SURFACE, WITH_AREA, joined_words
from core.tiles import SceneRef

MosaicRead = tuple[MosaicWindow, tuple[SceneRef, ...], tuple[str, ...]]
ReadMosaic = Callable[[PixelWindow], MosaicRead]
ReadGround = Callable[[PixelWindow, Collection[str]], Mapping[str, NDArray[np.float32]]]
Row = dict[str, Any]
# Bounds what glaciers hold in memory until their rows are made.
_BATCH_PX = 1 << 20
_LON_LAT_DIGITS = 7  # 1 cm: far below a pixel, and the same text on every machine


@dataclass(frozen=True)
class Origin:
    """What every row says of its origin."""

    run_id: str
    model_digest: str
    year: int


def no_ground(window: PixelWindow, names: Collection[str]) -> Mapping[str, NDArray[np.float32]]:
    """For runs that have nothing but the probability."""
    del window
    return no_layers(names)


def measure_group(
    members: NDArray[np.int64],
    glaciers: pd.DataFrame,
    outlines_m: NDArray[np.object_],
    tree: shapely.STRtree,
    lattice: Lattice,
    read: ReadMosaic,
    rules: MeasureRules,
    origin: Origin,
    ground: ReadGround = no_ground,
) -> Iterator[dict[str, list[Row]]]:
    """For each member, in order: table → its rows; one row of glacier_area, any number of the others.

    glaciers: inventory rows of the zone, outlines_m: the same outlines projected (see `ZoneOutlines`); read: the
    mosaic in a window, with the scenes that its `scene` counts and the sensors used there; ground: layers in a window.
    """
    rows = cast("list[Row]", glaciers.iloc[members].to_dict("records"))
    foreign = (glaciers["zone"] != lattice.zone.name).to_numpy(dtype=bool)
    shares = ownerships(members, outlines_m, tree, lattice, rules.advance_m, foreign)
    done: list[_Done] = []
    pixels = 0
    for inventory, (_, ownership) in zip(rows, shares, strict=True):
        mosaic, scenes, sensors = read(ownership.window)
        term_type: int | None = None if pd.isna(inventory["term_type"]) else int(inventory["term_type"])
        found = measure_glacier(ownership, mosaic, lattice, rules, partial(ground, ownership.window), term_type)
        used = [scenes[k] for k in found.scenes]
        done.append(_Done(inventory, found, used, sensors if used else ()))
        pixels += ownership.window.size
        if pixels > _BATCH_PX:
            yield from _tables(done, origin, lattice.zone)
            done, pixels = [], 0
    yield from _tables(done, origin, lattice.zone)


class _Done(NamedTuple):
    """A measured glacier, the scenes and the sensors that show it."""

    inventory: Row
    found: Measurement
    scenes: Sequence[SceneRef]
    sensors: Sequence[str]


def _tables(done: Sequence[_Done], origin: Origin, zone: Zone) -> Iterator[dict[str, list[Row]]]:
    """Table → rows, of each glacier. Geometry is brought to degrees for all of them at once."""
    for one, found in zip(done, in_lon_lat([one.found for one in done], zone), strict=True):
        row = area_row(one.inventory, found, origin, one.scenes, one.sensors)
        yield {
            AREA: [row],
            OUTLINE: outline_rows(row, found),
            HYPSOMETRY: hypsometry_rows(row, found.attributes.hypsometry),
            FRONT: front_rows(row, found),
            SURFACE: surface_rows(row, found),
        }


def area_row(
    inventory: dict[str, Any],
    found: Measurement,
    origin: Origin,
    scenes: Sequence[SceneRef] = (),
    sensors: Sequence[str] = (),
) -> dict[str, Any]:
    """One row of glacier_area: every column of the schema, None where it was not measured. found: in degrees."""
    mapped, cover, calving = found.geometry, found.cover, found.calving
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
        "area_sigma_boundary_km2": None if found.sigma is None else found.sigma.boundary,
        "area_sigma_model_km2": None if found.sigma is None else found.sigma.model,
        "area_sigma_hidden_km2": None if found.sigma is None else found.sigma.hidden,
        "area_expected_km2": found.area_expected_km2,
        "area_inventory_km2": next((a for a in areas if not pd.isna(a)), None),
        "inventory_date": inventory["src_date"],
        "area_debris_km2": None if cover is None else cover.area_debris_km2,
        "area_clean_ice_km2": None if cover is None else cover.area_clean_ice_km2,
        "area_lake_km2": None if cover is None else cover.area_lake_km2,
        "area_advance_km2": found.area_advance_km2,
        "area_loss_km2": found.area_loss_km2,
        "observed_fraction": found.observed_fraction,
        "scene_date_min": min((scene.date for scene in scenes), default=None),
        "scene_date_max": max((scene.date for scene in scenes), default=None),
        "scenes": joined_words(scene.id for scene in scenes),
        "sensors": joined_words(sensors),
        "zmin_m": found.attributes.zmin_m,
        "zmax_m": found.attributes.zmax_m,
        "zmed_m": found.attributes.zmed_m,
        "zmean_m": found.attributes.zmean_m,
        "slope_deg": found.attributes.slope_deg,
        "aspect_deg": found.attributes.aspect_deg,
        "lmax_m": found.attributes.lmax_m,
        "term_type": inventory["term_type"],
        "termlon": found.attributes.termlon,
        "termlat": found.attributes.termlat,
        "term_elev_m": found.attributes.term_elev_m,
        "front_length_m": None if calving is None else calving.length_m,
        "front_change_m": None if calving is None else calving.change_m,
        "n_parts": None if mapped is None else int(shapely.get_num_geometries(mapped)),
        "flags": joined_words(found.flags),
        "run_id": origin.run_id,
        "model_digest": origin.model_digest,
        "geometry": mapped if found.status in WITH_AREA else inventory["geometry"],
    }


def outline_rows(row: Row, found: Measurement) -> list[Row]:
    """The rows of glacier_outline: one per part of a mapped outline; class `glacier`, as no classes are told apart.

    The parts add up to the glacier. Ice beyond the outline lies in the pixels along it, so it is divided by the length
    of the rims; what was drawn but not counted, by area.
    """
    if found.geometry is None:
        return []
    parts = shapely.get_parts(row["geometry"])
    drawn, rim = area_km2(parts), perimeter_km(parts)
    beyond = max(0.0, row["area_km2"] - float(drawn.sum()))
    area = (row["area_km2"] - beyond) * drawn / drawn.sum() + beyond * rim / rim.sum()
    return [
        {
            "rgi_id": row["rgi_id"],
            "o1region": row["o1region"],
            "year": row["year"],
            "part": k,
            "class": "glacier",
            "area_km2": float(area[k]),
            "run_id": row["run_id"],
            "geometry": part,
        }
        for k, part in enumerate(parts)
    ]


def front_rows(row: Row, found: Measurement) -> list[Row]:
    """The row of glacier_front of a glacier that ends in water."""
    if found.calving is None:
        return []
    return [
        {
            **_origin_of(row),
            "front_length_m": found.calving.length_m,
            "front_change_m": found.calving.change_m,
            "front_observed_fraction": found.calving.observed_fraction,
            "water": found.calving.water,
            "water_source": found.calving.source,
            "geometry": found.calving.line,
        }
    ]


def surface_rows(row: Row, found: Measurement) -> list[Row]:
    """The rows of glacier_surface: one per class that occurs and is large enough for an outline."""
    if found.cover is None:
        return []
    areas = {
        "clean_ice": found.cover.area_clean_ice_km2,
        "debris": found.cover.area_debris_km2,
        "lake": found.cover.area_lake_km2,
    }
    return [
        {**_origin_of(row), "class": name, "area_km2": areas[name], "geometry": shape}
        for name, shape in found.surfaces.items()
        if not shapely.is_empty(shape)
    ]


def _origin_of(row: Row) -> Row:
    return {name: row[name] for name in ("rgi_id", "o1region", "year", "run_id")}


def _rounded(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round(xy, _LON_LAT_DIGITS)


def in_lon_lat(found: Sequence[Measurement], zone: Zone) -> list[Measurement]:
    """The same with outline, surfaces and front in EPSG:4326, as `to_lon_lat`."""
    drawn = [shape for one in found for shape in (one.geometry, *one.surfaces.values()) if shape is not None]
    shapes = iter(to_lon_lat(np.array(drawn, dtype=object), zone))
    lines = [one.calving.line for one in found if one.calving is not None]
    fronts = iter(shapely.transform(zone.unproject(np.array(lines, dtype=object)), _rounded))
    return [
        replace(
            one,
            geometry=None if one.geometry is None else next(shapes),
            surfaces={name: next(shapes) for name in one.surfaces},
            calving=None if one.calving is None else replace(one.calving, line=next(fronts)),
        )
        for one in found
    ]


def to_lon_lat(geometry: NDArray[np.object_], zone: Zone) -> NDArray[np.object_]:
    """(Multi)polygons in zone metres → EPSG:4326, continuous longitudes with 7 decimals; rounding may close a gap, so
    they are tidied."""
    rounded = shapely.transform(unwrap_longitudes(zone.unproject(geometry)), _rounded)
    parts, of = shapely.get_parts(rounded, return_index=True)
    count = np.bincount(of, minlength=len(rounded))
    flat = np.bincount(of, weights=shapely.area(parts) <= 0, minlength=len(rounded))
    sound = shapely.is_valid(rounded) & (flat == 0) & (count > 0)
    one = sound & (count == 1)
    rounded[one] = parts[one[of]]
    for i in np.flatnonzero(~sound):
        rounded[i] = tidy(parts[of == i])
    return np.asarray(rounded, dtype=object)
