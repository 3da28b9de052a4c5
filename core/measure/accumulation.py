"""Snow-covered accumulation area: snow inside the old outline that drains into mapped ice belongs to the glacier.

After GlacierNet2 (Xie et al. 2022, 10.1016/j.jag.2022.102921): where fresh snow hides the upper glacier from the net,
pixels with a snow index above 0.7 are added if the way of steepest descent from them leads into the mapped ablation
area. Flow runs to the steepest of eight neighbours (D8); a closed depression spills over its lowest pass into the
next basin and so on to the rim (Cordonnier et al. 2019, 10.5194/esurf-7-549-2019), so noise of the elevation model
does not stop it. Everything happens in the bounding box of the outline, whatever the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from core.routing import roots

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Index = NDArray[np.int64]
MIN_SNOW_INDEX = 0.7
_OFFSETS = ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True)
class Accumulation:
    """probability: (rows, cols) float32, 1 where snow was added. added: (rows, cols) bool."""

    probability: Float32
    added: Bool


def add_accumulation(
    probability: Float32,
    snow_index: Float32,
    elevation_m: Float32,
    within: Bool,
    threshold: float = 0.5,
    min_snow_index: float = MIN_SNOW_INDEX,
) -> Accumulation:
    """Add the snow of the accumulation area to one glacier's map.

    probability: (rows, cols) float32, NaN where not observed (which is never added); snow_index: NDSI or alike, NaN =
    unknown; elevation_m: NaN = unknown, through which nothing flows; within: pixels of the old outline, the only ones
    that are added and the only ice that counts as mapped. The input is not changed.
    """
    added = np.zeros(within.shape, dtype=bool)
    rows, cols = np.flatnonzero(within.any(axis=1)), np.flatnonzero(within.any(axis=0))
    if not rows.size:
        return Accumulation(probability, added)
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
    ice = within[box] & (probability[box] >= threshold)
    snow = within[box] & (probability[box] < threshold) & (snow_index[box] > min_snow_index)
    snow &= np.isfinite(elevation_m[box])
    if not (ice.any() and snow.any()):
        return Accumulation(probability, added)
    ground_m = elevation_m[box].astype(np.float64)
    receiver = spill(ground_m, steepest_receivers(ground_m))
    added[box] = snow & reaches(receiver, ice.ravel()).reshape(ice.shape)
    return Accumulation(np.where(added, np.float32(1.0), probability), added)


def steepest_receivers(elevation_m: Float64) -> Index:
    """(rows · cols,) flat number of the pixel that each one drains to; itself if none of its neighbours lies lower.

    Of equally steep ways the first of north, west, east, south and the diagonals is taken. Unknown pixels (NaN) are
    their own receivers and receive nothing.
    """
    rows, cols = elevation_m.shape
    framed = np.pad(elevation_m, 1, constant_values=np.nan)
    steepest, step = np.zeros((rows, cols)), np.zeros((rows, cols), dtype=np.int64)
    for dr, dc in _OFFSETS:
        drop = (elevation_m - framed[1 + dr : rows + 1 + dr, 1 + dc : cols + 1 + dc]) / np.hypot(dr, dc)
        better = drop > steepest  # never true of NaN
        steepest[better] = drop[better]
        step[better] = dr * cols + dc
    return np.arange(rows * cols) + step.ravel()


def spill(elevation_m: Float64, receiver: Index) -> Index:
    """Receivers with which every closed depression drains over its lowest pass, on towards the rim of the array.

    A basin is all that drains to one pit; pits on the rim or beside unknown ground are outlets. Of all ways out the
    one is taken whose highest pass is lowest: the minimum spanning tree of basins, seen from outside. The pit hands
    its water straight to the far side of the pass. In a bowl without any outlet all drains to the deepest pit.
    """
    pits, basin = np.unique(roots(receiver), return_inverse=True)
    here, there, pass_m = _lowest_passes(elevation_m, basin, len(pits))
    enclosed = minimum_filter(np.isfinite(elevation_m), size=3, mode="constant", cval=False)
    open_pits, outside = np.flatnonzero(~enclosed.ravel()[pits]), len(pits)
    if not open_pits.size:
        open_pits = np.array([np.nanargmin(elevation_m.ravel()[pits])])
    # No weight may be 0, which a sparse graph takes for no edge. An outlet costs less than any pass.
    weight = np.append(pass_m - pass_m.min(initial=np.inf) + 2.0, np.ones(len(open_pits)))
    one = np.append(basin[here], open_pits)
    other = np.append(basin[there], np.full(len(open_pits), outside))
    tree = minimum_spanning_tree(coo_array((weight, (one, other)), (outside + 1, outside + 1)).tocsr())
    _, below = breadth_first_order(tree, outside, directed=False)
    spilt = receiver.copy()
    for near, far in ((here, there), (there, here)):
        over = below[basin[near]] == basin[far]
        spilt[pits[basin[near[over]]]] = far[over]
    return spilt


def _lowest_passes(elevation_m: Float64, basin: Index, basins: int) -> tuple[Index, Index, Float64]:
    """(pixel on one side, pixel on the other, height of the pass between them) of each two basins that touch."""
    rows, cols = elevation_m.shape
    number, height = np.arange(rows * cols).reshape(rows, cols), elevation_m.ravel()
    pairs = [
        (number[:, :-1], number[:, 1:]),
        (number[:-1], number[1:]),
        (number[:-1, :-1], number[1:, 1:]),
        (number[:-1, 1:], number[1:, :-1]),
    ]
    here, there = (np.concatenate([side.ravel() for side in sides]) for sides in zip(*pairs, strict=True))
    low, high = np.minimum(basin[here], basin[there]), np.maximum(basin[here], basin[there])
    pass_m = np.maximum(height[here], height[there])
    apart = np.flatnonzero((low != high) & np.isfinite(pass_m))
    # One number for each two basins; equally low passes stay in the order of the pairs above.
    key = (low * basins + high)[apart]
    order = np.lexsort((pass_m[apart], key))
    lowest = apart[order[np.diff(key[order], prepend=-1) > 0]]
    return here[lowest], there[lowest], pass_m[lowest]


def reaches(receiver: Index, goal: Bool) -> Bool:
    """(pixels,) whether the flow from a pixel meets the goal, itself included."""
    met, jump = goal.copy(), receiver
    while True:
        further = jump[jump]
        met = met | met[jump]
        if np.array_equal(further, jump):
            return met
        jump = further
