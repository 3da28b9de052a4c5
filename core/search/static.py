"""StaticCatalog: a STAC catalogue that is files, crawled once and indexed.

Files are read by 16 threads and every link is followed once, so a circle of links ends. Items are kept as they were
read, compressed to a few kilobytes each, beside an index of boxes and times; they are parsed again when a search
meets them, and nothing else keeps them.
"""

from __future__ import annotations

import datetime as dt
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import numpy as np
import shapely
from shapely.strtree import STRtree

from core.errors import ConfigError, PoisonError
from core.search.item import Box, cloudier, item_boxes, item_times
from core.search.web import address
from core.sensors import nearest

_THREADS = 16
_BATCH = 512
_WORLD = (-180.0, -90.0, 180.0, 90.0)
Read = Callable[[str], bytes]


@dataclass(frozen=True)
class _Entry:
    """One item. start, end: seconds since 1970, ∓∞ where it does not say; boxes: none means that it may be anywhere."""

    collection: str | None
    packed: bytes
    boxes: tuple[Box, ...]
    start: float
    end: float


@dataclass(frozen=True)
class _Node:
    """What one file held: items, or a collection with links."""

    collection: str | None
    entries: tuple[_Entry, ...] = ()
    links: tuple[str, ...] = ()


class StaticCatalog:
    """The items below one root file. read: whole file at an address, FileNotFoundError if it is absent."""

    def __init__(self, url: str, landing: Mapping[str, Any], read: Read) -> None:
        self.url = url
        nodes = list(_crawl(url, landing, read))
        self._known = {n.collection for n in nodes if n.collection is not None}
        self._entries = [e for n in nodes for e in n.entries]
        self._known |= {e.collection for e in self._entries if e.collection is not None}
        boxes = [(k, box) for k, entry in enumerate(self._entries) for box in entry.boxes or (_WORLD,)]
        self._owner = np.array([k for k, _ in boxes], dtype=np.int64)
        corners = np.array([b for _, b in boxes], dtype=np.float64).reshape(-1, 4)
        self._tree = STRtree(np.asarray(shapely.box(*corners.T), dtype=object))
        self._start = np.array([e.start for e in self._entries])
        self._end = np.array([e.end for e in self._entries])

    def __len__(self) -> int:
        return len(self._entries)

    def default_collection(self, collection: str | None) -> str | None:
        """A catalogue of no more than one collection may call it anything."""
        return collection if collection in self._known or len(self._known) > 1 else None

    def check_collection(self, collection: str | None) -> None:
        if collection is not None and collection not in self._known:
            raise ConfigError(self.url, found=f"no collection {collection!r}", fix=nearest(collection, self._known))

    def items(
        self,
        collection: str | None,
        bbox: Box | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
        max_cloud_percent: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        self.check_collection(collection)
        found = np.arange(len(self._entries))
        if bbox is not None:
            found = np.unique(self._owner[self._tree.query(shapely.box(*bbox), predicate="intersects")])
        first = -np.inf if start is None else _midnight(start)
        last = np.inf if end is None else _midnight(end + dt.timedelta(days=1))
        for k in found[(self._end[found] >= first) & (self._start[found] < last)]:
            entry = self._entries[k]
            if collection is None or entry.collection == collection:
                item = json.loads(zlib.decompress(entry.packed))
                if not cloudier(item, max_cloud_percent):
                    yield item


def _crawl(url: str, landing: Mapping[str, Any], read: Read) -> Iterator[_Node]:
    """Level by level, each in the order of its links, so that the same files give the same order."""
    root = _node(url, landing, None)
    yield root
    seen, level = {url}, [(link, root.collection) for link in root.links]
    with ThreadPoolExecutor(_THREADS) as pool:
        while level:
            fresh = list({link: (link, parent) for link, parent in level if link not in seen}.values())
            seen |= {link for link, _ in fresh}
            level = []
            for k in range(0, len(fresh), _BATCH):
                for node in pool.map(lambda task: _read(task[0], task[1], read), fresh[k : k + _BATCH]):
                    yield node
                    level += [(link, node.collection) for link in node.links]


def _read(href: str, parent: str | None, read: Read) -> _Node:
    try:
        data = read(href)
    except (FileNotFoundError, IsADirectoryError) as error:
        fix = "mend the link, or the copy of the catalogue"
        raise PoisonError(address(href), found="nothing, though the catalogue links to it", fix=fix) from error
    try:
        document = json.loads(data)
    except ValueError as error:
        raise PoisonError(address(href), found=f"{len(data)} bytes that are no JSON ({error})") from error
    if not isinstance(document, dict):
        raise PoisonError(address(href), found="JSON that is no STAC", expected="a catalogue, collection or item")
    return _node(href, document, parent)


def _node(href: str, document: Mapping[str, Any], parent: str | None) -> _Node:
    kind = document.get("type")
    if kind in ("Feature", "FeatureCollection"):
        items = [document] if kind == "Feature" else document.get("features") or []
        return _Node(parent, tuple(_entry(href, i, parent, kind == "Feature") for i in items if isinstance(i, dict)))
    # Before STAC 1.0 neither had a type; a collection has an extent.
    collection = str(document["id"]) if kind == "Collection" or "extent" in document else parent
    links = document.get("links") or ()
    followed = [
        k["href"] for k in links if isinstance(k, Mapping) and k.get("rel") in ("child", "item") and "href" in k
    ]
    return _Node(collection, (), tuple(_join(href, str(link)) for link in followed))


def _entry(href: str, item: dict[str, Any], parent: str | None, own_file: bool) -> _Entry:
    """Relative addresses of its assets start where the item was read, whatever `self` it was published with."""
    if own_file:
        links = [k for k in item.get("links") or () if isinstance(k, Mapping) and k.get("rel") != "self"]
        item = {**item, "links": [*links, {"rel": "self", "href": href}]}
    start, end = item_times(item)
    collection = item.get("collection") or parent
    packed = zlib.compress(json.dumps(item).encode(), 1)
    return _Entry(None if collection is None else str(collection), packed, item_boxes(item), start, end)


def _join(base: str, link: str) -> str:
    """`urljoin`, which knows neither s3:// nor paths."""
    if urlsplit(link).scheme in ("http", "https", "s3", "memory", "file"):
        return link
    parts = urlsplit(base)
    if parts.scheme in ("http", "https"):
        return urljoin(base, link)
    if parts.scheme in ("s3", "memory"):
        return f"{parts.scheme}://{parts.netloc}{urlsplit(urljoin(f'http://host{parts.path}', link)).path}"
    path = Path(base.removeprefix("file://")).parent / link
    return path.resolve().as_posix()


def _midnight(day: dt.date) -> float:
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp()
