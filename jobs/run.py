"""`icefleet run`: plan → ingest → map → measure → publish, resumable; the same command goes on where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cluster.drive import Driven, drive
from core.config import Config, load_config
from core.prepare import Prepared, prepare
from core.quicklook import draw_run
from jobs.console import (
    FAILED,
    OK,
    AsJson,
    Bars,
    ConfigPath,
    Keys,
    Overrides,
    errors,
    print_json,
    run_verb,
)
from jobs.plan import plan_summary, print_inventory_report, print_plan
from jobs.summary import show_end

Executor = Annotated[
    Literal["local", "ray"] | None, typer.Option(help="where the units run; overrides execution.executor")
]


def run(
    config: ConfigPath,
    overrides: Overrides = None,
    executor: Executor = None,
    limit: Annotated[int | None, typer.Option(min=1, help="map at most N blocks, and publish nothing yet")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")] = False,
    maps: Annotated[Path | None, typer.Option(metavar="DIR", help="also draw PNG maps into this folder")] = None,
    as_json: AsJson = False,
    keys: Keys = False,
) -> None:
    """Make the inventory of one year.

    Reads outlines and scenes, maps every block near a glacier, measures every glacier and publishes a GeoParquet
    release. Interrupt it when you like: the same command goes on where it stopped, and a finished run costs a look.

    Example: icefleet run jobs/configs/everest_l7.yaml --set output=s3://bucket/runs --executor ray
    """
    del keys
    settings = with_executor(load_config(config, overrides or ()), executor)
    prepared = prepare(settings)
    if dry_run:
        summary = plan_summary(prepared)
        print_json(summary) if as_json else print_plan(prepared, summary)
        return
    if not as_json:
        print_inventory_report(prepared)
    driven = execute(prepared, limit=limit, quiet=as_json)
    show_end(prepared, driven, as_json=as_json)
    if maps is not None and driven.complete:
        for path in draw_run(prepared.run, maps):
            errors.print(f"map      {path}")
    raise typer.Exit(OK if driven.clean else FAILED)


def with_executor(config: Config, executor: str | None) -> Config:
    """The configuration with another executor."""
    if executor is None:
        return config
    return config.model_copy(update={"execution": config.execution.model_copy(update={"executor": executor})})


def execute(prepared: Prepared, *, ingest_only: bool = False, limit: int | None = None, quiet: bool = False) -> Driven:
    """Write the plan, search the sources and do what is left, with progress bars."""
    regions = regions_of(prepared)
    with Bars(quiet) as bars:
        prepared.write(bars.follow("search"))
        return drive(prepared.run.url, regions, bars.announce, ingest_only=ingest_only, limit=limit)


def regions_of(prepared: Prepared) -> list[str]:
    """Every region with a glacier, those included in which none has a usable outline."""
    return sorted(prepared.inventory.glaciers["o1region"].unique())


def run_config(path: Path, overrides: list[str] | None = None) -> tuple[Prepared, Driven]:
    """Prepare and execute without a console: what tests and the demo call."""
    prepared = prepare(load_config(path, overrides or ()))
    return prepared, execute(prepared, quiet=True)


if __name__ == "__main__":
    run_verb(run)
