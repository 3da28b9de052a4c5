"""A bucket on a bad day: an HTTP proxy before a real S3 endpoint that injects faults by rule and counts them.

Every fault happens on the wire, to real requests of real clients. A rule of probability decides by a digest of its
seed and of the request (method, key, range, and how often exactly this request came before), so that the same run
meets the same faults in whatever order its threads come. Counts are exact: every request and every fault is one.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import aiohttp
from aiohttp import web
from yarl import URL

Kind = Literal["500", "503", "403", "cut", "lost", "lost500", "slow", "flip"]
KINDS: dict[Kind, str] = {
    "500": "answered with InternalError, not passed on",
    "503": "answered with SlowDown, not passed on",
    "403": "answered with AccessDenied, not passed on",
    "cut": "half of the body, then the connection is cut",
    "lost": "passed on, then the connection is cut instead of an answer",
    "lost500": "passed on, then answered with InternalError",
    "slow": "passed on after a pause",
    "flip": "passed on, one byte of the body is another",
}
_ANSWERS: dict[Kind, tuple[int, str]] = {
    "500": (500, "InternalError"),
    "lost500": (500, "InternalError"),
    "503": (503, "SlowDown"),
    "403": (403, "AccessDenied"),
}
_ONE_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}
# A run's folder is named by a digest that any change of the code changes; faults should not move with it.
_DIGEST = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Rule:
    """Which requests get which fault.

    methods: of HTTP, and LIST for a listing; key: searched in the object's key (in the prefix of a listing); skip:
    so many matches are let through first; times: of the following, at most so many (None: for ever); share: of those,
    this fraction; each_once: never the same request (method, key, range) twice.
    """

    kind: Kind
    methods: tuple[str, ...] = ("GET",)
    key: str = ""
    skip: int = 0
    times: int | None = None
    share: float = 1.0
    each_once: bool = False


@dataclass(frozen=True)
class Seen:
    """One request as it came in. fault: what was done to it, if anything."""

    method: str
    key: str
    fault: Kind | None


@dataclass
class Counts:
    """What passed by."""

    seen: list[Seen] = field(default_factory=list)

    @property
    def requests(self) -> Counter[str]:
        """By method; a listing is LIST."""
        return Counter(s.method for s in self.seen)

    @property
    def injected(self) -> Counter[str]:
        """Faults by kind."""
        return Counter(s.fault for s in self.seen if s.fault is not None)

    def keys(self, *methods: str) -> list[str]:
        """Keys of the requests of these methods, in order."""
        return [s.key for s in self.seen if s.method in methods]


class FaultProxy:
    """The proxy. upstream: URL of the endpoint; rules: the first that applies decides; delay_s: of a slow answer."""

    def __init__(self, upstream: str, rules: Sequence[Rule] = (), *, seed: int = 0, delay_s: float = 0.2) -> None:
        self.upstream, self.rules, self.seed, self.delay_s = upstream.rstrip("/"), tuple(rules), seed, delay_s
        self.counts = Counts()
        self.url = ""
        self._matches: Counter[int] = Counter()
        self._injected: Counter[int] = Counter()
        self._came: Counter[tuple[str, str, str]] = Counter()
        self._hit: defaultdict[int, set[tuple[str, str, str]]] = defaultdict(set)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(30)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _open(self) -> None:
        self._client = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{key:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, shutdown_timeout=1.0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def _close(self) -> None:
        await self._runner.cleanup()
        await self._client.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:  # of connections that were cut
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        method, key = _what(request)
        number, rule = self._decide(method, key, request.headers.get("Range", ""))
        kind = rule.kind if rule else None
        if kind in ("500", "503", "403"):
            self.counts.seen.append(Seen(method, key, kind))
            return _refusal(kind)
        if kind == "slow":
            await asyncio.sleep(self.delay_s)
        async with self._client.request(
            request.method,
            URL(self.upstream + request.raw_path, encoded=True),
            headers=[(k, v) for k, v in request.headers.items() if k.lower() not in {*_ONE_HOP, "expect"}],
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            data=body or None,
            allow_redirects=False,
        ) as answer:
            data = await answer.read()
        if kind in ("cut", "flip") and (answer.status >= 300 or not data or method == "HEAD"):
            self._injected[number] -= 1  # there was nothing to spoil
            kind = None
        self.counts.seen.append(Seen(method, key, kind))
        if kind == "lost500":
            return _refusal(kind)
        if kind == "lost":
            _cut(request)
            return web.Response(status=500)
        if kind == "flip":
            at = random.Random(f"{self.seed} {key}").randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1 :]
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in _ONE_HOP:
                response.headers.add(name, value)
        if "Content-Length" not in response.headers:
            response.content_length = len(data)
        await response.prepare(request)
        if kind == "cut":
            await response.write(data[: len(data) // 2])
            await asyncio.sleep(0.01)  # the half reaches the client before the cut does
            _cut(request)
            return response
        if request.method != "HEAD":
            await response.write(data)
        await response.write_eof()
        return response

    def _decide(self, method: str, key: str, span: str) -> tuple[int, Rule | None]:
        """(number of the rule, the rule) that this request falls under."""
        request = method, _DIGEST.sub("", key), span
        number = self._came[request]
        self._came[request] += 1
        for i, rule in enumerate(self.rules):
            if method not in rule.methods or not re.search(rule.key, key):
                continue
            self._matches[i] += 1
            late = rule.times is not None and self._injected[i] >= rule.times
            if self._matches[i] <= rule.skip or late or (rule.each_once and request in self._hit[i]):
                continue
            if rule.share < 1 and random.Random(f"{self.seed} {i} {request} {number}").random() >= rule.share:
                continue
            self._injected[i] += 1
            self._hit[i].add(request)
            return i, rule
        return -1, None


@contextmanager
def faults(*rules: Rule, seed: int = 0, delay_s: float = 0.2) -> Iterator[FaultProxy]:
    """A proxy before the endpoint that AWS_ENDPOINT_URL names, which names the proxy within."""
    before = os.environ["AWS_ENDPOINT_URL"]
    proxy = FaultProxy(before, rules, seed=seed, delay_s=delay_s)
    proxy.start()
    os.environ["AWS_ENDPOINT_URL"] = proxy.url
    try:
        yield proxy
    finally:
        os.environ["AWS_ENDPOINT_URL"] = before
        proxy.stop()


def _what(request: web.Request) -> tuple[str, str]:
    """(method or LIST, key without the bucket or prefix of the listing)."""
    if request.method == "GET" and "list-type" in request.rel_url.query:
        return "LIST", request.rel_url.query.get("prefix", "")
    return request.method, request.path.strip("/").partition("/")[2]


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _refusal(kind: Kind) -> web.Response:
    status, code = _ANSWERS[kind]
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Access Denied</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")
