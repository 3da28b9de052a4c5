"""Attributes of a measured glacier, as RGI 7.0 defines them, from its ice and an elevation model.

What counts are the pixels that are at least half ice (all pixels with ice where there is none), as the RGI's masks of
pixel centres, each weighted by the area of its ice. So minimum ≤ median ≤ maximum, and the hypsometry lies between.
A void of the elevation model is never filled: what the known part says stands for the whole if it is large enough, and
otherwise the attribute is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.errors import SystemicError
from core.grid import Lattice, PixelWindow
from core.measure.frame import framed
from core.measure.hypsometry import hypsometry
from core.measure.length import longest_way_m
from core.measure.terminus import find_terminus, largest_part
from core.terrain import aspect_deg, convergence_deg, rise_m, steepness_deg

Float32 = NDArray[np.float32]
# A mean gradient this small, or this small a part of the mean steepness, is noise of the elevation model: a level
# glacier or a dome faces nowhere. 10⁻⁴ is one metre in ten kilometres; both are round numbers.
LEVEL, DOME = 1e-4, 0.01


@dataclass(frozen=True)
class Attributes:
    """Columns of glacier_area, with their units; None where unknown. hypsometry: see there, {} where unknown.
    elevation_fraction: share of the ice area with a known elevation."""

    elevation_fraction: float = 0.0
    zmin_m: float | None = None
    zmax_m: float | None = None
    zmed_m: float | None = None
    zmean_m: float | None = None
    slope_deg: float | None = None
    aspect_deg: float | None = None
    termlon: float | None = None
    termlat: float | None = None
    term_elev_m: float | None = None
    lmax_m: float | None = None
    hypsometry: dict[int, int] = field(default_factory=dict)


def glacier_attributes(
    ice: Float32,
    area_km2: Float32,
    elevation_m: Float32,
    lattice: Lattice,
    window: PixelWindow,
    term_type: int | None = None,
    min_known: float = 0.5,
) -> Attributes:
    """Attributes of one glacier.

    ice: (h, w) share of each pixel of `window` that is ice of this glacier; area_km2: (h, w) ellipsoidal area of each
    pixel; elevation_m: (h, w), or (h + 2, w + 2) on `window.pad(1)`, NaN = unknown; term_type: of RGI 7.0;
    min_known: share of the ice area that must have an elevation, for slope and aspect a slope.

    zmin_m, zmax_m, zmed_m, zmean_m: as weighted. slope_deg: mean of the slopes in degrees. aspect_deg: direction of
    the mean gradient, so that steep ground counts more than level ground, whose own direction is noise; the RGI's, made
    with `compute_hypsometry_attributes` of OGGM, is that too and not the mean of directions, but counts from the
    northing axis, and ours from true north at the centre of the ice. None for level glaciers and domes.
    Terminus: `core.measure.terminus`; lmax_m: `core.measure.length`.

    Raises SystemicError if the elevations have another shape.
    """
    padded = _padded(elevation_m, ice.shape)
    counts = ice >= 0.5
    if not counts.any():
        counts = ice > 0
    if not counts.any():
        return Attributes()
    rows, cols = _bounds(counts)
    at = PixelWindow(
        window.row0 + rows.start, window.row0 + rows.stop, window.col0 + cols.start, window.col0 + cols.stop
    )
    counts, ice, area = counts[rows, cols], ice[rows, cols], area_km2[rows, cols]
    padded = padded[rows.start : rows.stop + 2, cols.start : cols.stop + 2]
    weight = np.multiply(ice, area, dtype=np.float64)[counts]
    height = padded[1:-1, 1:-1][counts]
    known = np.isfinite(height)
    fraction = min(1.0, float(weight[known].sum() / weight.sum()))
    if fraction < min_known or not known.any():
        return Attributes(elevation_fraction=fraction)
    z, w = height[known], weight[known]
    slope, aspect = _slope_and_aspect(padded, counts, area, weight, lattice, at, min_known)
    part = largest_part(counts, area)
    terminus = find_terminus(part, padded, lattice, at, term_type)
    side_m = 1000.0 * float(np.sqrt(area.mean(dtype=np.float64)))
    return Attributes(
        elevation_fraction=fraction,
        zmin_m=float(z.min()),
        zmax_m=float(z.max()),
        zmed_m=weighted_median(z, w),
        zmean_m=float(np.clip(np.average(z, weights=w), z.min(), z.max())),
        slope_deg=slope,
        aspect_deg=aspect,
        termlon=terminus.lon if terminus else None,
        termlat=terminus.lat if terminus else None,
        term_elev_m=terminus.elevation_m if terminus else None,
        lmax_m=longest_way_m(part, terminus.row, terminus.col, side_m) if terminus else None,
        hypsometry=hypsometry(z, w),
    )


def weighted_median(values: NDArray[np.floating], weight: NDArray[np.floating]) -> float:
    """The value with half of the weight on either side, the mean of two where the half falls between them; with equal
    weights the median. values, weight: (n,), n ≥ 1, weights > 0."""
    order = np.argsort(values)
    so_far = np.cumsum(weight[order], dtype=np.float64)
    half = so_far[-1] / 2
    k = int(np.searchsorted(so_far, half * (1 - 1e-9)))
    between = so_far[k] <= half * (1 + 1e-9) and k + 1 < len(order)
    return float(values[order[k]] if not between else (values[order[k]] + np.float64(values[order[k + 1]])) / 2)


def _slope_and_aspect(
    padded: Float32,
    counts: NDArray[np.bool_],
    area: Float32,
    weight: NDArray[np.float64],
    lattice: Lattice,
    at: PixelWindow,
    min_known: float,
) -> tuple[float | None, float | None]:
    east, south = (rise[counts] for rise in rise_m(padded))
    slope = steepness_deg(east, south, area[counts])
    known = np.isfinite(slope)
    w = np.where(known, weight, 0.0)
    if not known.any() or w.sum() < min_known * weight.sum():
        return None, None
    side_m = np.sqrt(area[counts]) * np.float32(1000.0)
    mean_east, mean_south = (float(np.average(np.where(known, rise, 0) / side_m, weights=w)) for rise in (east, south))
    mean_slope = float(np.average(np.where(known, slope, 0), weights=w))
    resultant = float(np.hypot(mean_east, mean_south))
    if resultant < max(LEVEL, DOME * np.tan(np.radians(mean_slope))):
        return mean_slope, None
    rows, cols = np.nonzero(counts)
    x, y = lattice.centres_m(at)
    centre = float(np.average(x[cols], weights=weight)), float(np.average(y[rows], weights=weight))
    return mean_slope, aspect_deg(mean_east, mean_south, convergence_deg(lattice.zone, *centre))


def _padded(elevation_m: Float32, shape: tuple[int, ...]) -> Float32:
    h, w = shape
    if elevation_m.shape == (h + 2, w + 2):
        return elevation_m
    if elevation_m.shape != (h, w):
        raise SystemicError(
            "glacier_attributes",
            found=f"elevations {elevation_m.shape}",
            expected=f"{(h, w)} or {(h + 2, w + 2)}",
            fix="read the elevations on the window, or on window.pad(1)",
        )
    return framed(elevation_m, np.nan)


def _bounds(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The smallest rectangle around what is true."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
