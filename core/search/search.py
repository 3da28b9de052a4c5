"""Search: for every block the scenes that a sensor's sources list in the season of its region, and why others not.

Blocks that lie together are asked for together (`CELL` × `CELL`, two requests where they cross 180°), because they
share most scenes; each scene is then tested against each block. 16 cells at a time; what comes out depends neither on
the order of answers nor on that of a catalogue. Nothing that a catalogue lists on a block is left out silently.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from shapely.geometry.base import BaseGeometry

from core.config import Config, SceneConfig, SourceConfig
from core.errors import ConfigError
from core.grid import Block
from core.ingest.recipe import composite_of
from core.search.duplicates import Listed, drop_duplicates
from core.search.footprint import block_footprints, block_points, box_geometry, meeting, request_boxes
from core.search.item import item_boxes, item_geometry
from core.search.named import TileArchive, cells_of
from core.search.resolve import Found, Unusable, resolve_item
from core.search.seasons import season_windows
from core.search.stac import Catalog, open_catalog
from core.search.store import BlockScenes, load, save
from core.search.training import TileIndex, TrainingTiles, read_index
from core.sensors import Product
from core.sensors import sensor as registered
from core.sensors.products import product as registered_product
from core.sensors.products.glavitu import TRAINING_TILES
from core.tiles import MAX_SCENES, RejectedScene

__all__ = ["BlockScenes", "load", "save", "search"]

CELL = 4  # blocks: 123 km, about a scene; then the pages of neighbouring requests repeat little
THREADS = 16
Window = tuple[dt.date | None, dt.date | None]
Progress = Callable[[int, int], None]
_Ranked = tuple[int, SceneConfig]  # with the number of its source


@dataclass(frozen=True)
class _Source:
    """A source with what it is asked of: a catalogue's collection, an archive of tiles by name, or a file of tiles."""

    number: int
    config: SourceConfig
    product: Product
    where: str
    catalog: Catalog | None = None
    collection: str | None = None
    archive: TileArchive | None = None
    training: TrainingTiles | None = None


@dataclass(frozen=True)
class _Group:
    """Blocks of one cell and region, and their outlines in lon/lat."""

    region: str
    blocks: tuple[Block, ...]
    footprints: np.ndarray[tuple[int], np.dtype[np.object_]]


def search(
    config: Config, sensors: Collection[str], blocks: Mapping[Block, str], progress: Progress | None = None
) -> dict[str, dict[Block, BlockScenes]]:
    """Sensor → block → scenes, for each of `sensors` that a source of the configuration offers.

    blocks: with their RGI region. progress: called with (done, all) blocks times sensors. Raises ConfigError for a
    source that cannot be asked, and what the catalogues raise: half an answer is none.
    """
    sources = _open_sources(config, sensors)
    groups = _groups(blocks)
    offered = sorted(sources)
    found: dict[str, dict[Block, BlockScenes]] = {name: {} for name in offered}
    share = _Share()
    done, total = 0, len(offered) * len(blocks)
    for name in offered:
        for archive in (s.archive for s in sources[name] if s.archive is not None):
            archive.look(cell for group in groups for outline in group.footprints for cell in cells_of(outline))
    with ThreadPoolExecutor(THREADS) as pool:
        tasks = {pool.submit(_search_group, config, g, sources[n]): (n, g) for n in offered for g in groups}
        try:
            for task in as_completed(tasks):
                sensor, group = tasks.pop(task)
                found[sensor] |= {b: share.shared(s) for b, s in zip(group.blocks, task.result(), strict=True)}
                done += len(group.blocks)
                if progress is not None:
                    progress(done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: {block: found[name][block] for block in sorted(blocks)} for name in offered}


