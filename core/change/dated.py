"""Dated: the releases to compare, each found by its manifest, in order of time.

A release without a manifest was never finished and is refused. Nothing but manifests is read here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from core.errors import ConfigError
from core.layout import ReleaseLayout
from core.objects import Objects
from core.release import read_manifest
from core.release.schema import AREA
from core.urls import join_url, local_path, normalise_url

INVENTORY = "inventory"
_YEAR = re.compile(r"^year=(\d{4})/")
_YEAR_FOLDER = re.compile(r"^year(?:=|%3D)(\d{4})$")  # a path becomes a URL by percent-encoding


@dataclass(frozen=True)
class Dated:
    """The release of one year. parts: region → keys of its glacier_area files, below `url`; res_m: pixel, metres."""

    year: int
    url: str
    res_m: float
    inventory_digest: str
    simulated: bool
    parts: dict[str, tuple[str, ...]]

    @property
    def label(self) -> str:
        return str(self.year)

    @property
    def name(self) -> str:
        """The URL of the year, for people."""
        return join_url(self.url, ReleaseLayout(self.year).root)


def find_releases(urls: Sequence[str], inventory: bool = False) -> tuple[Dated, ...]:
    """Every year of every release, ascending.

    urls: release folders (all their years) or single years of them (`…/year=2016`); local, s3:// or memory://.
    inventory: whether the inventory counts as a date, so that one year is enough. Raises ConfigError if a release is
    missing or unfinished, if a year occurs twice, or if there are too few dates to compare.
    """
    found = [dated for url in urls for dated in _years(url)]
    found.sort(key=lambda dated: dated.year)
    for one, other in pairwise(found):
        if one.year == other.year:
            raise ConfigError(
                other.name,
                found=f"year {one.year}, as in {one.name}",
                expected="each year once",
                fix="leave one of them out; name a single year as RELEASE/year=YYYY",
            )
    if len(found) + inventory < 2:
        raise ConfigError(
            ", ".join(dated.name for dated in found) or "releases",
            found=f"{len(found)} year",
            expected="two dates or more",
            fix="give another release, or --inventory to compare with the dates of the inventory",
        )
    return tuple(found)


def regions_of(releases: Sequence[Dated]) -> list[str]:
    """Regions that any of the releases has, sorted."""
    return sorted({region for dated in releases for region in dated.parts})


def _years(url: str) -> list[Dated]:
    url = normalise_url(url)
    root, _, last = url.rpartition("/")
    single = _YEAR_FOLDER.match(last)
    if single is not None:
        return [_dated(root, int(single[1]))]
    folder = local_path(url)
    keys = Objects(url).list() if folder is None or folder.is_dir() else []
    years = sorted({int(m[1]) for key, _ in keys if (m := _YEAR.match(key))})
    if not years:
        raise ConfigError(
            url,
            found="no such folder" if folder is not None and not folder.is_dir() else "no folder year=YYYY",
            expected="a release",
            fix="give the folder `release` of a run, or one year of it: RELEASE/year=YYYY",
        )
    return [_dated(url, year) for year in years]


def _dated(url: str, year: int) -> Dated:
    layout = ReleaseLayout(year)
    folder = local_path(url)
    there = folder is None or folder.is_dir()
    manifest = read_manifest(Objects(url), layout) if there else None
    if manifest is None:
        raise ConfigError(
            join_url(url, layout.manifest),
            found="no manifest" if there else "no such folder",
            expected="a finished release",
            fix="let `icefleet run` finish, and check with `icefleet verify`",
        )
    parts: dict[str, list[str]] = {}
    for entry in _files(manifest):
        if entry.get("table") == AREA:
            parts.setdefault(str(entry["region"]), []).append(str(entry["key"]))
    inventory = manifest.get("inventory")
    return Dated(
        year=year,
        url=url,
        res_m=float(manifest.get("res_m") or 0.0),
        inventory_digest=str(inventory.get("digest")) if isinstance(inventory, dict) else "",
        simulated=bool(manifest.get("simulated")),
        parts={region: tuple(sorted(keys)) for region, keys in parts.items()},
    )


def _files(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    files = manifest.get("files")
    return [f for f in files if isinstance(f, dict)] if isinstance(files, list) else []
