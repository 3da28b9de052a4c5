"""Zarr stores to read from: Zarr where it lies, and sets of references (JSON or Parquet) through fsspec.

Zarr takes a missing chunk for fill, and so it is meant in Zarr, NetCDF and HDF5. A reference is another matter: it
names bytes that were there, so a target that is gone, cut or refused is an error that names it. Targets are URLs, or
paths relative to the folder of the set, so that an archive and its references can be moved together.
"""

from __future__ import annotations

import asyncio
import base64
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import pyarrow.parquet as pq
import zarr.storage
from fsspec.implementations.reference import LazyReferenceMapper, ReferenceFileSystem

from core.errors import PoisonError
from core.urls import join_url
from core.virtual import codecs
from core.virtual.files import (
    REQUESTS,
    absolute,
    filesystem,
    public,
    read_whole,
    scheme,
    storage_error,
    suffix,
    together,
    whole,
)

PARQUET_SUFFIXES = (".parq", ".parquet")
MADE_HERE = "icefleet_references"  # attribute of the root of our sets: version of the conventions below


def zarr_store(url: str) -> zarr.storage.StoreLike:
    """A Zarr store on a local disk, S3 or http(s), read-only."""
    if scheme(url) == "file":
        return zarr.storage.LocalStore(absolute(url).removeprefix("file://"), read_only=True)
    files = filesystem(url, asynchronous=True)
    return zarr.storage.FsspecStore(files, path=files._strip_protocol(url).rstrip("/"), read_only=True)


def reference_store(url: str) -> zarr.storage.StoreLike:
    """The Zarr store of a set of references, read-only. Raises PoisonError if the set is not there or is no set."""
    return targets_store(Targets(url))


def targets_store(targets: Targets) -> zarr.storage.StoreLike:
    """The same, of targets that are open."""
    codecs.register()
    return zarr.storage.FsspecStore(targets, path="", read_only=True)


class Targets(ReferenceFileSystem):  # type: ignore[misc]
    """fsspec's reference file system, but what a reference names must be there, in full."""

    def __init__(self, url: str) -> None:
        url = absolute(url)
        self._places: dict[str, _Place] = {}  # key of a chunk → the range that it is fetched in
        self._running: dict[_Place, asyncio.Task[bytes | BaseException]] = {}
        self.folder = url.rstrip("/").rsplit("/", 1)[0]
        references = _parquet(url) if suffix(url) in PARQUET_SUFFIXES else _json(url, _version(url))
        super().__init__(references, fs={}, asynchronous=True)

    def resolve(self, target: str) -> str:
        """The URL of a target; relative ones start at the folder of the set."""
        return target if "://" in target or target.startswith("/") else join_url(self.folder, target)

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        part, first, last = self._cat_common(path, start=start, end=end)
        if isinstance(part, bytes):
            return part[start:end]
        if path in self._places and start is None and end is None:
            place = self._places[path]
            data = await self._in_place(place)
            return data[first - place[1] : last - place[1]]
        return await _fetch(self.resolve(part), first, last)

    @contextmanager
    def ahead(self, keys: Iterable[str]) -> Iterator[None]:
        """Chunks that will be read, so that those that touch in a remote file are fetched by one request."""
        ranges: dict[str, dict[str, tuple[int, int]]] = {}
        for key in keys:
            try:
                part, first, last = self._cat_common(key)
            except FileNotFoundError:
                continue
            if not isinstance(part, bytes) and first is not None and scheme(target := self.resolve(part)) != "file":
                ranges.setdefault(target, {})[key] = first, last
        for target, of in ranges.items():
            merged = together(of.values())
            starts = [start for start, _ in merged]
            for key, (first, _) in of.items():
                self._places[key] = (target, *merged[bisect_right(starts, first) - 1])
        try:
            yield
        finally:
            self._places, self._running = {}, {}

    async def _in_place(self, place: _Place) -> bytes:
        if not self._running:  # the first to ask sets all off, a few at a time
            limit = asyncio.Semaphore(REQUESTS)
            self._running = {p: asyncio.ensure_future(_quietly(p, limit)) for p in set(self._places.values())}
        data = await self._running[place]
        if isinstance(data, BaseException):
            raise data
        return data


