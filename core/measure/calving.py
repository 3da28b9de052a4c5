"""The calving front of one measured glacier: where it meets water, and how far it moved from the inventory's.

Asked of glaciers whose inventory says that they end in the sea or a lake (RGI term_type 1, 2). Water is what the image
shows as water; without an image, ground off the ice that stands at the water's level. The reference front is that part
of the inventory's outline that looks on the same water, so both are drawn by one rule and their difference is motion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import label

from core.errors import ConfigError
from core.grid import Lattice
from core.measure.front import FrontRules, facing, front_line, water_of_elevation
from core.measure.front_position import flow_axis, front_position
from core.measure.outline import outline
from core.measure.ownership import Ownership
from core.measure.surfaces import SurfaceThresholds

Float32 = NDArray[np.float32]
SEA, LAKE = 1, 2
WATER = {SEA: "sea", LAKE: "lake"}
# Smaller dark level patches are shadows more often than lakes; a round number, unchecked.
SMALLEST_WATER_PX = 50


@dataclass(frozen=True)
class Calving:
    """line: in zone metres; length_m; change_m: mean advance over the inventory's front along flow, None where that
    one has no front; water: `sea` or `lake`."""

    line: shapely.Geometry
    length_m: float
    change_m: float | None
    water: str


def calving_front(
    ownership: Ownership, ice: Float32, layers: Mapping[str, Float32], lattice: Lattice, term_type: int | None
) -> Calving | None:
    """None for a glacier that ends on land, or whose water cannot be seen.

    ice: (rows, cols) share of each pixel that is ice of this glacier; layers: `ndwi` and `nir`, with `slope_deg` where
    it is known, or `elevation_m`.
    """
    if term_type not in WATER:
        return None
    water = _water(ice, layers, term_type)
    if water is None or not water.any():
        return None
    window = ownership.window
    others = np.where(ownership.label == ownership.index, np.float32(0), ownership.covered - ownership.own)
    line = front_line(ice, water, lattice, window, own=ownership.own, taken=others)
    if line is None:
        return None
    # The outline of old looks on what is water beyond it now, and on what ice has covered since.
    once = (water | (ice >= 0.5)) & (ownership.own < 0.5) & (others < 0.5)
    glacier = outline(ownership.own, lattice, window)
    before = facing(glacier, once, lattice, window)
    change = None
    if before is not None:
        try:
            moved = front_position(line, before, flow_axis(before, glacier))
            change = None if moved is None else moved.change_m
        except ConfigError:  # a front without a width has no place along flow
            change = None
    return Calving(line, float(shapely.length(line)), change, WATER[term_type])


def _water(ice: Float32, layers: Mapping[str, Float32], term_type: int) -> NDArray[np.bool_] | None:
    """Water off the ice, None where nothing tells.

    A shadow is as dark as water but rarely level and never large; an elevation model from before a retreat still shows
    ice where there is water now, so its heights say nothing where there is an image.
    """
    if {"ndwi", "nir"} <= layers.keys() and np.isfinite(layers["ndwi"]).any():
        rules = SurfaceThresholds()
        water = (layers["ndwi"] >= rules.ndwi) & (layers["nir"] < rules.water_nir)
        if "slope_deg" in layers:
            water &= ~(layers["slope_deg"] > rules.water_slope_deg)
        bodies, count = label(water)
        size = np.bincount(bodies.ravel(), minlength=count + 1)
        size[0] = 0
        return np.asarray(size[bodies] >= SMALLEST_WATER_PX)
    if "elevation_m" in layers:
        level = 0.0 if term_type == SEA else None
        return water_of_elevation(layers["elevation_m"], ice, level, FrontRules())
    return None
