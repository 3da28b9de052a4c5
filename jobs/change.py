"""`icefleet change`: what became of glaciers between releases."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from core.change import Compared, ErrorModel, Filter, Options, compare
from core.errors import ConfigError
from jobs.console import OK, AsJson, Bars, console, print_json, run_verb, table

_MISSING_SHOWN = 5


def change(
    releases: Annotated[
        list[str],
        typer.Argument(metavar="RELEASE...", help="releases, or single years of them: RELEASE/year=2016; any number"),
    ],
    inventory: Annotated[
        bool,
        typer.Option("--inventory", help="the inventory's areas and dates, as the releases quote them, come first"),
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="folder for the tables and plots")] = None,
    plots: Annotated[bool, typer.Option("--plots", help="also draw PNGs into --out")] = False,
    polygons: Annotated[
        bool, typer.Option(help="write ground lost and gained into --out; without, only columns are read, no outlines")
    ] = True,
    correlation: Annotated[
        float, typer.Option(help="of the model's part of the error between two dates of one model, 0 to 1")
    ] = ErrorModel.correlation,
    significance: Annotated[
        float, typer.Option(metavar="K", help="a change counts as significant above K σ")
    ] = ErrorModel.significance,
    min_observed: Annotated[
        float, typer.Option(min=0, max=1, help="glaciers seen less than this are extrapolated")
    ] = Filter.observed,
    as_json: AsJson = False,
) -> None:
    """Compare the areas of glaciers between releases, with their uncertainty.

    The table shows each region from the first to the last date: what was measured, what the others add by their size,
    and the sum. With --out, every glacier and every step between two dates is in glacier_change.parquet, regions in
    region_change.parquet, and ground lost and gained between releases in change_polygons.parquet (not since the
    inventory, whose outlines a release does not keep); from three releases on, glacier_trend.parquet has a robust trend
    (Theil-Sen, Mann-Kendall) and, from five on, its limits and breaks that may be surges. Polygons of a glacier that
    was partly hidden say so: some may be no change, but what filled the gap.

    Errors of boundaries are independent. Those of the model are the same on all glaciers, and between two dates of one
    model they cancel in part: --correlation says how much. Its default is an assumption; 0 gives the largest σ.

    Example: icefleet change runs/a/release runs/b/release --out change --plots
    """
    if plots and out is None:
        raise ConfigError("--plots", found="no --out", expected="a folder for the pictures", fix="add --out DIR")
    options = Options(ErrorModel(correlation, significance), Filter(min_observed), inventory, polygons)
    with Bars(as_json) as bars:
        found = compare(releases, out, options, bars.follow("regions"))
    pictures: list[Path] = []
    if plots and out is not None:
        from core.change.plots import draw_change

        pictures = draw_change(found, out)
    if as_json:
        print_json(summary(found) | {"plots": [str(p) for p in pictures]})
    else:
        show(found, pictures)
    raise typer.Exit(OK)


def summary(found: Compared) -> dict[str, Any]:
    """Everything that `--json` prints."""
    return {
        "releases": [d.name for d in found.releases],
        "simulated": found.simulated,
        "regions": found.regions.to_pylist(),
        "without_change": [{"rgi_id": who, "status": status} for who, status in found.missing],
        "surge_candidates": list(found.surges),
        "out": None if found.folder is None else str(found.folder),
    }


def show(found: Compared, pictures: list[Path]) -> None:
    """The table of the whole period, and what stands beside it."""
    rows = found.regions.slice(0, len(found.totals[0])).to_pylist()
    first, second = rows[0]["date_first"], rows[0]["date_second"]
    columns = [
        "region",
        "glaciers",
        "measured",
        "−",
        "+",
        "measured km²/yr",
        "extrapolated km²/yr",
        "all km²/yr",
        "%/yr",
    ]
    title = f"{'SIMULATED · ' if found.simulated else ''}change {first} to {second}, ± 1 σ"
    table(title, columns, [_line(r) for r in rows if r["o2region"] is None])
    console.print(f"σ: {rows[0]['sigma_model']}", markup=False)
    for status, n in sorted(Counter(status for _, status in found.missing).items()):
        names = [who for who, s in found.missing if s == status][:_MISSING_SHOWN]
        words = {
            "first_only": f"no area in {second}",
            "second_only": f"no area in {first}",
            "neither": "no area at all",
        }
        more = ", …" if n > len(names) else ""
        console.print(f"[yellow]{n} glaciers[/] with {words[status]}: {', '.join(names)}{more}")
    if found.surges:
        console.print(f"[yellow]{len(found.surges)} surge candidates[/]: {', '.join(found.surges[:_MISSING_SHOWN])}")
    if found.folder is not None:
        console.print(f"tables  {found.folder}", markup=False)
    for picture in pictures:
        console.print(f"plot    {picture}", markup=False)


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    def rate(name: str) -> str:
        if row[f"rate_{name}"] is None:
            return "unknown"
        return f"{row[f'rate_{name}']:+.3f} ± {row[f'rate_sigma_{name}']:.3f}"

    percent = "" if row["rate_pct_a"] is None else f"{row['rate_pct_a']:+.2f} ± {row['rate_pct_sigma_a']:.2f}"
    return (
        row["o1region"],
        f"{row['n_glaciers']:,}",
        f"{row['n_measured']:,}",
        f"{row['n_retreat']:,}",
        f"{row['n_advance']:,}",
        rate("measured_km2_a"),
        rate("extrapolated_km2_a"),
        rate("km2_a"),
        percent,
    )


if __name__ == "__main__":
    run_verb(change)
