"""Windows of HDF5 and NetCDF-4 read through references and directly, against h5py: bit for bit."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from fsspec.implementations.reference import LazyReferenceMapper
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from core.errors import ConfigError, PoisonError
from core.ingest.arrays import open_array
from core.virtual.hdf5 import hdf5_file
from core.virtual.references import make_references, open_references

HEIGHT, WIDTH, DEPTH = 97, 61, 3
RNG = np.random.default_rng(0)
VALUES = RNG.normal(0, 100, (DEPTH, HEIGHT, WIDTH)).astype("float32")
VALUES[:, 5:9, 7] = np.nan
KINDS: dict[str, dict] = {
    "gzip": {"chunks": (32, 16), "compression": "gzip"},
    "gzip_shuffle": {"chunks": (32, 16), "compression": "gzip", "shuffle": True},
    "checksum": {"chunks": (32, 16), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "plain_chunks": {"chunks": (32, 16)},
    "contiguous": {},
    "big_endian": {"chunks": (32, 16), "compression": "gzip", "shuffle": True, "dtype": ">f8"},
    "counts": {"chunks": (10, 61), "compression": "gzip", "dtype": "int16"},
    "one_chunk": {"chunks": (HEIGHT, WIDTH), "compression": "gzip"},
    "stack": {"chunks": (2, 32, 16), "compression": "gzip", "shuffle": True},
    "stack_contiguous": {},
}


def place(group: h5py.Group, height: int = HEIGHT, width: int = WIDTH, rising: bool = False) -> None:
    """Dimension scales x and y, as NetCDF-4 has them."""
    y = 5_100_000.0 - 30.0 * np.arange(height)
    for name, values in (("y", y[::-1] if rising else y), ("x", 400_000.0 + 30.0 * np.arange(width))):
        group[name] = values
        group[name].make_scale(name)


def add(group: h5py.Group, name: str, values: np.ndarray, **options: object) -> h5py.Dataset:
    made = group.create_dataset(name, data=values, **options)
    made.dims[values.ndim - 2].attach_scale(group["y"])
    made.dims[values.ndim - 1].attach_scale(group["x"])
    return made


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> tuple[Path, str, str]:
    """(file, references in JSON, in Parquet)."""
    folder = tmp_path_factory.mktemp("hdf5")
    path = folder / "a.nc"
    with h5py.File(path, "w") as file:
        place(file)
        for kind, options in KINDS.items():
            values = VALUES if kind.startswith("stack") else VALUES[0]
            if options.get("dtype") == "int16":
                values = np.nan_to_num(values)
            add(file, kind, values, **options)
        half = add(file, "half_written", np.zeros((0, 0)), maxshape=(None, None), chunks=(32, 16), fillvalue=-7.0)
        half.resize((HEIGHT, WIDTH))
        half[:40, :20] = 1.0
        never = file.create_dataset("never_written", (HEIGHT, WIDTH), "int16", fillvalue=-3)
        never.dims[0].attach_scale(file["y"])
        never.dims[1].attach_scale(file["x"])
        inner = file.create_group("deep/er")
        inner.attrs["title"] = "further down"
        add_deep = inner.create_dataset("v", data=VALUES[1], chunks=(50, 50))
        add_deep.dims[0].attach_scale(file["y"])
        add_deep.dims[1].attach_scale(file["x"])
        file["words"] = np.array([b"a", b"b"])
        add(file, "lzf", VALUES[0], chunks=(32, 16), compression="lzf")
    outs = f"{folder}/a.json", f"{folder}/a.parq"
    for out in outs:
        make_references([str(path)], out)
    return path, *outs


NAMES = [*KINDS, "half_written", "never_written", "deep/er/v"]


@pytest.mark.parametrize("name", NAMES)
def test_an_array_is_what_h5py_reads(archive, name):
    with h5py.File(archive[0]) as file:
        expected = file[name][()]
    for path in archive:
        with open_array(str(path), name) as got:
            values = got.read() if expected.ndim == 3 else got.read(1)
            np.testing.assert_array_equal(values, expected)
            assert values.dtype == expected.dtype.newbyteorder("=")
            assert (got.transform.c, got.transform.f, got.transform.a) == (399_985.0, 5_100_015.0, 30.0)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_window_is_what_h5py_reads(archive, data):
    name = data.draw(st.sampled_from(NAMES))
    row0, row1 = sorted(data.draw(st.tuples(*[st.integers(0, HEIGHT)] * 2).filter(lambda r: r[0] != r[1])))
    col0, col1 = sorted(data.draw(st.tuples(*[st.integers(0, WIDTH)] * 2).filter(lambda c: c[0] != c[1])))
    window = Window(col0, row0, col1 - col0, row1 - row0)
    with h5py.File(archive[0]) as file, open_array(str(data.draw(st.sampled_from(archive))), name) as got:
        expected = file[name][..., row0:row1, col0:col1].reshape(-1, row1 - row0, col1 - col0)
        numbers = data.draw(st.permutations(range(1, got.count + 1)))
        wanted = expected[np.array(numbers) - 1]
        np.testing.assert_array_equal(got.read(numbers, window=window), wanted)


def test_what_zarr_cannot_express_is_left_out_by_name(archive):
    skipped = dict(hdf5_file(str(archive[0])).skipped)
    assert skipped.keys() == {"words", "lzf"}
    assert "lzf" in skipped["lzf"]
    with pytest.raises(ConfigError, match="no such array"), open_array(archive[1], "lzf"):
        pass
    with open_array(str(archive[0]), "lzf") as direct:
        np.testing.assert_array_equal(direct.read(1), VALUES[0])


def test_json_and_parquet_say_the_same(archive):
    one, other = (open_references(out) for out in archive[1:])
    assert one.identical(other)
    assert set(one.data_vars) >= {"gzip", "contiguous", "stack"}
    np.testing.assert_array_equal(one.checksum.values, VALUES[0])


def test_the_parquet_is_what_fsspec_reads(archive):
    path, _, parquet = archive
    lazy = LazyReferenceMapper(parquet, engine="pyarrow")
    with h5py.File(path) as file:
        chunk = file["gzip"].id.get_chunk_info(0)
    assert lazy["gzip/0.0"] == [f"file://{path}", chunk.byte_offset, chunk.size]


def test_a_checksum_that_does_not_match_is_an_error(archive, tmp_path):
    with h5py.File(archive[0]) as file:
        chunk = file["checksum"].id.get_chunk_info(0)
    data = bytearray(archive[0].read_bytes())
    data[chunk.byte_offset + 20] ^= 1
    (tmp_path / "a.nc").write_bytes(data)
    make_references([f"{tmp_path}/a.nc"], f"{tmp_path}/a.json")
    for path in (f"{tmp_path}/a.json", f"{tmp_path}/a.nc"):
        with open_array(path, "checksum") as got, pytest.raises(PoisonError, match=r"a\."):
            got.read(1)


def test_chunks_that_hdf5_left_uncompressed_are_read_too(tmp_path):
    """Noise does not shrink, and then HDF5 may skip the filter for that chunk alone."""
    with h5py.File(tmp_path / "a.nc", "w") as file:
        place(file, 64, 64)
        add(file, "v", np.ones((64, 64), "float32"), chunks=(32, 32), compression="gzip", shuffle=True)
    bare = RNG.normal(size=(32, 32)).astype("float32")
    with h5py.File(tmp_path / "a.nc", "r+") as file:
        file["v"].id.write_direct_chunk((0, 32), bare.tobytes(), filter_mask=0b11)
    with h5py.File(tmp_path / "a.nc") as file:
        expected = file["v"][()]
    np.testing.assert_array_equal(expected[:32, 32:], bare)
    make_references([f"{tmp_path}/a.nc"], f"{tmp_path}/a.json")
    with open_array(f"{tmp_path}/a.json", "v") as got:
        np.testing.assert_array_equal(got.read(1), expected)


def test_a_large_contiguous_array_is_cut_into_chunks_of_a_megabyte(tmp_path):
    values = np.arange(3000 * 500, dtype="float64").reshape(3000, 500)
    with h5py.File(tmp_path / "a.nc", "w") as file:
        place(file, *values.shape)
        add(file, "v", values)
    array = hdf5_file(f"{tmp_path}/a.nc").arrays["v"]
    assert array.chunks == (250, 500)
    assert array.n_bytes == values.nbytes


@pytest.mark.parametrize("suffix", ["json", "parq"])
def test_an_absent_chunk_is_fill_but_a_missing_target_is_an_error(archive, tmp_path, suffix):
    path = tmp_path / "gone.nc"
    path.write_bytes(archive[0].read_bytes())
    out = f"{tmp_path}/a.{suffix}"
    make_references([str(path)], out)
    path.unlink()
    with open_array(out, "half_written") as got:
        assert (got.read(1, window=Window(40, 70, 9, 9)) == -7.0).all()
        with pytest.raises(PoisonError, match=r"target.*gone\.nc.*missing"):
            got.read(1, window=Window(0, 0, 9, 9))
    with open_array(out, "contiguous") as got, pytest.raises(PoisonError, match=r"gone\.nc"):
        got.read(1)


def test_a_cut_file_is_an_error_wherever_it_is_cut(archive, tmp_path):
    data = archive[0].read_bytes()
    cut = tmp_path / "cut.nc"
    cut.write_bytes(data)
    make_references([str(cut)], f"{tmp_path}/a.json")
    for n in (10, 3000, len(data) - 1):
        cut.write_bytes(data[:n])
        with pytest.raises(PoisonError, match=r"cut\.nc"), open_array(str(cut), "gzip") as got:
            got.read(1)
    last = h5py.File(archive[0])["lzf"].id
    end = max(last.get_chunk_info(i).byte_offset for i in range(last.get_num_chunks()))
    cut.write_bytes(data[: end // 4])
    with open_array(f"{tmp_path}/a.json", "stack_contiguous") as got, pytest.raises(PoisonError, match=r"cut\.nc.*cut"):
        got.read()


def test_a_part_of_a_parquet_set_that_is_missing_is_an_error(archive, tmp_path):
    out = tmp_path / "a.parq"
    make_references([str(archive[0])], str(out))
    (out / "gzip/refs.0.parq").unlink()
    with open_array(str(out), "gzip") as got, pytest.raises(PoisonError, match=r"refs\.0\.parq"):
        got.read(1)
    with pytest.raises(PoisonError, match="no set of references"), open_array(f"{tmp_path}/none.parq", "gzip"):
        pass
    with pytest.raises(PoisonError, match="no set of references"), open_array(f"{tmp_path}/none.json", "gzip"):
        pass


def steps(path: Path, first: int, n: int, scale: float = 1.0) -> Path:
    with h5py.File(path, "w") as file:
        place(file, 40, 30)
        file["x"][...] = file["x"][...] * scale
        file["time"] = np.arange(first, first + n, dtype="int32")
        file["time"].make_scale("time")
        made = file.create_dataset("v", data=np.arange(n * 1200.0).reshape(n, 40, 30) + first, chunks=(1, 20, 30))
        for axis, name in enumerate(("time", "y", "x")):
            made.dims[axis].attach_scale(file[name])
    return path


def test_steps_in_several_files_run_on(tmp_path):
    paths = [steps(tmp_path / f"{i}.nc", 2 * i, 2) for i in range(3)]
    for out in (f"{tmp_path}/all.json", f"{tmp_path}/all.parq"):
        make_references([str(p) for p in paths], out)
        with open_array(out, "v") as got:
            assert got.count == 6
            for band in range(1, 7):
                with h5py.File(paths[(band - 1) // 2]) as file:
                    np.testing.assert_array_equal(got.read(band), file["v"][(band - 1) % 2])
        np.testing.assert_array_equal(open_references(out).time, np.arange(6))


def test_a_file_of_another_grid_is_named(tmp_path):
    paths = [steps(tmp_path / "a.nc", 0, 1), steps(tmp_path / "b.nc", 1, 1, scale=1.1)]
    with pytest.raises(ConfigError, match=r"b\.nc array 'x'.*other values"):
        make_references([str(p) for p in paths], f"{tmp_path}/all.json")


def test_what_is_neither_tiff_nor_hdf5_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(ConfigError, match=r"a\.txt.*begins with"):
        make_references([f"{tmp_path}/a.txt"], f"{tmp_path}/a.json")
    with pytest.raises(ConfigError, match="no such file"):
        make_references([f"{tmp_path}/none.nc"], f"{tmp_path}/a.json")
    with pytest.raises(ConfigError, match=r"NAME\.json"):
        make_references([f"{tmp_path}/a.txt"], f"{tmp_path}/a.zip")
