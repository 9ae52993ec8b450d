"""Look into a checkpoint: its tensors one by one, and what model they make.

    encoder.layer_norm.weight   (1024,)   F32   min −0.31  max 2.4  mean 1.02  std 0.11  NaN 0

Without statistics nothing but headers is read, and the answer comes at once, whatever the size. The architecture is
what the shapes say; the config beside the weights, or inside, is checked against it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from xlsr_ref.checkpoint import infer
from xlsr_ref.checkpoint.floats import widened
from xlsr_ref.checkpoint.open import Weights, understand
from xlsr_ref.checkpoint.tensors import FLOATS, Tensor
from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import brief, listed

UNTOLD = (  # settings that leave no trace in a shape, of either network
    "num_attention_heads", "do_stable_layer_norm", "conv_stride", "position_embeddings_type",
    "left_max_position_embeddings", "hidden_act",
)  # fmt: skip


class Statistics(NamedTuple):
    """Of the numbers of a tensor that are finite; NaN and infinities are counted."""

    least: float
    largest: float
    mean: float
    std: float
    nan: int
    infinite: int


def statistics(tensor: Tensor) -> Statistics | None:
    """Piece by piece, added up in float64. None for what holds no numbers."""
    if tensor.dtype not in FLOATS and tensor.dtype[0] not in "IU":
        return None
    count, mean, squares, nan, infinite = 0, 0.0, 0.0, 0, 0
    least, largest = math.inf, -math.inf
    for piece in tensor.pieces():
        values = widened(piece).astype(np.float64)
        finite = values[np.isfinite(values)]
        gone = int(np.isnan(values).sum())
        nan, infinite = nan + gone, infinite + len(values) - len(finite) - gone
        if len(finite) == 0:
            continue
        own = finite.mean()
        apart, total = own - mean, count + len(finite)
        squares += ((finite - own) ** 2).sum() + apart**2 * count * len(finite) / total  # Chan's: two parts as one
        mean += apart * len(finite) / total
        count = total
        least, largest = min(least, finite.min()), max(largest, finite.max())
    if count == 0:
        least = largest = mean = math.nan
    return Statistics(float(least), float(largest), float(mean), math.sqrt(squares / max(count, 1)), nan, infinite)


def report(weights: Weights, with_statistics: bool = True) -> Iterator[str]:
    """The lines of ``inspect``, each as soon as it is known."""
    yield f"file      {listed(path.name for path in weights.files)}, {weights.form}, names of {weights.scheme}"
    if weights.left:
        yield f"ignored   {len(weights.left)} entries that are no tensors: {listed(weights.left)}"
    yield ""
    width = max(len(brief(weights.named[name])) for name in weights.tensors)
    for name, tensor in weights.tensors.items():
        line = f"{brief(weights.named[name]):{width}}  {tensor.shape!s:18}  {tensor.dtype:4}"
        found = statistics(tensor) if with_statistics else None
        if found is not None:
            line += (
                f"  min {found.least:11.4g}  max {found.largest:11.4g}  mean {found.mean:11.4g}  std {found.std:10.4g}"
            )
            line += f"  NaN {found.nan}" + (f"  infinite {found.infinite}" if found.infinite else "")
        yield line.rstrip()
    yield ""
    yield from architecture(weights)


def architecture(weights: Weights) -> Iterator[str]:
    """What the shapes say, what the settings say against it, and the verdict."""
    try:
        config = infer.config_of(weights.shapes)
        kind = config.pop("architectures")[0]
    except WeightsError as error:
        yield f"verdict   {error}"
        return
    for field, value in config.items():
        yield f"{field:31} {json.dumps(value)}"
    try:
        checkpoint = understand(weights)
        stated = {field: checkpoint.config.get(field) for field in UNTOLD if field not in config}
        origin = "config.json" if weights.has_config else "the checkpoint's own settings"
        for field, value in stated.items():
            if value is None:  # left out of config.json: transformers' default
                continue
            yield f"{field:31} {json.dumps(value)}  (from {origin}: no shape tells it)"
    except WeightsError as error:
        yield f"config    {error}"
    yield f"verdict   this is a {infer.what_is(kind)} of {parameters(weights):,} parameters ({kind})"


def parameters(weights: Weights) -> int:
    """How many numbers its floating-point tensors hold."""
    return sum(tensor.size for tensor in weights.tensors.values() if tensor.dtype in FLOATS)
