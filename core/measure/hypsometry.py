"""Hypsometry: how a glacier's area is spread over elevation, in the RGI's bands of 50 m and thousandths of the area.

The thousandths of a glacier add up to exactly 1000 (RGI 7.0 user guide, hypsometry of the glacier product). The RGI
heads its columns by the centre of a band; here a band is named by its lower edge, which is a whole number of 50 m.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.release.schema import BAND_M
from core.release.schema import THOUSANDTHS as WHOLE

__all__ = ["BAND_M", "WHOLE", "hypsometry", "hypsometry_rows"]


def hypsometry(elevation_m: NDArray[np.floating], weight: NDArray[np.floating]) -> dict[int, int]:
    """Lower edge of each band in metres → thousandths of the weight in it, from the lowest band to the highest, empty
    ones between them included; {} without any weight.

    elevation_m: (n,), finite; weight: (n,) ≥ 0, the ice area of each pixel. An edge belongs to the band above it.
    Largest remainders: all bands are rounded down, and those that lost most get the thousandths that are left; of
    equal ones the lower.
    """
    used = weight > 0
    if not used.any():
        return {}
    band = np.floor_divide(elevation_m[used], BAND_M).astype(np.int64)
    lowest = int(band.min())
    exact = np.bincount(band - lowest, weights=weight[used]) * (WHOLE / weight[used].sum(dtype=np.float64))
    whole = np.floor(exact).astype(np.int64)
    # An empty band has lost nothing, so it never gets any; what is left is always less than the bands with ice.
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: WHOLE - int(whole.sum())]] += 1
    return {(lowest + k) * BAND_M: int(n) for k, n in enumerate(whole)}


def hypsometry_rows(row: Mapping[str, Any], bands: Mapping[int, int]) -> list[dict[str, Any]]:
    """Rows of the release's hypsometry: one per band of the glacier that `row` of glacier_area describes."""
    glacier = {name: row[name] for name in ("rgi_id", "o1region", "year")}
    origin = {"run_id": row["run_id"]}
    return [{**glacier, "band_m": band, "thousandths": part, **origin} for band, part in sorted(bands.items())]
