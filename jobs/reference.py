"""`icefleet reference`: makes references of archives, so that windows of them are read where they lie."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from core.virtual.files import filesystem, storage_error
from core.virtual.references import Summary, make_references
from jobs.console import OK, AsJson, console, errors, print_json, run_verb, table


def reference(
    urls: Annotated[
        list[str],
        typer.Argument(metavar="URL...", help="GeoTIFF or NetCDF-4/HDF5: paths, s3://, http(s)://; * in s3:// works"),
    ],
    out: Annotated[str, typer.Option("--out", metavar="SET", help="NAME.json, or NAME.parq for a folder of Parquet")],
    relative: Annotated[
        bool, typer.Option("--relative", help="name files below the folder of SET relative to it: move both together")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write where every chunk of the files lies, and copy none of them.

    A scene then reads a window of them at the cost of its chunks: `path: SET` and `variable: NAME` in `files` of the
    configuration, where NAME is `raster` for GeoTIFF. Several files must be of one grid: the same again and again is
    stacked in the order given, a band per file; GeoTIFF tiles side by side become one raster. JSON suits up to some
    100,000 chunks, Parquet any number. If files are moved or written anew, make their references again: until then
    reading says which is missing or cut.

    Example: icefleet reference velocity.nc --out velocity.json

    icefleet reference 's3://bucket/dem/*.tif' --out s3://bucket/dem.parq
    """
    files = [file for url in urls for file in _expanded(url)]
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=errors,
        disable=as_json or not errors.is_terminal,
    ) as bar:
        task = bar.add_task("headers", total=len(files))
        made = make_references(files, out, relative=relative, progress=lambda done, _: bar.update(task, completed=done))
    if as_json:
        print_json(_plain(made))
    else:
        _show(made)
    raise typer.Exit(OK)


def _expanded(url: str) -> list[str]:
    """The objects that a pattern in a bucket stands for, by name; the shell does it for local paths."""
    if not url.startswith("s3://") or "*" not in url:
        return [url]
    try:
        return [f"s3://{key}" for key in sorted(filesystem(url).glob(url))] or [url]
    except Exception as error:
        raise storage_error(error, url) from None


def _plain(made: Summary) -> dict[str, object]:
    return {
        "out": made.out,
        "files": list(made.files),
        "chunks": made.n_chunks,
        "bytes_referenced": made.n_bytes,
        "arrays": [a.__dict__ for a in made.arrays],
        "skipped": [{"name": name, "reason": reason} for name, reason in made.skipped],
    }


def _show(made: Summary) -> None:
    table(
        f"{made.out}: {len(made.files)} files, {len(made.arrays)} arrays, {made.n_chunks} chunks, "
        f"{made.n_bytes / 1e6:.1f} MB referenced",
        ["array", "dimensions", "shape", "type", "chunks", "MB"],
        (
            (a.name, " ".join(a.dims), " × ".join(map(str, a.shape)), a.dtype, a.n_chunks, f"{a.n_bytes / 1e6:.1f}")
            for a in made.arrays
        ),
    )
    for name, reason in made.skipped:
        console.print(f"left out: {name}: {reason}", markup=False)


if __name__ == "__main__":
    run_verb(reference)
