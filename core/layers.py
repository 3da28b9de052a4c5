"""Layers: named quantities on the pixels of the mosaic, from the tiles of whatever sensors a run has.

What measuring looks at besides the probability: elevation and slope, the bands of the optical image and their indices,
heat, coherence. A layer whose sensor the run does not have does not exist, and a pixel that was not observed is NaN;
rules that want one of them do not apply there. Tiles are read a block at a time and kept for the next glacier.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.grid import Block, Lattice, PixelWindow
from core.resample import on_lattice, source_window
from core.sensors import nearest
from core.tiles import TileSource

Float32 = NDArray[np.float32]
_CACHE_BYTES = 1 << 29


@dataclass(frozen=True)
class Layer:
    """sensor and the bands that it takes: one, or two of which it is the normalised difference (a − b) / (a + b)."""

    sensor: str
    bands: tuple[str, ...]


# NDSI: Hall et al. 1995 (10.1016/0034-4257(95)00137-P); NDWI: McFeeters 1996 (10.1080/01431169608948714); NDVI: Tucker
# 1979 (10.1016/0034-4257(79)90013-0).
LAYERS: Mapping[str, Layer] = {
    "elevation_m": Layer("dem", ("elevation_m",)),
    "slope_deg": Layer("dem", ("slope_deg",)),
    "green": Layer("optical", ("green",)),
    "red": Layer("optical", ("red",)),
    "nir": Layer("optical", ("nir",)),
    "swir1": Layer("optical", ("swir1",)),
    "ndsi": Layer("optical", ("green", "swir1")),
    "ndwi": Layer("optical", ("green", "nir")),
    "ndvi": Layer("optical", ("nir", "red")),
    "thermal_k": Layer("thermal", ("kelvin",)),
    "coherence": Layer("coherence", ("coh12",)),
}


def sensors_of(names: Iterable[str]) -> list[str]:
    """The sensors that layers come from, in order of first use. Raises ConfigError naming the nearest known layer."""
    return list(dict.fromkeys(layer(name).sensor for name in names))


def layer(name: str) -> Layer:
    """The layer of that name. Raises ConfigError naming the nearest known one."""
    if name not in LAYERS:
        raise ConfigError(f"layer {name!r}", expected=", ".join(LAYERS), fix=nearest(name, LAYERS))
    return LAYERS[name]


class Layers:
    """Layers of one zone. sources: the tiles of every sensor that the run has; planned: names of the blocks of the
    plan, outside which nothing was observed; windows: those that will be asked for, of each block only the rectangle
    around them is read. Another window costs reading its blocks once more, whole."""

    def __init__(
        self,
        lattice: Lattice,
        sources: Mapping[str, TileSource],
        planned: Set[str],
        windows: Iterable[PixelWindow] = (),
    ) -> None:
        self._lattice, self._sources, self._planned = lattice, sources, planned
        self._bands = {name: _bands_of(name) for name in sources}
        self._parts = lattice.parts(windows)
        self._blocks: OrderedDict[tuple[str, Block], tuple[PixelWindow, Float32]] = OrderedDict()
        self._bytes = 0

    @property
    def names(self) -> frozenset[str]:
        """Layers that there are."""
        return frozenset(name for name, known in LAYERS.items() if known.sensor in self._sources)

    def read(self, window: PixelWindow, names: Collection[str]) -> dict[str, Float32]:
        """name → (rows, cols) float32, NaN = not observed, for those of the names that there are.

        Raises what reading tiles raises.
        """
        wanted = [name for name in names if name in self.names]
        held = {name: self._window(name, window) for name in sensors_of(wanted)}
        return {name: _value(layer(name), self._bands[layer(name).sensor], held[layer(name).sensor]) for name in wanted}

    def _window(self, sensor: str, window: PixelWindow) -> Float32:
        """(band, rows, cols) of a sensor."""
        out = np.full((len(self._bands[sensor]), *window.shape), np.nan, dtype=np.float32)
        for block in self._lattice.blocks(window):
            if block.name in self._planned:
                inside = window.intersect(self._lattice.block_window(block))
                part, stored = self._block(sensor, block, inside)
                out[(slice(None), *inside.slices(window))] = stored[(slice(None), *inside.slices(part))]
        return out

    def _block(self, sensor: str, block: Block, wanted: PixelWindow) -> tuple[PixelWindow, Float32]:
        """(a part of the block that contains what is wanted, its pixels)."""
        whole = self._lattice.block_window(block)
        part = self._parts.get(block, whole)
        if not part.contains(wanted):
            part = self._parts[block] = whole
        if (sensor, block) not in self._blocks or self._blocks[sensor, block][0] != part:
            tiles = self._sources[sensor]
            have = source_window(self._lattice, part, tiles.lattice)
            read = tiles.read(have, self._bands[sensor])
            values = np.ascontiguousarray(on_lattice(read.values, sensor, tiles.lattice, have, self._lattice, part))
            self._bytes -= self._forget(sensor, block)
            self._blocks[sensor, block] = part, values
            self._bytes += values.nbytes
            while self._bytes > _CACHE_BYTES and len(self._blocks) > 1:
                self._bytes -= self._blocks.popitem(last=False)[1][1].nbytes
        self._blocks.move_to_end((sensor, block))
        return self._blocks[sensor, block]

    def _forget(self, sensor: str, block: Block) -> int:
        """Bytes that this frees."""
        held = self._blocks.pop((sensor, block), None)
        return 0 if held is None else held[1].nbytes


def _bands_of(sensor: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(band for known in LAYERS.values() if known.sensor == sensor for band in known.bands))


def _value(known: Layer, bands: tuple[str, ...], values: Float32) -> Float32:
    planes: list[Float32] = [values[bands.index(band)] for band in known.bands]
    if len(planes) == 1:
        return planes[0]
    a, b = planes
    total = a + b
    # Where both are dark the difference means nothing, and 0 says nothing; what was not observed stays NaN.
    bright = np.abs(total) > 1e-4
    ratio = np.divide(a - b, total, out=np.zeros_like(total), where=bright)
    return np.where(np.isfinite(total), ratio, np.float32(np.nan)).astype(np.float32)
