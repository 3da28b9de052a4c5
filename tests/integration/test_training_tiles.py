"""Training tiles end to end: one HDF5 file, named by the sources of a configuration, fills the tile store.

From a disk and over the S3 protocol alike; what arrives is what the file was made from, to a step of the store, and of
the file are read its headers and the arrays of those tiles that lie on the block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from rasterio.windows import Window

from core.config import load_config
from core.grid import Block, Lattice
from core.ingest.arrays import open_array
from core.layout import RunLayout
from core.objects import Objects
from core.sensors import sensor as registered
from core.tiles import TileMarker, TileRead, TileStore
from core.virtual.files import BLOCK_BYTES, RangeFile
from tests.tiny_world import COL, ROW, ZONE, TinyWorld, icefleet, make_world, middle
from tests.training_tiles import INSIDE, STEP_DEG, STORED, TileAt, truth, write_tiles

PRODUCTS = {
    "glavitu_optical": "optical_toa",
    "glavitu_dem": "dem",
    "glavitu_sar_asc": "sar_sigma0_asc",
    "glavitu_sar_desc": "sar_sigma0_desc",
}
ARRAYS = ("optical", "dem", "co_pol_sar", "cross_pol_sar")
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
BLOCK = Block(ZONE, ROW, COL)
OVERLAP = 7 / INSIDE  # of a tile
SLOPED = 0.67  # metres of height along a pixel of a tile


def _tiles() -> list[TileAt]:
    """Four on one grid that overlap around the middle of the block, one that touches the second, one that overlaps that
    and is of another grid, and twelve far away."""
    lon, lat = (float(a[0]) for a in ZONE.unproject_points(*(np.array([m]) for m in middle(0))))
    first = TileAt("HMA-1-1", lon - INSIDE * STEP_DEG, lat + INSIDE * STEP_DEG)
    beside = 1 - OVERLAP
    near = [first.neighbour(f"HMA-{r + 1}-{c + 1}", c * beside, r * beside) for r in (0, 1) for c in (0, 1)]
    near.append(near[1].neighbour("HMA-1-3", 1, 0))
    near.append(near[4].neighbour("HMB-1-1", 5.3 / INSIDE, 1 - 9.4 / INSIDE))
    far = [first.neighbour(f"HMA-8-{k:02d}", 20 + k, 0) for k in range(12)]
    return [first, *near[1:], *far]


NEAR, FAR = _tiles()[:6], _tiles()[6:]


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiles(tmp_path_factory.mktemp("tiles") / "train.hdf5", [*NEAR, *FAR])


@pytest.fixture(params=["disk", "s3"])
def address(request: pytest.FixtureRequest, tiles: Path) -> str:
    if request.param == "disk":
        return str(tiles)
    bucket = f"{request.getfixturevalue('s3_url')}/training"
    Objects(bucket).put(tiles.name, tiles.read_bytes())
    return f"{bucket}/{tiles.name}"


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """Every range that is fetched of a file of arrays, from a disk or over a network."""
    fetched: list[tuple[int, int]] = []
    fetch = RangeFile._fetch

    def noted(self: RangeFile, start: int, end: int) -> bytes:
        fetched.append((start, end))
        return fetch(self, start, end)

    monkeypatch.setattr(RangeFile, "_fetch", noted)
    yield fetched


def world(folder: Path, address: str, **keys: object) -> TinyWorld:
    made = make_world(folder)
    made.edit(
        scenes=None,
        model={"name": "oracle"},
        sensors={sensor: {"res_m": 30} for sensor in PRODUCTS.values()},
        sources=[{"product": name, "catalog": address} for name in PRODUCTS],
        **keys,
    )
    return made


def marker(made: TinyWorld, sensor: str) -> TileMarker:
    config = load_config(made.config)
    found = TileStore(config.tiles).marker(config.epoch_of(sensor), sensor, BLOCK)
    assert found is not None
    return found


def read(made: TinyWorld, sensor: str) -> tuple[TileRead, np.ndarray, np.ndarray]:
    """(the block, longitudes and latitudes of its pixels)."""
    config = load_config(made.config)
    lattice = Lattice(ZONE, 30)
    window = lattice.block_window(BLOCK)
    x, y = np.meshgrid(*lattice.centres_m(window))
    lon, lat = ZONE.unproject_points(x.ravel(), y.ravel())
    got = TileStore(config.tiles).read(config.epoch_of(sensor), ZONE, sensor, window)
    return got, lon.reshape(window.shape), lat.reshape(window.shape)


def inside(lon: np.ndarray, lat: np.ndarray, rim_px: float, tiles: Sequence[TileAt] = NEAR) -> np.ndarray:
    """Pixels in any of the tiles, so far from its rim."""
    rim, out = rim_px * STEP_DEG, np.zeros(lon.shape, dtype=bool)
    for west, south, east, north in (tile.bounds for tile in tiles):
        out |= (lon > west + rim) & (lon < east - rim) & (lat > south + rim) & (lat < north - rim)
    return out


def expected(sensor: str, lon: np.ndarray, lat: np.ndarray) -> dict[str, np.ndarray]:
    if sensor == "optical_toa":
        return {band: truth("optical", k, lon, lat) for k, band in enumerate(BANDS)}
    if sensor == "dem":
        return {"elevation_m": truth("dem", 0, lon, lat)}
    orbit = ("sar_sigma0_asc", "sar_sigma0_desc").index(sensor)
    arrays = {"vv_db": "co_pol_sar", "vh_db": "cross_pol_sar"}
    return {band: 10 * np.log10(truth(array, orbit, lon, lat)) for band, array in arrays.items()}


def test_ingest_fills_the_store_with_the_values_of_the_tiles(tmp_path, address):
    made = world(tmp_path, address)
    called = icefleet("ingest", made.config, "--json")
    assert called.code == 0, called.err
    for sensor in PRODUCTS.values():
        got, lon, lat = read(made, sensor)
        assert got.observed[inside(lon, lat, 1.5)].all(), f"{sensor}: a seam between tiles that meet or overlap"
        assert not got.observed[~inside(lon, lat, -1.5)].any()
        # Beside the outer rim the mosaic of heights, which are steep here, can only repeat the last pixel.
        where = got.observed & inside(lon, lat, 1.5 if sensor == "dem" else -1.5)
        step = 0.01 if sensor == "dem" else registered(sensor).scale_factor
        # A tile alone knows less than half of a pixel at its rim; a mosaic has that in it, where others know all.
        rims = np.any([inside(lon, lat, -1.5, [t]) & ~inside(lon, lat, 1.5, [t]) for t in NEAR], axis=0)
        for band, values in expected(sensor, lon, lat).items():
            error = np.abs(got.values[got.bands.index(band)] - values)
            assert error[where & ~rims].max() <= step, f"{sensor} {band}"
            assert error[where & rims].max() <= (0.25 * SLOPED if sensor == "dem" else step), f"{sensor} {band}"
        if sensor == "dem":
            slope = got.values[got.bands.index("slope_deg")][got.observed & inside(lon, lat, 4)]
            assert 1.0 < np.median(slope) < 1.5 and np.abs(slope - np.median(slope)).max() < 0.5


def test_every_pixel_names_its_tile_and_its_day(tmp_path, tiles):
    made = world(tmp_path, str(tiles))
    assert icefleet("ingest", made.config).code == 0
    for sensor in PRODUCTS.values():
        found = marker(made, sensor)
        assert {scene.id for scene in found.scenes} == {f"{tile.name}-{sensor}" for tile in NEAR}
        assert {scene.date.isoformat() for scene in found.scenes} == {"2024-08-31"}
        assert found.rejected == ()


def test_no_more_is_read_than_headers_and_the_tiles_of_the_block(tmp_path, address, tiles, ranges):
    made = world(tmp_path, address)
    assert icefleet("ingest", made.config).code == 0
    with h5py.File(tiles) as file:
        at = {
            (name, array): (dataset.id.get_offset(), dataset.id.get_storage_size())
            for name, group in file.items()
            for array, dataset in group.items()
        }

    def fetched(name: str, array: str, rim: int = 0) -> int:
        """Bytes of an array, each as often as it was fetched; without its rims, which share blocks with headers."""
        start, end = at[name, array][0] + rim, sum(at[name, array]) - rim
        return sum(max(0, min(b, end) - max(a, start)) for a, b in ranges)

    wanted = {(tile.name, array) for tile in NEAR for array in ARRAYS}
    for name, array in at.keys() - wanted:
        row = BLOCK_BYTES if array == "dem" else 0  # by which it is told whether the file was scaled
        assert fetched(name, array, BLOCK_BYTES) <= row, f"{name}/{array}"
    # The middle of the block, where the tiles lie, is where four pieces of it meet that are made one by one.
    needed, pixels = sum(at[key][1] for key in wanted), sum(fetched(*key) for key in wanted)
    assert 0.5 * needed < pixels < 4 * needed


def test_a_tile_over_a_network_is_one_request(s3_url, tiles, ranges):
    """HDF5 asks for 64 KiB at a time of an array that lies in one piece."""
    Objects(f"{s3_url}/training").put(tiles.name, tiles.read_bytes())
    with open_array(f"{s3_url}/training/{tiles.name}", "HMA-1-1/optical") as array:
        ranges.clear()
        got = array.read(window=Window(0, 10, INSIDE, 60))
        (one,) = ranges
        assert one[1] - one[0] == 60 * STORED * 6 * 8
        with open_array(str(tiles), "HMA-1-1/optical") as local:
            np.testing.assert_array_equal(got, local.read(window=Window(0, 10, INSIDE, 60)))


def test_a_resumed_run_reads_no_header_again(tmp_path, tiles, ranges):
    made = world(tmp_path, str(tiles))
    first = icefleet("ingest", made.config, "--json")
    n = len(ranges)
    again = icefleet("ingest", made.config, "--json")
    assert (first.code, again.code) == (0, 0)
    assert n and len(ranges) == n
    run = Objects(first.json["run"])
    assert run.get_or_none(RunLayout.SEARCHED) is not None


def test_a_tile_that_cannot_be_read_is_left_out_with_the_reason(tmp_path, tiles):
    spoiled = tmp_path / "spoiled.hdf5"
    spoiled.write_bytes(tiles.read_bytes())
    with h5py.File(spoiled, "a") as file:
        del file["HMA-1-1/optical"], file["HMA-1-2/dem"], file["HMA-2-1"].attrs["epsg"]
        file["HMA-1-1/optical"] = np.zeros((STORED, STORED, 5))
    made = world(tmp_path / "world", str(spoiled))
    assert icefleet("ingest", made.config).code == 0
    reasons = {r.id: r.reason for r in marker(made, "optical_toa").rejected}
    assert "cannot be read" in reasons["HMA-1-1-optical_toa"]
    assert reasons["HMA-1-2-optical_toa"] == "broken tile: no array 'dem'"
    assert reasons["HMA-2-1"] == "broken tile: no attribute 'epsg'"
    assert {s.id for s in marker(made, "optical_toa").scenes} == {
        f"{name}-optical_toa" for name in ("HMA-1-3", "HMA-2-2", "HMB-1-1")
    }


def test_a_scaled_file_observes_nothing_and_says_why(tmp_path):
    path = write_tiles(tmp_path / "scaled.hdf5", [TileAt(t.name, t.west, t.north, scaled=True) for t in NEAR])
    made = world(tmp_path, str(path))
    assert icefleet("ingest", made.config).code == 0
    found = marker(made, "optical_toa")
    assert found.observed_fraction == 0.0
    assert len(found.rejected) == len(NEAR) and all("scaled file" in r.reason for r in found.rejected)


def test_an_absent_file_ends_before_anything_is_done(tmp_path):
    made = world(tmp_path, str(tmp_path / "absent.hdf5"))
    called = icefleet("ingest", made.config)
    assert called.code != 0
    assert "sources.0.catalog" in called.err and "absent.hdf5" in called.err
