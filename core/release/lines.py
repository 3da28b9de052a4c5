"""Lines: longitude–latitude (multi)lines made fit for publication, cut at the antimeridian as RFC 7946 (§ 3.1.9) wants.

What `core.inventory.split_antimeridian` does for polygons. A line may come with continuous longitudes, beyond ±180, or
with the jump from 179.9 to −179.9 that a projection makes; neither may ever be drawn around the globe.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def split_lines(lines: NDArray[np.object_]) -> NDArray[np.object_]:
    """(n,) (multi)lines → the same within [−180, 180], cut at ±180; those that do not reach beyond come back untouched.

    Two neighbouring vertices more than 180° apart are joined the short way, across the antimeridian. Directions stay.
    """
    out = np.array(lines, dtype=object)
    parts, owner = shapely.get_parts(out, return_index=True)
    straight = _continuous(np.asarray(parts, dtype=object))
    bounds = shapely.bounds(straight)
    moved = (bounds[:, 0] < -180.0) | (bounds[:, 2] > 180.0)
    for row in np.unique(owner[moved]):
        pieces = [piece for part in straight[owner == row] for piece in _cut(part)]
        out[row] = pieces[0] if len(pieces) == 1 else shapely.multilinestrings(pieces)
    return out


def _continuous(parts: NDArray[np.object_]) -> NDArray[np.object_]:
    """Line strings without jumps: whole turns are added to the longitudes after one."""
    xy, line = shapely.get_coordinates(parts, return_index=True)
    if len(xy) == 0:
        return parts
    step = np.diff(xy[:, 0], prepend=xy[0, 0])
    first = np.diff(line, prepend=-1) > 0
    turns = np.cumsum(np.where(first, 0.0, -np.round(step / 360.0)))
    turns -= turns[first][np.cumsum(first) - 1]
    xy[:, 0] += 360.0 * turns
    return np.asarray(shapely.set_coordinates(parts.copy(), xy), dtype=object)


def _cut(line: shapely.LineString) -> list[shapely.LineString]:
    """Pieces of one line in its own order, each moved by whole turns into [−180, 180]."""
    xy = _with_seams(shapely.get_coordinates(line))
    # Between two seams a line stays on one turn of the globe: that of the middle of each of its steps.
    turn = np.floor(((xy[:-1, 0] + xy[1:, 0]) / 2 + 180.0) / 360.0)
    ends = np.flatnonzero(np.diff(turn) != 0) + 1
    edges = [0, *ends.tolist(), len(xy) - 1]
    pieces = []
    for start, stop in pairwise(edges):
        lon = np.clip(xy[start : stop + 1, 0] - 360.0 * turn[start], -180.0, 180.0)  # against rounding
        pieces.append(shapely.LineString(np.stack([lon, xy[start : stop + 1, 1]], axis=1)))
    return pieces


def _with_seams(xy: FloatArray) -> FloatArray:
    """(n, 2) vertices and, between them, the points where the line passes ±180 + k · 360."""
    west, east = np.minimum(xy[:-1, 0], xy[1:, 0]), np.maximum(xy[:-1, 0], xy[1:, 0])
    seam = 360.0 * np.ceil((west - 180.0) / 360.0) + 180.0  # the first one east of the western end, or on it
    passed = np.flatnonzero((seam > west) & (seam < east))
    before, after = xy[passed], xy[passed + 1]
    along = (seam[passed] - before[:, 0]) / (after[:, 0] - before[:, 0])
    points = np.stack([seam[passed], before[:, 1] + along * (after[:, 1] - before[:, 1])], axis=1)
    return np.insert(xy, passed + 1, points, axis=0)
