"""A port's numbers against the kit's: the first stage that departs, and the known mistake that gives those numbers.

A mistake is put into network.py, and the stages are computed again: it is named where it gives the port's numbers in
the first stage that departs, and in all before. With it in the network the search goes on, for there may be two.
"""

from __future__ import annotations

import inspect
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.checkpoint.safetensors_file import read_arrays
from xlsr_ref.errors import XlsrError
from xlsr_ref.teach.conformance import network
from xlsr_ref.teach.conformance.slips import defined, slips
from xlsr_ref.teach.table import Shown, Table
from xlsr_ref.untrusted import brief, read_json, shown

TOLERANCE = {"float64": 1e-9, "float32": 2e-4}  # of the largest number of a stage; float32 rounds some 100 times
MOST = 4  # mistakes that are looked for, one after the other
LARGEST = 1 << 30  # bytes of a file of numbers


@dataclass(frozen=True, repr=False)
class Report(Shown):
    """What :func:`check` found: for each stage of the kit its name, "same", "departs" or "missing", and the error."""

    rows: tuple[tuple[str, str, str], ...]
    first: str | None  # the first stage that departs
    mistakes: tuple[str, ...] = ()  # in words, in the order of the stages
    next: str | None = None  # the first stage that departs also with the mistakes in the network

    @property
    def passed(self) -> bool:
        """Whether no stage departs, of one at least."""
        return self.first is None and any(state == "same" for _, state, _ in self.rows)

    @property
    def sentence(self) -> str:
        """The report in one line."""
        compared = sum(state != "missing" for _, state, _ in self.rows)
        if self.first is None:
            return f"{compared} of {len(self.rows)} stages compared: none departs"
        if not self.mistakes:
            return f"{self.first} is the first stage that departs; no known mistake gives its numbers"
        known = " and ".join(self.mistakes)
        text = f"{self.first} is the first stage that departs. This gives your numbers: {known}"
        return text if self.next is None else f"{text}. With that, {self.next} departs next, for another reason"

    def table(self) -> Table:
        marked = tuple(i for i, (name, _, _) in enumerate(self.rows) if name == self.first)
        return Table(("stage", "", "error"), self.rows, marked=marked, notes=(self.sentence,))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, for JSON."""
        stages = [{"name": name, "state": state, "found": found} for name, state, found in self.rows]
        return {
            "passed": self.passed,
            "first": self.first,
            "mistakes": list(self.mistakes),
            "next": self.next,
            "stages": stages,
        }


@dataclass(frozen=True)
class Kit:
    """What the files of a kit hold; ``computed`` are the stages of networks with a mistake, by their texts."""

    right: dict[str, np.ndarray]  # by stage, in their order
    samples: np.ndarray  # (L,)
    weights: dict[str, np.ndarray]  # by name, in float64
    config: dict[str, Any]
    targets: tuple[int, ...]
    computed: dict[str, dict[str, np.ndarray] | None] = field(default_factory=dict)

    def stages(self, source: str) -> dict[str, np.ndarray] | None:
        """What network.py's text with a mistake gives; None where shapes do not fit."""
        if source not in self.computed:
            try:
                with np.errstate(all="ignore"):
                    self.computed[source] = defined(source)(self.samples, self.weights, self.config, self.targets)
            except (ValueError, IndexError, KeyError):
                self.computed[source] = None
        return self.computed[source]


def check(
    kit: str | Path | Kit, outputs: str | Path | Mapping[str, np.ndarray], tolerance: float | None = None
) -> Report:
    """Compare the ``outputs`` of a port, a folder or an .npz file or arrays by name, with a kit.

    ``tolerance`` is the largest error, divided by a stage's largest number (None: 1e-9 for float64, 2e-4 for float32).
    Raises XlsrError where a file cannot be read, or where nothing in ``outputs`` is named like a stage.
    """
    kit = kit if isinstance(kit, Kit) else read_kit(kit)
    right = kit.right
    shapes = {name: value.shape for name, value in right.items()}
    mine = read_outputs(outputs, shapes) if isinstance(outputs, str | Path) else dict(outputs)
    if not set(mine) & set(right):
        where = shown(outputs) if isinstance(outputs, str | Path) else "the outputs"
        raise XlsrError(
            f"{where}: no stage of the kit is in it; name each as in stages.json, such as {next(iter(right))}"
        )
    mine = {name: mine[name] for name in right if name in mine}
    allowed = {name: _allowed(value, tolerance) for name, value in mine.items()}
    rows = tuple(_row(name, value, mine.get(name), allowed.get(name, 0.0)) for name, value in right.items())
    first = _first(mine, right, allowed)
    known: list[str] = []
    now, source = first, inspect.getsource(network)
    while now is not None and len(known) < MOST:
        found = _explained(kit, source, now, mine, allowed)
        if found is None:
            break
        words, source, now = found
        known.append(words)
    return Report(rows, first, tuple(known), now if known else None)


