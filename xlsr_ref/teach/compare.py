"""How far apart two computations are: by name, worst first, or stage by stage up to the first that departs.

    error = max |mine − reference| / max |reference|          absolute where the reference is 0 throughout

One number for a tensor, whatever its scale. Equal infinities do not differ; NaN is never right. Differences are taken
in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlsr_ref.model.stages import Stage
from xlsr_ref.ops.tree import flatten
from xlsr_ref.teach.table import Shown, Table


@dataclass(frozen=True)
class Row:
    """One tensor: how far mine is from the reference."""

    name: str
    shape: tuple[int, ...]
    absolute: float  # largest difference
    relative: float  # divided by the reference's largest value; the absolute one where that is 0


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """The rows, and the names that only one side has. Printed, it is a table with the worst first."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()  # in the reference, not in mine
    extra: tuple[str, ...] = ()  # in mine, not in the reference

    @property
    def worst(self) -> float:
        """The largest relative error; infinite where a name is missing or extra, NaN where a number is."""
        if self.missing or self.extra:
            return float("inf")
        return float(np.max([row.relative for row in self.rows], initial=0.0))

    def table(self) -> Table:
        order = sorted(self.rows, key=lambda row: (not np.isnan(row.relative), -row.relative))  # NaN is the worst
        return Table(
            ("name", "shape", "absolute", "relative"),
            [_cells(row) for row in order],
            numbers=(2, 3),
            marked=(0,) if order and order[0].relative != 0 else (),
            notes=_only_one_side(self.missing, self.extra),
        )


@dataclass(frozen=True, repr=False)
class Departure(Shown):
    """Stage by stage: the rows in the order of the network, and the ``first`` whose error is above ``tolerance``."""

    rows: tuple[Row, ...]
    tolerance: float
    missing: tuple[str, ...] = ()  # in the reference, not in mine
    extra: tuple[str, ...] = ()  # in mine, not in the reference

    @property
    def first(self) -> str | None:
        """The first stage that departs; None where none does."""
        return next((row.name for row in self.rows if not row.relative <= self.tolerance), None)

    def table(self) -> Table:
        far = tuple(i for i, row in enumerate(self.rows) if not row.relative <= self.tolerance)
        if far:
            first = self.rows[far[0]]
            verdict = f"the first that departs: {first.name}, error {first.relative:.1e}, above {self.tolerance:g}"
        elif self.rows:
            worst = max(self.rows, key=lambda row: row.relative)
            verdict = f"none departs: the largest error is {worst.relative:.1e}, of {worst.name}"
        else:
            verdict = "no stage is on both sides"
        notes = (verdict, *_only_one_side(self.missing, self.extra))
        rows = [(*_cells(row), "departs" if i in far[:1] else "") for i, row in enumerate(self.rows)]
        return Table(("stage", "shape", "absolute", "relative", ""), rows, (2, 3), far[:1], notes)


def compare(mine: Mapping[str, Any], reference: Mapping[str, Any]) -> Comparison:
    """Compare two dicts of arrays, flat or nested, by dotted name. Another shape counts as missing and extra."""
    ours, theirs = flatten(mine), flatten(reference)
    same = [name for name in theirs if name in ours and np.shape(ours[name]) == np.shape(theirs[name])]
    rows = (difference(name, ours[name], theirs[name]) for name in same)
    missing, extra = (tuple(name for name in names if name not in same) for names in (theirs, ours))
    return Comparison(tuple(rows), missing, extra)


def stages(mine: Mapping[str, Any], reference: Mapping[str, Any], tolerance: float = 1e-4) -> Departure:
    """Hold two runs against each other in the order of the reference, and name the first stage that departs.

    Each is the stages that ``Model.forward`` returns, of which the outputs are compared, or a dict of arrays by name.
    Another shape departs by infinity. ``tolerance`` is relative; 1e-4 suits float32 through a whole network.
    """
    ours, theirs = _outputs(mine), _outputs(reference)
    rows = tuple(difference(name, ours[name], array) for name, array in theirs.items() if name in ours)
    missing, extra = tuple(n for n in theirs if n not in ours), tuple(n for n in ours if n not in theirs)
    return Departure(rows, tolerance, missing, extra)


def difference(name: str, mine: Any, reference: Any) -> Row:
    """The row of two arrays or numbers; infinite where their shapes are not the same."""
    mine, reference = np.asarray(mine), np.asarray(reference)
    if mine.shape != reference.shape:
        return Row(name, mine.shape, float("inf"), float("inf"))
    kind = np.result_type(mine, reference, np.float64)
    mine, reference = mine.astype(kind), reference.astype(kind)
    with np.errstate(invalid="ignore"):
        apart = np.where(mine == reference, 0, mine - reference)  # ∞ − ∞ is 0 here
    absolute = float(np.abs(apart).max(initial=0))
    scale = float(np.abs(reference[np.isfinite(reference)]).max(initial=0))
    return Row(name, reference.shape, absolute, absolute / scale if scale else absolute)


def _outputs(stages: Mapping[str, Any]) -> dict[str, Any]:
    return {name: stage.output if isinstance(stage, Stage) else stage for name, stage in stages.items()}


def _cells(row: Row) -> tuple[str, ...]:
    return row.name, str(row.shape), *(f"{error:.1e}" if error else "0" for error in (row.absolute, row.relative))


def _only_one_side(missing: tuple[str, ...], extra: tuple[str, ...]) -> tuple[str, ...]:
    return (*(f"missing: {name}" for name in missing), *(f"extra: {name}" for name in extra))
