"""A window of tiles made small while it is read: a strip at a time, so memory is that of a strip and of the picture.

Values are means of what is observed under a pixel of the picture, so nothing glitters; the scene of a pixel is that of
its upper left corner, because numbers of scenes have no mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.grid import Lattice, PixelWindow
from core.tiles import SceneRef, TileStore

_STRIP_PX = 512

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """values: (band, h, w) float32, NaN = not observed; scene: (h, w) int16 index into `scenes`, −1 = not observed;
    extent_m: (left, right, bottom, top) in zone metres; px_m: of a pixel of the picture."""

    values: Float32
    scene: NDArray[np.int16]
    scenes: tuple[SceneRef, ...]
    extent_m: tuple[float, float, float, float]
    px_m: float

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Pixels in which anything was observed, in any of the bands."""
        seen = np.isfinite(self.values).any(axis=0) if len(self.values) else self.scene >= 0
        return np.asarray(seen, dtype=bool)


def thumbnail(
    store: TileStore,
    epoch: str,
    lattice: Lattice,
    sensor: str,
    window: PixelWindow,
    bands: Sequence[str],
    most_px: int,
) -> Thumbnail:
    """A window, at most `most_px` a side. lattice: of the tiles. Raises what `TileStore.read` raises."""
    step = max(1, -(-max(window.shape) // most_px))
    number: dict[SceneRef, int] = {}
    values: list[Float32] = []
    scenes: list[NDArray[np.int16]] = []
    height = step * max(1, _STRIP_PX // step)
    for row0 in range(window.row0, window.row1, height):
        strip = PixelWindow(row0, min(row0 + height, window.row1), window.col0, window.col1)
        read = store.read(epoch, lattice.zone, sensor, strip, bands)
        lookup = np.array([-1, *(number.setdefault(s, len(number)) for s in read.scenes)], dtype=np.int16)
        scenes.append(lookup[read.scene[::step, ::step] + 1])
        values.append(cell_means(read.values, step))
    xmin, _, _, ymax = lattice.bounds_m(window)
    whole, px_m = np.concatenate(values, axis=1), float(step * lattice.res_m)
    rows, cols = whole.shape[1:]
    extent = (xmin, xmin + cols * px_m, ymax - rows * px_m, ymax)
    return Thumbnail(whole, np.concatenate(scenes), tuple(number), extent, px_m)


def cell_means(values: Float32, step: int) -> Float32:
    """Means of the finite values in squares of `step` pixels, those at the rim cut: NaN where there is none."""
    if step == 1:
        return values
    bands, rows, cols = values.shape
    padded = np.pad(values, ((0, 0), (0, -rows % step), (0, -cols % step)), constant_values=np.nan)
    cells = padded.reshape(bands, -(-rows // step), step, -(-cols // step), step)
    finite = np.isfinite(cells)
    count = finite.sum(axis=(2, 4), dtype=np.float32)
    total = np.where(finite, cells, 0).sum(axis=(2, 4), dtype=np.float32)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan), dtype=np.float32)
