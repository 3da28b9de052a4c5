"""What reading an inventory found out: one finding per thing that was not as it should be, and what was done.

Findings are for people (a table) and for machines (JSON); they never carry geometry.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

_EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """One thing found in a source.

    kind: a word for counting, e.g. `repaired`, `duplicate`, `area_mismatch`; rgi_id: None where it concerns no single
    glacier; source: file name; message: what was found; action: what was done about it; count: outlines concerned.
    """

    kind: str
    rgi_id: str | None
    source: str
    message: str
    action: str
    count: int = 1


@dataclass(frozen=True)
class InventoryReport:
    """Findings of one reading.

    findings: sorted by kind, source, glacier. outlines_read: (file name, rows read from it), in order of reading.
    glaciers: rows of the inventory. rows read = glaciers + `left_out`.
    """

    findings: tuple[Finding, ...]
    outlines_read: tuple[tuple[str, int], ...]
    glaciers: int
    left_out: int

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """(source, kind) → outlines concerned."""
        total: Counter[tuple[str, str]] = Counter()
        for f in self.findings:
            total[f.source, f.kind] += f.count
        return dict(sorted(total.items()))

    def of_kind(self, kind: str) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(f for f in self.findings if f.kind == kind)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(kind, count, action, examples), one per kind and action, for a table."""
        groups: dict[tuple[str, str], list[Finding]] = {}
        for f in self.findings:
            groups.setdefault((f.kind, f.action), []).append(f)
        return [
            (kind, str(sum(f.count for f in found)), action, _examples(found))
            for (kind, action), found in sorted(groups.items())
        ]

    def to_json(self) -> str:
        """Everything, as one JSON object with keys glaciers, left_out, outlines_read, counts, findings."""
        return json.dumps(
            {
                "glaciers": self.glaciers,
                "left_out": self.left_out,
                "outlines_read": [{"source": s, "count": n} for s, n in self.outlines_read],
                "counts": [{"source": s, "kind": k, "count": n} for (s, k), n in self.counts.items()],
                "findings": [asdict(f) for f in self.findings],
            },
            ensure_ascii=False,
            indent=1,
        )


def _examples(found: Sequence[Finding]) -> str:
    shown = "; ".join(f"{f.rgi_id or f.source}: {f.message}" for f in found[:_EXAMPLES])
    return shown + (f"; … {len(found) - _EXAMPLES} more" if len(found) > _EXAMPLES else "")
