"""Byte ranges of files on a local disk, in S3 and behind http(s), and what their errors mean.

S3 has the endpoint and credentials of `core.objects`; buckets of public archives are read as `core.sensors.products`
says, without credentials or at the reader's cost. A range comes back whole or not at all: a file that is gone, cut or
refused is an error that names it, never fewer bytes and never fill.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiohttp
import fsspec
from botocore.exceptions import BotoCoreError, NoCredentialsError
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem

from core.errors import ConfigError, IcefleetError, PoisonError, RefusedError, TransientError
from core.objects import refused, s3fs_options, steadily

BLOCK_BYTES = 64 << 10  # reads below this size come in blocks, which is what the scattered headers of HDF5 need
_CACHED_BLOCKS = 256
REQUESTS = 10  # at a time, for one window
_GAP_BYTES = 64  # between chunks that are fetched together: the tiles of a COG lie 8 bytes apart
_TOGETHER_BYTES = 8 << 20
_BEYOND = re.compile(r"\b416\b|not satisfiable|InvalidRange", re.IGNORECASE)
_REFUSED = re.compile(r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|Forbidden")
_PASSING = re.compile(r"\b(429|5\d\d)\b|SlowDown|reduce your request rate|timed? ?out|[Cc]onnect")


def scheme(url: str) -> str:
    """`file`, `s3` or `http`. Raises ConfigError for any other."""
    found = url.split("://", 1)[0] if "://" in url else "file"
    if found in ("file", "s3", "http", "https"):
        return found.removesuffix("s") if found == "https" else found
    raise ConfigError(public(url), found=f"scheme {found!r}", expected="a path, file://, s3:// or http(s)://")


def public(url: str) -> str:
    """The URL without a query, which may hold a signature."""
    return url.split("?", 1)[0]


def absolute(url: str) -> str:
    """`file:///…` for a path; other URLs as they are. Not percent-encoded, which is how fsspec reads file URLs."""
    return f"file://{Path(url).expanduser().absolute()}" if "://" not in url else url


def suffix(url: str) -> str:
    """`.nc`, `.json` … in lower case, of the last part of the URL."""
    return Path(public(url).rstrip("/")).suffix.lower()


def filesystem(url: str, *, asynchronous: bool = False) -> Any:
    """The fsspec file system of a URL. One per process and set of credentials; asynchronous: for Zarr's event loop."""
    kind = scheme(url)
    bucket = url.removeprefix("s3://").split("/", 1)[0] if kind == "s3" else ""
    aws = tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(("AWS_", "ICEFLEET_"))))
    return _filesystem(kind, bucket, aws, os.getpid(), asynchronous)


@lru_cache(maxsize=64)
def _filesystem(kind: str, bucket: str, _aws: tuple[tuple[str, str], ...], _pid: int, asynchronous: bool) -> Any:
    if kind == "file":
        local = LocalFileSystem(skip_instance_cache=True)
        return AsyncFileSystemWrapper(local, asynchronous=True) if asynchronous else local
    named = s3fs_options(bucket) if bucket else {}
    # Listings are not kept, for they would outlive the objects. The instances are kept here, because fsspec's own cache
    # does not know of credentials in the environment.
    return fsspec.filesystem(
        kind, asynchronous=asynchronous, skip_instance_cache=True, use_listings_cache=False, **named
    )


def read_range(url: str, start: int, end: int) -> bytes:
    """The bytes [start, end). Raises PoisonError if the file is gone or ends before, RefusedError, TransientError."""

    def read() -> bytes:
        try:
            data = bytes(filesystem(url).cat_file(url, start=start, end=end))
        except Exception as error:
            raise storage_error(error, url) from None
        return whole(data, url, start, end)

    return steadily(read)


def whole(data: bytes, url: str, start: int, end: int) -> bytes:
    """`data`, if it is as long as the range that was asked for."""
    if len(data) == end - start:
        return data
    if len(data) > end - start:
        found, expected = f"more than bytes {start}–{end} of {public(url)}", "a server that answers ranges"
    else:
        found = f"{public(url)} cut: {len(data)} bytes from {start} on"
        expected = f"{end - start} bytes, as when its references or its header were written"
    raise PoisonError(public(url), found=found, expected=expected, fix="fetch the file again, or make references anew")


