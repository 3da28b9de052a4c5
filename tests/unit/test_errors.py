"""Errors: one readable line, and the same error on the other side of a process border."""

from __future__ import annotations

import copy
import pickle

import pytest

from core import errors
from core.errors import ConfigError, IcefleetError

KINDS = sorted(
    (k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, IcefleetError)), key=lambda k: k.__name__
)


def test_a_message_says_where_found_expected_and_the_fix_in_this_order():
    error = ConfigError("x.yaml: grid", found="25", expected="30", fix="change it")
    assert str(error) == "x.yaml: grid: found 25; expected 30; change it"


@pytest.mark.parametrize(
    ("clauses", "said"),
    [
        ({}, "unit"),
        ({"found": "a"}, "unit: found a"),
        ({"expected": "b"}, "unit: expected b"),
        ({"fix": "c"}, "unit: c"),
        ({"found": "a", "fix": "c"}, "unit: found a; c"),
    ],
)
def test_an_empty_clause_leaves_no_trace(clauses, said):
    assert str(IcefleetError("unit", **clauses)) == said


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickled", "copied"])
def test_every_kind_keeps_class_clauses_and_message_across_processes(kind, again):
    error = kind("a: b", found="c", expected="d", fix="e; f")
    other = again(error)
    assert type(other) is kind and str(other) == str(error)
    assert (other.where, other.found, other.expected, other.fix) == ("a: b", "c", "d", "e; f")
