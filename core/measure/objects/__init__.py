"""The object-based step: a glacier's map as objects (patches, holes, segments), judged by rules that are data.

It works on the glacier's own ground alone, so its answer does not depend on the window that the glacier is seen in.
"""

from core.measure.objects.presets import PRESETS
from core.measure.objects.refine import Change, Refined, refine_objects
from core.measure.objects.rules import LayerArrays, RuleSet, needed_layers, rule_set

__all__ = [
    "PRESETS",
    "Change",
    "LayerArrays",
    "Refined",
    "RuleSet",
    "needed_layers",
    "refine_objects",
    "rule_set",
]
