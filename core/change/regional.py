"""Regional: the change of regions, from glaciers that were measured and a regression for those that were not.

A glacier that speaks for itself (`sample`) enters with its own rate, every other one of known inventory area with the
rate of its size (`size_regression`).

Errors (`error_model`): of the independent part each glacier's error counts once, in its own rate and through the
regression together; the common part, the model's, adds up linearly, within and across regions. Upper: all of it
common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.change.error_model import sum_sigma
from core.change.sample import Sample
from core.change.size_regression import SizeRegression, fit_size

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Total:
    """The change of a region, of a second-order region or of the world, over one period; see `tables`.

    Rates in km²/yr, changes in km²; 0 where there is nothing to add. `own` is the σ of what is independent between
    glaciers, `common` of what is not: they add in quadrature here, and over regions each by itself.
    """

    o1region: str
    o2region: str | None
    labels: tuple[str, str]
    n_glaciers: int
    n_measured: int
    n_extrapolated: int
    n_advance: int
    n_retreat: int
    years: float
    area_measured_km2: float
    area_extrapolated_km2: float
    change_measured_km2: float
    change_measured_own: float
    change_measured_common: float
    rate_measured: float
    rate_measured_own: float
    rate_measured_common: float
    rate_measured_upper: float
    rate_extrapolated: float
    rate_extrapolated_own: float
    rate_extrapolated_common: float
    rate: float
    rate_own: float
    rate_common: float
    rate_upper: float
    form: str
    scatter: float


def fit_sample(samples: Sequence[Sample]) -> SizeRegression:
    """The regression over the used glaciers of one or several samples, in their order."""
    area, rate, sigma = (np.concatenate(column) for column in zip(*(_specific(s) for s in samples), strict=True))
    return fit_size(area, rate, sigma)


def total(part: Sample, chosen: BoolArray, fit: SizeRegression, base: Sequence[Sample], o2region: str | None) -> Total:
    """The total over the glaciers `chosen` of a sample. base: the samples that `fit` was made of, in order."""
    own, other = part.used & chosen, part.known & chosen & ~part.used
    inventory = part.inventory_km2
    weight = np.where(own, inventory, 0.0)  # of a specific rate in the sum
    other = other if fit.form != "none" else np.zeros_like(other)
    expected = inventory[other] * fit.rate(inventory[other]) if other.any() else np.empty(0)
    # What each rate of the base does to the extrapolated sum.
    pull = (inventory[other] @ fit.design(inventory[other])) @ fit.influence if other.any() else np.zeros(fit.n)
    sigma, common = (np.concatenate(column) for column in zip(*(_errors(s) for s in base), strict=True))
    here = np.concatenate([np.where(b is part, 1.0, 0.0) * np.ones(int(b.used.sum())) for b in base]) > 0
    direct = np.zeros(fit.n)
    direct[here] = weight[part.used]
    measured_own, measured_common = sum_sigma(part.sigma[own], part.common[own])
    change_own, change_common = sum_sigma(part.change_sigma_km2[own], part.common[own])
    noise = (1.0 - common) * sigma**2
    scatter = fit.scatter**2 * (float(np.sum(pull**2)) + float(np.sum(inventory[other] ** 2)))
    if not here.any() and own.any():  # the region's own glaciers are no part of the regression
        both_own, both_common = np.sqrt(measured_own**2 + np.sum(pull**2 * noise) + scatter), measured_common
        both_common += float(np.sum(pull * np.sqrt(common) * sigma))
    else:
        both_own = np.sqrt(float(np.sum((direct + pull) ** 2 * noise)) + scatter)
        both_common = float(np.sum((direct + pull) * np.sqrt(common) * sigma))
    extra_own = float(np.sqrt(np.sum(pull**2 * noise) + scatter))
    extra_common = float(np.sum(pull * np.sqrt(common) * sigma))
    rate_measured, rate_extra = float(part.rate[own].sum()), float(expected.sum())
    first = float(part.first_km2[own].sum())
    ratio = first / float(inventory[own].sum()) if own.any() else 1.0
    upper = float(part.sigma[own].sum())
    return Total(
        o1region=part.region,
        o2region=o2region,
        labels=part.labels,
        n_glaciers=int(chosen.sum()),
        n_measured=int(own.sum()),
        n_extrapolated=int(other.sum()),
        n_advance=int((part.direction[own] > 0).sum()),
        n_retreat=int((part.direction[own] < 0).sum()),
        years=float(np.average(part.years[own], weights=inventory[own])) if own.any() else float("nan"),
        area_measured_km2=first,
        area_extrapolated_km2=float(inventory[other].sum()) * ratio,
        change_measured_km2=float(part.change_km2[own].sum()),
        change_measured_own=change_own,
        change_measured_common=change_common,
        rate_measured=rate_measured,
        rate_measured_own=measured_own,
        rate_measured_common=measured_common,
        rate_measured_upper=upper,
        rate_extrapolated=rate_extra,
        rate_extrapolated_own=extra_own,
        rate_extrapolated_common=abs(extra_common),
        rate=rate_measured + rate_extra,
        rate_own=float(both_own),
        rate_common=abs(both_common),
        rate_upper=upper + float(np.sum(np.abs(pull) * sigma)) + float(np.sqrt(scatter)),
        form=fit.form if other.any() else "none",
        scatter=fit.scatter,
    )


def region_totals(samples: Sequence[Sample]) -> list[Total]:
    """Totals of one period: each region, its second-order regions in order, and last the world (region `world`).

    A region with too few glaciers for a regression of its own takes that of all regions together.
    """
    everywhere: SizeRegression | None = None
    rows: list[Total] = []
    regions: list[Total] = []
    for part in samples:
        fit, base = fit_sample([part]), [part]
        if fit.form == "none":
            everywhere = everywhere or fit_sample(samples)
            fit, base = everywhere, list(samples)
        whole = total(part, np.ones(len(part.used), dtype=bool), fit, base, None)
        regions.append(whole)
        rows.append(whole)
        names = sorted({str(name) for name in part.o2region if name is not None and name == name})
        rows += [total(part, part.o2region == name, fit, base, name) for name in names]
    return [*rows, world(regions)]


def world(regions: Sequence[Total]) -> Total:
    """The sum of regions: independent parts in quadrature, common parts linearly."""

    def add(name: str) -> float:
        return float(sum(getattr(r, name) for r in regions))

    def square(name: str) -> float:
        return float(np.sqrt(sum(getattr(r, name) ** 2 for r in regions)))

    seen = [r for r in regions if r.n_measured]
    weight = [r.area_measured_km2 for r in seen]
    values: dict[str, float] = {}
    for name in Total.__dataclass_fields__:
        if name.endswith("_own"):
            values[name] = square(name)
        elif name not in ("o1region", "o2region", "labels", "years", "form", "scatter"):
            values[name] = add(name)
    counts = {name: int(values.pop(name)) for name in list(values) if name.startswith("n_")}
    numbers: dict[str, Any] = {**counts, **values}
    # Between regions the common part of a change is taken to be the same error, as the model's is.
    return Total(
        o1region="world",
        o2region=None,
        labels=regions[0].labels,
        years=float(np.average([r.years for r in seen], weights=weight)) if sum(weight) > 0 else float("nan"),
        form="regional",
        scatter=float("nan"),
        **numbers,
    )


def _specific(part: Sample) -> tuple[FloatArray, FloatArray, FloatArray]:
    area = part.inventory_km2[part.used]
    return area, part.rate[part.used] / area, part.sigma[part.used] / area


def _errors(part: Sample) -> tuple[FloatArray, FloatArray]:
    """σ of the specific rates that went into a fit, and their common share."""
    area = part.inventory_km2[part.used]
    return part.sigma[part.used] / area, part.common[part.used]
