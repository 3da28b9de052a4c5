"""Front: where a glacier ends in water.

The front is the part of the mapped outline that looks on water: the sea, a lake, and mélange or sea ice, which are
water that ice drifts on. What is called water is told by a model that maps classes, or by elevation where none does.
Water is never ice of the glacier, and ice that does not hang together with the glacier's own ground is none of its
ice, so floes and bergs have no front. A lake inside the ice makes none either: only exterior rings are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label

from core.errors import ConfigError
from core.grid import Lattice, PixelWindow
from core.measure.outline import outline
from core.train.classes import LAKE, MELANGE, OCEAN

Float32 = NDArray[np.float32]
FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]
Line = shapely.LineString | shapely.MultiLineString
_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class FrontRules:
    """All in pixels, but for metres of height. reach_px: how far off the outline water is looked for, for mixed pixels
    and shores that were drawn on another day. gap_px: shorter interruptions are closed, such as a berg or a shadow.
    least_px: shorter pieces are no front. tolerance_m: what stands no higher above the water level is water; 20 m,
    because elevation models of 30–100 m smear cliffs of some tens of metres over the water (unchecked elsewhere than
    on Columbia Glacier)."""

    reach_px: float = 2.0
    gap_px: float = 3.0
    least_px: float = 3.0
    tolerance_m: float = 20.0

    def __post_init__(self) -> None:
        if self.reach_px < 1 or min(self.gap_px, self.least_px, self.tolerance_m) < 0:
            raise ConfigError("front", found=str(self), expected="reach_px of 1 or more, nothing negative")


def front_line(
    ice: Float32,
    water: NDArray[np.bool_] | Float32,
    lattice: Lattice,
    window: PixelWindow,
    *,
    own: Float32 | None = None,
    taken: Float32 | None = None,
    rules: FrontRules = FrontRules(),
) -> Line | None:
    """The front in zone metres, ice on its left; None where the glacier does not end in water.

    ice: (rows, cols) share of each pixel of `window` that is ice of this glacier; NaN counts as none. water: the same
    pixels, bool or probability, see `water_of_classes` and `water_of_elevation`; NaN = not known, which is no water.
    own: share inside the glacier's old outline; ice that touches none of it is not the glacier's. None: only the
    largest piece is. taken: share inside other outlines; what is ground of a neighbour is no water.
    Raises ConfigError if the arrays are not of the window's shape.
    """
    for name, given in (("ice", ice), ("water", water), ("own", own), ("taken", taken)):
        if given is not None and given.shape != window.shape:
            raise ConfigError(f"front: {name}", found=f"shape {given.shape}", expected=f"{window.shape}")
    share, told = np.nan_to_num(ice).astype(np.float32), np.nan_to_num(water).astype(np.float32)
    wet: Mask = told >= 0.5 if taken is None else (told >= 0.5) & (taken < 0.5)
    # What both call theirs is water: a model of ice alone takes mélange for it.
    mapped = np.where(wet & (share >= 0.5), np.minimum(share, 1 - told), share)
    solid = mapped >= 0.5
    kept = np.where(solid & ~_hangs_together(solid, own), np.float32(0), mapped)
    return facing(outline(kept, lattice, window), wet, lattice, window, rules)


def facing(
    glacier: shapely.Geometry, water: Mask, lattice: Lattice, window: PixelWindow, rules: FrontRules = FrontRules()
) -> Line | None:
    """The parts of the exterior rings of a polygon in zone metres that look on `water` (rows, cols) of `window`.

    A segment looks on water if there is any within reach straight out of it. Beyond the window nothing is water.
    """
    pieces: list[shapely.LineString] = []
    polygons = shapely.get_parts(shapely.orient_polygons(glacier, exterior_cw=False))
    for ring in shapely.get_exterior_ring(polygons):
        xy = shapely.get_coordinates(shapely.segmentize(ring, float(lattice.res_m)))
        if len(xy) < 4:
            continue
        seen = _looks_on(xy, water, lattice, window, rules.reach_px)
        length = np.hypot(*np.diff(xy, axis=0).T)
        for first, last in _runs(seen, length, rules.gap_px * lattice.res_m):
            at = np.arange(first, last + 2) % (len(xy) - 1)
            piece = shapely.LineString(xy[at])
            if piece.length >= rules.least_px * lattice.res_m:
                pieces.append(piece)
    if not pieces:
        return None
    return pieces[0] if len(pieces) == 1 else shapely.MultiLineString(pieces)


def water_of_classes(surfaces: NDArray[np.uint8]) -> Mask:
    """Where codes of `core.train.classes` are sea, mélange or a lake: bool, of the same shape.

    A model of the scheme `calving` says it as the probability of its class `ocean_melange`, which can be given to
    `front_line` as it is.
    """
    return np.isin(surfaces, (OCEAN, MELANGE, LAKE))


def water_of_elevation(
    elevation_m: Float32, ice: Float32, level_m: float | None = 0.0, rules: FrontRules = FrontRules()
) -> Mask:
    """Where ground off the ice stands no higher than `tolerance_m` above the water level: (rows, cols) bool.

    elevation_m: above the geoid, NaN = unknown, which is never water. ice: share of the pixel. level_m: 0 for the sea;
    None: the lowest ground within reach of the ice, for a lake, so ask it only of glaciers that are known to end in
    one (RGI term_type 2). A valley floor would pass as well.
    """
    off = (np.nan_to_num(ice) < 0.5) & np.isfinite(elevation_m)
    if level_m is None:
        level_m = water_level(elevation_m, ice, rules)
    return off & (np.where(off, elevation_m, np.inf) <= level_m + rules.tolerance_m)


def water_level(elevation_m: Float32, ice: Float32, rules: FrontRules = FrontRules()) -> float:
    """Metres of the lowest ground within reach of the ice, see `water_of_elevation`; −inf where there is none."""
    clear = np.nan_to_num(ice) < 0.5
    if clear.all():
        return -np.inf
    near = clear & np.isfinite(elevation_m) & (distance_transform_edt(clear) <= rules.reach_px + 1)
    # The hundredth part that is lowest is noise of the elevation model as a rule.
    return float(np.percentile(elevation_m[near], 1)) if near.any() else -np.inf


def _hangs_together(ice: Mask, own: Float32 | None) -> Mask:
    """The pieces of ice (over edges and corners) that have ground of the glacier, or the largest one."""
    number, count = label(ice, structure=_EIGHT)
    if count == 0:
        return ice
    size = np.bincount(number.ravel(), minlength=count + 1)
    kept = np.zeros(count + 1, dtype=bool)
    if own is None:
        kept[1 + int(np.argmax(size[1:]))] = True
    else:
        kept[np.unique(number[(own >= 0.5) & ice])] = True
    return cast(Mask, kept[number])


def _looks_on(xy: FloatArray, water: Mask, lattice: Lattice, window: PixelWindow, reach_px: float) -> Mask:
    """(n − 1,) for a closed ring of n points, counter-clockwise: whether each segment looks on water."""
    corner = xy[:-1]
    # The direction of four segments around; that of a single one on a raster is a multiple of 45°.
    along = np.roll(corner, -2, axis=0) - np.roll(corner, 1, axis=0)
    norm = np.hypot(along[:, 0], along[:, 1])
    out = np.column_stack([along[:, 1], -along[:, 0]]) / np.where(norm > 0, norm, 1.0)[:, None]
    middle = (corner + np.roll(corner, -1, axis=0)) / 2
    steps = np.append(np.arange(0.5, reach_px, 0.5), reach_px) * lattice.res_m
    at = middle + steps[:, None, None] * out
    row, col = lattice.to_pixels(at[..., 0], at[..., 1])
    r, c = np.floor(row).astype(np.int64) - window.row0, np.floor(col).astype(np.int64) - window.col0
    inside = (r >= 0) & (r < window.shape[0]) & (c >= 0) & (c < window.shape[1])
    hit = np.zeros(inside.shape, dtype=bool)
    hit[inside] = water[r[inside], c[inside]]
    return cast(Mask, hit.any(axis=0))


def _runs(seen: Mask, length: FloatArray, gap_m: float) -> list[tuple[int, int]]:
    """(first, last) segment of each run of a closed ring in which only gaps of up to `gap_m` are not seen.

    A run may go on beyond the end of the ring, so `last` may be larger than the number of segments.
    """
    n = len(seen)
    starts = np.flatnonzero(seen & ~np.roll(seen, 1))
    if len(starts) == 0:
        return [(0, n - 1)] if seen.any() else []
    ends = np.flatnonzero(seen & ~np.roll(seen, -1))
    ends = np.roll(ends, -int(np.searchsorted(ends, starts[0])))
    ends = np.where(ends < starts, ends + n, ends)
    following = np.append(starts[1:], starts[0] + n)
    walked = np.concatenate([[0.0], np.cumsum(np.tile(length, 3))])
    split = np.flatnonzero(walked[following] - walked[ends + 1] > gap_m)
    if len(split) == 0:
        return [(0, n - 1)]
    first = np.roll(starts, -1)[split]
    last = ends[np.roll(split, -1)]
    return [(int(a), int(b if b >= a else b + n)) for a, b in zip(first, last, strict=True)]
