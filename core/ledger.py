"""The ledger of a run: which units are done, which are set aside, decided by one small object each.

A commit is created only if absent and carries a write-id; when the answer to a write is lost, reading the marker back
tells whose it is. So a unit is committed once, however many workers did it, and a resumed run learns everything it
needs from listings. Readers follow markers only.
"""

from __future__ import annotations

import json
import traceback
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from core.errors import PoisonError, TransientError
from core.layout import RunLayout
from core.objects import Objects


@dataclass(frozen=True)
class Failure:
    """Why a unit was set aside. kind: name of the failure class; message: one line; traceback: for the developer."""

    stage: str
    unit: str
    kind: str
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, stage: str, unit: str, error: BaseException) -> Failure:
        return cls(
            stage,
            unit,
            type(error).__name__,
            " ".join(str(error).split()) or type(error).__name__,
            "".join(traceback.format_exception(error)),
        )

    def to_json(self) -> bytes:
        return json.dumps(self.__dict__, indent=1).encode()


@dataclass(frozen=True)
class Ledger:
    """Markers under the run's URL."""

    run: Objects

    def commit(self, stage: str, unit: str, result: dict[str, Any]) -> dict[str, Any]:
        """Commit a unit whose data is already written; the stored marker, which may be that of an earlier worker."""
        key, write_id = RunLayout.commit(stage, unit), uuid.uuid4().hex
        marker = {"stage": stage, "unit": unit, "write_id": write_id, **result}
        data = json.dumps(marker, sort_keys=True).encode()
        try:
            if self.run.create(key, data):
                return marker
        except TransientError:
            # The write may have arrived although its answer did not: the marker knows.
            stored = self.run.get_or_none(key)
            if stored is None:
                raise
            return _parse(stored, key)
        return _parse(self.run.get(key), key)

    def read(self, stage: str, unit: str) -> dict[str, Any] | None:
        """The marker of a unit, None if it is not committed."""
        key = RunLayout.commit(stage, unit)
        stored = self.run.get_or_none(key)
        return None if stored is None else _parse(stored, key)

    def done(self) -> set[tuple[str, str]]:
        """(stage, unit) of everything committed: one listing."""
        return {RunLayout.unit_of(key) for key, _ in self.run.list(RunLayout.COMMITS)}

    def quarantine(self, failure: Failure) -> None:
        """Set a unit aside with its reason; the first record of a unit stays until it is retried."""
        self.run.create(RunLayout.quarantine(failure.stage, failure.unit), failure.to_json())

    def quarantined(self) -> set[tuple[str, str]]:
        """(stage, unit) of everything set aside: one listing."""
        return {RunLayout.unit_of(key) for key, _ in self.run.list(RunLayout.QUARANTINE)}

    def failure(self, stage: str, unit: str) -> Failure | None:
        """The quarantine record of a unit, None if it has none."""
        key = RunLayout.quarantine(stage, unit)
        stored = self.run.get_or_none(key)
        return None if stored is None else Failure(**_parse(stored, key))

    def forget(self, units: Iterable[tuple[str, str]]) -> None:
        """Delete commits and quarantine records, so that the next run takes the units again."""
        for stage, unit in units:
            self.run.delete(RunLayout.commit(stage, unit))
            self.run.delete(RunLayout.quarantine(stage, unit))


def _parse(stored: bytes, key: str) -> dict[str, Any]:
    try:
        marker: dict[str, Any] = json.loads(stored)
    except ValueError as error:
        raise PoisonError(
            key, found="bytes that are no JSON", expected="a marker", fix="delete it and run again"
        ) from error
    return marker
