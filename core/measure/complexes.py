"""Complexes: glaciers that meet at ice divides and share one outline, divided into single glaciers.

After Kienholz et al. 2013 (10.3189/2013JoG12J138): the ice surface is cut into the catchments of its low points, and
catchments are merged again until each is one glacier. Two of them are one glacier where

- the *sag* between them is shallow: from the higher of their low points it is less than `sag_m` up to the pass. Every
  hollow and every bulge along a margin makes a catchment, and so does each lobe of a tongue;
- their low points are within a radius that grows with the area, r = 143 m · √(area in km²), at most 650 m;
- one is smaller than `smallest_km2`: it joins the neighbour with which it shares the longest border.

Where the paper burns a gutter of 100 m around the ice to lead its water to few pour points, the sag does that here: low
points of the ice itself are compared over the lowest pass between them, the lowest pass first. Radii are those of the
paper as commonly quoted (unchecked). The pieces tile the outline: nothing is lost, and nothing belongs to two.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from core.coverage import coverage_share
from core.errors import PoisonError
from core.grid import Lattice, PixelWindow
from core.routing import receivers, roots

Labels = NDArray[np.int64]
_POLYGON = 3
_WALL_M = 1e5  # what is no ice: nothing flows there


@dataclass(frozen=True)
class DivideRules:
    """See module. smoothing_m: standard deviation of the Gaussian that takes the noise out of the elevations;
    min_known: share of the ice whose elevation must be known."""

    smoothing_m: float = 60.0
    sag_m: float = 100.0
    radius_m: float = 143.0
    radius_max_m: float = 650.0
    smallest_km2: float = 0.05
    min_known: float = 0.9


def complex_window(bounds_m: Sequence[float], lattice: Lattice, rules: DivideRules) -> PixelWindow:
    """The window whose elevations divide a complex: its bounds, and what smoothing looks at around them."""
    xmin, ymin, xmax, ymax = (float(b) for b in bounds_m)
    return lattice.cover((xmin, ymin, xmax, ymax)).pad(math.ceil(4 * rules.smoothing_m / lattice.res_m) + 1)


def divide_complex(
    outline_m: shapely.Geometry,
    elevation_m: NDArray[np.float32],
    lattice: Lattice,
    window: PixelWindow,
    rules: DivideRules | None = None,
) -> NDArray[np.object_]:
    """The glaciers of one complex: (multi)polygons in zone metres that tile it, the largest first.

    elevation_m: (rows, cols) metres on `complex_window`, NaN unknown; a void takes the nearest known elevation. Divides
    follow pixels, smoothed by about one of them. Raises PoisonError if too little of the ice has an elevation.
    """
    rules = rules or DivideRules()
    whole = np.array([outline_m], dtype=object)
    share = coverage_share(whole, lattice, window)
    ice = share >= 0.5
    if not ice.any():
        return whole
    ground = _smooth(elevation_m, ice, rules, lattice.res_m)
    cell_km2 = (lattice.res_m / 1000) ** 2
    label, low = _catchments(ground, ice)
    label = _merge(label, low, ground, ice, rules, lattice.res_m)
    label = _absorb(label, rules.smallest_km2 / cell_km2)
    if int(label.max()) == int(label[ice].min()):
        return whole
    return _polygons(label, outline_m, lattice, window, rules.smallest_km2 * 1e6)


def _smooth(
    elevation_m: NDArray[np.float32], ice: NDArray[np.bool_], rules: DivideRules, res_m: int
) -> NDArray[np.float64]:
    known = np.isfinite(elevation_m)
    share = float(known[ice].mean())
    if share < rules.min_known:
        raise PoisonError(
            "elevation model",
            found=f"elevations for {share:.0%} of the ice",
            expected=f"at least {rules.min_known:.0%}",
            fix="give an elevation model that covers the complex",
        )
    filled = elevation_m.astype(np.float64)
    if not known.all():
        nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
        filled = filled[tuple(np.asarray(nearest))]
    return np.asarray(gaussian_filter(filled, rules.smoothing_m / res_m, mode="nearest"))


def _catchments(ground: NDArray[np.float64], ice: NDArray[np.bool_]) -> tuple[Labels, NDArray[np.intp]]:
    """(label of every pixel, −1 off the ice; low point of every label, flat) of the catchments of the ice surface.

    Nunataks are part of the surface: a stream parts at them and does not end there.
    """
    stream = binary_fill_holes(ice)
    framed = np.pad(np.where(stream, ground, _WALL_M), 1, constant_values=_WALL_M)
    receiver, _ = receivers(framed)
    root = roots(receiver).reshape(framed.shape)[1:-1, 1:-1]
    low, label = np.unique(root[stream], return_inverse=True)
    out = np.full(ice.shape, -1, dtype=np.int64)
    out[stream] = label
    row, col = np.divmod(low, framed.shape[1])
    return out, (row - 1) * ice.shape[1] + (col - 1)


def _pairs(label: Labels, *, corners: bool) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Flat numbers of pixels beside each other, both labelled."""
    number = np.arange(label.size).reshape(label.shape)
    cuts: list[tuple[Any, Any]] = [(np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])]
    if corners:
        cuts += [(np.s_[:-1, :-1], np.s_[1:, 1:]), (np.s_[:-1, 1:], np.s_[1:, :-1])]
    a = np.concatenate([number[one].ravel() for one, _ in cuts])
    b = np.concatenate([number[other].ravel() for _, other in cuts])
    both = (label.ravel()[a] >= 0) & (label.ravel()[b] >= 0)
    return a[both], b[both]


