"""Memory of ingest: a block of 10 m and six bands stays within a worker's share, however many scenes it has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.made_scenes import BANDS, BLOCK, config, grid, raster, scene

BOUND_MB = 2500
CHILD = """
import json, pathlib, re, sys
from core.config import Config
from core.grid import Block
from core.ingest import ingest_block
from core.tiles import TileStore

made = Config.model_validate_json(sys.argv[1])
marker = ingest_block(made, TileStore(sys.argv[2]), Block.parse(sys.argv[3]), "optical")
# Not ru_maxrss, which begins with the memory of the process that started this one.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps([marker.observed_fraction, len(marker.scenes), peak]))
"""


@pytest.mark.parametrize(("strategy", "n_scenes"), [("median", 12)])  # holds the most at once
def test_a_block_of_ten_metres_stays_within_bounds(strategy, n_scenes, tmp_path):
    transform, rows, cols = grid(60.0)
    scenes = []
    for k in range(n_scenes):
        rng = np.random.default_rng(k)
        dn = rng.integers(1, 9000, (6, rows, cols)).astype(np.uint16)
        dn[:, rng.random((rows, cols)) < 0.05] = 0
        path = raster(tmp_path / f"{k}.tif", dn, transform, nodata=0)
        scenes.append(scene(path, BANDS, f"s{k}", scale=1e-4))
    made = config(*scenes, res_m=10, composite=strategy).model_dump_json(exclude_defaults=True)
    command = [sys.executable, "-c", CHILD, made, str(tmp_path / "tiles"), BLOCK.name]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]).stdout
    observed, n_used, peak_mb = json.loads(said)
    assert observed > 0.99 and n_used == n_scenes
    assert peak_mb < BOUND_MB
    print(f"{strategy} of {n_scenes}: {peak_mb:.0f} MB")
