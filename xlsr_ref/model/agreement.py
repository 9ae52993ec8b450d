"""Facts that are in two files of a model folder: do the files agree?

    the blank          config.json, pad_token_id          the tokenizer's pad token                       refused
    special tokens     tokenizer_config.json              special_tokens_map.json                         a warning
    ids of tokens      vocab.json, added_tokens_decoder   added_tokens.json                               a warning
    the sound          preprocessor_config.json           processor_config.json, feature_extractor        a warning

Training takes the blank from the config, reading a transcript from the tokenizer: where they differ, a model learns one
thing and writes another, so that is refused. For the others transformers has an order of precedence, which differs
between its versions; the same file wins here as in version 5, and a warning says which.
load_params.py compares shapes and sizes (vocab_size, layers, labels …) with the tensors, text/tokenizer.py the ids of
the vocabulary with the rows of lm_head, and text/search/lm_files.py alphabet.json with the vocabulary.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from xlsr_ref.errors import ConfigError, VocabularyError
from xlsr_ref.settings import Settings
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.untrusted import read_json

OF_TRANSCRIPTS = ("pad_token", "unk_token", "word_delimiter_token")  # the special tokens that a transcript depends on
OF_SOUND = ("sampling_rate", "do_normalize")


def check_agreement(folder: Path, config: Settings, rows: int | None, tokenizer: Tokenizer | None) -> None:
    """Raise VocabularyError where the files of ``folder`` name two blanks; warn where they say two things of another
    fact that changes results. ``rows`` are those of lm_head, None for a model without one."""
    if tokenizer is not None:
        if rows is not None:
            require_one_blank(config, tokenizer, rows, folder)
        for sentence in (
            *_unreachable_blank(tokenizer, rows),
            *_special_tokens(folder, tokenizer),
            *_ids(folder, tokenizer),
        ):
            warnings.warn(f"{folder}: {sentence}", stacklevel=3)
    for sentence in _sound(folder):
        warnings.warn(f"{folder}: {sentence}", stacklevel=3)


def require_one_blank(config: Settings, tokenizer: Tokenizer, rows: int, folder: Path | str = "the model") -> None:
    """Raise VocabularyError where the config's pad token, the blank while training, is not the tokenizer's, the blank
    of every transcript, though the network, with its ``rows`` of lm_head, could say either."""
    ours, theirs = config.pad_token_id, tokenizer.pad_id
    if ours is None or theirs is None or ours == theirs or theirs >= rows:
        return
    raise VocabularyError(
        f"{folder}: config.json says pad_token_id={ours} ({tokenizer.tokens.get(ours)!r}), but the tokenizer's files "
        f"(vocab.json, tokenizer_config.json) give the pad token {tokenizer.pad_token!r} the id {theirs}: both are the "
        "blank of CTC, so write the one that the network was trained with into both"
    )


def _unreachable_blank(tokenizer: Tokenizer, rows: int | None) -> Iterator[str]:
    if rows is not None and tokenizer.pad_id is not None and tokenizer.pad_id >= rows:
        yield (
            f"the tokenizer's files give the pad token {tokenizer.pad_token!r} the id {tokenizer.pad_id}, but lm_head "
            f"has {rows} rows: no frame can be a blank, so blanks will stand in the text"
        )


def _special_tokens(folder: Path, tokenizer: Tokenizer) -> Iterator[str]:
    options, older = _read(folder, "tokenizer_config.json"), _read(folder, "special_tokens_map.json")
    taken: dict[str, Any] = tokenizer.files.special | {"word_delimiter_token": tokenizer.files.word_delimiter}
    for role in OF_TRANSCRIPTS:
        if role in options and role in older and _content(options[role]) != _content(older[role]):
            yield (
                f"tokenizer_config.json gives the {role} {_content(options[role])!r}, special_tokens_map.json "
                f"{_content(older[role])!r}: {taken.get(role)!r} is taken"
            )


def _ids(folder: Path, tokenizer: Tokenizer) -> Iterator[str]:
    decoder = _read(folder, "tokenizer_config.json").get("added_tokens_decoder")
    stated = {_content(token): int(id) for id, token in decoder.items()} if isinstance(decoder, dict) else {}
    of_files = (("vocab.json", tokenizer.files.vocabulary), ("tokenizer_config.json", stated))
    for token, id in _read(folder, "added_tokens.json").items():
        for name, ids in of_files:
            if ids.get(token, id) != id:
                taken = tokenizer.id_of(token)
                yield f"{name} gives the token {token!r} the id {ids[token]}, added_tokens.json {id}: {taken} is taken"


def _sound(folder: Path) -> Iterator[str]:
    nested = _read(folder, "processor_config.json")
    inner, own = nested.get("feature_extractor"), _read(folder, "preprocessor_config.json")
    if not isinstance(inner, dict):
        return
    for name in OF_SOUND:
        if name in inner and name in own and inner[name] != own[name]:
            yield (
                f"preprocessor_config.json says {name}={own[name]!r}, processor_config.json {inner[name]!r}: the "
                "second is taken"
            )


def _content(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token


def _read(folder: Path, name: str) -> dict[str, Any]:
    """The object in a file; {} where there is none, or none that can be read: what reads it raises the error."""
    with suppress(ConfigError):
        return read_json(folder / name, ConfigError)
    return {}
