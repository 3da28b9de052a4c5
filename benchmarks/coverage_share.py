"""Shares of pixels under glacier outlines: ours beside exactextract and rasterio, on the same outlines in one run.

`python -m benchmarks.coverage_share [--res 30]`. Outlines: the 568 glaciers of Iceland from the sample data. rasterio
knows no shares (a pixel is in or out), so it is the floor of what a rasteriser costs; exactextract is the peer.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray
from rasterio.features import rasterize
from rich.console import Console
from rich.table import Table

from core.coverage import coverage_packed
from core.grid import Lattice, PixelWindow, Zone
from core.inventory import read_inventory

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--res", type=int, default=30, help="pixel, metres")
    lattice = Lattice(Zone("utm27n"), parser.parse_args().res)
    samples = Path(os.environ.get("ICEFLEET_SAMPLES", ROOT.parent / "shared" / "samples"))
    glaciers = read_inventory([str(samples / "iceland" / "rgi62_06_iceland.gpkg")], None).glaciers
    outlines = lattice.zone.project(glaciers.geometry.to_numpy())
    windows = [lattice.cover(tuple(b)).pad(1) for b in shapely.bounds(outlines)]
    truth = shapely.area(outlines)

    def ours() -> NDArray[np.float64]:
        shares = coverage_packed(outlines, windows, lattice)
        return np.array([s.sum(dtype=np.float64) for s in shares]) * lattice.res_m**2

    def peer() -> NDArray[np.float64]:
        return np.array([_exactextract(g, w, lattice) for g, w in zip(outlines, windows, strict=True)])

    def floor() -> NDArray[np.float64]:
        return np.array([_rasterio(g, w, lattice) for g, w in zip(outlines, windows, strict=True)])

    table = Table(
        title=f"568 glaciers of Iceland at {lattice.res_m} m, {sum(w.size for w in windows) / 1e6:.0f} Mpx, one core"
    )
    for name in ("method", "CPU s", "ms per glacier", "ours is × faster", "largest area error", "sum error"):
        table.add_column(name, justify="left" if name == "method" else "right")
    base = None
    for name, work in (
        ("icefleet", ours),
        ("exactextract (share of each pixel)", peer),
        ("rasterio (in or out)", floor),
    ):
        seconds, areas = best_of(work)
        base = base or seconds
        error = np.abs(areas / truth - 1).max()
        table.add_row(
            name,
            f"{seconds:.2f}",
            f"{1000 * seconds / len(outlines):.2f}",
            f"{seconds / base:.1f}",
            f"{error:.1e}",
            f"{areas.sum() / truth.sum() - 1:+.1e}",
        )
    Console(width=130).print(table)


def _exactextract(outline: shapely.Geometry, window: PixelWindow, lattice: Lattice) -> float:
    xmin, ymin, xmax, ymax = lattice.bounds_m(window)
    raster = NumPyRasterSource(np.zeros(window.shape, dtype=np.uint8), xmin, ymin, xmax, ymax)
    feature = {"type": "Feature", "geometry": shapely.geometry.mapping(outline), "properties": {}}
    found = exact_extract(raster, [feature], ["coverage", "cell_id"])[0]["properties"]
    share = np.zeros(window.size, dtype=np.float32)  # the same product as ours: an array of shares
    share[found["cell_id"]] = found["coverage"]
    return float(share.sum(dtype=np.float64)) * lattice.res_m**2


def _rasterio(outline: shapely.Geometry, window: PixelWindow, lattice: Lattice) -> float:
    inside = rasterize([(outline, 1)], out_shape=window.shape, transform=lattice.transform(window), dtype="uint8")
    return float(inside.sum(dtype=np.int64)) * lattice.res_m**2


def best_of(work: Callable[[], NDArray[np.float64]], runs: int = 3) -> tuple[float, NDArray[np.float64]]:
    """(CPU seconds of the fastest run, its result): all of these use one thread, and others may use the machine."""
    best, areas = np.inf, np.empty(0)
    for _ in range(runs):
        began = time.process_time()
        areas = work()
        best = min(best, time.process_time() - began)
    return best, areas


if __name__ == "__main__":
    main()
