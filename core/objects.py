"""Objects: bytes under keys, in a folder, a bucket or memory, and the Zarr stores on top of them.

The one store factory. `Objects(url)` is for whole small objects (markers, Parquet, JSON); `zarr_location` for arrays.
Both are built from a URL inside each process, because neither backend survives a fork and clients do not pickle.
`create` is create-if-absent, the only primitive that commits need. No error is turned into an empty answer: absent is
`FileNotFoundError`, a missing bucket `SystemicError`, refused credentials `RefusedError`, anything the network may
cure `TransientError`. In a bucket whole objects carry their SHA-256, so a byte that another one arrived as is seen.
"""

from __future__ import annotations

import builtins
import datetime as dt
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import obstore
import obstore.exceptions
import obstore.store
import zarr.storage

from core.errors import ConfigError, PoisonError, RefusedError, SystemicError, TransientError
from core.sensors.products import access_of
from core.urls import join_url, local_path, normalise_url

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

Backend = str  # "obstore" | "fsspec"
BACKENDS: tuple[Backend, ...] = ("obstore", "fsspec")
# Words of an answer, not digits anywhere: keys and run ids hold hexadecimal digits too.
# The address is where a machine of the cloud asks for its role: who has no credentials ends there.
_REFUSED = re.compile(
    r"status code: 40[13]\b|<Code>(AccessDenied|ExpiredToken|InvalidToken)</Code>|http://169\.254\.169\.254/"
)
_OTHER_REGION = re.compile(r"incorrectly configured region|<Code>AuthorizationHeaderMalformed</Code>")
# What a bucket that stutters may cost. A connection is given up after 30 s of silence, which is also what a part of
# 5 MB may take on its way up; a whole shard of 100 MB may take minutes on a thin line, so it is not the total that is
# bounded tightly. 5xx and cut bodies are tried again for at most 90 s: a SlowDown passes in seconds, and after that
# the unit's own back-off is the better place to wait, because it frees the worker's connections.
_CLIENT = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "300s"}
_RETRY = {
    "max_retries": 10,
    "retry_timeout": dt.timedelta(seconds=90),
    "backoff": {
        "init_backoff": dt.timedelta(seconds=0.1),
        "max_backoff": dt.timedelta(seconds=10),
        "base": 3,
    },
}
# What the client does not try again itself: 403, a listing cut short, bytes that do not match. Only in the first
# seconds, so that its patience is never spent twice.
_TRIES, _PAUSE_S, _SOON_S = 3, 0.2, 5.0
_SHA256 = "sha256"
T = TypeVar("T")

_memory: dict[str, obstore.store.MemoryStore] = {}
_memory_lock = threading.Lock()


