"""Planning: glaciers → home zones → active blocks and glacier groups.

A block is active if outlines grown by the buffer touch it; it is mapped whole by one unit. Glaciers of one region and
zone that follow each other on a Hilbert curve form a group, measured by one unit; a glacier with a very large window
is alone. The plan depends on inventory, configuration and model only, so planning again gives the same plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from core.config import Config
from core.errors import ConfigError
from core.grid import Block, Lattice
from core.ingest import native_res_m
from core.measure import glacier_window
from core.models import ModelSpec
from core.plan.outlines import ZoneOutlines, zone_outlines
from core.windows import WindowLattice, active_windows, expand_ranges, within_reach

WORLD = (-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True)
class BlockUnit:
    """One block to map. region: that of most of its glaciers; halo: blocks whose tiles its windows reach, itself
    included; n_windows: forward passes at most (exactly, where windows do not cross the borders of blocks);
    n_glaciers: outlines within the buffer."""

    block: Block
    region: str
    n_windows: int
    n_glaciers: int
    halo: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.block.name


@dataclass(frozen=True)
class GroupUnit:
    """Glaciers measured together. blocks: active blocks that must be mapped first; pixels: of all their windows."""

    name: str
    region: str
    zone: str
    n_glaciers: int
    pixels: int
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Everything to do, and the outlines it was made from."""

    blocks: tuple[BlockUnit, ...]
    groups: tuple[GroupUnit, ...]
    zones: tuple[ZoneOutlines, ...] = field(repr=False)

    @property
    def tile_blocks(self) -> tuple[Block, ...]:
        """Blocks whose tiles are read: active ones and those that only windows reach into."""
        return tuple(Block.parse(name) for name in sorted({h for b in self.blocks for h in b.halo}))


def make_plan(
    glaciers: gpd.GeoDataFrame, config: Config, model: ModelSpec, neighbours: gpd.GeoDataFrame | None = None
) -> Plan:
    """Plan a run. glaciers, neighbours: of a normalised inventory (`core.inventory`).

    Raises ConfigError if no glacier can be mapped, or if ice could advance beyond what is mapped.
    """
    if config.advance_m > config.grid.buffer_m:
        raise ConfigError(
            "measure.advance_m",
            found=f"{config.advance_m:g} m",
            expected=f"at most grid.buffer_m = {config.grid.buffer_m:g} m, which is all that is mapped",
        )
    if not glaciers["problem"].isna().any():
        raise ConfigError("inventory", found="no glacier with a usable outline", fix="see the inventory report")
    # The flood counts steps in eight directions: what decides may lie 2√2 times the advance away.
    near_m = 3 * config.advance_m + 4 * config.grid.res_m
    zones = zone_outlines(glaciers, near_m, neighbours)
    margin_px = _interpolation_px(config, model)
    blocks: list[BlockUnit] = []
    groups: list[GroupUnit] = []
    planned: list[ZoneOutlines] = []
    for outlines in zones:
        lattice = Lattice(outlines.zone, config.grid.res_m)
        here = _blocks(outlines, lattice, model.windows, config.grid.buffer_m, margin_px)
        named, units = _groups(outlines, lattice, config, {b.name for b in here})
        blocks += here
        groups += units
        planned.append(named)
    return Plan(tuple(blocks), tuple(groups), tuple(planned))


