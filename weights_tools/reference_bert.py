"""transformers' Wav2Vec2-BERT as the reference: random models of any config, and what they compute of features.

Nothing of ours runs here. As in reference.py every parameter is random, norms and biases too, and depends on the seed
alone. The table of relative positions is the one array that torch computes in float32 by a sine of its own, which may
differ from any other in the last bit: `set_position_table` puts another one in its place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import transformers
from transformers.utils import logging

logging.set_verbosity_error()


def random_model(kind: str, config: dict[str, Any], rng: np.random.Generator) -> Any:
    """A model of transformers' class ``kind`` in float32 and eval mode, every parameter drawn from ``rng``."""
    model = getattr(transformers, kind)(transformers.Wav2Vec2BertConfig(**config, attn_implementation="eager"))
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.from_numpy(random_parameter(name, tuple(parameter.shape), rng).astype(np.float32)))
    return model.eval()


def random_parameter(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Values that keep a signal near unit size while every term of every formula matters."""
    normal = rng.standard_normal(shape)
    if name.endswith("norm.weight"):
        return 1 + 0.3 * normal
    if len(shape) == 1:
        return 0.3 * normal
    if "pos_bias" in name or "distance_embedding" in name:
        return normal
    return normal / math.sqrt(math.prod(shape[1:]))


def set_position_table(model: Any, pe: np.ndarray) -> None:
    """Let a model of relative positions use ``pe`` (2T − 1, C) for utterances of T frames."""
    base = getattr(model, "wav2vec2_bert", model)
    base.encoder.embed_positions.pe = torch.from_numpy(pe)[None]
