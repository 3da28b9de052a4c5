"""Fronts: the sample set `greenland_fronts` as chips, to learn and to test how well a calving front is found.

The set (Mohajerani et al. 2019, 10.3390/rs11010074; repository FrontLearning, MIT) holds, per scene, one Landsat band
as grey levels and a drawn front line, turned so that ice flows from the bottom to the top. It has no georeference, so
every distance is in pixels. What this makes of it, and what that is not:

- Grey levels / 255 stand in the green band of `optical_toa`, because B2 is green on TM and ETM+, and no registered band
  is nearer to blue B2 of OLI or to panchromatic B8. They are stretched grey levels, not reflectance: a model of these
  chips finds fronts in pictures of this kind and must map nothing.
- The side of the front is the label: upstream is glacier, rock beside the tongue included, downstream is not, mélange
  included. Beyond the ends of the drawn line nobody knows, so those columns are unlabelled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt, label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from core.errors import ConfigError, PoisonError
from core.sensors import sensor
from core.train.chip import Chip

SENSOR, BAND = "optical_toa", "green"
# 96.3 m were 1.97 pixels in the paper; nothing is computed from it.
PIXEL_M = 49.0
_NAME = re.compile(r"^(L[A-Z]\d\d)_L1\w\w_(\d{6})_(\d{8})_\d{8}_\d\d_\w\d_(B\d+)_Subset\.png$")
_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class FrontScene:
    """One picture and its drawn line. path_row: of Landsat, six digits; date: yyyymmdd; band: as named there."""

    image: Path
    label: Path
    satellite: str
    path_row: str
    date: str
    band: str

    @property
    def name(self) -> str:
        return f"{self.path_row}_{self.date}"


def front_scenes(folder: Path, path_rows: Sequence[str] = ()) -> tuple[FrontScene, ...]:
    """The scenes of a folder with `images` and `labels`, by path/row and date; path_rows: only those, if any.

    Raises ConfigError if there are none, or if a picture has a strange name or no line.
    """
    found = []
    for image in sorted((folder / "images").glob("*.png")):
        match = _NAME.match(image.name)
        line = folder / "labels" / image.name.replace("_Subset", "_Front")
        if match is None or not line.is_file():
            raise ConfigError(
                str(image),
                found="no such pair",
                expected="LC08_…_B2_Subset.png and labels/LC08_…_B2_Front.png",
            )
        if not path_rows or match[2] in path_rows:
            found.append(FrontScene(image, line, *match.groups()))
    if not found:
        raise ConfigError(
            str(folder), found="no scenes", expected="those of greenland_fronts", fix="set ICEFLEET_SAMPLES"
        )
    return tuple(sorted(found, key=lambda scene: scene.name))


def read_picture(scene: FrontScene) -> NDArray[np.float32]:
    """(h, w) grey levels / 255."""
    with Image.open(scene.image) as image:
        return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)


def read_front(scene: FrontScene) -> shapely.LineString:
    """The drawn line, left to right, through the middle of its stroke: x = column, y = row, pixel centres at ½.

    Raises PoisonError if nothing is drawn.
    """
    with Image.open(scene.label) as image:
        drawn = np.asarray(image.convert("L")) < 128
    if np.count_nonzero(drawn) < 2:
        raise PoisonError(str(scene.label), found="no line", expected="dark pixels along the front")
    return shapely.LineString(stroke(drawn))


def stroke(drawn: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, 2) x and y along the largest stroke of (h, w), from its left end to its right one.

    The ends are the two pixels furthest from each other within the stroke; between them the path keeps to the middle.
    """
    number, count = label(drawn, structure=_EIGHT)
    if count > 1:
        drawn = number == 1 + int(np.argmax(np.bincount(number.ravel())[1:]))
    row, col = np.nonzero(drawn)
    node = np.full((drawn.shape[0] + 2, drawn.shape[1] + 2), -1)
    node[row + 1, col + 1] = np.arange(len(row))
    pairs, steps = [], []
    for dr, dc in ((0, 1), (1, -1), (1, 0), (1, 1)):
        other = node[row + 1 + dr, col + 1 + dc]
        pairs.append(np.stack([np.flatnonzero(other >= 0), other[other >= 0]]))
        steps.append(np.full(pairs[-1].shape[1], np.hypot(dr, dc)))
    (a, b), step = np.concatenate(pairs, axis=1), np.concatenate(steps)
    n = len(row)
    plain = coo_array((step, (a, b)), shape=(n, n)).tocsr()
    first = int(np.argmax(dijkstra(plain, directed=False, indices=0)))
    last = int(np.argmax(dijkstra(plain, directed=False, indices=first)))
    first, last = (first, last) if col[first] <= col[last] else (last, first)
    # Steps near the edge of the stroke cost more, so the cheapest path runs along its middle.
    inside = distance_transform_edt(np.pad(drawn, 1))[1:-1, 1:-1][row, col]
    dear = coo_array((step * (1 / inside[a] ** 2 + 1 / inside[b] ** 2), (a, b)), shape=(n, n)).tocsr()
    _, before = dijkstra(dear, directed=False, indices=first, return_predecessors=True)
    path = [last]
    while path[-1] != first:
        path.append(int(before[path[-1]]))
    at = np.array(path[::-1])
    return np.column_stack([col[at] + 0.5, row[at] + 0.5])


def upstream_of(front: shapely.LineString, shape: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) float32: 1 upstream of the front (towards the bottom), 0 downstream, NaN in columns beside it.

    Pixels that a vertex of the front lies in are half and half.
    """
    h, w = shape
    xy = shapely.get_coordinates(front)
    ends = [[0.0, xy[0, 1]], *xy.tolist(), [float(w), xy[-1, 1]], [float(w), float(h)], [0.0, float(h)]]
    # A line that bends back over its own end crosses itself there; make_valid keeps both loops.
    below = shapely.make_valid(shapely.Polygon(ends))
    x, y = np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5)
    out: NDArray[np.float32] = np.asarray(shapely.contains_xy(below, x, y)).astype(np.float32)
    out[np.clip(xy[:, 1].astype(np.int64), 0, h - 1), np.clip(xy[:, 0].astype(np.int64), 0, w - 1)] = 0.5
    columns = np.arange(w) + 0.5
    out[:, (columns < xy[:, 0].min()) | (columns > xy[:, 0].max())] = np.nan
    return out


def front_chip(scene: FrontScene, *, mirrored: bool = False) -> Chip:
    """One scene as a chip (see module), whole; origin `greenland_fronts-PATHROW:DATE`, so scores are per path/row.

    mirrored: left and right exchanged, the one other position in which ice flows to the top.
    """
    picture, glacier = read_picture(scene), upstream_of(read_front(scene), _shape(scene))
    if mirrored:
        picture, glacier = picture[:, ::-1], np.ascontiguousarray(glacier[:, ::-1])
    values = np.full((len(sensor(SENSOR).bands), *picture.shape), np.nan, dtype=np.float32)
    values[sensor(SENSOR).band_index(BAND)] = picture
    return Chip({SENSOR: values}, glacier, None, PIXEL_M, f"greenland_fronts-{scene.path_row}:{scene.date}")


def _shape(scene: FrontScene) -> tuple[int, int]:
    with Image.open(scene.image) as image:
        return image.height, image.width
