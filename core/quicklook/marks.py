"""What is drawn over a picture: outlines as lines and a scale bar."""

from __future__ import annotations

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray


def outline_lines(shapes: NDArray[np.object_]) -> list[NDArray[np.float64]]:
    """Every ring of the polygons, as (n, 2) coordinates."""
    rings = shapely.get_rings(shapely.get_parts(shapes))
    xy, of = shapely.get_coordinates(rings, return_index=True)
    return np.split(xy, np.flatnonzero(np.diff(of)) + 1) if len(xy) else []


def draw_outlines(axes: Axes, shapes: NDArray[np.object_], colour: str, width: float, casing: str = "") -> None:
    """casing: colour of a wider line below, so that the outline shows on any ground."""
    lines = outline_lines(shapes)
    if casing:
        axes.add_collection(LineCollection(lines, colors=casing, linewidths=width + 1.2, alpha=0.6))
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=width))


def scale_bar(axes: Axes, x: float, y: float, width_m: float) -> None:
    """A bar of a round length, up to a quarter of `width_m`. x, y: lower left corner of the picture, metres."""
    length = 10 ** np.floor(np.log10(width_m / 4))
    length *= next(f for f in (5, 2, 1) if f * length <= width_m / 4)
    x, y = x + width_m * 0.03, y + width_m * 0.03
    axes.plot([x, x + length], [y, y], color="white", linewidth=4, solid_capstyle="butt")
    axes.plot([x, x + length], [y, y], color="black", linewidth=2, solid_capstyle="butt")
    axes.text(x + length / 2, y + width_m * 0.01, f"{length / 1000:g} km", ha="center", fontsize=8, color="black",
              bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1})  # fmt: skip
