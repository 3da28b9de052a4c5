"""URLs: where folders, buckets and memory are, in the one form that everything else takes them in.

A path becomes `file:///…`; a URL never ends in a slash; whether it can be a place is told before anything is opened.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.errors import ConfigError

SCHEMES = ("file", "s3", "memory")


def normalise_url(url: str, base: Path | None = None) -> str:
    """A path or URL → `file:///abs`, `s3://bucket/key` or `memory://name/key`, without a trailing slash.

    Raises ConfigError for any other scheme, an s3 URL without a bucket, or a file URL with one.
    """
    if "://" not in url:
        path = Path(url).expanduser()
        return ((base or Path.cwd()) / path).resolve().as_uri()
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ConfigError(url, found=f"scheme {parts.scheme!r}", expected="a path, file://, s3:// or memory://")
    if parts.scheme in ("s3", "memory") and not parts.netloc:
        raise ConfigError(url, found="no bucket", expected=f"{parts.scheme}://BUCKET/KEY")
    if parts.scheme == "file" and (parts.netloc or not parts.path.strip("/")):
        raise ConfigError(url, found=f"host {parts.netloc!r}", expected="file:///FOLDER with three slashes, or a path")
    return url.rstrip("/")


def join_url(url: str, key: str) -> str:
    """`url`/`key`."""
    return f"{url.rstrip('/')}/{key}" if key else url.rstrip("/")


def local_path(url: str) -> Path | None:
    """The path of a file:// URL, None for any other scheme."""
    parts = urlsplit(url)
    return Path(obstore_path(parts.path)) if parts.scheme == "file" else None


def obstore_path(path: str) -> str:
    """Undo the percent-encoding that `Path.as_uri` adds."""
    return unquote(path)
