"""transformers as the reference: random models of any config, and what every stage of theirs computes.

Nothing of ours runs here. Weights are drawn by a NumPy generator in the order of their names, so that a model depends
on its seed alone. Every parameter is random, also the norms and biases that training would start at one and zero: a
formula that is wrong about one of them shows only then. Stages are named by the dotted module path and have no batch
axis: (frames, channels), attention weights (heads, frames, frames).
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor
from transformers.models.wav2vec2 import Wav2Vec2ForCTC, Wav2Vec2ForPreTraining, Wav2Vec2Model
from transformers.utils import logging

KINDS = {kind.__name__: kind for kind in (Wav2Vec2ForCTC, Wav2Vec2Model, Wav2Vec2ForPreTraining)}
STAGE = re.compile(  # the modules whose outputs are the stages
    r"(^|\.)(conv_layers\.\d+|feature_projection|encoder\.(pos_conv_embed|layers\.\d+|layer_norm)|lm_head)$"
)

logging.set_verbosity_error()
logging.disable_progress_bar()


class Reference(NamedTuple):
    stages: dict[str, np.ndarray]  # dotted module path -> (T, C), in the order in which they are computed
    hidden_states: list[np.ndarray]  # L+1 of (T, C): what enters block 0, then what leaves each block
    last_hidden_state: np.ndarray  # (T, C)
    attention: dict[str, np.ndarray]  # dotted path of the attention module -> (H, T, T); eager attention only
    output: np.ndarray  # logits (T, V), or the last hidden state where there is no lm_head


def random_model(kind: str, config: dict[str, Any], rng: np.random.Generator) -> torch.nn.Module:
    """A model of one of KINDS in float32 and eval mode, every parameter drawn from ``rng``."""
    model = KINDS[kind](Wav2Vec2Config(**config, attn_implementation="eager"))
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = random_parameter(name, tuple(parameter.shape), rng)
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    return model.eval()


def random_parameter(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Values that keep a signal near unit size while every term of every formula matters."""
    normal = rng.standard_normal(shape)
    if name.endswith("original0"):  # length of the positional kernel at each tap: (1, 1, K)
        return rng.uniform(0.5, 1.5, shape) * 4 / math.sqrt(shape[-1])
    if name.endswith("layer_norm.weight"):
        return 1 + 0.3 * normal
    if len(shape) == 1:  # biases, masked_spec_embed
        return 0.3 * normal
    fan_in = math.prod(shape[1:])
    sharper = "q_proj" in name or "k_proj" in name  # than the near uniform attention of small weights
    gain = 1.8 if len(shape) == 3 else 1.3 if sharper else 1.0  # GELU halves a convolution's output
    return gain * normal / math.sqrt(fan_in)


def load_reference(folder: str | Path, dtype: torch.dtype, attention: str = "eager") -> torch.nn.Module:
    """The model of a folder as transformers reads it, by the class that its config names."""
    config = Wav2Vec2Config.from_pretrained(folder)
    kind = KINDS[(config.architectures or ["Wav2Vec2ForCTC"])[0]]
    return kind.from_pretrained(folder, dtype=dtype, attn_implementation=attention).eval()


def load_extractor(folder: str | Path) -> Wav2Vec2FeatureExtractor:
    """The folder's preprocessor settings; transformers' defaults where it has none."""
    named = any((Path(folder) / name).exists() for name in ("preprocessor_config.json", "processor_config.json"))
    return Wav2Vec2FeatureExtractor.from_pretrained(folder) if named else Wav2Vec2FeatureExtractor()


def input_values(waveform: np.ndarray, dtype: torch.dtype, extractor: Wav2Vec2FeatureExtractor) -> torch.Tensor:
    """(1, samples): the waveform normalised in ``dtype``, by transformers' own formula."""
    samples = waveform.astype({torch.float32: np.float32, torch.float64: np.float64}[dtype])
    if extractor.do_normalize:
        (samples,) = extractor.zero_mean_unit_var_norm([samples], None)
    return torch.from_numpy(samples)[None]


def run_reference(model: torch.nn.Module, values: torch.Tensor, keep_stages: bool = True) -> Reference:
    """Run one utterance (1, samples) and collect what every stage put out."""
    stages: dict[str, np.ndarray] = {}
    hooks = []
    if keep_stages:
        for name, module in model.named_modules():
            if STAGE.search(name):
                hooks.append(module.register_forward_hook(_keep(stages, name)))
    with torch.no_grad():
        eager = model.config._attn_implementation == "eager"
        base = getattr(model, "wav2vec2", model)
        out = base(values, output_hidden_states=True, output_attentions=eager)
        last = out.last_hidden_state
        head = getattr(model, "lm_head", None)
        output = last if head is None else head(last)
    for hook in hooks:
        hook.remove()
    prefix = "" if base is model else "wav2vec2."
    attention = {
        f"{prefix}encoder.layers.{i}.attention": weights[0].numpy() for i, weights in enumerate(out.attentions or ())
    }
    hidden_states = [state[0].numpy() for state in out.hidden_states]
    return Reference(stages, hidden_states, last[0].numpy(), attention, output[0].numpy())


def _keep(stages: dict[str, np.ndarray], name: str):
    def hook(module, inputs, output):
        first = output[0] if isinstance(output, tuple) else output  # the projection also returns its normalised input
        frames_first = first[0].T if "conv_layers." in name else first[0]  # their convolutions put out (C, T)
        stages[name] = frames_first.detach().numpy().copy()

    return hook


class Transcriber:
    """transformers' greedy text of a CTC folder, one clip at a time, in float32."""

    def __init__(self, folder: str | Path, attention: str = "sdpa") -> None:
        self.model = load_reference(folder, torch.float32, attention)
        self.extractor = load_extractor(folder)
        self.tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(folder)

    def logits(self, waveform: np.ndarray) -> np.ndarray:
        """(frames, vocab) of a float32 waveform at the model's rate."""
        with torch.no_grad():
            return self.model(input_values(waveform, torch.float32, self.extractor)).logits[0].numpy()

    def text(self, logits: np.ndarray) -> str:
        return self.tokenizer.decode(logits.argmax(axis=-1).tolist())
