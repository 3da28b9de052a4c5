"""Error model: how errors of area hang together, between two dates and between glaciers.

Releases publish σ of an area in three independent parts (`core.measure.uncertainty`), and each behaves in its own way:

| part | between dates | between glaciers |
|---|---|---|
| boundary, where the free outline runs | independent | independent |
| hidden, what was not observed | independent | independent |
| model, whether what was mapped as ice is ice | ρₘ within one model, else independent | fully correlated |

Divides are in no part: they are the inventory's at every date, so their error is the same twice and cancels exactly.
A model that takes the same shadow for ice every year is wrong alike every year; ρₘ says how much so. Then, with m the
model's part,

    var(A₂ − A₁) = σ₁² + σ₂² − 2ρσ₁σ₂,    ρσ₁σ₂ = ρₘ·m₁·m₂,    c = (m₁² + m₂² − 2ρₘ·m₁·m₂) / var(A₂ − A₁),

where c is the share of the variance that all glaciers have in common. A sum over glaciers then has
var = Σ(1−c)·σᵢ² + (Σ√c·σᵢ)²: as in region_area, independent parts in quadrature and the model's part linearly.

Default ρₘ = ½ is an assumption, not a measurement (unchecked); 0 is the cautious choice, as σ is then largest.
A σ that is not divided (older releases), and that of an inventory, is taken cautiously: nothing of it cancels, and all
of it is common to glaciers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
# Pfeffer et al. 2014 (10.3189/2014JoG13J176): e = k·e₁·A^p, k = 3, as one standard deviation (unchecked).
_PFEFFER_K, _PFEFFER_E1, _PFEFFER_P = 3.0, 0.039, 0.7


@dataclass(frozen=True)
class ErrorModel:
    """correlation: ρₘ (see module); significance: k of |change| > k·σ.

    Raises ConfigError if the correlation is not in 0 … 1, or k not positive.
    """

    correlation: float = 0.5
    significance: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.correlation <= 1:
            raise ConfigError("--correlation", found=f"{self.correlation:g}", expected="a number in 0 … 1")
        if not self.significance > 0:
            raise ConfigError("--significance", found=f"{self.significance:g}", expected="a positive number of σ")

    @property
    def words(self) -> str:
        """The model in one line, for the tables."""
        return (
            "boundaries and hidden parts independent; the model's part fully correlated between glaciers, "
            f"and by {self.correlation:g} between dates of one model; divides cancel"
        )

    def covariance(self, first: Sigma, second: Sigma, same_model: BoolArray) -> FloatArray:
        """ρσ₁σ₂ of a glacier's areas at two dates, km⁴; shapes broadcast."""
        return np.where(same_model, self.correlation * first.model * second.model, 0.0)

    def new_each_date(self, sigma: Sigma) -> FloatArray:
        """σ of what is new at every date of a series by one model."""
        return np.sqrt(sigma.total**2 - self.correlation * sigma.model**2)


@dataclass(frozen=True, eq=False)
class Sigma:
    """σ of areas in km², any shape, NaN where there is no area. model: the part of it that is the model's, and of a σ
    that is not divided all of it. cancels: where the model's part may be the same error at another date."""

    total: FloatArray
    model: FloatArray
    cancels: BoolArray

    def at(self, column: int) -> Sigma:
        """One date of (n, k) arrays."""
        return Sigma(self.total[:, column], self.model[:, column], self.cancels[:, column])


def change_sigma(errors: ErrorModel, first: Sigma, second: Sigma, same_model: BoolArray) -> tuple[FloatArray, ...]:
    """(σ of A₂ − A₁, ρ, c) of each glacier; ρ and c are 0 where a σ is."""
    covariance = errors.covariance(first, second, same_model & first.cancels & second.cancels)
    variance = first.total**2 + second.total**2 - 2.0 * covariance
    common = first.model**2 + second.model**2 - 2.0 * covariance
    return np.sqrt(np.maximum(variance, 0.0)), _ratio(covariance, first.total * second.total), _ratio(common, variance)


def inventory_sigma_km2(area_km2: FloatArray) -> FloatArray:
    """σ of areas of an inventory that states none (RGI): Pfeffer et al. 2014, km²."""
    return np.asarray(_PFEFFER_K * _PFEFFER_E1 * area_km2**_PFEFFER_P, dtype=np.float64)


def sum_sigma(sigma: FloatArray, common: FloatArray) -> tuple[float, float]:
    """σ of a sum over glaciers: of what is independent, and of what is common; they add in quadrature. Both (n,)."""
    return float(np.sqrt(np.sum((1.0 - common) * sigma**2))), float(np.sum(np.sqrt(common) * sigma))


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """part / whole in 0 … 1, 0 where the whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, np.clip(part / whole, 0.0, 1.0), np.where(np.isnan(whole), np.nan, 0.0))
