"""Arrays of containers as rasters: where their pixels lie, what means no value, and what is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from affine import Affine
from pyproj import CRS
from rasterio.windows import Window

from core.errors import ConfigError, PoisonError
from core.ingest.arrays import open_array
from core.virtual.tree import Hdf5Tree

HEIGHT, WIDTH = 40, 30
X, Y = 400_000.0 + 120.0 * np.arange(WIDTH), 5_100_000.0 - 120.0 * np.arange(HEIGHT)
VALUES = np.arange(HEIGHT * WIDTH, dtype="int16").reshape(HEIGHT, WIDTH)
TRANSFORM = Affine(120.0, 0.0, 399_940.0, 0.0, -120.0, 5_100_060.0)
FILL = -32767


def cube(zarr_format: int, url: str, steps: int = 3) -> np.ndarray:
    """A cube of velocities as ITS_LIVE has them, with a chunk that was never written; returns v."""
    v = np.stack([VALUES + 1000 * i for i in range(steps)]).astype("int16")
    v[:, 3, 4] = FILL
    v[:, 16:32, 16:] = FILL
    dataset = xr.Dataset(
        {
            "v": (("mid_date", "y", "x"), v, {"grid_mapping": "mapping", "units": "meter/year"}),
            "mapping": ((), "", {"grid_mapping_name": "transverse_mercator", "crs_wkt": CRS(32632).to_wkt()}),
        },
        {"mid_date": np.arange(steps), "y": Y, "x": X},
    )
    encoding = {"chunks": (2, 16, 16), "_FillValue": np.int16(FILL), "write_empty_chunks": False}
    if zarr_format == 3:  # there, what an absent chunk holds is another matter than what means no value
        encoding["fill_value"] = np.int16(FILL)
    dataset.to_zarr(url, zarr_format=zarr_format, encoding={"v": encoding}, consolidated=True)
    return v


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_cube_of_velocities_is_a_raster_with_a_band_per_date(tmp_path, zarr_format):
    url = f"{tmp_path}/cube.zarr"
    v = cube(zarr_format, url)
    with open_array(url, "v") as got:
        assert (got.count, got.height, got.width) == v.shape
        assert got.transform == TRANSFORM
        assert got.crs.to_epsg() == 32632
        assert got.nodatavals == (FILL,) * 3
        assert got.dtypes == ("int16",) * 3
        np.testing.assert_array_equal(got.read(), v)
        np.testing.assert_array_equal(got.read([3, 1], window=Window(2, 5, 20, 30)), v[[2, 0], 5:35, 2:22])
        np.testing.assert_array_equal(got.read_masks(2), np.where(v[1] == FILL, 0, 255))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_that_was_never_written_is_fill(tmp_path, zarr_format):
    url = f"{tmp_path}/cube.zarr"
    v = cube(zarr_format, url)
    for chunk in Path(url).glob("v/c/*/0/0" if zarr_format == 3 else "v/*.0.0"):
        chunk.unlink()
    v[:, :16, :16] = FILL
    with open_array(url, "v") as got:
        np.testing.assert_array_equal(got.read(), v)


def test_a_zarr_folder_is_known_by_what_lies_in_it(tmp_path):
    for zarr_format in (2, 3):
        v = cube(zarr_format, f"{tmp_path}/cube{zarr_format}")
        with open_array(f"{tmp_path}/cube{zarr_format}", "v") as got:
            np.testing.assert_array_equal(got.read(), v)


def test_the_fill_of_floats_in_zarr_3_is_understood(tmp_path):
    values = np.where(VALUES == 7, -9999.0, VALUES).astype("float32")
    dataset = xr.Dataset({"v": (("y", "x"), values)}, {"y": Y, "x": X})
    dataset.to_zarr(f"{tmp_path}/a.zarr", zarr_format=3, encoding={"v": {"_FillValue": np.float32(-9999.0)}})
    with open_array(f"{tmp_path}/a.zarr", "v") as got:
        assert got.nodatavals == (-9999.0,)
        assert (got.read_masks(1) == 0).sum() == 1


def test_a_chunk_that_does_not_decode_is_an_error(tmp_path):
    cube(2, f"{tmp_path}/cube.zarr")
    (tmp_path / "cube.zarr/v/0.0.0").write_bytes(b"nonsense")
    with open_array(f"{tmp_path}/cube.zarr", "v") as got, pytest.raises(PoisonError, match=r"cube\.zarr"):
        got.read(1)


def netcdf(path: Path, *, x: np.ndarray = X, y: np.ndarray = Y, values: np.ndarray = VALUES, **attrs: object) -> str:
    with h5py.File(path, "w") as file:
        for name, coordinate in (("y", y), ("x", x)):
            file[name] = coordinate
            file[name].make_scale(name)
        made = file.create_dataset("v", data=values)
        for axis, name in enumerate(("y", "x")):
            made.dims[axis].attach_scale(file[name])
        for name, value in attrs.items():
            made.attrs[name] = value
    return str(path)


def test_row_0_is_north_and_column_0_is_west_however_the_file_runs(tmp_path):
    for name, dy, dx in (("a", 1, 1), ("b", -1, 1), ("c", 1, -1), ("d", -1, -1)):
        path = netcdf(tmp_path / f"{name}.nc", x=X[::dx], y=Y[::dy], values=VALUES[::dy, ::dx])
        with open_array(path, "v") as got:
            assert got.transform == TRANSFORM
            np.testing.assert_array_equal(got.read(1), VALUES)
            np.testing.assert_array_equal(got.read([1], window=Window(3, 5, 7, 11))[0], VALUES[5:16, 3:10])


def test_a_transposed_array_is_turned(tmp_path):
    dataset = xr.Dataset({"v": (("x", "y"), VALUES.T)}, {"y": Y, "x": X})
    dataset.to_zarr(f"{tmp_path}/a.zarr", zarr_format=2)
    with open_array(f"{tmp_path}/a.zarr", "v") as got:
        np.testing.assert_array_equal(got.read(1, window=Window(1, 2, 3, 4)), VALUES[2:6, 1:4])


def test_longitudes_of_0_to_360_stay_as_they_are(tmp_path):
    dataset = xr.Dataset(
        {"v": (("lat", "lon"), VALUES)},
        {"lat": 60.0 + 0.01 * np.arange(HEIGHT), "lon": 300.0 + 0.01 * np.arange(WIDTH)},
    )
    dataset.to_zarr(f"{tmp_path}/a.zarr", zarr_format=2)
    with open_array(f"{tmp_path}/a.zarr", "v") as got:
        assert got.crs is None
        assert (got.transform.c, got.transform.f) == (pytest.approx(299.995), pytest.approx(60.395))
        np.testing.assert_array_equal(got.read(1), VALUES[::-1])


def test_coordinates_that_float32_rounds_are_regular_and_bent_ones_are_not(tmp_path):
    path = netcdf(tmp_path / "a.nc", y=(46.0 - 0.001 * np.arange(HEIGHT)).astype("float32"))
    with open_array(path, "v") as got:
        assert got.transform.e == pytest.approx(-0.001, rel=1e-3)
    bent = Y.copy()
    bent[7] += 0.2
    path = netcdf(tmp_path / "b.nc", y=bent)
    with pytest.raises(ConfigError, match=r"b\.nc.*'y'.*0\.00167 px"), open_array(path, "v"):
        pass


def test_a_geotransform_places_an_array_without_coordinates(tmp_path):
    group = zarr.open_group(f"{tmp_path}/a.zarr", mode="w", zarr_format=3)
    made = group.create_array("v", shape=VALUES.shape, dtype="int16", dimension_names=("y", "x"))
    made[:] = VALUES
    made.attrs["grid_mapping"] = "spatial_ref"
    mapping = group.create_array("spatial_ref", shape=(), dtype="int64")
    mapping.attrs.update({"crs_wkt": CRS(32632).to_wkt(), "GeoTransform": "399940.0 120.0 0.0 5100060.0 0.0 -120.0"})
    with open_array(f"{tmp_path}/a.zarr", "v") as got:
        assert got.transform == TRANSFORM
        assert got.crs.to_epsg() == 32632


def test_a_grid_mapping_of_cf_without_wkt_is_understood(tmp_path):
    path = netcdf(tmp_path / "a.nc", grid_mapping="polar: x y")
    with h5py.File(path, "a") as file:
        file["polar"] = np.int32(0)
        file["polar"].attrs.update(
            {
                "grid_mapping_name": "polar_stereographic",
                "latitude_of_projection_origin": 90.0,
                "straight_vertical_longitude_from_pole": -45.0,
                "standard_parallel": 70.0,
                "false_easting": 0.0,
                "false_northing": 0.0,
                "semi_major_axis": 6378137.0,
                "inverse_flattening": 298.257223563,
            }
        )
    with open_array(path, "v") as got:
        assert "Stereographic" in got.crs.to_wkt()


def test_scale_and_offset_are_told_and_not_applied(tmp_path):
    path = netcdf(tmp_path / "a.nc", scale_factor=0.1, add_offset=273.15, _FillValue=np.int16(5))
    with open_array(path, "v") as got:
        assert (got.scales, got.offsets, got.nodatavals) == ((0.1,), (273.15,), (5.0,))
        np.testing.assert_array_equal(got.read(1), VALUES)
        assert (got.read_masks(1) == 0).sum() == 1


def test_nan_is_no_value_and_missing_value_is_none_either(tmp_path):
    values = VALUES.astype("float32")
    values[0, :3] = np.nan, -1.0, -2.0
    path = netcdf(tmp_path / "a.nc", values=values, _FillValue=np.float32(-1), missing_value=np.float32(-2))
    with open_array(path, "v") as got:
        np.testing.assert_array_equal(got.read_masks(1)[0, :4], [0, 0, 0, 255])


def test_fill_that_nobody_declared_is_no_value_in_netcdf_and_a_number_in_hdf5(tmp_path):
    path = netcdf(tmp_path / "a.nc", values=VALUES.astype("float32"))
    with open_array(path, "v") as got:
        assert got.nodatavals == (None,)
        assert got.read_masks(1).all()
    path = netcdf(tmp_path / "b.nc", values=VALUES.astype("float32"), _Netcdf4Dimid=np.int32(0))
    with open_array(path, "v") as got:
        assert got.nodatavals == (0.0,)


@pytest.mark.parametrize(
    ("variable", "says"),
    [("vv", "did you mean 'v'"), ("deep/w", "no such array"), ("words", "an array of numbers"), ("x", "shape")],
)
def test_what_is_no_raster_is_refused_by_name(tmp_path, variable, says):
    path = netcdf(tmp_path / "a.nc")
    with h5py.File(path, "a") as file:
        file["words"] = np.array([[b"a", b"b"]])
        file["cube"] = np.zeros((2, 2, 2, 2))
    with pytest.raises(ConfigError, match=says) as caught, open_array(path, variable):
        pass
    assert variable in str(caught.value) and "a.nc" in str(caught.value)


def test_what_is_no_container_says_what_it_is(tmp_path):
    with rasterio.open(tmp_path / "a.dat", "w", driver="GTiff", height=2, width=2, count=1, dtype="uint8") as d:
        d.write(np.zeros((1, 2, 2), "uint8"))
    (tmp_path / "old.dat").write_bytes(b"CDF\x01" + bytes(100))
    for name, says in (("a.dat", "leave `variable` out"), ("old.dat", "nccopy"), ("none", "neither a file")):
        with pytest.raises(ConfigError, match=says), open_array(f"{tmp_path}/{name}", "v"):
            pass
    for name in ("none.nc", "none.zarr", "none.json"):
        with pytest.raises(PoisonError, match=rf"no .*{name}"), open_array(f"{tmp_path}/{name}", "v"):
            pass
    with pytest.raises(ConfigError, match="scheme 'ftp'"), open_array("ftp://host/a.nc", "v"):
        pass


def test_a_window_costs_the_chunks_that_it_touches(tmp_path):
    values = np.random.default_rng(0).normal(size=(2048, 2048))
    path = netcdf(tmp_path / "a.nc", x=np.arange(2048.0), y=-np.arange(2048.0), values=values)
    with h5py.File(path, "a") as file:
        made = file.create_dataset("chunked", data=values, chunks=(128, 128), compression="gzip")
        for axis, name in enumerate(("y", "x")):
            made.dims[axis].attach_scale(file[name])
        chunks = sum(made.id.get_chunk_info_by_coord((r, c)).size for r in (0, 128) for c in (128, 256))
    with open_array(path, "chunked") as got:
        tree = got._tree
        assert isinstance(tree, Hdf5Tree)
        before = tree.ranges.n_bytes
        got.read(1, window=Window(200, 100, 100, 100))
        # The index of the chunks, in blocks, and the chunks themselves to the byte.
        assert chunks <= tree.ranges.n_bytes - before <= chunks + 4 * 65536


def test_opening_leaves_no_file_open(tmp_path):
    path = netcdf(tmp_path / "a.nc")
    with open_array(path, "v") as got:
        got.read(1)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with open_array(path, "v") as got:
            got.read(1)
        with pytest.raises(ConfigError), open_array(path, "nothing"):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
