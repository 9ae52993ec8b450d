"""What a beginner should be told while a model trains: the usual ways in which training fails, named when they happen.

collapse     the codebook of a group shrinks to one code: its perplexity is near 1, and its targets are all alike
all blank    every frame is the blank: a CTC model often begins so, and should leave it within some hundred steps
NaN          a step without a usable gradient is left out; many in a row end the run
lengths      a clip is not as long as its list says; one that cannot be learnt from is left out of its batch
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xlsr_ref.audio.manifest import Clip
from xlsr_ref.errors import TrainingError

COLLAPSED = 1.5  # perplexity: fewer than two codes in use
ALL_BLANK = 0.999  # share of frames whose likeliest token is the blank
PATIENCE = {"collapse": 20, "blank": 200}  # steps in a row before it is said
AGAIN = 200  # steps in a row until it is said again


class Watch:
    """Looks at the numbers of each step; ``bad`` and ``in_a_row`` count steps without a usable gradient."""

    def __init__(self, most_in_a_row: int, bad: int = 0, in_a_row: int = 0) -> None:
        self.most, self.bad, self.in_a_row = most_in_a_row, bad, in_a_row
        self._since = {"collapse": 0, "blank": 0}

    def good(self, numbers: dict[str, Any]) -> list[str]:
        """Warnings, if any, after a step that went well."""
        self.in_a_row = 0
        perplexity = numbers.get("perplexity", [math.inf])
        warnings = []
        if self._lasts("collapse", min(perplexity) < COLLAPSED):
            group = perplexity.index(min(perplexity))
            warnings.append(
                f"warning: the codebook of group {group} has collapsed (perplexity {min(perplexity):.2f}): lower the "
                "schedule.peak, or raise model.config.diversity_loss_weight or pretrain.tau_floor"
            )
        if self._lasts("blank", numbers.get("blanks", 0.0) > ALL_BLANK):
            warnings.append(
                f"warning: every frame has been blank for {self._since['blank']} steps: begin with shorter clips "
                "(stages), without noise, or with a larger model.config.initializer_range"
            )
        return warnings

    def failed(self, step: int, why: str) -> str:
        """What to say after a step without a usable gradient. Raises TrainingError when there were too many."""
        self.bad += 1
        self.in_a_row += 1
        if self.in_a_row >= self.most:
            raise TrainingError(
                f"{self.in_a_row} steps in a row, up to step {step}, had no usable gradient ({why}): "
                "lower schedule.peak, and begin anew with another --out"
            )
        return f"warning: step {step} is left out, for {why}"

    def _lasts(self, what: str, now: bool) -> bool:
        self._since[what] = self._since[what] + 1 if now else 0
        late = self._since[what] - PATIENCE[what]
        return late >= 0 and late % AGAIN == 0


NAMED = 20  # clips; of more only the number is said, with the reports
SLACK = 0.1, 0.02  # seconds, and share of the length: how far a list may be wrong


class Lengths:
    """Measures every clip when it is first read. ``longest`` is the recipe's, in seconds."""

    def __init__(self, rate: int, longest: float) -> None:
        self.rate, self.longest = rate, longest
        self._measured: set[tuple[Path, float]] = set()  # a file, and where in it the clip begins
        self._left_out: set[tuple[Path, float]] = set()

    def is_too_long(self, clip: Clip, samples: int) -> bool:
        """Is a clip longer than the recipe allows, against what its list says?"""
        return samples / self.rate > self.longest and self._differs(clip, samples)

    def measured(self, clip: Clip, samples: int) -> Iterator[str]:
        """What to say of a clip that has ``samples``: a line where its list says something else, the first time."""
        if (clip.path, clip.start) in self._measured or not self._differs(clip, samples):
            return
        self._measured.add((clip.path, clip.start))
        if len(self._measured) <= NAMED:
            yield f"warning: {clip.path.name} has {samples / self.rate:.2f} s, not the {clip.seconds:g} s of its list"

    def left_out(self, clip: Clip, why: str) -> Iterator[str]:
        """What to say of a clip that is left out of a batch: a line, the first time."""
        if (clip.path, clip.start) in self._left_out:
            return
        self._left_out.add((clip.path, clip.start))
        if len(self._left_out) <= NAMED:
            yield f"warning: {clip.path.name} is left out of its batches: {why}"

    def _differs(self, clip: Clip, samples: int) -> bool:
        seconds, share = SLACK
        return abs(samples / self.rate - clip.seconds) > seconds + share * clip.seconds