def together(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges that touch as one, up to 8 MiB: a request costs as long as a megabyte, and chunks lie in rows."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start - merged[-1][1] <= _GAP_BYTES and end - merged[-1][0] <= _TOGETHER_BYTES:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def read_whole(url: str) -> bytes:
    """All bytes of a file. FileNotFoundError if it is not there; else raises as `read_range` does."""

    def read() -> bytes:
        try:
            return bytes(filesystem(url).cat_file(url))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise storage_error(error, url) from None

    return steadily(read)


def storage_error(error: BaseException, url: str, what: str = "") -> IcefleetError:
    """An error of fsspec, a client of S3 or http, h5py or Zarr as ours; `found` names the file, whoever is told."""
    name = public(url)
    for cause in _causes(error):
        if isinstance(cause, IcefleetError):
            return cause
    text = " < ".join(dict.fromkeys(" ".join(str(c).split()) or type(c).__name__ for c in _causes(error)))[:300]
    remote = scheme(url) != "file"
    for cause in _causes(error):
        status = getattr(cause, "status", None)
        if isinstance(cause, (PermissionError, NoCredentialsError)) or status in (401, 403) or _REFUSED.search(text):
            return RefusedError(name, found=f"access to {name} refused", fix=refused(absolute(url)).fix)
        if isinstance(cause, FileNotFoundError):
            target = what.startswith("target")
            fix = "put it back, or make references to where it lies now" if target else "check the path"
            return PoisonError(
                name, found=f"no {what or 'file'} {name}{': missing or moved' if target else ''}", fix=fix
            )
        if _BEYOND.search(text):
            return PoisonError(name, found=f"{name} cut: a range beyond its end", fix="fetch the file again")
        passing = isinstance(cause, (BotoCoreError, aiohttp.ClientConnectionError, asyncio.TimeoutError, TimeoutError))
        if remote and (passing or isinstance(cause, aiohttp.ClientPayloadError) or _PASSING.search(text)):
            return TransientError(name, found=f"{name}: {text}")
    return PoisonError(name, found=f"{name}: {text}", expected="a file that reads to its end", fix="fetch it again")


def _causes(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes and len(causes) < 6:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return causes


class RangeFile(io.RawIOBase):
    """A file of which only the ranges that are read are fetched; small reads in blocks that are kept.

    n_bytes, n_reads: what was fetched. failed: the error of a read that its reader may have swallowed, as HDF5 does.
    Raises as `read_range` does, on opening too.
    """

    def __init__(self, url: str) -> None:
        self.url = absolute(url)
        self.n_bytes = self.n_reads = 0
        self.failed: IcefleetError | None = None
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._ahead: dict[tuple[int, int], bytes] = {}
        self._lock = threading.Lock()
        self._local: int | None = None
        if scheme(self.url) == "file":
            try:
                self._local = os.open(self.url.removeprefix("file://"), os.O_RDONLY)
                self.size = os.fstat(self._local).st_size
            except OSError as error:
                raise storage_error(error, self.url) from None
        else:
            self.size = steadily(self._remote_size)

    def _remote_size(self) -> int:
        try:
            size = filesystem(self.url).size(self.url)
        except Exception as error:
            raise storage_error(error, self.url) from None
        if size is None:
            raise ConfigError(public(self.url), found="no Content-Length", expected="a server that answers ranges")
        return int(size)

    def close(self) -> None:
        if self._local is not None:
            os.close(self._local)
            self._local = None
        super().close()

    @contextmanager
    def ahead(self, ranges: Iterable[tuple[int, int]]) -> Iterator[None]:
        """What will be read one after the other, fetched at once and kept meanwhile. Nothing, for a local file."""
        merged = together(ranges) if self._local is None else []
        if len(merged) > 1 or any(end - start > BLOCK_BYTES for start, end in merged):
            with ThreadPoolExecutor(REQUESTS) as pool:
                self._ahead = dict(zip(merged, pool.map(lambda r: self._fetch(*r), merged), strict=True))
        try:
            yield
        finally:
            self._ahead = {}

    @property
    def remote(self) -> bool:
        return self._local is None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        n = max(0, min(len(view), self.size - self._at))
        try:
            view[:n] = self._range(self._at, self._at + n)
        except IcefleetError as error:
            self.failed = error
            raise OSError(str(error)) from error
        self._at += n
        return n

    def _range(self, start: int, end: int) -> bytes:
        for (first, last), data in self._ahead.items():
            if first <= start and end <= last:
                return data[start - first : end - first]
        if end - start >= BLOCK_BYTES:
            return self._fetch(start, end)
        first = start // BLOCK_BYTES
        blocks = [self._block(i) for i in range(first, -(-end // BLOCK_BYTES))]
        return b"".join(blocks)[start - first * BLOCK_BYTES : end - first * BLOCK_BYTES]

    def _block(self, i: int) -> bytes:
        with self._lock:
            if i in self._blocks:
                self._blocks.move_to_end(i)
                return self._blocks[i]
        data = self._fetch(i * BLOCK_BYTES, min((i + 1) * BLOCK_BYTES, self.size))
        with self._lock:
            self._blocks[i] = data
            while len(self._blocks) > _CACHED_BLOCKS:
                self._blocks.popitem(last=False)
        return data

    def _fetch(self, start: int, end: int) -> bytes:
        if self._local is not None:
            try:
                data = whole(os.pread(self._local, end - start, start), self.url, start, end)
            except OSError as error:
                raise storage_error(error, self.url) from None
        else:
            data = read_range(self.url, start, end)
        with self._lock:
            self.n_bytes += end - start
            self.n_reads += 1
        return data
