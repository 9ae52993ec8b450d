"""A model of a released one's size with random weights: what it says means nothing, but it is as fast as the real one.

    matrices and kernels of the context network ~ N(0, 0.02²)     convolutions ~ N(0, 2/fan-in)     (He et al. 2015)
    norms 1 and 0, biases 0, and g = ‖v‖ in the positional convolution, so that its kernel is v

Nothing is downloaded. The folder is in the Hugging Face layout, and transformers opens it, too.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.checkpoint.safetensors_file import write_arrays
from xlsr_ref.files import write_whole
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.shapes import expected_shapes, parameter_count

SEED = 53
SIZES: dict[str, dict[str, Any]] = {  # what differs from Config's defaults, which are those of wav2vec2-base
    "xlsr-53": {
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "do_stable_layer_norm": True,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
    "base": {},
}


def write_random_model(folder: Path, values: dict[str, Any]) -> None:
    """A float32 Wav2Vec2ForCTC into ``folder``, which is made; ``values`` are what its config.json is to say.

    The config is written last: where it stands, the weights are whole. Raises ConfigError, WeightsError, OSError.
    """
    values = {"architectures": ["Wav2Vec2ForCTC"], "model_type": "wav2vec2", **values}
    shapes = expected_shapes(Config.from_dict(values), "Wav2Vec2ForCTC")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    weights: dict[str, np.ndarray] = {}
    for name, shape in reversed(shapes.items()):  # v stands after g, and is needed first
        weights[name] = _draw(rng, name, shape, weights)
    write_arrays(folder / "model.safetensors", {name: weights[name] for name in shapes})
    write_whole(folder / "config.json", json.dumps(values, indent=1))


def size_in_bytes(values: dict[str, Any]) -> int:
    """Of the weights, in float32."""
    return 4 * parameter_count(Config.from_dict(values), "Wav2Vec2ForCTC")


def _draw(rng: np.random.Generator, name: str, shape: tuple[int, ...], weights: dict[str, np.ndarray]) -> np.ndarray:
    if name.endswith("layer_norm.weight"):
        return np.ones(shape, np.float32)
    if name.endswith("original0"):
        v = weights[name.removesuffix("0") + "1"]  # (C, C/G, K)
        return np.sqrt(np.square(v).sum(axis=(0, 1), keepdims=True))
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    std = math.sqrt(2 / math.prod(shape[1:])) if "conv_layers" in name else 0.02
    normal = rng.standard_normal(shape, np.float32)
    normal *= std
    return normal
