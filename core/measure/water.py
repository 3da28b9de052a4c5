"""Water around a glacier that ends in the sea or a lake: where it is, and which new ice lies on it.

Two witnesses. The image shows open water. The elevation model shows where the sea is, whatever drifts on it: mélange
and sea ice are as bright as glacier ice and no map of ice alone tells them apart (of a model that tells classes the
mosaic keeps the probability of glacier alone). Inside the old outline neither its slopes nor its heights say that there
is no water, because it may be from before a retreat.

Ice inside the inventory's outline is never taken away. What goes is counted in a flag, and what cannot be told widens
sigma and is counted too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label, maximum_filter

from core.measure.front import FrontRules, water_level, water_of_elevation
from core.measure.ownership import Ownership
from core.measure.rules import MeasureRules
from core.measure.surfaces import SurfaceThresholds

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
# RGI 7.0: 1 marine, 2 lake, 3 shelf.
WATER: Mapping[int, str] = {1: "sea", 2: "lake", 3: "sea"}
# All unchecked round numbers. Smaller dark level patches are shadows more often than lakes.
SMALLEST_WATER_PX = 50
# Sea in an elevation model: some pixels within the noise of 0 m, and the low ground that hangs together with them,
# because a model of 30–100 m smears cliffs over the water.
LEVEL_M, LEAST_LEVEL_PX = 5.0, 9
# Ice and snow, on land or adrift, have a positive NDWI, rock and plants a negative one.
ICY_NDWI = 0.0
# What stood higher in an elevation model from before a retreat has not become a front.
HIGHEST_CLIFF_M = 100.0
# New ice no wider is a matter of where exactly the outline runs; sea no further inside it, of a coarse elevation model.
FRINGE_PX, SMEARED_PX = 1.5, 3.5
_EIGHT = np.ones((3, 3), dtype=bool)
_REACH_PX = math.ceil(FrontRules().reach_px)


@dataclass(frozen=True)
class Around:
    """(rows, cols) each, off the ice and never both. image: open water that the image shows; elevation: water by the
    elevation model, where the image shows ice adrift or nothing; unknown: may be water, and nothing tells."""

    image: Mask
    elevation: Mask
    unknown: Mask

    @property
    def water(self) -> Mask:
        return self.image | self.elevation


@dataclass(frozen=True)
class NewIce:
    """told: probabilities without the new ice that is water. doubtful: (rows, cols), ice where the elevation model
    shows the sea: sea ice, or a glacier that has advanced since, or one as flat as water. flags: what was done and
    what is doubtful, with counts of pixels. removed: whether anything was."""

    told: Float32
    doubtful: Mask
    flags: tuple[str, ...] = ()
    removed: bool = False

    def sigma_km2(self, area_km2: Float32) -> float:
        """Of ground that counts whole or not at all where any share is as likely: a third of its square."""
        return float(np.sum(area_km2, where=self.doubtful, dtype=np.float64)) / math.sqrt(3.0)


def water_around(
    ownership: Ownership, ice: Float32, layers: Mapping[str, Float32], water: str, seen: Mask | None = None
) -> Around:
    """Where a front may be looked for. ice: (rows, cols) share of each pixel that is ice of this glacier; layers: of
    `ndwi`, `nir`, `slope_deg`, `elevation_m` those that there are; water: `sea` or `lake`; seen: False where the ice
    itself was not observed: an elevation model is no witness of it and makes no front there."""
    off = ice < 0.5
    hidden = np.zeros(off.shape, dtype=bool) if seen is None else ~seen
    image = open_water(ownership, ice, layers, water)
    looked = np.isfinite(layers["ndwi"]) if _has_image(layers) else np.zeros(off.shape, dtype=bool)
    low = _low_ground(ice, off, layers, water) & ~image
    if looked.any():
        low &= ~looked | (layers["ndwi"] >= ICY_NDWI)
        # The lowest ground may be a lake or the floor of a valley: a lake that is seen needs no other witness.
        if water == "lake" and image.any():
            low &= ~looked
    # No front where ice was filled in, nor where new ice could not have been seen.
    filled = maximum_filter(hidden & (ownership.own > 0), size=2 * _REACH_PX + 1)
    beside_hidden = low & (filled | maximum_filter(hidden, size=3))
    unseen = ~looked
    if not looked.any():
        unseen = hidden | ~np.isfinite(layers["elevation_m"]) if "elevation_m" in layers else hidden
    unknown = (off & ~image & ~low & unseen) | beside_hidden
    if "elevation_m" in layers:
        level = _level(ice, layers, water)
        most = level + np.where(ownership.own >= 0.5, HIGHEST_CLIFF_M, FrontRules().tolerance_m)
        unknown &= ~(layers["elevation_m"] > most)
    return Around(image, low & ~beside_hidden, unknown)


def open_water(ownership: Ownership, ice: Float32, layers: Mapping[str, Float32], water: str) -> Mask:
    """What the image shows as water, (rows, cols), on the ice and off it; none without an image.

    A shadow is as dark as water but rarely level and never large. Slopes count neither inside old outlines, where they
    are of ice that may have gone, nor near the water's level, where they are of a cliff that the model smears.
    """
    if not _has_image(layers):
        return np.zeros(ice.shape, dtype=bool)
    rules = SurfaceThresholds()
    found = (layers["ndwi"] >= rules.ndwi) & (layers["nir"] < rules.water_nir)
    if "slope_deg" in layers:
        steep = (layers["slope_deg"] > rules.water_slope_deg) & (ownership.covered < 0.5)
        if "elevation_m" in layers:
            steep &= ~(layers["elevation_m"] <= _level(ice, layers, water) + FrontRules().tolerance_m)
        found &= ~steep
    bodies, count = label(found)
    size = np.bincount(bodies.ravel(), minlength=count + 1)
    size[0] = 0
    return np.asarray(size[bodies] >= SMALLEST_WATER_PX)


def sea_of_elevation(elevation_m: Float32, where: Mask) -> Mask:
    """Ground of `where` that the elevation model shows as sea: (rows, cols) bool.

    elevation_m: above the geoid, NaN = unknown, which is no sea.
    """
    height = np.where(where & np.isfinite(elevation_m), elevation_m, np.inf)
    bodies, count = label(height <= FrontRules().tolerance_m)
    level = np.bincount(bodies[height <= LEVEL_M], minlength=count + 1)
    level[0] = 0
    return np.asarray(level[bodies] >= LEAST_LEVEL_PX)


def new_ice_on_water(
    ownership: Ownership,
    told: Float32,
    layers: Mapping[str, Float32],
    rules: MeasureRules,
    term_type: int | None,
) -> NewIce:
    """What the map calls new ice of a glacier that ends in water, and lies on water.

    ownership: with new ice; told: (rows, cols) probability of ice, NaN = not observed. Open water is removed. Ground
    where the elevation model shows the sea is doubtful, and removed unless `rules.sea_ice` is `keep`. Fringes of a
    pixel stay, as they do beside rock. So does what the model shows as sea inside the old outline; it is doubtful.
    """
    nothing = NewIce(told, np.zeros(told.shape, dtype=bool))
    if term_type is None or term_type not in WATER:
        return nothing
    ice, inside = (told >= rules.threshold) & (ownership.share > 0), ownership.own >= 0.5
    share = np.where(ice, ownership.share, np.float32(0))
    wet = _wide(ice & ~inside & open_water(ownership, share, layers, WATER[term_type]), ~inside)
    adrift = within = np.zeros_like(wet)
    if WATER[term_type] == "sea" and "elevation_m" in layers:
        sea = sea_of_elevation(layers["elevation_m"], ~inside)
        adrift = _wide(ice & sea & ~wet, ~inside)
        within = _wide(ice & _reached(sea, inside & (layers["elevation_m"] <= LEVEL_M)), inside, SMEARED_PX)
    keep = rules.sea_ice == "keep"
    removed, doubtful = wet if keep else wet | adrift, adrift | within
    counts = {
        "removed_water": int(np.count_nonzero(wet)),
        "removed_sea_ice": 0 if keep else int(np.count_nonzero(adrift)),
        "sea_ice_possible": int(np.count_nonzero(doubtful if keep else within)),
    }
    flags = tuple(f"{name}:{n}" for name, n in counts.items() if n)
    if not removed.any():
        return NewIce(told, doubtful, flags)
    # The edge goes back to the old outline, not to whole pixels of it.
    edge = removed | (maximum_filter(removed, size=3) & (ownership.own < 1) & (ownership.own >= 0.5))
    as_before = np.where(
        ownership.own < 0.5,
        ownership.own * (2 * rules.threshold),
        rules.threshold + (2 * ownership.own - 1) * (1 - rules.threshold),
    )
    return NewIce(np.where(edge, np.minimum(told, as_before), told).astype(np.float32), doubtful, flags, True)


def _wide(found: Mask, side: Mask, fringe_px: float = FRINGE_PX) -> Mask:
    """Those connected pieces on one side of the old outline that reach further from it than a fringe."""
    if not found.any():
        return found
    pieces, count = label(found, structure=_EIGHT)
    far = np.zeros(count + 1, dtype=bool)
    far[pieces[found & (distance_transform_edt(side) > fringe_px)]] = True
    return np.asarray(far[pieces])


def _reached(sea: Mask, level: Mask) -> Mask:
    """Level ground that hangs together with the sea."""
    bodies, count = label(sea | level)
    wet = np.zeros(count + 1, dtype=bool)
    wet[bodies[sea]] = True
    return np.asarray(wet[bodies]) & level


def _has_image(layers: Mapping[str, Float32]) -> bool:
    return {"ndwi", "nir"} <= layers.keys() and bool(np.isfinite(layers["ndwi"]).any())


def _level(ice: Float32, layers: Mapping[str, Float32], water: str) -> float:
    """Metres; −inf if unknown, so that nothing is near it."""
    return 0.0 if water == "sea" else water_level(layers["elevation_m"], ice, FrontRules())


def _low_ground(ice: Float32, off: Mask, layers: Mapping[str, Float32], water: str) -> Mask:
    if "elevation_m" not in layers:
        return np.zeros(off.shape, dtype=bool)
    if water == "sea":
        return sea_of_elevation(layers["elevation_m"], off)
    return water_of_elevation(layers["elevation_m"], ice, None)
