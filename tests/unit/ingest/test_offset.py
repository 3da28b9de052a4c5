"""The offset of Sentinel-2's counts: what the metadata say is checked against dark pixels, both ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.enums import Resampling

from core.config import SceneConfig
from core.errors import PoisonError
from core.grid import Block
from core.ingest.offset import _percentile, darkest_dn, true_dn_offset, with_true_offset
from core.sensors.bandpass import to_oli
from core.sensors.products.sentinel2 import OFFSET
from core.tiles import TileStore
from tests.made_scenes import BANDS, BLOCK, UTM, XMIN, YMAX, config, ingested, raster, scene, truncate

PRODUCT = "sentinel2_l2a"
RES_M, N = 60.0, 1200  # a scene of 72 km, the block in the midst of it
TRANSFORM = Affine(RES_M, 0, XMIN - 20_000, 0, -RES_M, YMAX + 20_000)
WHAT = "scene s, block b"


def surface(seed: int = 0, darkest: float = 0.0, empty_share: float = 0.0) -> np.ndarray:
    """(6, N, N) reflectance with dark ground in a twentieth of it; NaN in the lower left where nothing was seen."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:N, :N] / N
    bright = 0.25 + 0.2 * np.sin(9 * x) * np.cos(7 * y)
    dark = (np.sin(40 * x) * np.sin(36 * y)) > 0.8
    out = np.stack([np.where(dark, darkest, bright * share) for share in (1.1, 1.0, 1.0, 1.2, 0.8, 0.7)])
    out += rng.normal(0, 0.002, out.shape)
    out = np.maximum(out, darkest)
    out[:, y > 1 - empty_share + x * empty_share] = np.nan
    return out.astype(np.float32)


def counts(reflectance: np.ndarray, added: int) -> np.ndarray:
    """DN, 0 where nothing was seen."""
    dn = np.rint(reflectance.astype(np.float64) * 10_000) + added
    return np.where(np.isfinite(dn), np.maximum(dn, 1), 0).astype(np.uint16)


def s2(folder: Path, name: str, dn: np.ndarray, said: int, *, overviews=(2, 4), product: str | None = PRODUCT, **more):
    """Each band a file, as in the archives; said: the offset that the metadata claim."""
    files = []
    for k, band in enumerate(BANDS):
        how = more.get("resampling", Resampling.average)
        nodata = more.get("nodata", 0)
        path = raster(
            folder / f"{name}_{band}.tif",
            dn[k],
            TRANSFORM,
            UTM,
            nodata=nodata,
            overviews=overviews,
            resampling=how,
            tiled=True,
            blockxsize=256,
            blockysize=256,
        )
        files.append({"path": str(path), "bands": {band: 1}, "scale": 1e-4, "offset": said * 1e-4, "nodata": 0})
    return {**scene("x", BANDS, name, product=product, dn_offset=said), "files": files}


def resolved(made: dict) -> int:
    return true_dn_offset(SceneConfig.model_validate(made), WHAT)


@pytest.fixture(scope="module")
def reflectance() -> np.ndarray:
    return surface()


def test_one_surface_in_both_baselines_has_one_reflectance(reflectance, tmp_path):
    old = s2(tmp_path, "old", counts(reflectance, 0), 0)
    new = s2(tmp_path, "new", counts(reflectance, 1000), -1000)
    a = ingested(TileStore("memory://offset/a"), config(old))
    b = ingested(TileStore("memory://offset/b"), config(new))
    assert a.observed.all() and b.observed.all()
    assert np.abs(a.values - b.values).max() <= 1.01e-4
    assert abs(float(a.values.mean() - np.nanmean(reflectance[:, 334:847, 334:847]))) < 2e-3


@pytest.mark.parametrize(("added", "lie"), [(0, -1000), (1000, 0)], ids=["denied", "promised"])
def test_a_flag_that_lies_is_found_out(added, lie, reflectance, tmp_path):
    """Both lies make reflectance wrong by 0.1; the counts themselves say so."""
    honest = s2(tmp_path, "honest", counts(reflectance, added), -added)
    lying = {**honest, "dn_offset": lie, "files": [{**f, "offset": lie * 1e-4} for f in honest["files"]]}
    assert resolved(honest) == resolved(lying) == -added
    a = ingested(TileStore(f"memory://offset/h{added}"), config(honest))
    b = ingested(TileStore(f"memory://offset/l{added}"), config(lying))
    np.testing.assert_array_equal(a.values, b.values)


