"""A checkpoint of any toolkit, understood: its tensors under one set of names, its config, its vocabulary.

    a file or a folder ─ read.py → tensors ─ names.py → transformers' names ─ infer.py, fairseq.py → config.json

Where the config comes from, the first that there is: config.json beside the weights; fairseq's own settings inside the
checkpoint; the shapes, and what the caller adds. Each is checked against the shapes, and a contradiction is refused.
The vocabulary of a fine-tuned fairseq model comes from dict.ltr.txt (or the only dict.*.txt) beside it, or from inside.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weights_tools import fairseq, infer
from weights_tools.errors import CheckpointError, listed, shown
from weights_tools.names import canonical, scheme_of
from weights_tools.read import WEIGHTS, Found, read_file, read_folder, read_json
from weights_tools.tensors import Tensors
from xlsr_ref.untrusted import LONGEST_JSON, read_bytes

SIDE_FILES = (  # of a Hugging Face folder: kept as they are
    "preprocessor_config.json",
    "processor_config.json",
    "vocab.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".msgpack")


@dataclass(frozen=True)
class Weights:
    """The tensors of a checkpoint, before anything is known of its config."""

    tensors: Tensors  # under transformers' names, without "wav2vec2."
    named: dict[str, str]  # each of those names → the name in the file
    scheme: str  # "hf", "fairseq" or "torchaudio": whose names the file has
    form: str  # of the file: "torch", "flax" …
    files: tuple[Path, ...]
    folder: Path
    beside: dict[str, Any] = field(repr=False)  # what fairseq saved beside the tensors
    left: tuple[str, ...]  # entries of the state dict that are no tensors

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tensor.shape for name, tensor in self.tensors.items()}


@dataclass(frozen=True)
class Checkpoint:
    """Weights with all that a model folder needs."""

    weights: Weights
    config: dict[str, Any]  # config.json
    files: dict[str, bytes]  # the other files of the folder

    @property
    def kind(self) -> str:
        """The class of transformers that it is, "Wav2Vec2ForCTC"."""
        stated = self.config.get("architectures")
        return stated[0] if isinstance(stated, list) and stated else infer.kind_of(self.weights.shapes)


def open_weights(source: str | Path) -> Weights:
    """The tensors of a file, or of a folder with one checkpoint in it. Raises CheckpointError."""
    path = Path(source)
    if path.is_dir():
        folder = path
        others = sorted(p for p in path.iterdir() if p.suffix in ENDINGS and p.is_file())
        if any(os.path.lexists(path / name) for name in WEIGHTS) or not others:
            found, files = read_folder(path)
        elif len(others) == 1:
            found, files = read_file(others[0]), (others[0],)
        else:
            names = listed(p.name for p in others)
            raise CheckpointError(f"{shown(path)} has {len(others)} checkpoints, {names}: name one")
    else:
        folder, files, found = path.parent, (path,), read_file(path)
    return _named(found, files, folder)


def _named(found: Found, files: tuple[Path, ...], folder: Path) -> Weights:
    try:
        scheme = scheme_of(found.tensors)
        named = canonical(found.tensors, scheme)
    except CheckpointError as error:
        raise CheckpointError(f"{shown(files[0])}: {error}") from None
    tensors = {ours: found.tensors[theirs] for theirs, ours in named.items()}
    back = {ours: theirs for theirs, ours in named.items()}
    return Weights(tensors, back, scheme, found.form, files, folder, found.beside, found.left)


def open_checkpoint(
    source: str | Path, settings: Mapping[str, Any] | None = None, dictionary: str | Path | None = None
) -> Checkpoint:
    """A checkpoint with its config and vocabulary. Raises CheckpointError, which names what must be added.

    ``settings`` are fields of config.json that win over all others; ``dictionary`` is fairseq's dict.*.txt.
    """
    return understand(open_weights(source), settings, dictionary)


def understand(
    weights: Weights, settings: Mapping[str, Any] | None = None, dictionary: str | Path | None = None
) -> Checkpoint:
    """The config and the vocabulary that belong to ``weights``; see :func:`open_checkpoint`."""
    where, config_file = shown(weights.files[0]), weights.folder / "config.json"
    files: dict[str, bytes] = {}
    try:
        if config_file.exists():
            config = read_json(config_file)
            problems = infer.contradictions(config, weights.shapes, "config.json")
            for name in SIDE_FILES:
                if (weights.folder / name).exists():
                    files[name] = _small(weights.folder / name)
        else:
            saved = fairseq.settings_of(weights.beside)
            stated = fairseq.config_of(saved)
            problems = infer.contradictions(stated, weights.shapes, "the checkpoint's own settings")
            inferred = infer.config_of(weights.shapes)
            config = {"model_type": "wav2vec2"} | stated | inferred
            files |= _vocabulary(weights, config, dictionary)
            files["preprocessor_config.json"] = to_json(_preprocessor(config, fairseq.normalize_of(saved)))
        if dictionary is not None and weights.scheme == "hf":
            raise CheckpointError("a dictionary belongs to fairseq's checkpoints, and this one is of another toolkit")
        config |= settings or {}
        problems += infer.contradictions(settings or {}, weights.shapes, "--set")
        if problems:
            raise CheckpointError("; ".join(problems))
        if not config_file.exists():
            infer.asked_for(config)
        infer.check(config)
    except CheckpointError as error:
        raise CheckpointError(f"{where}: {error}" if where not in str(error) else str(error)) from None
    return Checkpoint(weights, config, files)


def _vocabulary(weights: Weights, config: dict[str, Any], dictionary: str | Path | None) -> dict[str, bytes]:
    """The tokenizer's files for a CTC model; adds the ids of the special tokens to ``config``."""
    if weights.scheme == "hf" or config["architectures"] != ["Wav2Vec2ForCTC"]:
        return {name: _small(weights.folder / name) for name in SIDE_FILES if (weights.folder / name).exists()}
    inside, path = fairseq.dictionary_in(weights.beside), find_dictionary(weights.folder, dictionary)
    symbols = fairseq.read_dictionary(path) if path is not None else inside
    if symbols is None:
        if weights.scheme == "fairseq":
            config["pad_token_id"] = 0  # fairseq's blank is <s>, which is always the first
        return {}
    if path is not None and inside is not None and inside != symbols:
        raise CheckpointError(f"{shown(path)} and the dictionary inside the checkpoint differ: one belongs elsewhere")
    rows = config["vocab_size"]
    if len(symbols) != rows:
        raise CheckpointError(
            f"the dictionary has {len(symbols)} symbols, with <s> and the like, but the head {rows} rows"
        )
    config |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return {name: to_json(content) for name, content in fairseq.vocabulary_files(symbols).items()}


def find_dictionary(folder: Path, dictionary: str | Path | None) -> Path | None:
    """The dictionary file: the one given, dict.ltr.txt, or the only dict.*.txt of the folder; None without any."""
    if dictionary is not None:
        return Path(dictionary)
    if (folder / "dict.ltr.txt").exists():
        return folder / "dict.ltr.txt"
    found = sorted(folder.glob("dict.*.txt"))
    if len(found) > 1:
        raise CheckpointError(f"{shown(folder)} has several dictionaries: {listed(p.name for p in found)}; name one")
    return found[0] if found else None


def _preprocessor(config: dict[str, Any], normalize: bool | None) -> dict[str, Any]:
    return {
        "do_normalize": True if normalize is None else normalize,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": config.get("feat_extract_norm") == "layer",
        "sampling_rate": 16000,
    }


def _small(path: Path) -> bytes:
    return read_bytes(path, CheckpointError, LONGEST_JSON)


def to_json(content: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON file, keys in order, as transformers writes it."""
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
