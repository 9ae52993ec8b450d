"""One network, many languages (MMS): what changes with the language is read from a file of its own.

    adapter.fra.safetensors    the attention adapters of every block, and lm_head      wav2vec2/attention_adapter.py
    vocab.json                 language → its own vocabulary; "fra" is one of them     text/vocabulary.py

They belong together: French rows of lm_head mean nothing to the Hindi vocabulary, and the numbers of tokens differ.
So `load(folder, language="fra")` takes all of them or refuses, and the load report says which file they came from.
Without a language a model is what its folder holds: adapters and head of model.safetensors, and the vocabulary that
tokenizer_config.json names (`target_lang`). Codes are those of the files, ISO 639-3 in MMS, some with a script.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from xlsr_ref.checkpoint.languages import adapter_files, languages, nearest, vocabularies
from xlsr_ref.checkpoint.read import read_file
from xlsr_ref.checkpoint.tensors import Flat, arrays
from xlsr_ref.errors import WeightsError
from xlsr_ref.settings import Settings
from xlsr_ref.untrusted import listed
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.shapes import expected_shapes

KIND = "Wav2Vec2ForCTC"


def read_language(folder: Path, config: Settings, language: str) -> tuple[Config, Flat, str]:
    """A language's adapters and lm_head from ``folder``, the config with as many tokens, and the name of the file.

    Raises WeightsError for a model without adapters, for a language that is not there, with those that are nearest, and
    for a file that holds other tensors than this config's blocks and head have.
    """
    files = adapter_files(language)
    if not isinstance(config, Config) or config.adapter_attn_dim is None:
        raise WeightsError(f"{folder} is a model without adapters, so it has one language: give none")
    if config.architectures not in ((), (KIND,)):
        raise WeightsError(f"{folder} is a {config.architectures[0]}; only a {KIND} can change its language")
    there = [name for name in files if (folder / name).exists()]
    known = vocabularies(folder)
    if not there or (known and language not in known):
        what = f"no vocabulary {language!r} in vocab.json" if there else f"no {files[0]}"
        raise WeightsError(f"{folder} has {what}; {nearest(language, languages(folder))}")
    path = folder / there[0]
    flat = arrays(read_file(path).tensors)
    rows = flat["lm_head.bias"].shape[0] if "lm_head.bias" in flat and flat["lm_head.bias"].ndim == 1 else 0
    config = dataclasses.replace(config, vocab_size=max(rows, 1))
    names = {name for name in expected_shapes(config, KIND) if ".adapter_layer." in name or name.startswith("lm_head.")}
    lacking, strange = sorted(names - flat.keys()), sorted(flat.keys() - names)
    if lacking or strange:
        found = [f"lacks {listed(lacking)}"] * bool(lacking) + [f"has the unknown {listed(strange)}"] * bool(strange)
        raise WeightsError(f"{path} {' and '.join(found)}: it is not the adapter of this model")
    return config, flat, path.name
