"""The plan: every glacier is measured once, from pixels that are mapped, out of tiles that are ingested."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from made_glaciers import inventory, lon_lat

from core.config import Config
from core.errors import ConfigError
from core.grid import Block, Lattice, Zone
from core.mapping import near_outlines
from core.measure import glacier_window
from core.models import ModelSpec, Need
from core.plan import Plan, make_plan
from core.plan.plan import hilbert
from core.resample import source_window
from core.windows import WindowLattice, active_windows

DEM = Need("dem", ("elevation_m",))
ALIGNED = ModelSpec("aligned", (DEM,), WindowLattice(256, 256))
OVERLAPPING = ModelSpec("overlapping", (DEM,), WindowLattice(96, 32))


def config(**parts: dict[str, Any]) -> Config:
    parts = {"grid": {"res_m": 30, "buffer_m": 300.0}, "sensors": {"dem": {"res_m": 30}}, **parts}
    return Config.model_validate({"name": "t", "year": 2020, "inventory": ["outlines.gpkg"], **parts})


def square(lon: float, lat: float, half_m: float) -> shapely.Geometry:
    dy = half_m / 111_320
    dx = dy / np.cos(np.radians(lat))
    return shapely.box(lon - dx, lat - dy, lon + dx, lat + dy)


def scatter(n: int, seed: int = 0, lon: float = 12.0, lat: float = 46.0, spread: float = 0.5) -> list[shapely.Geometry]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(lon, spread, n), rng.normal(lat, spread / 2, n)
    return [square(a, b, h) for a, b, h in zip(x, y, np.exp(rng.normal(6, 0.8, n)), strict=True)]


def check(plan: Plan, settings_: Config, model: ModelSpec, regions: dict[str, str]) -> None:
    """Everything that must hold for any plan."""
    # Each glacier with an outline is in exactly one group, at home.
    grouped = [(g, i) for z in plan.zones for g, i in zip(z.group, z.glaciers["rgi_id"], strict=True) if g]
    assert sorted(i for _, i in grouped) == sorted(regions)
    assert all(bool(g) == h for z in plan.zones for g, h in zip(z.group, z.home, strict=True))
    # Groups never mix regions or zones, and say how large they are.
    groups = {g.name: g for g in plan.groups}
    assert len(groups) == len(plan.groups)
    assert {regions[i] for _, i in grouped} == {g.region for g in plan.groups}
    assert all(groups[g].region == regions[i] for g, i in grouped)
    blocks = {b.name: b for b in plan.blocks}
    assert len(blocks) == len(plan.blocks)
    for z in plan.zones:
        lattice = Lattice(z.zone, settings_.grid.res_m)
        names = set(z.group[z.home])
        assert {groups[n].zone for n in names} == {z.zone.name}
        active = {b.name for b in plan.blocks if b.block.zone == z.zone}
        windows = [glacier_window(g.bounds, lattice, settings_.advance_m) for g in z.outline_m]
        for name in names:
            rows = z.members(name)
            group = groups[name]
            assert group.n_glaciers == len(rows)
            assert group.pixels == sum(windows[r].size for r in rows)
            touched = {b.name for r in rows for b in lattice.blocks(windows[r])}
            assert set(group.blocks) >= touched & active
            assert set(group.blocks) <= active
            # Pixels of the members' windows that are near an outline lie in blocks of the group.
            for r in rows:
                for block in lattice.blocks(windows[r]):
                    part = lattice.block_window(block).intersect(windows[r])
                    if near_outlines(z.home_outlines, lattice, part, settings_.grid.buffer_m).any():
                        assert block.name in group.blocks
        for unit in (b for b in plan.blocks if b.block.zone == z.zone):
            core = lattice.block_window(unit.block)
            i, j = active_windows(z.home_outlines, lattice, model.windows, settings_.grid.buffer_m, within=core)
            assert unit.name in unit.halo
            assert len(i) <= unit.n_windows
            assert unit.n_glaciers > 0
            # Every block whose pixels the windows of this block read is in its halo.
            for need in model.needs:
                source = Lattice(z.zone, settings_.sensors[need.sensor].res_m)
                for a, b in zip(i.tolist(), j.tolist(), strict=True):
                    read = source_window(lattice, model.windows.window(a, b), source)
                    assert {x.name for x in source.blocks(read)} <= set(unit.halo)
    assert {b.name for b in plan.tile_blocks} == {h for b in plan.blocks for h in b.halo}


@pytest.mark.parametrize("model", [ALIGNED, OVERLAPPING], ids=lambda m: m.name)
@pytest.mark.parametrize("res_m", [30, 120])
def test_every_glacier_is_measured_once_from_pixels_that_are_mapped(model, res_m):
    shapes = scatter(60)
    regions = ["11" if shapely.centroid(s).y > 46 else "12" for s in shapes]
    glaciers = inventory(shapes, region=regions)
    settings_ = config(grid={"res_m": res_m, "buffer_m": 300.0}, plan={"group_glaciers": 7})
    plan = make_plan(glaciers, settings_, model)
    assert len(plan.zones) == 2
    check(plan, settings_, model, dict(zip(glaciers["rgi_id"], glaciers["o1region"], strict=True)))


@pytest.mark.parametrize(("dem_m", "res_m"), [(30, 10), (60, 30), (120, 20), (30, 20)])
def test_the_halo_holds_the_tiles_that_interpolation_looks_into(dem_m, res_m):
    """Of a coarse tile the outermost pixels are half a pixel from the next block, whose tile must be there first."""
    settings_ = config(grid={"res_m": res_m, "buffer_m": 300.0}, sensors={"dem": {"res_m": dem_m}})
    zone = Zone("utm32n")
    xmin, _, _, ymax = Block(zone, 160, 21).bounds_m
    in_a_corner = lon_lat(zone, shapely.box(xmin + 400, ymax - 2400, xmin + 1400, ymax - 400))
    glaciers = inventory(in_a_corner)
    plan = make_plan(glaciers, settings_, ALIGNED)
    assert len(plan.blocks) == 1
    assert len(plan.blocks[0].halo) == 4
    check(plan, settings_, ALIGNED, {glaciers["rgi_id"][0]: "11"})
    same = make_plan(
        glaciers, config(grid={"res_m": res_m, "buffer_m": 300.0}, sensors={"dem": {"res_m": 10}}), ALIGNED
    )
    assert same.blocks[0].halo == (plan.blocks[0].name,)


def test_windows_that_keep_to_their_block_are_counted_exactly():
    plan = make_plan(inventory(scatter(40)), config(), ALIGNED)
    for z in plan.zones:
        lattice = Lattice(z.zone, 30)
        for unit in (b for b in plan.blocks if b.block.zone == z.zone):
            i, _ = active_windows(
                z.home_outlines, lattice, ALIGNED.windows, 300.0, within=lattice.block_window(unit.block)
            )
            assert len(i) == unit.n_windows


@settings(max_examples=25)
@given(
    st.integers(1, 25),
    st.integers(0, 999),
    st.sampled_from([(12.0, 46.0), (180.0, 66.0), (-78.0, 0.0), (30.0, 84.0), (180.0, -85.0)]),
    st.sampled_from([60, 120]),
    st.sampled_from([0.0, 60.0, 240.0]),
)
def test_any_scatter_of_glaciers_keeps_the_promises_of_a_plan(n, seed, place, res_m, advance_m):
    glaciers = inventory(scatter(n, seed, *place, spread=0.2))
    settings_ = config(
        grid={"res_m": res_m, "buffer_m": 240.0}, measure={"advance_m": advance_m}, plan={"group_glaciers": 4}
    )
    plan = make_plan(glaciers, settings_, OVERLAPPING)
    check(plan, settings_, OVERLAPPING, dict.fromkeys(glaciers["rgi_id"], "11"))


def test_every_pixel_within_the_buffer_lies_in_an_active_block():
    glaciers = inventory(scatter(15, 4, spread=0.3))
    plan = make_plan(glaciers, config(grid={"res_m": 120, "buffer_m": 900.0}), ALIGNED)
    active = {b.name for b in plan.blocks}
    for z in plan.zones:
        lattice = Lattice(z.zone, 120)
        everywhere = lattice.cover(tuple(shapely.total_bounds(z.home_outlines))).pad(20)
        for block in lattice.blocks(everywhere):
            near = near_outlines(z.home_outlines, lattice, lattice.block_window(block), 900.0)
            assert block.name in active or not near.any()


def test_a_big_glacier_is_alone():
    shapes = [*scatter(20, spread=0.05), square(12.4, 46.0, 20_000)]
    ids = [f"g{k:02d}" for k in range(21)]
    plan = make_plan(inventory(shapes, ids=ids), config(plan={"group_mpx": 1.0}), ALIGNED)
    group = next(g for z in plan.zones for g, i in zip(z.group, z.glaciers["rgi_id"], strict=True) if i == "g20" and g)
    assert next(g for g in plan.groups if g.name == group).n_glaciers == 1
    assert all(g.pixels <= 1e6 or g.n_glaciers == 1 for g in plan.groups)


def test_groups_are_full_but_not_overfull():
    plan = make_plan(inventory(scatter(50, lon=9.0, spread=0.1)), config(plan={"group_glaciers": 8}), ALIGNED)
    sizes = [g.n_glaciers for g in plan.groups]
    assert max(sizes) == 8
    assert sum(sizes) == 50
    assert sum(s < 8 for s in sizes) == 1


def test_members_of_a_group_are_neighbours():
    shapes = scatter(200, lon=9.0, spread=0.3)
    glaciers = inventory(shapes)
    plan = make_plan(glaciers, config(plan={"group_glaciers": 10}), ALIGNED)
    (z,) = plan.zones
    xy = np.array([[g.centroid.x, g.centroid.y] for g in z.outline_m])
    within = np.mean([np.ptp(xy[z.members(g.name)], axis=0).mean() for g in plan.groups])
    assert within < 0.5 * np.ptp(xy, axis=0).mean()


def test_planning_again_gives_the_same_plan_in_any_order_of_the_files():
    shapes = scatter(40)
    ids = [f"g{k:03d}" for k in np.random.default_rng(1).permutation(40)]
    order = np.random.default_rng(2).permutation(40)
    one = make_plan(inventory(shapes, ids=ids), config(), ALIGNED)
    other = make_plan(inventory([shapes[k] for k in order], ids=[ids[k] for k in order]), config(), ALIGNED)
    assert (one.blocks, one.groups) == (other.blocks, other.groups)
    for a, b in zip(one.zones, other.zones, strict=True):
        assert a.glaciers["rgi_id"].tolist() == b.glaciers["rgi_id"].tolist()
        assert a.group.tolist() == b.group.tolist()


def test_a_block_belongs_to_the_region_of_most_of_its_glaciers():
    shapes = [square(9.0 + 0.002 * k, 46.0, 60) for k in range(5)]
    plan = make_plan(inventory(shapes, region=["12", "11", "12", "11", "12"]), config(), ALIGNED)
    assert {b.region for b in plan.blocks} == {"12"}
    tie = make_plan(inventory(shapes[:4], region=["12", "11", "12", "11"]), config(), ALIGNED)
    assert {b.region for b in tie.blocks} == {"11"}
    assert {g.region for g in tie.groups} == {"11", "12"}


def test_a_block_is_active_up_to_the_buffer_and_not_beyond():
    zone, lattice = Zone("utm32n"), Lattice(Zone("utm32n"), 30)
    block = Block(zone, 160, 21)
    _, ymin, xmax, _ = block.bounds_m
    for gap, expected in ((200.0, 2), (400.0, 1)):
        box = shapely.box(xmax - gap - 900, ymin + 9000, xmax - gap, ymin + 9900)
        plan = make_plan(inventory(lon_lat(zone, box)), config(), ALIGNED)
        assert len(plan.blocks) == expected
        assert lattice.block_window(plan.blocks[0].block) == lattice.block_window(block)


def test_polar_and_antimeridian_glaciers_are_planned():
    shapes = [
        square(180.0, 66.0, 2000),
        square(180.0, 86.0, 2000),
        square(-179.99, -78.0, 900),
        square(0.0, -84.0, 900),
    ]
    glaciers = inventory(shapes)
    plan = make_plan(glaciers, config(), OVERLAPPING)
    assert {z.zone.name for z in plan.zones} == set(glaciers["zone"])
    assert sum(g.n_glaciers for g in plan.groups) == 4
    check(plan, config(), OVERLAPPING, dict.fromkeys(glaciers["rgi_id"], "11"))


def test_without_a_usable_outline_there_is_no_plan():
    with pytest.raises(ConfigError, match="usable outline"):
        make_plan(inventory([None, None], problem=["null geometry", "empty geometry"]), config(), ALIGNED)


def test_a_glacier_without_an_outline_is_in_no_group():
    shapes = [*scatter(5, lon=9.0), None]
    plan = make_plan(inventory(shapes, problem=[None] * 5 + ["null geometry"]), config(), ALIGNED)
    assert sum(g.n_glaciers for g in plan.groups) == 5


def test_ice_may_not_advance_beyond_what_is_mapped():
    with pytest.raises(ConfigError, match="buffer_m"):
        make_plan(inventory(scatter(3)), config(measure={"advance_m": 301.0}), ALIGNED)


def test_the_hilbert_curve_passes_near_points_one_after_the_other():
    lon, lat = (v.ravel() for v in np.meshgrid(np.arange(8.0, 9.0, 0.1), np.arange(46.0, 47.0, 0.1)))
    order = np.argsort(hilbert(lon, lat))
    steps = np.hypot(np.diff(lon[order]), np.diff(lat[order]))
    assert np.median(steps) < 0.15
    assert len(set(hilbert(lon, lat).tolist())) == len(lon)


def test_windows_of_neighbouring_blocks_reach_into_each_other():
    plan = make_plan(inventory(scatter(30, spread=0.2)), config(grid={"res_m": 120, "buffer_m": 300.0}), OVERLAPPING)
    halo = {b.name: set(b.halo) for b in plan.blocks}
    for a, b in itertools.combinations(halo, 2):
        assert (b in halo[a]) == (a in halo[b])
