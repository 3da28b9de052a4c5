"""Parts: the files of a region of a release, some columns at a time.

Local files are opened where they lie, so that columns that are not asked for (geometry, above all) are never read;
objects of a bucket are fetched whole, one at a time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.change.dated import Dated
from core.errors import ConfigError, SystemicError
from core.objects import Objects
from core.urls import join_url, local_path


def read_parts(dated: Dated, region: str, columns: Sequence[str], more: Sequence[str] = ()) -> Iterator[pa.Table]:
    """One table per file of glacier_area of a region, in order; none if the release lacks the region.

    more: columns that are read where they are there.

    Raises SystemicError for a file that is missing or no Parquet, ConfigError if it lacks a column.
    """
    folder = local_path(dated.url)
    for key in dated.parts.get(region, ()):
        where = join_url(dated.url, key)
        try:
            source: Path | io.BytesIO = folder / key if folder else io.BytesIO(Objects(dated.url).get(key))
            with pq.ParquetFile(source) as file:
                missing = sorted(set(columns) - set(file.schema_arrow.names))
                if missing:
                    raise ConfigError(where, found=f"no column {', '.join(missing)}", expected="a table glacier_area")
                wanted = [*columns, *(name for name in more if name in file.schema_arrow.names)]
                yield file.read(columns=wanted)
        except FileNotFoundError as error:
            raise SystemicError(
                where, found="nothing", expected="a file that the manifest names", fix="check with `icefleet verify`"
            ) from error
        except pa.ArrowInvalid as error:
            raise SystemicError(
                where, found=str(error).splitlines()[0], expected="Parquet", fix="check with `icefleet verify`"
            ) from error


def read_region(dated: Dated, region: str, columns: Sequence[str], more: Sequence[str] = ()) -> pa.Table | None:
    """All rows of a region, None if the release lacks it."""
    tables = list(read_parts(dated, region, columns, more))
    return pa.concat_tables(tables) if tables else None
