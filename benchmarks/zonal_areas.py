"""Glacier area inside outlines from one mask of a region: ours beside exactextract and rasterstats, in one run.

    python -m benchmarks.zonal_areas [--res 30]

The 568 outlines of Iceland from the sample data on one mask in memory, their own ice drawn in by a pixel on every side.
exactextract weighs pixels by their share as we do; rasterstats takes pixels whose centre is inside. All sum the mask
in pixels of equal size, so that they can be compared. Ours twice: as sums without shares (`coverage_sums`), and by way
of the shares, which measuring proper needs as well. The floor adds up the windows of the mask and looks at no outline.
CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray
from rasterstats import zonal_stats
from rich.console import Console
from rich.table import Table
from scipy.ndimage import binary_erosion

from benchmarks.coverage_share import best_of
from core.coverage import coverage_packed, coverage_share, coverage_sums
from core.grid import Lattice, PixelWindow, Zone
from core.inventory import read_inventory

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--res", type=int, default=30, help="pixel, metres")
    lattice = Lattice(Zone("utm27n"), parser.parse_args().res)
    samples = Path(os.environ.get("ICEFLEET_SAMPLES", ROOT.parent / "shared" / "samples"))
    glaciers = read_inventory([str(samples / "iceland" / "rgi62_06_iceland.gpkg")], None).glaciers
    outlines = lattice.zone.project(glaciers.geometry.to_numpy())
    bounds = shapely.bounds(outlines)
    windows = [lattice.cover(tuple(b)) for b in bounds]
    region = lattice.cover((*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0))).pad(2)
    mask = binary_erosion(coverage_share(outlines, lattice, region) >= 0.5).astype(np.uint8)
    xmin, ymin, xmax, ymax = lattice.bounds_m(region)
    pixel_km2 = lattice.res_m**2 / 1e6

    def ours() -> NDArray[np.float64]:
        return coverage_sums(outlines, windows, lattice, mask, region) * pixel_km2

    def by_shares() -> NDArray[np.float64]:
        shares = coverage_packed(outlines, windows, lattice)
        return np.array([_sum(s, mask, w, region) for s, w in zip(shares, windows, strict=True)]) * pixel_km2

    raster = NumPyRasterSource(mask, xmin, ymin, xmax, ymax, srs_wkt=lattice.zone.crs.to_wkt())
    frame = gpd.GeoDataFrame({"n": np.arange(len(outlines))}, geometry=list(outlines), crs=lattice.zone.crs)

    def peer() -> NDArray[np.float64]:
        found = exact_extract(raster, frame, ["sum"], output="pandas")
        return np.asarray(found["sum"], dtype=np.float64) * pixel_km2

    def centres() -> NDArray[np.float64]:
        found = zonal_stats(list(outlines), mask, affine=lattice.transform(region), stats=["sum"], nodata=255)
        return np.array([one["sum"] or 0 for one in found], dtype=np.float64) * pixel_km2

    def floor() -> NDArray[np.float64]:
        return np.array([mask[w.slices(region)].sum(dtype=np.int64) for w in windows]) * pixel_km2

    table = Table(title=f"568 glaciers of Iceland, {lattice.res_m} m, mask of {mask.size / 1e6:.0f} Mpx")
    for name in ("method", "CPU s", "ms per glacier", "ours is × faster", "region km²", "region", "largest ≥ 1 km²"):
        table.add_column(name, justify="left" if name == "method" else "right")
    base, reference = None, np.empty(0)
    methods = (
        ("icefleet, sums", ours),
        ("icefleet, shares and then their sums", by_shares),
        ("exactextract", peer),
        ("rasterstats (centres)", centres),
        ("floor: the windows alone", floor),
    )
    for name, work in methods:
        seconds, areas = best_of(work)
        if base is None:
            base, reference = seconds, areas
        large = reference >= 1
        table.add_row(
            name,
            f"{seconds:.2f}",
            f"{1000 * seconds / len(outlines):.2f}",
            f"{seconds / base:.1f}",
            f"{areas.sum():,.2f}",
            f"{areas.sum() / reference.sum() - 1:+.1e}",
            f"{np.abs(areas[large] / reference[large] - 1).max():.1e}",
        )
    Console(width=130).print(table)


def _sum(share: NDArray[np.float32], mask: NDArray[np.uint8], window: PixelWindow, region: PixelWindow) -> float:
    return float(np.einsum("ij,ij->", share, mask[window.slices(region)], dtype=np.float64))


if __name__ == "__main__":
    main()
