"""Which SIMULATED glacier each piece of ice belongs to: drainage basins of the ground, small ones joined.

Promise: a label for every cell of the site (off the ice too, the nearest glacier's), so that lines drawn between
labels cut any outline of any year into the same glaciers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from core.routing import fill_pits, receivers, roots
from core.simulate.noise import F32, reduce_mean

I32 = NDArray[np.int32]
_CELL_PX = 2  # cell of the labels, in scene pixels


def label_glaciers(ice: F32, terrain: F32, pixel_m: float, smallest_km2: float) -> tuple[I32, int]:
    """Basins of the ground under `ice` > 0: labels 0 … n − 1 on cells of two scene pixels, int32, and n.

    A basin below smallest_km2 joins the neighbour with which it shares the longest border, unless it stands alone.
    """
    inside = reduce_mean(np.asarray(ice > 0), _CELL_PX) > 0.5
    inside[[0, -1], :] = inside[:, [0, -1]] = False
    cell_km2 = (pixel_m * _CELL_PX / 1000.0) ** 2
    # A tongue bulges sideways, but the valley under it does not: the ground, not the ice, says who flows where.
    ground = ndimage.gaussian_filter(reduce_mean(terrain, _CELL_PX).astype(np.float64), 2.0)
    # Nunataks stand in the stream: a path that ends at one would cut the glacier in two.
    stream = ndimage.binary_fill_holes(ndimage.binary_closing(inside, iterations=2) | inside)
    receiver, _ = receivers(fill_pits(ground, stream, 0.02))
    stops = np.where(stream.ravel(), receiver, np.arange(receiver.size))
    label = np.where(inside, roots(stops).reshape(inside.shape), -1)
    for _ in range(40):
        label = _pieces(label)
        merged = _join_small(label, smallest_km2 / cell_km2)
        if np.array_equal(merged, label):
            break
        label = merged
    nearest = ndimage.distance_transform_edt(label < 0, return_distances=False, return_indices=True)
    names, dense = np.unique(label[tuple(np.asarray(nearest))], return_inverse=True)
    return np.asarray(dense.reshape(label.shape), dtype=np.int32), len(names)


def _neighbours(label: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Flat numbers of cells beside each other (4-neighbours), both inside."""
    number = np.arange(label.size).reshape(label.shape)
    a = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
    b = np.concatenate([number[:, 1:].ravel(), number[1:].ravel()])
    flat = label.ravel()
    both = (flat[a] >= 0) & (flat[b] >= 0)
    return a[both], b[both]


def _pieces(label: NDArray[np.integer]) -> I32:
    """A new dense label for each connected piece of each label; −1 stays."""
    a, b = _neighbours(label)
    same = label.ravel()[a] == label.ravel()[b]
    graph = coo_array((np.ones(int(same.sum()), dtype=bool), (a[same], b[same])), shape=(label.size, label.size))
    _, piece = connected_components(graph, directed=False)
    _, dense = np.unique(piece[label.ravel() >= 0], return_inverse=True)
    out = np.full(label.size, -1, dtype=np.int32)
    out[label.ravel() >= 0] = dense
    return out.reshape(label.shape)


def _join_small(label: I32, smallest_cells: float) -> I32:
    """Join the small pieces to their longest neighbour; the smaller half of them first, so that chains stay short."""
    a, b = _neighbours(label)
    la, lb = label.ravel()[a], label.ravel()[b]
    differ = la != lb
    n = int(label.max()) + 1
    pairs = np.concatenate([la[differ] * np.int64(n) + lb[differ], lb[differ] * np.int64(n) + la[differ]])
    pair, border = np.unique(pairs, return_counts=True)
    own, other = pair // n, pair % n
    cells = np.bincount(label[label >= 0], minlength=n)
    order = np.lexsort((other, -border, own))
    first = np.unique(own[order], return_index=True)[1]
    best = np.arange(n)
    best[own[order][first]] = other[order][first]
    # Only into a larger piece (ties: the lower number), so that no two swap places.
    rank = np.empty(n, dtype=np.int64)
    rank[np.lexsort((-np.arange(n), cells))] = np.arange(n)
    joins = (cells < smallest_cells) & (rank[best] > rank)
    target = roots(np.where(joins, best, np.arange(n)).astype(np.intp))
    return np.where(label >= 0, target[np.maximum(label, 0)], -1).astype(np.int32)