class Objects:
    """Whole objects under one URL."""

    def __init__(self, url: str) -> None:
        self.url = normalise_url(url)
        self._folder = local_path(self.url)
        if self._folder is None:
            self._place  # noqa: B018  an unusable URL fails here

    @cached_property
    def _place(self) -> tuple[obstore.store.ObjectStore, str]:
        """(store, key prefix). A local folder is made by the first write and never by a look."""
        return _open(self.url)

    def __reduce__(self) -> tuple[object, ...]:
        return (Objects, (self.url,))

    def get(self, key: str) -> bytes:
        """Raises FileNotFoundError, SystemicError or TransientError, the latter also for bytes that keep differing
        from the SHA-256 they were put with."""

        def whole(store: obstore.store.ObjectStore, k: str) -> bytes:
            answer = obstore.get(store, k)
            data = bytes(answer.bytes())
            _check_sha256(join_url(self.url, key), data, answer.attributes)
            return data

        return self._call(key, whole)

    def get_or_none(self, key: str) -> bytes | None:
        try:
            return self.get(key)
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        """Write or overwrite; atomic per object on every backend."""
        if self._folder is not None:
            self._write_file(key, data, os.replace)
        else:
            self._call(key, lambda store, k: obstore.put(store, k, data, attributes=self._sha256(data)), writes=True)

    def create(self, key: str, data: bytes) -> bool:
        """Write only if the key is absent; False if it is there.

        After a lost answer that may be one's own write, tried again and colliding with itself: who must know reads
        the object back.
        """

        def absent(store: obstore.store.ObjectStore, k: str) -> None:
            obstore.put(store, k, data, mode="create", attributes=self._sha256(data))

        try:
            if self._folder is not None:
                self._write_file(key, data, os.link)
            else:
                self._call(key, absent, writes=True)
        except FileExistsError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Absent is fine."""
        try:
            self._call(key, lambda store, k: obstore.delete(store, k))
        except FileNotFoundError:
            return

    def list(self, prefix: str = "") -> builtins.list[tuple[str, int]]:
        """(key, bytes) of everything under the folder `prefix`, sorted. One LIST request per 1,000 keys."""
        return [(key, size) for key, size, _ in self.list_times(prefix)]

    def list_times(self, prefix: str = "") -> builtins.list[tuple[str, int, dt.datetime]]:
        """As `list`, with the time of the last write of each object."""
        try:
            rows = self._call(prefix, lambda store, k: obstore.list(store, k or None).collect())
        except FileNotFoundError:
            return []
        drop = len(self._place[1])
        return sorted((str(row["path"])[drop:], int(row["size"]), row["last_modified"]) for row in rows)

    def _write_file(self, key: str, data: bytes, place: Callable[[Path, Path], None]) -> None:
        """Write beside, then put in place. obstore would do the same, but what a killed process leaves of it is named
        like data (`part-00000.parquet#1`), and no reader of the folder gets past that. Ours is hidden from all."""

        def write(_: obstore.store.ObjectStore, k: str) -> None:
            path = cast(Path, self._folder) / k
            beside = path.with_name(f".{path.name}#{secrets.randbits(60)}")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError as error:
                raise NotADirectoryError(str(error)) from error
            try:
                beside.write_bytes(data)
                place(beside, path)
            finally:
                beside.unlink(missing_ok=True)

        self._call(key, write, writes=True)

    def _sha256(self, data: bytes) -> dict[str, str] | None:
        """Attributes to put `data` with; only buckets keep any that are worth having."""
        return {_SHA256: hashlib.sha256(data).hexdigest()} if self.url.startswith("s3://") else None

    def _call(self, key: str, action: Callable[[obstore.store.ObjectStore, str], T], *, writes: bool = False) -> T:
        where = join_url(self.url, key)
        if self._folder is not None:
            if not writes and not self._folder.is_dir():
                raise FileNotFoundError(where)
            return self._once(where, key, action, writes)
        return steadily(lambda: self._once(where, key, action, writes))

    def _once(self, where: str, key: str, action: Callable[[obstore.store.ObjectStore, str], T], writes: bool) -> T:
        try:
            store, prefix = self._place
            return action(store, prefix + key)
        except obstore.exceptions.AlreadyExistsError as error:
            raise FileExistsError(where) from error
        except (
            obstore.exceptions.PermissionDeniedError,
            obstore.exceptions.UnauthenticatedError,
            PermissionError,
        ) as error:
            raise refused(where) from error
        except FileExistsError:
            raise
        except (OSError, obstore.exceptions.BaseError) as error:
            if "NoSuchBucket" in str(error):
                raise SystemicError(
                    where, found="no such bucket", fix="create the bucket, or correct the URL in the configuration"
                ) from error
            if isinstance(error, FileNotFoundError) and not writes:  # a write loses an upload in parts, if anything
                raise FileNotFoundError(where) from error
            if _REFUSED.search(str(error)):
                raise refused(where) from error
            if _OTHER_REGION.search(str(error)):
                raise SystemicError(
                    where, found="a bucket of another region", fix="set AWS_REGION to the region of the bucket"
                ) from error
            if self._folder is not None:  # a full or broken disk: no pause will mend it
                raise SystemicError(where, found=_first_line(error), fix="check the disk and the folder") from error
            raise TransientError(where, found=_first_line(error)) from error


def steadily(action: Callable[[], T]) -> T:
    """action(), and once or twice more if it was refused or disturbed, which may be over in a moment.

    Not everybody who makes a request has retries around it, and one 403 while a token is renewed is no 403 for ever.
    """
    began = time.monotonic()
    for tried in range(1, _TRIES):
        try:
            return action()
        except (RefusedError, TransientError):
            if time.monotonic() - began > _SOON_S:
                raise
            time.sleep(_PAUSE_S * tried)
    return action()


def refused(where: str) -> RefusedError:
    """Access refused, with what to check."""
    fix = "check AWS_ACCESS_KEY_ID / AWS_PROFILE, or AWS_NO_SIGN_REQUEST=YES for a public bucket"
    if where.startswith("file://"):
        fix = "check the permissions of the folder"
    return RefusedError(where, found="access refused", fix=fix)


def _check_sha256(where: str, data: bytes, attributes: Mapping[str, str]) -> None:
    wanted = attributes.get(_SHA256)
    if wanted is None:
        return
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise TransientError(
            where,
            found=f"{len(data)} bytes of SHA-256 {found[:12]}",
            expected=f"{wanted[:12]}, as they were put",
            fix="if it stays so, delete the object and run the same command again",
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


def zarr_location(
    url: str, key: str, backend: Backend = "obstore", *, read_only: bool = False
) -> tuple[zarr.storage.StoreLike, str]:
    """(store, path) of the Zarr node `key` under `url`, for `zarr.open_group(store, path=path)` and `xr.open_zarr`.

    backend: obstore (default, see BENCHMARKS.md) or fsspec (s3fs). memory:// is always obstore, so that objects and
    arrays of one name share one memory. Raises ConfigError for an unknown backend.
    """
    if backend not in BACKENDS:
        raise ConfigError("storage.backend", found=repr(backend), expected=" or ".join(BACKENDS))
    url = normalise_url(url)
    if backend == "obstore" or url.startswith("memory://"):
        store, prefix = _open(url)
        return _CheckedStore(store, read_only=read_only), prefix + key
    path = local_path(url)
    if path is not None:
        return zarr.storage.LocalStore(path, read_only=read_only), key
    options = s3fs_options(urlsplit(url).netloc)
    return zarr.storage.FsspecStore.from_url(url, read_only=read_only, storage_options=options), key


class _CheckedStore(zarr.storage.ObjectStore[Any]):
    """Zarr's store, which also checks whole objects that carry a SHA-256: metadata has no checksum of its own."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        if byte_range is not None:
            return await super().get(key, prototype, byte_range)
        try:
            answer = await obstore.get_async(self.store, key)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        data: Any = await answer.bytes_async()
        try:
            _check_sha256(key, data, answer.attributes)
        except TransientError as error:  # like the checksum of a chunk: read again by who reads arrays, then poison
            raise PoisonError(key, found=error.found, expected="bytes that match their checksum") from error
        return prototype.buffer.from_bytes(data)  # a shard is not copied


