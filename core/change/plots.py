"""Plots: rate against size, regions side by side, and a map of rates; PNGs of the whole period.

Drawn from what the sums were made of, so a picture shows the glaciers that count. Simulated releases say so.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.change.change import GLACIERS, Compared
from core.change.sample import Sample
from core.change.size_regression import SizeRegression, fit_size
from core.errors import ConfigError

matplotlib.use("Agg")
_DPI = 150
_MANY = 2_000  # glaciers above which points would hide each other
_COLOUR, _PALE = "#1f5a8a", "#9db9cf"
FloatArray = NDArray[np.float64]


def draw_change(found: Compared, folder: Path) -> list[Path]:
    """Three PNGs in `folder`, which must hold the tables of `found`; their paths. The period is the whole one.

    Raises ConfigError if the tables were not written.
    """
    if found.folder is None:
        raise ConfigError(str(folder), found="no tables", expected="the tables of this comparison", fix="give --out")
    pictures = {
        "rate_by_size.png": _rate_by_size,
        "rate_by_region.png": _rate_by_region,
        "rate_map.png": _rate_map,
    }
    paths = []
    for name, draw in pictures.items():
        figure = Figure(figsize=(9, 5.2), layout="constrained")
        axes = figure.add_subplot()
        draw(axes, found)
        first, second = found.samples[0][0].labels
        axes.set_title(f"{'SIMULATED · ' if found.simulated else ''}{first} to {second}", loc="left", fontsize=10)
        figure.savefig(folder / name, dpi=_DPI)
        paths.append(folder / name)
    return paths


def _rate_by_size(axes: Axes, found: Compared) -> None:
    """Specific rates of the glaciers that speak for themselves, and the regression over all of them."""
    area, rate, sigma = (np.concatenate(v) for v in zip(*(_specific(s) for s in found.samples[0]), strict=True))
    axes.set(xscale="log", xlabel="inventory area, km²", ylabel="rate, % of inventory area per year")
    axes.axhline(0, color="0.6", linewidth=0.8)
    if not len(rate):
        _nothing(axes)
        return
    low, high = _limits(100 * rate)
    if len(rate) > _MANY:
        keep = (100 * rate >= low) & (100 * rate <= high)
        image = axes.hexbin(
            area[keep],
            100 * rate[keep],
            xscale="log",
            gridsize=60,
            cmap="Blues",
            norm=LogNorm(),
            mincnt=1,
            linewidths=0,
        )
        axes.figure.colorbar(image, ax=axes, label="glaciers")
    else:
        axes.errorbar(
            area, 100 * rate, 100 * sigma, fmt="o", markersize=3, color=_COLOUR, ecolor=_PALE, elinewidth=0.8, alpha=0.8
        )
    fit = fit_size(area, rate, sigma)
    if fit.form != "none":
        _draw_fit(axes, fit, sigma)
    axes.set_ylim(low, high)


def _draw_fit(axes: Axes, fit: SizeRegression, sigma: FloatArray) -> None:
    size = np.logspace(fit.low, fit.high, 100)
    middle, spread = 100 * fit.rate(size), 100 * fit.rate_sigma(size, sigma)
    axes.plot(size, middle, color="#c0392b", label=f"{fit.form}, {fit.n:,} glaciers")
    axes.fill_between(size, middle - spread, middle + spread, color="#c0392b", alpha=0.15, label="± 1 σ of one glacier")
    axes.legend(frameon=False, fontsize=9)


def _rate_by_region(axes: Axes, found: Compared) -> None:
    """Bars of %/yr per region; dark is σ under the stated model, pale its upper bound."""
    rows = [r for r in found.regions.slice(0, len(found.totals[0])).to_pylist() if r["o2region"] is None]
    rows = [r for r in rows if r["rate_pct_a"] is not None]
    place = np.arange(len(rows))
    rate = np.array([r["rate_pct_a"] for r in rows], dtype=float)
    sigma = np.array([r["rate_pct_sigma_a"] for r in rows], dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        wider = np.array([r["rate_sigma_upper_km2_a"] / r["rate_sigma_km2_a"] for r in rows], dtype=float)
    axes.bar(place, rate, color=[_PALE if r["o1region"] != "world" else "0.75" for r in rows])
    axes.errorbar(place, rate, np.nan_to_num(sigma * wider), fmt="none", ecolor="0.7", capsize=2, label="upper bound")
    axes.errorbar(place, rate, sigma, fmt="none", ecolor="black", elinewidth=1.6, capsize=3, label="± 1 σ")
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_xticks(place, [r["o1region"] for r in rows])
    axes.set(xlabel="region", ylabel="rate, % of the first area per year")
    axes.legend(frameon=False, fontsize=9)


def _rate_map(axes: Axes, found: Compared) -> None:
    """Where ice goes: rates summed over area in hexagons of the map."""
    assert found.folder is not None
    columns = ["date_first", "date_second", "left_out", "bbox", "rate_km2_a", "area_first_km2"]
    first, second = found.samples[0][0].labels
    wanted = [("date_first", "=", first), ("date_second", "=", second), ("left_out", "=", "")]
    table = pq.read_table(found.folder / GLACIERS, columns=columns, filters=wanted)
    box = table.column("bbox").combine_chunks()
    lon, lat = (np.asarray(box.field(k).to_numpy(zero_copy_only=False)) for k in ("xmin", "ymin"))
    rate, area = (table.column(k).to_numpy() for k in ("rate_km2_a", "area_first_km2"))
    axes.set(xlabel="longitude", ylabel="latitude")
    if not len(rate):
        _nothing(axes)
        return
    box_deg = (lon.min() - 0.05, lon.max() + 0.05, lat.min() - 0.05, lat.max() + 0.05)
    size = max(box_deg[1] - box_deg[0], 1e-6) / max(box_deg[3] - box_deg[2], 1e-6)
    grid = (60, max(4, round(60 / size / 1.7)))
    ice = axes.hexbin(lon, lat, C=area, reduce_C_function=np.sum, gridsize=grid, extent=box_deg)
    loss = axes.hexbin(lon, lat, C=rate, reduce_C_function=np.sum, gridsize=grid, extent=box_deg, linewidths=0.2)
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = 100 * np.asarray(loss.get_array()) / np.asarray(ice.get_array())
    ice.remove()
    known = percent[np.isfinite(percent)]
    reach = max(float(np.quantile(np.abs(known), 0.95)) if len(known) else 0.0, 1e-6)
    loss.set(array=percent, cmap="RdBu", norm=TwoSlopeNorm(0.0, -reach, reach))
    axes.figure.colorbar(loss, ax=axes, label="rate, % per year", extend="both")
    axes.set_aspect(1 / max(np.cos(np.radians(float(np.mean(lat)))), 0.2) if np.ptp(lat) < 40 else "auto")


def _specific(part: Sample) -> tuple[FloatArray, FloatArray, FloatArray]:
    area = part.inventory_km2[part.used]
    return area, part.rate[part.used] / area, part.sigma[part.used] / area


def _limits(percent: FloatArray) -> tuple[float, float]:
    """The range of nearly all glaciers, zero included."""
    low, high = np.quantile(percent, [0.005, 0.995])
    room = 0.1 * max(high - low, 0.1)
    return min(float(low) - room, -0.1), max(float(high) + room, 0.1)


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no glacier was measured at both dates", transform=axes.transAxes, ha="center")
