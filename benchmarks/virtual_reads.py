"""Windows of archives in S3, three ways: through references, by the file itself, and after a download of it.

`python -m benchmarks.virtual_reads` prints time and bytes of a window, opening included and nothing cached, for a
GeoTIFF with overviews, a striped GeoTIFF and a chunked NetCDF-4. The file itself is read by GDAL (/vsis3) or by h5py
over byte ranges. S3 is moto's server on this machine behind a proxy that counts what it sends and holds every request
back for a round trip, so bytes and the order of the times hold elsewhere, the times themselves do not.
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import h5py
import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window
from rich.console import Console
from rich.table import Table

from core.ingest.raster import open_raster
from core.objects import Objects
from core.virtual.references import make_references
from tests.s3_server import s3_server

WAYS = ("references", "file itself", "download")


@dataclass
class Line:
    """A proxy on the wire to S3. n_bytes: sent to the client; n_requests: packets that came from it."""

    upstream: tuple[str, int]
    round_trip_s: float
    n_bytes: int = 0
    n_requests: int = 0
    url: str = ""
    _listener: socket.socket = field(default_factory=socket.socket)

    def start(self) -> None:
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self.upstream)
            for source, target, up in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, target, up), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        try:
            while data := source.recv(1 << 18):
                if up:
                    self.n_requests += 1
                    time.sleep(self.round_trip_s)
                else:
                    self.n_bytes += len(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


@contextmanager
def counted_s3(round_trip_s: float) -> Iterator[tuple[str, Line]]:
    """(`s3://bucket`, the line to it); everything in between is counted."""
    with s3_server() as bucket:
        endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
        line = Line((str(endpoint.hostname), int(endpoint.port or 0)), round_trip_s)
        line.start()
        os.environ["AWS_ENDPOINT_URL"] = line.url
        yield bucket, line


def relief(size: int) -> np.ndarray:
    """Elevations that compress about as a DEM does."""
    rows, cols = np.mgrid[0:size, 0:size] / 300.0
    noise = np.random.default_rng(0).normal(0.0, 0.3, (size, size))
    return (2000 + 800 * np.sin(rows) * np.cos(1.3 * cols) + noise).astype("float32")


def make_files(folder: Path, size: int) -> dict[str, tuple[Path, str]]:
    """Kind → (file, name of its raster in references)."""
    values, transform = relief(size), Affine(30.0, 0.0, 4e5, 0.0, -30.0, 5e6)
    common = {"height": size, "width": size, "count": 1, "dtype": "float32", "crs": "EPSG:32632"}
    tiffs = {
        "COG 512 px, deflate": {"driver": "COG", "blocksize": 512, "compress": "deflate", "predictor": 3},
        "GeoTIFF, strips of 16": {"driver": "GTiff", "blockysize": 16, "compress": "lzw", "predictor": 3},
    }
    made = {}
    for i, (kind, options) in enumerate(tiffs.items()):
        made[kind] = (folder / f"{i}.tif", "raster")
        with rasterio.open(made[kind][0], "w", transform=transform, nodata=-9999, **common, **options) as d:
            d.write(values, 1)
    path = folder / "a.nc"
    with h5py.File(path, "w") as file:
        for name, values_1d in (("y", 5e6 - 30.0 * np.arange(size)), ("x", 4e5 + 30.0 * np.arange(size))):
            file[name] = values_1d
            file[name].make_scale(name)
        d = file.create_dataset("dem", data=values, chunks=(256, 256), compression="gzip", shuffle=True)
        d.dims[0].attach_scale(file["y"])
        d.dims[1].attach_scale(file["x"])
    made["NetCDF-4, chunks of 256"] = (path, "dem")
    return made


def ways(url: str, references: str, variable: str, scratch: Path) -> dict[str, Callable[[Window], np.ndarray]]:
    """Way → a function that opens and reads one window."""
    own = None if variable == "raster" else variable

    def read(path: str, name: str | None) -> Callable[[Window], np.ndarray]:
        def go(window: Window) -> np.ndarray:
            with open_raster(path, name) as d:
                return d.read([1], window=window)

        return go

    def download(window: Window) -> np.ndarray:
        place, key = url.rsplit("/", 1)
        (scratch / key).write_bytes(Objects(place).get(key))
        return read(str(scratch / key), own)(window)

    return {"references": read(references, variable), "file itself": read(url, own), "download": download}


@dataclass(frozen=True)
class Figures:
    """One window of one file, one way; the best of the repetitions."""

    kind: str
    size: int
    way: str
    seconds: float
    mb: float
    requests: int


def measure(bucket: str, line: Line, folder: Path, size: int, windows: Sequence[int], repeat: int) -> list[Figures]:
    figures = []
    for kind, (path, variable) in make_files(folder, size).items():
        Objects(f"{bucket}/bench").put(path.name, path.read_bytes())
        url, references = f"{bucket}/bench/{path.name}", f"{folder}/{path.name}.json"
        make_references([url], references)
        for n in windows:
            at = max(0, min(size // 3, size - n))
            window = Window(at, at, n, n)
            seen = {}
            for way, read in ways(url, references, variable, folder / "scratch").items():
                best = Figures(kind, n, way, float("inf"), 0.0, 0)
                for _ in range(repeat + 1):  # the first also connects
                    line.n_bytes = line.n_requests = 0
                    began = time.perf_counter()
                    seen[way] = read(window)
                    took = time.perf_counter() - began
                    if took < best.seconds:
                        best = Figures(kind, n, way, took, line.n_bytes / 1e6, line.n_requests)
                figures.append(best)
            assert all(np.array_equal(seen[way], seen["download"]) for way in WAYS), kind
    return figures


def table(figures: Sequence[Figures]) -> Table:
    """A row per file, window and way, with ratios to the download."""
    out = Table("file", "window, px", "way", "ms", "MB fetched", "requests", "time", "bytes")
    for f in figures:
        whole = next(g for g in figures if (g.kind, g.size, g.way) == (f.kind, f.size, "download"))
        out.add_row(
            f.kind if f.way == WAYS[0] else "",
            f"{f.size}²" if f.way == WAYS[0] else "",
            f.way,
            f"{f.seconds * 1e3:.0f}",
            f"{f.mb:.2f}",
            str(f.requests),
            f"{f.seconds / whole.seconds:.2f} ×",
            f"{f.mb / whole.mb:.3f} ×",
            end_section=f.way == WAYS[-1],
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096, help="pixels along a side of the files")
    parser.add_argument("--windows", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--round-trip-ms", type=float, default=20.0)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, counted_s3(arguments.round_trip_ms / 1e3) as (bucket, line):
        folder = Path(name)
        (folder / "scratch").mkdir()
        figures = measure(bucket, line, folder, arguments.size, arguments.windows, arguments.repeat)
    console = Console()
    console.print(
        f"files of {arguments.size}² float32, round trip {arguments.round_trip_ms:.0f} ms, best of {arguments.repeat}"
    )
    console.print(table(figures))


if __name__ == "__main__":
    main()