def _merge(
    label: Labels,
    low: NDArray[np.intp],
    ground: NDArray[np.float64],
    ice: NDArray[np.bool_],
    rules: DivideRules,
    res_m: int,
) -> Labels:
    """Labels of glaciers: catchments joined over shallow sags and between near low points; −1 off the ice."""
    a, b = _pairs(label, corners=True)
    height = np.maximum(ground.ravel()[a], ground.ravel()[b])
    one, other = label.ravel()[a], label.ravel()[b]
    differ = one != other
    first, second = np.minimum(one, other)[differ], np.maximum(one, other)[differ]
    # The lowest pass of every pair of neighbours, and the lowest of all first.
    order = np.lexsort((height[differ], second, first))
    first, second, height = first[order], second[order], height[differ][order]
    lowest = np.flatnonzero(np.diff(first, prepend=-1) | np.diff(second, prepend=-1))
    lowest = lowest[np.argsort(height[lowest], kind="stable")]
    area_km2 = np.bincount(label[ice], minlength=len(low)) * (res_m / 1000) ** 2
    bottom = ground.ravel()[low]
    row, col = np.divmod(low, label.shape[1])
    into = list(range(len(low)))
    for i, j, top in zip(first[lowest].tolist(), second[lowest].tolist(), height[lowest].tolist(), strict=True):
        keep, gone = sorted((_root(into, i), _root(into, j)), key=lambda k: (bottom[k], k))
        if keep == gone:
            continue
        apart_m = math.hypot(row[keep] - row[gone], col[keep] - col[gone]) * res_m
        radius_m = min(rules.radius_max_m, rules.radius_m * math.sqrt(max(area_km2[keep], area_km2[gone])))
        if top - bottom[gone] < rules.sag_m or apart_m <= radius_m:
            into[gone] = keep
            area_km2[keep] += area_km2[gone]
    glacier = np.array([_root(into, k) for k in range(len(low))])
    return np.where(ice, glacier[np.maximum(label, 0)], -1)


def _root(into: list[int], k: int) -> int:
    while into[k] != k:
        into[k] = into[into[k]]
        k = into[k]
    return k