def _interpolation_px(config: Config, model: ModelSpec) -> int:
    """Pixels beyond a window that its interpolation from coarser tiles may look at (`core.resample`)."""
    coarsest_m = max(native_res_m(config, need.sensor) for need in model.needs)
    return -(-coarsest_m // config.grid.res_m) if coarsest_m > config.grid.res_m else 0


def _blocks(
    outlines: ZoneOutlines, lattice: Lattice, windows: WindowLattice, buffer_m: float, margin_px: int
) -> list[BlockUnit]:
    home = outlines.home_outlines
    n = lattice.block_px
    owner, row, col = _touched(shapely.bounds(home), buffer_m + lattice.res_m, lattice)
    near = within_reach(home, owner, lattice.boxes_m(row * n, col * n, n), buffer_m + lattice.res_m)
    owner, row, col = owner[near], row[near], col[near]
    i, j = active_windows(home, lattice, windows, buffer_m)
    of_window, win_row, win_col = _blocks_under(i, j, windows, n, 0)
    regions = outlines.glaciers["o1region"].to_numpy(dtype=str)[outlines.home][owner]
    main, total = _main_region(row, col, regions)
    cells, n_windows = np.unique(np.stack([win_row, win_col], axis=1), axis=0, return_counts=True)
    running = {(int(r), int(c)): int(n) for (r, c), n in zip(cells, n_windows, strict=True)}
    shared = pd.DataFrame({"w": of_window, "row": win_row, "col": win_col})
    read = pd.DataFrame(dict(zip(("w", "row", "col"), _blocks_under(i, j, windows, n, margin_px), strict=True)))
    reach = _halo(shared, read, set(main), lattice)
    units = []
    for (r, c), region in main.items():
        block = Block(lattice.zone, r, c)
        units.append(BlockUnit(block, region, running.get((r, c), 0), total[r, c], reach.get((r, c), (block.name,))))
    return units


def _main_region(
    row: NDArray[np.int64], col: NDArray[np.int64], regions: NDArray[np.str_]
) -> tuple[dict[tuple[int, int], str], dict[tuple[int, int], int]]:
    """For each block: the region of most glaciers that touch it (ties: the lower number), and how many do."""
    names, number = np.unique(regions, return_inverse=True)
    cells, count = np.unique(np.stack([row, col, number.ravel()], axis=1), axis=0, return_counts=True)
    main: dict[tuple[int, int], str] = {}
    total: dict[tuple[int, int], int] = {}
    for k in np.lexsort((cells[:, 2], -count, cells[:, 1], cells[:, 0])).tolist():
        cell = int(cells[k, 0]), int(cells[k, 1])
        main.setdefault(cell, str(names[cells[k, 2]]))
        total[cell] = total.get(cell, 0) + int(count[k])
    return main, total


def _touched(
    bounds: NDArray[np.float64], reach_m: float, lattice: Lattice
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(glacier, block row, block column) of every block that a bounding box grown by `reach_m` touches."""
    n = lattice.block_px
    row_a, col_a = lattice.to_pixels(bounds[:, 0] - reach_m, bounds[:, 3] + reach_m)
    row_b, col_b = lattice.to_pixels(bounds[:, 2] + reach_m, bounds[:, 1] - reach_m)
    # An outline with wild coordinates touches no block and stays not observed, instead of stopping the run.
    last_row, last_col = (size // n for size in lattice.shape)
    first = [np.clip(np.floor(v / n), 0, last).astype(np.int64) for v, last in ((row_a, last_row), (col_a, last_col))]
    end = [np.clip(np.floor(v / n) + 1, 0, last).astype(np.int64) for v, last in ((row_b, last_row), (col_b, last_col))]
    return expand_ranges(first[0], end[0], first[1], end[1])


def _blocks_under(
    i: NDArray[np.int64], j: NDArray[np.int64], windows: WindowLattice, block_px: int, margin_px: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(window, block row, block column) of every block under a window that is grown by `margin_px`."""
    row, col = i * windows.stride_px - margin_px, j * windows.stride_px - margin_px
    last = windows.size_px + 2 * margin_px - 1
    return expand_ranges(row // block_px, (row + last) // block_px + 1, col // block_px, (col + last) // block_px + 1)


def _halo(
    shared: pd.DataFrame, read: pd.DataFrame, active: set[tuple[int, int]], lattice: Lattice
) -> dict[tuple[int, int], tuple[str, ...]]:
    """For each active block, the blocks whose tiles are read for the windows that share a pixel with it.

    shared, read: columns w (window), row, col of the blocks under each window, and of those that it reads.
    """
    pairs = shared.merge(read, on="w", suffixes=("", "_to")).drop(columns="w").drop_duplicates()
    out: dict[tuple[int, int], set[str]] = {}
    for r, c, to_r, to_c in pairs.itertuples(index=False):
        if (r, c) in active:
            out.setdefault((r, c), set()).add(Block(lattice.zone, to_r, to_c).name)
    return {cell: tuple(sorted(names)) for cell, names in out.items()}


def _groups(
    outlines: ZoneOutlines, lattice: Lattice, config: Config, active: set[str]
) -> tuple[ZoneOutlines, list[GroupUnit]]:
    rows = np.flatnonzero(outlines.home)
    table = outlines.glaciers.iloc[rows]
    bounds = shapely.bounds(outlines.outline_m[rows])
    advance = config.advance_m
    pixels = np.array([glacier_window(b, lattice, advance).size for b in bounds], dtype=np.int64)
    curve = hilbert(table["cenlon"].to_numpy(float), table["cenlat"].to_numpy(float))
    regions = table["o1region"].to_numpy(dtype=str)
    order = np.lexsort((table["rgi_id"].to_numpy(dtype=str), curve, regions))
    number = _cut(regions[order], pixels[order], config.plan.group_glaciers, int(config.plan.group_mpx * 1e6))
    owner, row, col = _touched(bounds, (2 * advance + lattice.res_m), lattice)
    names = np.full(len(outlines.group), "", dtype=object)
    units: list[GroupUnit] = []
    group_of = np.empty(len(rows), dtype=np.int64)
    group_of[order] = number
    blocks: dict[int, set[str]] = {}
    for g, r, c in {(int(g), int(r), int(c)) for g, r, c in zip(group_of[owner], row, col, strict=True)}:
        name = Block(lattice.zone, r, c).name
        if name in active:
            blocks.setdefault(g, set()).add(name)
    for g in range(int(number[-1]) + 1 if len(number) else 0):
        members = order[number == g]
        region = str(regions[members[0]])
        name = f"{region}-{lattice.zone.name}-g{g:05d}"
        names[rows[members]] = name
        units.append(
            GroupUnit(
                name,
                region,
                lattice.zone.name,
                len(members),
                int(pixels[members].sum()),
                tuple(sorted(blocks.get(g, ()))),
            )
        )
    return (
        ZoneOutlines(outlines.zone, outlines.glaciers, outlines.outline_m, outlines.home, names),
        units,
    )


def _cut(
    regions: Sequence[str] | NDArray[np.str_], pixels: NDArray[np.int64], most: int, most_px: int
) -> NDArray[np.int64]:
    """Group number of each glacier in Hilbert order; a new group at a new region, or when the group is full."""
    number = np.zeros(len(pixels), dtype=np.int64)
    group, count, used = -1, 0, 0
    for k, px in enumerate(pixels.tolist()):
        if group < 0 or regions[k] != regions[k - 1] or count >= most or used + px > most_px:
            group, count, used = group + 1, 0, 0
        number[k] = group
        count, used = count + 1, used + px
    return number


def hilbert(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int64]:
    """Position on the world's Hilbert curve, for order only."""
    points = gpd.GeoSeries(gpd.points_from_xy(lon, lat))
    return np.asarray(points.hilbert_distance(total_bounds=WORLD), dtype=np.int64)
