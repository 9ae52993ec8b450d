"""The verdict: its table, its one line, its JSON."""

from __future__ import annotations

import json

import pytest

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade.verdict import Verdict

ROWS = (("float64", False, "y: error 1.0e-01, 1e-10 allowed"), ("dtype kept", True, "in 3 cases"))


def test_printed_it_is_a_table_that_ends_with_the_sentence():
    verdict = Verdict("layer_norm", False, ROWS, "n-1 variance", 0.0, ("seed 3",))
    assert str(verdict).splitlines() == [
        "property",
        "float64     FAILED  y: error 1.0e-01, 1e-10 allowed",
        "dtype kept  passed  in 3 cases",
        "layer_norm: not yet, 1 of 2 properties hold. This mistake gives your numbers: n-1 variance",
        "seed 3",
    ]
    assert repr(verdict) == str(verdict)
    assert "<b>FAILED</b>" in verdict._repr_html_()
    assert "<b>passed</b>" not in verdict._repr_html_()


def test_an_exception_stands_once_where_it_comes_again():
    """Its text is long, and most wrong functions raise it in every case; JSON has it each time."""
    rows = [("float64", False, "raised E: x (line 3)"), ("float32", False, "raised E: x (line 3)")]
    rows += [("one row", False, "raised E: y (line 4)"), ("zero", True, "exactly right")]
    verdict = Verdict("gelu", False, (*rows, ("odd sizes", False, "raised E: y (line 4)")))
    assert [line.split(maxsplit=2)[2] for line in str(verdict).splitlines()[1:3]] == [
        "raised E: x (line 3)",
        "the same",
    ]
    assert "odd sizes  FAILED  raised E: y (line 4)" in str(verdict)  # the row above it says something else
    assert verdict.to_dict()["properties"][1][2] == "raised E: x (line 3)"


def test_the_mark_of_a_failed_row_is_drawn_wherever_the_table_is():
    """A row has a border only in a table whose borders are collapsed, which not every notebook's style sheet does."""
    html = Verdict("gelu", False, ROWS)._repr_html_()
    assert "border-left" in html
    assert '<table style="border-collapse: collapse">' in html
    assert html.count("padding: 0 0.5em") == 9  # collapsed, cells would touch


def test_the_sentence_says_how_far_the_nearest_is():
    nearest = Verdict("gelu", False, ROWS, "tanh GELU", 0.0123)
    assert nearest.sentence.endswith("No known mistake gives your numbers; the nearest, 0.012 away: tanh GELU")
    assert Verdict("gelu", False, ROWS).sentence == "gelu: not yet, 1 of 2 properties hold"
    assert Verdict("gelu", True, ROWS[1:]).sentence == "gelu: passed, all 1 properties hold"


def test_json_and_back():
    verdict = Verdict("layer_norm", False, ROWS, None, None, ("seed 3",))
    plain = verdict.to_dict()
    assert plain["score"] == verdict.score == 0.5
    assert Verdict.from_dict(json.loads(json.dumps(plain))) == verdict


def test_notes_are_added_at_the_end():
    verdict = Verdict("gelu", True, ROWS[1:], notes=("one",))
    assert verdict.noted("two", "three").notes == ("one", "two", "three")
    assert verdict.notes == ("one",)


def test_hints_say_more_and_more():
    notes = ("seed 3", "your numbers: the right ones times 2")
    found = Verdict("gelu", False, ROWS, "tanh GELU", 0.0, notes, part="what is returned", line="line 2: return x")
    first, second, third = (found.hinted(hint) for hint in (1, 2, 3))
    assert third == found
    assert str(first).splitlines()[-2:] == ["gelu: not yet, 1 of 2 properties hold", "seed 3"]
    assert second.sentence.endswith("One known mistake gives your numbers; it is in this part: what is returned")
    assert "tanh" not in str(second) + json.dumps(second.to_dict())
    assert "The line of yours that is most like it: line 2: return x" in str(third)
    with pytest.raises(ExerciseError, match="hint 4: give 1"):
        found.hinted(4)
