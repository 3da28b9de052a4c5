"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Tests never assert a time. Where a gate runs them they try the same examples every time, so that it stops a change
# for what the change did; elsewhere they keep looking for new ones.
settings.register_profile("icefleet", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("icefleet")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # `tests.…`, also for a plain `pytest`
pytest_plugins = ("tests.s3_server",)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real sample data: $ICEFLEET_SAMPLES, by default ../shared/samples beside the repository."""
    path = Path(os.environ.get("ICEFLEET_SAMPLES", ROOT.parent / "shared" / "samples"))
    if not path.is_dir():
        pytest.skip(f"no sample data at {path}; point ICEFLEET_SAMPLES at a copy")
    return path
