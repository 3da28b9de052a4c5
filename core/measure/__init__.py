"""Measuring glaciers in the stitched mosaic: who owns a pixel, how much of it is ice, area, outline, row.

One glacier is measured in one window of the mosaic, whatever blocks it crosses, so no vector ever crosses a seam.
"""

from core.measure.glacier import Measurement, MosaicWindow, measure_glacier
from core.measure.group import measure_group
from core.measure.ownership import Ownership, glacier_window, glacier_windows, ownerships, with_advance
from core.measure.rules import MeasureRules

__all__ = [
    "MeasureRules",
    "Measurement",
    "MosaicWindow",
    "Ownership",
    "glacier_window",
    "glacier_windows",
    "measure_glacier",
    "measure_group",
    "ownerships",
    "with_advance",
]
