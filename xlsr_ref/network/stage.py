"""What a part of the network hands on besides its result: its stages by name, each with its output and its cache.

Names are the checkpoint's module paths inside that part, such as `conv_layers.0` or `layers.3`. A stage holds
references to arrays that exist anyway, so remembering one is free; what it costs is that they live on.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

# False: remember nothing. "outputs": each stage's output. True: also what backward needs. "attention": and the weights.
# "checkpoints": as True, but of a block only its output; the backward pass makes its cache again from its input.
Keep = bool | Literal["outputs", "attention", "checkpoints"]


class Stage(NamedTuple):
    output: np.ndarray  # (T, C)
    cache: Any  # the NamedTuple that the stage's function returned; None where only outputs are kept


Stages = dict[str, Stage]


def remember(stages: Stages, name: str, output: np.ndarray, cache: Any, keep: Keep) -> None:
    """Put a stage into ``stages`` if ``keep`` asks for it; otherwise its cache dies here."""
    if keep:
        stages[name] = Stage(output, None if keep == "outputs" else cache)
