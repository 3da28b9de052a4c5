"""Size regression: the rate of glaciers that were not measured, from those of their size that were.

Specific rates (km² per year and km² of the *inventory*) against log10 of inventory area, a weighted quadratic as in
DL4GAM (Diaconu et al. 2025, 10.1029/2025EA004197). The inventory's area is known for every glacier and its error is not
that of the areas that are compared; a rate relative to the first mapped area would be biased by that area's own error,
most for the smallest glaciers.

Weights are 1/(σ² + τ²), where τ is the scatter of true rates between glaciers of one size, found such that residuals
have the variance that the weights say (Paule & Mandel 1982, 10.6028/jres.087.022), times Huber's weights, so that a
surge does not decide what small glaciers do. Fewer glaciers get a line, very few a mean; sizes beyond those that were
measured get the rate of the nearest size that was, as a parabola runs away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
# Least glaciers for a mean, a line, a quadratic.
LEAST = (3, 8, 20)
FORMS = ("none", "mean", "linear", "quadratic")
_HUBER = 2.5  # in standard deviations: keeps the mean of what is normal, as a sum needs
_ROUNDS = 30
_LEAST_NOISE = 0.1  # of the median σ
_SMALLEST_SPREAD = 0.3  # of log10 area, for a slope to mean anything


@dataclass(frozen=True, eq=False)
class SizeRegression:
    """rate = Σ coefficientₖ·xᵏ, x = log10(area) − centre, clipped to low … high.

    influence: (p, n), coefficients per unit of each rate that went in, so that errors can be followed; scatter: τ.
    form: one of FORMS; n: glaciers used. Units: 1/yr.
    """

    form: str
    n: int
    centre: float
    low: float
    high: float
    coefficients: FloatArray
    influence: FloatArray
    scatter: float

    def design(self, area_km2: FloatArray) -> FloatArray:
        """(m, p) powers of x for glaciers of these areas."""
        x = np.clip(np.log10(area_km2), self.low, self.high) - self.centre
        return np.vander(x, len(self.coefficients), increasing=True)

    def rate(self, area_km2: FloatArray) -> FloatArray:
        """Specific rate, 1/yr, for glaciers of these areas: (m,)."""
        return np.asarray(self.design(area_km2) @ self.coefficients)

    def rate_sigma(self, area_km2: FloatArray, sigma: FloatArray) -> FloatArray:
        """σ of one glacier's own rate: coefficients and scatter. sigma: of the rates that went in."""
        spread = self.design(area_km2) @ self.influence
        variance = (spread**2) @ (sigma**2 + self.scatter**2)
        return np.sqrt(variance + self.scatter**2)


def fit_size(area_km2: FloatArray, rate: FloatArray, sigma: FloatArray) -> SizeRegression:
    """The regression. area_km2: inventory areas > 0; rate, sigma: specific rates, 1/yr, all finite; all (n,).

    Fewer than three glaciers: form `none` and no coefficients.
    """
    n = len(rate)
    if n < LEAST[0]:
        nothing = np.empty(0)
        return SizeRegression("none", n, 0.0, 0.0, 0.0, nothing, np.empty((0, n)), 0.0)
    x = np.log10(area_km2)
    low, high = float(x.min()), float(x.max())
    terms = sum(n >= least for least in LEAST) if np.ptp(x) >= _SMALLEST_SPREAD else 1
    terms = min(terms, len(np.unique(x)))
    centre = float(x.mean())
    design = np.vander(x - centre, terms, increasing=True)
    # A glacier that is gone has a σ of 0, and would have all the weight.
    noise = np.maximum(sigma, max(_LEAST_NOISE * float(np.median(sigma)), 1e-12))
    scatter = float(np.std(rate))
    huber = np.ones(n)
    fit, influence = _weighted(design, rate, huber / (noise**2 + scatter**2))
    for _ in range(_ROUNDS):
        left = rate - design @ fit
        scatter = _paule_mandel(left, noise, terms)
        spread = np.sqrt(noise**2 + scatter**2)
        huber = np.minimum(1.0, _HUBER * spread / np.maximum(np.abs(left), 1e-300))
        before = fit
        fit, influence = _weighted(design, rate, huber / spread**2)
        if np.allclose(fit, before, rtol=1e-9, atol=1e-15):
            break
    return SizeRegression(FORMS[terms], n, centre, low, high, fit, influence, scatter)


def _weighted(design: FloatArray, rate: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients and their dependence on each rate."""
    scaled = design * (weight / weight.max())[:, None]
    influence = np.asarray(np.linalg.pinv(design.T @ scaled) @ scaled.T)
    return np.asarray(influence @ rate), influence


def _paule_mandel(left: FloatArray, noise: FloatArray, terms: int) -> float:
    """τ with Σ left²/(σ² + τ²) = n − p, by bisection; 0 if residuals are no larger than σ. Residuals count up to
    Huber's limit of a robust spread, so that one surge is no scatter of all."""
    free = max(len(left) - terms, 1)
    limit = _HUBER * 1.4826 * float(np.median(np.abs(left)))
    spread = np.maximum(limit, _HUBER * noise)
    left = np.minimum(np.abs(left), spread)
    low, high = 0.0, float(np.sqrt(np.mean(left**2) * len(left) / free)) + float(noise.max())
    if np.sum(left**2 / noise**2) <= free:
        return 0.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if np.sum(left**2 / (noise**2 + middle**2)) > free:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
