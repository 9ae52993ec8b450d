"""What a run starts from: new weights, drawn by a seed, or those of a folder; a config, and a vocabulary for its texts.

New weights are drawn as transformers draws them:
    convolutions   N(0, 2 / fan-in)               positional kernel  N(0, 4 / (K C)), with g = ‖v‖
    projection     U(−k, k), k = 1 / √fan-in      linear maps        N(0, initializer_range²)
    norms          1 and 0                        codes  N(0, 1) for the scores, U(0, 1) for the codevectors
    biases         0; U(−k, k) in convolutions, projection, project_q and project_hid
A folder's weights are taken by name. What it lacks and may lack (the head, the vector of masked frames, the parts of
pre-training) is drawn; anything else is refused. Where: He et al. 2015 (convolutions).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.audio import Preprocessor
from xlsr_ref.config import Config, read_json
from xlsr_ref.errors import ConfigError, TrainingError
from xlsr_ref.params import CLASSIC, PARAMETRIZED, Flat, expected_shapes, flatten, listed, load_params
from xlsr_ref.training.recipe import Recipe

VOCABULARY = "vocab.json"
TEXT_FILES = (VOCABULARY, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
DRAWN = ("lm_head.", "masked_spec_embed", "quantizer.", "project_q.", "project_hid.")  # what a folder may lack
TOKENIZER = {
    "tokenizer_class": "Wav2Vec2CTCTokenizer",
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "bos_token": None,
    "eos_token": None,
    "word_delimiter_token": "|",
    "do_lower_case": False,
    "replace_word_delimiter_char": " ",
}
PREPROCESSOR = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "sampling_rate": 16000,
    "padding_value": 0.0,
    "do_normalize": True,
    "return_attention_mask": True,
}


@dataclass
class Start:
    config: Config
    preprocessor: Preprocessor
    params: Flat  # writeable, under the names that transformers gives them
    files: dict[str, str]  # of the model folder, beside the weights
    said: list[str]  # what the user should know


def vocabulary_of(texts: Iterable[str]) -> dict[str, int]:
    """[PAD], which is the blank, [UNK], | for the space, and every other character of the texts, in order."""
    letters = sorted({letter for text in texts for letter in text} - {" ", "|"})
    return {token: i for i, token in enumerate(["[PAD]", "[UNK]", "|", *letters])}


def prepare_start(
    recipe: Recipe, kind: str, texts: Iterable[str], base: Path, dtype: str = "float32", bundled: Path | None = None
) -> Start:
    """The start of a run that trains a model of ``kind``. ``base`` is the folder that relative paths begin at.

    ``texts`` are those of the training split, for a new head. Raises TrainingError, ConfigError, WeightsError.
    """
    part, said = recipe.model, []
    values: dict[str, Any] = {"model_type": "wav2vec2"}
    old, folder = None, None
    files, preprocessor = {"preprocessor_config.json": _json(PREPROCESSOR)}, Preprocessor()
    if part.start != "new":
        folder = base / part.start
        if not folder.is_dir() and bundled is not None and (bundled / part.start).is_dir():
            folder = bundled / part.start
        values |= read_json(folder / "config.json", ConfigError)
        old, _ = load_params(folder, Config.from_folder(folder), dtype)
        preprocessor = Preprocessor.from_folder(folder)
        wanted = (
            "preprocessor_config.json",
            "processor_config.json",
            *(TEXT_FILES if kind == "Wav2Vec2ForCTC" else ()),
        )
        files |= {name: (folder / name).read_text("utf-8") for name in wanted if (folder / name).is_file()}
    values |= part.config | {"architectures": [kind], "dtype": dtype}
    if kind == "Wav2Vec2ForCTC":
        has_head = old is not None and "lm_head" in old and VOCABULARY in files
        if part.head == "keep" and not has_head:
            raise TrainingError(f"model.head is 'keep', but {folder or 'a new model'} has no head with a vocabulary")
        if part.head == "new":
            vocabulary = vocabulary_of(texts)
            for name in TEXT_FILES:
                files.pop(name, None)
            files |= {
                VOCABULARY: _json(vocabulary),
                "tokenizer_config.json": _json(TOKENIZER),
                "special_tokens_map.json": _json({"pad_token": "[PAD]", "unk_token": "[UNK]"}),
            }
            values |= {"vocab_size": len(vocabulary), "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
            old = None if old is None else {name: value for name, value in old.items() if name != "lm_head"}
            said.append(f"a new head for {len(vocabulary)} tokens, drawn with seed {recipe.seed}")
    try:
        config = Config.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"model.config: {error}") from None
    shapes = expected_shapes(config, kind)
    params = _take_over(old, shapes, kind) if old is not None else {}
    missing = [name for name in shapes if name not in params]
    surprising = [name for name in missing if old is not None and not any(part in name for part in DRAWN)]
    if surprising:
        raise TrainingError(f"{folder} does not fit model.config: it has no {listed(surprising)} of the right shape")
    rng = np.random.default_rng(recipe.seed)
    fresh: Flat = {}
    for name in reversed(shapes):  # v stands after g, and is needed first; all are drawn, always
        fresh[name] = _draw(rng, name, shapes, config, fresh).astype(dtype)
    params |= {name: fresh[name] for name in missing}
    said.insert(0, "new weights" if old is None else f"{len(params) - len(missing)} tensors of {folder}")
    files["config.json"] = _json(values)
    ordered = {name: params[name] for name in shapes}
    return Start(config, preprocessor, ordered, files, said)


def _take_over(old: dict[str, Any], shapes: dict[str, tuple[int, ...]], kind: str) -> Flat:
    """Copies of the tensors that have a name and a shape in the new model, with or without the prefix."""
    flat = flatten(old)
    for old_name, new_name in zip(CLASSIC, PARAMETRIZED):
        flat = {name.replace(f"conv.{old_name}", f"conv.{new_name}"): value for name, value in flat.items()}
    if "wav2vec2" not in old:
        flat = {f"wav2vec2.{name}": value for name, value in flat.items()}
    return {name: np.array(flat[name]) for name, shape in shapes.items() if name in flat and flat[name].shape == shape}


def _draw(
    rng: np.random.Generator, name: str, shapes: dict[str, tuple[int, ...]], config: Config, done: Flat
) -> np.ndarray:
    """One new tensor, as the top of this file says."""
    shape, (module, _, last) = shapes[name], name.rpartition(".")
    fan_in = math.prod(shapes.get(f"{module}.weight", shape)[1:])
    uniform = rng.uniform(-1, 1, shape) / math.sqrt(fan_in)
    normal = rng.standard_normal(shape)
    if "pos_conv_embed" in name:
        if last in ("original0", "weight_g"):
            v = done[name.replace("original0", "original1").replace("weight_g", "weight_v")]
            return np.sqrt(np.square(v).sum(axis=(0, 1), keepdims=True))
        return np.zeros(shape) if last == "bias" else normal * 2 / math.sqrt(shape[2] * config.hidden_size)
    if "layer_norm" in name:
        return np.ones(shape) if last == "weight" else np.zeros(shape)
    if "masked_spec_embed" in name or "codevectors" in name:
        return rng.uniform(0, 1, shape)
    if ".conv." in name:
        return normal * math.sqrt(2 / fan_in) if last == "weight" else uniform
    if "quantizer.weight_proj" in name:
        return normal if last == "weight" else np.zeros(shape)
    if "feature_projection" in name or name.startswith(("project_q", "project_hid")):
        return uniform
    return normal * config.initializer_range if last == "weight" else np.zeros(shape)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
