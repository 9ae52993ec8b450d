"""The verdict: which properties hold, and which known mistake gives the student's numbers. Printed, it is a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade.observe import EXPLAINS
from xlsr_ref.teach.grade.scoring import check_weights, share
from xlsr_ref.teach.table import Shown, Table
from xlsr_ref.untrusted import plain

HINTS = (1, 2, 3)  # what fails, which part, which line


@dataclass(frozen=True, repr=False)
class Verdict(Shown):
    """What :func:`xlsr_ref.teach.grade.grade` says of one function; ``to_dict`` is ready for JSON."""

    exercise: str
    passed: bool
    properties: tuple[tuple[str, bool, str], ...]  # its name, whether it holds, what was found
    mistake: str | None = None  # in plain words; of a pair, joined by "and"
    distance: float | None = None  # 0: the mistake gives the same numbers; else it is only the nearest, 1 at most
    notes: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()  # of the properties; none: all alike
    counts: bool = True  # whether it is right in an ordinary case, without which there are no points
    part: str | None = None  # of the computation in which the mistake is
    line: str | None = None  # of the student's function that is most like it

    @property
    def score(self) -> float:
        """The share of the points that is earned, 0 to 1: the weights of the properties that hold."""
        return self._share(self.weights or (1.0,) * len(self.properties))

    def _share(self, weights: Sequence[float]) -> float:
        return share([holds for _, holds, _ in self.properties], weights) if self.counts else 0.0

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        if self.passed:
            return f"{self.exercise}: passed, all {len(self.properties)} properties hold"
        held = sum(passed for _, passed, _ in self.properties)
        count = f"{self.exercise}: not yet, {held} of {len(self.properties)} properties hold"
        if self.part and self.mistake is None:
            return f"{count}. One known mistake gives your numbers; it is in this part: {self.part}"
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

    def points(self, most: float, weights: Mapping[str, float] | None = None) -> float:
        """The part of ``most`` points that is earned. nbgrader takes it where it ends a cell that tests.

        ``weights`` says how many times the usual weight a property has: {"dtype kept": 0, "large scores": 3}.
        Raises ExerciseError for one that this exercise has not.
        """
        if self.passed:
            return float(most)
        names = [name for name, _, _ in self.properties]
        usual = self.weights or (1.0,) * len(names)
        if self.weights:  # one that never came to an end has no properties
            check_weights(weights or {}, names)
        each = [weight * float((weights or {}).get(name, 1)) for name, weight in zip(names, usual)]
        return min(round(most * self._share(each), 2), float(most))

    def hinted(self, hint: int) -> Verdict:
        """The verdict with no more than a hint: 1, what fails; 2, also which part; 3, also the mistake and the line.

        Raises ExerciseError for another number.
        """
        if hint not in HINTS:
            raise ExerciseError(f"hint {hint!r}: give 1 for what fails, 2 for which part, 3 for which line")
        if hint == 3:
            return self
        kept = tuple(note for note in self.notes if not note.startswith(EXPLAINS))
        part = self.part if hint == 2 else None
        return replace(self, mistake=None, distance=None, line=None, part=part, notes=kept)

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
        more = [] if self.line is None else [f"The line of yours that is most like it: {self.line}"]
        if not self.counts:
            more.append("No points: right in no ordinary case, one whose result is not 0, 1 or what was given")
        return Table(("property", "", ""), rows, marked=failed, notes=(self.sentence, *more, *self.notes))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, the score among them."""
        return asdict(self) | {
            "properties": [list(each) for each in self.properties],
            "notes": list(self.notes),
            "weights": list(self.weights),
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
            weights=tuple(float(weight) for weight in values["weights"]),
            counts=bool(values["counts"]),
            part=values["part"],
            line=None if values["line"] is None else plain(str(values["line"])),
        )
