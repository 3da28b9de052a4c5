"""Sample: which glaciers of a region speak for themselves, and what sums need of them.

A glacier enters with its own rate if it was measured at both dates and seen well enough. How large it is, and how
certain, does not matter: an area within its own uncertainty is a measurement, its σ says what it is worth, and a sum of
all measurements is unbiased. A glacier that is nearly gone has little left to lose, and given the rate of its size in
the inventory it would lose more than it had. To choose by the size of a change would keep the largest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.change.pair import BOTH, Pair
from core.change.series import Series

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
MIN_OBSERVED = 0.9


@dataclass(frozen=True)
class Filter:
    """observed: least share of the outline that was seen, at both dates. DL4GAM keeps recall ≥ 0.9."""

    observed: float = MIN_OBSERVED


@dataclass(frozen=True, eq=False)
class Sample:
    """What the sums need of the glaciers of a region and period; arrays (n,).

    inventory_km2: NaN where unknown; rate, sigma: km²/yr, NaN unless used; change_km2, change_sigma_km2, first_km2,
    years: likewise; common: c. used: own rate counts; known: inventory area is known and > 0. direction: see `Pair`.
    stated_first_km2, stated_years: first area and time between dates wherever they are known, used or not.
    """

    region: str
    o2region: NDArray[np.object_]
    labels: tuple[str, str]
    inventory_km2: FloatArray
    first_km2: FloatArray
    change_km2: FloatArray
    change_sigma_km2: FloatArray
    rate: FloatArray
    sigma: FloatArray
    years: FloatArray
    common: FloatArray
    direction: NDArray[np.int8]
    used: BoolArray
    known: BoolArray
    stated_first_km2: FloatArray
    stated_years: FloatArray


def sample(series: Series, pair: Pair, keep: Filter) -> Sample:
    """The sample of one region and period."""
    inventory = series.glaciers["area_inventory_km2"].to_numpy(dtype=np.float64)
    known = np.isfinite(inventory) & (inventory > 0)
    used = known & (why_left_out(series, pair, keep) == "")
    return Sample(
        region=series.region,
        o2region=np.asarray(series.glaciers["o2region"].to_numpy(), dtype=object),
        labels=pair.labels,
        inventory_km2=inventory,
        first_km2=np.where(used, pair.area_first_km2, np.nan),
        change_km2=np.where(used, pair.change_km2, np.nan),
        change_sigma_km2=np.where(used, pair.change_sigma_km2, np.nan),
        rate=np.where(used, pair.rate_km2_a, np.nan),
        sigma=np.where(used, pair.rate_sigma_km2_a, np.nan),
        years=np.where(used, pair.years, np.nan),
        common=np.where(used, pair.common, 0.0),
        direction=pair.direction,
        used=used,
        known=known,
        stated_first_km2=pair.area_first_km2,
        stated_years=pair.years,
    )


def why_left_out(series: Series, pair: Pair, keep: Filter) -> NDArray[np.object_]:
    """Per glacier why its own rate does not count, empty where it does. A glacier that vanished counts: its area at the
    second date is 0 and known."""
    observed = np.minimum(series.observed[:, pair.first], series.observed[:, pair.second])
    reasons = (
        (pair.status != BOTH, "not measured at both dates"),
        (~np.isfinite(pair.rate_km2_a), "no time between the dates"),
        (~np.isfinite(pair.change_sigma_km2), "no uncertainty"),
        (~(observed >= keep.observed), "observed in part"),
    )
    return np.asarray(np.select([c for c, _ in reasons], [w for _, w in reasons], default="").astype(object))
