"""Radiometry: the straight line from the counts of a file to physical values, as product and item together say it.

The offset of Sentinel-2 is decided here by the metadata, and may be overruled later by dark pixels: a scene keeps
which one its files carry (`SceneConfig.dn_offset`).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from core.search.acquisition import baseline_of
from core.search.assets import NoUseError, Numbers
from core.sensors import Product, ProductBand

_WITH_OFFSET = "04.00"  # first baseline of Sentinel-2 whose counts carry the offset
_WITH_OFFSET_SINCE = dt.datetime(2022, 1, 25, tzinfo=dt.UTC)
_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_LOWEST_SUN_DEG = 5.0  # below it a value of Level 1 is shadow and scattered light


def dn_offset_of(item: Mapping[str, Any], product: Product, acquired: dt.datetime) -> int:
    """Counts that the files carry too many, negative, as the metadata say; 0 where there is no such trap."""
    if product.radiometry != "baseline" or product.offset_trap is None:
        return 0
    properties = item["properties"]
    if any(properties.get(key) is True for key in _APPLIED):
        return 0
    # The offset in raster:bands is no witness: Earth Search writes it whether or not it is applied.
    baseline = baseline_of(item)
    carries = baseline >= _WITH_OFFSET if baseline else acquired >= _WITH_OFFSET_SINCE
    return product.offset_trap.dn if carries else 0


def scale_and_offset(
    item: Mapping[str, Any], product: Product, band: ProductBand, said: Numbers, dn_offset: int
) -> tuple[float, float]:
    """physical = scale · DN + offset of one band; said: what the item says of it. Raises NoUseError."""
    scale = product.scale if band.scale is None else band.scale
    offset = product.offset if band.offset is None else band.offset
    if product.radiometry == "metadata":
        scale = scale if said.scale is None else said.scale
        offset = offset if said.offset is None else said.offset
    elif product.radiometry == "baseline":
        offset += dn_offset * scale
    elif product.radiometry == "sun":
        scale, offset = _over_sine_of_sun(item, scale, offset)
    if scale == 0 or not math.isfinite(scale) or not math.isfinite(offset):
        raise NoUseError(f"scale and offset of band {band.band} are {scale:g} and {offset:g}")
    return scale, offset


def _over_sine_of_sun(item: Mapping[str, Any], scale: float, offset: float) -> tuple[float, float]:
    elevation = item["properties"].get("view:sun_elevation")
    if not isinstance(elevation, int | float) or not math.isfinite(elevation):
        raise NoUseError("it has no view:sun_elevation, which reflectance at the top of the atmosphere needs")
    if elevation < _LOWEST_SUN_DEG:
        raise NoUseError(f"the sun is {elevation:.1f}° high, less than {_LOWEST_SUN_DEG:.0f}°")
    sine = math.sin(math.radians(elevation))
    return scale / sine, offset / sine
