"""Resampling between lattices of one zone: tiles of one resolution onto the pixels of another.

All lattices of a zone share their origin, so a pixel's value depends on its place alone and not on the window that
was cut: up by bilinear interpolation, down by the mean over the area, classes by the nearest centre. NaN is not
observed: it never leaks into neighbours and is never filled beyond the pixel it was measured in.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.errors import SystemicError
from core.grid import Lattice, PixelWindow
from core.sensors import sensor as registered

Float32 = NDArray[np.float32]


def source_window(target: Lattice, window: PixelWindow, source: Lattice) -> PixelWindow:
    """The pixels of `source` needed to fill `window` of `target`: its cover and one pixel around, for interpolation."""
    cover = source.cover(target.bounds_m(window))
    return cover.pad(1) if source.res_m > target.res_m else cover


def resample(values: Float32, source: Lattice, have: PixelWindow, target: Lattice, want: PixelWindow) -> Float32:
    """(band, h, w) on `have` of `source` → (band, h', w') on `want` of `target`; NaN = not observed.

    Raises SystemicError if `have` does not hold what `source_window` asks for.
    """
    need = source_window(target, want, source)
    if not have.contains(need):
        raise SystemicError("resample", found=f"{have}", expected=f"at least {need}", fix="read source_window(...)")
    values = values[(slice(None), *need.slices(have))]
    if source.res_m == target.res_m:
        return values
    if source.res_m > target.res_m:
        return _bilinear(values, source.res_m, need, target.res_m, want)
    step = math.gcd(source.res_m, target.res_m)
    fine = PixelWindow(*(e * source.res_m // step for e in (need.row0, need.row1, need.col0, need.col1)))
    repeats = source.res_m // step
    values = values.repeat(repeats, axis=1).repeat(repeats, axis=2) if repeats > 1 else values
    factor = target.res_m // step
    inner = PixelWindow(*(e * factor for e in (want.row0, want.row1, want.col0, want.col1)))
    return _area_mean(values[(slice(None), *inner.slices(fine))], factor)


def on_lattice(
    values: Float32, sensor: str, source: Lattice, have: PixelWindow, target: Lattice, want: PixelWindow
) -> Float32:
    """`resample` for the bands of a sensor. Decibels are logarithms, and their mean is not the mean power."""
    if source.res_m == target.res_m or registered(sensor).resampling != "decibel":
        return resample(values, source, have, target, want)
    power = resample(np.power(10.0, values / 10.0, dtype=np.float32), source, have, target, want)
    return np.asarray(10.0 * np.log10(power), dtype=np.float32)


def resample_classes(
    values: NDArray[np.int16], source: Lattice, have: PixelWindow, target: Lattice, want: PixelWindow
) -> NDArray[np.int16]:
    """(h, w) classes or indices → the class at the centre of each wanted pixel."""
    if source.res_m == target.res_m:
        return values[want.slices(have)]
    rows = _nearest(want.row0, want.row1, target.res_m, source.res_m) - have.row0
    cols = _nearest(want.col0, want.col1, target.res_m, source.res_m) - have.col0
    return values[np.ix_(rows, cols)]


def _nearest(first: int, last: int, target_m: int, source_m: int) -> NDArray[np.int64]:
    return ((2 * np.arange(first, last) + 1) * target_m) // (2 * source_m)


def _area_mean(values: Float32, factor: int) -> Float32:
    """Mean of the observed share of factor × factor pixels; observed if at least half of it is."""
    n, h, w = values.shape
    cells = values.reshape(n, h // factor, factor, w // factor, factor)
    seen = np.isfinite(cells)
    count = seen.sum(axis=(2, 4))
    total = np.where(seen, cells, 0.0).sum(axis=(2, 4), dtype=np.float64)
    mean = np.full(count.shape, np.nan, dtype=np.float32)
    np.divide(total, count, out=mean, where=2 * count >= factor * factor, casting="same_kind")
    return mean


def _bilinear(values: Float32, source_m: int, have: PixelWindow, target_m: int, want: PixelWindow) -> Float32:
    """Interpolate between pixel centres over the observed neighbours; observed where the nearest source pixel is."""
    row, row_t = _between(want.row0, want.row1, target_m, source_m, have.row0)
    col, col_t = _between(want.col0, want.col1, target_m, source_m, have.col0)
    seen = np.isfinite(values)
    filled = np.where(seen, values, 0.0).astype(np.float32)

    def along(a: Float32) -> Float32:
        a = a[:, row] * (1 - row_t)[:, None] + a[:, row + 1] * row_t[:, None]
        return a[:, :, col] * (1 - col_t) + a[:, :, col + 1] * col_t

    weight = along(seen.astype(np.float32))
    with np.errstate(divide="ignore", invalid="ignore"):
        out = along(filled) / weight
    rows = _nearest(want.row0, want.row1, target_m, source_m) - have.row0
    cols = _nearest(want.col0, want.col1, target_m, source_m) - have.col0
    out[~seen[:, rows][:, :, cols]] = np.nan
    return out


def _between(first: int, last: int, target_m: int, source_m: int, origin: int) -> tuple[NDArray[np.int64], Float32]:
    """Index of the lower source pixel and the weight of the upper one, for each target centre."""
    at = (np.arange(first, last) + 0.5) * target_m / source_m - 0.5
    low = np.floor(at)
    return low.astype(np.int64) - origin, (at - low).astype(np.float32)
