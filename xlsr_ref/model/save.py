"""A model back into a folder in the Hugging Face layout, which `load` and transformers read.

    config.json                              every field, under transformers' names
    model.safetensors                        the weights as they are in memory, under their names
    vocab.json, tokenizer_config.json        where the model has a vocabulary: that of its language alone
    preprocessor_config.json                 rate and normalisation

The folder appears whole or not at all: it is written under another name and renamed.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xlsr_ref.audio import LogMel
from xlsr_ref.checkpoint.safetensors_file import write_arrays
from xlsr_ref.errors import XlsrError
from xlsr_ref.files import whole_folder
from xlsr_ref.model.parts import Parts
from xlsr_ref.ops.tree import flatten
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.text.vocabulary import DEFAULTS, ROLES
from xlsr_ref.wav2vec2.config import Config

NULL_SAYS_SOMETHING = ("pad_token_id",)  # else what is null is left out, and means the default


def save(model: Parts, folder: str | os.PathLike[str]) -> None:
    """Write ``model`` into a new ``folder``, or one that is empty. Raises XlsrError; nothing is there then."""
    place = Path(folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise XlsrError(f"{place} is {'not empty' if place.is_dir() else 'a file'}: give a new folder for the model")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(place, replace=True) as unfinished:
            write_arrays(unfinished / "model.safetensors", flatten(model.params))
            for name, values in _files(model).items():
                text = json.dumps(values, ensure_ascii=False, indent=1) + "\n"
                (unfinished / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise XlsrError(f"{place} cannot be written: {error.strerror or error}") from None


def _files(model: Parts) -> dict[str, dict[str, Any]]:
    files = {"config.json": _config(model), "preprocessor_config.json": _preprocessor(model)}
    if model.tokenizer is not None:
        files["vocab.json"] = dict(model.tokenizer.files.vocabulary)
        files["tokenizer_config.json"] = _tokenizer(model.tokenizer)
    return files


def _config(model: Parts) -> dict[str, Any]:
    of_the_input = asdict(model.preprocessor)  # what both have stands in the preprocessor's file
    fields = {name: value for name, value in asdict(model.config).items() if name not in of_the_input}
    known = {name: value for name, value in fields.items() if value is not None or name in NULL_SAYS_SOMETHING}
    own: dict[str, Any] = {
        "model_type": model.config.model_type,
        "architectures": [model.report.kind],
        "dtype": model.dtype.name,
    }
    if model.config.id2label is not None:
        own["id2label"] = {str(id): label for id, label in model.config.id2label.items()}
        own["label2id"] = {label: id for id, label in model.config.id2label.items()}
    return known | own | {"bos_token_id": None, "eos_token_id": None}


def _preprocessor(model: Parts) -> dict[str, Any]:
    own = model.preprocessor
    if isinstance(own, LogMel):
        return {
            "feature_extractor_type": "SeamlessM4TFeatureExtractor",
            "feature_size": own.num_mel_bins,
            "padding_side": "right",
            "return_attention_mask": True,
        } | asdict(own)
    config = model.config
    return {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "sampling_rate": own.sampling_rate,
        "padding_value": 0.0,
        "do_normalize": own.do_normalize,
        "return_attention_mask": isinstance(config, Config) and config.feat_extract_norm == "layer",
    }


def _tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    files = tokenizer.files
    roles = {role: files.special.get(role) for role in (*ROLES, *files.special)}
    stated = {
        role: token
        for role, token in roles.items()
        if token in files.stated or (token is None and role in DEFAULTS) or token != DEFAULTS.get(role)
    }
    values: dict[str, Any] = {
        "tokenizer_class": "Wav2Vec2CTCTokenizer",
        **stated,
        "word_delimiter_token": files.word_delimiter,
        "replace_word_delimiter_char": files.replace_word_delimiter_char,
        "do_lower_case": files.do_lower_case,
        "clean_up_tokenization_spaces": files.clean_up_tokenization_spaces,
        "split_special_tokens": files.split_special_tokens,
        "extra_special_tokens": list(files.extra_special),
    }
    if files.added:
        values["added_tokens_decoder"] = {
            str(id): token._asdict() | {"normalized": False, "special": token.content in tokenizer.special_tokens}
            for id, token in files.added.items()
        }
    if files.phonemes is not None:
        values |= {
            "tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer",
            "do_phonemize": files.phonemes.from_text,
            "phonemizer_lang": files.phonemes.language,
            "phonemizer_backend": files.phonemes.backend,
            "phone_delimiter_token": files.phonemes.delimiter,
        }
    return values
