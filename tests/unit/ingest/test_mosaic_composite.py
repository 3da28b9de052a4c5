"""Mosaics: pieces of one raster come out as the raster would have, up to and across their seams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.grid import Block, Zone
from core.ingest import ingest_block
from core.tiles import TileStore
from tests.made_scenes import BLOCK, LATTICE, WINDOW, config, grid_in, ingested, linear_fields, raster, scene, stored

ROUGH = np.random.default_rng(11)


def rough(rows: int, cols: int) -> np.ndarray:
    """Heights with relief at every scale down to the pixel."""
    y, x = np.mgrid[:rows, :cols]
    return (2000 + 300 * np.sin(x / 17) * np.cos(y / 23) + ROUGH.normal(0, 20, (rows, cols))).astype(np.float32)


def cut(folder: Path, heights: np.ndarray, transform: Affine, crs: str, rows: list[int], cols: list[int]) -> list[dict]:
    """Scenes of the pieces between the cuts."""
    out = []
    edges = [0, *rows, heights.shape[0]], [0, *cols, heights.shape[1]]
    for r0, r1 in zip(edges[0], edges[0][1:], strict=False):
        for c0, c1 in zip(edges[1], edges[1][1:], strict=False):
            name = f"{r0}-{c0}"
            here = transform @ Affine.translation(c0, r0)
            path = raster(folder / f"{name}.tif", heights[r0:r1, c0:c1], here, crs, nodata=-9999.0)
            out.append(scene(path, {"elevation_m": 1}, name, "dem"))
    return out


def dem(*scenes: dict, res_m: int = 120):
    return config(*scenes, res_m=res_m)


@pytest.mark.parametrize("pixel_m", [96.0, 37.0], ids=["bilinear", "average"])
@pytest.mark.parametrize("crs", ["EPSG:32645", "EPSG:32644", "EPSG:4326"])
@pytest.mark.parametrize("holes", [False, True], ids=["whole", "with-holes"])
def test_pieces_are_the_whole(holes, crs, pixel_m, tmp_path):
    res = (pixel_m / 98_000, pixel_m / 111_000) if crs == "EPSG:4326" else pixel_m
    transform, rows, cols = grid_in(crs, res, BLOCK.zone, BLOCK.bounds_m)
    heights = rough(rows, cols)
    if holes:
        heights[rows // 2 - 9 : rows // 2 + 7, cols // 3 : cols // 2 + 20] = -9999  # across the cuts
        heights[ROUGH.random((rows, cols)) < 0.01] = -9999
    path = raster(tmp_path / "whole.tif", heights, transform, crs, nodata=-9999.0)
    whole = ingested(
        TileStore("memory://" + tmp_path.name + "/w"), dem(scene(path, {"elevation_m": 1}, "w", "dem")), "dem"
    )
    scenes = cut(tmp_path, heights, transform, crs, [rows // 2], [cols // 2, cols // 2 + 31])
    pieces = ingested(TileStore("memory://" + tmp_path.name + "/p"), dem(*scenes), "dem")
    assert (whole.observed == pieces.observed).mean() > 0.9999  # half of the weight is a matter of rounding
    both = whole.observed & pieces.observed
    assert np.abs(whole.values - pieces.values)[0][both].max() < 2e-3  # of 2,500 m in float32
    assert np.abs(whole.values - pieces.values)[1][both].max() < 0.05
    assert whole.observed.mean() > (0.9 if holes else 0.999)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(row=st.integers(20, 280), cols=st.lists(st.integers(20, 300), max_size=3, unique=True), seed=st.integers(0, 99))
def test_wherever_a_raster_is_cut(row, cols, seed, tmp_path):
    transform, n_rows, n_cols = grid_in("EPSG:32644", 110.0, BLOCK.zone, BLOCK.bounds_m)
    heights = rough(n_rows, n_cols)
    scenes = cut(tmp_path, heights, transform, "EPSG:32644", [row], sorted(cols))
    order = np.random.default_rng(seed).permutation(len(scenes))
    path = raster(tmp_path / "whole.tif", heights, transform, "EPSG:32644", nodata=-9999.0)
    name = f"memory://{tmp_path.name}-{row}-{'-'.join(map(str, cols))}-{seed}"
    whole = ingested(TileStore(f"{name}/w"), dem(scene(path, {"elevation_m": 1}, "w", "dem")), "dem")
    pieces = ingested(TileStore(f"{name}/p"), dem(*(scenes[k] for k in order)), "dem")
    assert pieces.observed.all()
    assert np.abs(whole.values[0] - pieces.values[0]).max() < 2e-3


def test_where_pieces_overlap_the_first_gives_the_pixel_and_nothing_is_mixed(store, tmp_path):
    transform, rows, cols = grid_in("EPSG:32645", 100.0, BLOCK.zone, BLOCK.bounds_m)
    heights = np.full((rows, cols), 1000.0, np.float32)
    left = raster(tmp_path / "l.tif", heights[:, : cols // 2 + 50], transform)
    right = raster(
        tmp_path / "r.tif", heights[:, cols // 2 - 50 :] + 10, transform @ Affine.translation(cols // 2 - 50, 0)
    )
    made = dem(scene(left, {"elevation_m": 1}, "l", "dem"), scene(right, {"elevation_m": 1}, "r", "dem"))
    read = ingested(store, made, "dem")
    middle = read.values[0][:, 110:146]
    assert read.observed.all()
    assert set(np.unique(read.values[0][:, :80])) == {1000.0} and set(np.unique(read.values[0][:, 180:])) == {1010.0}
    assert set(np.unique(middle)) == {1000.0}  # the rims of both, a pixel wide, included


def test_the_scene_of_a_pixel_is_the_piece_of_most_weight(store, tmp_path):
    transform = LATTICE.transform(WINDOW) @ Affine.translation(-4, -4)
    heights = np.full((264, 264), 7.0, np.float32)
    # The seam lies 0.3 pixels to the right of a border of the lattice: that pixel has more of the right piece.
    shifted = transform @ Affine.translation(0.3, 0)
    a = raster(tmp_path / "a.tif", heights[:, :104], shifted)
    b = raster(tmp_path / "b.tif", heights[:, 104:], shifted @ Affine.translation(104, 0))
    read = ingested(
        store, dem(scene(a, {"elevation_m": 1}, "a", "dem"), scene(b, {"elevation_m": 1}, "b", "dem")), "dem"
    )
    names = np.array([s.id for s in read.scenes])[read.scene]
    assert (names[:, :100] == "a").all() and (names[:, 100:] == "b").all()


def test_a_seam_at_the_antimeridian_is_no_seam(store, tmp_path):
    block = Block(Zone("utm01n"), 93, 11)
    transform, rows, cols = grid_in("EPSG:4326", (100 / 47_000, 100 / 111_000), block.zone, block.bounds_m)
    at = round((180 - transform.c) / transform.a)
    transform = Affine(transform.a, 0, 180 - at * transform.a, 0, transform.e, transform.f)
    heights = linear_fields(transform, rows, cols, "EPSG:4326", block)[0] * 100
    east = Affine.translation(-360, 0) @ transform @ Affine.translation(at, 0)
    assert abs(east.c + 180) < 1e-9
    scenes = [
        scene(raster(tmp_path / "w.tif", heights[:, :at], transform, "EPSG:4326"), {"elevation_m": 1}, "w", "dem"),
        scene(raster(tmp_path / "e.tif", heights[:, at:], east, "EPSG:4326"), {"elevation_m": 1}, "e", "dem"),
    ]
    read = ingested(store, dem(*scenes), "dem", block)
    assert read.observed.all()
    assert np.abs(read.values[0] - (np.arange(256) + 0.5)).max() < 0.05
    assert {s.id for s in read.scenes} == {"w", "e"}


@pytest.mark.parametrize("linear", [False, True], ids=["decibel", "power"])
def test_backscatter_is_shared_as_power(linear, store, tmp_path):
    # A seam through the middle of a column of pixels: half of each piece.
    transform = LATTICE.transform(WINDOW) @ Affine.translation(-4.5, -4)
    shape, bands = (2, 264, 132), {"vv_db": 1, "vh_db": 2}
    low, high = (0.01, 0.1) if linear else (-20.0, -10.0)
    scenes = [
        scene(
            raster(tmp_path / f"{k}.tif", np.full(shape, v, np.float32), transform @ Affine.translation(at, 0)),
            bands,
            k,
            "sar_gamma0",
            linear_power=linear,
        )
        for k, v, at in (("low", low, 0), ("high", high, 132))
    ]
    read = ingested(store, config(*scenes, composite="mosaic"), "sar_gamma0")
    np.testing.assert_allclose(read.values[:, :, :127], -20, atol=0.0051)
    np.testing.assert_allclose(read.values[:, :, 127], 10 * np.log10(0.055), atol=0.0051)
    np.testing.assert_allclose(read.values[:, :, 128:], -10, atol=0.0051)


def test_no_power_at_all_is_not_observed(store, tmp_path):
    transform, rows, cols = grid_in("EPSG:32645", 120.0, BLOCK.zone, BLOCK.bounds_m)
    nothing = np.full((2, rows, cols), -np.inf, np.float32)
    nothing[:, :, cols // 2 :] = -12.0
    made = scene(raster(tmp_path / "a.tif", nothing, transform), {"vv_db": 1, "vh_db": 2}, "a", "sar_gamma0")
    read = ingested(store, config(made, composite="mosaic"), "sar_gamma0")
    assert 0.4 < read.observed.mean() < 0.6
    np.testing.assert_allclose(read.values[:, read.observed], -12, atol=0.0051)


def test_files_of_one_scene_with_holes_of_their_own_keep_their_values(store, tmp_path):
    """Each band a file, as dh/dt and its error come: beside a hole of the one the other keeps its number."""
    transform, rows, cols = grid_in("EPSG:32645", 100.0, BLOCK.zone, BLOCK.bounds_m)
    trend, sigma = (np.full((rows, cols), v, np.float32) for v in (-1.5, 0.25))
    trend[100:140, 100:170] = np.nan
    sigma[60:120, 60:130] = np.nan
    both = scene(raster(tmp_path / "d.tif", trend, transform), {"dhdt_m_a": 1}, "a", "dhdt")
    both["files"].append({"path": str(raster(tmp_path / "s.tif", sigma, transform)), "bands": {"dhdt_sigma_m_a": 1}})
    read = ingested(store, config(both), "dhdt")
    assert 0.85 < read.observed.mean() < 1
    np.testing.assert_allclose(read.values[0][read.observed], -1.5, atol=1e-5)
    np.testing.assert_allclose(read.values[1][read.observed], 0.25, atol=1e-5)


def test_a_piece_without_a_band_does_not_dilute_it(store, tmp_path):
    """The right piece has no error, reaches over the seam with a fraction of its weight, and has most of no pixel."""
    transform = LATTICE.transform(WINDOW)
    trend = np.full((256, 256), -1.5, np.float32)
    sigma = np.full((256, 256), 0.25, np.float32)
    left = raster(tmp_path / "l.tif", np.stack([trend, sigma]), transform)
    sliver = raster(tmp_path / "r.tif", trend[:, :1], transform @ Affine.translation(100.6, 0))
    scenes = [
        scene(left, {"dhdt_m_a": 1, "dhdt_sigma_m_a": 2}, "l", "dhdt"),
        scene(sliver, {"dhdt_m_a": 1}, "r", "dhdt"),
    ]
    marker = ingest_block(config(*scenes), store, BLOCK, "dhdt")
    assert [s.id for s in marker.scenes] == ["l"]
    assert marker.bands == ("dhdt_m_a", "dhdt_sigma_m_a")
    read = stored(store, config(*scenes), "dhdt")
    np.testing.assert_allclose(read.values[1], 0.25, atol=1e-6)
