"""How buckets are asked: what a server sees of requests to public archives, to those at the reader's cost, and to ours.

Several rasters are open at once, as in a block with scenes of several archives: none may lend its ways to another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from rasterio.windows import Window

from core.ingest.raster import _gdal_options, _read_header, open_raster, read_header
from tests.made_scenes import flat, raster

ANONYMOUS, PAYING, OURS = "s3://sentinel-cogs/a.tif", "s3://usgs-landsat/b.tif", "s3://our-own-bucket/c.tif"


@dataclass
class Asked:
    """Headers of every request by bucket."""

    data: bytes
    seen: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def of(self, url: str) -> list[dict[str, str]]:
        return self.seen[url.split("/")[2]]


@pytest.fixture
def asked(tmp_path, monkeypatch) -> Iterator[Asked]:
    """A server that has the same raster under every name; AWS_* point at it."""
    values, transform = flat(0.5)
    path = raster(tmp_path / "a.tif", values, transform, tiled=True, blockxsize=64, blockysize=64)
    record = Asked(path.read_bytes())

    class Serve(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            record.seen.setdefault(self.path.split("/")[1], []).append({k.lower(): v for k, v in self.headers.items()})
            size, body, status = len(record.data), record.data, 200
            wanted = self.headers.get("Range")
            if wanted:
                first, last = wanted.removeprefix("bytes=").split("-")
                status, start, end = 206, int(first), min(int(last or size - 1), size - 1)
                body = record.data[start : end + 1]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Accept-Ranges", "bytes")
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Serve)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("AWS_NO_SIGN_REQUEST", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    _read_header.cache_clear()
    yield record
    server.shutdown()
    server.server_close()


def corner(path: str, stack: ExitStack) -> object:
    opened = stack.enter_context(open_raster(path))
    assert opened.read(1, window=Window(0, 0, 70, 70)).shape == (70, 70)
    return opened


@pytest.mark.parametrize("order", [(ANONYMOUS, PAYING, OURS), (OURS, PAYING, ANONYMOUS), (PAYING, ANONYMOUS, OURS)])
def test_every_bucket_is_asked_in_its_own_way_whatever_is_open_beside_it(order, asked):
    with ExitStack() as stack:
        opened = []
        for path in order:
            read_header(path)
            opened.append(corner(path, stack))
        for dataset in opened:  # once more, while the others are open
            dataset.read(1, window=Window(200, 200, 100, 100))
            dataset.read_masks(1, window=Window(200, 200, 100, 100))
    assert all("authorization" not in headers for headers in asked.of(ANONYMOUS))
    assert all("authorization" in headers for headers in [*asked.of(PAYING), *asked.of(OURS)])
    assert all(headers.get("x-amz-request-payer") == "requester" for headers in asked.of(PAYING))
    assert all("x-amz-request-payer" not in headers for headers in [*asked.of(ANONYMOUS), *asked.of(OURS)])
    assert all(len(requests) >= 3 for requests in asked.seen.values())


def test_reads_in_other_threads_are_asked_in_the_same_way(asked):
    with ExitStack() as stack:
        anonymous, ours = corner(ANONYMOUS, stack), corner(OURS, stack)
        asked.seen.clear()
        threads = [
            threading.Thread(target=dataset.read, args=(1,), kwargs={"window": Window(150, 150, 170, 170)})
            for dataset in (anonymous, ours)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all("authorization" not in headers for headers in asked.of(ANONYMOUS))
    assert all("authorization" in headers for headers in asked.of(OURS))


def test_nobody_signs_when_the_environment_says_so(asked, monkeypatch):
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    with ExitStack() as stack:
        corner(OURS, stack)
    assert all("authorization" not in headers for headers in asked.of(OURS))


def test_an_open_raster_leaves_no_settings_behind(tmp_path):
    """Else a token or a way of access would reach whatever is opened next in this thread."""
    from rasterio.env import getenv, hasenv

    values, transform = flat(0.5)
    path: Path = raster(tmp_path / "a.tif", values, transform)
    with open_raster(str(path)) as opened:
        assert not hasenv() or "GDAL_CACHEMAX" not in getenv()
        assert np.isfinite(opened.read(1, window=Window(0, 0, 5, 5))).all()


def test_the_region_of_an_archive_is_its_own_unless_an_endpoint_is_given(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert _gdal_options("/vsis3/sentinel-cogs/a.tif")["AWS_REGION"] == "us-west-2"
    assert "AWS_REGION" not in _gdal_options("/vsis3/our-own-bucket/a.tif")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    assert "AWS_REGION" not in _gdal_options("/vsis3/sentinel-cogs/a.tif")
    assert "AWS_REQUEST_PAYER" not in _gdal_options("/vsicurl/https://host/usgs-landsat/a.tif")