_Place = tuple[str, int, int]  # target, first byte, end


async def _fetch(target: str, first: int | None, last: int | None) -> bytes:
    try:
        data = bytes(await filesystem(target, asynchronous=True)._cat_file(target, start=first, end=last))
    except Exception as error:
        raise storage_error(error, target, "target of references") from None
    return data if first is None or last is None else whole(data, target, first, last)


async def _quietly(place: _Place, limit: asyncio.Semaphore) -> bytes | BaseException:
    """A range, or the error: of several that fail, only the first is ever asked for."""
    async with limit:
        try:
            return await _fetch(*place)
        except Exception as error:
            return error


def _version(url: str) -> str:
    try:
        return str(filesystem(url).ukey(url))
    except Exception as error:
        raise storage_error(error, url, "set of references") from None


@lru_cache(maxsize=8)  # a set of a large archive takes a second to parse, and blocks open it again and again
def _json(url: str, _version: str) -> dict[str, Any]:
    try:
        references = json.loads(read_whole(url))
        return {"version": 1, **references} if "refs" in references else references
    except (ValueError, TypeError) as error:
        raise PoisonError(public(url), found=f"no JSON: {error}", expected="references of kerchunk's format") from None
    except FileNotFoundError as error:
        raise storage_error(error, url, "set of references") from None


def _parquet(url: str) -> _Lazy:
    references = _Lazy(filesystem(url)._strip_protocol(url), fs=filesystem(url), engine="pyarrow")
    try:
        references.setup()
    except (ValueError, KeyError) as error:
        raise PoisonError(public(url), found=f"no .zmetadata: {error}", expected="references in Parquet") from None
    except Exception as error:
        raise storage_error(error, join_url(url, ".zmetadata"), "set of references") from None
    return references


class _Lazy(LazyReferenceMapper):  # type: ignore[misc]
    """fsspec's reader of Parquet sets, less three traps of it.

    With pyarrow an absent chunk comes as a path of NaN and not as None; a file of references that is missing becomes
    absent chunks; and fastparquet is what it asks for.
    """

    def setup(self) -> None:
        super().setup()

        @lru_cache(maxsize=self.cache_size)
        def open_refs(field: str, record: int) -> dict[str, Any]:
            path = self.url.format(field=field, record=record)
            try:
                with self.fs.open(path, "rb") as file:
                    table = pq.read_table(file)
            except FileNotFoundError:
                if MADE_HERE in self.zmetadata.get(".zattrs", {}):  # we leave none out; others do where all is absent
                    raise PoisonError(path, found=f"no {path}", fix="make the references again") from None
                raise
            except Exception as error:
                raise storage_error(error, path) from None
            return {name: _column(table, name) for name in table.column_names}

        self.open_refs = open_refs

    def __getitem__(self, key: str) -> Any:
        found = self._load_one_key(key)
        if isinstance(found, list) and not isinstance(found[0], str):
            raise KeyError(key)
        return found


def _column(table: Any, name: str) -> Any:
    column = table.column(name).combine_chunks()
    return column.to_numpy(zero_copy_only=False) if name in ("offset", "size") else column.to_pylist()


def encode_inline(data: bytes) -> str:
    """Bytes that a JSON set holds itself."""
    return "base64:" + base64.b64encode(data).decode("ascii")


def relative_to(target: str, url: str) -> str:
    """`target` as a path from the folder of the set `url`; unchanged if it lies elsewhere."""
    folder = absolute(url).rstrip("/").rsplit("/", 1)[0]
    if not target.startswith(f"{folder}/"):
        return target
    return str(PurePosixPath(target[len(folder) + 1 :]))
