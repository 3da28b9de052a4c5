"""What a set of references holds, before it is written: arrays of Zarr 2 whose chunks lie in other files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Range = tuple[str, int, int]  # URL, offset, bytes
Index = tuple[int, ...]


@dataclass(frozen=True)
class VirtualArray:
    """One array. fill: of absent chunks; chunk → range of a file, or encoded bytes that the set itself holds.

    filters, compressor: configurations of numcodecs, as Zarr 2 has them; attrs: plain Python.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    refs: Mapping[Index, Range | bytes]
    fill: float | int | bool | None = None
    compressor: dict[str, Any] | None = None
    filters: tuple[dict[str, Any], ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        """Bytes of other files that the array refers to."""
        return sum(ref[2] for ref in self.refs.values() if not isinstance(ref, bytes))


@dataclass(frozen=True)
class VirtualFile:
    """The arrays and groups (path → attributes, "" the root) of one file. skipped: (name, why) of what is left out."""

    url: str
    arrays: Mapping[str, VirtualArray]
    groups: Mapping[str, Mapping[str, Any]]
    skipped: tuple[tuple[str, str], ...] = ()


def whole_inline(values: np.ndarray[Any, Any], dims: tuple[str, ...], attrs: Mapping[str, Any]) -> VirtualArray:
    """A small array that the set itself holds, uncompressed, in one chunk."""
    shape = values.shape
    data = np.ascontiguousarray(values).tobytes()
    return VirtualArray(shape, shape, values.dtype, dims, {(0,) * len(shape): data}, attrs=attrs)
