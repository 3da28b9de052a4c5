"""Multi-resolution segmentation: neighbouring pixels are merged for as long as the pieces stay homogeneous.

Region merging by local mutual best fitting (Baatz & Schäpe 2000, "Multiresolution segmentation"): two pieces join if
each is the other's most similar neighbour and the growth of heterogeneity stays below the scale. Heterogeneity is the
sum of squared deviations (Ward's criterion); shape plays no part. Every round is a handful of array operations over
all borders at once. The answer depends on the pixels of the ground and on nothing else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Index = NDArray[np.int64]
Float64 = NDArray[np.float64]


def segment(values: Float64, ground: NDArray[np.bool_], scale: float, min_pixels: int) -> tuple[NDArray[np.int32], int]:
    """((h, w) int32 labels from 1, 0 off the ground; their number).

    values: (layers, h, w), each divided by the difference that counts as one step; NaN = unknown, which takes the
    mean of its layer and so decides little. scale: largest growth of the sum of squared deviations (squared steps ×
    pixels) in one merger. min_pixels: a smaller piece joins its most similar neighbour, if it has one.
    """
    labels = np.zeros(ground.shape, dtype=np.int32)
    if not ground.any():
        return labels, 0
    pixels = np.stack([_known(layer[ground]) for layer in values])
    a, b = _neighbours(ground)
    flat = np.logical_and.reduce([layer[a] == layer[b] for layer in pixels])
    pieces = _Pieces(pixels, a, b)
    pieces.join(a[flat], b[flat])  # plateaus would otherwise grow by one merger a round
    while pieces.merge_mutual(scale):
        pass
    while pieces.absorb_small(min_pixels):
        pass
    # Numbered by their first pixel, so that the labels do not tell how they came about.
    _, first, back = np.unique(pieces.of_pixel, return_index=True, return_inverse=True)
    labels[ground] = np.argsort(np.argsort(first))[back] + 1
    return labels, len(first)


def _known(values: Float64) -> Float64:
    finite = np.isfinite(values)
    return np.where(finite, values, values[finite].mean() if finite.any() else 0.0)


def _neighbours(ground: NDArray[np.bool_]) -> tuple[Index, Index]:
    """Pairs of ground pixels, by their number on the ground, that share a side."""
    number = np.cumsum(ground).reshape(ground.shape) - 1
    across, down = ground[:, :-1] & ground[:, 1:], ground[:-1] & ground[1:]
    a = np.concatenate([number[:, :-1][across], number[:-1][down]])
    b = np.concatenate([number[:, 1:][across], number[1:][down]])
    return a.astype(np.int64), b.astype(np.int64)


class _Pieces:
    """Pieces of ground and the borders between them. Layers come first in every array: a gather from one long row is
    several times as fast as one of many short rows, and gathers are most of the work."""

    def __init__(self, pixels: Float64, a: Index, b: Index) -> None:
        self.of_pixel: Index = np.arange(pixels.shape[1])
        self.size: Float64 = np.ones(pixels.shape[1])
        self.sum = pixels
        self.a, self.b = a, b

    def join(self, a: Index, b: Index) -> None:
        """Join pieces pairwise, and all that hang together by it."""
        n = len(self.size)
        count, new = connected_components(coo_array((np.ones(len(a), np.int8), (a, b)), (n, n)), directed=False)
        self.of_pixel = new[self.of_pixel].astype(np.int64)
        self.size = np.asarray(np.bincount(new, self.size, count), dtype=np.float64)
        self.sum = np.stack([np.bincount(new, layer, count) for layer in self.sum])
        low, high = np.minimum(new[self.a], new[self.b]), np.maximum(new[self.a], new[self.b])
        # Sorting beats the hash table of `np.unique` by far on keys that are nearly in order.
        key = np.sort((low.astype(np.int64) * count + high)[low != high])
        key = key[np.diff(key, prepend=-1) > 0]
        self.a, self.b = key // max(count, 1), key % max(count, 1)

    def merge_mutual(self, scale: float) -> bool:
        """One round; False if no two pieces may join."""
        cost = self._cost()
        least = self._least(cost, self.a, self.b)
        mutual = (cost <= scale) & (cost == least[self.a]) & (cost == least[self.b])
        a, b = self.a[mutual], self.b[mutual]
        # Equal costs are told apart by a hash: in order of numbers a plateau would merge from one end only.
        tie = _mixed(a, b)
        first = self._least(tie, a, b)
        chosen = (tie == first[a]) & (tie == first[b])
        self.join(a[chosen], b[chosen])
        return bool(chosen.any())

    def absorb_small(self, min_pixels: int) -> bool:
        """One round; False if no small piece has a neighbour."""
        cost = self._cost()
        least = self._least(cost, self.a, self.b)
        # Each border twice, seen from either side.
        a, b, cost = np.append(self.a, self.b), np.append(self.b, self.a), np.append(cost, cost)
        wanted = (self.size[a] < min_pixels) & (cost == least[a])
        a, b = a[wanted], b[wanted]
        tie = _mixed(a, b)
        chosen = tie == self._least(tie, a)[a]
        self.join(a[chosen], b[chosen])
        return bool(chosen.any())

    def _cost(self) -> Float64:
        """Growth of the sum of squared deviations if the pieces on both sides of a border were one."""
        na, nb = self.size[self.a], self.size[self.b]
        apart = np.zeros(len(self.a))
        for layer in self.sum:
            mean = layer / self.size
            difference = mean[self.a]
            difference -= mean[self.b]
            difference *= difference
            apart += difference
        return np.asarray(na * nb / (na + nb) * apart)

    def _least(self, value: Float64, *pieces: Index) -> Float64:
        """(pieces,) smallest value of the borders that touch each; inf without any."""
        least = np.full(len(self.size), np.inf)
        for at in pieces:
            np.minimum.at(least, at, value)
        return least


def _mixed(a: Index, b: Index) -> Float64:
    return ((a * 0x9E3779B1 ^ b * 0x85EBCA77) & 0xFFFFFFFF).astype(np.float64)
