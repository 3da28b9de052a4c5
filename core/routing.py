"""Steepest-descent (D8) routing over a grid, by pointer doubling: log₂(longest path) array operations.

Receivers are flat cell numbers; a cell that receives from nobody lower is its own receiver (a root).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Receivers = NDArray[np.intp]
_OFFSETS = ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))


def receivers(surface: NDArray[np.float64]) -> tuple[Receivers, NDArray[np.float64]]:
    """(receiver of each cell, distance to it in cells), both flat; border cells and pits are roots."""
    rows, cols = surface.shape
    core = surface[1:-1, 1:-1]
    steepest = np.zeros_like(core)
    step = np.zeros(core.shape, dtype=np.intp)
    length = np.ones_like(core)
    for dr, dc in _OFFSETS:
        distance = float(np.hypot(dr, dc))
        drop = (core - surface[1 + dr : rows - 1 + dr, 1 + dc : cols - 1 + dc]) / distance
        better = drop > steepest
        steepest = np.where(better, drop, steepest)
        step[better] = dr * cols + dc
        length[better] = distance
    receiver = np.arange(rows * cols, dtype=np.intp).reshape(rows, cols)
    receiver[1:-1, 1:-1] += step
    distance_px = np.ones((rows, cols))
    distance_px[1:-1, 1:-1] = length
    return receiver.ravel(), distance_px.ravel()


def accumulate(receiver: Receivers, amount: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of `amount` over everything upstream of each cell, itself included: Σ Pᵏ a = Π (1 + P^2ᵏ) a."""
    n = receiver.size
    total = np.append(amount, 0.0)
    # Cell n swallows what has passed a root, so that roots do not feed themselves.
    jump = np.append(np.where(receiver == np.arange(n), n, receiver), n)
    while (jump[:n] < n).any():
        total[:n] += np.bincount(jump, weights=total, minlength=n + 1)[:n]
        total[n] = 0.0
        jump = jump[jump]
    return np.asarray(total[:n])


def roots(receiver: Receivers) -> Receivers:
    """The root that each cell drains to."""
    jump = receiver
    while True:
        further = jump[jump]
        if np.array_equal(further, jump):
            return jump
        jump = further


def relax_downstream(receiver: Receivers, own: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve z = own + weight · z[receiver] along every path (roots must have weight 0)."""
    value, factor, jump = own.copy(), weight.copy(), receiver
    while factor.any():
        value = value + factor * value[jump]
        factor = factor * factor[jump]
        jump = jump[jump]
    return value


def fill_pits(surface: NDArray[np.float64], inside: NDArray[np.bool_], tilt: float) -> NDArray[np.float64]:
    """The lowest surface above `surface` from which every cell of `inside` drains out of it, `tilt` metres a cell.

    Planchon & Darboux 2002 (doi:10.1016/S0341-8162(01)00164-3), as a fixed point of a 3 × 3 minimum.
    """
    water = np.where(inside, np.inf, surface)
    for _ in range(4 * max(surface.shape)):
        lower = np.maximum(surface, ndimage.minimum_filter(water, size=3, mode="nearest") + tilt)
        lower = np.where(inside, np.minimum(water, lower), surface)
        if np.array_equal(lower, water):
            break
        water = lower
    return np.where(np.isfinite(water), water, surface)
