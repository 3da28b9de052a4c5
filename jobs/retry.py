"""`icefleet retry`: clears quarantine and failures of a run, so that the next `run` takes them again."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from cluster.retry import retry as clear
from core.run import load_run
from core.urls import normalise_url
from jobs.console import AsJson, console, print_json, run_verb, table


def retry(
    run: Annotated[str, typer.Argument(metavar="RUN", help="URL of the run's folder, OUTPUT/<run_id>")],
    as_json: AsJson = False,
) -> None:
    """Take back what failed, and what was measured and published without it.

    Mend the cause first (`icefleet status RUN` shows it). Then run the same `icefleet run CONFIG` again: it does what
    was taken back and nothing else.

    Example: icefleet retry runs/everest_l7-2000-1a2b3c4d5e6f
    """
    url = normalise_url(run)
    load_run(url)  # says what is wrong if this is no run
    again = clear(url)
    if as_json:
        print_json({"run": url, "again": [f"{stage}/{unit}" for stage, unit in again]})
        return
    if again:
        table("To be done again by the next run", ["stage", "units"], Counter(stage for stage, _ in again).items())
    else:
        console.print("nothing failed in this run")


if __name__ == "__main__":
    run_verb(retry)
