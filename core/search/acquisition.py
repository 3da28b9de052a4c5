"""Acquisition: what a STAC item says of when and by what it was taken, and which listings are the same acquisition.

Archives list an acquisition again when they process it again, with another id and often a clock some seconds off. The
key leaves out the time, so slices of one pass and halves of one tile share it: `core.search.duplicates` tells those
apart by their ground.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

Item = Mapping[str, Any]

_BASELINE = re.compile(r"_N(\d\d)(\d\d)_")
_MGRS = re.compile(r"(?:^|[_.\-])T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2})(?=[_.]|$)")
_BURST = re.compile(r"T(\d{3})-(\d{6})-(IW\d)", re.IGNORECASE)
_LANDSAT = re.compile(r"^L[COTEM]0\d_L\w{3}_\d{6}_\d{8}_(\d{8})?")
# Sentinel-1 Level 1 Detailed Algorithm Definition, § 9.25: seconds of an orbit, of the preamble, between bursts.
_ORBIT_S, _PREAMBLE_S, _BURST_S = 12 * 86400 / 175, 2.299849, 2.758273


def platform_of(item: Item) -> str:
    """In lower case with hyphens: catalogues write sentinel-2a, Sentinel-2A, LANDSAT_8."""
    return str(item["properties"].get("platform") or "").lower().replace("_", "-")


def acquired_of(item: Item) -> dt.datetime | None:
    """UTC; the middle of an interval; None if the item does not say or says no time."""
    properties = item["properties"]
    if properties.get("datetime"):
        return _time(properties["datetime"])
    start, end = _time(properties.get("start_datetime")), _time(properties.get("end_datetime"))
    return start + (end - start) / 2 if start and end else start or end


def baseline_of(item: Item) -> str:
    """The processing baseline of a Sentinel-2 item, such as 05.09; empty if it does not say."""
    properties = item["properties"]
    for key in ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version"):
        if re.fullmatch(r"\d\d\.\d\d", str(properties.get(key, ""))):
            return str(properties[key])
    for text in (str(properties.get("s2:product_uri", "")), str(item.get("id", ""))):
        if found := _BASELINE.search(text):
            return f"{found[1]}.{found[2]}"
    return ""


def orbit_state_of(item: Item) -> str:
    """ascending or descending; empty if unknown.

    Bursts are numbered from the crossing of the equator that starts the 12-day cycle of 175 orbits, so the number and
    the track give the place in the orbit: the first and the last quarter of an orbit ascend.
    """
    if state := item["properties"].get("sat:orbit_state"):
        return str(state).lower()
    burst = _BURST.search(str(item.get("id", "")))
    if burst is None:
        return ""
    since_start_s = (int(burst[2]) - 1) * _BURST_S + _PREAMBLE_S
    turn = (since_start_s / _ORBIT_S - (int(burst[1]) - 1)) % 1.0
    return "descending" if 0.25 <= turn < 0.75 else "ascending"


def acquisition_of(item: Item, platform: str) -> str:
    """The key that two listings of the same acquisition share, else the id. A pair of images is only itself."""
    properties, name = item["properties"], str(item.get("id", ""))
    if "_X_" in name or properties.get("scene_1_id"):
        return name
    if burst := _BURST.search(name):
        return f"{_platform_in(name) or platform}|{burst[0].upper()}"
    if properties.get("sat:absolute_orbit"):
        return f"{platform}|{properties['sat:absolute_orbit']}"
    if properties.get("landsat:wrs_path") and properties.get("landsat:wrs_row"):
        return f"{platform}|{properties['landsat:wrs_path']}/{properties['landsat:wrs_row']}"
    if tile := _tile(properties, name):
        return f"{platform or name.partition('.T')[0]}|{tile}"
    return name


def processed_of(item: Item) -> str:
    """Sorts by how new the processing is: baseline, then time of processing as far as known."""
    properties, name = item["properties"], str(item.get("id", ""))
    landsat = _LANDSAT.match(name)
    when = (
        properties.get("s2:generation_time")
        or properties.get("processing:datetime")
        or (landsat[1] if landsat else None)
        or properties.get("created")
        or properties.get("updated")
        or ""
    )
    return f"{baseline_of(item)}|{when}"


def _tile(properties: Mapping[str, Any], name: str) -> str:
    grid = str(properties.get("grid:code") or properties.get("s2:mgrs_tile") or "").removeprefix("MGRS-")
    if not grid:
        found = _MGRS.search(name)
        grid = found[1] if found else ""
    return grid.zfill(5) if grid else ""


def _platform_in(name: str) -> str:
    found = re.search(r"_(S1[ABCD])_", name)
    return f"sentinel-{found[1][1:].lower()}" if found else ""


def _time(text: object) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)
