"""Signer: addresses that need a token in their query, signed when they are read.

Tokens live for less than an hour, so none is ever stored with a scene: the run keeps the bare address, and whoever
opens it asks `signed`. One token serves a container of the archive; it is asked for once per process and again
shortly before it ends. `ICEFLEET_SAS_ENDPOINT` replaces the address of the service.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from core.errors import ConfigError, SystemicError, TransientError
from core.search import web
from core.sensors import nearest

# Each: service that hands out tokens at /ACCOUNT/CONTAINER, and the hosts whose addresses it signs. Earthdata has no
# tokens in addresses: its login is a matter of the environment (~/.netrc and GDAL_HTTP_*, or AWS_* for its buckets).
SIGNERS = {
    "planetary_computer": ("https://planetarycomputer.microsoft.com/api/sas/v1/token", ".blob.core.windows.net"),
    "earthdata": ("", ""),
}
ENDPOINT = "ICEFLEET_SAS_ENDPOINT"
_RENEW_S = 300.0  # a file opened with a token has to be read to its end with it


@dataclass(frozen=True)
class _Token:
    query: str
    expires: dt.datetime


_tokens: dict[tuple[str, str, str], _Token] = {}
_locks: dict[tuple[str, str, str], threading.Lock] = {}
_guard = threading.Lock()


def signed(href: str, signer: str) -> str:
    """The address with its token; unchanged if `signer` is empty, or the address is of another host or already
    signed.

    Raises ConfigError for an unknown signer, RefusedError or TransientError as the service answers.
    """
    if not signer:
        return href
    if signer not in SIGNERS:
        raise ConfigError(f"signer {signer!r}", found="no such signer", fix=nearest(signer, SIGNERS))
    service, hosts = SIGNERS[signer]
    parts = urlsplit(href)
    host = parts.hostname or ""
    container = parts.path.lstrip("/").split("/")[0]
    if not hosts or not host.endswith(hosts) or not container or "sig" in parse_qs(parts.query):
        return href
    token = _token(os.environ.get(ENDPOINT) or service, host.removesuffix(hosts), container)
    return parts._replace(query=f"{parts.query}&{token}" if parts.query else token).geturl()


def _token(service: str, account: str, container: str) -> str:
    key = (service.rstrip("/"), account, container)
    with _lock(key):
        held = _tokens.get(key)
        if held is None or (held.expires - dt.datetime.now(dt.UTC)).total_seconds() < _RENEW_S:
            held = _tokens[key] = _ask("/".join(key))
    return held.query


def _lock(key: tuple[str, str, str]) -> threading.Lock:
    """One of each container, so that many threads ask for its token once, and none waits for another's."""
    with _guard:
        return _locks.setdefault(key, threading.Lock())


def _ask(url: str) -> _Token:
    try:
        answer = web.read_json("GET", url)
    except FileNotFoundError as error:
        raise SystemicError(
            url, found="no tokens for this container", fix="check the product's signer, or set " + ENDPOINT
        ) from error
    try:
        expires = dt.datetime.fromisoformat(answer["msft:expiry"])
        return _Token(str(answer["token"]), expires if expires.tzinfo else expires.replace(tzinfo=dt.UTC))
    except (KeyError, TypeError, ValueError) as error:
        raise TransientError(
            url, found=f"{type(error).__name__} in the answer", expected="`token` and `msft:expiry`"
        ) from error
