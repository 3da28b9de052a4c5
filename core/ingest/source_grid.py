"""Where the pixels of a raster lie, and which of them a piece of the lattice needs.

Promises: a window that is asked for holds every source pixel that decides on the piece, a rim for kernels included; a
seam of longitudes and a pole cut it in two and never lose a pixel. Nothing is read here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.windows import Window

from core.grid import Lattice, PixelWindow
from core.ingest.raster import RasterHeader

_POLE_M = 2_000_000.0  # both coordinates of the pole in UPS
_NODES = 17  # per side of a tile: between them every projection in use is straight to a few metres
_MARGIN_PX = 32  # kernel, curvature between nodes and the metres by which two PROJ data sets may differ
_ASLANT = 0.15
_ON_LATTICE_PX = 1e-6


@dataclass(frozen=True)
class SourceGrid:
    """Where the pixels of a raster lie; crs_wkt as it holds for them (the file's or the configuration's)."""

    crs_wkt: str
    transform: Affine
    width: int
    height: int

    @classmethod
    def of(cls, header: RasterHeader, crs: str | None) -> SourceGrid:
        return cls(crs or header.crs_wkt, header.transform, header.width, header.height)

    def reduced(self, factor: int) -> SourceGrid:
        """The grid of its reduced copy (overview): the same ground in ⌈1 / factor⌉ of the pixels along each side."""
        width, height = -(-self.width // factor), -(-self.height // factor)
        scale = Affine.scale(self.width / width, self.height / height)
        return SourceGrid(self.crs_wkt, self.transform @ scale, width, height)

    @property
    def geographic(self) -> bool:
        return bool(_crs(self.crs_wkt).is_geographic)

    def density(self, lattice: Lattice, window: PixelWindow) -> float:
        """Source pixels along a side of a lattice pixel at the middle of `window`; NaN where it cannot be projected."""
        return math.sqrt(abs(float(np.linalg.det(self._steps(lattice, window)))))

    def boxy(self, lattice: Lattice, window: PixelWindow) -> bool:
        """Whether a lattice pixel is nearly a box of the raster's rows and columns: not more than some 9° aslant, and
        not on both sides of a seam of longitudes."""
        if len(list(self.parts(lattice, window, 0.0))) > 1:
            return False
        steps = np.abs(self._steps(lattice, window))
        return bool((steps.min(axis=1) <= _ASLANT * steps.max(axis=1)).all())

    def _steps(self, lattice: Lattice, window: PixelWindow) -> NDArray[np.float64]:
        """[[columns, rows] of the raster by [x, y]] of one lattice pixel at the middle of `window`."""
        xmin, ymin, xmax, ymax = lattice.bounds_m(window)
        x, y, r = (xmin + xmax) / 2, (ymin + ymax) / 2, lattice.res_m / 2
        u, v = self._locate(lattice, np.array([x - r, x + r, x, x]), np.array([y, y, y - r, y + r]))
        du, dv = np.array([u[1] - u[0], u[3] - u[2]]), np.array([v[1] - v[0], v[3] - v[2]])
        if self.geographic:
            du = (du + 180.0) % 360.0 - 180.0
        inverse = ~self.transform
        return np.stack([inverse.a * du + inverse.b * dv, inverse.d * du + inverse.e * dv])

    def parts(self, lattice: Lattice, window: PixelWindow, density: float) -> Iterator[SourcePart]:
        """The windows of the source that `window` needs: none if it lies elsewhere, two across a seam of longitudes."""
        xmin, ymin, xmax, ymax = lattice.bounds_m(window)
        x, y = np.meshgrid(np.linspace(xmin, xmax, _NODES), np.linspace(ymin, ymax, _NODES))
        u, v = self._locate(lattice, x.ravel(), y.ravel())
        finite = np.isfinite(u) & np.isfinite(v)
        u, v = u[finite], v[finite]
        if not len(u):  # the block lies beyond what the projection of the source can express
            return
        margin = _MARGIN_PX + math.ceil(2 * density)
        if not self.geographic:
            yield from self._part(u, v, 0.0, margin)
            return
        south, north = float(v.min()), float(v.max())
        if lattice.zone.polar and xmin <= _POLE_M <= xmax and ymin <= _POLE_M <= ymax:
            south, north = (south, 90.0) if lattice.zone.north else (-90.0, north)
            spans, across = [(-180.0, 0.0), (0.0, 180.0)], False
        else:
            across = bool(np.ptp(u) > 180)
            u = u % 360.0 if across else u
            spans = [(float(u.min()), float(u.max()))]
        for west, east in spans:
            for turn in (-360.0, 0.0, 360.0):
                corners = np.array([west, east, east, west]) + turn, np.array([south, south, north, north])
                yield from self._part(*corners, turn, margin, across)

    def _part(
        self, u: NDArray[np.float64], v: NDArray[np.float64], turn: float, margin: int, across: bool = False
    ) -> Iterator[SourcePart]:
        a = ~self.transform
        columns, rows = a.a * u + a.b * v + a.c, a.d * u + a.e * v + a.f
        col0 = max(0, math.floor(columns.min()) - margin)
        col1 = min(self.width, math.ceil(columns.max()) + margin)
        row0 = max(0, math.floor(rows.min()) - margin)
        row1 = min(self.height, math.ceil(rows.max()) + margin)
        if col1 > col0 and row1 > row0:
            shifted = Affine.translation(-turn, 0.0) @ self.transform @ Affine.translation(col0, row0)
            yield SourcePart(Window(col0, row0, col1 - col0, row1 - row0), shifted, across)

    def _locate(
        self, lattice: Lattice, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        u, v = _transformer(lattice.zone.epsg, self.crs_wkt).transform(x, y)
        return np.asarray(u, dtype=np.float64), np.asarray(v, dtype=np.float64)


@dataclass(frozen=True)
class SourcePart:
    """A window of the source and the transform of its upper left corner. across: longitudes run from 0 to 360."""

    window: Window
    transform: Affine
    across: bool = False

    def widened(self, px: int) -> SourcePart:
        """With a rim of pixels on all sides."""
        w = self.window
        around = Window(w.col_off - px, w.row_off - px, w.width + 2 * px, w.height + 2 * px)
        return SourcePart(around, self.transform @ Affine.translation(-px, -px), self.across)


def on_lattice(part: SourcePart, grid: SourceGrid, lattice: Lattice) -> PixelWindow | None:
    """The pixels of the lattice that the pixels of a source are, to a millionth; None if they are others."""
    t, res = part.transform, lattice.res_m
    if (t.a, t.b, t.d, t.e) != (res, 0, 0, -res) or not _is_zone(grid.crs_wkt, lattice.zone.epsg):
        return None
    row, col = (float(at[0]) for at in lattice.to_pixels(np.array([t.c]), np.array([t.f])))
    if max(abs(row - round(row)), abs(col - round(col))) > _ON_LATTICE_PX:
        return None
    height, width = int(part.window.height), int(part.window.width)
    return PixelWindow(round(row), round(row) + height, round(col), round(col) + width)


@lru_cache(maxsize=1024)
def _is_zone(crs: str, epsg: int) -> bool:
    return bool(_crs(crs).to_epsg() == epsg)


@lru_cache(maxsize=1024)
def _crs(text: str) -> CRS:
    return CRS.from_user_input(text)


@lru_cache(maxsize=1024)
def _transformer(epsg: int, crs: str) -> Transformer:
    return Transformer.from_crs(CRS.from_epsg(epsg), _crs(crs), always_xy=True)
