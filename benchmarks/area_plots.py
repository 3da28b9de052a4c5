"""A picture of how near mapped areas are to the truth, and of how often their intervals hold it. SIMULATED worlds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.area_scores import ONE_SIGMA, holds, measured

# Between these shares the intervals of a size class are called calibrated.
CALIBRATED = (0.60, 0.76)


def plot_areas(rows: pd.DataFrame, classes: Sequence[dict[str, Any]], model: str, path: Path) -> Path:
    """PNG: relative error against true area, coloured by whether area ± σ holds the truth, and the share that does per
    size class. rows: of `benchmarks.area_truth`, one model; classes: of `benchmarks.area_scores.coverage`."""
    seen = measured(rows)
    seen = seen[seen["truth_km2"] > 0]
    error = (seen["area_km2"] / seen["truth_km2"] - 1.0).to_numpy()
    inside = holds(seen)
    figure = Figure(figsize=(10.5, 4.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for which, colour, name in ((inside, "tab:blue", "within"), (~inside, "tab:red", "outside")):
        part = f"{name} ± σ: {which.mean():.0%}"
        left.scatter(seen["truth_km2"][which], 100 * error[which], s=8, alpha=0.5, color=colour, lw=0, label=part)
    left.axhline(0, color="black", lw=0.8)
    left.set(xscale="log", ylim=(-105, 105), xlabel="true area (km²)", ylabel="error of the mapped area (%)")
    left.legend(frameon=False, loc="upper right")
    at = np.arange(len(classes))
    right.axhspan(*(100 * share for share in CALIBRATED), color="0.9")
    right.axhline(100 * ONE_SIGMA, color="black", lw=0.8, ls="--")
    right.bar(at, [100 * c["holds"] for c in classes], width=0.6, color="tab:blue")
    right.set_xticks(at, [f"{c['class']}\nn = {c['n']}" for c in classes])
    right.set(ylim=(0, 100), xlabel="true area (km²)", ylabel="σ interval holds the truth (%)")
    figure.suptitle(f"SIMULATED worlds, {model}: {len(seen)} glacier-years")
    figure.savefig(path)
    return path
