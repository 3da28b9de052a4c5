"""Task events: the one thing that the scheduler tells the outside. Progress bars and logs are callbacks on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["done", "quarantined", "retried"]


@dataclass(frozen=True)
class TaskEvent:
    """Something happened to a unit. seconds: of work; counts: what the unit reported; message: why, if it failed."""

    kind: Kind
    stage: str
    unit: str
    region: str
    seconds: float = 0.0
    counts: Mapping[str, float] = field(default_factory=dict)
    message: str = ""


Callback = Callable[[TaskEvent], None]


def ignore(event: TaskEvent) -> None:
    """The callback that does nothing."""
    del event
