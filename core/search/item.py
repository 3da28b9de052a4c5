"""What a search reads from a STAC item itself: where it lies, when it was, how cloudy; dictionaries throughout."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import Any

import shapely
from shapely.errors import GEOSException
from shapely.geometry.base import BaseGeometry

Box = tuple[float, float, float, float]
WHOLE_TURN_DEG = 359.9  # wider than this is around the globe, and not across 180°


def item_boxes(item: Mapping[str, Any]) -> tuple[Box, ...]:
    """Boxes (w, s, e, n in degrees, w ≤ e) of its `bbox`, else of its geometry; two across 180°, none if unknown."""
    bbox = item.get("bbox")
    try:
        if isinstance(bbox, list) and len(bbox) in (4, 6):
            half = len(bbox) // 2
            return split_box((float(bbox[0]), float(bbox[1]), float(bbox[half]), float(bbox[half + 1])))
        geometry = item_geometry(item)
        return () if geometry is None else tuple(tuple(b) for b in shapely.bounds(shapely.get_parts(geometry)).tolist())
    except (TypeError, ValueError):
        return ()


def item_geometry(item: Mapping[str, Any]) -> BaseGeometry | None:
    """Its footprint in EPSG:4326 as it is written; None if it has none that can be read."""
    if not isinstance(item.get("geometry"), Mapping):
        return None
    try:
        geometry = shapely.from_geojson(json.dumps(item["geometry"]))
    except (GEOSException, TypeError, ValueError):
        return None
    return None if geometry.is_empty else geometry


def split_box(box: Box) -> tuple[Box, ...]:
    """A box that crosses 180° (w > e, or a side beyond ±180) → two within ±180; others as they are."""
    w, s, e, n = box
    if w > e:
        e += 360.0
    if e - w >= WHOLE_TURN_DEG:
        return ((-180.0, s, 180.0, n),)
    if w < -180.0 or w >= 180.0:
        turn = 360.0 * math.floor((w + 180.0) / 360.0)
        w, e = w - turn, e - turn
    return ((w, s, e, n),) if e <= 180.0 else ((w, s, 180.0, n), (-180.0, s, e - 360.0, n))


def item_times(item: Mapping[str, Any]) -> tuple[float, float]:
    """(first, last) second since 1970 of `start_datetime` and `end_datetime`, else of `datetime`; −∞ and ∞ where it
    does not say."""
    properties = item.get("properties") or {}
    at = _seconds(properties.get("datetime"))
    first, last = _seconds(properties.get("start_datetime")), _seconds(properties.get("end_datetime"))
    if first is None and last is None:
        return (-math.inf, math.inf) if at is None else (at, at)
    return -math.inf if first is None else first, math.inf if last is None else last


def cloudier(item: Mapping[str, Any], max_cloud_percent: float | None) -> bool:
    """Whether its metadata call the item cloudier; what they do not say is no cloud."""
    if max_cloud_percent is None:
        return False
    cloud = (item.get("properties") or {}).get("eo:cloud_cover")
    return isinstance(cloud, (int, float)) and cloud > max_cloud_percent


def _seconds(text: object) -> float | None:
    try:
        time = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()
