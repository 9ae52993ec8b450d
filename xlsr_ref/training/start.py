"""What a run starts from: new weights, drawn by a seed, or those of a folder; a config, and a vocabulary for its texts.

New weights are drawn as transformers draws them, with k = 1 / √fan-in:
    convolutions  N(0, 2 / fan-in)           feature projection, project_q, project_hid  U(−k, k)
    positions     N(0, initializer_range²) for a table of distances, U(−b, b) with b = √(6 / (H + D)) for two biases
    linear maps   N(0, initializer_range²)   scores of the codes  N(0, 1);   codevectors, masked_spec_embed  U(0, 1)
    norms         1 and 0                    biases  0; U(−k, k) in convolutions and where weights are U(−k, k)
and the positional kernel as fairseq does: v from N(0, 4 / (K C)), g = ‖v‖. (transformers asks for that too, but of an
array that its weight norm computes and throws away: there v keeps torch's U(−k, k).)
A folder's weights are taken by name. What it lacks and may lack (the head, the vector of masked frames, the parts of
pre-training) is drawn; anything else is refused. Where: He et al. 2015 (convolutions).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.audio import LogMel, Preprocessor
from xlsr_ref.checkpoint.infer import task_of
from xlsr_ref.checkpoint.languages import adapter_files
from xlsr_ref.checkpoint.tensors import Flat
from xlsr_ref.errors import ConfigError, TrainingError
from xlsr_ref.model.load_params import load_params
from xlsr_ref.model.networks import architecture_named, architecture_of, config_of, read_settings
from xlsr_ref.ops.shapes import Shapes
from xlsr_ref.ops.tree import flatten
from xlsr_ref.settings import Settings
from xlsr_ref.training.recipe import Recipe
from xlsr_ref.untrusted import LONGEST_JSON, listed, read_json, read_text, shown
from xlsr_ref.wav2vec2.shapes import CLASSIC, PARAMETRIZED

VOCABULARY = "vocab.json"
TEXT_FILES = (VOCABULARY, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
DRAWN = (
    "lm_head.", "masked_spec_embed", "quantizer.", "project_q.", "project_hid.", ".adapter_layer.",
)  # what a folder may lack  # fmt: skip
CONVOLUTION = re.compile(r"conv[12]?\.(weight|bias)$")
SOUND_FILES = ("preprocessor_config.json", "processor_config.json")
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
PREPROCESSORS: dict[type, dict[str, Any]] = {  # their files, by what reads them
    Preprocessor: {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "sampling_rate": 16000,
        "padding_value": 0.0,
        "do_normalize": True,
        "return_attention_mask": True,
    },
    LogMel: {
        "feature_extractor_type": "SeamlessM4TFeatureExtractor",
        "feature_size": 80,
        "num_mel_bins": 80,
        "sampling_rate": 16000,
        "padding_value": 0.0,
        "stride": 2,
    },
}


@dataclass
class Start:
    """What a run begins with."""

    config: Settings
    preprocessor: Preprocessor | LogMel
    params: Flat  # writeable, under the names that transformers gives them
    files: dict[str, str]  # of the model folder, beside the weights
    notes: list[str]  # what the user should know


def vocabulary_of(texts: Iterable[str]) -> dict[str, int]:
    """[PAD], which is the blank, [UNK], | for the space, and every other character of the texts, in order."""
    letters = sorted({letter for text in texts for letter in text} - {" ", "|"})
    return {token: i for i, token in enumerate(["[PAD]", "[UNK]", "|", *letters])}


def start_of(
    recipe: Recipe, kind: str, texts: Iterable[str], base: Path, dtype: str = "float32", bundled: Path | None = None
) -> Start:
    """The start of a run that trains a model of ``kind``, or one of the same use where the folder is another network's.

    ``base`` is the folder that relative paths begin at.
    ``texts`` are those of the training split, for a new head. Folders in ``bundled`` are found by their names, too.
    Raises TrainingError, ConfigError, WeightsError.
    """
    part, notes, task = recipe.model, [], task_of(kind)
    folder = None if part.start == "new" else _folder(part.start, base, bundled)
    values: dict[str, Any] = {"model_type": "wav2vec2"}
    if folder is not None:
        values |= read_json(folder / "config.json", ConfigError)
    values |= part.config | {"dtype": dtype}
    network = architecture_named(values)
    old, preprocessor = None, network.preprocessor()
    files = {"preprocessor_config.json": _json(PREPROCESSORS[network.preprocessor])}
    if folder is not None:
        old_config, preprocessor = read_settings(folder)
        old, _ = load_params(folder, old_config, dtype)
        _require_floats(old, folder)
        wanted = (*SOUND_FILES, *(TEXT_FILES if task == "ForCTC" else ()))
        files |= {name: _text(folder / name) for name in wanted if (folder / name).exists()}
    kind = network.Config.family + task
    if kind not in network.Config.kinds():
        raise TrainingError(f"{network.Config.model_type} has no {kind}: only wav2vec 2.0 is pre-trained here")
    values["architectures"] = [kind]
    if task == "ForCTC":
        has_head = old is not None and "lm_head" in old and VOCABULARY in files
        if part.head == "keep" and not has_head:
            raise TrainingError(f"model.head is 'keep', but {folder or 'a new model'} has no head with a vocabulary")
        if part.head == "new":
            vocabulary = vocabulary_of(texts)
            files = {name: text for name, text in files.items() if name not in TEXT_FILES} | _text_files(
                vocabulary, part.language
            )
            values |= {"vocab_size": len(vocabulary), "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
            old = None if old is None else {name: value for name, value in old.items() if name != "lm_head"}
            notes.append(f"a new head for {len(vocabulary)} tokens, drawn with seed {recipe.seed}")
    try:
        config = config_of(values, preprocessor)
    except ConfigError as error:
        raise ConfigError(f"model.config: {error}") from None
    _require_adapters(config, part.language, part.head)
    shapes = architecture_of(config).shapes(config, kind)
    params = _take_over(old, shapes, config) if old is not None else {}
    missing = [name for name in shapes if name not in params]
    if folder is not None:
        may_lack = DRAWN[1:] if part.head == "keep" else DRAWN
        surprising = [name for name in missing if not any(begins in name for begins in may_lack)]
        if surprising:
            raise TrainingError(f"{folder} does not fit model.config: it lacks {listed(surprising)} of the right shape")
        notes.insert(0, f"{len(params)} tensors of {folder}" + (f"; drawn: {listed(missing)}" if missing else ""))
    else:
        notes.insert(0, "new weights")
    fresh = draw_weights(np.random.default_rng(recipe.seed), shapes, config, dtype)  # all, so that none shifts others
    params |= {name: fresh[name] for name in missing}
    files["config.json"] = _json(values | _written_out(config, preprocessor))
    return Start(config, preprocessor, {name: params[name] for name in shapes}, files, notes)


def _require_floats(params: dict[str, Any], folder: Path) -> None:
    """Raise TrainingError where weights are int8."""
    if any(array.dtype == np.int8 for array in flatten(params).values()):
        raise TrainingError(f"{folder} holds int8 weights, which have no gradient: start from the model in float32")


def _require_adapters(config: Settings, language: str, head: str) -> None:
    """Raise TrainingError for a ``language``, where one is named, that this run could not save by itself."""
    if not language:
        return
    adapter_files(language)  # refuses what is no code
    if getattr(config, "adapter_attn_dim", None) is None:
        raise TrainingError(
            f"model.language is {language!r}, but the model has no attention adapters: start from one such as MMS, or "
            "set model.config.adapter_attn_dim"
        )
    if head != "new":
        raise TrainingError(f"model.language is {language!r}: a language needs a head of its own, model.head = 'new'")


def _written_out(config: Settings, preprocessor: Preprocessor | LogMel) -> dict[str, Any]:
    """Every field that has a value, defaults as well: a reader of config.json need not know them."""
    elsewhere = asdict(preprocessor)  # which stands in the preprocessor's file
    return {name: value for name, value in asdict(config).items() if value is not None and name not in elsewhere}


def _folder(name: str, base: Path, bundled: Path | None) -> Path:
    """The folder of that name: under ``base``, or else one that is bundled. Raises TrainingError."""
    for place in (base, bundled):
        if place is not None and (place / name).is_dir():
            return place / name
    raise TrainingError(f"model.start: {shown(base / name)} is no folder: name the folder of a model, or 'new'")


def _text(path: Path) -> str:
    return read_text(path, TrainingError, LONGEST_JSON)


def _text_files(vocabulary: dict[str, int], language: str = "") -> dict[str, str]:
    """What a model folder says of its tokens; with a ``language``, as one of several vocabularies."""
    target = {"target_lang": language} if language else {}
    return {
        VOCABULARY: _json({language: vocabulary} if language else vocabulary),
        "tokenizer_config.json": _json(TOKENIZER | target),
        "special_tokens_map.json": _json({"pad_token": "[PAD]", "unk_token": "[UNK]"}),
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


# --- weights: taken over, or drawn -----------------------------------------------------------------------------------


def _take_over(old: dict[str, Any], shapes: Shapes, config: Settings) -> Flat:
    """Copies of the tensors that have a name and a shape in the new model, with or without the prefix."""
    flat = flatten(old)
    for old_name, new_name in zip(CLASSIC, PARAMETRIZED):
        flat = {name.replace(f"conv.{old_name}", f"conv.{new_name}"): value for name, value in flat.items()}
    if config.base not in old:
        flat = {f"{config.base}.{name}": value for name, value in flat.items()}
    return {name: np.array(flat[name]) for name, shape in shapes.items() if name in flat and flat[name].shape == shape}


def draw_weights(rng: np.random.Generator, shapes: Shapes, config: Settings, dtype: str = "float32") -> Flat:
    """New weights of these ``shapes``, by name, as the top of this file says."""
    done: Flat = {}
    for name in reversed(shapes):  # v stands after g, and is needed first
        done[name] = _draw(rng, name, shapes, config, done).astype(dtype)
    return {name: done[name] for name in shapes}


def _draw(rng: np.random.Generator, name: str, shapes: Shapes, config: Settings, done: Flat) -> np.ndarray:
    """One new tensor; ``done`` has those that stand after it."""
    shape, (module, _, last) = shapes[name], name.rpartition(".")
    fan_in = math.prod(shapes.get(f"{module}.weight", shape)[1:])
    uniform = rng.uniform(-1, 1, shape) / math.sqrt(fan_in)
    normal = rng.standard_normal(shape)
    if "pos_conv_embed" in name:
        if last in ("original0", "weight_g"):
            v = done[name.replace("original0", "original1").replace("weight_g", "weight_v")]
            return np.sqrt(np.square(v).sum(axis=(0, 1), keepdims=True))
        return np.zeros(shape) if last == "bias" else normal * 2 / math.sqrt(shape[2] * config.hidden_size)
    if "pos_bias" in name:
        return rng.uniform(-1, 1, shape) * math.sqrt(6 / sum(shape))
    if "layer_norm" in name or "adapter_layer.norm" in name:
        return np.ones(shape) if last == "weight" else np.zeros(shape)
    if "masked_spec_embed" in name or "codevectors" in name:
        return rng.uniform(0, 1, shape)
    if CONVOLUTION.search(name):
        return normal * math.sqrt(2 / fan_in) if last == "weight" else uniform
    if "quantizer.weight_proj" in name:
        return normal if last == "weight" else np.zeros(shape)
    if "feature_projection" in name or name.startswith(("project_q", "project_hid")):
        return uniform
    return normal * config.initializer_range if last == "weight" else np.zeros(shape)
