"""The history of a run: every task event as a line of JSON under the run's URL, for timelines and post-mortems.

Objects cannot be appended to, so lines are kept back and written as numbered parts, every so many events or seconds
and at the end. A session that did nothing writes nothing. History is no product: a store that stutters delays it and
never stops the work, and a killed driver loses its last lines, while the ledger loses nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from cluster.events import TaskEvent
from core.errors import PoisonError, RefusedError, TransientError
from core.layout import RunLayout
from core.objects import Objects
from core.urls import join_url

EVERY_EVENTS, EVERY_S = 1000, 30.0


@dataclass(frozen=True)
class Entry:
    """A line of the history. at: seconds since 1970 when the driver heard of it."""

    session: str
    at: float
    event: TaskEvent


def new_session(now: float | None = None) -> str:
    """Start time, UTC to the microsecond, and a random end: sessions sort by age and never collide."""
    start = dt.datetime.fromtimestamp(time.time() if now is None else now, dt.UTC)
    return f"{start:%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}"


class History:
    """A callback that writes; use it as a context, whose end writes what is left.

    every_events, every_s: whichever comes first ends a part; time is looked at when an event arrives.
    """

    def __init__(
        self,
        run: Objects,
        session: str | None = None,
        every_events: int = EVERY_EVENTS,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.session = session or new_session()
        self._run, self._clock = run, clock
        self._every_events, self._every_s = every_events, every_s
        self._lines: list[str] = []
        self._part = 0
        self._tried = clock()

    def __enter__(self) -> History:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._write()
        except (TransientError, RefusedError):
            if error is None:  # else what ended the session says more
                raise

    def __call__(self, event: TaskEvent) -> None:
        now = self._clock()
        self._lines.append(json.dumps({"session": self.session, "at": now, **event.to_record()}))
        # By the multiple, so that a store that refuses is not asked again at every event.
        if len(self._lines) % self._every_events == 0 or now - self._tried >= self._every_s:
            self._tried = now
            try:
                self._write()
            except (TransientError, RefusedError):
                return  # kept for the next part

    def _write(self) -> None:
        if self._lines:
            data = "".join(f"{line}\n" for line in self._lines).encode()
            self._run.put(RunLayout.events(self.session, self._part), data)
            self._part += 1
            self._lines.clear()


def read_history(run: Objects) -> list[Entry]:
    """Every session's events, oldest session first, in the order in which they were heard. Empty without history.

    Raises PoisonError for a part that is no history.
    """
    entries: list[Entry] = []
    for key, _ in run.list(RunLayout.EVENTS):
        try:
            for line in run.get(key).splitlines():
                record = json.loads(line)
                entries.append(Entry(record["session"], record["at"], TaskEvent.from_record(record)))
        except (ValueError, KeyError, TypeError) as error:
            raise PoisonError(
                join_url(run.url, key),
                found=f"no history ({error})",
                expected="a line of JSON per event",
                fix="delete it",
            ) from error
    return entries
