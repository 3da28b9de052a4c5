"""The plan: which blocks are mapped and which glaciers are measured together, before anything is paid for."""

from core.plan.outlines import ZoneOutlines, zone_outlines
from core.plan.plan import BlockUnit, GroupUnit, Plan, make_plan
from core.plan.store import load_plan, load_zone_outlines, save_plan

__all__ = [
    "BlockUnit",
    "GroupUnit",
    "Plan",
    "ZoneOutlines",
    "load_plan",
    "load_zone_outlines",
    "make_plan",
    "save_plan",
    "zone_outlines",
]
