"""Scores of mapped areas against true ones: bias, how often intervals hold the truth, signs of change, and their fit.

Plain arithmetic on rows of glaciers, whatever mapped them: columns rgi_id, world, year, status, truth_km2, area_km2,
sigma_km2 and its parts boundary_km2, model_km2, hidden_km2. A glacier without an area counts nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.release.schema import WITH_AREA

# Share of a normal distribution within one standard deviation.
ONE_SIGMA = 0.6827
CLASSES_KM2 = (0.0, 0.5, 1.0, 5.0, np.inf)
_FEW = 20
_SCALES = np.geomspace(0.02, 4.0, 160)


@dataclass(frozen=True)
class Fit:
    """The parameters whose intervals hold the truth as often as they say. misfit: of the worst size class, a share."""

    boundary_px: float
    correlation_m: float
    misfit: float


def measured(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["status"].isin(WITH_AREA)]


def bias(rows: pd.DataFrame) -> float:
    """Σ mapped / Σ truth − 1 over the glaciers that have an area."""
    seen = measured(rows)
    return float(seen["area_km2"].sum() / seen["truth_km2"].sum() - 1.0)


def size_classes(truth_km2: NDArray[np.float64], few: int = _FEW) -> list[tuple[float, float]]:
    """[low, high) in km² of the classes of `CLASSES_KM2`; one with less than `few` glaciers joins the next smaller."""
    edges = list(CLASSES_KM2)
    counts, _ = np.histogram(truth_km2, edges)
    for k in range(len(counts) - 1, 0, -1):
        if counts[k] < few:
            counts[k - 1] += counts[k]
            del edges[k]
    return list(pairwise(edges))


def holds(rows: pd.DataFrame, sigma_km2: NDArray[np.float64] | None = None) -> NDArray[np.bool_]:
    """Whether area ± σ holds the truth; sigma_km2: instead of that of the rows."""
    sigma = rows["sigma_km2"].to_numpy() if sigma_km2 is None else sigma_km2
    error = np.abs(rows["area_km2"].to_numpy() - rows["truth_km2"].to_numpy())
    return np.asarray(error <= sigma + 1e-9)


def coverage(rows: pd.DataFrame, sigma_km2: NDArray[np.float64] | None = None) -> list[dict[str, Any]]:
    """Per size class of the true area: n, share of intervals that hold the truth, bias. rows: measured ones."""
    truth, inside = rows["truth_km2"].to_numpy(), holds(rows, sigma_km2)
    out = []
    for low, high in size_classes(truth):
        here = (truth >= low) & (truth < high)
        if here.any():
            share = float(inside[here].mean())
            out.append({"class": _named(low, high), "n": int(here.sum()), "holds": share, "bias": bias(rows[here])})
    return out


def fit(by_length: Mapping[float, pd.DataFrame], boundary_px: float) -> Fit:
    """The parameters for which the worst size class is nearest to 68 %, as intervals are calibrated in DL4GAM (Diaconu
    et al. 2025, 10.1029/2025EA004197), there per glacier by quantile regression, here by two numbers.

    by_length: rows measured with each correlation length; boundary_px: that they were measured with. σ² is the sum of
    its parts, so other boundary widths are the boundary's part scaled. Among scales that fit alike the middle is taken.
    """
    found = []
    for length, rows in by_length.items():
        seen = measured(rows)
        misfits = np.array(
            [max(abs(c["holds"] - ONE_SIGMA) for c in coverage(seen, scaled_sigma(seen, s))) for s in _SCALES]
        )
        best = np.flatnonzero(misfits <= misfits.min() + 1e-9)
        at = int(best[len(best) // 2])
        found.append(Fit(float(_SCALES[at]) * boundary_px, length, float(misfits[at])))
    return min(found, key=lambda f: f.misfit)


def scaled_sigma(rows: pd.DataFrame, scale: float) -> NDArray[np.float64]:
    """σ with the boundary's part times `scale`."""
    parts = rows["boundary_km2"] * scale, rows["model_km2"], rows["hidden_km2"]
    return np.sqrt(sum(np.asarray(part, dtype=np.float64) ** 2 for part in parts))


def changes(rows: pd.DataFrame, k: float = 2.0) -> dict[str, Any]:
    """All pairs of years of one model: n, how many are above k σ, and how many of those have the sign of the truth."""
    seen = measured(rows)
    parts = []
    for first, second in combinations(sorted(seen["year"].unique()), 2):
        pair = seen[seen["year"] == first].merge(
            seen[seen["year"] == second], on=["world", "rgi_id"], suffixes=("", "_2"), validate="one_to_one"
        )
        parts.append(
            pd.DataFrame(
                {
                    "found": pair["area_km2_2"] - pair["area_km2"],
                    "true": pair["truth_km2_2"] - pair["truth_km2"],
                    "sigma": np.hypot(pair["sigma_km2"], pair["sigma_km2_2"]),
                }
            )
        )
    every = pd.concat(parts, ignore_index=True)
    clear = every[every["found"].abs() > k * every["sigma"]]
    right = int((np.sign(clear["found"]) == np.sign(clear["true"])).sum())
    return {"n": len(every), "clear": len(clear), "right": right, "share": right / len(clear) if len(clear) else None}


def _named(low: float, high: float) -> str:
    if high == np.inf:
        return f"> {low:g}" if low else "all"
    return f"{low:g}–{high:g}" if low else f"< {high:g}"
