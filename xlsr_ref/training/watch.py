"""What a beginner should be told while a model trains: the usual ways in which training fails, named when they happen.

collapse     the codebook of a group shrinks to one code: its perplexity is near 1, and nothing is left to tell apart
all blank    the model says nothing at all: a CTC model often begins so, and should leave it within some hundred steps
NaN          a step without a usable gradient is left out; many in a row end the run
"""

from __future__ import annotations

import math
from typing import Any

from xlsr_ref.errors import TrainingError

COLLAPSED = 1.5  # perplexity: fewer than two codes in use
SPEECHLESS = 0.999  # share of frames whose likeliest token is the blank
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
        found = []
        if self._lasts("collapse", min(perplexity) < COLLAPSED):
            group = perplexity.index(min(perplexity))
            found.append(
                f"warning: the codebook of group {group} has collapsed (perplexity {min(perplexity):.2f}): lower the "
                "schedule.peak, or raise model.config.diversity_loss_weight or pretrain.tau_floor"
            )
        if self._lasts("blank", numbers.get("blanks", 0.0) > SPEECHLESS):
            found.append(
                f"warning: the model has said nothing but blanks for {self._since['blank']} steps: begin with shorter "
                "clips (stages), without noise, or with a larger model.config.initializer_range"
            )
        return found

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
