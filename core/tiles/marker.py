"""The marker of a committed block: what its tile holds and where every pixel comes from.

Small JSON, written once with create-if-absent after the data. Readers follow markers only, so a block without one
is not observed whatever bytes lie there.
"""

from __future__ import annotations

import builtins
import datetime as dt
import json
from dataclasses import asdict, dataclass
from typing import Any

from core.errors import PoisonError

# The array `scene` is uint8: 0 = not observed, 255 = never written.
MAX_SCENES = 254


@dataclass(frozen=True, order=True)
class SceneRef:
    """One acquisition, as provenance of pixels."""

    id: str
    date: dt.date
    sensor: str


@dataclass(frozen=True)
class RejectedScene:
    """A scene that touches the block but gave it no pixel, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class SceneScore:
    """How well a scene shows the glaciers of a block (`core.ingest.score`).

    coverage: share of the glaciers under valid or masked pixels; cloud: masked share of those; snow: share of clear
    ground off the glaciers with NDSI > 0.4, None where it cannot be told. All 0–1.
    """

    id: str
    coverage: float
    cloud: float
    snow: float | None


@dataclass(frozen=True)
class TileMarker:
    """What one block of one sensor and epoch holds.

    bands: those that every scene of the block has, in the order of the sensor; scenes: number k of the array `scene`
    is `scenes[k − 1]`; observed_fraction: share of the block's pixels, 0–1; n_clipped: values beyond the stored
    range, kept at its end; bytes: of the shards as stored; write_id: of the writer that committed; bytes_read: of
    source pixels, as decoded; scores: of the scenes that were ranked.
    """

    block: str
    epoch: str
    sensor: str
    res_m: int
    bands: tuple[str, ...]
    scenes: tuple[SceneRef, ...]
    observed_fraction: float
    n_clipped: int
    bytes: int
    write_id: str
    rejected: tuple[RejectedScene, ...] = ()
    bytes_read: int = 0
    scores: tuple[SceneScore, ...] = ()

    def to_json(self) -> builtins.bytes:
        return json.dumps(asdict(self), default=dt.date.isoformat, indent=1).encode()

    @classmethod
    def from_json(cls, data: builtins.bytes, where: str) -> TileMarker:
        """Raises PoisonError naming `where` for anything that is not a marker."""
        try:
            fields: dict[str, Any] = json.loads(data)
            return cls(
                **{
                    **fields,
                    "bands": tuple(fields["bands"]),
                    "scenes": tuple(
                        SceneRef(s["id"], dt.date.fromisoformat(s["date"]), s["sensor"]) for s in fields["scenes"]
                    ),
                    "rejected": tuple(RejectedScene(**r) for r in fields["rejected"]),
                    "scores": tuple(SceneScore(**s) for s in fields["scores"]),
                }
            )
        except (ValueError, TypeError, KeyError) as error:
            raise PoisonError(
                where,
                found=f"no tile marker ({error})",
                expected="the JSON that a commit wrote",
                fix="delete it and ingest the block again",
            ) from error
