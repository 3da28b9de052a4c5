"""Training tiles: a file of tiles as an archive, of which the headers alone tell what shows a block.

They are read once per file, however many sources name it: about two requests of 64 KiB for each tile. What cannot be
used is listed with the reason, where nobody knows the place of a tile for every block. Tiles have no date; all scenes
of a source get one (`date_of`). A block has at most `MAX_SCENES` tiles of a source, those that together show most of
it; `max_scenes` and `max_cloud_percent` are for acquisitions, of which these tiles are pieces.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import CRSError
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from core.config import SceneConfig, SourceConfig
from core.errors import ConfigError, PoisonError
from core.ingest.glavitu import TileFile, TileHeader, files_of, open_tiles
from core.search import web
from core.search.footprint import Grounds
from core.search.named import MARGIN_DEG
from core.search.seasons import season_windows
from core.sensors import Product
from core.tiles import MAX_SCENES, RejectedScene

NORTH_SEASON, SOUTH_SEASON = "08-01/09-30", "02-01/03-31"  # the end of melt
_LOOKS = 9  # tiles by which to tell whether a file was scaled
_NODES = 16  # along a side of a tile: its straight lines in another projection
_NAMED = 16  # tiles without a place that are named one by one
_WGS84 = 4326
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Placed:
    """A tile and its outline in lon/lat; a broken one has no header but a reason."""

    name: str
    outline: BaseGeometry
    header: TileHeader | None
    reason: str = ""


@dataclass(frozen=True)
class TileIndex:
    """What the headers of one file say. lost: tiles without a place, with the reason; scaled: why no tile can be used,
    empty if the numbers are physical. n_bytes: what reading them took."""

    path: str
    tiles: tuple[Placed, ...]
    lost: tuple[RejectedScene, ...]
    scaled: str
    n_bytes: int

    @cached_property
    def grounds(self) -> Grounds:
        return Grounds([tile.outline for tile in self.tiles])


def read_index(path: str, where: str) -> TileIndex:
    """The headers of a file and a few rows of elevations.

    where: of the configuration. Raises ConfigError if there is no such file or no tile in it, RefusedError and
    TransientError: half a file is none.
    """
    try:
        with open_tiles(path) as tiles:
            return _read_index(path, tiles, where)
    except PoisonError as error:
        raise ConfigError(
            f"{where} {web.address(path)}", found=error.found, expected="an HDF5 file of training tiles", fix=error.fix
        ) from error


def _read_index(path: str, tiles: TileFile, where: str) -> TileIndex:
    headers: dict[str, TileHeader] = {}
    broken: dict[str, str] = {}
    claims: dict[str, tuple[int, Bounds]] = {}
    for name in tiles.names():
        try:
            header = headers[name] = tiles.header(name)
            claims[name] = header.epsg, header.bounds
        except PoisonError as error:
            broken[name] = f"broken tile: {error.found}"
            claim = tiles.claimed(name)
            if claim is not None:
                claims[name] = claim
    if not headers:
        first = next(iter(broken.values()), "no group")
        raise ConfigError(f"{where} {web.address(path)}", found=f"no tile: {first}", expected="groups that are tiles")
    outlines = _outlines(claims)
    placed = [Placed(n, g, headers.get(n), broken.get(n, "")) for n, g in sorted(outlines.items())]
    lost = {n: broken.get(n) or f"its place cannot be told from EPSG:{headers[n].epsg}" for n in [*headers, *broken]}
    unplaced = [RejectedScene(n, lost[n]) for n in sorted(lost) if n not in outlines]
    if len(unplaced) > _NAMED:
        rest = f"{len(unplaced) - _NAMED} more tiles"
        unplaced[_NAMED:] = [RejectedScene(rest, f"as {unplaced[_NAMED].id}: {unplaced[_NAMED].reason}")]
    scaled = _scaled(tiles, list(headers.values()))
    return TileIndex(path, tuple(placed), tuple(unplaced), scaled, tiles.ranges.n_bytes)


def _scaled(tiles: TileFile, headers: Sequence[TileHeader]) -> str:
    """Why a file cannot be used. Only if every tile that is looked at says so: a calm sea is 0 to 1 m high too."""
    spans = []
    for header in headers[:: -(-len(headers) // _LOOKS)]:
        try:
            spans.append(tiles.heights(header))
        except PoisonError:  # said again, and for good, by whoever reads its pixels
            continue
    told = [(low, high) for low, high in spans if (low, high) != (0.0, 0.0)]
    if told and all(low >= 0.0 and high <= 1.0 for low, high in told):
        return f"scaled file: elevations and slopes of {len(told)} tiles lie in 0…1; metres and degrees are needed"
    return ""


def _outlines(claims: Mapping[str, tuple[int, Bounds]]) -> dict[str, BaseGeometry]:
    """Tile → outline in lon/lat, of those whose place can be told."""
    by_crs: dict[int, list[str]] = defaultdict(list)
    for name, (epsg, _) in claims.items():
        by_crs[epsg].append(name)
    out: dict[str, BaseGeometry] = {}
    for epsg, names in by_crs.items():
        corners = np.array([claims[name][1] for name in names])
        boxes: NDArray[np.object_] = np.asarray(shapely.box(*corners.T), dtype=object)
        if epsg != _WGS84:
            try:
                to_lonlat = Transformer.from_crs(epsg, _WGS84, always_xy=True)
            except CRSError:
                continue
            sides = np.maximum(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
            boxes = shapely.segmentize(boxes, sides / _NODES)
            x, y = to_lonlat.transform(*shapely.get_coordinates(boxes).T)
            boxes = shapely.set_coordinates(boxes, np.column_stack([x, y]))
        unsound = np.flatnonzero(~np.isfinite(shapely.bounds(boxes)).all(axis=-1))
        out |= {name: box for k, (name, box) in enumerate(zip(names, boxes, strict=True)) if k not in unsound}
    return out


def date_of(outline: BaseGeometry, source: SourceConfig, year: int) -> dt.date:
    """The date that a tile is given: the middle of a season of one year.

    The year is the last of the source's `years`, else the run's; the season the source's, else August and September
    north of the equator, February and March south of it. A matter of the tile alone, so that every block says the same.
    """
    season = source.season or (NORTH_SEASON if shapely.centroid(outline).y >= 0 else SOUTH_SEASON)
    first, last = season_windows("", max(source.years or [year]), season)
    return first + (last - first) // 2


class TrainingTiles:
    """The tiles of a file for one source. seams: neighbours share their rims, so tiles just beside a block count."""

    def __init__(self, index: TileIndex, product: Product, source: SourceConfig, year: int, *, seams: bool) -> None:
        self.index, self.product, self.source, self.year, self._seams = index, product, source, year, seams
        self._grounds = index.grounds  # made here, once, and not by several threads

    def scenes(self, footprints: NDArray[np.object_]) -> list[tuple[list[SceneConfig], list[RejectedScene]]]:
        """For each footprint of a block: (tiles to read, by name; the others with the reason)."""
        around = np.asarray(shapely.buffer(footprints, MARGIN_DEG), dtype=object) if self._seams else footprints
        met = self._grounds.meeting(around)
        return [self._of_block(numbers, outline) for numbers, outline in zip(met, around, strict=True)]

    def _of_block(
        self, numbers: NDArray[np.int64], outline: BaseGeometry
    ) -> tuple[list[SceneConfig], list[RejectedScene]]:
        rejected = list(self.index.lost)
        usable: list[Placed] = []
        for tile in (self.index.tiles[k] for k in numbers):
            reason = self._reason(tile)
            if reason:
                rejected.append(RejectedScene(self._id(tile), reason))
            else:
                usable.append(tile)
        if not len(numbers):
            rejected.append(RejectedScene(self.product.name, f"no tile in {web.address(self.index.path)}"))
        if len(usable) > MAX_SCENES:
            taken = _most_ground([tile.outline for tile in usable], outline)
            why = f"beyond the {MAX_SCENES} tiles that together show most of the block"
            rejected += [RejectedScene(self._id(t), why) for k, t in enumerate(usable) if k not in taken]
            usable = [tile for k, tile in enumerate(usable) if k in taken]
        return [self._scene(tile) for tile in usable], rejected

    def _reason(self, tile: Placed) -> str:
        if tile.header is None:
            return tile.reason
        if self.index.scaled:
            return self.index.scaled
        lacking = sorted({band.variable or "" for band in self.product.bands} - set(tile.header.arrays))
        return f"the tile has no array {lacking[0]!r}" if lacking else ""

    def _id(self, tile: Placed) -> str:
        return f"{tile.name}-{self.product.sensor}"

    def _scene(self, tile: Placed) -> SceneConfig:
        assert tile.header is not None
        return SceneConfig(
            id=self._id(tile),
            sensor=self.product.sensor,
            date=date_of(tile.outline, self.source, self.year),
            files=files_of(self.index.path, tile.header, self.product.sensor),
            product=self.product.name,
        )


def _most_ground(outlines: Sequence[BaseGeometry], block: BaseGeometry) -> set[int]:
    """The MAX_SCENES tiles that one after the other add most to what is shown of a block; ties go by name."""
    middles = shapely.centroid(np.array([block, *outlines], dtype=object))
    turns = 360.0 * np.round((shapely.get_x(middles)[0] - shapely.get_x(middles)[1:]) / 360.0)
    near = [translate(outline, turn) for outline, turn in zip(outlines, turns.tolist(), strict=True)]
    hidden = shapely.intersection(np.array(near, dtype=object), block)
    taken: list[int] = []
    for _ in range(MAX_SCENES):
        gain = shapely.area(hidden)
        gain[taken] = -1.0
        taken.append(int(np.argmax(gain)))
        hidden = shapely.difference(hidden, hidden[taken[-1]])
    return set(taken)
