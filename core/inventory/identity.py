"""Identity: every glacier has one id, no id has two glaciers.

What decides between copies is their content, never the order of the files, so that the same data always give the same
ids. Only rows that share an id or a box with another are looked at closely.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from core.inventory.outlines import Note
from core.inventory.polygons import vertex_chunks

UNPLACED = "NOID-UNPLACED"


def position_ids(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.object_]:
    """Ids from positions in degrees, as GLIMS makes them: 7.654° E, 46.789° N → `NOID-G007654E46789N`.

    Thousandths of a degree, longitude counted 0–360 eastwards. `NOID-UNPLACED` where there is no position.
    """
    placed = np.isfinite(lon) & np.isfinite(lat)
    east = np.round(np.where(placed, lon, 0.0) % 360.0 * 1000).astype(np.int64) % 360_000
    north = np.round(np.abs(np.where(placed, lat, 0.0)) * 1000).astype(np.int64)
    name = pd.Series(east).astype(str).str.zfill(6) + "E" + pd.Series(north).astype(str).str.zfill(5)
    name = "NOID-G" + name + np.where(np.where(placed, lat, 0.0) >= 0, "N", "S")
    return name.astype(object).where(placed, UNPLACED).to_numpy(dtype=object)


@dataclass(frozen=True)
class Identities:
    """ids: unique among the kept rows; keep: False for a row that is an exact copy of a kept one."""

    ids: NDArray[np.object_]
    keep: NDArray[np.bool_]
    notes: list[Note]


def resolve(table: pd.DataFrame, ids: NDArray[np.object_], geometry: NDArray[np.object_]) -> Identities:
    """Settle rows that share an id or an outline.

    Same id and outline: the row with most attributes stays. Same id, other outline: both stay, ordered by `src_date`,
    then by outline; the second is `ID#2`. Other id, same outline: both stay, noted as possible double counting.
    Outlines are equal if their rings are, wherever a ring starts. Rows without geometry are never copies.
    """
    ids, keep = ids.copy(), np.ones(len(ids), dtype=bool)
    here = ~shapely.is_missing(geometry)
    boxes = pd.DataFrame(shapely.bounds(geometry))
    close = np.flatnonzero(pd.Series(ids).duplicated(keep=False) | (boxes.duplicated(keep=False) & here))
    if len(close) == 0:
        return Identities(ids, keep, [])

    rows = table.iloc[close]
    frame = pd.DataFrame(
        {
            "row": close,
            "id": ids[close],
            "outline": _fingerprints(geometry[close]),
            # None is never equal to None here: each missing geometry is an outline of its own.
            "alone": np.where(here[close], -1, np.arange(len(close))),
            "empty": rows.isna().sum(axis=1).to_numpy(),
            "date": [str(d) if d is not None else "9999" for d in rows["src_date"]],
            "content": [repr(row) for row in rows.itertuples(index=False, name=None)],
        }
    )
    frame = frame.sort_values(["id", "date", "outline", "empty", "content", "row"], kind="stable")
    best = frame.sort_values(["id", "outline", "alone", "empty", "date", "content"], kind="stable")
    copies = best[best.duplicated(["id", "outline", "alone"])]
    keep[copies["row"].to_numpy()] = False
    notes = [
        Note("duplicate", int(r), "the same glacier, outline and all, is there more than once", "collapsed to one")
        for r in copies["row"]
    ]

    frame = frame[keep[frame["row"].to_numpy()]]
    notes += _number_versions(frame, ids)
    same = frame[frame["alone"] < 0]
    same = same[same["outline"].duplicated(keep=False)].sort_values(["outline", "id"])
    first = same.groupby("outline")["row"].transform("first")
    for row, other in zip(same["row"], first, strict=True):
        if row != other:
            message = f"the outline of {ids[other]} under another id"
            notes.append(Note("same_outline", int(row), message, "kept; area is possibly counted twice"))
    return Identities(ids, keep, notes)


def _fingerprints(geometry: NDArray[np.object_]) -> list[str]:
    """Equal for outlines whose rings are equal wherever they start; empty for None."""
    out: list[str] = []
    for rows in vertex_chunks(geometry):
        wkb = shapely.to_wkb(shapely.normalize(geometry[rows]), byte_order=1)
        out += ["" if w is None else hashlib.blake2b(w, digest_size=16).hexdigest() for w in wkb]
    return out


def _number_versions(frame: pd.DataFrame, ids: NDArray[np.object_]) -> list[Note]:
    """Give the second and later rows of an id the suffixes #2, #3, … in place."""
    number = frame.groupby("id").cumcount() + 1
    later = frame[number > 1]
    taken, notes = set(ids), []
    for row, name, n in zip(later["row"], later["id"], number[number > 1], strict=True):
        while f"{name}#{n}" in taken:
            n += 1
        ids[row] = f"{name}#{n}"
        taken.add(ids[row])
        notes.append(Note("same_id", int(row), f"another outline under the id {name}", "kept, with a number added"))
    return notes
