"""Task events: the one thing that the scheduler tells the outside.

Progress, history, metrics and the table at the end are callbacks on it, and know nothing else of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Kind = Literal["done", "quarantined", "retried"]


@dataclass(frozen=True)
class Span:
    """Where and when a unit was at work, waits between its tries included.

    worker: `host:process`, which does one unit at a time; node: host; started, ended: seconds since 1970 on its clock.
    """

    worker: str = ""
    node: str = ""
    started: float = 0.0
    ended: float = 0.0


NOWHERE = Span()


@dataclass(frozen=True)
class TaskEvent:
    """Something happened to a unit.

    seconds: of work, the last try alone; counts: what the unit reported, `bytes` among them; message: why, if it
    failed; stalls: what the seconds went into (`core.stopwatch`), at most all of them; device: `cpu` or that of the
    model; span: empty for a unit whose process died.
    """

    kind: Kind
    stage: str
    unit: str
    region: str
    seconds: float = 0.0
    counts: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
    stalls: Mapping[str, float] = field(default_factory=dict)
    device: str = "cpu"
    span: Span = NOWHERE

    @property
    def bytes(self) -> float:
        """Decoded bytes that map read, stored bytes that ingest and publish wrote."""
        return self.counts.get("bytes", 0.0)

    def to_record(self) -> dict[str, Any]:
        """Flat, for JSON."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "span"}
        return {**own, "counts": dict(self.counts), "stalls": dict(self.stalls), **vars(self.span)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TaskEvent:
        """Inverse of `to_record`; what another version knows besides is passed over."""
        own = {f.name: record[f.name] for f in fields(cls) if f.name in record and f.name != "span"}
        return cls(**own, span=Span(**{f.name: record[f.name] for f in fields(Span) if f.name in record}))


Callback = Callable[[TaskEvent], None]


def ignore(event: TaskEvent) -> None:
    """The callback that does nothing."""
    del event


def all_of(*callbacks: Callback) -> Callback:
    """One callback that calls each in turn."""

    def call(event: TaskEvent) -> None:
        for callback in callbacks:
            callback(event)

    return call