def _explained(
    kit: Kit, source: str, stage: str, mine: Mapping[str, np.ndarray], allowed: Mapping[str, float]
) -> tuple[str, str, str | None] | None:
    """The mistake that gives the port's numbers up to ``stage``: its words, the network with it, what departs next."""
    before = list(mine)[: list(mine).index(stage) + 1]
    candidates = []
    for slip in slips():
        changed = slip.applied(source)
        theirs = kit.stages(changed) if changed else None
        if changed is None or theirs is None:
            continue
        if all(_error(mine[name], theirs[name]) <= allowed[name] for name in reversed(before)):
            worst = max(_error(mine[name], theirs[name]) / allowed[name] for name in before)
            after = _first(mine, theirs, allowed)
            same = sum(_error(mine[name], theirs[name]) <= allowed[name] for name in mine)
            candidates.append((same, -worst, slip.words, changed, after))
    if not candidates:
        return None
    _, _, words, changed, after = max(candidates, key=lambda each: each[:2])
    return words, changed, after


def _first(mine: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], allowed: Mapping[str, float]) -> str | None:
    return next((name for name in mine if _error(mine[name], right[name]) > allowed[name]), None)


def _row(name: str, right: np.ndarray, mine: np.ndarray | None, allowed: float) -> tuple[str, str, str]:
    if mine is None:
        return name, "missing", ""
    if mine.shape != right.shape:
        return name, "departs", f"has the shape {mine.shape}, expected {right.shape}"
    error = _error(mine, right)
    found = "not finite" if math.isinf(error) else f"{error:.1e}, {allowed:.0e} allowed"
    return name, "same" if error <= allowed else "departs", found


def _error(mine: np.ndarray, right: np.ndarray) -> float:
    """The largest difference, divided by the largest number that is right; infinite where the shapes are others."""
    if mine.shape != right.shape or not np.isfinite(mine).all():
        return math.inf
    scale = float(np.abs(right).max(initial=0.0)) or 1.0
    error = float(np.abs(mine.astype(np.float64) - right).max(initial=0.0)) / scale
    return error if math.isfinite(error) else math.inf


def _allowed(value: np.ndarray, tolerance: float | None) -> float:
    return TOLERANCE.get(str(value.dtype), TOLERANCE["float32"]) if tolerance is None else tolerance


# --- the files --------------------------------------------------------------------------------------------------------


def read_kit(folder: str | Path) -> Kit:
    """What the files of a kit hold. Raises XlsrError."""
    place = Path(folder)
    stages, given = _npz(place / "stages.npz"), _npz(place / "inputs.npz")
    listed = read_json(place / "stages.json", XlsrError).get("stages")
    order = [each["name"] for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    if sorted(order) != sorted(stages) or not {"samples", "targets"} <= set(given):
        raise XlsrError(f"{shown(place)}: is no conformance kit; xlsr-ref conformance write makes one")
    flat = read_arrays(place / "model" / "model.safetensors")
    weights = {name.removeprefix("wav2vec2."): array.astype(np.float64) for name, array in flat.items()}
    config = read_json(place / "model" / "config.json", XlsrError)
    targets = tuple(given["targets"].tolist())
    return Kit({name: stages[name] for name in order}, given["samples"].astype(np.float64), weights, config, targets)


def read_outputs(path: str | Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The arrays of a port: of an .npz file, or of a folder with NAME.f32, NAME.f64, NAME.npy or .npz files."""
    place = Path(path)
    if not place.is_dir():
        return _npz(place)
    found: dict[str, np.ndarray] = {}
    for file in sorted(place.iterdir()):
        if file.suffix == ".npz":
            found |= _npz(file)
        elif file.suffix == ".npy":
            found[file.stem] = _numbers(file, lambda f=file: np.load(f, allow_pickle=False))
        elif file.suffix in (".f32", ".f64") and file.stem in shapes:
            kind = "<f4" if file.suffix == ".f32" else "<f8"
            flat = _numbers(file, lambda f=file, k=kind: np.fromfile(f, k))
            found[file.stem] = _shaped(flat, shapes[file.stem])
    return found


def _shaped(flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers in rows, as many as there are: a port may have a frame too many."""
    width = math.prod(shape[1:])
    if flat.size == math.prod(shape):
        return flat.reshape(shape)
    return flat.reshape(-1, *shape[1:]) if shape and flat.size % width == 0 else flat


def _npz(path: Path) -> dict[str, np.ndarray]:
    def read() -> dict[str, np.ndarray]:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}

    return _numbers(path, read)


def _numbers(path: Path, read: Any) -> Any:
    try:
        if path.stat().st_size > LARGEST:
            raise XlsrError(f"{shown(path)}: is larger than 1 GiB; give the stages of the kit alone")
        return read()
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, MemoryError) as error:
        reason = getattr(error, "strerror", None) or brief(str(error))
        raise XlsrError(
            f"{shown(path)}: no arrays can be read from it ({reason}); give .npz, .npy, .f32 or .f64"
        ) from None
