"""One picture of both chains on SIMULATED ground: image, heat map, heat alone, heat and objects, beside the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from benchmarks.obia.places import Place
from benchmarks.obia.runs import Bool, Float32, run_way
from benchmarks.obia.ways import Way
from benchmarks.sites.pictures import OUTLINE, composite, save_small
from core.mosaic import Mosaic
from core.stitch import decode

SIDE_PX = 220


@dataclass(frozen=True)
class Chain:
    """One row: maps of a crop. alone, refined: what is mapped without and with the rules on objects."""

    title: str
    image: NDArray[np.uint8]
    truth: Bool
    heat: Float32
    alone: Bool
    refined: Bool


def draw_chain(path: Path, place: Place, debris: Way, rock: Way) -> Path:
    """PNG of the ground with most debris and of that with most rock glaciers of a SIMULATED place."""
    ground = place.ground
    assert ground.debris is not None and ground.rock_glacier is not None
    ice = np.nan_to_num(ground.glacier) >= 0.5
    chains = [
        _chain("debris-covered glaciers", place, debris, ice, ground.debris),
        _chain("rock glaciers", place, rock, ground.rock_glacier, ground.rock_glacier),
    ]
    figure = Figure(figsize=(11.5, 6.2), dpi=96, layout="constrained")
    for axes, chain in zip(figure.subplots(len(chains), 5), chains, strict=True):
        _draw_row(axes, chain)
    figure.suptitle(f"SIMULATED {ground.name}, seen by no training: five-layer CNN → heat → objects (truth in red)")
    return save_small(figure, path)


def _chain(title: str, place: Place, way: Way, truth: Bool, most: Bool) -> Chain:
    ground = place.ground
    box = _box(most & ground.known)
    alone = replace(way, measure={**way.measure, "objects": "none"})
    runs = [run_way(place.config, one, place.zone, place.area) for one in (alone, way)]
    mapped = [run.mapped(ground.lattice, ground.window)[box] for run in runs]
    heat = np.full(ground.window.shape, np.nan, np.float32)
    for block in ground.lattice.blocks(ground.window):
        whole = ground.lattice.block_window(block)
        part = ground.window.intersect(whole)
        stored = decode(Mosaic(runs[0].url).read_block(ground.lattice, block)[0])
        heat[part.slices(ground.window)] = stored[part.slices(whole)]
    return Chain(title, composite(place.image[:, *box]), truth[box], heat[box], *mapped)


def _box(most: Bool) -> tuple[slice, slice]:
    """The square of SIDE_PX with the largest share of something, wholly on the window."""
    half = SIDE_PX // 2
    dense = uniform_filter(most.astype(np.float32), SIDE_PX)[half:-half, half:-half]
    row, col = np.unravel_index(int(dense.argmax()), dense.shape)
    return slice(int(row), int(row) + SIDE_PX), slice(int(col), int(col) + SIDE_PX)


def _draw_row(axes: NDArray[np.object_], chain: Chain) -> None:
    panels: Mapping[str, NDArray[np.generic]] = {
        f"{chain.title}: image": chain.image,
        "truth": np.where(chain.truth, 1.0, np.nan),
        "heat map": chain.heat,
        "heat ≥ 0.5": np.where(chain.alone, 1.0, np.nan),
        "heat + objects": np.where(chain.refined, 1.0, np.nan),
    }
    for number, (name, values) in enumerate(panels.items()):
        ax: Axes = axes[number]
        if values.ndim == 2 and name != "heat map":
            ax.imshow(chain.image)
            ax.imshow(values, vmin=0, vmax=1, cmap="Blues", alpha=0.55, interpolation="nearest")
        else:
            ax.imshow(values, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        if number and chain.truth.any():
            ax.contour(chain.truth, levels=[0.5], colors=OUTLINE, linewidths=0.7)
        ax.set_title(name, fontsize=9)
        ax.set_xticks([])
        ax.set_yticks([])
