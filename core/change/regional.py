"""Regional: the change of regions, from glaciers that were measured and a regression for those that were not.

A glacier that speaks for itself (`sample`) enters with its own rate, every other one of known inventory area with the
rate of its size (`size_regression`), but never with a loss of more than its first area, where that is known.

Errors (`error_model`): what the error of each measured rate does to a sum, in the glacier's own rate and through every
regression that it is part of, is added up before it is squared. So the world's σ knows that regions that take one
regression take its error alike. The common part, the model's, adds up linearly, within and across regions. Upper: all
of it common.
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
from core.release.schema import UNKNOWN_O2

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


@dataclass(frozen=True, eq=False)
class _Pulls:
    """What the measured rates (specific, of all samples in order) do to a sum, and what no rate says of it.

    direct: km² of each rate in the sum as the glacier's own; pull: through the regression; scattered: pull times the
    scatter of the regression, because a glacier's own deviation from it is no error of its rate, but one of the curve;
    all (N,). fresh: variance of the deviations of the extrapolated glaciers, km⁴/yr².
    """

    direct: FloatArray
    pull: FloatArray
    scattered: FloatArray
    fresh: float

    def sigmas(self, sigma: FloatArray, common: FloatArray) -> dict[str, Any]:
        """σ of measured, extrapolated and whole rate, in `own` and `common` parts. Both (N,), see `_errors`."""
        own, alike = np.sqrt(1.0 - common) * sigma, np.sqrt(common) * sigma
        scatter = float(np.sum(self.scattered**2)) + self.fresh

        def independent(weight: FloatArray, more: float) -> float:
            return float(np.sqrt(np.sum((weight * own) ** 2) + more))

        def together(weight: FloatArray) -> float:
            return abs(float(np.sum(weight * alike)))

        both = self.direct + self.pull
        return {
            "rate_measured_own": independent(self.direct, 0.0),
            "rate_measured_common": together(self.direct),
            "rate_extrapolated_own": independent(self.pull, scatter),
            "rate_extrapolated_common": together(self.pull),
            "rate_own": independent(both, scatter),
            "rate_common": together(both),
        }


@dataclass(frozen=True, eq=False)
class _Measured:
    """All used glaciers of all samples, in order. start: number of the first one of each sample and, last, of all."""

    sigma: FloatArray
    common: FloatArray
    start: tuple[int, ...]

    @staticmethod
    def of(samples: Sequence[Sample]) -> _Measured:
        sigma, common = (np.concatenate(column) for column in zip(*(_errors(s) for s in samples), strict=True))
        counts = [int(s.used.sum()) for s in samples]
        return _Measured(sigma, common, (0, *np.cumsum(counts).tolist()))

    def rows(self, number: int) -> slice:
        return slice(self.start[number], self.start[number + 1])


def fit_sample(samples: Sequence[Sample]) -> SizeRegression:
    """The regression over the used glaciers of one or several samples, in their order."""
    area, rate, sigma = (np.concatenate(column) for column in zip(*(_specific(s) for s in samples), strict=True))
    return fit_size(area, rate, sigma)


def region_totals(samples: Sequence[Sample]) -> list[Total]:
    """Totals of one period: each region, its second-order regions in order, and last the world (region `world`).

    A region with too few glaciers for a regression of its own takes that of all regions together. Glaciers without a
    second-order region are one by themselves (`unknown`), so that second-order regions add up.
    """
    everywhere: SizeRegression | None = None
    measured = _Measured.of(samples)
    rows: list[Total] = []
    regions: list[Total] = []
    pulls: list[_Pulls] = []
    for number, part in enumerate(samples):
        fit, base = fit_sample([part]), measured.rows(number)
        if fit.form == "none":
            everywhere = everywhere or fit_sample(samples)
            fit, base = everywhere, slice(None)
        regional = _Region(part, measured.rows(number), fit, base, measured)
        whole, pull = regional.total(np.ones(len(part.used), dtype=bool), None)
        regions.append(whole)
        pulls.append(pull)
        names = second_order(part.o2region)
        rows += [whole, *(regional.total(names == name, name)[0] for name in np.unique(names).tolist())]
    return [*rows, _world(regions, pulls, measured)]


@dataclass(frozen=True, eq=False)
class _Region:
    """A sample, where its used glaciers are among all `measured`, and its regression with those that it is made of."""

    part: Sample
    here: slice
    fit: SizeRegression
    base: slice
    measured: _Measured

    def total(self, chosen: BoolArray, o2region: str | None) -> tuple[Total, _Pulls]:
        """The total over the glaciers `chosen`, and what the measured rates do to it."""
        part, fit = self.part, self.fit
        own, other = part.used & chosen, part.known & chosen & ~part.used
        other = other if fit.form != "none" else np.zeros_like(other)
        inventory = part.inventory_km2
        years = float(np.average(part.years[own], weights=inventory[own])) if own.any() else float("nan")
        specific = fit.rate(inventory[other]) if other.any() else np.empty(0)
        weight = _losable(part, other, specific, years)
        pulls = self._pulls(own, inventory[other], weight)
        change_own, change_common = sum_sigma(part.change_sigma_km2[own], part.common[own])
        rate_measured, rate_extra = float(part.rate[own].sum()), float((weight * specific).sum())
        first = float(part.first_km2[own].sum())
        ratio = first / float(inventory[own].sum()) if own.any() else 1.0
        stated = part.stated_first_km2[other]
        upper = float(part.sigma[own].sum())
        scatter = float(np.sqrt(np.sum(pulls.scattered**2) + pulls.fresh))
        found = Total(
            o1region=part.region,
            o2region=o2region,
            labels=part.labels,
            n_glaciers=int(chosen.sum()),
            n_measured=int(own.sum()),
            n_extrapolated=int(other.sum()),
            n_advance=int((part.direction[own] > 0).sum()),
            n_retreat=int((part.direction[own] < 0).sum()),
            years=years,
            area_measured_km2=first,
            area_extrapolated_km2=float(np.where(np.isfinite(stated), stated, ratio * inventory[other]).sum()),
            change_measured_km2=float(part.change_km2[own].sum()),
            change_measured_own=change_own,
            change_measured_common=change_common,
            rate_measured=rate_measured,
            rate_measured_upper=upper,
            rate_extrapolated=rate_extra,
            rate=rate_measured + rate_extra,
            rate_upper=upper + float(np.sum(np.abs(pulls.pull) * self.measured.sigma)) + scatter,
            form=fit.form if other.any() else "none",
            scatter=fit.scatter,
            **pulls.sigmas(self.measured.sigma, self.measured.common),
        )
        return found, pulls

    def _pulls(self, own: BoolArray, area: FloatArray, weight: FloatArray) -> _Pulls:
        """own: glaciers that enter with their own rate; area, weight: of the others, km²."""
        n = len(self.measured.sigma)
        direct, pull = np.zeros(n), np.zeros(n)
        direct[self.here] = np.where(own, self.part.inventory_km2, 0.0)[self.part.used]
        if len(area):
            pull[self.base] = (weight @ self.fit.design(area)) @ self.fit.influence
        return _Pulls(direct, pull, self.fit.scatter * pull, float(np.sum((self.fit.scatter * weight) ** 2)))


def second_order(o2region: NDArray[np.object_]) -> NDArray[np.object_]:
    """Second-order regions by name; glaciers without one have `unknown`."""
    return np.array([UNKNOWN_O2 if name is None or name != name else str(name) for name in o2region], dtype=object)


def _losable(part: Sample, other: BoolArray, specific: FloatArray, years: float) -> FloatArray:
    """km² of the inventory that a glacier enters with: its area there, or less, where it would lose more than it had.
    specific: rates of the `other` glaciers, 1/yr; years: mean of the measured ones, for those without dates."""
    inventory, first, span = (v[other] for v in (part.inventory_km2, part.stated_first_km2, part.stated_years))
    span = np.where(np.isfinite(span), span, years)
    with np.errstate(divide="ignore", invalid="ignore"):
        most = np.where(specific * span < 0, first / (-specific * span), np.inf)
    return np.where(np.isfinite(most) & (span > 0), np.minimum(inventory, most), inventory)


def _world(regions: Sequence[Total], pulls: Sequence[_Pulls], measured: _Measured) -> Total:
    """The sum of regions. Errors of a rate count once, through whichever regressions they come."""

    def add(name: str) -> Any:
        return sum(getattr(r, name) for r in regions)

    seen = [r for r in regions if r.n_measured]
    weight = [r.area_measured_km2 for r in seen]
    together = _Pulls(
        direct=np.sum([p.direct for p in pulls], axis=0),
        pull=np.sum([p.pull for p in pulls], axis=0),
        scattered=np.sum([p.scattered for p in pulls], axis=0),
        fresh=sum(p.fresh for p in pulls),
    )
    sigmas = together.sigmas(measured.sigma, measured.common)
    told = {"o1region", "o2region", "labels", "years", "form", "scatter", "change_measured_own", *sigmas}
    return Total(
        o1region="world",
        o2region=None,
        labels=regions[0].labels,
        years=float(np.average([r.years for r in seen], weights=weight)) if sum(weight) > 0 else float("nan"),
        form="regional",
        scatter=float("nan"),
        change_measured_own=float(np.sqrt(sum(r.change_measured_own**2 for r in regions))),
        **sigmas,
        **{name: add(name) for name in Total.__dataclass_fields__ if name not in told},
    )


def _specific(part: Sample) -> tuple[FloatArray, FloatArray, FloatArray]:
    area = part.inventory_km2[part.used]
    return area, part.rate[part.used] / area, part.sigma[part.used] / area


def _errors(part: Sample) -> tuple[FloatArray, FloatArray]:
    """σ of the specific rates that went into a fit, and their common share."""
    area = part.inventory_km2[part.used]
    return part.sigma[part.used] / area, part.common[part.used]
