"""Pixels of a SIMULATED site ↔ metres of its zone, for north-up transforms."""

from __future__ import annotations

from affine import Affine

from core.simulate.noise import F64


def to_zone(transform: Affine, col: F64, row: F64) -> tuple[F64, F64]:
    """Fractional (column, row), whole numbers at pixel corners → (easting, northing) in metres."""
    return transform.c + transform.a * col, transform.f + transform.e * row


def to_pixels(transform: Affine, x: F64, y: F64) -> tuple[F64, F64]:
    """Inverse of `to_zone`: (column, row)."""
    return (x - transform.c) / transform.a, (y - transform.f) / transform.e
