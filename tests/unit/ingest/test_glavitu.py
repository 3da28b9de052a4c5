"""Training tiles of GlaViTU, from files written here in exactly their layout."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import h5py
import numpy as np
import pytest
from rasterio.windows import Window

from core.errors import ConfigError, PoisonError
from core.ingest.arrays import open_array
from core.ingest.glavitu import CHANNELS, LABELS, SOURCES, UNLABELLED, open_tiles, scenes_of_tiles

SIZE, HEIGHT, WIDTH = 48, 41, 45  # stored and original: the padding is odd, and lies half before
TOP, LEFT = (SIZE - HEIGHT) // 2, (SIZE - WIDTH) // 2
INSIDE = np.s_[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH]
PHYSICAL = {
    "optical": (0.02, 0.9),
    "dem": (10.0, 3000.0),
    "co_pol_sar": (0.01, 0.5),
    "cross_pol_sar": (0.001, 0.1),
    "in_sar": (0.1, 0.95),
    "thermal": (250.0, 290.0),
}


def write_tile(
    file: h5py.File, name: str, *, without: tuple[str, ...] = (), seed: int = 0, orbits: tuple[int, ...] = (0, 1)
) -> dict[str, np.ndarray]:
    """One group; returns its arrays without padding, (h, w, channel)."""
    rng = np.random.default_rng(seed)
    group = file.create_group(name)
    west, north = 8.0 + 0.01 * seed, 46.5
    group.attrs.update(
        {
            "region": "ALP", "subregion": "ALP1", "tile_name": name, "epsg": 4326, "height": SIZE, "width": SIZE,
            "original_height": HEIGHT, "original_width": WIDTH, "padding_height": TOP, "padding_width": LEFT,
            "xmin": west, "xmax": west + 1e-4 * WIDTH, "ymin": north - 1e-4 * HEIGHT, "ymax": north,
        }
    )  # fmt: skip
    made = {}
    for array, channels in CHANNELS.items():
        if array in without:
            continue
        values = np.zeros((SIZE, SIZE, channels))
        values[INSIDE] = rng.uniform(*PHYSICAL[array], (HEIGHT, WIDTH, channels))
        if array.endswith("sar"):
            for orbit in {0, 1} - set(orbits):
                values[..., orbit] = 0.0
        group[array] = values
        made[array] = values[INSIDE]
    for array, classes in LABELS.items():
        labels = np.zeros((SIZE, SIZE, classes))
        labels[INSIDE] = np.eye(classes)[rng.integers(0, classes, (HEIGHT, WIDTH))]
        labels[TOP + 2, LEFT : LEFT + 5] = 0.0
        group[array] = labels.astype("uint8") if classes == 3 else labels
        made[array] = labels[INSIDE]
    return made


@pytest.fixture
def archive(tmp_path) -> tuple[Path, dict[str, dict[str, np.ndarray]]]:
    path, made = tmp_path / "train.hdf5", {}
    with h5py.File(path, "w") as file:
        made["ALP-1-1"] = write_tile(file, "ALP-1-1", seed=1)
        made["ALP-1-2"] = write_tile(file, "ALP-1-2", seed=2, without=("thermal",), orbits=(1,))
        sar = ("co_pol_sar", "cross_pol_sar", "in_sar", "thermal")
        made["NZ1-4-10"] = write_tile(file, "NZ1-4-10", seed=3, without=sar)
    return path, made


def test_headers_say_what_a_tile_has_without_reading_a_pixel(archive):
    path, _ = archive
    with open_tiles(str(path)) as tiles:
        headers = {h.name: h for h in tiles.headers()}
        assert tiles.ranges.n_bytes < path.stat().st_size / 2
    assert list(headers) == ["ALP-1-1", "ALP-1-2", "NZ1-4-10"]
    first = headers["ALP-1-1"]
    assert (first.region, first.subregion, first.epsg, first.shape) == ("ALP", "ALP1", 4326, (HEIGHT, WIDTH))
    assert first.bounds == pytest.approx((8.01, 46.5 - 1e-4 * HEIGHT, 8.01 + 1e-4 * WIDTH, 46.5))
    assert first.sensors == tuple(SOURCES)
    assert headers["NZ1-4-10"].sensors == ("optical_toa", "dem")


def test_a_tile_comes_in_the_units_of_our_sensors_without_padding(archive):
    path, made = archive
    with open_tiles(str(path)) as tiles:
        tile = tiles.read("ALP-1-1")
    stored = made["ALP-1-1"]
    assert tile.values.keys() == SOURCES.keys()
    assert all(v.dtype == np.float32 and v.shape[1:] == (HEIGHT, WIDTH) for v in tile.values.values())
    np.testing.assert_array_equal(tile.values["optical_toa"], stored["optical"].transpose(2, 0, 1).astype("float32"))
    np.testing.assert_array_equal(tile.values["dem"][0], stored["dem"][..., 0].astype("float32"))
    np.testing.assert_array_equal(tile.values["thermal"][0], stored["thermal"][..., 0].astype("float32"))
    for orbit, name in enumerate(("asc", "desc")):
        decibels = tile.values[f"sar_sigma0_{name}"]
        np.testing.assert_allclose(10 ** (decibels[0] / 10), stored["co_pol_sar"][..., orbit], rtol=1e-5)
        np.testing.assert_allclose(10 ** (decibels[1] / 10), stored["cross_pol_sar"][..., orbit], rtol=1e-5)
        np.testing.assert_array_equal(
            tile.values[f"coherence_{name}"][0], stored["in_sar"][..., orbit].astype("float32")
        )


def test_labels_are_classes_and_255_where_nothing_is_labelled(archive):
    path, made = archive
    with open_tiles(str(path)) as tiles:
        tile = tiles.read("NZ1-4-10")
    for labels, one_hot in ((tile.outlines, "outlines"), (tile.bright_dark, "bright_dark_outlines")):
        assert labels is not None and labels.dtype == np.uint8
        assert (labels[2, :5] == UNLABELLED).all()
        labelled = labels != UNLABELLED
        assert labelled.sum() == HEIGHT * WIDTH - 5
        np.testing.assert_array_equal(labels[labelled], made["NZ1-4-10"][one_hot].argmax(axis=-1)[labelled])


def test_an_orbit_that_was_not_flown_is_left_out_and_zeros_are_no_values(archive):
    path, _ = archive
    with open_tiles(str(path)) as tiles:
        tile = tiles.read("ALP-1-2")
    assert tile.values.keys() == {"optical_toa", "dem", "sar_sigma0_desc", "coherence_desc"}
    with h5py.File(path, "a") as file:
        file["ALP-1-1/thermal"][TOP, LEFT] = 0.0
        file["ALP-1-1/optical"][TOP, LEFT] = 0.0
        file["ALP-1-1/optical"][TOP, LEFT + 1, 0] = 0.0
    with open_tiles(str(path)) as tiles:
        tile = tiles.read("ALP-1-1")
    assert np.isnan(tile.values["thermal"][0, 0, 0])
    assert np.isnan(tile.values["optical_toa"][:, 0, 0]).all()
    assert tile.values["optical_toa"][0, 0, 1] == 0.0


def test_no_more_than_one_tile_is_ever_read_for_one(archive):
    path, _ = archive
    with h5py.File(path) as file:
        of_tile = {name: sum(d.nbytes for d in group.values()) for name, group in file.items()}
    with open_tiles(str(path)) as tiles:
        headers = list(tiles.headers())
        for header in headers:
            before = tiles.ranges.n_bytes
            tiles.read(header)
            assert tiles.ranges.n_bytes - before <= of_tile[header.name] + 2 * 65536
        assert tiles.ranges.n_bytes <= sum(of_tile.values()) + 8 * 65536


def test_scaled_values_are_refused_until_their_ranges_are_given(archive, tmp_path):
    path, made = archive
    ranges = {name: [PHYSICAL[name]] * n for name, n in CHANNELS.items()}
    for name in ("co_pol_sar", "cross_pol_sar"):
        ranges[name] = [(-6.0, 2.0)] * 2
    with h5py.File(path, "a") as file:
        for name in CHANNELS:
            stored = file[f"ALP-1-1/{name}"][INSIDE]
            if name.endswith("pol_sar"):
                stored = np.log10(stored + 1e-6)
            low, high = np.array(ranges[name]).T
            file[f"ALP-1-1/{name}"][INSIDE] = (stored - low) / (high - low)
    with open_tiles(str(path)) as tiles:
        with pytest.raises(ConfigError, match="tile ALP-1-1: found elevations between"):
            tiles.read("ALP-1-1")
        tile = tiles.read("ALP-1-1", ranges=ranges)
    with pytest.raises(ConfigError, match="scaled values"):
        scenes_of_tiles(str(path), dt.date(2015, 8, 1))
    stored = made["ALP-1-1"]
    np.testing.assert_allclose(tile.values["dem"][0], stored["dem"][..., 0], rtol=1e-5)
    power = 10 ** (tile.values["sar_sigma0_desc"][0] / 10)
    np.testing.assert_allclose(power, stored["co_pol_sar"][..., 1], rtol=1e-4)


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda g: g.__delitem__("dem"), "no array 'dem'"),
        (lambda g: g.attrs.__delitem__("xmin"), "no attribute 'xmin'"),
        (lambda g: g.attrs.__setitem__("padding_height", 40), "padding of 40"),
        (lambda g: g.attrs.__setitem__("xmin", 99.0), "bounds"),
    ],
)
def test_a_broken_header_names_file_and_tile(archive, break_it, says):
    path, _ = archive
    with h5py.File(path, "a") as file:
        break_it(file["ALP-1-2"])
    with open_tiles(str(path)) as tiles, pytest.raises(PoisonError, match=rf"train\.hdf5 tile ALP-1-2.*{says}"):
        list(tiles.headers())


def test_a_broken_array_names_file_and_tile(archive):
    path, _ = archive
    with h5py.File(path, "a") as file:
        del file["ALP-1-2/optical"]
        file["ALP-1-2/optical"] = np.zeros((SIZE, SIZE, 5))
        del file["ALP-1-1/dem"]
        noise = np.random.default_rng(0).normal(size=(SIZE, SIZE, 2))
        made = file.create_dataset("ALP-1-1/dem", data=noise, chunks=(SIZE, SIZE, 2), compression="gzip")
        chunk = made.id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 100 : chunk.byte_offset + 200] = bytes(100)
    path.write_bytes(data)
    with open_tiles(str(path)) as tiles:
        with pytest.raises(PoisonError, match=r"train\.hdf5 tile ALP-1-2: found optical of shape"):
            tiles.read("ALP-1-2")
        with pytest.raises(PoisonError, match=r"train\.hdf5 tile ALP-1-1"):
            tiles.read("ALP-1-1")
        assert "dem" in tiles.read("NZ1-4-10").values


def test_tiles_are_scenes_that_the_pixel_path_reads(archive):
    path, made = archive
    scenes = {s.id: s for s in scenes_of_tiles(str(path), dt.date(2015, 8, 1))}
    assert len(scenes) == len(SOURCES) + len(SOURCES) - 1 + 2
    optical = scenes["ALP-1-1-optical_toa"]
    assert (optical.sensor, optical.date) == ("optical_toa", dt.date(2015, 8, 1))
    (file,) = optical.files
    assert (file.variable, file.crs, file.bands["nir"]) == ("ALP-1-1/optical", "EPSG:4326", 4)
    with open_array(file.path, file.variable) as got:
        assert (got.height, got.width, got.count, got.crs.to_epsg()) == (HEIGHT, WIDTH, 6, 4326)
        assert (got.transform.c, got.transform.f) == (8.01, 46.5)
        assert (got.transform.a, got.transform.e) == (pytest.approx(1e-4), pytest.approx(-1e-4))
        window = Window(3, 5, 11, 7)
        expected = made["ALP-1-1"]["optical"][5:12, 3:14].transpose(2, 0, 1)
        np.testing.assert_array_equal(got.read(list(file.bands.values()), window=window), expected)
    sar = scenes["ALP-1-1-sar_sigma0_desc"].files
    assert [(f.variable, f.bands, f.linear_power) for f in sar] == [
        ("ALP-1-1/co_pol_sar", {"vv_db": 2}, True),
        ("ALP-1-1/cross_pol_sar", {"vh_db": 2}, True),
    ]
    only = scenes_of_tiles(str(path), dt.date(2015, 8, 1), ["thermal"])
    assert [s.id for s in only] == ["ALP-1-1-thermal"]
    with pytest.raises(ConfigError, match="no array of the tiles"):
        scenes_of_tiles(str(path), dt.date(2015, 8, 1), ["velocity"])
