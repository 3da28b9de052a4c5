"""Front position: the mean place of a front along the flow, and how far it moved, by the box method.

Box method (Moon & Joughin 2008, 10.1029/2007JF000927; DOI unchecked): the area between a front and a line across the
glacier, divided by the width, so that every part of the front counts alike. Along a bent axis it is the curvilinear box
of Lea et al. 2014 ("Evaluation of existing and new methods of tracking glacier terminus change", J. Glaciol.), in
coordinates along and across the axis; there the mean is of lengths along the axis, which is area by width where the
axis is straight and differs by the bend of the axis within the box elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from core.errors import ConfigError

FloatArray = NDArray[np.float64]
# Both ends of an axis go on straight, so that a front beyond them has a place too.
_BEYOND_M = 100_000.0


@dataclass(frozen=True)
class FrontPosition:
    """change_m: mean advance over the reference, negative for a retreat. along_m: mean place along the axis, from its
    start. width_m: of the box, that is of the reference across the axis. spanned: share of that width that the front
    itself covers; beyond its ends it is taken to go on straight across."""

    change_m: float
    along_m: float
    width_m: float
    spanned: float


def front_position(
    front: shapely.Geometry | None, reference: shapely.Geometry, axis: shapely.LineString
) -> FrontPosition | None:
    """Where a front lies along `axis`, and how far from the reference; None where there is no front in the box.

    front, reference: (multi)lines in zone metres, see `front_line`. axis: a line downstream, in the same metres: a
    centre line, or `flow_axis`. The box is as wide as the reference, whatever the front is. A front that bends back
    counts with the area that it encloses. Raises ConfigError if the reference has no width or the axis no length.
    """
    if axis.length == 0 or shapely.is_empty(reference):
        raise ConfigError("front position", found="an axis or a reference without a length", expected="lines")
    origin = _chain(reference, axis)
    low, high = float(origin[:, 1].min()), float(origin[:, 1].max())
    if high - low <= 0:
        raise ConfigError(
            "front position",
            found="a reference without a width",
            expected="one across the axis",
            fix="turn the axis",
        )
    if front is None or shapely.is_empty(front):
        return None
    found = _chain(front, axis)
    spanned = (min(high, float(found[:, 1].max())) - max(low, float(found[:, 1].min()))) / (high - low)
    if spanned <= 0:
        return None
    along = _mean_along(found, low, high)
    return FrontPosition(along - _mean_along(origin, low, high), along, high - low, spanned)


def flow_axis(reference: shapely.Geometry, glacier: shapely.Geometry) -> shapely.LineString:
    """A straight axis for a front without a centre line: square to the chord of the reference, through its middle.

    The chord joins those two ends of its parts that lie furthest apart. The axis starts one chord upstream of the
    middle and ends one chord downstream; upstream is the side on which more of the glacier lies within one chord.
    Raises ConfigError for a closed or empty reference.
    """
    parts = np.asarray(shapely.get_parts(reference), dtype=object)
    ends = shapely.get_coordinates([shapely.get_point(parts, 0), shapely.get_point(parts, -1)])
    apart = np.hypot(*(ends[:, None] - ends).T)
    if apart.size == 0 or apart.max() == 0:
        raise ConfigError("flow axis", found="no two ends", expected="an open line", fix="give a centre line")
    one, other = ends[list(np.unravel_index(int(np.argmax(apart)), apart.shape))]
    length = float(apart.max())
    out = np.array([other[1] - one[1], one[0] - other[0]]) / length
    middle = (one + other) / 2

    def ice(side: float) -> float:
        ahead = side * length * out
        box = shapely.convex_hull(shapely.multipoints([one, other, one + ahead, other + ahead]))
        return float(shapely.intersection(glacier, box).area)

    down = out if ice(-1.0) >= ice(1.0) else -out
    return shapely.LineString([middle - length * down, middle + length * down])


def _chain(line: shapely.Geometry, axis: shapely.LineString) -> FloatArray:
    """(n, 2): along and across the axis, from the right of the axis to its left, part after part."""
    parts = []
    for part in shapely.get_parts(line):
        own = _axis_coordinates(shapely.get_coordinates(part), axis)
        parts.append(own if own[-1, 1] >= own[0, 1] else own[::-1])
    parts.sort(key=lambda own: float(own[:, 1].mean()))
    return np.concatenate(parts)


def _axis_coordinates(xy: FloatArray, axis: shapely.LineString) -> FloatArray:
    """(n, 2): metres along the axis from its start, and across it, positive on its left."""
    at = shapely.get_coordinates(axis)
    at = at[np.append(True, np.any(np.diff(at, axis=0) != 0, axis=1))]
    step = np.diff(at, axis=0)
    unit = step / np.hypot(step[:, 0], step[:, 1])[:, None]
    long = shapely.LineString([at[0] - _BEYOND_M * unit[0], *at[1:-1], at[-1] + _BEYOND_M * unit[-1]])
    points = shapely.points(xy)
    along = shapely.line_locate_point(long, points)
    walked = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(shapely.get_coordinates(long), axis=0).T))])
    of = np.clip(np.searchsorted(walked, along, side="right") - 1, 0, len(unit) - 1)
    foot = shapely.get_coordinates(shapely.line_interpolate_point(long, along))
    off = xy - foot
    left = unit[of, 0] * off[:, 1] - unit[of, 1] * off[:, 0]
    # At a corner of the axis the foot is the corner itself, and the distance is not square to either side.
    across = np.copysign(np.hypot(off[:, 0], off[:, 1]), left)
    return np.column_stack([along - _BEYOND_M, across])


def _mean_along(chain: FloatArray, low: float, high: float) -> float:
    """∫ along d(across) ÷ width between the walls, exact for a polyline; the ends go on straight across to them."""
    first, last = chain[0], chain[-1]
    chain = np.concatenate([[[first[0], min(low, first[1])]], chain, [[last[0], max(high, last[1])]]])
    a, n = chain[:, 0], chain[:, 1]
    a0, a1, n0, n1 = a[:-1], a[1:], n[:-1], n[1:]
    inside0, inside1 = np.clip(n0, low, high), np.clip(n1, low, high)
    slope = np.divide(a1 - a0, n1 - n0, out=np.zeros_like(a0), where=n1 != n0)
    middle = a0 + ((inside0 + inside1) / 2 - n0) * slope
    return float(np.sum(middle * (inside1 - inside0)) / (high - low))
