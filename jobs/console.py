"""What all verbs share: the console, exit codes, errors in words, options and progress.

Exit codes: 0 all done · 1 something failed or was quarantined · 2 the configuration or the call is wrong.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cluster.events import Callback, TaskEvent
from core.errors import ConfigError, IcefleetError

OK, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
_PLAIN_WIDTH = 140  # where there is no terminal to ask, tables in a log should not be squeezed into 80 columns
# Soft wrap: a URL or a message that is piped into something must stay on one line.
console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, soft_wrap=True, highlight=False)
errors = Console(stderr=True, width=None if sys.stderr.isatty() else _PLAIN_WIDTH, soft_wrap=True, highlight=False)

ConfigPath = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML configuration; see jobs/configs, and --keys for every key")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override a key, e.g. --set output=s3://bucket/runs; repeatable"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]


def _print_keys(wanted: bool) -> None:
    if wanted:
        from core.config import Config
        from core.settings import config_keys

        for line in config_keys(Config):
            print(line)
        raise typer.Exit(OK)


Keys = Annotated[
    bool, typer.Option("--keys", callback=_print_keys, is_eager=True, help="list every configuration key and exit")
]


def run_app(app: typer.Typer) -> NoReturn:
    """Run a typer app; our errors become one readable line and an exit code."""
    try:
        app(standalone_mode=True)
    except ConfigError as error:
        errors.print(f"[red bold]error[/] {escape(str(error))}")
        raise SystemExit(WRONG) from None
    except IcefleetError as error:
        errors.print(f"[red bold]{type(error).__name__}[/] {escape(str(error))}")
        raise SystemExit(FAILED) from None
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer's answer to Ctrl-C
            errors.print("interrupted; the same command goes on where this one stopped")
        raise
    raise SystemExit(OK)


def run_verb(verb: Callable[..., Any]) -> NoReturn:
    """One verb as a program of its own: `python -m jobs.<verb>`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(verb)
    run_app(app)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; every column after the first is right-aligned."""
    out = Table(title=title, title_justify="left")
    for k, name in enumerate(columns):
        out.add_column(name, justify="left" if k == 0 else "right", overflow="fold")
    for row in rows:
        out.add_row(*(escape(str(cell)) for cell in row))
    console.print(out, soft_wrap=False)


def print_json(data: Mapping[str, Any]) -> None:
    """JSON on standard output, nothing else."""
    print(json.dumps(data, indent=1, default=str))


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "")


class _StageBars(Progress):
    """Bars, and below them a line on the regions."""

    regions = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.regions:
            yield Text(self.regions)


class Bars:
    """A bar per stage with rate, time left and trouble, and a line on the regions where there are several.

    Plain lines every few seconds where there is no terminal.
    """

    PLAIN_EVERY_S = 15.0

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bars = _StageBars(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[trouble]}"),
            console=errors,
            disable=quiet or not errors.is_terminal,
        )
        self._task: dict[str, Any] = {}
        self._total: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._trouble: Counter[tuple[str, str]] = Counter()  # (stage, word)
        self._region_total: dict[str, int] = {}
        self._region_done: Counter[str] = Counter()
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def follow(self, stage: str) -> Callable[[int, int], None]:
        """A bar for what is no unit of the plan; the callback takes (done, all), from the thread of the console."""

        def on(done: int, total: int) -> None:
            if stage not in self._task:
                self._task[stage] = self._bars.add_task(stage, total=total, trouble="")
            self._bars.update(self._task[stage], completed=done, total=total)
            now = time.monotonic()
            if self._quiet or errors.is_terminal or not (done == total or now - self._said > self.PLAIN_EVERY_S):
                return
            self._said = now
            errors.print(f"{stage} {done}/{total} · {now - self._began:.0f} s")

        return on

    def announce(self, total: Counter[str], by_region: Mapping[tuple[str, str], int] | None = None) -> Callback:
        """Bars for the stages in `total`; returns the callback that moves them. by_region: (stage, region) → units."""
        self._total = total
        self._began = self._said = time.monotonic()
        self._region_total = {r: n for (stage, r), n in sorted((by_region or {}).items()) if stage == "map"}
        for stage, n in total.items():
            self._task[stage] = self._bars.add_task(stage, total=n, trouble="")
        return self._on

    def _on(self, event: TaskEvent) -> None:
        if event.kind == "retried":
            self._trouble[event.stage, "retried"] += 1
        else:
            self._done[event.stage] += 1
            self._region_done[event.region] += event.stage == "map"
            if event.kind == "quarantined":
                self._trouble[event.stage, "quarantined"] += 1
                errors.print(f"[yellow]quarantined[/] {event.stage} {event.unit}: {escape(event.message)}")
        self._bars.regions = self._regions()
        words = self._words(event.stage)
        self._bars.update(self._task[event.stage], completed=self._done[event.stage], trouble=words)
        self._plain()

    def _words(self, stage: str | None = None) -> str:
        """How often units of a stage, or of all, were retried and quarantined."""
        count: Counter[str] = Counter()
        for (where, word), n in self._trouble.items():
            count[word] += n if stage in (None, where) else 0
        return ", ".join(f"{n} {word}" for word, n in sorted(count.items()) if n)

    def _regions(self) -> str:
        """How far mapping is in every region that is not mapped yet; nothing where there is but one."""
        if len(self._region_total) < 2:
            return ""
        left = {r: n for r, n in self._region_total.items() if self._region_done[r] < n}
        parts = [f"{r} {self._region_done[r]}/{n}" for r, n in left.items()]
        whole = len(self._region_total) - len(left)
        return " · ".join(["map by region", *parts, *([f"{whole} mapped"] if whole else [])])

    def _plain(self) -> None:
        now = time.monotonic()
        finished = self._done.total() == self._total.total()
        if self._quiet or errors.is_terminal or not (finished or now - self._said > self.PLAIN_EVERY_S):
            return
        self._said = now
        elapsed = max(1e-9, now - self._began)
        rate = self._done.total() / elapsed
        left = (self._total.total() - self._done.total()) / rate if rate else 0.0
        parts = [f"{stage} {self._done[stage]}/{n}" for stage, n in self._total.items()]
        errors.print(f"{', '.join(parts)} · {rate:.1f}/s · {left:.0f} s left {self._words()}".strip())
        if regions := self._regions():
            errors.print(regions)
