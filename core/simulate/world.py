"""Builds the SIMULATED demo world: mountains, glaciers that retreat, two clouded scenes of each site, and the truth.

Deterministic: the same seed and sites give the same arrays and tables, byte for byte. Needs no network and
about half a minute; holds everything a first run of the whole system needs. Shows no real place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from core.grid import Zone
from core.simulate.cloud import Sky, make_sky
from core.simulate.files import write_config, write_dem, write_scene, write_tables
from core.simulate.glacier import grow_ice
from core.simulate.noise import stream
from core.simulate.optical import render
from core.simulate.outline import Outlines, draw_outlines
from core.simulate.site import SITES, Site
from core.simulate.special import (
    add_tiny_glacier,
    glacier_to_hide,
    half_of_a_large_glacier,
    move,
    observed_share,
    shift_onto_antimeridian,
)
from core.simulate.sun import illumination, sun_over
from core.simulate.surface import Ground, burn, cover, survey_ground
from core.simulate.tables import SiteTables, join_tables, site_tables
from core.simulate.terrain import build_terrain

Progress = Callable[[str, float], None]
_OFF_LATTICE_M = (13.7, 21.3)  # scenes must not share pixel corners with the lattice


@dataclass(frozen=True)
class World:
    """Where the world lies: the configuration to run, the truth to compare with, and what is in it."""

    config: Path
    truth: Path
    n_glaciers: int
    sites: tuple[str, ...]


@dataclass(frozen=True)
class _Placed:
    """A site with its glaciers at their place on Earth. special: number of a glacier → why it is there."""

    site: Site
    zone: Zone
    transform: Affine
    outlines: Outlines
    ground: Ground
    special: dict[int, str]


def build_world(out: Path, seed: int = 7, progress: Progress | None = None, sites: Sequence[Site] = SITES) -> World:
    """Write outlines.gpkg, truth.parquet, scenes/, dem/ and demo.yaml under `out`.

    progress is called with (what is being done, share done 0–1). Files of the same name are replaced.
    """
    out.mkdir(parents=True, exist_ok=True)
    say = progress or (lambda _text, _share: None)
    tables: list[SiteTables] = []
    scenes: list[dict[str, Any]] = []
    for i, site in enumerate(sites):
        say(f"simulated site {site.title}: mountains and ice", i / len(sites))
        placed = _place(site, seed)
        say(f"simulated site {site.title}: scenes", (i + 0.7) / len(sites))
        skies, entries = _photograph(placed, seed, out)
        scenes += entries
        tables.append(_tabulate(placed, skies))
    joined = join_tables(tables)
    outlines, truth = write_tables(out, joined)
    config = out / "demo.yaml"
    write_config(config, outlines.name, scenes)
    say("simulated world written", 1.0)
    return World(config, truth, len(joined.inventory), tuple(s.name for s in sites))


def _place(site: Site, seed: int) -> _Placed:
    """Terrain, ice and outlines of a site, moved to where its special glaciers want it."""
    terrain = build_terrain(site, seed)
    ice = grow_ice(terrain, site, seed)
    zone = Zone(site.zone)
    x, y = (float(v[0]) for v in zone.project_points(np.array([site.lon]), np.array([site.lat])))
    half = site.px * site.pixel_m / 2.0
    left = np.floor((x - half) / 60.0) * 60.0 + _OFF_LATTICE_M[0]
    top = np.floor((y + half) / 60.0) * 60.0 + _OFF_LATTICE_M[1]
    transform = Affine(site.pixel_m, 0.0, left, 0.0, -site.pixel_m, top)
    outlines = draw_outlines(ice, terrain, transform, site.smallest_km2)
    special: dict[int, str] = {}
    if site.on_antimeridian:
        east_m = shift_onto_antimeridian(outlines, zone)
        outlines, left = move(outlines, east_m), left + east_m
        transform = Affine(site.pixel_m, 0.0, left, 0.0, -site.pixel_m, top)
        special[0] = "antimeridian"
    if site.sea:
        special[0] = "larger_than_a_block"
    if site.adds_a_tiny_glacier:
        outlines = add_tiny_glacier(outlines, ice, (left, top), site, stream(seed, site.name, "tiny"))
        special[len(outlines.then) - 1] = "smaller_than_a_pixel"
    return _Placed(
        site, zone, transform, outlines, survey_ground(site, seed, terrain, ice, outlines, transform), special
    )


def _photograph(placed: _Placed, seed: int, out: Path) -> tuple[list[Sky], list[dict[str, Any]]]:
    """Render and write the scenes and the elevation model; notes the hidden glaciers in `placed.special`."""
    site, zone, ground = placed.site, placed.zone, placed.ground
    shape = ground.surface.shape
    hidden = glacier_to_hide(placed.outlines) if site.hides_a_glacier else None
    always = placed.outlines.then[hidden] if hidden is not None else shapely.Polygon()
    first_only, half = half_of_a_large_glacier(placed.outlines, None if hidden is None else always)
    placed.special.setdefault(first_only, "partly_cloudy")
    skies: list[Sky] = []
    entries: list[dict[str, Any]] = []
    for k, acquisition in enumerate(site.scenes):
        sun = sun_over(zone, site.lon, site.lat, acquisition.date)
        over = _under([always, half] if k == 0 else [always], shape, placed.transform)
        clear = np.any([s.invalid for s in skies], axis=0) if skies else np.zeros(shape, dtype=bool)
        rng = stream(seed, site.name, "sky", acquisition.date.isoformat())
        sky = make_sky(shape, site.pixel_m, sun, acquisition.cloud, rng, over, clear, acquisition.swath_edge)
        light = illumination(ground.surface, site.pixel_m, sun)
        stored = render(cover(ground, site, seed, acquisition), ground.texture, light, sky, rng)
        entries.append(write_scene(out, site, acquisition, zone, placed.transform, stored, sky.mask))
        skies.append(sky)
    entries.append(write_dem(out, site, zone, placed.transform, ground.surface))
    return skies, entries


def _under(shapes: list[shapely.Geometry], shape: tuple[int, int], transform: Affine) -> NDArray[np.bool_]:
    burnt = burn(np.array(shapes, dtype=object), np.ones(len(shapes), dtype=np.uint8), shape, transform)
    return np.asarray(burnt > 0)


def _tabulate(placed: _Placed, skies: list[Sky]) -> SiteTables:
    shape, n = placed.ground.surface.shape, len(placed.outlines.then)
    number = burn(placed.outlines.then, np.arange(1, n + 1, dtype=np.int32), shape, placed.transform)
    seen = np.any([~sky.invalid for sky in skies], axis=0)
    observed = observed_share(number, seen, n)
    # A cloud big enough to hide one glacier may swallow a small neighbour too.
    special = ["hidden" if observed[i] == 0.0 else placed.special.get(i, "") for i in range(n)]
    return site_tables(
        placed.site,
        placed.outlines,
        placed.zone,
        placed.ground.surface,
        placed.ground.debris,
        placed.transform,
        observed,
        special,
    )
