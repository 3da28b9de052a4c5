"""Fixtures of the release tests."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # for release_factory

_names = itertools.count()


@pytest.fixture
def url() -> str:
    """An empty place for a release, in memory."""
    return f"memory://release-{next(_names)}"


@pytest.fixture
def released(url: str) -> str:
    """A small release without a fault."""
    from release_factory import publish

    publish(url)
    return url
