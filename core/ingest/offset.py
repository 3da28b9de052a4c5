"""The offset trap: is an offset in the counts of a scene that its metadata deny, or missing though they promise it?

Sentinel-2 counts carry +1000 since processing baseline 04.00, archives have taken it away again in some scenes and
not in others, and the flags that say which are known to lie. Dark ground does not: every scene over mountains has
shadow or open water. Looked at in the coarsest reduced copy of the whole scene, so that every block and every worker
comes to the same verdict; between clear dark and clear bright the metadata stand. Pixels beside nodata are left out,
because there a reduced copy may be a mixture with it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from rasterio.windows import Window
from scipy.ndimage import binary_erosion

from core.config import SceneConfig
from core.ingest.raster import open_raster, raster_errors, read_header
from core.sensors import OffsetTrap
from core.sensors.products import product

_FEWEST = 1000  # valid pixels: of fewer a percentile says nothing
_MOST_PX = 1100  # along a side of the reduced copy that is read


def with_true_offset(scene: SceneConfig, what: str) -> SceneConfig:
    """The scene with the offset that its dark pixels prove; itself where they prove nothing or agree.

    what: who asks. Raises the errors of `core.ingest.raster`, naming the file and `what`.
    """
    found = true_dn_offset(scene, what)
    if found == scene.dn_offset:
        return scene
    change = found - scene.dn_offset
    files = [f.model_copy(update={"offset": f.offset + change * f.scale}) for f in scene.files]
    return scene.model_copy(update={"files": files, "dn_offset": found})


def true_dn_offset(scene: SceneConfig, what: str) -> int:
    """Counts to take away from this scene's DN: 0 or the offset of its product."""
    trap = product(scene.product).offset_trap if scene.product else None
    if trap is None:
        return scene.dn_offset
    dark = darkest_dn(scene, trap, what)
    if dark is None:
        return scene.dn_offset
    if dark < trap.absent_below:
        return 0
    return trap.dn if dark > trap.present_above else scene.dn_offset


def darkest_dn(scene: SceneConfig, trap: OffsetTrap, what: str) -> float | None:
    """The lowest of the percentiles of DN in the trap's bands; None if none has enough valid pixels."""
    found: list[float] = []
    for file in scene.files:
        for number in [number for band, number in file.bands.items() if band in trap.bands]:
            with raster_errors(file.path, what):
                dark = _percentile(file.path, number, file.nodata, trap.percentile)
            found += [] if dark is None else [dark]
    return min(found, default=None)


@lru_cache(maxsize=4096)
def _percentile(path: str, number: int, nodata: float | None, percent: float) -> float | None:
    header = read_header(path)
    level, factor = None, 1
    for k, f in enumerate(header.overviews):
        level, factor = k, f
        if max(header.width, header.height) / f <= _MOST_PX:
            break
    width, height = -(-header.width // factor), -(-header.height // factor)
    # Without reduced copies a central piece: few pixels are better than the whole scene once more.
    size = min(width, _MOST_PX), min(height, _MOST_PX)
    window = Window((width - size[0]) // 2, (height - size[1]) // 2, *size)
    with open_raster(path, overview=level) as raster:
        dn = raster.read(number, window=window)
        known = raster.read_masks(number, window=window) > 0 if nodata is None else dn != nodata
    known = binary_erosion(known, np.ones((3, 3)), border_value=1)
    return float(np.percentile(dn[known], percent)) if np.count_nonzero(known) >= _FEWEST else None