def s3_endpoint(bucket: str) -> str | None:
    """The service that holds a bucket, None for Amazon's.

    AWS_ENDPOINT_URL, also for the public archives, unless ICEFLEET_ARCHIVE_ENDPOINT_URL names another for those:
    `aws` for who keeps only the own buckets elsewhere, a mirror for who is cut off from Amazon.
    """
    own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    archives = os.environ.get("ICEFLEET_ARCHIVE_ENDPOINT_URL")
    if not archives or not access_of(bucket).buckets:
        return own
    return None if archives == "aws" else archives


def s3fs_options(bucket: str) -> dict[str, Any]:
    """What s3fs has to know to read a bucket: endpoint and credentials of the environment, or the archive's own way."""
    access = access_of(bucket)
    endpoint = s3_endpoint(bucket)
    options: dict[str, Any] = {"anon": _flag("AWS_NO_SIGN_REQUEST") or access.anonymous}
    if access.requester_pays:
        options["requester_pays"] = True
    if endpoint:
        return {**options, "endpoint_url": endpoint}
    return {**options, "client_kwargs": {"region_name": access.region}} if access.region else options


def _flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in {"1", "yes", "true", "on"}


def _open(url: str) -> tuple[obstore.store.ObjectStore, str]:
    """(store, key prefix inside it) for a normalised URL."""
    parts = urlsplit(url)
    if parts.scheme == "memory":
        with _memory_lock:
            store = _memory.setdefault(parts.netloc, obstore.store.MemoryStore())
        prefix = parts.path.strip("/")
        return store, f"{prefix}/" if prefix else ""
    if parts.scheme == "file":
        try:
            return obstore.store.LocalStore(local_path(url), mkdir=True), ""
        except (OSError, obstore.exceptions.BaseError) as error:
            raise SystemicError(
                url,
                found=_first_line(error),
                expected="a folder that can be made and written",
                fix="correct the path in the configuration, or the permissions",
            ) from error
    # The environment is part of the key: tests and notebooks change endpoint and credentials within one process.
    aws = tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(("AWS_", "ICEFLEET_"))))
    return _open_s3(url, aws), ""


@lru_cache(maxsize=64)
def _open_s3(url: str, aws: tuple[tuple[str, str], ...]) -> obstore.store.S3Store:
    env = dict(aws)
    client: dict[str, Any] = dict(_CLIENT)
    options: dict[str, Any] = {"client_options": client, "retry_config": _RETRY}
    endpoint = s3_endpoint(urlsplit(url).netloc)
    if endpoint:
        options["endpoint"] = endpoint
        client["allow_http"] = endpoint.startswith("http://")
    access = access_of(urlsplit(url).netloc)
    if access.region and not endpoint:
        options["region"] = access.region
    if access.requester_pays:
        options["request_payer"] = True
    if _flag("AWS_NO_SIGN_REQUEST") or access.anonymous:
        options["skip_signature"] = True
    elif env.get("AWS_PROFILE") and "AWS_ACCESS_KEY_ID" not in env:
        from obstore.auth.boto3 import Boto3CredentialProvider

        options["credential_provider"] = Boto3CredentialProvider()
    return obstore.store.S3Store.from_url(url, **options)
