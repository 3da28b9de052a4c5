"""Windows of GeoTIFFs read through references, against the same windows read by rasterio: bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from core.errors import ConfigError, PoisonError
from core.ingest.arrays import open_array
from core.virtual.references import make_references, open_references
from core.virtual.tiff import tiff_file

HEIGHT, WIDTH = 150, 203  # no multiple of any tile or strip below
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 48}
KINDS: dict[str, dict] = {
    "tiled": {**TILED},
    "tiled, deflate": {**TILED, "compress": "deflate"},
    "tiled, deflate, predictor 2": {**TILED, "compress": "deflate", "predictor": 2},
    "tiled, LZW, predictor 2, signed": {**TILED, "compress": "lzw", "predictor": 2, "dtype": "int16"},
    "tiled, zstd": {**TILED, "compress": "zstd"},
    "tiled, zstd, predictor 2, 32 bits": {**TILED, "compress": "zstd", "predictor": 2, "dtype": "int32"},
    "tiled, predictor 3": {**TILED, "compress": "deflate", "predictor": 3, "dtype": "float32"},
    "tiled, predictor 3, double": {**TILED, "compress": "zstd", "predictor": 3, "dtype": "float64"},
    "striped": {"blockysize": 7},
    "striped, deflate": {"blockysize": 7, "compress": "deflate"},
    "striped, LZW, predictor 2": {"blockysize": 7, "compress": "lzw", "predictor": 2},
    "striped, predictor 3": {"blockysize": 7, "compress": "deflate", "predictor": 3, "dtype": "float32"},
    "one strip": {"blockysize": HEIGHT, "compress": "deflate", "predictor": 2},
    "bytes, predictor 2": {**TILED, "compress": "deflate", "predictor": 2, "dtype": "uint8"},
    "big-endian": {"blockysize": 7, "ENDIANNESS": "BIG"},
    "big-endian, predictor 2": {**TILED, "compress": "deflate", "predictor": 2, "ENDIANNESS": "BIG"},
    "big-endian, predictor 3": {
        **TILED, "compress": "deflate", "predictor": 3, "dtype": "float32", "ENDIANNESS": "BIG"
    },
    "pixel-interleaved, predictor 2": {
        **TILED, "compress": "deflate", "predictor": 2, "count": 3, "interleave": "pixel"
    },
    "pixel-interleaved, predictor 3, striped": {
        "blockysize": 7, "compress": "lzw", "predictor": 3, "count": 4, "interleave": "pixel", "dtype": "float32"
    },
    "band-interleaved, predictor 2": {
        **TILED, "compress": "deflate", "predictor": 2, "count": 3, "interleave": "band"
    },
    "band-interleaved, striped": {"blockysize": 7, "compress": "lzw", "count": 3, "interleave": "band"},
    "sparse": {**TILED, "compress": "deflate", "SPARSE_OK": "TRUE", "holes": True},
    "BigTIFF": {**TILED, "compress": "deflate", "BIGTIFF": "YES"},
}  # fmt: skip


def make_tiff(
    path: Path,
    *,
    height: int = HEIGHT,
    width: int = WIDTH,
    count: int = 1,
    dtype: str = "uint16",
    transform: Affine | None = None,
    seed: int = 0,
    holes: bool = False,
    **options: object,
) -> Path:
    rng = np.random.default_rng(seed)
    values = rng.normal(1000, 300, (count, height, width)).astype(dtype)
    nodata = 0
    if np.dtype(dtype).kind == "f":
        nodata = -9999.0
        values[:, 20:30, 40:60] = nodata
        values[:, 31, 41] = np.nan
    transform = transform or Affine(30.0, 0.0, 500_015.0, 0.0, -30.0, 5_100_015.0)
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=dtype, crs="EPSG:32632",
        transform=transform, nodata=nodata, **options,
    ) as d:  # fmt: skip
        if holes:
            d.write(values[:, :48, :64], window=Window(0, 0, 64, 48))
        else:
            d.write(values)
    return path


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> dict[str, tuple[Path, str, str]]:
    """kind → (file, its references in JSON, in Parquet)."""
    folder = tmp_path_factory.mktemp("tiffs")
    made = {}
    for i, (kind, options) in enumerate(KINDS.items()):
        path = make_tiff(folder / f"{i}.tif", **options)
        made[kind] = (path, f"{folder}/{i}.json", f"{folder}/{i}.parq")
        for out in made[kind][1:]:
            make_references([str(path)], out)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_raster_is_what_rasterio_reads(sets, kind):
    path, *outs = sets[kind]
    with rasterio.open(path) as expected:
        for out in outs:
            with open_array(out, "raster") as got:
                assert (got.width, got.height, got.count) == (expected.width, expected.height, expected.count)
                assert (got.transform, got.crs) == (expected.transform, expected.crs)
                assert (got.nodatavals, got.dtypes) == (expected.nodatavals, expected.dtypes)
                values = got.read()
                assert values.dtype == expected.read().dtype
                np.testing.assert_array_equal(values, expected.read())
                masks = np.where(np.isnan(values), 0, expected.read_masks())
                np.testing.assert_array_equal(got.read_masks(), masks)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_window_is_what_rasterio_reads(sets, data):
    kind = data.draw(st.sampled_from(list(KINDS)))
    row0, row1 = sorted(data.draw(st.tuples(*[st.integers(0, HEIGHT)] * 2).filter(lambda r: r[0] != r[1])))
    col0, col1 = sorted(data.draw(st.tuples(*[st.integers(0, WIDTH)] * 2).filter(lambda c: c[0] != c[1])))
    window = Window(col0, row0, col1 - col0, row1 - row0)
    path, *outs = sets[kind]
    with rasterio.open(path) as expected, open_array(data.draw(st.sampled_from(outs)), "raster") as got:
        numbers = data.draw(st.permutations(range(1, expected.count + 1)))
        numbers = numbers[: data.draw(st.integers(1, len(numbers)))]
        np.testing.assert_array_equal(got.read(numbers, window=window), expected.read(numbers, window=window))
        band = numbers[0]
        np.testing.assert_array_equal(got.read(band, window=window), expected.read(band, window=window))


def test_the_set_opens_in_xarray_with_coordinates_of_pixel_centres(sets):
    path, *outs = sets["tiled, deflate, predictor 2"]
    with rasterio.open(path) as d:
        for out in outs:
            ds = open_references(out)
            np.testing.assert_array_equal(ds.raster.values, d.read(1))
            assert (float(ds.x[0]), float(ds.y[0])) == d.xy(0, 0)
            assert (float(ds.x[-1]), float(ds.y[-1])) == d.xy(HEIGHT - 1, WIDTH - 1)
            assert ds.spatial_ref.attrs["crs_wkt"] == d.crs.to_wkt()


def test_overviews_are_left_out_and_said(tmp_path):
    path = make_tiff(tmp_path / "a.tif", **TILED, compress="deflate")
    with rasterio.open(path, "r+") as d:
        d.build_overviews([2, 4])
    made = make_references([str(path)], f"{tmp_path}/a.json")
    assert made.skipped == (("raster overviews", "2 reduced copies"),)
    with open_array(f"{tmp_path}/a.json", "raster") as got:
        assert (got.height, got.overviews(1)) == (HEIGHT, [])


def test_what_zarr_cannot_express_is_refused_by_name(tmp_path):
    jpeg = make_tiff(tmp_path / "a.tif", dtype="uint8", **{**TILED, "blockysize": 64}, compress="jpeg")
    with pytest.raises(ConfigError, match=r"a\.tif.*JPEG"):
        tiff_file(str(jpeg))
    masked = make_tiff(tmp_path / "b.tif", **TILED)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as d:
        d.write_mask(np.ones((HEIGHT, WIDTH), dtype="uint8"))
    with pytest.raises(ConfigError, match=r"b\.tif.*mask"):
        tiff_file(str(masked))


@pytest.mark.parametrize("suffix", ["json", "parq"])
def test_a_target_that_is_gone_or_cut_is_an_error_that_names_it_and_never_fill(tmp_path, suffix):
    for kind in ("tiled", "striped, deflate", "sparse"):
        path, out = make_tiff(tmp_path / "moved.tif", **KINDS[kind]), f"{tmp_path}/set.{suffix}"
        make_references([str(path)], out)
        with open_array(out, "raster") as whole:
            values = whole.read(1)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        with open_array(out, "raster") as cut, pytest.raises(PoisonError, match=r"moved\.tif.*cut"):
            cut.read(1)
        path.unlink()
        with open_array(out, "raster") as gone, pytest.raises(PoisonError, match=r"target.*moved\.tif.*missing"):
            gone.read(1, window=Window(0, 0, 5, 5))
        path.write_bytes(data)
        with open_array(out, "raster") as back:
            np.testing.assert_array_equal(back.read(1), values)


def test_relative_references_move_with_their_archive(tmp_path):
    (tmp_path / "archive/tiles").mkdir(parents=True)
    path = make_tiff(tmp_path / "archive/tiles/a.tif", **TILED)
    for name in ("refs.json", "refs.parq"):
        make_references([str(path)], f"{tmp_path}/archive/{name}", relative=True)
    with rasterio.open(path) as d:
        expected = d.read(1)
    (tmp_path / "archive").rename(tmp_path / "moved")
    for name in ("refs.json", "refs.parq"):
        with open_array(f"{tmp_path}/moved/{name}", "raster") as got:
            np.testing.assert_array_equal(got.read(1), expected)


def test_files_of_one_grid_are_stacked_in_their_order(tmp_path):
    paths = [make_tiff(tmp_path / f"{i}.tif", seed=i, **TILED, compress="deflate") for i in range(3)]
    for out in (f"{tmp_path}/stack.json", f"{tmp_path}/stack.parq"):
        make_references([str(p) for p in paths], out)
        with open_array(out, "raster") as got:
            assert got.count == 3
            for i, path in enumerate(paths):
                with rasterio.open(path) as d:
                    np.testing.assert_array_equal(got.read(i + 1), d.read(1))
        assert open_references(out).attrs["files"] == ["0.tif", "1.tif", "2.tif"]


def tile(folder: Path, row: int, col: int, size: int = 128, **options: object) -> Path:
    transform = Affine(30.0, 0.0, 500_000.0 + 30 * 128 * col, 0.0, -30.0, 5_100_000.0 - 30 * 128 * row)
    wanted = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", **options}
    return make_tiff(
        folder / f"{row}-{col}.tif", height=size, width=size, transform=transform, seed=row * 10 + col, **wanted
    )


def test_tiles_side_by_side_become_one_raster_with_fill_between(tmp_path):
    paths = [tile(tmp_path, 1, 1), tile(tmp_path, 0, 0), tile(tmp_path, 1, 0)]
    out = f"{tmp_path}/mosaic.json"
    make_references([str(p) for p in paths], out)
    with open_array(out, "raster") as got:
        assert (got.height, got.width) == (256, 256)
        assert got.transform == Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 5_100_000.0)
        for row, col in ((1, 1), (0, 0), (1, 0)):
            with rasterio.open(tmp_path / f"{row}-{col}.tif") as d:
                window = Window(128 * col, 128 * row, 128, 128)
                np.testing.assert_array_equal(got.read(1, window=window), d.read(1))
        assert not got.read_masks(1, window=Window(128, 0, 128, 128)).any()


@pytest.mark.parametrize(
    ("differs", "says"),
    [
        ({"compress": "lzw"}, "compression"),
        ({"dtype": "int16"}, "type"),
        ({"blockxsize": 32}, "chunks"),
        ({"size": 100}, "a multiple of its chunks"),
    ],
)
def test_a_tile_that_does_not_fit_is_named(tmp_path, differs, says):
    paths = [tile(tmp_path, 0, 0), tile(tmp_path, 0, 1, **differs), tile(tmp_path, 0, 2)]
    with pytest.raises(ConfigError, match=rf"0-1\.tif.*{says}"):
        make_references([str(p) for p in paths], f"{tmp_path}/mosaic.json")


def test_tiles_beside_the_grid_or_over_each_other_are_named(tmp_path):
    shifted = Affine(30.0, 0.0, 500_010.0, 0.0, -30.0, 5_100_000.0 - 30 * 128)
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    odd = make_tiff(tmp_path / "odd.tif", height=128, width=128, transform=shifted, **options)
    with pytest.raises(ConfigError, match=r"odd\.tif.*beside a pixel"):
        make_references([str(tile(tmp_path, 0, 0)), str(odd)], f"{tmp_path}/a.json")
    half = Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 5_100_000.0 - 30 * 64)
    over = make_tiff(tmp_path / "over.tif", height=128, width=128, transform=half, **options)
    with pytest.raises(ConfigError, match=r"over\.tif.*pixels that .*0-0\.tif has too"):
        make_references([str(tile(tmp_path, 0, 0)), str(over)], f"{tmp_path}/a.json")