def _open_sources(config: Config, sensors: Collection[str]) -> dict[str, list[_Source]]:
    """Sensor → its sources, opened: a mistyped collection fails here and not after an hour."""
    opened: dict[str, Catalog] = {}
    indices: dict[str, TileIndex] = {}
    sources: dict[str, list[_Source]] = defaultdict(list)
    for number, source in enumerate(config.sources):
        product = registered_product(source.product)
        if product.sensor not in sensors:
            continue
        where = source.catalog or product.catalog
        if not where:
            raise ConfigError(f"sources.{number}.catalog", found="none", fix=f"{product.name} has no public catalogue")
        if product.tiling == TRAINING_TILES:
            if where not in indices:
                indices[where] = read_index(where, f"sources.{number}.catalog")
            training = _training(config, indices[where], product, source)
            sources[product.sensor].append(_Source(number, source, product, where, training=training))
            continue
        # A collection says that `catalog` is STAC; without one a product that knows its names is found by them.
        if product.tiling and source.collection is None:
            archive = TileArchive(product, where, source.season)
            sources[product.sensor].append(_Source(number, source, product, where, archive=archive))
            continue
        if where not in opened:
            opened[where] = open_catalog(where)
        catalog = opened[where]
        collection = source.collection or _collection(product, catalog, where)
        catalog.check_collection(collection)
        sources[product.sensor].append(_Source(number, source, product, where, catalog, collection))
    return dict(sources)


def _training(config: Config, index: TileIndex, product: Product, source: SourceConfig) -> TrainingTiles:
    seams = composite_of(config, product.sensor) == "mosaic" or bool(registered(product.sensor).slope)
    return TrainingTiles(index, product, source, config.year, seams=seams)


def _collection(product: Product, catalog: Catalog, where: str) -> str | None:
    """The product's collection in that catalogue, by its host."""
    host = urlsplit(where).hostname or ""
    named = [(suffix, collection) for suffix, collection in product.collections if host.endswith(suffix)]
    collection = max(named, key=lambda pair: len(pair[0]))[1] if named else None
    return catalog.default_collection(collection)


