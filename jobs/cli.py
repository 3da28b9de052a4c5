"""The console script `icefleet`: every verb under one roof."""

from __future__ import annotations

import typer

from core import __version__
from jobs.adapt import adapt
from jobs.calibrate import calibrate
from jobs.change import change
from jobs.console import run_app
from jobs.demo import demo
from jobs.divide import divide
from jobs.evaluate import evaluate
from jobs.fronts import fronts
from jobs.ingest import ingest
from jobs.plan import plan
from jobs.reference import reference
from jobs.retry import retry
from jobs.run import run
from jobs.status import status
from jobs.train import train
from jobs.verify import verify

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The annual global glacier inventory. Start with `icefleet demo`; then `icefleet plan CONFIG --dry-run`.",
    epilog="Exit codes: 0 all done · 1 something failed or was quarantined · 2 the configuration or the call is wrong.",
)
for verb in (
    demo,
    plan,
    ingest,
    run,
    status,
    retry,
    verify,
    reference,
    divide,
    train,
    evaluate,
    calibrate,
    adapt,
    change,
    fronts,
):
    app.command()(verb)


@app.callback(invoke_without_command=True)
def _main(version: bool = typer.Option(False, "--version", help="print the version and exit")) -> None:
    if version:
        print(__version__)
        raise typer.Exit(0)


def main() -> None:
    """Entry point of the console script."""
    run_app(app)


if __name__ == "__main__":
    main()
