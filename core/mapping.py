"""Mapping one block: its tiles are read once with their halo, windows are cut in memory, scores are blended.

Only windows that touch the outlines grown by the buffer run, and only pixels inside that buffer are kept: every
window over such a pixel has run, in whichever block, so its probability depends on nothing but its surroundings.
All else is `not observed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from core.coverage import coverage_share
from core.errors import SystemicError
from core.grid import Block, Lattice, PixelWindow
from core.models import Inputs, Model, Need, OnDevice, Voting, has_spread
from core.resample import on_lattice, resample_classes, source_window
from core.sensors import sensor as sensor_named
from core.stitch import Canvas, encode
from core.stopwatch import BLEND, COMPUTE, TO_DEVICE, WAIT, Stopwatch
from core.tiles import SceneRef, TileSource
from core.windows import active_windows

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class MappedBlock:
    """What mapping found. probability: (h, w) uint8 (`core.stitch`); scene: (h, w) uint8, 0 = not observed,
    k = `scenes[k − 1]`; spread: (h, w) uint8 standard deviation of the probability among the votes of the model,
    encoded as the probability, None from a model of one vote; sensors: those with any observation under the windows;
    n_pixels: of the core, under a window that ran; bytes_read: of tiles, as decoded (`TileRead`); bytes_needed: what
    those pixels hold, as stored."""

    probability: NDArray[np.uint8]
    scene: NDArray[np.uint8]
    scenes: tuple[SceneRef, ...]
    sensors: tuple[str, ...]
    n_windows: int
    bytes_read: int
    n_pixels: int = 0
    bytes_needed: int = 0
    spread: NDArray[np.uint8] | None = None


def map_block(
    block: Block,
    lattice: Lattice,
    outlines: NDArray[np.object_],
    sources: Mapping[str, TileSource],
    model: Model,
    buffer_m: float,
    batch: int,
    watch: Stopwatch | None = None,
) -> MappedBlock:
    """Map one block.

    outlines: projected home outlines of the zone; sources: the tiles of each sensor that the model needs; batch:
    windows per call of the model; watch: is told what waits, computes and blends.
    Memory: the inputs of the block with its halo in float32, one batch, two canvases.
    Raises PoisonError for corrupt tiles, SystemicError for a model whose answer has the wrong shape.
    """
    watch = watch or Stopwatch()
    windows, core = model.spec.windows, lattice.block_window(block)
    i, j = active_windows(outlines, lattice, windows, buffer_m, within=core)
    empty = np.full(core.shape, np.nan, dtype=np.float32)
    if len(i) == 0:
        nothing = encode(empty)
        spread = nothing if has_spread(model) else None
        return MappedBlock(nothing, np.zeros(core.shape, np.uint8), (), (), 0, 0, spread=spread)
    patches = [windows.window(int(a), int(b)) for a, b in zip(i, j, strict=True)]
    area = PixelWindow(
        min(p.row0 for p in patches),
        max(p.row1 for p in patches),
        min(p.col0 for p in patches),
        max(p.col1 for p in patches),
    )
    bands: dict[str, Float32] = {}
    dated: tuple[NDArray[np.int16], tuple[SceneRef, ...]] | None = None
    n_pixels, n_bytes, n_needed = _n_under(patches, core), 0, 0.0
    for need in model.spec.needs:
        tiles = sources[need.sensor]
        source = tiles.lattice
        have = source_window(lattice, area, source)
        with watch.on(WAIT):
            read = tiles.read(have, need.bands)
        n_bytes += read.bytes_read
        n_needed += n_pixels * (lattice.res_m / source.res_m) ** 2 * _stored_bytes(need)
        bands[need.sensor] = on_lattice(read.values, need.sensor, source, have, lattice, area)
        if dated is None:
            dated = resample_classes(read.scene, source, have, lattice, core.intersect(area)), read.scenes
    canvas, apart = Canvas(core), Canvas(core) if has_spread(model) else None
    weights = model.weights()
    for start in range(0, len(patches), batch):
        cut = patches[start : start + batch]
        inputs: Inputs = {
            name: np.stack([values[(slice(None), *p.slices(area))] for p in cut]) for name, values in bands.items()
        }
        with watch.on(COMPUTE):
            scores, spreads = _scores(model, inputs)
        watch.move(COMPUTE, TO_DEVICE, model.transfer_s if isinstance(model, OnDevice) else 0.0)
        if scores.shape != (len(cut), *weights.shape):
            raise SystemicError(
                f"model {model.spec.name}", found=f"scores {scores.shape}", expected=f"{(len(cut), *weights.shape)}"
            )
        with watch.on(BLEND):
            for patch, score in zip(cut, scores, strict=True):
                canvas.add(score, weights, patch)
            # The mean of deviations is at least the deviation of the blended votes: never too sure.
            if apart is not None and spreads is not None:
                for patch, spread in zip(cut, spreads, strict=True):
                    apart.add(spread, weights, patch)
    near = near_outlines(outlines, lattice, core, buffer_m)
    with watch.on(BLEND):
        probability = canvas.divide()
        probability[~near] = np.nan
        stored = encode(probability)
        kept = np.isfinite(probability)
        scene, scenes = _scenes_of(dated, core, area, kept) if dated else (np.zeros_like(stored), ())
    among = None if apart is None else encode(np.where(kept, apart.divide(), np.float32(np.nan)))
    used = tuple(name for name, values in bands.items() if np.isfinite(values).any())
    return MappedBlock(stored, scene, scenes, used, len(patches), n_bytes, n_pixels, round(n_needed), among)


def _scores(model: Model, inputs: Inputs) -> tuple[Float32, Float32 | None]:
    """Probability, and its spread where the model has votes."""
    if isinstance(model, Voting) and has_spread(model):
        return model.predict_spread(inputs)
    return model.predict(inputs), None


def near_outlines(
    outlines: NDArray[np.object_], lattice: Lattice, window: PixelWindow, buffer_m: float
) -> NDArray[np.bool_]:
    """Pixels whose centre is within `buffer_m` of the centre of a pixel that an outline touches: (rows, cols) bool."""
    reach = buffer_m / lattice.res_m + 1e-9
    wide = window.pad(math.floor(reach) + 1)
    touched = coverage_share(outlines, lattice, wide) > 0
    if not touched.any():
        return np.zeros(window.shape, dtype=bool)
    distance_px = distance_transform_edt(~touched)
    return np.asarray(distance_px[window.slices(wide)] <= reach)


def _n_under(patches: list[PixelWindow], core: PixelWindow) -> int:
    """Pixels of the core under at least one of the windows."""
    under = np.zeros(core.shape, dtype=bool)
    for patch in patches:
        under[patch.intersect(core).slices(core)] = True
    return int(np.count_nonzero(under))


def _stored_bytes(need: Need) -> int:
    """Bytes of one tile pixel: the bands asked for, and the number of its scene."""
    return len(need.bands) * sensor_named(need.sensor).numpy_dtype.itemsize + 1


def _scenes_of(
    dated: tuple[NDArray[np.int16], tuple[SceneRef, ...]],
    core: PixelWindow,
    area: PixelWindow,
    mapped: NDArray[np.bool_],
) -> tuple[NDArray[np.uint8], tuple[SceneRef, ...]]:
    """Scene numbers of the mapped pixels, renumbered to the scenes that occur."""
    index, scenes = dated
    inside = core.intersect(area)
    full = np.full(core.shape, -1, dtype=np.int16)
    full[inside.slices(core)] = index
    full[~mapped] = -1
    used = np.unique(full[full >= 0])
    number = np.zeros(len(scenes) + 1, dtype=np.uint8)  # the last entry takes −1
    number[used] = np.arange(1, len(used) + 1)
    return number[full], tuple(scenes[int(k)] for k in used)
