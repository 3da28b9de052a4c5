"""Front error: how far a front lies from a reference line, by distances from every point of each to the other.

The mean distance error of CaFFe (Gourmelon et al. 2022, 10.5194/essd-14-4287-2022) pools the distances of all points
of both lines, and those of all images. There the points are pixels; here they are the middles of equal steps along
each line, and the distance is to the line itself, so it does not hang on a raster. Units are those of the lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import shapely
from numpy.typing import NDArray

from core.errors import ConfigError

FloatArray = NDArray[np.float64]


def mean_distance_error(front: shapely.Geometry, reference: shapely.Geometry, step: float) -> float:
    """Mean of `front_distances`: 0 of a line to itself, symmetric, d for a straight line and its copy d beside it."""
    return float(front_distances(front, reference, step).mean())


def front_distances(front: shapely.Geometry, reference: shapely.Geometry, step: float) -> FloatArray:
    """Distances from the points of each line to the other, those of `front` first: (n,) float64.

    front, reference: (multi)lines in the same plane. step: longest distance between two points of a line, a third of a
    pixel or so. Keep the arrays of several images to pool them. Raises ConfigError for a line without a length: where
    no front was found there is no error either, and that has to be counted by itself.
    """
    if not step > 0 or shapely.length(front) == 0 or shapely.length(reference) == 0:
        found = f"step {step:g}, lengths {shapely.length(front):g} and {shapely.length(reference):g}"
        raise ConfigError("front error", found=found, expected="a step above 0 and two lines with a length")
    return np.concatenate([_to(front, reference, step), _to(reference, front, step)])


def pooled_error(distances: Iterable[FloatArray]) -> float:
    """Mean distance error over several images, all their points alike; NaN of none."""
    each = list(distances)
    return float(np.concatenate(each).mean()) if each else math.nan


def _to(line: shapely.Geometry, other: shapely.Geometry, step: float) -> FloatArray:
    points = np.asarray(shapely.points(_spaced(line, step)), dtype=object)
    # An index of the segments: one distance to a long line looks at all of it.
    near = shapely.STRtree(_segments(other))
    at, found = near.query_nearest(points, all_matches=False, return_distance=True)
    out = np.empty(len(points))
    out[at[0]] = found
    return out


def _segments(line: shapely.Geometry) -> NDArray[np.object_]:
    xy, part = shapely.get_coordinates(shapely.get_parts(line), return_index=True)
    same = part[1:] == part[:-1]
    return np.asarray(shapely.linestrings(np.stack([xy[:-1][same], xy[1:][same]], axis=1)), dtype=object)


def _spaced(line: shapely.Geometry, step: float) -> FloatArray:
    """(n, 2) middles of equal steps of every part, no longer than `step`."""
    parts = shapely.get_parts(line)
    parts = parts[shapely.length(parts) > 0]
    length = shapely.length(parts)
    n = np.ceil(length / step).astype(np.int64)
    of = np.repeat(np.arange(len(parts)), n)
    k = np.arange(len(of)) - np.repeat(np.cumsum(n) - n, n)
    return shapely.get_coordinates(shapely.line_interpolate_point(parts[of], (k + 0.5) / n[of] * length[of]))
