"""Relief of real mountains for SIMULATED landscapes: crops of the elevation models of the sample data.

Optional: chips made of real relief are another data set than those without, so the folder is a parameter of whoever
asks and is never looked for. Only heights are taken; ice, rock and weather stay simulated, and so does the claim.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from scipy import ndimage

from core.simulate.land.place import Place
from core.simulate.land.relief import CELL_PX, MARGIN_CELLS
from core.simulate.noise import F64, stream

RELIEFS = (
    "baker/cop30_baker.tif",
    "columbia/dem_Columbia.tif",
    "exploradores/AST_L1A_00303182012144228_Z.tif",
    "oetztal/srtm_oetztal.tif",
)


def real_bed(folder: Path, place: Place, px: int, pixel_m: float, seed: int) -> F64:
    """As `relief.build_bed`, but a random, turned piece of a real elevation model, mirrored where it ends, at the
    height of the place and with its relief. folder: the sample data. Raises OSError if a file is missing."""
    rng = stream(seed, "real relief")
    path = folder / RELIEFS[int(rng.integers(len(RELIEFS)))]
    with rasterio.open(path) as file:
        z = file.read(1).astype(np.float64)
        metres = (
            (file.res[0] * 111_320.0 * np.cos(np.radians(file.bounds.top)), file.res[1] * 110_570.0)
            if file.crs.is_geographic
            else file.res
        )
    void = (z < -500.0) | ~np.isfinite(z)
    nearest = ndimage.distance_transform_edt(void, return_distances=False, return_indices=True)
    z = z[tuple(np.asarray(nearest))]
    n, cell_m = px // CELL_PX + 2 * MARGIN_CELLS, CELL_PX * pixel_m
    z = ndimage.gaussian_filter(z, (0.4 * cell_m / metres[1], 0.4 * cell_m / metres[0]))
    turn = float(rng.uniform(0.0, 2.0 * np.pi))
    centre = rng.uniform(0.3, 0.7, 2) * np.array(z.shape)
    at = (np.indices((n, n), dtype=np.float64) - n / 2.0) * cell_m
    south = np.cos(turn) * at[0] - np.sin(turn) * at[1]
    east = np.sin(turn) * at[0] + np.cos(turn) * at[1]
    rows, cols = centre[0] + south / metres[1], centre[1] + east / metres[0]
    bed = ndimage.map_coordinates(z, (rows, cols), order=1, mode="mirror")
    if rng.random() < 0.5:
        bed = bed[:, ::-1]
    low, high = np.quantile(bed, (0.005, 0.999))
    # Slopes should stay possible: the relief of a small crop is not blown up to that of a massif.
    stretch = min(place.relief_m / (high - low), 1.5)
    return np.asarray(place.base_m + (bed - low) * stretch, dtype=np.float64)
