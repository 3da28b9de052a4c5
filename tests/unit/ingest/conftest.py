"""Fixtures of the tests of ingest."""

from __future__ import annotations

import pytest

from core.tiles import TileStore


@pytest.fixture
def store(tmp_path) -> TileStore:
    """An empty tile store."""
    return TileStore(str(tmp_path / "tiles"))
