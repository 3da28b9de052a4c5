"""Catalog: the items of a STAC catalogue, be it an API or files, as plain dictionaries.

What a catalogue is, its landing page says, not its address. Of an API every page is followed, by link or by body, and
one that never ends is an error; a static catalogue is crawled once (core.search.static). Items are not made into
objects: at twenty kilobytes each that would cost more than the search.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

from pystac import Link
from pystac_client import ConformanceClasses, ItemSearch
from pystac_client.stac_api_io import StacApiIO

from core.errors import ConfigError, SystemicError, TransientError
from core.objects import Objects
from core.search import web
from core.search.item import Box, cloudier
from core.search.static import StaticCatalog
from core.sensors import nearest

PAGE = 250  # items asked for at a time
MAX_PAGES = 2000
_ROOTS = ("catalog.json", "collection.json")


class Catalog(Protocol):
    """What a search asks. `url`: where relative addresses of items without one of their own start."""

    url: str

    def default_collection(self, collection: str | None) -> str | None:
        """Which to ask for where a product suggests `collection` and nobody names one; None for all items."""

    def check_collection(self, collection: str | None) -> None:
        """Raises ConfigError, naming the nearest known one, for a collection that is not there."""

    def items(
        self,
        collection: str | None,
        bbox: Box | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
        max_cloud_percent: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Items that meet the box (w, s, e, n in degrees, w < e) and the days from start to end, both included.

        max_cloud_percent: leaves out cloudier ones; None leaves none out, so that a search can say what it refused.
        """


def open_catalog(url: str) -> Catalog:
    """The catalogue at an http(s) or s3 URL or a path: its root file, the folder of it, or the landing page of an API.

    Raises ConfigError if there is no catalogue, RefusedError or TransientError if it cannot be read.
    """
    for root in _roots(url):
        try:
            data = read_bytes(root)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            continue
        try:
            landing = json.loads(data)
        except ValueError as error:
            raise ConfigError(
                web.address(root),
                found=f"{len(data)} bytes that are no JSON",
                expected="the landing page of a STAC API, or a catalogue",
            ) from error
        if not isinstance(landing, dict) or ("type" not in landing and "conformsTo" not in landing):
            raise ConfigError(root, found="JSON that is no STAC", expected="a STAC catalogue, collection or API")
        if _is_api(landing):
            return ApiCatalog(root, landing)
        return StaticCatalog(root, landing, read_bytes)
    raise ConfigError(url, found="nothing there", expected=f"a STAC API, or {' or '.join(_ROOTS)} in a folder")


def read_bytes(href: str) -> bytes:
    """Whole file at a path, file://, s3://, memory:// or http(s):// address. Raises FileNotFoundError if absent."""
    scheme = urlsplit(href).scheme
    if scheme in ("http", "https"):
        return web.request("GET", href).data
    if scheme in ("s3", "memory"):
        parts = urlsplit(href)
        return Objects(f"{scheme}://{parts.netloc}").get(parts.path.lstrip("/"))
    path = Path(href.removeprefix("file://"))
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise ConfigError(href, found="a file that may not be read", fix="check its permissions") from error


def _roots(url: str) -> list[str]:
    """Where the root may be, likeliest first."""
    inside = [f"{url.rstrip('/')}/{name}" for name in _ROOTS]
    if url.lower().endswith((".json", ".geojson")):
        return [url]
    return [url, *inside] if urlsplit(url).scheme in ("http", "https") else inside


def _is_api(landing: Mapping[str, Any]) -> bool:
    searches = any(isinstance(k, Mapping) and k.get("rel") == "search" for k in landing.get("links", ()))
    return searches or any("item-search" in str(c) for c in landing.get("conformsTo") or ())


