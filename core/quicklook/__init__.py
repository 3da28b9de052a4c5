"""Quicklooks: pictures for people who would rather look: of a published run, and of the tiles of a block.

Drawn from the tile store and the release, decimated while reading, so their size does not matter.
"""

from core.quicklook.run import draw_run
from core.quicklook.tiles import draw_block

__all__ = ["draw_block", "draw_run"]
