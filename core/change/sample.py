"""Sample: which glaciers of a region speak for themselves, and what sums need of them.

A glacier enters with its own rate if it was measured at both dates, seen well enough and is larger than its own
uncertainty at both. Choosing by the size of an area, not of a change, matters: to keep only changes that stand out
would keep the largest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.change.pair import BOTH, Pair
from core.change.series import Series

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
MIN_OBSERVED, MIN_SNR = 0.9, 1.0


@dataclass(frozen=True)
class Filter:
    """observed: least share of the outline that was seen; snr: least area ÷ σ; both at both dates.

    DL4GAM keeps recall ≥ 0.9 and signal-to-noise ≥ 1; whose signal it means is unchecked, here it is the area.
    """

    observed: float = MIN_OBSERVED
    snr: float = MIN_SNR


@dataclass(frozen=True, eq=False)
class Sample:
    """What the sums need of the glaciers of a region and period; arrays (n,).

    inventory_km2: NaN where unknown; rate, sigma: km²/yr, NaN unless used; change_km2, change_sigma_km2, first_km2,
    years: likewise; common: c. used: own rate counts; known: inventory area is known and > 0. direction: see `Pair`.
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
    )


def why_left_out(series: Series, pair: Pair, keep: Filter) -> NDArray[np.object_]:
    """Per glacier why its own rate does not count, empty where it does. A glacier that vanished counts: its area at the
    second date is 0 and known."""
    observed = np.minimum(series.observed[:, pair.first], series.observed[:, pair.second])
    weak = pair.area_first_km2 < keep.snr * pair.sigma_first_km2
    with np.errstate(invalid="ignore"):
        lost = pair.area_second_km2 < 0.5 * pair.area_first_km2  # what is small because it shrank is a signal
        weak |= (pair.area_second_km2 < keep.snr * pair.sigma_second_km2) & ~lost
    reasons = (
        (pair.status != BOTH, "not measured at both dates"),
        (~np.isfinite(pair.rate_km2_a), "no time between the dates"),
        (~np.isfinite(pair.change_sigma_km2), "no uncertainty"),
        (~(observed >= keep.observed), "observed in part"),
        (weak, "area within its uncertainty"),
    )
    return np.asarray(np.select([c for c, _ in reasons], [w for _, w in reasons], default="").astype(object))
