"""The mosaic: what was committed reads back across blocks; what was not is named and never passes for data."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
import xarray as xr

from core.errors import PoisonError, SystemicError
from core.grid import Block, Lattice, PixelWindow, Zone
from core.layout import RunLayout
from core.ledger import Failure, Ledger
from core.mosaic import Mosaic, MosaicReader
from core.objects import Objects
from core.stitch import NOT_OBSERVED
from core.tiles import SceneRef

ZONE = Zone("utm45n")
LATTICE = Lattice(ZONE, 120)
N = LATTICE.block_px
A, B, C, D = (Block(ZONE, row, col) for row in (226, 227) for col in (15, 16))
AREA = PixelWindow(226 * N, 228 * N, 15 * N, 17 * N)
MAY = SceneRef("may", dt.date(2020, 5, 1), "optical")
JUNE = SceneRef("june", dt.date(2020, 6, 1), "optical")
JULY = SceneRef("july", dt.date(2020, 7, 1), "sar")


def pixels(seed: int, n_scenes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 256, (N, N)).astype(np.uint8)
    scene = rng.integers(1, n_scenes + 1, (N, N)).astype(np.uint8)
    scene[probability == NOT_OBSERVED] = 0
    return probability, scene


def commit(url: str, block: Block, seed: int, *scenes: SceneRef, sensors: tuple[str, ...] = ("optical",)) -> None:
    """Write and commit a block as the mapper does."""
    probability, scene = pixels(seed, len(scenes))
    Mosaic(url).write_block(LATTICE, block, probability, scene)
    commit_only(url, block, seed, *scenes, sensors=sensors)


def commit_only(url: str, block: Block, seed: int, *scenes: SceneRef, sensors: tuple[str, ...] = ("optical",)) -> None:
    scenes = scenes or (JUNE,)
    probability, _ = pixels(seed, len(scenes))
    Ledger(Objects(url)).commit(
        "map",
        block.name,
        {
            "windows": 1,
            "pixels": int((probability != NOT_OBSERVED).sum()),
            "sensors": list(sensors),
            "scenes": [{"id": s.id, "date": s.date.isoformat(), "sensor": s.sensor} for s in scenes],
        },
    )


def reader(url: str, *planned: Block) -> MosaicReader:
    return MosaicReader(Mosaic(url), Ledger(Objects(url)), LATTICE, {b.name for b in planned})


def shard(block: Block, name: str = "probability") -> str:
    return f"{RunLayout.probability(ZONE)}/{name}/c/{block.row}/{block.col}"


def test_a_window_across_four_blocks_is_what_was_written(memory_url):
    for k, block in enumerate((A, B, C, D)):
        commit(memory_url, block, k, MAY)
    window = PixelWindow(227 * N - 40, 227 * N + 90, 16 * N - 100, 16 * N + 17)
    found, _, _ = reader(memory_url, A, B, C, D).read(window)
    whole = np.block([[pixels(0, 1)[0], pixels(1, 1)[0]], [pixels(2, 1)[0], pixels(3, 1)[0]]])
    np.testing.assert_array_equal(found.probability, whole[window.slices(AREA)])
    assert found.missing == ()
    np.testing.assert_array_equal(found.scene >= 0, found.probability != NOT_OBSERVED)


def test_scene_numbers_of_several_blocks_mean_the_same_scenes(memory_url):
    commit(memory_url, A, 0, MAY, JUNE)
    commit(memory_url, B, 1, JUNE, JULY, sensors=("sar", "optical"))
    mosaic = reader(memory_url, A, B)
    mosaic.read(LATTICE.block_window(B))  # what was read before must not change what numbers mean
    found, scenes, sensors = mosaic.read(PixelWindow(226 * N, 227 * N, 15 * N, 17 * N))
    assert sensors == ("optical", "sar")
    for half, seed, refs in ((slice(0, N), 0, (MAY, JUNE)), (slice(N, 2 * N), 1, (JUNE, JULY))):
        number = pixels(seed, 2)[1]
        for k, ref in enumerate(refs, start=1):
            assert (found.scene[:, half][number == k] == scenes.index(ref)).all()
        assert (found.scene[:, half][number == 0] == -1).all()


def test_what_was_not_planned_is_not_observed_and_not_missing(memory_url):
    commit(memory_url, A, 0, MAY)
    commit(memory_url, B, 1, MAY)
    found, _, _ = reader(memory_url, A).read(AREA)
    assert found.missing == ()
    assert (found.probability[:, N:] == NOT_OBSERVED).all()
    assert (found.probability[N:] == NOT_OBSERVED).all()
    np.testing.assert_array_equal(found.probability[:N, :N], pixels(0, 1)[0])


def test_a_window_beyond_the_zone_is_not_observed(memory_url):
    commit(memory_url, A, 0, MAY)
    found, _, _ = reader(memory_url, A).read(PixelWindow(-20, -10, -30, 5))
    assert found.probability.shape == (10, 35)
    assert (found.probability == NOT_OBSERVED).all()


def test_a_planned_block_without_a_commit_is_missing_whatever_bytes_lie_there(memory_url):
    commit(memory_url, A, 0, MAY)
    Mosaic(memory_url).write_block(LATTICE, B, *pixels(1, 1))
    found, _, _ = reader(memory_url, A, B).read(AREA)
    assert found.missing == ((B.name, "it has no commit"),)
    assert (found.probability[:N, N:] == NOT_OBSERVED).all()


def test_a_block_in_quarantine_is_missing_with_its_reason(memory_url):
    commit(memory_url, A, 0, MAY)
    Ledger(Objects(memory_url)).quarantine(Failure.of("map", B.name, PoisonError("tile", found="a torn chunk")))
    found, _, _ = reader(memory_url, A, B).read(AREA)
    ((name, why),) = found.missing
    assert name == B.name
    assert "a torn chunk" in why


@pytest.mark.parametrize("array", ["probability", "scene"])
def test_a_lost_shard_is_missing_and_not_unobserved(memory_url, array):
    commit(memory_url, A, 0, MAY)
    Objects(memory_url).delete(shard(A, array))
    found, _, _ = reader(memory_url, A).read(LATTICE.block_window(A))
    ((name, why),) = found.missing
    assert name == A.name
    assert "as committed" in why


@pytest.mark.parametrize("array", ["probability", "scene"])
def test_a_flipped_byte_is_missing_and_not_a_number(memory_url, array):
    commit(memory_url, A, 0, MAY)
    objects = Objects(memory_url)
    data = bytearray(objects.get(shard(A, array)))
    data[len(data) // 2] ^= 0xFF
    objects.put(shard(A, array), bytes(data))
    found, _, _ = reader(memory_url, A).read(LATTICE.block_window(A))
    assert [name for name, _ in found.missing] == [A.name]


def test_a_block_is_fetched_once_for_many_windows(memory_url, monkeypatch):
    commit(memory_url, A, 0, MAY)
    calls = []
    original = Mosaic.read_block
    monkeypatch.setattr(Mosaic, "read_block", lambda self, *a: calls.append(a) or original(self, *a))
    mosaic = reader(memory_url, A)
    for k in range(5):
        mosaic.read(PixelWindow(226 * N + k, 226 * N + 9, 15 * N, 15 * N + 4))
    assert len(calls) == 1


@pytest.mark.parametrize("backend", ["obstore", "fsspec"])
def test_the_stored_mosaic_opens_in_xarray_with_probabilities_and_coordinates(tmp_path, backend):
    mosaic = Mosaic(str(tmp_path), backend)
    probability, scene = pixels(0, 1)
    mosaic.write_block(LATTICE, A, probability, scene)
    ds = xr.open_zarr(tmp_path / RunLayout.probability(ZONE), chunks=None, decode_coords="all")
    xmin, ymin, xmax, ymax = A.bounds_m
    part = ds.sel(x=slice(xmin, xmax), y=slice(ymax, ymin))
    expected = np.where(probability == NOT_OBSERVED, np.nan, probability / 254)
    np.testing.assert_allclose(part.probability.values, expected, atol=1e-6)
    np.testing.assert_array_equal(part.scene.values, scene)
    assert np.isnan(ds.probability.isel(x=0, y=0).item())


def test_writing_a_block_again_with_another_process_gives_the_same(memory_url):
    for _ in range(2):
        Mosaic(memory_url).write_block(LATTICE, A, *pixels(0, 1))
    stored, numbered, spread = Mosaic(memory_url).read_block(LATTICE, A)
    assert spread is None
    np.testing.assert_array_equal(stored, pixels(0, 1)[0])
    np.testing.assert_array_equal(numbered, pixels(0, 1)[1])


def spread_of(probability: np.ndarray) -> np.ndarray:
    return np.where(probability == NOT_OBSERVED, NOT_OBSERVED, probability // 3).astype(np.uint8)


def test_the_spread_of_votes_lies_beside_the_probability(memory_url):
    for block, seed in ((A, 0), (B, 1)):
        probability, scene = pixels(seed, 1)
        Mosaic(memory_url, spread=True).write_block(LATTICE, block, probability, scene, spread_of(probability))
        commit_only(memory_url, block, seed)
    found, _, _ = MosaicReader(
        Mosaic(memory_url, spread=True), Ledger(Objects(memory_url)), LATTICE, {A.name, B.name}
    ).read(AREA)
    assert found.missing == () and found.spread is not None
    np.testing.assert_array_equal(found.spread, spread_of(found.probability))


def test_a_lost_shard_of_spreads_is_missing_and_not_agreement(memory_url):
    probability, scene = pixels(0, 1)
    Mosaic(memory_url, spread=True).write_block(LATTICE, A, probability, scene, spread_of(probability))
    commit_only(memory_url, A, 0)
    Objects(memory_url).delete(shard(A, "spread"))
    found, _, _ = MosaicReader(Mosaic(memory_url, spread=True), Ledger(Objects(memory_url)), LATTICE, {A.name}).read(
        LATTICE.block_window(A)
    )
    assert [name for name, _ in found.missing] == [A.name]


def test_a_spread_where_there_is_none_or_the_other_way_round_is_refused(memory_url):
    probability, scene = pixels(0, 1)
    with pytest.raises(SystemicError, match="spread"):
        Mosaic(memory_url).write_block(LATTICE, A, probability, scene, probability)
    with pytest.raises(SystemicError, match="spread"):
        Mosaic(memory_url, spread=True).write_block(LATTICE, A, probability, scene)
    assert Objects(memory_url).list() == []


def test_reading_where_nothing_was_ever_written_is_poison(memory_url):
    with pytest.raises(PoisonError, match="no mosaic"):
        Mosaic(memory_url).read_block(LATTICE, A)


@pytest.mark.parametrize(
    ("probability", "scene", "block"),
    [
        (np.zeros((N, N - 1), np.uint8), np.zeros((N, N), np.uint8), A),
        (np.zeros((N, N), np.uint8), np.zeros((N, N), np.int16), A),
        (np.zeros((N, N), np.float32), np.zeros((N, N), np.uint8), A),
        (np.zeros((N, N), np.uint8), np.zeros((N, N), np.uint8), Block(Zone("utm44n"), 226, 15)),
    ],
)
def test_what_is_not_a_whole_block_is_refused_before_any_byte(memory_url, probability, scene, block):
    with pytest.raises(SystemicError, match=block.name):
        Mosaic(memory_url).write_block(LATTICE, block, probability, scene)
    assert Objects(memory_url).list() == []
