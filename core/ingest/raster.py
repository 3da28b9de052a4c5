"""Raster files through GDAL: paths, credentials, headers, and what GDAL's errors mean.

Local paths, `s3://` (GDAL's /vsis3/ with the endpoint and credentials of the AWS_* environment; a bucket of a public
archive is read in its own way: without credentials, or at the reader's cost), http(s) and /vsi.
A failed read raises; nothing here turns one into pixels.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import numpy as np
import rasterio
import tifffile
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.session import DummySession
from rasterio.windows import Window

from core.errors import ConfigError, IcefleetError, PoisonError, RefusedError, TransientError
from core.ingest.arrays import open_array
from core.ingest.constant import CONSTANT, Constant
from core.objects import refused, s3_endpoint, steadily
from core.search.signer import signed
from core.sensors.products import access_of
from core.virtual.files import RangeFile

_RASTER_ERRORS = (RasterioError, CPLE_BaseError, OSError, IcefleetError)
# GDAL reads AWS_* itself. Without a session rasterio makes one of boto3 at every entry: 20 ms of every read.
SESSION = DummySession()
_SIGNER = "planetary_computer"  # signs the addresses of its own hosts and no others
_CACHE_BYTES = 256 << 20
_TRUE = {"1", "yes", "true", "on"}
# GDAL hands on the <Message> of S3, not its <Code>.
_REFUSED = re.compile(
    r"\b(401|403)\b|Access ?Denied|Forbidden|InvalidAccessKeyId|Access Key Id you provided|SignatureDoesNotMatch"
    r"|request signature we calculated|token .*(expired|invalid)|credentials",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"\b(429|5\d\d)\b|CURL|timed? ?out|could ?n.t (resolve|connect)|connection|SlowDown|reduce your request rate",
    re.IGNORECASE,
)
_CUT = re.compile(r"got \d+ bytes, expected|Read ?error|TIFF(Read|Fill)", re.IGNORECASE)


@dataclass(frozen=True)
class RasterHeader:
    """What a raster says of itself. crs_wkt: empty if it carries none; nodata: per band, None if undeclared."""

    crs_wkt: str
    transform: Affine
    width: int
    height: int
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    overviews: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return len(self.dtypes)


def gdal_path(path: str) -> str:
    """A path or URL as GDAL wants it. Raises ConfigError for a scheme that GDAL cannot read."""
    if "://" not in path or path.startswith("/vsi"):
        return path
    scheme, rest = path.split("://", 1)
    if scheme == "s3":
        return f"/vsis3/{rest}"
    if scheme in ("http", "https"):
        return f"/vsicurl/{path}"
    raise ConfigError(public(path), found=f"scheme {scheme!r}", expected="a path, s3://, http(s):// or /vsi…")


def remote(path: str) -> bool:
    """Whether reading it goes over a network."""
    return "://" in path or path.startswith("/vsi")


def public(path: str) -> str:
    """The path without a query, which may hold a signature."""
    return path.split("?", 1)[0]


class Raster(Protocol):
    """What the pixel path asks of a raster: two reads, each (band, h, w) of a window, bands counted from 1."""

    def read(self, indexes: Any, *, window: Window) -> NDArray[Any]: ...

    def read_masks(self, indexes: Any, *, window: Window) -> NDArray[np.uint8]: ...


@contextmanager
def open_raster(path: str, variable: str | None = None, overview: int | None = None) -> Iterator[Raster]:
    """A raster for reading from any one thread at a time, under the GDAL settings that its path needs.

    variable: of files that hold named arrays (`core.ingest.arrays`); overview: level of a reduced copy, 0 the finest.
    Raises rasterio's errors, and those of `core.ingest.arrays`.
    """
    if variable is not None:
        with open_array(path, variable) as array:
            yield array
        return
    if path.startswith(CONSTANT):
        yield Constant.parse(path)
        return
    name = gdal_path(signed(path, _SIGNER))
    options = _gdal_options(name)
    level = {} if overview is None else {"overview_level": overview}
    # Settings that stayed on while the raster is open would win over those of the next raster that is opened.
    with rasterio.Env(SESSION, **options):
        dataset = rasterio.open(name, **level)
    try:
        yield _WithSettings(dataset, options)
    finally:
        dataset.close()


@dataclass(frozen=True)
class _WithSettings:
    """GDAL's settings belong to a thread, and bands are read in several."""

    dataset: Any
    options: dict[str, Any]

    def read(self, indexes: Any, *, window: Window) -> NDArray[Any]:
        with rasterio.Env(SESSION, **self.options):
            return np.asarray(self.dataset.read(indexes, window=window))

    def read_masks(self, indexes: Any, *, window: Window) -> NDArray[np.uint8]:
        with rasterio.Env(SESSION, **self.options):
            return np.asarray(self.dataset.read_masks(indexes, window=window))


def read_header(path: str, variable: str | None = None) -> RasterHeader:
    """The header, read once per process (again if a local file changes). Raises rasterio's errors."""
    local = Path(path)
    changed = local.stat().st_mtime_ns if "://" not in path and local.is_file() else 0

    def read() -> RasterHeader:
        try:
            return _read_header(path, variable, changed)
        except _RASTER_ERRORS as error:
            named = classify(error, path, "header")
            raise (named if isinstance(named, (RefusedError, TransientError)) else error) from error

    try:
        return steadily(read)  # the check of a configuration has no retries around it
    except (RefusedError, TransientError) as error:
        raise (error.__cause__ or error) from None


@lru_cache(maxsize=1 << 16)
def _read_header(path: str, variable: str | None, _changed: int) -> RasterHeader:
    if path.startswith(CONSTANT):
        return _header_of(Constant.parse(path))
    if variable is not None:
        with open_array(path, variable) as array:
            return _header_of(array)
    name = gdal_path(signed(path, _SIGNER))
    with rasterio.Env(SESSION, **_gdal_options(name)), rasterio.open(name) as dataset:
        return _header_of(dataset)


