"""Tile store backends, measured: obstore and fsspec on a local disk and on S3 (moto's server on this machine).

`python -m benchmarks.store_backends` prints MB/s of decoded float32 pixels for writing whole blocks, reading them back
whole, and reading a window that cuts four of them. moto is one Python process, so its figures compare the clients
with each other and say nothing about the bandwidth of S3; on a local disk `fsspec` is Zarr's own LocalStore.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from core.grid import Block, Lattice, PixelWindow, Zone
from core.objects import BACKENDS
from core.tiles import SceneRef, TileStore
from tests.s3_server import s3_server

ZONE, EPOCH, SENSOR = Zone("utm45n"), "2000", "optical"
BLOCKS = [Block(ZONE, row, col) for row in (226, 227) for col in (15, 16)]
STEPS = ("write", "read blocks", "read window")


@dataclass(frozen=True)
class Figures:
    """MB/s by step, best of the repetitions."""

    place: str
    backend: str
    mb_per_s: dict[str, float]


def measure(place: str, url: str, backend: str, lattice: Lattice, repeat: int) -> Figures:
    """Write and read the blocks of one store; every repetition starts from an empty one."""
    values, scene = _world(lattice)
    cut = _window(lattice)
    best = dict.fromkeys(STEPS, 0.0)
    for i in range(repeat):
        here = f"{url}/{backend}-{i}"
        writer = TileStore(here, backend)
        writer.create(EPOCH, ZONE, SENSOR, lattice.res_m, {})
        reader = TileStore(here, backend)
        reader.lattice(EPOCH, ZONE, SENSOR)
        steps: dict[str, tuple[Callable[[], object], int]] = {
            "write": (lambda w=writer: _write(w, lattice, values, scene), values.nbytes * len(BLOCKS)),
            "read blocks": (lambda r=reader: _read(r, lattice), values.nbytes * len(BLOCKS)),
            "read window": (lambda r=reader: r.read(EPOCH, ZONE, SENSOR, cut), cut.size * 4 * len(values)),
        }
        for name, (action, n_bytes) in steps.items():
            began = time.perf_counter()
            action()
            best[name] = max(best[name], n_bytes / 1e6 / (time.perf_counter() - began))
    return Figures(place, backend, best)


def _world(lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
    """Six bands that compress about as reflectance does: smooth relief and three noisy digits."""
    n = lattice.block_px
    relief = 0.4 + 0.3 * np.sin(np.arange(n) / 90.0)[None] * np.cos(np.arange(n) / 70.0)[:, None]
    noise = np.random.default_rng(0).normal(0.0, 0.01, (6, n, n))
    return (relief + noise).astype(np.float32), np.ones((n, n), dtype=np.uint8)


def _window(lattice: Lattice) -> PixelWindow:
    """A window of one block's size across the corner that the four blocks share."""
    corner, half = lattice.block_window(BLOCKS[-1]), lattice.block_px // 2
    return PixelWindow(corner.row0 - half, corner.row0 + half, corner.col0 - half, corner.col0 + half)


def _write(store: TileStore, lattice: Lattice, values: np.ndarray, scene: np.ndarray) -> None:
    scenes = [SceneRef("a", dt.date(2000, 10, 30), SENSOR)]
    for block in BLOCKS:
        store.write_block(EPOCH, SENSOR, block, lattice.block_window(block), values, scene, scenes=scenes)


def _read(store: TileStore, lattice: Lattice) -> None:
    for block in BLOCKS:
        store.read(EPOCH, ZONE, SENSOR, lattice.block_window(block))


def table(figures: Sequence[Figures]) -> Table:
    """A row per place and backend, and a row of ratios per place."""
    out = Table("place", "backend", *(f"{step}, MB/s" for step in STEPS))
    for place in dict.fromkeys(f.place for f in figures):
        rows = {f.backend: f.mb_per_s for f in figures if f.place == place}
        for backend, row in rows.items():
            out.add_row(place, backend, *(f"{row[step]:.0f}" for step in STEPS))
        ratios = (rows["obstore"][step] / rows["fsspec"][step] for step in STEPS)
        out.add_row(place, "obstore / fsspec", *(f"{ratio:.2f} ×" for ratio in ratios), end_section=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--res-m", type=int, default=30, help="pixel of the tiles; 10 m blocks hold 9 times more")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    lattice, figures = Lattice(ZONE, arguments.res_m), []
    with tempfile.TemporaryDirectory() as folder, s3_server() as bucket:
        for place, url in (("local disk", folder), ("S3 (moto)", f"{bucket}/bench")):
            figures += [measure(place, url, backend, lattice, arguments.repeat) for backend in BACKENDS]
    console = Console()
    n_mb = len(BLOCKS) * 6 * lattice.block_px**2 * 4 / 1e6
    console.print(
        f"{len(BLOCKS)} blocks of 6 bands at {lattice.res_m} m, {n_mb:.0f} MB in float32, best of {arguments.repeat}"
    )
    console.print(table(figures))


if __name__ == "__main__":
    main()