def _absorb(label: Labels, smallest_px: float) -> Labels:
    """Labels without small pieces: each joins the piece with which it shares the longest border, the smallest first.

    A glacier in several pieces (around a nunatak) loses the small ones; what stands alone stays.
    """
    a, b = _pairs(label, corners=False)
    flat = label.ravel()
    same = flat[a] == flat[b]
    graph = coo_array((np.ones(int(same.sum()), dtype=bool), (a[same], b[same])), shape=(label.size, label.size))
    piece = np.full(label.size, -1, dtype=np.int64)
    _, number = connected_components(graph, directed=False)
    _, at, piece[flat >= 0] = np.unique(number[flat >= 0], return_index=True, return_inverse=True)
    name = flat[flat >= 0][at]
    size = np.bincount(piece[piece >= 0]).tolist()
    border: list[dict[int, int]] = [{} for _ in size]
    one, other = piece[a[~same]], piece[b[~same]]
    pairs, count = np.unique(np.stack([np.append(one, other), np.append(other, one)]), axis=1, return_counts=True)
    for i, j, n in zip(*pairs.tolist(), count.tolist(), strict=True):
        border[i][j] = n
    into = list(range(len(size)))
    queue = [(n, k) for k, n in enumerate(size) if n < smallest_px]
    heapq.heapify(queue)
    while queue:
        n, k = heapq.heappop(queue)
        if into[k] != k or size[k] != n or not border[k]:
            continue
        home = max(border[k], key=lambda j: (border[k][j], size[j], -j))
        into[k] = home
        size[home] += n
        for j, length in border[k].items():
            del border[j][k]
            if j != home:
                border[home][j] = border[j][home] = border[home].get(j, 0) + length
        if size[home] < smallest_px:
            heapq.heappush(queue, (size[home], home))
    final = np.array([name[_root(into, k)] for k in range(len(size))])
    return np.where(piece >= 0, final[np.maximum(piece, 0)], -1).reshape(label.shape)


def _polygons(
    label: Labels, outline_m: shapely.Geometry, lattice: Lattice, window: PixelWindow, smallest_m2: float
) -> NDArray[np.object_]:
    """The outline cut along the borders of labels, which are drawn on to the frame of the window."""
    nearest = distance_transform_edt(label < 0, return_distances=False, return_indices=True)
    names, dense = np.unique(label[tuple(np.asarray(nearest))], return_inverse=True)
    found = rasterio.features.shapes(dense.reshape(label.shape).astype(np.int32), transform=lattice.transform(window))
    shapes, of = zip(*((shapely.geometry.shape(shape), int(k)) for shape, k in found), strict=True)
    cells = shapely.coverage_simplify(np.array(shapes, dtype=object), float(lattice.res_m))
    cut, row = shapely.get_parts(shapely.intersection(cells, outline_m), return_index=True)
    flat = shapely.get_type_id(cut) == _POLYGON
    parts, glacier = _tidy(cut[flat], np.array(of)[row[flat]], smallest_m2)
    pieces = [shapely.union_all(parts[glacier == k]) for k in range(len(names)) if (glacier == k).any()]
    out = np.array([*pieces, None], dtype=object)[:-1]
    return out[np.argsort(-shapely.area(out), kind="stable")]


def _tidy(
    parts: NDArray[np.object_], glacier: NDArray[np.int64], smallest_m2: float
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Give small parts that the cut left away from their glacier to the one beside them."""
    area = shapely.area(parts)
    main = np.zeros(len(parts), dtype=bool)
    order = np.argsort(-area, kind="stable")
    main[order[np.unique(glacier[order], return_index=True)[1]]] = True
    main |= area >= smallest_m2
    tree = shapely.STRtree(parts)
    glacier = glacier.copy()
    for k in np.flatnonzero(~main)[np.argsort(-area[~main], kind="stable")]:
        beside = tree.query(parts[k])
        beside = beside[main[beside]]
        shared = shapely.length(shapely.intersection(shapely.boundary(parts[beside]), shapely.boundary(parts[k])))
        if len(beside) and shared.max() > 0:
            glacier[k] = glacier[beside[int(np.argmax(shared))]]
    return parts, glacier
