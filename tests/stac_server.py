"""A real HTTP server on this machine that speaks STAC: an API with paging and search, a folder of files, and tokens.

Faults are switched on for a number of requests: an answer of any status, a body cut short, one that is no JSON, a
stall. Every request is written down, so that tests can say exactly how many a search may cost.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from core.search.item import Box, cloudier, item_boxes, item_times

CORE = "https://api.stacspec.org/v1.0.0/core"
ITEM_SEARCH = "https://api.stacspec.org/v1.0.0/item-search"
QUERY = "https://api.stacspec.org/v1.0.0/item-search#query"


@dataclass
class Fault:
    """What goes wrong, for the next `times` requests whose path starts with `path`.

    status: answered instead; cut: half of the body and an end; garbage: a page of HTML; stall_s: wait before.
    """

    path: str = "/"
    times: int = 10**9
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    garbage: bool = False
    stall_s: float = 0.0


class StacServer:
    """What is served, and what was asked.

    items: collection → items. methods: offered for search. limit: at most so many items a page. loop: `same` makes
    the next link of every page lead to it again, `fresh` to the same items under a new token. files: a folder under
    /files/. token_s: life of the tokens at /sas/.
    """

    def __init__(self) -> None:
        self.items: dict[str, list[dict[str, Any]]] = {}
        self.methods: Sequence[str] = ("GET", "POST")
        self.conforms: list[str] = [CORE, ITEM_SEARCH]
        self.limit = 100
        self.loop = ""
        self.files: Path | None = None
        self.token_s = 3600.0
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.url = ""

    def count(self, path: str, method: str = "") -> int:
        """How many requests there were whose path starts so."""
        return sum(p.startswith(path) and (not method or m == method) for m, p in self.asked)

    def fail(self, **fault: Any) -> None:
        self.faults.append(Fault(**fault))

    def heal(self) -> None:
        self.faults.clear()

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            self.asked.append((method, path))
            for fault in self.faults:
                if path.startswith(fault.path) and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def landing(self) -> dict[str, Any]:
        links = [{"rel": "self", "href": self.url}, {"rel": "root", "href": self.url}]
        links += [{"rel": "data", "href": f"{self.url}/collections"}]
        links += [
            {"rel": "search", "href": f"{self.url}/search", "type": "application/geo+json", "method": m}
            for m in self.methods
        ]
        return {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "made",
            "description": "made",
            "conformsTo": self.conforms,
            "links": links,
        }

    def collection(self, name: str) -> dict[str, Any]:
        extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
        return {
            "type": "Collection",
            "stac_version": "1.0.0",
            "id": name,
            "description": "made",
            "license": "CC0-1.0",
            "extent": extent,
            "links": [],
        }

    def search(self, parameters: dict[str, Any], method: str) -> dict[str, Any]:
        """One page. The token of the next is the number of the first item on it."""
        start = int(str(parameters.get("token") or 0).split("-")[-1])
        found = [
            item
            for name in parameters.get("collections") or sorted(self.items)
            for item in self.items.get(name, [])
            if _meets(item, parameters)
        ]
        limit = min(int(parameters.get("limit") or 10), self.limit)
        page, links = found[start : start + limit], []
        after = str(start + limit) if start + limit < len(found) else ""
        if self.loop and found:
            with self.lock:
                after = f"{len(self.asked)}-{start}" if self.loop == "fresh" else str(start)
        if after and method == "POST":
            links = [
                {
                    "rel": "next",
                    "href": f"{self.url}/search",
                    "method": "POST",
                    "merge": True,
                    "body": {"token": after},
                }
            ]
        elif after:
            kept = "&".join(f"{k}={v}" for k, v in parameters["_raw"].items() if k != "token")
            links = [{"rel": "next", "href": f"{self.url}/search?{kept}&token={after}"}]
        return {"type": "FeatureCollection", "features": page, "links": links, "numberReturned": len(page)}


def _meets(item: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    box = parameters.get("bbox")
    if box and not any(_overlap(own, tuple(box)) for own in item_boxes(item)):
        return False
    if parameters.get("datetime"):
        first, last = (
            item_times({"properties": {"datetime": t}})[k] for k, t in enumerate(parameters["datetime"].split("/"))
        )
        start, end = item_times(item)
        if end < first or start > last:
            return False
    cloud = (parameters.get("query") or {}).get("eo:cloud_cover", {}).get("lte")
    return not cloudier(item, cloud)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: object) -> None:
        return

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        stac = self.server.stac
        parts = urlsplit(self.path)
        fault = stac.fault(method, parts.path)
        if fault is not None:
            time.sleep(fault.stall_s)
            if fault.status:
                return self._send(fault.status, b"a fault", fault.headers)
            if fault.garbage:
                return self._send(200, b"<html>in maintenance</html>")
        status, data = self._data(method, unquote(parts.path), parts.query, body)
        return self._send(status, data, cut=fault is not None and fault.cut)

    def _data(self, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
        stac = self.server.stac
        if path.startswith("/files/") and stac.files is not None:
            file = stac.files / path.removeprefix("/files/")
            return (200, file.read_bytes()) if file.is_file() else (404, b"none")
        if path.startswith("/sas/"):
            expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + stac.token_s))
            token = f"se={expiry}&sig={stac.count('/sas/')}"
            return 200, json.dumps({"msft:expiry": expiry, "token": token}).encode()
        if path in ("/", ""):
            return 200, json.dumps(stac.landing()).encode()
        if path == "/conformance":
            return 200, json.dumps({"conformsTo": stac.conforms}).encode()
        if path == "/collections":
            return 200, json.dumps({"collections": [stac.collection(c) for c in stac.items], "links": []}).encode()
        if path.startswith("/collections/"):
            name = path.removeprefix("/collections/")
            return (200, json.dumps(stac.collection(name)).encode()) if name in stac.items else (404, b"none")
        if path == "/search" and method in stac.methods:
            parameters = json.loads(body) if method == "POST" else _of_query(query)
            with stac.lock:
                stac.bodies.append(parameters)
            return 200, json.dumps(stac.search(parameters, method)).encode()
        return 404, b"none"

    def _send(self, status: int, data: bytes, headers: Mapping[str, str] | None = None, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True


def _of_query(query: str) -> dict[str, Any]:
    raw = {k: v[0] for k, v in parse_qs(query).items()}
    parsed: dict[str, Any] = {**raw, "_raw": raw}
    if "bbox" in raw:
        parsed["bbox"] = [float(x) for x in raw["bbox"].split(",")]
    if "collections" in raw:
        parsed["collections"] = raw["collections"].split(",")
    if "query" in raw:
        parsed["query"] = json.loads(raw["query"])
    return parsed


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, stac: StacServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stac = stac

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


@contextmanager
def stac_server() -> Iterator[StacServer]:
    """A server on a free port, for the time of the block."""
    stac = StacServer()
    server = _Server(stac)
    stac.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield stac
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
