"""A tiny world: a few round glaciers of bright ice on dark rock, one small scene per block, and a configuration.

The whole job takes a second or two on it. Every scene lies in the middle of its own block, so spoiling one scene
spoils exactly one block: glacier k lies in block k modulo `blocks`. Besides, `icefleet` calls a verb in this process
as a shell would, and `refusing_s3` is a storage service that lets nobody in.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import geopandas as gpd
import numpy as np
import rasterio
import shapely
import yaml
from affine import Affine

from core.grid import Block, Zone

ZONE = Zone("utm45n")
ROW, COL = 226, 14
RES_M = 30.0
SIDE_PX = 200
RADIUS_M = 500.0
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
ICE = (0.70, 0.70, 0.70, 0.60, 0.05, 0.05)
ROCK = (0.10, 0.10, 0.12, 0.20, 0.25, 0.25)


@dataclass(frozen=True)
class TinyWorld:
    """Where everything lies. `config` is the YAML file; `ids` are the glaciers in order."""

    folder: Path
    config: Path
    inventory: Path
    scenes: tuple[Path, ...]
    ids: tuple[str, ...]

    def of_block(self, k: int) -> list[str]:
        """The glaciers of block k."""
        return list(self.ids[k :: len(self.scenes)])

    def edit(self, **keys: object) -> None:
        """Replace top-level keys of the configuration; None removes one."""
        data = {**yaml.safe_load(self.config.read_text()), **keys}
        self.config.write_text(yaml.safe_dump({k: v for k, v in data.items() if v is not None}, sort_keys=False))

    def settings(self) -> dict[str, object]:
        """The configuration as it is written."""
        return yaml.safe_load(self.config.read_text())


@dataclass(frozen=True)
class Called:
    """How a call of the command line ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, all of it."""
        return json.loads(self.out)


def icefleet(*words: object) -> Called:
    """Call the console script in this process."""
    from jobs.cli import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), mock.patch.object(sys, "argv", ["icefleet", *map(str, words)]):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Called(code, out.getvalue(), err.getvalue())


@contextmanager
def refusing_s3() -> Iterator[dict[str, str]]:
    """A service on this machine that answers 403 to everything; yields the AWS_* variables that point at it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refuse)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "wrong",
            "AWS_REGION": "us-east-1",
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Refuse(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


def make_world(folder: Path, *, glaciers: int = 2, blocks: int = 1, region: str = "15") -> TinyWorld:
    """Write inventory, scenes and configuration under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = tuple(f"RGI60-{region}.{k + 1:05d}" for k in range(glaciers))
    outlines = [outline(k, blocks) for k in range(glaciers)]
    inventory = folder / "outlines.gpkg"
    table = gpd.GeoDataFrame({"RGIId": ids, "O1Region": region}, geometry=outlines, crs=f"EPSG:{ZONE.epsg}")
    table.to_crs("EPSG:4326").to_file(inventory, driver="GPKG")
    scenes = tuple(write_scene(folder / f"scene-{k}.tif", k, outlines) for k in range(blocks))
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(_settings(region, scenes), sort_keys=False))
    return TinyWorld(folder, config, inventory, scenes, ids)


def outline(k: int, blocks: int) -> shapely.Polygon:
    """Glacier k, in zone metres: a disc of 500 m radius on a grid of 3 × 3 places around the middle of its block."""
    x, y = middle(k % blocks)
    row, col = divmod((k // blocks) % 9, 3)
    return shapely.Point(x + 1500.0 * (col - 1), y + 1500.0 * (1 - row)).buffer(RADIUS_M)


def middle(k: int) -> tuple[float, float]:
    """The middle of block k, in zone metres."""
    xmin, ymin, xmax, ymax = Block(ZONE, ROW, COL + k).bounds_m
    return (xmin + xmax) / 2, (ymin + ymax) / 2


def block_name(k: int) -> str:
    return Block(ZONE, ROW, COL + k).name


def write_scene(
    path: Path,
    k: int,
    outlines: list[shapely.Polygon],
    *,
    crs: str | None = f"EPSG:{ZONE.epsg}",
    shift_m: float = 0.0,
    count: int = len(BANDS),
) -> Path:
    """A 6 km scene around the middle of block k, six uint16 bands of reflectance × 10⁴, uncompressed strips."""
    x, y = middle(k)
    west, north = x - SIDE_PX / 2 * RES_M + shift_m, y + SIDE_PX / 2 * RES_M
    centre = (np.arange(SIDE_PX) + 0.5) * RES_M
    column, row = np.meshgrid(west - shift_m + centre, north - centre)
    ice = shapely.contains_xy(shapely.union_all(outlines), column, row)
    bands = np.where(ice, np.array(ICE)[:, None, None], np.array(ROCK)[:, None, None])[:count]
    profile = {"driver": "GTiff", "height": SIDE_PX, "width": SIDE_PX, "count": count, "dtype": "uint16", "nodata": 0}
    with rasterio.open(path, "w", crs=crs, transform=Affine(RES_M, 0, west, 0, -RES_M, north), **profile) as dataset:
        dataset.write(np.round(bands * 1e4).astype(np.uint16))
    return path


def truncate(path: Path, share: float = 0.5) -> None:
    """Cut the data of a file short; a GeoTIFF keeps its header."""
    os.truncate(path, int(path.stat().st_size * share))


def _settings(region: str, scenes: tuple[Path, ...]) -> dict[str, object]:
    return {
        "name": "tiny",
        "year": 2024,
        "inventory": "outlines.gpkg",
        "regions": [region],
        "output": "runs",
        "tiles": "tiles",
        "grid": {"res_m": 30, "buffer_m": 300},
        "sensors": {"optical": {"res_m": 30}},
        "model": {"name": "band_ratio"},
        # One measuring unit per block, whatever the number of glaciers.
        "plan": {"group_glaciers": 256},
        "execution": {"workers": 1},
        "scenes": [
            {
                "id": f"S{k}",
                "sensor": "optical",
                "date": f"2024-08-{k + 1:02d}",
                "files": [{"path": path.name, "bands": {band: i + 1 for i, band in enumerate(BANDS)}, "scale": 0.0001}],
            }
            for k, path in enumerate(scenes)
        ],
    }
