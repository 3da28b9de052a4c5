"""Finding: one thing that is wrong with a release, in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """check: name of the check; key: the file (or folder) at fault; message: what was found and expected."""

    check: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.check}: {self.key}: {self.message}"


def about(check: str, key: str, ids: Iterable[object], message: str) -> Iterator[Finding]:
    """One finding for all rows with the same fault, naming the first of them; none for no rows."""
    names = [str(i) for i in ids]
    if names:
        more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
        yield Finding(check, key, f"{', '.join(names[:_EXAMPLES])}{more}: {message}")
