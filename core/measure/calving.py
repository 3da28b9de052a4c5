"""The calving front of one measured glacier: where it meets water, and how far it moved from the inventory's.

Asked of glaciers whose inventory says that they end in the sea or a lake (RGI term_type 1, 2, 3). What is water says
`core.measure.water`. The reference front is that part of the inventory's outline that looks on the same water, or from
which ice has advanced, so both are drawn by one rule and their difference is motion. A front that was seen in part has
a line, but no motion: its mean would be that of the part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from core.errors import ConfigError
from core.grid import Lattice
from core.measure.front import FrontRules, facing, front_line
from core.measure.front_position import FrontPosition, flow_axis, front_position
from core.measure.outline import outline
from core.measure.ownership import Ownership
from core.measure.water import WATER, Around, water_around

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
# Seen or covered to a smaller share than this, a front has no mean motion; a round number, unchecked.
LEAST_FRACTION = 2 / 3
# An outline that flow crosses at less than 30° is a flank.
LEAST_CROSSING = 0.5
# A smaller share of a front says nothing of where it flows.
LEAST_PART = 0.2
_SMOOTHING_PX = 2.0
_REACH_PX = math.ceil(FrontRules().reach_px)


@dataclass(frozen=True)
class Calving:
    """line: in zone metres; length_m; change_m: mean advance over the inventory's front along flow, None where that
    one has no front or too little was seen; water: `sea` or `lake`; observed_fraction: share of the front that was
    seen, and of the inventory's that it is compared with; source: `image`, `elevation` or `both`, whose water it is."""

    line: shapely.Geometry
    length_m: float
    change_m: float | None
    water: str
    observed_fraction: float
    source: str


def calving_front(
    ownership: Ownership,
    ice: Float32,
    layers: Mapping[str, Float32],
    lattice: Lattice,
    term_type: int | None,
    seen: Mask | None = None,
) -> Calving | None:
    """None for a glacier that ends on land, or whose water cannot be seen.

    ice: (rows, cols) share of each pixel that is ice of this glacier; layers: those of `ndwi`, `nir`, `slope_deg` and
    `elevation_m` that there are; seen: where the ice was observed and not filled in.
    """
    if term_type is None or term_type not in WATER:
        return None
    around = water_around(ownership, ice, layers, WATER[term_type], seen)
    if not around.water.any():
        return None
    others = np.where(ownership.label == ownership.index, np.float32(0), ownership.covered - ownership.own)

    def drawn(water: Mask) -> shapely.Geometry | None:
        return front_line(ice, water, lattice, ownership.window, own=ownership.own, taken=others)

    line = drawn(around.water)
    if line is None:
        return None
    fraction = 1.0
    if around.unknown.any():
        possible = drawn(around.water | around.unknown)
        fraction = min(1.0, shapely.length(line) / shapely.length(possible)) if possible is not None else 1.0
    moved = _moved(line, ownership, ice, around.water & (others < 0.5), lattice)
    if moved is not None:
        fraction = min(fraction, moved.spanned)
    change = moved.change_m if moved is not None and fraction >= LEAST_FRACTION else None
    source = _source(line, around, drawn(around.image) if around.elevation.any() else line)
    return Calving(line, float(shapely.length(line)), change, WATER[term_type], float(fraction), source)


def _moved(
    line: shapely.Geometry, ownership: Ownership, ice: Float32, water: Mask, lattice: Lattice
) -> FrontPosition | None:
    """From the front of the old outline to `line`; None where that one has no front."""
    before, window = outline(ownership.own, lattice, ownership.window), ownership.window
    # A front without a width has no place along flow, a closed one no flow.
    try:
        # Ice that was there then and is now lies upstream, however far a tongue reaches.
        flow = flow_axis(line, outline(np.minimum(ice, ownership.own), lattice, window))
        crossed = _advanced(line, flow, ice, ownership, lattice)
    except ConfigError:
        crossed = np.zeros(ice.shape, dtype=bool)
    reference = facing(before, (water | crossed) & (ownership.own < 0.5), lattice, window)
    if reference is None:
        return None
    try:
        axis = flow_axis(reference, before)
        return front_position(line, reference, axis) if _one_way(reference, axis, before) else None
    except ConfigError:
        return None


def _one_way(reference: shapely.Geometry, axis: shapely.LineString, glacier: shapely.Geometry) -> bool:
    """Whether the parts of a front flow the same way to 60°: tongues to different sides have no motion in common."""
    parts = shapely.get_parts(reference)
    whole = float(shapely.length(reference))
    flows = [_direction(axis)]
    flows += [_direction(flow_axis(p, glacier)) for p in parts if len(parts) > 1 and p.length >= LEAST_PART * whole]
    return all(float(flows[0] @ flow) >= LEAST_CROSSING for flow in flows)


def _direction(axis: shapely.LineString) -> NDArray[np.float64]:
    ends = shapely.get_coordinates(axis)[[0, -1]]
    return np.asarray((ends[1] - ends[0]) / np.hypot(*(ends[1] - ends[0])))


def _advanced(
    line: shapely.Geometry, axis: shapely.LineString, ice: Float32, ownership: Ownership, lattice: Lattice
) -> Mask:
    """New ice just beyond the old front: (rows, cols) bool.

    From every point of the present front a ray goes up the flow, through new ice only, to where it meets the old
    outline and crosses it. Snow or ice along a flank lies beside the flow and is met by no ray, or at a small angle.
    """
    out = np.zeros(ice.shape, dtype=bool)
    old, window = ownership.own >= 0.5, ownership.window
    new = (ice >= 0.5) & ~old
    if not new.any():
        return out
    up = -_direction(axis)
    rows, cols = np.nonzero(new)
    steps = 1.0 + np.arange(math.hypot(np.ptp(rows) + 3, np.ptp(cols) + 3))
    xy = shapely.get_coordinates(shapely.segmentize(line, lattice.res_m / 2))
    at = xy[:, None] + steps[:, None] * lattice.res_m * up
    row, col = lattice.to_pixels(at[..., 0], at[..., 1])
    r, c = np.floor(row).astype(np.int64) - window.row0, np.floor(col).astype(np.int64) - window.col0
    inside = (r >= 0) & (r < ice.shape[0]) & (c >= 0) & (c < ice.shape[1])
    r, c = np.where(inside, r, 0), np.where(inside, c, 0)
    end = np.argmin(inside & new[r, c], axis=1)  # the first step that is no new ice
    ray = np.arange(len(xy))
    south, east = (-gaussian_filter(ownership.own, _SMOOTHING_PX, order=order) for order in ((1, 0), (0, 1)))
    hit = r[ray, end], c[ray, end]
    # Out of the old outline, times down the flow: y grows to the north, rows to the south.
    crossing = (south[hit] * up[1] - east[hit] * up[0]) / np.maximum(np.hypot(south[hit], east[hit]), 1e-9)
    met = (end > 0) & inside[ray, end] & old[hit] & (crossing >= LEAST_CROSSING)
    for back in range(1, _REACH_PX + 1):
        some = met & (end >= back)
        out[r[ray[some], end[some] - back], c[ray[some], end[some] - back]] = True
    return out


def _source(line: shapely.Geometry, around: Around, by_image: shapely.Geometry | None) -> str:
    """Whose water the front looks on; less than a tenth is the edge of the other's."""
    if not around.image.any() or by_image is None or shapely.length(by_image) < 0.1 * shapely.length(line):
        return "elevation"
    return "image" if shapely.length(by_image) > 0.9 * shapely.length(line) else "both"
