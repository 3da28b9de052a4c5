"""What the unit tests share; that it lies here puts `made_glaciers` on the path of every folder below."""

from __future__ import annotations

import uuid

import pytest


@pytest.fixture
def memory_url() -> str:
    """The URL of an empty store in memory, for this test alone."""
    return f"memory://{uuid.uuid4().hex}/root"
