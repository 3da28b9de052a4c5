"""The tables of `icefleet ingest`: what the tiles hold, the scenes in them, the scenes that are not, and the products.

Cut where they grow long: the same with `--json` never is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from rich.markup import escape

from core.sensors import Product
from jobs.console import console, table

MOST_ROWS = 12  # of one sensor in a table
_ASIDE = re.compile(r" \([^)]*\)")


def print_ingest_report(report: Mapping[str, Mapping[str, Any]]) -> None:
    """The report as tables, and a line for every sensor that is not whole."""
    columns = [
        "tiles of",
        "epoch",
        "m",
        "blocks",
        "observed",
        "of glaciers",
        "read MB",
        "stored MB",
        "ratio",
        "clipped",
    ]
    table("Tiles", columns, [_tiles_row(name, entry) for name, entry in report.items()])
    columns = ["scenes of", "composite", "used", "first", "last", "rejected"]
    table("Scenes", columns, [_scenes_row(name, entry) for name, entry in report.items()])
    used = [row for name, entry in report.items() for row in _used_rows(name, entry["used"])]
    if used:
        columns = ["scene used", "sensor", "date", "blocks", "coverage", "cloud", "snow"]
        ranked = any(row[4] for row in used)
        table("Scenes used", columns if ranked else columns[:4], [row if ranked else row[:4] for row in used])
    rejected = [row for name, entry in report.items() for row in _rejected_rows(name, entry["rejected"])]
    if rejected:
        table("Scenes used nowhere", ["reason", "sensor", "scenes", "tiles", "for example"], rejected)
    for name, entry in report.items():
        if entry["note"]:
            console.print(f"[yellow]note[/] {name}: {escape(entry['note'])}")


def _tiles_row(name: str, r: Mapping[str, Any]) -> tuple[object, ...]:
    head = (name, r["epoch"], r["res_m"])
    if r["virtual"] or not r["blocks"]:
        return (*head, "virtual" if r["virtual"] else f"0/{r['blocks_planned']}", *[""] * 6)
    return (
        *head,
        f"{r['blocks']}/{r['blocks_planned']}",
        f"{r['observed_fraction']:.1%}",
        _percent(r["glacier_observed_fraction"], 1),
        f"{r['bytes_read'] / 1e6:,.1f}",
        f"{r['bytes'] / 1e6:,.1f}",
        "" if r["ratio"] is None else f"{r['ratio']:.1f}",
        f"{r['n_clipped']:,}",
    )


def _scenes_row(name: str, r: Mapping[str, Any]) -> tuple[object, ...]:
    rejected = len({name for group in r["rejected"] for name in group["ids"]})
    ends = r["first_date"] or "", r["last_date"] or ""
    return name, r["composite"] or "", len(r["scenes"]), *ends, rejected


def _used_rows(sensor: str, used: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        (s["id"], sensor, s["date"], s["blocks"], *(_percent(s[key]) for key in ("coverage", "cloud", "snow")))
        for s in used[:MOST_ROWS]
    ]
    return rows + _more(len(used), sensor, 7)


def _rejected_rows(sensor: str, groups: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        (g["reason"], sensor, g["scenes"], g["tiles"], ", ".join(g["ids"][:2]) + (" …" if len(g["ids"]) > 2 else ""))
        for g in groups[:MOST_ROWS]
    ]
    return rows + _more(len(groups), sensor, 5)


def _more(n: int, sensor: str, columns: int) -> list[tuple[object, ...]]:
    left = n - MOST_ROWS
    return [(f"… and {left} more (--json has all)", sensor, *[""] * (columns - 2))] if left > 0 else []


def _percent(share: float | None, digits: int = 0) -> str:
    return "" if share is None else f"{share:.{digits}%}"


# ------------------------------------------------------------------ products


def print_products(products: Iterable[Product]) -> None:
    """Every product that `sources` may name."""
    rows = [(p.name, p.sensor, _catalogue(p), access_words(p), _ASIDE.sub("", p.licence)) for p in products]
    table("Products", ["product", "sensor", "asked by default", "access", "licence"], rows)
    console.print("login: from the environment · tokens: of Planetary Computer, fetched when its catalogue is asked")


def access_words(product: Product) -> str:
    """How the bytes may be had, in words."""
    access, ways = product.access, []
    if access.buckets:
        ways.append("anonymous" if access.anonymous else "requester pays" if access.requester_pays else "login")
    if access.signer:
        ways.append("tokens")
    return " or ".join(ways) or "your own copy"


def _catalogue(product: Product) -> str:
    """Host of the catalogue, or bucket of the tiles."""
    parts = urlsplit(product.catalog)
    if not product.catalog:
        return "none: name a folder"
    return f"{parts.scheme}://{parts.netloc}" if product.tiling else parts.hostname or product.catalog