def _header_of(d: Any) -> RasterHeader:
    return RasterHeader(
        d.crs.to_wkt() if d.crs else "",
        d.transform,
        d.width,
        d.height,
        tuple(d.dtypes),
        tuple(d.nodatavals),
        tuple(d.scales),
        tuple(d.offsets),
        tuple(d.overviews(1)) if d.count else (),  # a container of arrays, of which none is named
    )


def same_crs(one: str, other: str) -> bool:
    """By code where both have one, because a datum is spelled in many ways."""
    a, b = CRS.from_user_input(one), CRS.from_user_input(other)
    codes = a.to_epsg(), b.to_epsg()
    return codes[0] == codes[1] if all(codes) else bool(a.equals(b, ignore_axis_order=True))


@contextmanager
def raster_errors(path: str, what: str) -> Iterator[None]:
    """rasterio's errors as ours; `what` names the scene and block that wanted the file.

    Refused → RefusedError; a failing network → TransientError; everything else is the file itself → PoisonError.
    """
    try:
        yield
    except _RASTER_ERRORS as error:
        named = classify(error, path, what)
        if isinstance(named, TransientError) and _CUT.search(named.found) and _ends_early(path):
            named = _poison(named.where, f"a file that ends before its pixels do: {named.found}")
        raise named from error


def _ends_early(path: str) -> bool:
    """A body cut on its way reads like a file that is cut; the directory of a TIFF says where its last byte should be.

    False where that cannot be told.
    """
    try:
        with RangeFile(signed(path, _SIGNER)) as file:
            if file.read(2) not in (b"II", b"MM"):
                return False
            file.seek(0)
            try:
                with tifffile.TiffFile(cast(Any, file)) as tiff:
                    places = [p for page in tiff.pages for p in zip(page.dataoffsets, page.databytecounts, strict=True)]
            except Exception:  # the directory itself is cut, unless the file could not be read
                return file.failed is None
            return max((offset + size for offset, size in places), default=0) > file.size
    except Exception:  # whatever it is, the first error tells more
        return False


def classify(error: BaseException, path: str, what: str) -> IcefleetError:
    text = error_text(error)
    where = f"{public(path)} ({what})"
    if isinstance(error, IcefleetError):
        # What the configuration lists was checked before anything started; now it is this one file that is wrong.
        kind = PoisonError if isinstance(error, ConfigError) else type(error)
        return kind(where, found=error.found, expected=error.expected, fix=error.fix)
    if gdal_path(path).startswith("/vsi") and _REFUSED.search(text):
        return refused(where)
    if gdal_path(path).startswith("/vsi") and (_NETWORK.search(text) or _CUT.search(text)):
        return TransientError(where, found=text)
    return _poison(where, text)


def _poison(where: str, found: str) -> PoisonError:
    return PoisonError(
        where, found=found, expected="a raster that reads to its end", fix="fetch the file again, or drop the scene"
    )


def error_text(error: BaseException) -> str:
    """The messages of an error and of what caused it, in one line."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(texts) < 4:
        texts.append(" ".join(str(cause).split()))
        cause = cause.__cause__ or cause.__context__
    return " < ".join(dict.fromkeys(t for t in texts if t))[:400]


def _gdal_options(name: str) -> dict[str, Any]:
    # GDAL's default is a twentieth of the machine's memory in every process.
    if not name.startswith("/vsi"):
        return {"GDAL_CACHEMAX": _CACHE_BYTES}
    options: dict[str, Any] = {
        "GDAL_CACHEMAX": _CACHE_BYTES,
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_MAX_RETRY": 4,
        "GDAL_HTTP_RETRY_DELAY": 1,
        # A cut body or a refusal stays in GDAL's cache as the file itself; without it, opening again asks again.
        "CPL_VSIL_CURL_NON_CACHED": "/vsis3:/vsicurl",
    }
    bucket = name.removeprefix("/vsis3/").split("/", 1)[0] if name.startswith("/vsis3/") else ""
    endpoint = s3_endpoint(bucket)
    if endpoint:
        parts = urlsplit(endpoint)
        options["AWS_S3_ENDPOINT"] = parts.netloc + parts.path.rstrip("/")
        options["AWS_HTTPS"] = "NO" if parts.scheme == "http" else "YES"
        options["AWS_VIRTUAL_HOSTING"] = "FALSE"
    access = access_of(bucket)
    unsigned = os.environ.get("AWS_NO_SIGN_REQUEST", "").strip().lower() in _TRUE or access.anonymous
    options["AWS_NO_SIGN_REQUEST"] = "YES" if unsigned else "NO"
    if access.requester_pays:
        options["AWS_REQUEST_PAYER"] = "requester"
    if access.region and not endpoint:
        options["AWS_REGION"] = access.region
    if ".earthdata" in (urlsplit(name.removeprefix("/vsicurl/")).hostname or ""):
        options |= _earthdata_options()
    return options


def _earthdata_options() -> dict[str, Any]:
    """NASA's login: a token in EARTHDATA_TOKEN, or ~/.netrc and the cookies that its redirects hand out."""
    token = os.environ.get("EARTHDATA_TOKEN")
    if token:
        return {"GDAL_HTTP_AUTH": "BEARER", "GDAL_HTTP_BEARER": token}
    cookies = str(Path(tempfile.gettempdir()) / f"icefleet-earthdata-{os.getpid()}.cookies")
    return {"GDAL_HTTP_COOKIEFILE": cookies, "GDAL_HTTP_COOKIEJAR": cookies}
