"""Uncertainty of a glacier's area: three independent parts, each a standard deviation in km².

boundary: where exactly the line between ice and ground runs, `boundary_px` pixels along the outline (½ after Paul et
al. 2013, 10.3189/2013AoG63A296, and 2017, 10.1016/j.rse.2017.08.038). Divides are left out: their place is the
inventory's and no finding of the map.
model: whether what was called ice is ice. Errors of pixels are alike over `correlation_m` metres, so the sum of their
variances, Σ p(1 − p) a², is far too small, and their full correlation, Σ √(p(1 − p)) a, the bound; where a model has
votes, what they differ by is taken as alike over the whole glacier, because it is a property of the model and not of
the place. What a rule decided against the map is as doubtful as the two are apart. What was not seen is taken to be as
doubtful as the rest; new ice that goes on beyond the reach of an advance is doubtful altogether.
hidden: what was not observed: nothing is known of the share of it that is ice.

Regions: boundaries and hidden parts of different glaciers are independent, the model is the same in all of them, so its
parts add up (`core.release.region_area`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Float32 = NDArray[np.float32]
# Cells per correlation length: a third of it changes the sum by less than a percent, at a ninth of the work or less.
_CELLS = 3.0


@dataclass(frozen=True)
class AreaSigma:
    """Standard deviations, km²."""

    boundary: float
    model: float
    hidden: float

    @property
    def total(self) -> float:
        return float(np.sqrt(self.boundary**2 + self.model**2 + self.hidden**2))


def boundary_sigma(length_m: float, free: float, res_m: float, boundary_px: float) -> float:
    """km². length_m: of the outline; free: share of it that is no divide."""
    return boundary_px * res_m * length_m * free / 1e6


def free_share(ice: NDArray[np.bool_], others: NDArray[np.bool_]) -> float:
    """Share of the edge of a glacier's ice that does not lie against ground of other glaciers; 1 without an edge.

    Both (rows, cols); counted in sides of pixels, whose steps lengthen divides and margins alike.
    """
    edge = divide = 0
    for axis in (0, 1):
        one, next_ = _pair(ice, axis)
        a, b = _pair(others, axis)
        edge += int(np.count_nonzero(one != next_))
        divide += int(np.count_nonzero((one & b & ~next_) | (next_ & a & ~one)))
    return 1.0 - divide / edge if edge else 1.0


def hidden_sigma(hidden_km2: float, share: float) -> float:
    """km², of ground that was not observed and filled with `share` of ice: the mean error of that share where every
    share in [0, 1] is as likely."""
    return float(hidden_km2 * np.sqrt(1 / 12 + (share - 0.5) ** 2))


def model_sigma(
    probability: Float32,
    area_km2: Float32,
    res_m: float,
    correlation_m: float,
    spread: Float32 | None = None,
    mapped: Float32 | None = None,
) -> float:
    """km² of what a model may be wrong about. All (rows, cols): probability of ice, 0 where nothing is claimed;
    area_km2: ground that the glacier owns in each pixel; spread: deviation among votes; mapped: the probability before
    rules decided otherwise.

    The covariance of two pixels a distance d apart is √(v₁v₂) exp(−d² / 2L²), v = p(1 − p) less what the votes explain;
    where a rule decided, v is that of anything between the rule and the map, (p − mapped)² / 12, and votes are settled.
    """
    variance = probability * (1 - probability)
    if mapped is not None:
        decided = probability != mapped
        variance = np.where(decided, (probability - mapped) ** 2 / np.float32(12), variance)
        spread = None if spread is None else np.where(decided, np.float32(0), spread)
    apart = 0.0
    if spread is not None:
        variance = np.maximum(variance - spread**2, 0)
        apart = float(np.sum(spread * area_km2, dtype=np.float64))
    return float(np.hypot(_correlated(np.sqrt(variance) * area_km2, correlation_m / res_m), apart))


def _correlated(sigma: NDArray[np.floating], length_px: float) -> float:
    """√ΣΣ σᵢσⱼ exp(−d² / 2L²)."""
    rows, cols = np.nonzero(sigma)
    if len(rows) == 0:
        return 0.0
    part = sigma[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1].astype(np.float64)
    independent, together = float(np.sum(part**2)), float(part.sum())
    if length_px < 0.2:
        return float(np.sqrt(independent))
    cell = max(1, int(length_px / _CELLS))
    summed = _binned(part, cell)
    width = length_px / cell
    near = gaussian_filter(summed, width, mode="constant", truncate=3.0)
    # The filter's weights add up to one, those of the covariance to 2πL²; its middle weight is that of d = 0.
    covariance = float(np.sum(summed * near)) / _peak(width)
    return float(np.sqrt(min(max(covariance, independent), together**2)))


def _peak(width: float) -> float:
    """Middle weight of the filter, along both axes."""
    reach = int(3.0 * width + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return float(1.0 / weights.sum()) ** 2


def _binned(values: NDArray[np.float64], cell: int) -> NDArray[np.float64]:
    rows, cols = (-size % cell for size in values.shape)
    padded = np.pad(values, ((0, rows), (0, cols)))
    shape = padded.shape[0] // cell, cell, padded.shape[1] // cell, cell
    return np.asarray(padded.reshape(shape).sum(axis=(1, 3)))


def _pair(mask: NDArray[np.bool_], axis: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return (mask[:-1], mask[1:]) if axis == 0 else (mask[:, :-1], mask[:, 1:])
