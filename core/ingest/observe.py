"""One scene over one block: what it observes of any tile of it, in the units of the sensor and on the lattice.

Opened when it is first asked and closed with the block. The files of a scene are read side by side where they come
over a network. What GDAL or an archive raises names the scene, the file and the block.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.windows import Window

from core.config import FileConfig, SceneConfig
from core.errors import PoisonError
from core.grid import Lattice, PixelWindow
from core.ingest.offset import with_true_offset
from core.ingest.raster import Raster, RasterHeader, open_raster, public, raster_errors, read_header, remote, same_crs
from core.ingest.source_grid import SourceGrid
from core.ingest.vector import axis_angle, turn
from core.ingest.warp import tiles_of, warp_clear, warp_sums, warp_values
from core.sensors import Sensor
from core.stopwatch import WAIT, WARP, Stopwatch
from core.tiles import SceneRef

S = TypeVar("S")
T = TypeVar("T")
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Observed:
    """A tile of a scene. values: (band, h, w) in the order of the sensor, NaN for bands that the scene lacks and where
    it is not valid; valid: (h, w), all of its bands are valid and no mask covers them; known: as valid, masks aside,
    and everywhere in a piece that a mask covers as a whole, whose pixels are then not read but for a look."""

    values: Float32
    valid: NDArray[np.bool_]
    known: NDArray[np.bool_]


@dataclass
class Observer:
    """One scene over `window` of `lattice`. overviews: read reduced copies where they are fine enough (for a look)."""

    scene: SceneConfig
    sensor: Sensor
    lattice: Lattice
    window: PixelWindow
    what: str
    stack: ExitStack
    watch: Stopwatch
    pool: Executor | None = None
    overviews: bool = False
    any_known: bool = field(default=False, init=False)
    any_valid: bool = field(default=False, init=False)
    failure: PoisonError | None = field(default=None, init=False)
    _opened: list[_Layer] = field(default_factory=list, init=False)

    @property
    def ref(self) -> SceneRef:
        return SceneRef(self.scene.id, self.scene.date, self.scene.sensor)

    @property
    def opened(self) -> bool:
        return bool(self._opened)

    @property
    def bytes_read(self) -> int:
        """Of pixels, as decoded from their files; masks of nodata aside."""
        return sum(layer.raster.bytes for layer in self._opened)

    @cached_property
    def bands(self) -> frozenset[str]:
        """Bands of the sensor that the scene has; a slope comes with the elevation."""
        own = frozenset(band for file in self.scene.files for band in file.bands)
        return own | {self.sensor.slope} if self.sensor.slope and self.sensor.band_names[0] in own else own

    @cached_property
    def reaches(self) -> bool:
        """Whether every file of the scene has a pixel near the window; the headers alone tell."""
        return self._places is not None

    def observe(self, tile: PixelWindow) -> Observed:
        """Read and regrid one tile. Raises the errors of `core.ingest.raster`; a poisoned scene remembers its own."""
        try:
            seen = self._tile(tile)
        except PoisonError as error:
            self.failure = error
            raise
        self.any_known |= bool(seen.known.any())
        self.any_valid |= bool(seen.valid.any())
        return seen

    def sums(self, tile: PixelWindow) -> tuple[Float32, Float32]:
        """(band, h, w) sums of weight × value and (h, w) of weights: see `core.ingest.warp.warp_sums`."""
        try:
            sums, weights = self._sums(tile)
        except PoisonError as error:
            self.failure = error
            raise
        self.any_known = self.any_valid = self.any_valid or bool(weights.any())
        return sums, weights

    def _tile(self, tile: PixelWindow) -> Observed:
        parts = [self._observe(part) for part in self._parts(tile)]
        if len(parts) == 1:
            return parts[0][1]
        shape = tile.shape
        out = Observed(
            np.full((len(self.sensor.bands), *shape), np.nan, np.float32), np.zeros(shape, bool), np.zeros(shape, bool)
        )
        for part, seen in parts:
            where = part.slices(tile)
            out.values[(slice(None), *where)], out.valid[where], out.known[where] = seen.values, seen.valid, seen.known
        return out

    def _sums(self, tile: PixelWindow) -> tuple[Float32, Float32]:
        sums = np.zeros((len(self.sensor.bands), *tile.shape), dtype=np.float32)
        weights = np.zeros(tile.shape, dtype=np.float32)
        for part in self._parts(tile):
            where = part.slices(tile)

            def read(layer: _Layer, watch: Stopwatch, part: PixelWindow = part) -> tuple[Float32, Float32]:
                with raster_errors(layer.path, self.what):
                    return warp_sums(
                        layer.raster, layer.grid, layer.file, self.sensor, self.lattice, part, layer.density, watch
                    )

            layers = self._layers if self.reaches else ()
            pieces = self._each(read, layers)
            if not pieces:
                continue
            least = np.minimum.reduce([weight for _, weight in pieces])
            for layer, (values, weight) in zip(layers, pieces, strict=True):
                # A file that knows more of a pixel than the others must not count for more than they do.
                values *= np.divide(least, weight, out=np.zeros_like(least), where=weight > 0)
                for band, plane in zip(layer.file.bands, values, strict=True):
                    sums[self.sensor.band_index(band)][where] = plane
            self._turn(sums[(slice(None), *where)], part)
            weights[where] = least
        return sums, weights

    def _parts(self, tile: PixelWindow) -> list[PixelWindow]:
        """The tile in pieces under which the source stays small."""
        places = self._places or ()
        densest = max((place.density for place in places), default=1.0)
        return list(tiles_of(tile, densest, max((len(place.file.bands) for place in places), default=1)))

    def _observe(self, tile: PixelWindow) -> tuple[PixelWindow, Observed]:
        values = np.full((len(self.sensor.bands), *tile.shape), np.nan, dtype=np.float32)
        if not self.reaches:
            nothing = np.zeros(tile.shape, dtype=bool)
            return tile, Observed(values, nothing, nothing)

        def read(layer: _Layer, watch: Stopwatch) -> tuple[Float32, NDArray[np.bool_]]:
            with raster_errors(layer.path, self.what):
                return warp_values(
                    layer.raster, layer.grid, layer.file, self.sensor, self.lattice, tile, layer.density, watch
                )

        clear = self._clear(tile)
        if not clear.any() and not self.overviews:  # all masked: its pixels are not worth their bytes
            return tile, Observed(values, clear, np.ones(tile.shape, dtype=bool))
        known = np.ones(tile.shape, dtype=bool)
        for layer, (planes, valid) in zip(self._layers, self._each(read, self._layers), strict=True):
            known &= valid
            for band, plane in zip(layer.file.bands, planes, strict=True):
                values[self.sensor.band_index(band)] = plane
        self._turn(values, tile)
        values[:, ~known] = np.nan
        return tile, Observed(values, known & clear, known)

    def _clear(self, tile: PixelWindow) -> NDArray[np.bool_]:
        """Where no mask covers the tile. A mask that lies elsewhere covers it all."""
        if self.scene.mask is None:
            return np.ones(tile.shape, dtype=bool)
        mask = self._mask
        if mask is None:
            return np.zeros(tile.shape, dtype=bool)
        with raster_errors(mask.path, self.what):
            return warp_clear(mask.raster, mask.grid, self.scene.mask, self.lattice, tile, mask.density, self.watch)

    def _turn(self, values: Float32, tile: PixelWindow) -> None:
        """Vectors along the axes of the rasters → of the zone, in place. Components may lie in files of their own."""
        if self.sensor.vector is None:
            return
        layers = [layer for layer in self._layers if set(self.sensor.vector) & set(layer.file.bands)]
        if not set(self.sensor.vector) <= {band for layer in layers for band in layer.file.bands}:
            return
        one, other = layers[0], layers[-1]
        if one is not other and not same_crs(one.grid.crs_wkt, other.grid.crs_wkt):
            raise PoisonError(
                f"{public(other.path)} ({self.what})",
                found=f"CRS {CRS.from_user_input(other.grid.crs_wkt).name}",
                expected=f"that of the other component, {CRS.from_user_input(one.grid.crs_wkt).name}",
                fix="drop the scene",
            )
        x, y = (self.sensor.band_index(band) for band in self.sensor.vector)
        values[x], values[y] = turn(values[x], values[y], axis_angle(one.grid.crs_wkt, self.lattice, tile))

    def _each(self, act: Callable[[S, Stopwatch], T], files: Sequence[S]) -> list[T]:
        """act on each file, side by side where one of them comes over a network."""
        if self.pool is None or len(files) < 2 or not any(remote(file.path) for file in self.scene.files):
            return [act(file, self.watch) for file in files]
        watches = [Stopwatch() for _ in files]

        def timed(file: S, watch: Stopwatch) -> T:
            with watch.on(WARP):
                return act(file, watch)

        began = time.perf_counter()
        with self.watch.on(WAIT):
            done = list(self.pool.map(timed, files, watches))
        warp, wait = (sum(watch.seconds.get(name, 0.0) for watch in watches) for name in (WARP, WAIT))
        self.watch.move(WAIT, WARP, (time.perf_counter() - began) * warp / max(warp + wait, 1e-9))
        return done

    @cached_property
    def _places(self) -> tuple[_Place, ...] | None:
        def locate(file: FileConfig, watch: Stopwatch) -> _Place | None:
            return self._locate(file, file.crs, watch)

        try:
            places = self._each(locate, self.scene.files)
        except PoisonError as error:
            self.failure = error
            raise
        return tuple(place for place in places if place) if all(places) else None

    @cached_property
    def _layers(self) -> tuple[_Layer, ...]:
        with self.watch.on(WAIT):
            scene = with_true_offset(self.scene, self.what)

        def opened(pair: tuple[FileConfig, _Place], watch: Stopwatch) -> _Layer:
            return self._open(*pair, watch)

        return tuple(self._each(opened, list(zip(scene.files, self._places or (), strict=True))))

    @cached_property
    def _mask(self) -> _Layer | None:
        mask = self.scene.mask
        if mask is None:
            return None
        file = FileConfig(path=mask.path, bands={"mask": mask.band}, variable=mask.variable)
        place = self._locate(file, self.scene.files[0].crs, self.watch)
        return self._open(file, place, self.watch) if place else None

    def _locate(self, file: FileConfig, crs: str | None, watch: Stopwatch) -> _Place | None:
        """None if the raster lies elsewhere, which the header alone tells."""
        with raster_errors(file.path, self.what), watch.on(WAIT):
            header = read_header(file.path, file.variable)
            self._check(file, header, crs)
        grid = SourceGrid.of(header, crs if not header.crs_wkt else None)
        density = grid.density(self.lattice, self.window)
        if not math.isfinite(density) or not any(grid.parts(self.lattice, self.window, 0.0)):
            return None
        level = _overview(header, density) if self.overviews else None
        if level is not None:
            grid, density = grid.reduced(header.overviews[level]), density / header.overviews[level]
        return _Place(file, grid, density, level)

    def _open(self, file: FileConfig, place: _Place, watch: Stopwatch) -> _Layer:
        with raster_errors(file.path, self.what), watch.on(WAIT):
            raster = self.stack.enter_context(open_raster(file.path, file.variable, place.level))
        layer = _Layer(file, _Counted(raster), place.grid, place.density)
        self._opened.append(layer)
        return layer

    def _check(self, file: FileConfig, header: RasterHeader, crs: str | None) -> None:
        """What a catalogue may have promised and the file does not hold."""
        highest = max(file.bands.values())
        if highest > header.count:
            raise PoisonError(
                public(file.path), found=f"{header.count} bands", expected=f"band {highest}", fix="drop the scene"
            )
        try:
            differs = bool(crs and header.crs_wkt and not same_crs(crs, header.crs_wkt))
            known = not crs or bool(CRS.from_user_input(crs))
        except CRSError:
            differs = known = False
        if not known:
            raise PoisonError(
                public(file.path), found=f"CRS {crs!r}", expected="one that is known", fix="correct or drop the scene"
            )
        if differs:
            raise PoisonError(
                public(file.path),
                found=f"CRS {CRS.from_user_input(header.crs_wkt).name}",
                expected=f"{crs}, as the scene says",
                fix="correct or drop the scene",
            )
        if not crs and not header.crs_wkt:
            raise PoisonError(public(file.path), found="no CRS", fix="add `crs: EPSG:…` to the file, or drop the scene")


@dataclass(frozen=True)
class _Place:
    """A raster that reaches the window, not open yet. level: of the reduced copy to read, None for the raster."""

    file: FileConfig
    grid: SourceGrid
    density: float
    level: int | None


@dataclass(frozen=True)
class _Layer:
    """An open raster that reaches the window."""

    file: FileConfig
    raster: _Counted
    grid: SourceGrid
    density: float

    @property
    def path(self) -> str:
        return self.file.path


@dataclass
class _Counted:
    """A raster that counts the bytes of the pixels that it gives."""

    raster: Raster
    bytes: int = 0

    def read(self, indexes: Any, *, window: Window) -> NDArray[Any]:
        out = self.raster.read(indexes, window=window)
        self.bytes += out.nbytes
        return out

    def read_masks(self, indexes: Any, *, window: Window) -> NDArray[np.uint8]:
        return self.raster.read_masks(indexes, window=window)


def _overview(header: RasterHeader, density: float) -> int | None:
    """The coarsest reduced copy that is still at least as fine as the lattice."""
    fine = [level for level, factor in enumerate(header.overviews) if factor <= density * 1.01]
    return fine[-1] if fine else None
