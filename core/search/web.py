"""Web: HTTP requests to catalogues, token services and folders of tiles, patient and within bounds.

429, 5xx, time-outs and bodies cut short are tried again with back-off; `Retry-After` is honoured up to a minute.
What is left is an error of core.errors that names the address, without its query, which may hold a token. Only 404
and 410 are an absence (`FileNotFoundError`): neither a refusal nor a fault ever counts as one.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode, urlsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError, LocationValueError

from core.errors import ConfigError, RefusedError, TransientError

TRIES = 5
BACKOFF_S = 0.5  # the pauses are 0, 1, 2 and 4 s, each with up to as much again at random
LONGEST_PAUSE_S = 60.0
TIMEOUT = urllib3.Timeout(connect=10.0, read=30.0)
_AGAIN = (429, 500, 502, 503, 504)
_HEADERS = {"Accept-Encoding": "gzip, deflate", "User-Agent": "icefleet"}
_CONNECTIONS = 32


class _Patience(urllib3.Retry):
    """urllib3's retries, with a bound on what a server may ask for."""

    def parse_retry_after(self, retry_after: str) -> float:
        return min(super().parse_retry_after(retry_after), LONGEST_PAUSE_S)


def request(
    method: str, url: str, *, body: object = None, headers: Mapping[str, str] | None = None
) -> urllib3.BaseHTTPResponse:
    """The answer, read to its end, of a request that succeeded. body: sent as JSON, None for none.

    Raises FileNotFoundError (404, 410), RefusedError (401, 403, 407), TransientError (what trying again did not
    cure) and ConfigError (any other answer: the request is wrong).
    """
    where = address(url)
    patience = _Patience(
        total=TRIES - 1,
        allowed_methods=None,
        status_forcelist=_AGAIN,
        backoff_factor=BACKOFF_S,
        backoff_jitter=BACKOFF_S,
        backoff_max=LONGEST_PAUSE_S,
        raise_on_status=False,
    )
    sent = {**_HEADERS, **(headers or {})}
    payload = None
    if body is not None:
        sent["Content-Type"], payload = "application/json", json.dumps(body).encode()
    try:
        pool = _pool(os.getpid(), _proxy(url))
        answer = pool.request(method, url, body=payload, headers=sent, retries=patience, timeout=TIMEOUT)
    except LocationValueError as error:
        raise ConfigError(where, found=str(error), expected="an http:// or https:// address") from error
    except HTTPError as error:
        raise TransientError(where, found=_cause(error), fix="check the address and the network") from error
    if 200 <= answer.status < 300:
        return answer
    found = f"HTTP {answer.status} {_first_line(answer.data)}".strip()
    if answer.status in (404, 410):
        raise FileNotFoundError(where)
    if answer.status in (401, 403, 407):
        fix = "the archive wants credentials or a signed address; check the product's access"
        raise RefusedError(where, found=found, fix=fix)
    if answer.status in _AGAIN or answer.status >= 500:
        raise TransientError(where, found=f"{found}, {TRIES} times")
    raise ConfigError(where, found=found, expected="an answer to the request")


def read_json(method: str, url: str, *, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
    """The JSON of an answer. Raises as `request`, and TransientError for a body that is no JSON: the error page of
    a proxy, more often than not."""
    return parse_json(request(method, url, body=body, headers=headers).data, url)


def parse_json(data: bytes, url: str) -> Any:
    """Raises TransientError naming the address."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise TransientError(
            address(url),
            found=f"{len(data)} bytes that are no JSON ({_first_line(data)})",
            fix="open the address in a browser; it may be in maintenance",
        ) from error


def exists(url: str) -> bool:
    """Whether there is something at the address. Raises as `request`, save for an absence."""
    try:
        request("HEAD", url)
    except FileNotFoundError:
        return False
    except ConfigError:  # 405: a server that answers no HEAD
        try:
            request("GET", url, headers={"Range": "bytes=0-0"})
        except FileNotFoundError:
            return False
    return True


def with_query(url: str, parameters: Mapping[str, Any] | None) -> str:
    """A URL with parameters added to its query."""
    if not parameters:
        return url
    parts, added = urlsplit(url), urlencode(parameters)
    return parts._replace(query=f"{parts.query}&{added}" if parts.query else added).geturl()


def address(url: str) -> str:
    """A URL without its query."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _cause(error: HTTPError) -> str:
    reason = getattr(error, "reason", None) or error
    return f"{type(reason).__name__}: {str(reason).splitlines()[0][:200] if str(reason) else ''}"


def _first_line(data: bytes) -> str:
    text = data[:400].decode("utf-8", "replace").strip()
    return text.splitlines()[0][:160] if text else ""


def _proxy(url: str) -> str:
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    return "" if not proxy or urllib.request.proxy_bypass(parts.hostname or "") else proxy


@lru_cache(maxsize=8)
def _pool(_process: int, proxy: str) -> urllib3.PoolManager:
    """Connections do not survive a fork, so each process has its own."""
    certificates = os.environ.get("SSL_CERT_FILE") or certifi.where()
    options: dict[str, Any] = {"num_pools": 32, "maxsize": _CONNECTIONS, "ca_certs": certificates}
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
