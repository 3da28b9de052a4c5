"""Terminus: where a glacier ends, and how high that is.

On land it is the lowest point of the glacier's margin, as in RGI 7.0 ("approximately the location of lowest elevation
along the glacier outline", user guide); of a front in water the middle, because there the lowest pixel is chance. One
wrong pixel of the elevation model never decides: elevations are medians of 3 × 3 pixels. Only the largest part counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from core.grid import Lattice, PixelWindow
from core.measure.frame import framed

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
# Terminus types of RGI 7.0 that end in water: marine, lake, shelf.
IN_WATER = (1, 2, 3)
# What stands above water at a calving front is some tens of metres; higher margin is no front. Unchecked.
FRONT_M = 50.0
_CANDIDATES = 64
_EIGHT = np.ones((3, 3), dtype=bool)
_DIGITS = 7  # of longitude and latitude: 1 cm


@dataclass(frozen=True)
class Terminus:
    """row, col: its pixel in the window. lon, lat: of the centre of that pixel, degrees, longitude in [−180, 180].
    elevation_m: of the ice there, median of the ice pixels among 3 × 3."""

    row: int
    col: int
    lon: float
    lat: float
    elevation_m: float


def largest_part(ice: Mask, area_km2: Float32) -> Mask:
    """The connected part (over edges and corners) of most area, (h, w); the first in row-major order of equal ones."""
    number, count = label(ice, structure=_EIGHT)
    if count < 2:
        return ice
    size = np.bincount(number[ice], weights=area_km2[ice])
    return np.asarray(number == int(np.argmax(size)))


def find_terminus(
    part: Mask, elevation_m: Float32, lattice: Lattice, window: PixelWindow, term_type: int | None = None
) -> Terminus | None:
    """The terminus of `part` (h, w), see `largest_part`; None if no elevation of its margin is known.

    elevation_m: (h + 2, w + 2) on `window.pad(1)`, NaN = unknown. term_type: of RGI 7.0, None or 9 count as land.
    On land: of the margin's lowest pixels, 64 or a hundredth, the one whose 3 × 3 median is lowest. In water: the front
    is the margin less than 50 m above that; its middle is the margin pixel nearest to the mean of the front, which
    counts more the lower it lies. Pixels inside the ice never count: a hollow there is no terminus.
    """
    here = elevation_m[1:-1, 1:-1]
    row, col = np.nonzero(_margin(part) & np.isfinite(here))
    if len(row) == 0:
        return None
    height = here[row, col]
    n = min(len(row), max(_CANDIDATES, len(row) // 100))
    lowest = np.sort(np.argpartition(height, n - 1)[:n])
    smooth = _median_3x3(elevation_m, row[lowest], col[lowest])
    at = int(lowest[np.lexsort((height[lowest], smooth))[0]])
    if term_type in IN_WATER:
        above = height - smooth.min()
        near = _joined(row, col, above < FRONT_M, at, part.shape)
        weight = np.clip(FRONT_M - above[near], 1.0, FRONT_M)
        mean_row, mean_col = np.average(row[near], weights=weight), np.average(col[near], weights=weight)
        at = int(near[np.argmin((row[near] - mean_row) ** 2 + (col[near] - mean_col) ** 2)])
    r, c = int(row[at]), int(col[at])
    x, y = lattice.centres_m(PixelWindow(window.row0 + r, window.row0 + r + 1, window.col0 + c, window.col0 + c + 1))
    lon, lat = lattice.zone.unproject_points(x, y)
    around = np.where(framed(part)[r : r + 3, c : c + 3], elevation_m[r : r + 3, c : c + 3], np.nan)
    elevation = float(_median(around.ravel()))
    return Terminus(r, c, round(float(lon[0]), _DIGITS), round(float(lat[0]), _DIGITS), elevation)


def _margin(part: Mask) -> Mask:
    """Pixels of a part beside ground that is not of it, over edges or corners."""
    p = framed(part)
    rows = p[:-2] & p[1:-1] & p[2:]
    return part & ~(rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:])


def _median_3x3(padded: Float32, row: NDArray[np.intp], col: NDArray[np.intp]) -> Float32:
    """Median of the known ones of the nine pixels around each; (n,) float32. At least the middle one is known."""
    down, right = (a.ravel() for a in np.meshgrid(np.arange(3), np.arange(3), indexing="ij"))
    return _median(padded[row[:, None] + down, col[:, None] + right])


def _median(z: Float32) -> Float32:
    """Median of the known ones along the last axis, where there is always one."""
    ordered = np.sort(z, axis=-1)  # NaN last
    known = np.isfinite(z).sum(axis=-1, keepdims=True)
    middle = [np.take_along_axis(ordered, k, axis=-1)[..., 0] for k in ((known - 1) // 2, known // 2)]
    return np.asarray((middle[0] + middle[1]) / np.float32(2.0))


def _joined(
    row: NDArray[np.intp], col: NDArray[np.intp], low: Mask, at: int, shape: tuple[int, ...]
) -> NDArray[np.intp]:
    """Indices of the low pixels that are joined to pixel `at` over low ones, and `at` itself."""
    image = np.zeros(shape, dtype=bool)
    image[row[low], col[low]] = True
    image[row[at], col[at]] = True
    number, _ = label(image, structure=_EIGHT)
    return np.flatnonzero(number[row, col] == number[row[at], col[at]])
