"""Pictures of a published run: one PNG per region and zone.

The scene in true (or false) colour, the outlines of the inventory and those that were mapped.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import matplotlib
import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from core.grid import Lattice, PixelWindow, Zone
from core.layout import ReleaseLayout, RunLayout
from core.objects import Objects
from core.quicklook.marks import draw_outlines, scale_bar
from core.quicklook.thumbnail import thumbnail
from core.release import read_manifest
from core.release.schema import AREA
from core.run import Run
from core.sensors import sensor
from core.tiles import TileStore

matplotlib.use("Agg")

MOST_PX = 1400
_OLD, _NEW, _HIDDEN = "#ffd23f", "#e5343d", "#b06cff"
_RGB = ("red", "green", "blue")


def draw_run(run: Run, out: Path, most_km: float = 120.0) -> list[Path]:
    """PNG maps of a published run, one per region, zone and cluster of glaciers up to `most_km` wide.

    Returns the files written. Nothing is drawn for zones without a published glacier.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    release, layout = Objects(run.release_url), ReleaseLayout(run.config.year)
    for region, rows in _released(release, layout):
        inventory = _inventory(run, region)
        for zone_name in sorted(inventory["zone"].unique()):
            zone = Zone(zone_name)
            old = inventory[inventory["zone"] == zone_name]
            new = rows[rows["rgi_id"].isin(old["rgi_id"])]
            for k, names in enumerate(_clusters(zone, old, most_km)):
                path = out / f"region_{region}_{zone_name}{f'_{k}' if k else ''}.png"
                _draw(run, zone, old[old["rgi_id"].isin(names)], new[new["rgi_id"].isin(names)], path)
                written.append(path)
    return written


def _released(release: Objects, layout: ReleaseLayout) -> Iterator[tuple[str, gpd.GeoDataFrame]]:
    manifest = read_manifest(release, layout) or {"files": []}
    for file in manifest["files"]:
        if file.get("table") == AREA:
            yield file["region"], gpd.read_parquet(io.BytesIO(release.get(file["key"])))


def _inventory(run: Run, region: str) -> gpd.GeoDataFrame:
    table = gpd.read_parquet(io.BytesIO(run.objects.get(RunLayout.INVENTORY)))
    return table[(table["o1region"] == region) & table["problem"].isna()]


def _clusters(zone: Zone, glaciers: gpd.GeoDataFrame, most_km: float) -> list[list[str]]:
    """Glaciers by the square of `most_km` that their point lies in; the whole lot if it fits one picture."""
    x, y = zone.project_points(glaciers["cenlon"].to_numpy(float), glaciers["cenlat"].to_numpy(float))
    ids = glaciers["rgi_id"].to_numpy(dtype=object)
    if max(np.ptp(x), np.ptp(y)) <= most_km * 1000:
        return [list(ids)]
    cell = np.stack([x // (most_km * 1000), y // (most_km * 1000)], axis=1)
    _, which = np.unique(cell, axis=0, return_inverse=True)
    return [list(ids[which.ravel() == k]) for k in range(which.max() + 1)]


def _draw(run: Run, zone: Zone, old: gpd.GeoDataFrame, new: gpd.GeoDataFrame, path: Path) -> None:
    before = zone.project(old.geometry.to_numpy())
    seen = new["status"].isin(["measured", "below_minimum"]) & new.geometry.notna()
    after = zone.project(new.geometry[seen].to_numpy())
    hidden = zone.project(new.geometry[new["status"].isin(["not_observed", "quarantined"])].to_numpy())
    lattice = Lattice(zone, run.config.grid.res_m)
    window = lattice.cover(tuple(shapely.total_bounds(before))).pad(round(1500 / lattice.res_m))
    rows, cols = window.shape
    figure = Figure(figsize=(10, 10 * min(1.6, max(0.5, rows / cols)) + 0.9), dpi=120, layout="constrained")
    axes = figure.subplots()
    xmin, ymin, xmax, ymax = _background(run, lattice, window, axes)
    for shapes, colour, width in ((before, _OLD, 0.9), (hidden, _HIDDEN, 0.9), (after, _NEW, 1.1)):
        draw_outlines(axes, shapes, colour, width)
    axes.set(xlim=(xmin, xmax), ylim=(ymin, ymax), aspect="equal", xticks=[], yticks=[])
    scale_bar(axes, xmin, ymin, xmax - xmin)
    region = str(old["o1region"].iloc[0])
    said = "SIMULATED data · " if run.config.simulated else ""
    axes.set_title(
        f"{said}region {region}, {zone.name}, {run.config.year}: {int(seen.sum())} of {len(new)} glaciers mapped, "
        f"{new['area_km2'].sum():.1f} km² ({run.config.model.name}, {lattice.res_m} m)",
        fontsize=9,
        loc="left",
    )
    handles = [
        Line2D([], [], color=_NEW, label=f"mapped {run.config.year}"),
        Line2D([], [], color=_OLD, label="inventory"),
        Line2D([], [], color=_HIDDEN, label="inventory, not observed"),
    ]
    axes.legend(handles=handles, loc="lower right", fontsize=8, framealpha=0.9)
    figure.savefig(path)


def _background(run: Run, lattice: Lattice, window: PixelWindow, axes: Axes) -> tuple[float, float, float, float]:
    """True colour where there is red, green and blue; the first band of the first stored sensor in grey where not.

    Returns the bounds worth showing: those of what was observed, and some room, within the window.
    """
    if not run.ingested:  # all of it was read from the archives
        axes.set_facecolor("0.85")
        return lattice.bounds_m(window)
    name = run.ingested[0]
    entry = sensor(name)
    colour = set(_RGB) <= set(entry.band_names)
    source = Lattice(lattice.zone, run.resolution(name))
    have = source.cover(lattice.bounds_m(window))
    store = TileStore(run.config.tiles, run.config.storage.backend)
    bands = _RGB if colour else entry.band_names[:1]
    picture = thumbnail(store, run.config.epoch_of(name), source, name, have, bands, MOST_PX)
    image = picture.values
    seen = np.asarray(np.isfinite(image).all(axis=0))
    low, high = np.nanpercentile(image, [1, 98]) if seen.any() else (0.0, 1.0)
    shown = np.clip((image - low) / max(1e-9, high - low), 0, 1) ** 0.7
    shown = np.where(seen, shown, 0.85)
    rgb = np.moveaxis(shown if colour else np.repeat(shown, 3, axis=0), 0, -1)
    xmin, xmax, ymin, ymax = picture.extent_m
    axes.imshow(rgb, extent=(xmin, xmax, ymin, ymax), interpolation="bilinear")
    if not seen.any():
        return xmin, ymin, xmax, ymax
    rows, cols = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    px_x, px_y = (xmax - xmin) / seen.shape[1], (ymax - ymin) / seen.shape[0]
    west, east = xmin + cols[0] * px_x, xmin + (cols[-1] + 1) * px_x
    north, south = ymax - rows[0] * px_y, ymax - (rows[-1] + 1) * px_y
    room = 0.12 * max(east - west, north - south)
    return (
        max(xmin, west - room),
        max(ymin, south - room),
        min(xmax, east + room),
        min(ymax, north + room),
    )
