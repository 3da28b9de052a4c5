"""Assets: which asset of a STAC item holds a band, where its bytes are, and what the item says of its numbers.

Reads items as plain dictionaries of STAC 1.0 (`eo:bands`, `raster:bands`, `proj:epsg`) and 1.1 (`bands`, `proj:code`),
because catalogues of both are in use. Signed addresses are kept as they are; an S3 address is preferred where the
bucket belongs to the archive, so that its credentials, region and requester-pays apply.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from pyproj import CRS
from pyproj.exceptions import CRSError

Item = Mapping[str, Any]

_CONTAINER = re.compile(r"\.(nc|nc4|h5|hdf5|zarr|json|parq|parquet)/?$", re.IGNORECASE)
# bucket.s3.amazonaws.com, bucket.s3.region.amazonaws.com, bucket.s3-region.amazonaws.com; without bucket: path style.
_VIRTUAL_HOST = re.compile(r"^(?:(?P<bucket>[a-z0-9][a-z0-9.\-]+)\.)?s3[.\-](?:[a-z0-9.\-]+\.)?amazonaws\.com$")


class NoUseError(Exception):
    """Says in one clause why an item is no scene; ends as the reason of an `Unusable`."""


@dataclass(frozen=True)
class Numbers:
    """What the item says of a band of an asset; None where it says nothing."""

    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None


def find_asset(item: Item, keys: Iterable[str], common_name: str = "") -> tuple[str, Mapping[str, Any]] | None:
    """(key, asset): the first of the keys, in their order; else the one asset whose only band has the common name.

    A key with `*` is matched against the keys and file names of the assets.
    """
    assets: Mapping[str, Any] = item.get("assets") or {}
    for key in keys:
        if "*" not in key:
            if key in assets:
                return key, assets[key]
            continue
        for name, asset in assets.items():
            file = urlsplit(str(asset.get("href", ""))).path.rsplit("/", 1)[-1]
            if fnmatch.fnmatchcase(name, key) or fnmatch.fnmatchcase(file, key):
                return name, asset
    if common_name:
        for name, asset in assets.items():
            bands = _bands(asset)
            if len(bands) == 1 and _common_name(bands[0]) == common_name and _is_data(asset):
                return name, asset
    return None


def is_container(path: str) -> bool:
    """Whether the file holds arrays by name (NetCDF, HDF5, Zarr, references), by its suffix."""
    return bool(_CONTAINER.search(urlsplit(path).path))


def address(asset: Mapping[str, Any], buckets: tuple[str, ...], base: str) -> str:
    """Where the bytes are: on S3 if one of the asset's addresses is in one of the buckets, else its own address.

    base: URL of the item, against which relative addresses are made absolute.
    """
    own = absolute(str(asset.get("href", "")), base)
    others = [str(a.get("href", "")) for a in (asset.get("alternate") or {}).values() if isinstance(a, Mapping)]
    for href in (own, *others):
        found = _as_s3(href)
        if found and found[0] in buckets:
            return f"s3://{found[0]}/{found[1]}"
    return own


def absolute(href: str, base: str) -> str:
    if "://" in href or not base or (href.startswith("/") and "://" not in base):
        return href
    if base.startswith("s3://"):  # of which urllib does not know that it is hierarchical
        return "s3" + urljoin("http" + base[2:], href)[4:]
    return urljoin(base, href)


def item_url(item: Item, catalog_url: str) -> str:
    """The URL of the item itself, or of the catalogue where it does not say."""
    own = next((str(link.get("href", "")) for link in item.get("links") or [] if link.get("rel") == "self"), "")
    return absolute(own, catalog_url) if own else catalog_url


def numbers_of(asset: Mapping[str, Any], index: int) -> Numbers:
    """Scale, offset and nodata of a band (from 1)."""
    bands = asset.get("raster:bands") or asset.get("bands") or []
    band = bands[index - 1] if len(bands) >= index else {}
    said = {**asset, **band}
    keys = (("scale", "raster:scale"), ("offset", "raster:offset"), ("nodata",))
    return Numbers(*(_number(next((said[k] for k in names if said.get(k) is not None), None)) for names in keys))


def crs_of(item: Item, asset: Mapping[str, Any]) -> str | None:
    """`EPSG:n` as the asset or its item says; None if neither does. Raises CRSError if there is no such system."""
    for source in (asset, item.get("properties") or {}):
        code, epsg = source.get("proj:code"), source.get("proj:epsg")
        if code or epsg:
            text = str(code or f"EPSG:{epsg}")
            _check(text)
            return text
    return None


@lru_cache(maxsize=1024)
def _check(text: str) -> None:
    try:
        CRS.from_user_input(text)
    except CRSError:
        raise CRSError(f"no coordinate system {text}") from None


def _as_s3(href: str) -> tuple[str, str] | None:
    """(bucket, key) of an S3 address, of its virtual-hosted or path-style https form; None of a signed or other one."""
    parts = urlsplit(href)
    if parts.scheme == "s3":
        return parts.netloc, parts.path.lstrip("/")
    host = _VIRTUAL_HOST.match(parts.netloc) if parts.scheme == "https" and not parts.query else None
    if host is None:
        return None
    path = unquote(parts.path.lstrip("/"))
    if host["bucket"]:
        return host["bucket"], path
    bucket, _, key = path.partition("/")
    return bucket, key


def _bands(asset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(asset.get("eo:bands") or asset.get("bands") or [])


def _common_name(band: Mapping[str, Any]) -> str:
    return str(band.get("common_name") or band.get("eo:common_name") or "")


def _is_data(asset: Mapping[str, Any]) -> bool:
    """Previews have bands too."""
    roles = set(asset.get("roles") or [])
    return not roles or bool(roles & {"data", "reflectance", "temperature"})


def _number(value: object) -> float | None:
    """JSON has no nan, so catalogues write it as a word."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(str(value))
    except ValueError:
        return None
    return None if math.isinf(number) else number