def _groups(blocks: Mapping[Block, str]) -> list[_Group]:
    cells: dict[tuple[str, int, int, str], list[Block]] = defaultdict(list)
    for block in sorted(blocks):
        cells[block.zone.name, block.row // CELL, block.col // CELL, blocks[block]].append(block)
    return [_Group(key[3], tuple(own), block_footprints(own)) for key, own in sorted(cells.items())]


def _search_group(config: Config, group: _Group, sources: Sequence[_Source]) -> list[BlockScenes]:
    """The answer of every source for every block of the group, in order of its blocks."""
    listed: list[list[Listed]] = [[] for _ in group.blocks]
    rejected: list[list[RejectedScene]] = [[] for _ in group.blocks]
    named: list[list[_Ranked]] = [[] for _ in group.blocks]
    for source in sources:
        if source.archive is not None:
            for k, outline in enumerate(group.footprints):
                tiles, absent = source.archive.scenes(cells_of(outline))
                named[k] += [(source.number, tile) for tile in tiles]
                rejected[k] += absent
        if source.training is not None:
            for k, (tiles, unusable) in enumerate(source.training.scenes(group.footprints)):
                named[k] += [(source.number, tile) for tile in tiles]
                rejected[k] += unusable
        if source.catalog is None:
            continue
        windows = _windows(config, source, group.region)
        answers, grounds = _ask(source, source.catalog, windows, group)
        for k, numbers in enumerate(meeting(grounds, group.footprints)):
            met = [answers[i] for i in numbers]
            listed[k] += [Listed(a, source.number) for a in met if isinstance(a, Found)]
            rejected[k] += [RejectedScene(a.id, a.reason) for a in met if isinstance(a, Unusable)]
            if not met:
                rejected[k].append(RejectedScene(source.product.name, _nothing(source, windows)))
    out = []
    for k in range(len(group.blocks)):
        chosen, left = _choose(listed[k], {s.number: s for s in sources}, group.blocks[k])
        ranked = [*named[k], *chosen]
        if any(registered(s.product.sensor).static for s in sources):  # the order of the sources is all there is
            ranked.sort(key=lambda pair: pair[0])
        unique: dict[str, SceneConfig] = {}
        for _, scene in ranked:
            unique.setdefault(scene.id, scene)
        scenes = list(unique.values())
        left += [RejectedScene(s.id, f"beyond the {MAX_SCENES} that a tile can name") for s in scenes[MAX_SCENES:]]
        reasons = sorted({*rejected[k], *left}, key=lambda r: (r.id, r.reason))
        out.append(BlockScenes(tuple(scenes[:MAX_SCENES]), tuple(reasons)))
    return out


def _ask(
    source: _Source, catalog: Catalog, windows: Sequence[Window], group: _Group
) -> tuple[list[Found | Unusable], list[BaseGeometry]]:
    """(each item once, as a scene or why not; the ground of each). An item of which nobody knows where it lies is
    left out: it cannot be said to show the block."""
    answers: dict[tuple[str, str], Found | Unusable] = {}
    grounds: dict[tuple[str, str], BaseGeometry] = {}
    for start, end in windows:
        for box in request_boxes(group.footprints):
            for item in catalog.items(source.collection, box, start, end):
                key = (str(item.get("collection")), str(item.get("id")))
                if key in answers:
                    continue
                answer = resolve_item(item, source.product, source.config, catalog.url)
                ground = _ground(answer, item)
                if ground is not None:
                    answers[key], grounds[key] = answer, ground
    return list(answers.values()), list(grounds.values())


def _ground(answer: Found | Unusable, item: Mapping[str, Any]) -> BaseGeometry | None:
    if isinstance(answer, Found):
        return box_geometry(answer.bounds) if answer.footprint is None else answer.footprint
    boxes = item_boxes(item)
    return item_geometry(item) or (box_geometry(*boxes) if boxes else None)


def _windows(config: Config, source: _Source, region: str) -> list[Window]:
    """The seasons to ask for; all time for what does not change, unless the source names years or a season."""
    wanted = source.config
    if registered(source.product.sensor).static and wanted.years is None and wanted.season is None:
        return [(None, None)]
    return [season_windows(region, year, wanted.season) for year in sorted(set(wanted.years or [config.year]))]


def _choose(
    listed: Sequence[Listed], sources: Mapping[int, _Source], block: Block
) -> tuple[list[_Ranked], list[RejectedScene]]:
    """(the scenes of a block, preferred first, each with the number of its source; the others with the reason)."""
    kept, rejected = drop_duplicates(listed)
    by_source: dict[int, list[Listed]] = defaultdict(list)
    for one in kept:
        scene, most = one.found.scene, sources[one.source].config.max_cloud_percent
        if scene.cloud_percent is not None and scene.cloud_percent > most:
            reason = f"cloud {scene.cloud_percent:.3g} % of the scene, at most {most:.3g} % wanted"
            rejected.append(RejectedScene(scene.id, reason))
        else:
            by_source[one.source].append(one)
    chosen: list[Listed] = []
    for number, own in by_source.items():
        own.sort(key=_preference)
        count = sources[number].config.max_scenes
        order = _spread(own, block) if len(own) > count else range(len(own))
        chosen += [own[k] for k in order[:count]]
        rejected += [RejectedScene(own[k].found.scene.id, f"beyond the {count} least cloudy") for k in order[count:]]
    return [(one.source, one.found.scene) for one in sorted(chosen, key=_preference)], rejected


def _spread(own: Sequence[Listed], block: Block) -> Sequence[int]:
    """Order in which to take scenes, preferred first, but so that no part of the block goes short of them.

    A scene's turn is how many before it already show the part of the block that has least: where a block lies on four
    tiles, the clear ones of one tile would otherwise take every place.
    """
    shows = np.array([np.isin(np.arange(len(own)), k) for k in meeting([o.ground for o in own], block_points(block))]).T
    seen, turns = np.zeros(shows.shape[1], dtype=np.int64), []
    for part in shows:
        turns.append(seen[part].min() if part.any() else len(own))
        seen += part
    return sorted(range(len(own)), key=lambda k: (turns[k], k))


def _preference(one: Listed) -> tuple[float, float, str]:
    """Least cloudy first, the unknown last; then the newest; then by name."""
    cloud = one.found.scene.cloud_percent
    return np.inf if cloud is None else cloud, -one.found.acquired.timestamp(), one.found.scene.id


def _nothing(source: _Source, windows: Sequence[Window]) -> str:
    spans = " and ".join(f"from {start} to {end}" for start, end in windows if start is not None)
    what = f"{source.collection} of {source.where}" if source.collection else source.where
    return f"no scene in {what}" + (f" {spans}" if spans else "")


class _Share:
    """Equal scenes and reasons as one object: neighbouring blocks share most, and there are thousands of blocks."""

    def __init__(self) -> None:
        self._scenes: dict[tuple[str, str], SceneConfig] = {}
        self._rejected: dict[RejectedScene, RejectedScene] = {}

    def shared(self, own: BlockScenes) -> BlockScenes:
        scenes = [self._scenes.setdefault((s.sensor, s.id), s) for s in own.scenes]
        same = tuple(s if s == t else t for s, t in zip(scenes, own.scenes, strict=True))
        return BlockScenes(same, tuple(self._rejected.setdefault(r, r) for r in own.rejected))
