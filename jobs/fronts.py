"""`icefleet fronts`: calving fronts of a release against fronts that somebody drew."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.change.front_reference import FrontErrors, compare_fronts
from jobs.console import OK, AsJson, console, print_json, run_verb, table
from jobs.models import finite

_SHOWN = 40
_LISTED = 5


def fronts(
    release: Annotated[
        str, typer.Argument(metavar="RELEASE", help="folder of a release, or one year of it: RELEASE/year=2016")
    ],
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="drawn lines: GeoPackage, shapefile, GeoJSON or GeoParquet")
    ],
    column: Annotated[
        str | None,
        typer.Option("--id", help="column of rgi_ids; none: `rgi_id`, or without one the nearest front of each line"),
    ] = None,
    step_m: Annotated[float, typer.Option("--step", min=0.1, help="metres between points of a line")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Say how far the calving fronts of a release are from drawn ones.

    The distance is taken from points of each line to the other line, both ways; their mean is the mean distance error
    of CaFFe. The last line pools the points of all glaciers, so long fronts count more. Persons who draw the same front
    twice differ by 38 m in CaFFe's radar images; its best nets by some 200 m.

    REFERENCE should hold one date, that of the scenes of the release, and lines from wall to wall: what is drawn
    further along the shore counts as an error. Drawn fronts that the release lacks are listed, not counted.

    Example: icefleet fronts runs/svalbard/release/year=2024 drawn_fronts.gpkg
    """
    found = compare_fronts(release, reference, column, step_m)
    if as_json:
        print_json(_plain(found))
    else:
        _show(found)
    raise typer.Exit(OK)


def _plain(found: FrontErrors) -> dict[str, object]:
    return {
        "release": found.release,
        "simulated": found.simulated,
        **finite({"pooled_m": found.pooled_m}),
        "fronts": [asdict(front) for front in found.fronts],
        "not_found": list(found.not_found),
        "not_drawn": list(found.not_drawn),
    }


def _show(found: FrontErrors) -> None:
    worst = sorted(found.fronts, key=lambda front: -front.mean_m)[:_SHOWN]
    rows = [
        (f.rgi_id, *(f"{v:,.0f}" for v in (f.mean_m, f.median_m, f.p95_m, f.front_m, f.reference_m))) for f in worst
    ]
    title = f"{'SIMULATED · ' if found.simulated else ''}distance of fronts, m; largest first"
    table(title, ["glacier", "mean", "median", "95 %", "front length", "drawn length"], rows)
    if found.fronts:
        console.print(f"{len(found.fronts)} fronts, mean distance error of all points {found.pooled_m:,.1f} m")
    for names, words in ((found.not_found, "drawn, but not in the release"), (found.not_drawn, "not drawn")):
        if names:
            more = ", …" if len(names) > _LISTED else ""
            console.print(f"[yellow]{len(names)}[/] {words}: {', '.join(names[:_LISTED])}{more}")


if __name__ == "__main__":
    run_verb(fronts)
