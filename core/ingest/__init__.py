"""Ingest: scenes → tiles, one block at a time.

Whatever the grid, projection and units of a scene, its pixels come out on the lattice, not shifted, not mixed with
nodata, and with the scene that each of them comes from. A raster that cannot be read is an error, never a zero.
"""

from core.ingest.block import ingest_block, ingest_oracle_block
from core.ingest.check import SceneInfo, SceneReport, check_scenes
from core.ingest.recipe import native_res_m, offered, scenes_recipe, sources_of
from core.ingest.virtual import VirtualTiles

__all__ = [
    "SceneInfo",
    "SceneReport",
    "VirtualTiles",
    "check_scenes",
    "ingest_block",
    "ingest_oracle_block",
    "native_res_m",
    "offered",
    "scenes_recipe",
    "sources_of",
]
