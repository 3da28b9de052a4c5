"""What all verbs share: exit codes, errors in words, and progress where there is no terminal."""

from __future__ import annotations

from collections import Counter

import pytest
import typer

from cluster.events import TaskEvent
from core.errors import ConfigError, PoisonError, SystemicError, TransientError
from jobs.console import FAILED, INTERRUPTED, OK, WRONG, Bars, console, errors, print_json, run_verb, table


def end(monkeypatch, verb, *words: str) -> int:
    """The exit code of a verb."""
    monkeypatch.setattr("sys.argv", ["verb", *words])
    with pytest.raises(SystemExit) as ended:
        run_verb(verb)
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (ConfigError("c.yaml: grid", found="25", expected="30"), WRONG, "error c.yaml: grid: found 25; expected 30"),
        (SystemicError("s3://b", found="access refused"), FAILED, "SystemicError s3://b: found access refused"),
        (TransientError("s3://b"), FAILED, "TransientError s3://b"),
        (PoisonError("/data/[old]/x.tif"), FAILED, "PoisonError /data/[old]/x.tif"),
        (SystemicError("[/red] is no markup"), FAILED, "[/red] is no markup"),
        (KeyboardInterrupt(), INTERRUPTED, "interrupted; the same command goes on where this one stopped"),
        (typer.Exit(FAILED), FAILED, ""),
        (None, OK, ""),
    ],
)
def test_an_error_becomes_one_line_and_an_exit_code_and_never_a_traceback(monkeypatch, capsys, error, code, word):
    def verb() -> None:
        if error is not None:
            raise error

    assert end(monkeypatch, verb) == code
    said = capsys.readouterr()
    assert said.out == "" and word in said.err and "Traceback" not in said.err
    assert len(said.err.splitlines()) == bool(word)


def test_an_error_that_nobody_foresaw_keeps_its_traceback(monkeypatch):
    def verb() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("sys.argv", ["verb"])
    with pytest.raises(ZeroDivisionError):
        run_verb(verb)


def test_a_wrong_option_is_a_wrong_call(monkeypatch, capsys):
    def verb(n: int = 1) -> None:
        pass

    assert end(monkeypatch, verb, "--nn", "3") == WRONG
    assert end(monkeypatch, verb, "--n", "three") == WRONG
    assert "--nn" in capsys.readouterr().err


def test_a_long_url_or_message_stays_on_one_line_when_it_is_piped(capsys):
    url = "s3://bucket/" + "a/very/long prefix/" * 30
    console.print(url, markup=False)
    errors.print(url, markup=False)
    said = capsys.readouterr()
    assert said.out == said.err == url + "\n"


def test_json_is_the_only_thing_on_standard_output(capsys):
    print_json({"a": 1, "é": [None]})
    assert capsys.readouterr().out.startswith("{")


def test_a_cell_with_brackets_is_shown_as_it_is(capsys):
    table("T", ["unit", "n"], [("[red]x[/red]", 3)])
    assert "[red]x[/red]" in capsys.readouterr().out


def test_without_a_terminal_the_end_is_one_line_of_plain_counts(capsys):
    with Bars() as bars:
        on = bars.announce(Counter({"map": 2}))
        on(TaskEvent("retried", "map", "a", "15"))
        on(TaskEvent("done", "map", "a", "15"))
        on(TaskEvent("quarantined", "map", "b", "15", message="found [/x] broken"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "quarantined map b: found [/x] broken"
    assert lines[1].startswith("map 2/2 · ") and "1 quarantined, 1 retried" in lines[1]
    assert len(lines) == 2


def test_quiet_bars_still_name_what_was_set_aside(capsys):
    with Bars(quiet=True) as bars:
        on = bars.announce(Counter({"map": 1}))
        on(TaskEvent("quarantined", "map", "b", "15", message="bad"))
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines() == ["quarantined map b: bad"]
