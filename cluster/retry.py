"""Retry: forget what failed, and all that was built on it, so that the next run does it again.

The only place where a commit is ever taken back, and only at an operator's word. What succeeded stays.
"""

from __future__ import annotations

from cluster.scheduler import STAGES, Key
from core.ledger import Ledger
from core.objects import Objects
from core.plan import load_plan


def retry(run_url: str) -> list[Key]:
    """Clear quarantine records and failures of a run; (stage, unit) of everything that will be done again.

    Besides the units set aside these are the blocks that measuring could not read, the groups that miss them, and
    the regions of those groups. Idempotent; a run without failures is left as it is.
    """
    objects = Objects(run_url)
    ledger, plan = Ledger(objects), load_plan(objects)
    aside = ledger.quarantined()
    groups = plan.groups if plan else ()
    lost: dict[str, set[str]] = {}
    for group in groups:
        marker = ledger.read("measure", group.name)
        lost[group.name] = set(marker["lost_blocks"]) if marker else set()
    blocks = {unit for stage, unit in aside if stage == "map"} | {b for names in lost.values() for b in names}
    again = set(aside) | {("map", name) for name in blocks}
    for group in groups:
        if lost[group.name] or blocks & set(group.blocks) or ("measure", group.name) in aside:
            again |= {("measure", group.name), ("publish", group.region)}
    # Later stages first: an interrupted retry must not leave a release that is newer than what it was made from.
    ordered = sorted(again, key=lambda key: (-STAGES.index(key[0]), key[1]))
    ledger.forget(ordered)
    return ordered
