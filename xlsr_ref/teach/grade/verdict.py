"""The verdict: which properties hold, and which known mistake gives the student's numbers. Printed, it is a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from xlsr_ref.teach.table import Shown, Table
from xlsr_ref.untrusted import plain


@dataclass(frozen=True, repr=False)
class Verdict(Shown):
    """What :func:`xlsr_ref.teach.grade.grade` says of one function; ``to_dict`` is ready for JSON."""

    exercise: str
    passed: bool
    properties: tuple[tuple[str, bool, str], ...]  # its name, whether it holds, what was found
    mistake: str | None = None  # in plain words; of a pair, joined by "and"
    distance: float | None = None  # 0: the mistake gives the same numbers; else it is only the nearest, 1 at most
    notes: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """The share of the properties that hold, 0 to 1."""
        return sum(passed for _, passed, _ in self.properties) / max(len(self.properties), 1)

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        if self.passed:
            return f"{self.exercise}: passed, all {len(self.properties)} properties hold"
        held = sum(passed for _, passed, _ in self.properties)
        count = f"{self.exercise}: not yet, {held} of {len(self.properties)} properties hold"
        if self.mistake is None:
            return count
        if self.distance == 0:
            return f"{count}. This mistake gives your numbers: {self.mistake}"
        return f"{count}. No known mistake gives your numbers; the nearest, {self.distance:.2g} away: {self.mistake}"

    def check(self) -> None:
        """Raise AssertionError with what is wrong, in plain words, if something is: for a cell that tests."""
        if not self.passed:
            wrong = [f"{name}: {what}" for name, holds, what in self.properties if not holds]
            raise AssertionError("\n".join([self.sentence, *wrong, *self.notes]))

    def points(self, most: float) -> float:
        """The part of ``most`` points that is earned. nbgrader takes it where it ends a cell that tests."""
        return float(most) if self.passed else min(round(most * self.score, 2), float(most))

    def noted(self, *notes: str) -> Verdict:
        """The same verdict with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def table(self) -> Table:
        rows, above = [], ""
        for name, passed, what in self.properties:
            again = what == above and what.startswith("raised ")
            rows.append((name, "passed" if passed else "FAILED", "the same" if again else what))
            above = what
        failed = tuple(i for i, (_, passed, _) in enumerate(self.properties) if not passed)
        return Table(("property", "", ""), rows, marked=failed, notes=(self.sentence, *self.notes))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, the score among them."""
        return asdict(self) | {
            "properties": [list(each) for each in self.properties],
            "notes": list(self.notes),
            "score": self.score,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Verdict:
        """The verdict from what :meth:`to_dict` made of it; a student's words come without control characters."""
        return cls(
            exercise=str(values["exercise"]),
            passed=bool(values["passed"]),
            properties=tuple(
                (plain(str(name)), bool(passed), plain(str(what))) for name, passed, what in values["properties"]
            ),
            mistake=values["mistake"],
            distance=values["distance"],
            notes=tuple(plain(str(note)) for note in values["notes"]),
        )
