"""Footprints: whether a scene shows a block, on a globe on which longitudes jump at 180°.

Blocks have continuous longitudes, scenes whatever their archive wrote: rings that jump, parts on either side, caps
around a pole, 0–360°. Every part of a scene is made continuous and tried one turn to either side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from shapely.strtree import STRtree

from core.grid import Block
from core.inventory import unwrap_longitudes
from core.search.item import WHOLE_TURN_DEG, Box, split_box

_STEP_M = 1000.0  # a straight metre line leaves the lon/lat chord by less than a metre; near a pole by 9° a step
_TURNS = (-360.0, 0.0, 360.0)


def block_footprints(blocks: Sequence[Block]) -> NDArray[np.object_]:
    """Outlines of blocks in lon/lat, densified; longitudes are continuous and may pass ±180."""
    out = np.empty(len(blocks), dtype=object)
    for zone in {b.zone for b in blocks}:
        rows = [k for k, b in enumerate(blocks) if b.zone == zone]
        squares = np.array([shapely.box(*blocks[k].bounds_m) for k in rows], dtype=object)
        out[rows] = zone.unproject(shapely.segmentize(squares, _STEP_M))
    return unwrap_longitudes(out)


def block_points(block: Block) -> NDArray[np.object_]:
    """25 points in lon/lat that stand for the parts of a block."""
    xmin, ymin, xmax, ymax = block.bounds_m
    at = (np.arange(5) + 0.5) / 5
    x, y = np.meshgrid(xmin + at * (xmax - xmin), ymin + at * (ymax - ymin))
    return np.asarray(shapely.points(*block.zone.unproject_points(x.ravel(), y.ravel())), dtype=object)


def request_boxes(footprints: NDArray[np.object_]) -> tuple[Box, ...]:
    """The box around footprints as a catalogue is asked for it: two where they cross 180°.

    Footprints on both sides of 180° are near each other, so those of one side are taken one turn on.
    """
    bounds = shapely.bounds(footprints)
    if bounds[:, 2].max() - bounds[:, 0].min() > 180.0 and (bounds[:, 2] - bounds[:, 0]).max() < 180.0:
        bounds[bounds[:, 0] + bounds[:, 2] < 0.0] += [360.0, 0.0, 360.0, 0.0]
    w, s = bounds[:, :2].min(axis=0).tolist()
    e, n = bounds[:, 2:].max(axis=0).tolist()
    return split_box((w, s, e, n))


class Grounds:
    """The ground of scenes, indexed once for many blocks."""

    def __init__(self, scenes: Sequence[BaseGeometry]) -> None:
        parts, owner = shapely.get_parts(np.array(scenes, dtype=object), return_index=True)
        parts = _continuous(parts) if len(parts) else parts
        self._tree = STRtree(np.concatenate([_turned(parts, degrees) for degrees in _TURNS]))
        self._owners = np.tile(owner, len(_TURNS))

    def meeting(self, footprints: NDArray[np.object_]) -> list[NDArray[np.int64]]:
        """For each footprint of a block the indices of the scenes that share ground with it, ascending."""
        block, part = self._tree.query(footprints, predicate="intersects")
        return [np.unique(self._owners[part[block == k]]).astype(np.int64) for k in range(len(footprints))]


def meeting(scenes: Sequence[BaseGeometry], footprints: NDArray[np.object_]) -> list[NDArray[np.int64]]:
    """As `Grounds.meeting`, of scenes that are asked for once."""
    return Grounds(scenes).meeting(footprints)


def box_geometry(*boxes: Box) -> BaseGeometry:
    """Boxes, of which w > e means across 180°, as one geometry within ±180."""
    parts = [shapely.box(*part) for box in boxes for part in split_box(box)]
    return shapely.union_all(np.array(parts, dtype=object))


def _continuous(parts: NDArray[np.object_]) -> NDArray[np.object_]:
    """A part as wide as the globe is one (a mosaic of everything); narrower, but wider than half of it, one jumps."""
    bounds = shapely.bounds(parts)
    width = bounds[:, 2] - bounds[:, 0]
    jumps = (width > 180.0) & (width < WHOLE_TURN_DEG)
    out = np.array(parts, dtype=object)
    if jumps.any():
        out[jumps] = unwrap_longitudes(out[jumps])
    broken = ~shapely.is_valid(out)
    out[broken] = shapely.make_valid(out[broken])
    return out


def _turned(geometry: NDArray[np.object_], degrees: float) -> NDArray[np.object_]:
    offset = np.array([degrees, 0.0])
    return np.asarray(shapely.transform(geometry, lambda xy: xy + offset), dtype=object)
