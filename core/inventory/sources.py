"""Sources: what the configuration names → whole, readable files on this machine.

A source is a file, a folder, a zip (with zips inside, as the RGI comes), or one object in a bucket or in memory. Files
that were cut short are refused here, because GDAL reads the first half of a broken shapefile without an error.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError
from core.objects import Objects
from core.urls import local_path, normalise_url

PARQUET = (".parquet", ".geoparquet")
_LAYERED = (".shp", ".gpkg", ".geojson", *PARQUET)
_SHAPEFILE_PARTS = (".shx", ".dbf", ".prj", ".cpg")
_EXPECTED = "a shapefile (.shp), zip, GeoPackage (.gpkg), GeoParquet (.parquet), GeoJSON (.geojson) or a folder of them"


@dataclass(frozen=True)
class SourceFile:
    """One file with outlines.

    name: what reports and the `source` column say; path: where it lies now; where: how errors name it, in the words of
    the configuration.
    """

    name: str
    path: Path
    where: str


def local_files(source: str, scratch: Path) -> list[SourceFile]:
    """Every file with outlines that a source names, in the order of their paths.

    scratch: an existing folder for what has to be fetched or unpacked; the caller removes it.
    Raises ConfigError for a missing, foreign or truncated file, TransientError or SystemicError from the object store.
    """
    url = normalise_url(source)
    path = local_path(url) or _fetch(url, scratch)
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in (*_LAYERED, ".zip") and _visible(p, path))
        files = [f for p in inside for f in _open(p, scratch, str(p))]
        if not files:
            raise ConfigError(source, found="a folder without outline files", expected=_EXPECTED)
        return files
    if not path.is_file():
        raise ConfigError(source, found="no such file", expected=_EXPECTED, fix="correct the path under `inventory`")
    if path.suffix.lower() not in (*_LAYERED, ".zip", ".json"):
        raise ConfigError(source, found=f"a {path.suffix or 'suffix-less'} file", expected=_EXPECTED)
    return list(_open(path, scratch, source))


def _visible(path: Path, root: Path) -> bool:
    return not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)


def _open(path: Path, scratch: Path, where: str) -> Iterator[SourceFile]:
    if path.suffix.lower() != ".zip":
        _check_whole(path, where)
        yield SourceFile(path.name, path, where)
        return
    folder = _fresh(scratch)
    _unpack(path, folder, where)
    inside = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (*_LAYERED, ".zip"))
    if not inside:
        raise ConfigError(where, found="a zip without outline files", expected=_EXPECTED)
    for member in inside:
        yield from _open(member, scratch, f"{where}, in it {member.relative_to(folder)}")


def _unpack(path: Path, folder: Path, where: str) -> None:
    wanted = (*_LAYERED, *_SHAPEFILE_PARTS, ".zip")
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.lower().endswith(wanted) and _visible(folder / name, folder):
                    archive.extract(name, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        raise ConfigError(
            where, found=f"a zip that cannot be read ({error})", expected="a whole zip", fix="download it again"
        ) from error


def _fresh(scratch: Path) -> Path:
    folder = scratch / f"{len(list(scratch.iterdir())):05d}"
    folder.mkdir()
    return folder


def _fetch(url: str, scratch: Path) -> Path:
    """Copy one object (and the parts of a shapefile) into the scratch folder."""
    parent, _, name = url.rpartition("/")
    if parent.endswith("/") or Path(name).suffix.lower() not in (*_LAYERED, ".zip", ".json"):
        raise ConfigError(url, found="no outline file", expected=_EXPECTED, fix="name one object, not a prefix")
    objects, folder = Objects(parent), _fresh(scratch)
    try:
        (folder / name).write_bytes(objects.get(name))
    except FileNotFoundError as error:
        raise ConfigError(url, found="no such object", fix="correct the URL under `inventory`") from error
    if name.lower().endswith(".shp"):
        for suffix in _SHAPEFILE_PARTS:
            data = objects.get_or_none(name[:-4] + suffix)
            if data is not None:
                (folder / (name[:-4] + suffix)).write_bytes(data)
    return folder / name


def _check_whole(path: Path, where: str) -> None:
    head = _head(path, where)
    if not head:
        raise ConfigError(where, found="an empty file", expected=_EXPECTED, fix="download it again")
    if path.suffix.lower() == ".shp":
        _check_shapefile(path, where)
    elif path.suffix.lower() == ".gpkg":
        page = int.from_bytes(head[16:18], "big")
        _check_size(path, (65_536 if page == 1 else page) * int.from_bytes(head[28:32], "big"), where)


def _check_shapefile(path: Path, where: str) -> None:
    """Sizes against the headers (ESRI 1998, p. 4; dBase III: records × length), and all three parts present."""
    shapes, index, table = (_part(path, suffix, where) for suffix in (".shp", ".shx", ".dbf"))
    for part in (shapes, index):
        _check_size(part, 2 * int.from_bytes(_head(part, where)[24:28], "big"), where)
    head = _head(table, where)
    records, header, length = (int.from_bytes(head[a:b], "little") for a, b in ((4, 8), (8, 10), (10, 12)))
    _check_size(table, header + records * length, where)
    count = (index.stat().st_size - 100) // 8
    if count != records:
        raise ConfigError(
            where,
            found=f"{count} shapes and {records} rows in the .dbf",
            expected="as many of each",
            fix="bring .shp, .shx and .dbf of the same export",
        )


def _part(path: Path, suffix: str, where: str) -> Path:
    for candidate in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
        if candidate.is_file():
            return candidate
    raise ConfigError(
        where, found=f"no {suffix} beside it", expected=".shp, .shx and .dbf together", fix=f"bring the {suffix}"
    )


def _head(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(100)
    except OSError as error:
        raise ConfigError(where, found=error.strerror or str(error), expected="a file that can be read") from error


def _check_size(path: Path, expected: int, where: str) -> None:
    size = path.stat().st_size
    if size < expected:
        raise ConfigError(
            where,
            found=f"{size:,} bytes in {path.name}",
            expected=f"{expected:,} bytes by its own header",
            fix="the file is truncated; download it again",
        )
