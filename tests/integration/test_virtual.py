"""Virtual archives over real protocols: windows of files in S3 and behind http cost their chunks and no more."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window
from typer.testing import CliRunner

from core.errors import ConfigError, PoisonError, RefusedError, TransientError
from core.ingest.arrays import open_array
from core.ingest.glavitu import open_tiles
from core.ingest.raster import open_raster, read_header
from core.objects import Objects
from core.virtual.files import filesystem
from core.virtual.references import make_references, open_references
from jobs.cli import app
from tests.faults.proxy import Rule, faults

ALLOWED = 1.15  # bytes fetched over bytes of the chunks needed


class Counter:
    """Bytes that pass through the file system of a URL."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_bytes = 0
        files = filesystem(url, asynchronous=True)
        fetch = files._cat_file

        async def counted(*args: object, **kwargs: object) -> bytes:
            data = await fetch(*args, **kwargs)
            self.n_bytes += len(data)
            return data

        monkeypatch.setattr(files, "_cat_file", counted)


def needed(refs: dict, name: str, chunks: tuple[int, int], window: Window) -> int:
    """Bytes of the chunks of a 2-D array that a window touches; lines that the set holds itself cost nothing."""
    total = 0
    for row in range(int(window.row_off) // chunks[0], -(-int(window.row_off + window.height) // chunks[0])):
        for col in range(int(window.col_off) // chunks[1], -(-int(window.col_off + window.width) // chunks[1])):
            ref = refs.get(f"{name}/{row}.{col}")
            total += ref[2] if isinstance(ref, list) else 0
    return total


@pytest.fixture(scope="module")
def cogs(samples, s3_url, tmp_path_factory) -> dict[str, tuple[Path, str]]:
    """kind → (local file, URL of the set of its copy in S3); made from a real DEM."""
    source = samples / "baker" / "cop30_baker.tif"
    if not source.is_file():
        pytest.skip(f"no {source}")
    folder = tmp_path_factory.mktemp("cogs")
    kinds = {
        "cog": {"driver": "COG", "blocksize": 256, "compress": "deflate", "predictor": 3},
        "tiled": {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "zstd", "predictor": 3},
        "striped": {"tiled": False, "blockysize": 16, "compress": "lzw", "predictor": 3},
        "plain": {"tiled": False, "blockysize": 4, "compress": None, "predictor": None},
        "counts": {"driver": "COG", "blocksize": 128, "compress": "deflate", "predictor": 2, "dtype": "int16"},
    }
    made = {}
    for kind, options in kinds.items():
        path = folder / f"{kind}.tif"
        with rasterio.open(source) as d:
            values, profile = d.read(), d.profile
        for key in ("blockxsize", "blockysize", "tiled", "interleave"):
            profile.pop(key, None)
        profile.update(options)
        profile = {k: v for k, v in profile.items() if v is not None}
        with rasterio.open(path, "w", **profile) as d:
            d.write(values.astype(profile["dtype"]))
        Objects(s3_url).put(f"virtual/{kind}.tif", path.read_bytes())
        make_references([f"{s3_url}/virtual/{kind}.tif"], f"{s3_url}/virtual/{kind}.json")
        made[kind] = (path, f"{s3_url}/virtual/{kind}.json")
    return made


def test_windows_of_tiffs_in_s3_cost_their_chunks(cogs, s3_url, monkeypatch):
    counter = Counter(s3_url, monkeypatch)
    for kind, (path, url) in cogs.items():
        refs = json.loads(Objects(s3_url).get(f"virtual/{kind}.json"))["refs"]
        chunks = json.loads(refs["raster/.zarray"])["chunks"]
        with rasterio.open(path) as d, open_array(url, "raster") as got:
            assert (got.transform, got.crs, got.nodatavals) == (d.transform, d.crs, d.nodatavals)
            for window in (Window(0, 0, 929, 1015), Window(300, 411, 130, 77), Window(900, 1000, 29, 15)):
                counter.n_bytes = 0
                np.testing.assert_array_equal(got.read(1, window=window), d.read(1, window=window))
                assert 0 < counter.n_bytes <= ALLOWED * needed(refs, "raster", chunks, window), kind


@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_window_of_a_tiff_in_s3_is_what_rasterio_reads(cogs, data):
    path, url = cogs[data.draw(st.sampled_from(sorted(cogs)))]
    row, col = data.draw(st.integers(0, 1014)), data.draw(st.integers(0, 928))
    height, width = data.draw(st.integers(1, 1015 - row)), data.draw(st.integers(1, 929 - col))
    window = Window(col, row, width, height)
    with rasterio.open(path) as d, open_array(url, "raster") as got:
        np.testing.assert_array_equal(got.read(1, window=window), d.read(1, window=window))


@pytest.fixture(scope="module")
def aletsch(samples) -> Path:
    path = samples / "aletsch" / "igm_aletsch_geology_100m.nc"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


@pytest.mark.parametrize("suffix", ["json", "parq"])
def test_a_real_netcdf_in_s3_reads_as_h5py_reads_it(aletsch, s3_url, monkeypatch, suffix):
    url = f"{s3_url}/aletsch/{suffix}/a.nc"
    Objects(f"{s3_url}/aletsch/{suffix}").put("a.nc", aletsch.read_bytes())
    made = make_references([url], f"{s3_url}/aletsch/{suffix}/a.{suffix}")
    assert made.files == (url,)
    counter = Counter(s3_url, monkeypatch)
    n = 0
    with h5py.File(aletsch) as file:
        names = [name for name in file if file[name].ndim == 2]
        for name in names:
            expected = file[name][()]
            with open_array(made.out, name) as got, open_array(url, name) as direct:
                counter.n_bytes = 0
                values = got.read(1, window=Window(20, 30, 50, 60))
                assert counter.n_bytes <= ALLOWED * file[name].id.get_storage_size()
                np.testing.assert_array_equal(values, expected[::-1][30:90, 20:70])
                np.testing.assert_array_equal(got.read(1), expected[::-1])
                np.testing.assert_array_equal(direct.read(1), expected[::-1])
                n += 1
    assert n == 20
    assert {"x", "y"} <= set(open_references(made.out).coords)


def test_a_window_of_chunked_hdf5_in_s3_costs_its_chunks(s3_url, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(900, 700)).astype("float32")
    with h5py.File(tmp_path / "a.nc", "w") as file:
        for name, n in (("y", 900), ("x", 700)):
            file[name] = np.arange(n) * 30.0
            file[name].make_scale(name)
        packed = {"chunks": (100, 90), "compression": "gzip", "shuffle": True}
        for name, options in (("chunked", packed), ("whole", {})):
            made = file.create_dataset(name, data=values, **options)
            made.dims[0].attach_scale(file["y"])
            made.dims[1].attach_scale(file["x"])
    Objects(f"{s3_url}/hdf5").put("a.nc", (tmp_path / "a.nc").read_bytes())
    for suffix in ("json", "parq"):
        make_references([f"{s3_url}/hdf5/a.nc"], f"{tmp_path}/a.{suffix}")
    refs = json.loads((tmp_path / "a.json").read_text())["refs"]
    counter = Counter(s3_url, monkeypatch)
    for name in ("chunked", "whole"):
        chunks = json.loads(refs[f"{name}/.zarray"])["chunks"]
        for window in (Window(50, 80, 100, 130), Window(0, 0, 700, 900)):
            # y rises, and the raster has it falling
            stored = Window(window.col_off, 900 - window.row_off - window.height, window.width, window.height)
            for suffix in ("json", "parq"):
                with open_array(f"{tmp_path}/a.{suffix}", name) as got:
                    counter.n_bytes = 0
                    got_values = got.read(1, window=window)
                    assert 0 < counter.n_bytes <= ALLOWED * needed(refs, name, chunks, stored)
                rows = slice(int(window.row_off), int(window.row_off + window.height))
                cols = slice(int(window.col_off), int(window.col_off + window.width))
                np.testing.assert_array_equal(got_values, values[::-1][rows, cols])


def test_an_object_that_is_gone_or_cut_is_an_error_that_names_it(cogs, s3_url):
    path, _ = cogs["tiled"]
    place = Objects(f"{s3_url}/moved")
    place.put("a.tif", path.read_bytes())
    make_references([f"{s3_url}/moved/a.tif"], f"{s3_url}/moved/a.json")
    with open_array(f"{s3_url}/moved/a.json", "raster") as got:
        expected = got.read(1)
    place.put("a.tif", path.read_bytes()[:4000])
    with open_array(f"{s3_url}/moved/a.json", "raster") as got:
        with pytest.raises(PoisonError, match=rf"{s3_url}/moved/a\.tif cut"):
            got.read(1)
        with pytest.raises(PoisonError, match=rf"{s3_url}/moved/a\.tif cut"):
            got.read(1, window=Window(900, 1000, 10, 10))
    place.delete("a.tif")
    missing = pytest.raises(PoisonError, match=rf"no target of references {s3_url}/moved/a\.tif")
    with open_array(f"{s3_url}/moved/a.json", "raster") as got, missing:
        got.read(1)
    place.put("a.tif", path.read_bytes())
    with open_array(f"{s3_url}/moved/a.json", "raster") as got:
        np.testing.assert_array_equal(got.read(1), expected)


def test_chunks_that_touch_are_fetched_by_one_request(cogs, s3_url, aletsch):
    Objects(f"{s3_url}/requests").put("a.nc", aletsch.read_bytes())
    with faults() as proxy, open_array(cogs["striped"][1], "raster") as got:
        got.read(1, window=Window(0, 100, 929, 500))
        assert proxy.counts.keys("GET").count("virtual/striped.tif") == 1
    with faults() as proxy, open_array(f"{s3_url}/requests/a.nc", "thkobs") as got:
        got.read(1)
        assert len(proxy.counts.keys("GET")) < 12


def test_a_bad_line_costs_time_and_no_pixel(cogs, tmp_path):
    rules = (
        Rule("503", ("GET",), key=r"\.(tif|json)$", share=0.5, each_once=True),
        Rule("cut", ("GET",), key=r"\.tif$", share=0.5, each_once=True),
    )
    for kind in ("cog", "tiled"):
        path, url = cogs[kind]
        with rasterio.open(path) as d, faults(*rules) as proxy:
            for i in range(8):
                window = Window(100 * i, 90 * i, 200, 150)
                with open_array(url, "raster") as got:
                    np.testing.assert_array_equal(got.read(1, window=window), d.read(1, window=window))
            assert proxy.counts.injected


def test_a_line_that_stays_bad_is_an_error_to_try_again_or_to_stop_at(cogs):
    _, url = cogs["tiled"]
    for kind, expected in (("403", RefusedError), ("cut", TransientError)):
        bad, error = faults(Rule(kind, ("GET",), key=r"\.tif$")), pytest.raises(expected, match=r"tiled\.tif")
        with bad, open_array(url, "raster") as got, error:
            got.read(1, window=Window(0, 0, 100, 100))


def test_a_zarr_cube_in_s3_is_read_in_place(s3_url):
    values = np.arange(2 * 40 * 30, dtype="int16").reshape(2, 40, 30)
    dataset = xr.Dataset(
        {"v": (("mid_date", "y", "x"), values)}, {"y": 5e6 - 120.0 * np.arange(40), "x": 4e5 + 120.0 * np.arange(30)}
    )
    options = {"endpoint_url": filesystem(s3_url).endpoint_url}
    for zarr_format in (2, 3):
        url = f"{s3_url}/cubes/v{zarr_format}.zarr"
        dataset.to_zarr(url, zarr_format=zarr_format, storage_options=options, consolidated=zarr_format == 2)
        for name in (url, f"{url}/"):
            with open_array(name, "v") as got:
                np.testing.assert_array_equal(got.read(2, window=Window(3, 4, 5, 6)), values[1, 4:10, 3:8])
        with pytest.raises(ConfigError, match="did you mean 'v'"), open_array(url, "vv"):
            pass


def test_the_pixel_path_opens_arrays_by_variable(cogs, aletsch):
    path, url = cogs["cog"]
    header = read_header(url, "raster")
    expected = read_header(str(path))
    assert (header.transform, header.crs_wkt, header.nodata) == (
        expected.transform,
        expected.crs_wkt,
        expected.nodata,
    )
    with open_raster(str(aletsch), "thk") as d:
        assert d.read([1], window=Window(0, 0, 4, 5)).shape == (1, 5, 4)


class _Ranges(http.server.BaseHTTPRequestHandler):
    """Files of a folder by range, as archives serve them; what is not below `folder` is 404, `secret` is 403."""

    folder: Path
    fetched = 0

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.folder / self.path.lstrip("/").split("?")[0]
        if "secret" in self.path or not path.is_file():
            self.send_error(403 if "secret" in self.path else 404)
            return
        data = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        part = data[int(asked[1]) : int(asked[2]) + 1] if asked else data
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if asked:
            self.send_header("Content-Range", f"bytes {asked[1]}-{int(asked[1]) + len(part) - 1}/{len(data)}")
        self.end_headers()
        if body:
            type(self).fetched += len(part)
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def web(tmp_path) -> Iterator[tuple[str, Path, type[_Ranges]]]:
    """(URL, folder, handler with its count of bytes) of a server of files."""
    handler = type("Handler", (_Ranges,), {"folder": tmp_path, "fetched": 0})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", tmp_path, handler
    server.shutdown()
    server.server_close()


def test_files_behind_http_are_read_by_range(web, aletsch, cogs):
    url, folder, handler = web
    shutil.copy(aletsch, folder / "a.nc")
    shutil.copy(cogs["cog"][0], folder / "a.tif")
    for name in ("a.nc", "a.tif"):
        make_references([f"{url}/{name}"], f"{folder}/{name}.json")
    assert handler.fetched < sum((folder / n).stat().st_size for n in ("a.nc", "a.tif")) / 2
    with rasterio.open(folder / "a.tif") as d, open_array(f"{folder}/a.tif.json", "raster") as got:
        handler.fetched = 0
        np.testing.assert_array_equal(
            got.read(1, window=Window(5, 5, 100, 100)), d.read(1, window=Window(5, 5, 100, 100))
        )
        assert handler.fetched < (folder / "a.tif").stat().st_size / 5
    for path in (f"{url}/a.nc", f"{url}/a.nc.json"):
        with h5py.File(aletsch) as file, open_array(path, "thk") as got:
            np.testing.assert_array_equal(got.read(1), file["thk"][()][::-1])
    (folder / "a.tif").unlink()
    with open_array(f"{folder}/a.tif.json", "raster") as got, pytest.raises(PoisonError, match=rf"{url}/a\.tif"):
        got.read(1)


def test_a_zarr_cube_behind_http_is_read_in_place(web):
    url, folder, _ = web
    values = np.arange(2 * 40 * 30, dtype="int16").reshape(2, 40, 30)
    dataset = xr.Dataset(
        {"v": (("mid_date", "y", "x"), values)}, {"y": 5e6 - 120.0 * np.arange(40), "x": 4e5 + 120.0 * np.arange(30)}
    )
    for zarr_format in (2, 3):
        dataset.to_zarr(folder / f"v{zarr_format}.zarr", zarr_format=zarr_format, consolidated=True)
        with open_array(f"{url}/v{zarr_format}.zarr", "v") as got:
            np.testing.assert_array_equal(got.read(), values)
        with pytest.raises(ConfigError, match="no such array"), open_array(f"{url}/v{zarr_format}.zarr", "w"):
            pass


def test_access_refused_is_said_and_is_no_hole(web, cogs):
    url, folder, _ = web
    shutil.copy(cogs["cog"][0], folder / "a.tif")
    make_references([f"{url}/a.tif"], f"{folder}/a.json")
    text = (folder / "a.json").read_text().replace("/a.tif", "/secret.tif")
    (folder / "b.json").write_text(text)
    with open_array(f"{folder}/b.json", "raster") as got, pytest.raises(RefusedError, match=r"secret\.tif refused"):
        got.read(1)


def test_training_tiles_are_streamed_from_s3(s3_url, tmp_path):
    size = 64
    with h5py.File(tmp_path / "train.hdf5", "w") as file:
        for i in range(6):
            group = file.create_group(f"ALP-1-{i}")
            group.attrs.update(
                {"epsg": 4326, "height": size, "width": size, "xmin": 8.0, "xmax": 8.1, "ymin": 46.0, "ymax": 46.1}
            )
            group["optical"] = np.full((size, size, 6), 0.1 * (i + 1))
            group["dem"] = np.full((size, size, 2), 1000.0 + i)
            group["outlines"] = np.zeros((size, size, 2))
        one = sum(d.nbytes for d in file["ALP-1-0"].values())
    Objects(f"{s3_url}/tiles").put("train.hdf5", (tmp_path / "train.hdf5").read_bytes())
    with open_tiles(f"{s3_url}/tiles/train.hdf5") as tiles:
        headers = list(tiles.headers())
        for i, header in enumerate(headers):
            before = tiles.ranges.n_bytes
            tile = tiles.read(header)
            assert tiles.ranges.n_bytes - before <= one + 4 * 65536
            assert (tile.values["dem"][0] == 1000.0 + i).all()
    assert len(headers) == 6


def test_the_verb_writes_a_set_and_says_what_is_in_it(cogs, s3_url, tmp_path):
    run = CliRunner().invoke
    out = f"{tmp_path}/a.json"
    shown = run(app, ["reference", str(cogs["cog"][0]), "--out", out])
    assert shown.exit_code == 0, shown.output
    assert "raster" in shown.output and "left out: raster overviews" in shown.output
    told = run(app, ["reference", f"{s3_url}/virtual/ti*.tif", "--out", f"{tmp_path}/b.parq", "--json"])
    assert told.exit_code == 0, told.output
    said = json.loads(told.output)
    assert said["files"] == [f"{s3_url}/virtual/tiled.tif"]
    assert said["chunks"] > 50 and said["bytes_referenced"] > 1e5
    with rasterio.open(cogs["tiled"][0]) as d, open_array(f"{tmp_path}/b.parq", "raster") as got:
        np.testing.assert_array_equal(got.read(1), d.read(1))
    wrong = run(app, ["reference", f"{tmp_path}/none.tif", "--out", out])
    assert isinstance(wrong.exception, ConfigError)
