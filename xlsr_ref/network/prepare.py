"""What is derived from the parameters for speed: kept beside them, never saved.

    conv_layers.i.conv.weight (C_out, C_in, K)  →  the matrix (K·C_in, C_out) that windows are multiplied by
    pos_conv_embed.conv: g, v                   →  the kernel g · v / ‖v‖, in memory tap by tap

Everything else is used as the checkpoint has it. What is prepared is used again as long as the parameters are the same
arrays and nobody can write to them, which holds for what `load` returns; while training it is made anew every time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.network.positional import Kernel
from xlsr_ref.ops.conv import kernel_matrix, tap_by_tap, weight_norm, weight_norm_parts


class Prepared(NamedTuple):
    sources: tuple[np.ndarray, ...]  # the parameters that the rest was derived from
    matrices: tuple[np.ndarray, ...]  # of the feature encoder's convolutions, in their order
    positional: Kernel


def prepare(p: dict, known: Prepared | None = None) -> Prepared:
    """From the parameters ``p`` of the network without its heads; ``known`` is returned if it still holds."""
    layers = p["feature_extractor"]["conv_layers"]
    convolutions = [layers[str(i)]["conv"]["weight"] for i in range(len(layers))]
    position = p["encoder"]["pos_conv_embed"]["conv"]
    sources = (*convolutions, *weight_norm_parts(position))
    if known is not None and all(a is b and not a.flags.writeable for a, b in zip(sources, known.sources)):
        return known
    kernel, cache = weight_norm(position)
    matrices = tuple(kernel_matrix(weight) for weight in convolutions)
    return Prepared(sources, matrices, (tap_by_tap(kernel), cache))