class CatalogIO(StacApiIO):
    """pystac-client's requests over core.search.web, so that one place knows how patient to be and what errors mean."""

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        verb, address, body = _call(href, method or "GET", parameters)
        return str(web.request(verb, address, body=body, headers=headers).data, "utf-8")

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every page, also beyond an empty one that names a next. Raises SystemicError if they turn in a circle,
        TransientError for a page that is none."""
        method, headers, listed = method or "GET", None, set[tuple[str, str]]()
        asked: set[str] = set()
        for _ in range(MAX_PAGES):
            asked.add(json.dumps([url, method, parameters], sort_keys=True))
            call = _call(url, method, parameters)
            page = web.read_json(call[0], call[1], body=call[2], headers=headers)
            rows = page.get("features", page.get("collections")) if isinstance(page, dict) else None
            if not isinstance(rows, list):
                raise TransientError(web.address(url), found="a page without `features`", expected="a STAC page")
            yield page
            link = next((k for k in page.get("links", ()) if k.get("rel") == "next"), None)
            if link is None:
                return
            ids = {(str(r.get("collection")), str(r.get("id"))) for r in rows}
            circle = bool(ids) and ids <= listed
            listed |= ids
            url, method = urljoin(url, Link.from_dict(link).href), str(link.get("method") or "GET").upper()
            headers, own = link.get("headers"), link.get("body") or {}
            parameters = ({**(parameters or {}), **own} if link.get("merge") else own) if method == "POST" else None
            if circle or json.dumps([url, method, parameters], sort_keys=True) in asked:
                raise SystemicError(
                    web.address(url),
                    found=f"pages that repeat after {len(asked)}, {len(listed)} items in all",
                    expected="a last page",
                    fix="ask another catalogue, and tell its operator",
                )
        raise SystemicError(web.address(url), found=f"more than {MAX_PAGES} pages", expected="a last page")


def _call(href: str, method: str, parameters: dict[str, Any] | None) -> tuple[str, str, dict[str, Any] | None]:
    """(method, address, body) of a request: parameters travel in the body of POST, else in the query."""
    if method == "POST":
        return method, href, parameters or {}
    return method, web.with_query(href, parameters), None


class ApiCatalog:
    """A STAC API, asked by `search`; POST where it is offered, else GET."""

    def __init__(self, url: str, landing: dict[str, Any]) -> None:
        self.url = url.rstrip("/")
        self._io = CatalogIO(max_retries=None)
        searches = [k for k in landing.get("links", ()) if k.get("rel") == "search" and k.get("href")]
        self._search = urljoin(f"{self.url}/", str(searches[0]["href"]) if searches else "search")
        offered = {str(k.get("method") or "GET").upper() for k in searches}
        self._method = "POST" if "POST" in offered or not offered else "GET"
        said = [str(c) for c in landing.get("conformsTo") or ()]
        self._filters = any(re.match(ConformanceClasses.QUERY.pattern, c) for c in said)
        self._checked: set[str] = set()
        self._lock = threading.Lock()

    def default_collection(self, collection: str | None) -> str | None:
        return collection

    def check_collection(self, collection: str | None) -> None:
        if collection is None:
            raise ConfigError(self.url, found="no collection", fix="name one: `collection` of the source")
        with self._lock:
            if collection in self._checked:
                return
            try:
                web.read_json("GET", f"{self.url}/collections/{collection}")
            except FileNotFoundError as error:
                raise ConfigError(
                    self.url, found=f"no collection {collection!r}", fix=nearest(collection, self._collections())
                ) from error
            self._checked.add(collection)

    def items(
        self,
        collection: str | None,
        bbox: Box | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
        max_cloud_percent: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        self.check_collection(collection)
        query = None
        if max_cloud_percent is not None and self._filters:
            query = {"eo:cloud_cover": {"lte": max_cloud_percent}}
        search = ItemSearch(
            self._search,
            method=self._method,
            stac_io=self._io,
            collections=[str(collection)],
            bbox=bbox,
            datetime=interval(start, end),
            query=query,
            limit=PAGE,
        )
        for page in self._io.get_pages(search.url, search.method, search.get_parameters()):
            for item in page["features"]:
                if isinstance(item, dict) and not cloudier(item, max_cloud_percent):
                    yield item

    def _collections(self) -> list[str]:
        pages = self._io.get_pages(f"{self.url}/collections")
        return [str(c.get("id")) for page in pages for c in page.get("collections", ())]


def interval(start: dt.date | None, end: dt.date | None) -> str | None:
    """RFC 3339 interval of whole days, both included; None for all time."""
    if start is None and end is None:
        return None
    return f"{f'{start}T00:00:00Z' if start else '..'}/{f'{end}T23:59:59Z' if end else '..'}"
