"""SIMULATED ground under a planned run: mosaic blocks and tiles as mapping and ingestion would have left them.

The probability is the outlines, blurred by a pixel, with noise everywhere, bare patches inside and snow patches beside
them, so that rules on objects have work to do. Elevation and reflectance are periodic fields that repeat in every
block, so no border shows and all that depends on the glaciers is drawn from their outlines. Nothing here is meant to
look like a place; it costs what a place costs to read and to measure. Water is where a field is low and no ice is.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from core.coverage import coverage_share
from core.grid import BLOCK_M, Block, Lattice
from core.ledger import Ledger
from core.mosaic import Mosaic
from core.plan import ZoneOutlines
from core.simulate.noise import fractal, ramp, stream
from core.simulate.spectra import SPECTRA
from core.stitch import NOT_OBSERVED, encode
from core.terrain import rise_m, steepness_deg
from core.tiles import SceneRef, TileStore

Float32 = NDArray[np.float32]
DATE = dt.date(2024, 8, 1)
_RIM_PX = 4


@dataclass(frozen=True)
class Fields:
    """Periodic fields of one block, (n, n) float32. relief_m: elevations; slope_deg: their slope; bare, snowy, wet:
    0–1, where ice is missed, where snow is taken for ice, and where water stands; grain: noise of mean 0."""

    relief_m: Float32
    slope_deg: Float32
    bare: Float32
    snowy: Float32
    wet: Float32
    grain: Float32


def make_fields(res_m: int, seed: int = 0) -> Fields:
    """The same for every block of a resolution."""
    n = BLOCK_M // res_m
    rng = stream(seed, "made ground", str(res_m))
    relief = (1500.0 + 500.0 * fractal((n, n), rng, 3.2, n / 2)).astype(np.float32)
    around = np.pad(relief, 1, mode="wrap")
    slope = steepness_deg(*rise_m(around), np.full((n, n), res_m**2 / 1e6, dtype=np.float32))
    patches = [fractal((n, n), rng, 2.0, 40.0, 4.0) for _ in range(3)]
    low, high = 2.0, 2.4
    return Fields(
        relief,
        slope.astype(np.float32),
        ramp(patches[0], low, high),
        ramp(patches[1], low, high),
        ramp(patches[2], 1.0, 1.2),
        (0.02 * rng.standard_normal((n, n), dtype=np.float32)).astype(np.float32),
    )


def write_ground(
    block: Block,
    outlines: ZoneOutlines,
    lattice: Lattice,
    fields: Fields,
    mosaics: list[tuple[Mosaic, Ledger]],
    tiles: TileStore,
    epochs: dict[str, str],
    buffer_m: float,
) -> None:
    """Write and commit one block: into every mosaic, and as tiles of `dem` and `optical`; what stands, stays.

    epochs: sensor → epoch of its tiles, which `create_tiles` has made.
    """
    window = lattice.block_window(block)
    reach = window.pad(int(buffer_m / lattice.res_m) + _RIM_PX)
    near = outlines.tree.query(shapely.box(*lattice.bounds_m(reach)))
    share = coverage_share(outlines.outline_m[near], lattice, reach)
    inner = window.slices(reach)
    soft = gaussian_filter(share, 1.0)[inner]
    width = 2 * int(buffer_m / lattice.res_m) + 1
    mapped = maximum_filter(share > 0, size=width)[inner]
    probability = 0.03 + 0.94 * soft
    probability += (0.15 - probability) * fields.bare * (soft > 0.5)
    probability += (0.85 - probability) * fields.snowy * (soft <= 0.5)
    told = np.where(mapped, np.clip(probability + fields.grain, 0, 1), np.float32(np.nan)).astype(np.float32)
    scene = SceneRef("SIMULATED", DATE, "optical")
    for mosaic, ledger in mosaics:
        stored = encode(told)
        mosaic.write_block(lattice, block, stored, mapped.astype(np.uint8))
        one = {"id": scene.id, "date": scene.date.isoformat(), "sensor": scene.sensor}
        marker = {"windows": 0, "pixels": int(np.count_nonzero(stored != NOT_OBSERVED)), "sensors": ["dem", "optical"]}
        ledger.commit("map", block.name, marker | {"scenes": [one] if mapped.any() else []})
    ones = np.ones(window.shape, dtype=np.uint8)
    ground = np.stack([fields.relief_m, fields.slope_deg])
    tiles.write_block(epochs["dem"], "dem", block, window, ground, ones, scenes=[SceneRef("SIMULATED", DATE, "dem")])
    bands = reflectance(soft, fields)
    tiles.write_block(epochs["optical"], "optical", block, window, bands, ones, scenes=[scene])


def reflectance(ice: Float32, fields: Fields) -> Float32:
    """(band, h, w): ice, with debris where the map misses it; rock, snow and water beside it."""
    white, rock, debris, snow, water = (
        np.array(SPECTRA[name].mean, dtype=np.float32)[:, None, None]
        for name in ("ice", "rock", "debris", "snow", "lake")
    )
    beside = rock + (water - rock) * fields.wet
    beside = beside + (snow - beside) * fields.snowy
    on = white + (debris - white) * fields.bare
    return np.asarray((beside + (on - beside) * ice) * (1 + fields.grain), dtype=np.float32)


def create_tiles(tiles: TileStore, lattice: Lattice, epochs: dict[str, str]) -> None:
    for sensor, epoch in epochs.items():
        tiles.create(epoch, lattice.zone, sensor, lattice.res_m, {"simulated": True})
