"""Ingest, measured: source pixels per second of one block, against rasterio reading the same windows and nothing else.

`python -m benchmarks.ingest_throughput` prints, for scenes such as Sentinel-2's (four bands of 10 m, two and the scene
classification of 20 m, deflate, reduced copies), MB/s of decoded source pixels by place, projection, resolution and
composite, the share of the raw speed, and the peak of memory. Every figure is a process of its own. S3 is moto's server
on this machine, one Python process, so its figures compare the two ways with each other and say nothing about S3.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3
import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import transform_bounds
from rasterio.windows import Window, from_bounds
from rich.console import Console
from rich.table import Table

from core.config import Config
from core.grid import Block, Lattice, Zone
from core.ingest import ingest_block
from core.ingest.raster import open_raster, read_header
from core.tiles import TileStore
from tests.s3_server import s3_server

ZONE = Zone("utm45n")
BLOCK = Block(ZONE, 226, 15)
PIXEL_M = {"blue": 10, "green": 10, "red": 10, "nir": 10, "swir1": 20, "swir2": 20}
MARGIN_M = 2000
CRS = {"own zone": "EPSG:32645", "next zone": "EPSG:32644"}


@dataclass(frozen=True)
class Case:
    """One measurement. composite: `raw` reads the windows and does nothing else."""

    place: str
    folder: str
    projection: str
    res_m: int
    composite: str
    n_scenes: int


@dataclass(frozen=True)
class Figures:
    """n_bytes: of source pixels, as decoded; peak_mb: of resident memory."""

    case: Case
    seconds: float
    n_bytes: int
    peak_mb: float

    @property
    def mb_per_s(self) -> float:
        return self.n_bytes / 1e6 / self.seconds


def write_scenes(folder: Path, n: int) -> None:
    """n scenes per projection: relief and noise, which packs to about half, and a tenth of cloud."""
    rng = np.random.default_rng(0)
    for projection, crs in CRS.items():
        west, south, east, north = (round(v, -2) for v in transform_bounds(f"EPSG:{ZONE.epsg}", crs, *BLOCK.bounds_m))
        corner = west - MARGIN_M, north + MARGIN_M
        side_m = max(east - west, north - south) + 2 * MARGIN_M
        for k in range(n):
            for name, pixel_m in [*PIXEL_M.items(), ("scl", 20)]:
                size = int(side_m / pixel_m)
                if name == "scl":
                    blobs = np.kron(rng.random((size // 64 + 1,) * 2) < 0.1, np.ones((64, 64), bool))[:size, :size]
                    values = np.where(blobs, 9, 4).astype(np.uint8)
                else:
                    relief = 3000 + 1500 * np.sin(np.arange(size) / 90)[None] * np.cos(np.arange(size) / 70)[:, None]
                    values = (relief + rng.normal(0, 100, (size, size))).astype(np.uint16)
                path = folder / _key(projection, k, name)
                path.parent.mkdir(exist_ok=True, parents=True)
                _write(path, values, crs, Affine(pixel_m, 0, corner[0], 0, -pixel_m, corner[1]))


def _write(path: Path, values: np.ndarray, crs: str, transform: Affine) -> None:
    profile = {"compress": "deflate", "predictor": 2, "tiled": True, "blockxsize": 512, "blockysize": 512, "nodata": 0}
    height, width = values.shape
    with rasterio.open(path, "w", "GTiff", width, height, 1, crs, transform, values.dtype, **profile) as d:
        d.write(values, 1)
    with rasterio.open(path, "r+") as d:
        d.build_overviews([2, 4, 8, 16], Resampling.nearest if path.stem.endswith("scl") else Resampling.average)


def _key(projection: str, k: int, name: str) -> str:
    return f"{projection.replace(' ', '-')}/{k}_{name}.tif"


def scenes(case: Case, n_written: int) -> list[dict[str, object]]:
    """As a configuration lists them; beyond those that were written the files come again under another name."""

    def path(k: int, name: str) -> str:
        return f"{case.folder}/{_key(case.projection, k % n_written, name)}"

    return [
        {
            "id": f"s{k:02d}",
            "sensor": "optical",
            "date": (dt.date(2000, 7, 1) + dt.timedelta(days=k)).isoformat(),
            "files": [{"path": path(k, band), "bands": {band: 1}, "scale": 1e-4} for band in PIXEL_M],
            "mask": {"path": path(k, "scl"), "invalid": [9]},
        }
        for k in range(case.n_scenes)
    ]


def ingest(case: Case, n_written: int) -> int:
    """One block into an empty store; returns the bytes read."""
    config = Config.model_validate(
        {
            "name": "throughput",
            "year": 2000,
            "inventory": "none.gpkg",
            "scenes": scenes(case, n_written),
            "sensors": {"optical": {"res_m": case.res_m, "composite": case.composite}},
        }
    )
    xmin, ymin, xmax, ymax = BLOCK.bounds_m
    outlines = np.array([shapely.box(xmin, ymin, (xmin + xmax) / 2, ymax)], dtype=object)
    with tempfile.TemporaryDirectory() as folder:
        return ingest_block(config, TileStore(folder), BLOCK, "optical", outlines_m=outlines).bytes_read


def raw(case: Case, n_written: int) -> int:
    """Every band of every scene over the block, in pieces of 1,024 pixels; returns the bytes read."""
    n_bytes = 0
    for scene in scenes(case, n_written):
        paths = [file["path"] for file in scene["files"]] + [scene["mask"]["path"]]  # type: ignore[index, attr-defined]
        for path in paths:
            header = read_header(path)
            bounds = transform_bounds(f"EPSG:{ZONE.epsg}", header.crs_wkt, *BLOCK.bounds_m)
            window = from_bounds(*bounds, header.transform).round_offsets().round_lengths()
            window = window.intersection(Window(0, 0, header.width, header.height))
            with open_raster(path) as raster:
                for row in range(int(window.row_off), int(window.row_off + window.height), 1024):
                    for col in range(int(window.col_off), int(window.col_off + window.width), 1024):
                        piece = Window(col, row, 1024, 1024).intersection(window)
                        n_bytes += raster.read(1, window=piece).nbytes
    return n_bytes


def measure(case: Case, n_written: int) -> Figures:
    """In this process, which should be a fresh one."""
    began = time.perf_counter()
    n_bytes = (raw if case.composite == "raw" else ingest)(case, n_written)
    seconds = time.perf_counter() - began
    return Figures(case, seconds, n_bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def apart(case: Case, n_written: int) -> Figures:
    """In a process of its own."""
    word = json.dumps({"case": asdict(case), "n_written": n_written})
    command = [sys.executable, "-m", "benchmarks.ingest_throughput", "--one", word]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return Figures(case, **answer)


def table(figures: Sequence[Figures]) -> Table:
    """A row per measurement; share of the raw speed of the same place and projection."""
    out = Table("place", "projection", "tiles", "composite", "scenes", "MB read", "s", "MB/s", "of raw", "peak MB")
    raw_speed = {(f.case.place, f.case.projection): f.mb_per_s for f in figures if f.case.composite == "raw"}
    for f in figures:
        case = f.case
        share = f.mb_per_s / raw_speed[case.place, case.projection]
        out.add_row(
            case.place,
            case.projection,
            "" if case.composite == "raw" else f"{case.res_m} m",
            case.composite,
            str(case.n_scenes),
            f"{f.n_bytes / 1e6:.0f}",
            f"{f.seconds:.1f}",
            f"{f.mb_per_s:.0f}",
            f"{share:.2f} ×",
            f"{f.peak_mb:.0f}",
        )
    return out


def cases(place: str, folder: str, n_median: int) -> list[Case]:
    """From cheap to dear; S3 in fewer."""
    own, other = CRS
    if place != "local disk":
        return [
            Case(place, folder, own, 10, "raw", 1),
            Case(place, folder, own, 10, "first", 2),
            Case(place, folder, own, 10, "median", 2),
        ]
    return [
        Case(place, folder, own, 10, "raw", 2),
        Case(place, folder, own, 10, "first", 2),
        Case(place, folder, own, 10, "best_scene", 2),
        Case(place, folder, own, 10, "least_snow", 2),
        Case(place, folder, own, 10, "median", 2),
        Case(place, folder, own, 10, "median", n_median),
        Case(place, folder, own, 30, "first", 2),
        Case(place, folder, own, 30, "median", 2),
        Case(place, folder, other, 10, "raw", 2),
        Case(place, folder, other, 10, "first", 2),
        Case(place, folder, other, 30, "first", 2),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=2, help="scenes to write per projection")
    parser.add_argument("--median", type=int, default=12, help="scenes of the largest median")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        asked = json.loads(arguments.one)
        figures = asdict(measure(Case(**asked["case"]), asked["n_written"]))
        figures.pop("case")
        print(json.dumps(figures))
        return
    console, made = Console(width=130), []
    with tempfile.TemporaryDirectory() as folder, s3_server() as bucket:
        write_scenes(Path(folder), arguments.scenes)
        client = boto3.client("s3")
        for path in sorted(Path(folder).rglob("*.tif")):
            if path.parent.name == "own-zone":
                client.upload_file(str(path), bucket.removeprefix("s3://"), str(path.relative_to(folder)))
        for place, where in (("local disk", folder), ("S3 (moto)", bucket)):
            made += [apart(case, arguments.scenes) for case in cases(place, where, arguments.median)]
    pixels = Lattice(ZONE, 10).block_px ** 2
    console.print(f"One block of {pixels / 1e6:.1f} million pixels of 10 m and 6 bands; a process for each line")
    console.print(table(made))


if __name__ == "__main__":
    main()
