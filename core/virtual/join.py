"""One set of references of several files, if their grids agree.

Two ways: `stack`, the same grid again and again (a time series), and `mosaic`, tiles of one grid side by side. A file
that does not fit is named, with what differs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.errors import ConfigError
from core.virtual.layout import Index, Range, VirtualArray, VirtualFile, whole_inline

FILE_DIM = "file"  # of stacked arrays: one step per file, in the order they were given


def join(files: Sequence[VirtualFile]) -> VirtualFile:
    """One set of several files. Raises ConfigError naming the first file that does not fit the first one."""
    if len(files) == 1:
        return files[0]
    places = [_georeference(file) for file in files]
    if None in places or len(set(places)) == 1:
        return stack(files)
    return mosaic(files)


def stack(files: Sequence[VirtualFile]) -> VirtualFile:
    """Files of one grid, one behind the other.

    Arrays of two dimensions get `file` before them; those of three run on along their first dimension, and so does the
    coordinate of its name. Everything else must be the same in all files.
    """
    first = files[0]
    for other in files[1:]:
        _check_same(first, other)
    long_dims = {a.dims[0] for a in first.arrays.values() if len(a.shape) == 3}
    arrays = {name: _stacked(name, files, long_dims) for name in first.arrays}
    skipped = tuple(dict.fromkeys(s for file in files for s in file.skipped))
    return VirtualFile(first.url, arrays, {**first.groups, "": _with_files(first, files)}, skipped)


def mosaic(files: Sequence[VirtualFile]) -> VirtualFile:
    """GeoTIFFs of one grid, side by side. Gaps are fill; tiles may touch, and not overlap.

    A chunk of the set is a chunk of a file, so every file must begin where a chunk of the set does, and end there too
    unless nothing follows.
    """
    first = files[0]
    place = _georeference(first)
    if place is None or len(first.arrays) != 2:
        raise ConfigError(first.url, found="no GeoTIFF", expected="GeoTIFFs, to be joined side by side")
    name = next(n for n, a in first.arrays.items() if len(a.shape) > 1)
    left, dx, _, top, _, dy = place
    model = first.arrays[name]
    y, x = model.dims.index("y"), model.dims.index("x")
    corners = []
    for file in files:
        array, at = file.arrays.get(name), _georeference(file)
        if array is None or at is None:
            raise ConfigError(file.url, found="no GeoTIFF", expected=f"a raster like {first.url}")
        _check_mosaic(first, file, model, array, place, at)
        corners.append(((at[3] - top) / dy, (at[0] - left) / dx))
    origin = min(row for row, _ in corners), min(col for _, col in corners)
    placed = []
    for file, (row, col) in zip(files, corners, strict=True):
        start = round(row - origin[0]), round(col - origin[1])
        off = max(abs(row - origin[0] - start[0]), abs(col - origin[1] - start[1]))
        if off > 1e-3 or start[0] % model.chunks[y] or start[1] % model.chunks[x]:
            raise ConfigError(
                file.url,
                found=f"a corner {start[0]} rows and {start[1]} columns from the others', {off:.3g} px beside a pixel",
                expected=f"a whole number of chunks of {model.chunks[y]} × {model.chunks[x]} px",
                fix="make one set per file",
            )
        placed.append((file, file.arrays[name], start))
    shape = list(model.shape)
    shape[y] = max(s[0] + a.shape[y] for _, a, s in placed)
    shape[x] = max(s[1] + a.shape[x] for _, a, s in placed)
    refs: dict[Index, Range | bytes] = {}
    owner: dict[Index, str] = {}
    for file, array, start in placed:
        _check_ends(file, array, start, shape, (y, x))
        shift = [0] * len(shape)
        shift[y], shift[x] = start[0] // model.chunks[y], start[1] // model.chunks[x]
        for index, ref in array.refs.items():
            moved = tuple(i + s for i, s in zip(index, shift, strict=True))
            if moved in owner:
                raise ConfigError(file.url, found=f"pixels that {owner[moved]} has too", expected="tiles side by side")
            refs[moved], owner[moved] = ref, file.url
    geo = f"{left + dx * origin[1]!r} {dx!r} 0.0 {top + dy * origin[0]!r} 0.0 {dy!r}"
    fill = model.fill if model.fill is not None else 0
    joined = dataclasses.replace(
        model, shape=tuple(shape), refs=refs, fill=fill, attrs={**model.attrs, "GeoTransform": geo}
    )
    arrays = {**first.arrays, name: joined}
    for other, array in first.arrays.items():
        if other != name:
            arrays[other] = dataclasses.replace(array, attrs={**array.attrs, "GeoTransform": geo})
    skipped = tuple(dict.fromkeys(s for file in files for s in file.skipped))
    return VirtualFile(first.url, arrays, {**first.groups, "": _with_files(first, files)}, skipped)


def _georeference(file: VirtualFile) -> tuple[float, ...] | None:
    """(left, dx, 0, top, 0, dy) of a GeoTIFF that is not rotated."""
    for array in file.arrays.values():
        text = array.attrs.get("GeoTransform")
        if text is not None and len(array.shape) > 1:
            return tuple(float(v) for v in str(text).split())
    return None


def _with_files(first: VirtualFile, files: Sequence[VirtualFile]) -> dict[str, Any]:
    return {**first.groups.get("", {}), "files": [file.url.rsplit("/", 1)[-1] for file in files]}


def _signature(array: VirtualArray) -> dict[str, Any]:
    """What two arrays must share to be read as one."""
    return {
        "type": array.dtype.str,
        "chunks": array.chunks,
        "dimensions": array.dims,
        "fill": repr(array.fill) if array.fill is not None else "",
        "compression": array.compressor,
        "filters": array.filters,
        **{key: array.attrs.get(key) for key in ("crs_wkt", "_FillValue", "scale_factor", "add_offset")},
    }


def _check_same(first: VirtualFile, other: VirtualFile) -> None:
    if first.arrays.keys() != other.arrays.keys():
        names = sorted(set(first.arrays) ^ set(other.arrays))
        raise ConfigError(other.url, found=f"not the same arrays: {', '.join(names[:5])}", expected=f"as {first.url}")
    for name, array in first.arrays.items():
        against = other.arrays[name]
        free = 1 if len(array.shape) == 3 else 0
        ours, theirs = _signature(array), _signature(against)
        ours["shape"], theirs["shape"] = array.shape[free:], against.shape[free:]
        ours["GeoTransform"], theirs["GeoTransform"] = (a.attrs.get("GeoTransform") for a in (array, against))
        ours.pop("fill"), theirs.pop("fill")
        if len(array.shape) < 2:
            for side in (ours, theirs):  # coordinates are compared by value, or run on
                side.pop("chunks"), side.pop("shape")
        _check_equal(f"{other.url} array {name!r}", ours, theirs, first.url)


def _check_equal(where: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], model: str) -> None:
    for key, wanted in ours.items():
        if theirs[key] != wanted:
            found, expected = f"{key} {str(theirs[key])[:90]}", f"{str(wanted)[:90]}, as in {model}"
            raise ConfigError(where, found=found, expected=expected, fix="make one set per file")


def _check_mosaic(
    first: VirtualFile,
    file: VirtualFile,
    model: VirtualArray,
    array: VirtualArray,
    place: Sequence[float],
    at: Sequence[float],
) -> None:
    ours, theirs = _signature(model), _signature(array)
    ours.pop("fill"), theirs.pop("fill")
    ours["pixel"], theirs["pixel"] = (tuple(p[i] for i in (1, 2, 4, 5)) for p in (place, at))
    _check_equal(file.url, ours, theirs, first.url)


def _check_ends(
    file: VirtualFile, array: VirtualArray, start: tuple[int, int], shape: Sequence[int], axes: tuple[int, int]
) -> None:
    for axis, first in zip(axes, start, strict=True):
        end = first + array.shape[axis]
        if end < shape[axis] and end % array.chunks[axis]:
            raise ConfigError(
                file.url,
                found=f"{array.shape[axis]} px along {array.dims[axis]}, and others behind them",
                expected=f"a multiple of its chunks of {array.chunks[axis]} px",
                fix="make one set per file",
            )


def _stacked(name: str, files: Sequence[VirtualFile], long_dims: set[str]) -> VirtualArray:
    parts = [file.arrays[name] for file in files]
    first = parts[0]
    fill = next((p.fill for p in parts if p.fill is not None), None)
    if len(first.shape) == 2:
        refs = {(k, *index): ref for k, part in enumerate(parts) for index, ref in part.refs.items()}
        return dataclasses.replace(
            first,
            shape=(len(parts), *first.shape),
            chunks=(1, *first.chunks),
            dims=(FILE_DIM, *first.dims),
            refs=refs,
            fill=fill,
        )
    if len(first.shape) == 3 or (len(first.shape) == 1 and first.dims[0] in long_dims):
        return _continued(name, files, parts, fill)
    for file, part in zip(files[1:], parts[1:], strict=True):
        if part.shape != first.shape or _inline(part, file, name) != _inline(first, files[0], name):
            raise ConfigError(
                f"{file.url} array {name!r}",
                found="other values" if part.shape == first.shape else f"shape {part.shape}",
                expected=f"those of {files[0].url}",
                fix="make one set per file",
            )
    return first


def _continued(
    name: str, files: Sequence[VirtualFile], parts: Sequence[VirtualArray], fill: float | int | bool | None
) -> VirtualArray:
    """Arrays that run on along their first dimension."""
    first = parts[0]
    if len(first.shape) == 1 and all(isinstance(ref, bytes) for part in parts for ref in part.refs.values()):
        values = [np.frombuffer(_inline(p, f, name), first.dtype) for p, f in zip(parts, files, strict=True)]
        return whole_inline(np.concatenate(values), first.dims, first.attrs)
    refs: dict[Index, Range | bytes] = {}
    n, step = 0, first.chunks[0]
    for file, part in zip(files, parts, strict=True):
        if n % step:
            raise ConfigError(
                f"{file.url} array {name!r}",
                found=f"{n} steps before it in chunks of {step}",
                expected="files that hold whole chunks",
                fix="make one set per file",
            )
        for index, ref in part.refs.items():
            refs[(index[0] + n // step, *index[1:])] = ref
        n += part.shape[0]
    return dataclasses.replace(first, shape=(n, *first.shape[1:]), refs=refs, fill=fill)


def _inline(array: VirtualArray, file: VirtualFile, name: str) -> bytes:
    refs = list(array.refs.values())
    if len(refs) == 1 and isinstance(refs[0], bytes):
        return refs[0]
    raise ConfigError(f"{file.url} array {name!r}", found="a coordinate that is too long", expected="one that fits in")
