"""The picture of one block of tiles: every stored sensor, what it looks like and which scene each pixel comes from.

One PNG, cut to the ground that any sensor observed; hatched is not observed. Layout is fixed in inches, so that the
pictures of all blocks can be leafed through.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from core.grid import BLOCK_M, Block, Lattice
from core.plan import load_zone_outlines
from core.quicklook.marks import draw_outlines, scale_bar
from core.quicklook.thumbnail import Thumbnail, thumbnail
from core.quicklook.views import Image, views
from core.run import Run
from core.sensors import sensor as registered
from core.tiles import TileMarker, TileStore

matplotlib.use("Agg")

_DPI = 110
_SIDE, _SMALL = 6.0, 2.45  # inches of the pictures
MOST_PX, _SMALL_PX = round(_SIDE * _DPI), round(_SMALL * _DPI)
_BAR, _BAR_LABEL, _GAP, _TITLE, _HEADER, _MARGIN = 0.13, 0.62, 0.12, 0.5, 0.62, 0.15
_WIDTH, _HEIGHT = _SIDE + _BAR + _BAR_LABEL + _SMALL + 4 * _GAP, _TITLE + _SIDE + 2 * _GAP
_LOOK_PX = 256  # of the block, to see what was observed
_ROOM = 0.06
# Okabe & Ito 2008: told apart with any colour vision. More scenes than colours share a grey.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_OTHERS = "#777777"
_LEGEND = 6
_NOWHERE, _HATCH = "#d9d9d9", "#c2c2c2"  # darker than snow
_OUTLINE, _CASING = "#ffd23f", "#000000"


def draw_block(run: Run, block: Block, path: Path) -> bool:
    """Draw the stored tiles of a block into `path`, a PNG; False, and no file, if none of them observed anything.

    Raises what `TileStore.read` raises; needs the plan of the run on disk.
    """
    store = TileStore(run.config.tiles, run.config.storage.backend)
    markers = {name: store.marker(run.config.epoch_of(name), name, block) for name in run.stored}
    held = {name: m for name, m in markers.items() if m is not None and m.observed_fraction > 0}
    if not held:
        return False
    box = _worth_showing(store, block, list(held.values()))
    outlines = load_zone_outlines(run.url, block.zone).outline_m
    near = outlines[shapely.intersects(outlines, shapely.box(*box))]
    near = shapely.simplify(near, (box[2] - box[0]) / MOST_PX / 2)
    columns = 1 if len(held) == 1 else 2 if len(held) <= 4 else 3
    rows = -(-len(held) // columns)
    width, height = columns * _WIDTH + 2 * _MARGIN, rows * _HEIGHT + _HEADER + _MARGIN
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    _header(figure, run, block, box, len(near))
    for k, marker in enumerate(held.values()):
        row, column = divmod(k, columns)
        left, bottom = _MARGIN + column * _WIDTH, height - _HEADER - (row + 1) * _HEIGHT
        _Cell(figure, run, left, bottom).draw(store, block, marker, box, near)
    figure.savefig(path)
    return True


class _Cell:
    """One sensor: title, picture, colour bar, and beside them the small view, the scenes and their legend."""

    def __init__(self, figure: Figure, run: Run, left: float, bottom: float) -> None:
        self._figure, self._run, self._left, self._bottom = figure, run, left, bottom

    def draw(
        self,
        store: TileStore,
        block: Block,
        marker: TileMarker,
        box: tuple[float, float, float, float],
        outlines: NDArray[np.object_],
    ) -> None:
        sensor, lattice = registered(marker.sensor), Lattice(block.zone, marker.res_m)
        window = lattice.cover(box).intersect(lattice.block_window(block))

        def read(bands: tuple[str, ...], most_px: int) -> Thumbnail:
            return thumbnail(store, marker.epoch, lattice, sensor.name, window, bands, most_px)

        axes = self._axes(0, _GAP, _SIDE, _SIDE, box)
        small = self._left_of_small()
        upper, lower = _SIDE + _GAP - _SMALL - 0.2, _SIDE + _GAP - 2 * (_SMALL + 0.27)
        looks = views(sensor, marker.bands)
        picture = read(looks[0].bands if looks else (), MOST_PX)
        if looks:
            image = looks[0].paint(picture.values, picture.px_m)
            _show(axes, image, picture)
            self._key(image)
        draw_outlines(axes, outlines, _OUTLINE, 0.8, _CASING)
        scale_bar(axes, box[0], box[1], box[2] - box[0])
        if len(looks) > 1:
            second = read(looks[1].bands, _SMALL_PX)
            image = looks[1].paint(second.values, second.px_m)
            beside = self._axes(small, upper, _SMALL, _SMALL, box)
            _show(beside, image, second)
            said = f"{image.label}: {image.norm.vmin:.3g} to {image.norm.vmax:.3g}" if image.norm else looks[1].title
            beside.set_title(said, fontsize=7.5, loc="left", pad=3)
        else:
            lower = upper
        self._scenes(picture, small, lower, box)
        self._title(marker, looks[0].title if looks else "no band that all of its scenes have")

    def _axes(
        self, left: float, bottom: float, width: float, height: float, box: tuple[float, float, float, float]
    ) -> Axes:
        """A hatched square of ground; left, bottom: inches within the cell."""
        axes = self._add(left, bottom, width, height)
        axes.set(xlim=(box[0], box[2]), ylim=(box[1], box[3]), xticks=[], yticks=[])
        size = box[2] - box[0], box[3] - box[1]
        axes.add_patch(Rectangle(box[:2], *size, facecolor=_NOWHERE, edgecolor=_HATCH, hatch="////", lw=0, zorder=0))
        return axes

    def _add(self, left: float, bottom: float, width: float, height: float) -> Axes:
        wide, high = self._figure.get_size_inches()
        place = (self._left + left) / wide, (self._bottom + bottom) / high, width / wide, height / high
        return self._figure.add_axes(place)

    def _left_of_small(self) -> float:
        return _SIDE + _BAR + _BAR_LABEL + 2 * _GAP

    def _text(self, left: float, bottom: float, text: str, **style: Any) -> None:
        wide, high = self._figure.get_size_inches()
        self._figure.text((self._left + left) / wide, (self._bottom + bottom) / high, text, **style)

    def _key(self, image: Image) -> None:
        """The colour bar, or what the colours are."""
        if image.norm is None:
            self._text(_SIDE + _GAP, _GAP, image.label, fontsize=7.5, rotation=90, va="bottom")
            return
        bar = self._figure.colorbar(
            ScalarMappable(image.norm, image.cmap), cax=self._add(_SIDE + _GAP, _GAP, _BAR, _SIDE)
        )
        bar.ax.tick_params(labelsize=7, pad=2)
        bar.ax.yaxis.set_major_formatter("{x:g}")
        bar.set_label(image.label, fontsize=7.5, labelpad=2)

    def _scenes(self, picture: Thumbnail, left: float, bottom: float, box: tuple[float, float, float, float]) -> None:
        """Which scene each pixel comes from, the most frequent ones named."""
        axes = self._axes(left, bottom, _SMALL, _SMALL, box)
        count = np.bincount(picture.scene[picture.scene >= 0], minlength=len(picture.scenes))
        order = [int(k) for k in np.argsort(-count, kind="stable") if count[k]]
        colour = np.zeros((len(count) + 1, 4), dtype=np.float32)
        for k in order:
            colour[k + 1] = to_rgba(_OTHERS)
        for k, code in zip(order, _COLOURS, strict=False):
            colour[k + 1] = to_rgba(code)
        axes.imshow(colour[picture.scene + 1], extent=picture.extent_m, interpolation="nearest", zorder=1)
        axes.set(xlim=(box[0], box[2]), ylim=(box[1], box[3]))
        axes.set_title(_many(len(order), "scene"), fontsize=7.5, loc="left", pad=3)
        shown = order if len(order) <= _LEGEND else order[: _LEGEND - 1]
        y = bottom - 0.16
        for k in shown:
            scene, share = picture.scenes[k], count[k] / count.sum()
            self._text(left, y, "■", fontsize=8, color=colour[k + 1])
            name = scene.id if len(scene.id) <= 34 else f"{scene.id[:22]}…{scene.id[-11:]}"
            self._text(left + 0.13, y, f"{scene.date} {share:4.0%} {name}", fontsize=6.2)
            y -= 0.125
        if len(shown) < len(order):
            self._text(left + 0.13, y, f"… and {len(order) - len(shown)} more", fontsize=6.2)

    def _title(self, marker: TileMarker, shows: str) -> None:
        dates = sorted({s.date for s in marker.scenes})
        span = [f"{dates[0]} … {dates[-1]}" if len(dates) > 1 else str(day) for day in dates[:1]]
        parts = [
            f"epoch {marker.epoch}",
            f"{marker.res_m} m",
            *span,
            f"{marker.observed_fraction:.1%} of the block observed",
        ]
        top = _GAP + _SIDE
        self._text(0, top + 0.25, f"{marker.sensor} — {shows}", fontsize=11, weight="bold")
        self._text(0, top + 0.08, " · ".join(parts), fontsize=8.5, color="#333333")


def _show(axes: Axes, image: Image, picture: Thumbnail) -> None:
    limits = axes.get_xlim(), axes.get_ylim()
    axes.imshow(image.rgba, extent=picture.extent_m, interpolation="nearest", zorder=1)
    axes.set(xlim=limits[0], ylim=limits[1])


def _header(figure: Figure, run: Run, block: Block, box: tuple[float, float, float, float], n_glaciers: int) -> None:
    width, height = figure.get_size_inches()
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    [lon], [lat] = block.zone.unproject_points(np.array([x]), np.array([y]))
    place = f"{abs(lat):.2f}° {'S' if lat < 0 else 'N'} {abs(lon):.2f}° {'W' if lon < 0 else 'E'}"
    whole = box[2] - box[0] >= BLOCK_M
    shows = "the whole block" if whole else f"{(box[2] - box[0]) / 1000:.1f} of {BLOCK_M / 1000:.1f} km"
    said = f"{run.config.name} {run.config.year} · {place} · {shows}"
    key = f"hatched: not observed · gold: {_many(n_glaciers, 'outline')} of the inventory"
    left, y = _MARGIN / width, 1 - 0.33 / height
    figure.text(left, y, block.name, fontsize=14, weight="bold")
    figure.text(left + 2.1 / width, y, said, fontsize=9.5)
    figure.text(left, 1 - 0.54 / height, key, fontsize=8.5, color="#333333")
    if run.config.simulated:
        figure.text(1 - _MARGIN / width, y, "SIMULATED data", fontsize=12, weight="bold", color="#D55E00", ha="right")


def _worth_showing(store: TileStore, block: Block, markers: list[TileMarker]) -> tuple[float, float, float, float]:
    """The square around all that was observed, with some room, within the block: (xmin, ymin, xmax, ymax) metres."""
    xmin, ymin, xmax, ymax = block.bounds_m
    if any(marker.observed_fraction == 1.0 for marker in markers):
        return xmin, ymin, xmax, ymax
    seen: list[tuple[float, float, float, float]] = []
    for marker in markers:
        lattice = Lattice(block.zone, marker.res_m)
        look = thumbnail(store, marker.epoch, lattice, marker.sensor, lattice.block_window(block), (), _LOOK_PX)
        rows, cols = np.flatnonzero(look.observed.any(axis=1)), np.flatnonzero(look.observed.any(axis=0))
        if len(rows):  # a speck may fall between the pixels of the look
            px = look.px_m
            east, north = xmin + (cols[-1] + 1) * px, ymax - rows[0] * px
            seen.append((xmin + cols[0] * px, ymax - (rows[-1] + 1) * px, east, north))
    if not seen:
        return xmin, ymin, xmax, ymax
    west, south = min(s[0] for s in seen), min(s[1] for s in seen)
    east, north = max(s[2] for s in seen), max(s[3] for s in seen)
    side = min(xmax - xmin, max(east - west, north - south) * (1 + 2 * _ROOM))
    left = min(max(xmin, (west + east - side) / 2), xmax - side)
    bottom = min(max(ymin, (south + north - side) / 2), ymax - side)
    return left, bottom, left + side, bottom + side


def _many(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
