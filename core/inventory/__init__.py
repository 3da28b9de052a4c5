"""The inventory: glacier outlines of any origin, in one schema, with every repair written down.

`read_inventory` is the only way in. Nothing is dropped silently: each outline read is a row of `glaciers`, or a
finding of the report says why it is not. Longitudes are continuous inside (they may pass ±180);
`split_antimeridian` cuts them for publication.
"""

from core.inventory.inventory import COLUMNS, Inventory, read_inventory
from core.inventory.longitude import split_antimeridian, unwrap_longitudes, wrap_degrees
from core.inventory.polygons import area_km2
from core.inventory.report import Finding, InventoryReport

__all__ = [
    "COLUMNS",
    "Finding",
    "Inventory",
    "InventoryReport",
    "area_km2",
    "read_inventory",
    "split_antimeridian",
    "unwrap_longitudes",
    "wrap_degrees",
]
