"""The tile store: multi-sensor Zarr v3 arrays per epoch and zone, one shard per block, markers beside them.

A block exists for readers once its marker exists, never before; whether a pixel was observed is the array `scene`,
never a fill value; a chunk whose checksum does not match is an error, never a number.
"""

from core.tiles.dataset import open_sensor
from core.tiles.marker import MAX_SCENES, RejectedScene, SceneRef, SceneScore, TileMarker
from core.tiles.read import TileRead
from core.tiles.source import NoTiles, StoredTiles, TileSource
from core.tiles.store import TileStore

__all__ = [
    "MAX_SCENES",
    "NoTiles",
    "RejectedScene",
    "SceneRef",
    "SceneScore",
    "StoredTiles",
    "TileMarker",
    "TileRead",
    "TileSource",
    "TileStore",
    "open_sensor",
]
