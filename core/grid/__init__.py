"""The pixel geometry of Icefleet: zones, their lattices, blocks, pixel windows and the true area of a pixel.

The one owner of offsets: nothing outside this folder turns metres into rows or rows into blocks, so that two modules
can never disagree by half a pixel.
"""

from core.grid.area import pixel_area_km2
from core.grid.lattice import (
    ALLOWED_RES_M,
    BLOCK_M,
    Block,
    Lattice,
    PixelWindow,
)
from core.grid.zone import Zone, home_zone, home_zones

__all__ = [
    "ALLOWED_RES_M",
    "BLOCK_M",
    "Block",
    "Lattice",
    "PixelWindow",
    "Zone",
    "home_zone",
    "home_zones",
    "pixel_area_km2",
]