def test_the_bands_are_brought_to_oli_after_the_offset_is_put_right(reflectance, tmp_path):
    """The line of the bandpass is folded into scale and offset, so an offset of counts is worth its slope."""
    made = s2(tmp_path, "s", counts(reflectance, 1000), 0)
    plain = ingested(TileStore("memory://offset/p"), config(made))
    folded = []
    for file in made["files"]:
        (band,) = file["bands"]
        line = to_oli("sentinel-2a", band)
        scale, offset = line.folded(1e-4, 0.0) if line else (1e-4, 0.0)
        folded.append({**file, "scale": scale, "offset": offset})
    read = ingested(TileStore("memory://offset/o"), config({**made, "files": folded}))
    for k, band in enumerate(BANDS):
        line = to_oli("sentinel-2a", band)
        expected = plain.values[k] * line.slope + line.intercept if line else plain.values[k]
        assert np.abs(read.values[k] - expected).max() < 1.01e-4


@pytest.mark.parametrize("said", [0, -1000])
def test_a_bright_scene_without_dark_ground_keeps_what_the_metadata_say(said, tmp_path):
    """Counts of 900 in the darkest places: reflectance 0.09 without an offset, or −0.01 with it."""
    bright = surface(darkest=0.09)
    made = s2(tmp_path, "bright", counts(bright, 0), said)
    assert 800 < darkest_dn(SceneConfig.model_validate(made), OFFSET, WHAT) < 1000
    assert resolved(made) == said


@pytest.mark.parametrize("said", [0, -1000])
def test_a_scene_of_no_product_or_without_a_trap_is_left_as_it_is(said, reflectance, tmp_path):
    made = s2(tmp_path, "plain", counts(reflectance, 0), said, product=None)
    assert resolved(made) == said
    assert resolved({**made, "product": "landsat_c2_l2"}) == said


def test_every_block_comes_to_the_same_verdict(reflectance, tmp_path):
    """Also one whose own ground is bright: the whole scene is looked at."""
    light = np.where(np.isfinite(reflectance), np.maximum(reflectance, 0.12), np.nan)
    light[:, :300, :300] = 0.0  # all that is dark lies outside the blocks
    made = s2(tmp_path, "s", counts(light, 0), -1000)
    assert resolved(made) == 0
    for block in (BLOCK, Block(BLOCK.zone, BLOCK.row, BLOCK.col + 1)):
        read = ingested(TileStore(f"memory://offset/{block.name}{tmp_path.name}"), config(made), block=block)
        assert np.nanmin(read.values[2]) > 0.11
        assert read.observed.mean() > 0.4


@pytest.mark.parametrize("declared", [True, False], ids=["nodata-declared", "nodata-undeclared"])
@pytest.mark.parametrize("how", [Resampling.average, Resampling.bilinear, Resampling.cubic])
def test_the_rim_of_an_empty_half_is_no_dark_ground(how, declared, tmp_path):
    """In reduced copies of files that do not declare their nodata the edge is a mixture with 0."""
    half = surface(darkest=0.005, empty_share=0.97)
    made = s2(
        tmp_path,
        "half",
        counts(half, 1000),
        -1000,
        overviews=(2, 4, 8, 16),
        resampling=how,
        nodata=0 if declared else None,
    )
    assert darkest_dn(SceneConfig.model_validate(made), OFFSET, WHAT) > 1000
    assert resolved(made) == -1000


def test_files_without_reduced_copies_are_looked_at_in_their_midst(reflectance, tmp_path):
    assert resolved(s2(tmp_path, "s", counts(reflectance, 0), -1000, overviews=())) == 0


def test_a_scene_that_is_nearly_empty_proves_nothing(tmp_path):
    nothing = np.full((6, N, N), np.nan, np.float32)
    nothing[:, :30, :30] = 0.0
    made = s2(tmp_path, "empty", counts(nothing, 0), -1000)
    assert darkest_dn(SceneConfig.model_validate(made), OFFSET, WHAT) is None
    assert resolved(made) == -1000


def test_what_cannot_be_read_is_named_with_its_own_file(reflectance, tmp_path):
    made = s2(tmp_path, "cut", counts(reflectance, 0), 0)
    path = Path(made["files"][5]["path"])
    truncate(path, 0.5)
    _percentile.cache_clear()
    with pytest.raises(PoisonError, match=r"cut_swir2\.tif \(scene s, block b\)"):
        with_true_offset(SceneConfig.model_validate(made), WHAT)
