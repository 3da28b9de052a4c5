"""`icefleet verify`: checks a release against every invariant that can be read off it."""

from __future__ import annotations

from typing import Annotated

import typer

from core.release import verify_release
from jobs.console import FAILED, OK, AsJson, console, print_json, run_verb


def verify(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="URL of the release, the folder of year=YYYY")],
    year: Annotated[int | None, typer.Option(help="only this year")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a release: files and checksums, one row per glacier, areas, outlines, overlaps, sums.

    One finding per line; exit code 1 if there is any.

    Example: icefleet verify runs/everest_l7-2000-1a2b3c4d5e6f/release
    """
    findings = verify_release(release, year)
    if as_json:
        print_json({"release": release, "findings": [f.__dict__ for f in findings]})
    else:
        for finding in findings:
            print(f"{finding.check}: {finding.key}: {finding.message}")
        if not findings:
            console.print(f"[green]no finding[/] in {release}")
    raise typer.Exit(FAILED if findings else OK)


if __name__ == "__main__":
    run_verb(verify)
