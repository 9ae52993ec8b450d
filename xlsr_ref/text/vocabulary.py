"""The files of a vocabulary: which are read, which wins, and what they say when they leave something out.

    vocab.json               token -> id, or language -> (token -> id) where one folder serves many languages
    tokenizer_config.json    the options; in newer folders also `added_tokens_decoder`, id -> added token
    special_tokens_map.json  older folders: more options, which win over those of tokenizer_config.json
    added_tokens.json        older folders: token -> id of tokens that were added after training

The last two are not read when tokenizer_config.json has `added_tokens_decoder`: it replaces them.
This follows `from_pretrained` of transformers 5.23 with one exception: there a `word_delimiter_token` that
tokenizer_config.json gives as a plain string has no effect (version 4 obeyed it); here it is obeyed.
Everything is checked here, so that the tokenizer can trust what it is given.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short  # of a value that a message quotes: the file may hold anything
from typing import Any, NamedTuple

from xlsr_ref.errors import VocabularyError
from xlsr_ref.untrusted import read_json, shown

# The roles that a token can have, in the order in which tokens that vocab.json lacks are given their ids.
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
DEFAULTS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "word_delimiter_token": "|",
}
LONGEST = 200  # characters; far more than any token has, few enough to search a text for


class AddedToken(NamedTuple):
    """A token that is cut out of a text as a whole, before the rest is cut into characters."""

    content: str
    lstrip: bool = False  # swallow the white space before it
    rstrip: bool = False  # and after it
    single_word: bool = False  # only between spaces


class PhonemeOptions(NamedTuple):
    """What `Wav2Vec2PhonemeCTCTokenizer` has of its own: how a text becomes phonemes, and what stands between those."""

    from_text: bool  # do_phonemize; without it the texts that are encoded are phonemes already
    language: str  # phonemizer_lang
    backend: str  # phonemizer_backend
    delimiter: str  # phone_delimiter_token


@dataclass(frozen=True)
class VocabularyFiles:
    """What the files of one folder say, for one language."""

    vocabulary: dict[str, int]  # vocab.json
    added: dict[int, AddedToken]  # with the ids that the files give them
    special: dict[str, str]  # role -> token; a role that is switched off (null) is absent
    extra_special: tuple[str, ...]  # special tokens without a role
    stated: frozenset[str]  # the tokens that a file names (the others are defaults)
    word_delimiter: str | None
    replace_word_delimiter_char: str
    do_lower_case: bool
    clean_up_tokenization_spaces: bool
    split_special_tokens: bool
    phonemes: PhonemeOptions | None  # None: the tokens are characters


def read_vocabulary(folder: str | Path, target_lang: str | None = None) -> VocabularyFiles:
    """Read and check the vocabulary files of ``folder``; ``target_lang`` picks one of many languages.

    Raises VocabularyError, in one line, for anything that is missing, broken or contradictory.
    """
    folder = Path(folder)
    options = _read_object(folder / "tokenizer_config.json", needed=False)
    if "additional_special_tokens" in options and not options.get("extra_special_tokens"):
        options["extra_special_tokens"] = options.pop("additional_special_tokens")  # the older name
    own_roles = _own_roles(options)
    if "added_tokens_decoder" in options:
        added = _added_by_id(options["added_tokens_decoder"])
    else:
        _update(options, own_roles, _read_object(folder / "special_tokens_map.json", needed=False))
        added = _added_by_token(_read_object(folder / "added_tokens.json", needed=False))
    options.setdefault("extra_special_tokens", options.get("additional_special_tokens"))

    language = target_lang if target_lang is not None else options.get("target_lang")
    vocabulary = _choose_language(_read_object(folder / "vocab.json", needed=True), language)
    _check_ids(vocabulary, added, nested=language is not None)

    phonemes = _phoneme_options(options, own_roles)
    word_delimiter = _token("word_delimiter_token", (DEFAULTS | options)["word_delimiter_token"])
    if phonemes is not None:
        word_delimiter = _take_delimiter("word_delimiter_token", options, own_roles, None)
    roles = _roles(options, own_roles)
    if phonemes is not None:
        roles.pop("word_delimiter_token", None)  # the default of the other tokenizer
    stated = {token for role, token in roles.items() if role in options or role in own_roles}
    extra = _extra_special(options["extra_special_tokens"])
    _check_lengths([*vocabulary, *(token.content for token in added.values()), *roles.values(), *extra])
    return VocabularyFiles(
        vocabulary=vocabulary,
        added=added,
        special=roles,
        extra_special=extra,
        stated=frozenset(stated.union(extra)),
        word_delimiter=word_delimiter,
        replace_word_delimiter_char=_string(options, "replace_word_delimiter_char", " "),
        do_lower_case=_flag(options, "do_lower_case"),
        clean_up_tokenization_spaces=_flag(options, "clean_up_tokenization_spaces"),
        split_special_tokens=_flag(options, "split_special_tokens"),
        phonemes=phonemes,
    )


# --- which file wins --------------------------------------------------------------------------------------------------


def _own_roles(options: dict) -> dict:
    """The tokens to which tokenizer_config.json gives a role of its own making, such as `word_delimiter_token`."""
    own = {key: value for key, value in options.items() if key.endswith("_token") and isinstance(value, str)}
    own = {key: value for key, value in own.items() if key not in ROLES}
    if isinstance(options.get("extra_special_tokens"), dict):
        own.update(options.pop("extra_special_tokens"))
    return own or dict(_object("model_specific_special_tokens", options.get("model_specific_special_tokens") or {}))


def _update(options: dict, own_roles: dict, special_tokens_map: dict) -> None:
    """Lay special_tokens_map.json over the options; only lists of extra tokens are joined."""
    for key, value in special_tokens_map.items():
        if key == "extra_special_tokens" and isinstance(value, list) and isinstance(options.get(key), list):
            value = options[key] + value
        options[key] = value
    if isinstance(options.get("extra_special_tokens"), dict):
        own_roles.update(options.pop("extra_special_tokens"))


def _roles(options: dict, own_roles: dict) -> dict[str, str]:
    """Role -> token for every role that is filled."""
    filled = {role: options.get(role, DEFAULTS.get(role)) for role in (*ROLES, "word_delimiter_token")}
    for key, value in options.items():
        if key.endswith("_token") and key not in filled and key not in own_roles and _is_token(value):
            filled[key] = value
    named = ((role, _token(role, value)) for role, value in (filled | own_roles).items())
    return {role: token for role, token in named if token is not None}


def _phoneme_options(options: dict, own_roles: dict) -> PhonemeOptions | None:
    """What a phoneme tokenizer has of its own; None where tokenizer_config.json asks for none."""
    name = options.get("tokenizer_class")
    if not isinstance(name, str) or "Phoneme" not in name:
        return None
    return PhonemeOptions(
        from_text=options.get("do_phonemize") is None or _flag(options, "do_phonemize"),
        language=_string(options, "phonemizer_lang", "en-us"),
        backend=_string(options, "phonemizer_backend", "espeak"),
        delimiter=_take_delimiter("phone_delimiter_token", options, own_roles, " ") or " ",
    )


def _take_delimiter(role: str, options: dict, own_roles: dict, default: str | None) -> str | None:
    """A delimiter out of both: among phonemes it is no special token."""
    stated = options.pop(role, default)
    return _token(role, own_roles.pop(role, stated))


def _choose_language(vocabulary: dict, language: Any) -> dict:
    """One language's token -> id out of vocab.json, which holds one vocabulary or one per language."""
    nested = any(isinstance(value, dict) for value in vocabulary.values())
    if language is None:
        if nested:
            raise VocabularyError(
                f"vocab.json holds one vocabulary per language: choose a target_lang, {_languages(vocabulary)}"
            )
        return vocabulary
    if not nested:
        raise VocabularyError(
            f"target_lang is {short(language)}, but vocab.json holds one vocabulary for all: leave it out"
        )
    if not isinstance(language, str) or language not in vocabulary:
        raise VocabularyError(f"vocab.json has no language {short(language)}: choose {_languages(vocabulary)}")
    return _object(f"vocab.json, language {short(language)},", vocabulary[language])


def _languages(vocabulary: dict) -> str:
    names = [short(name) for name in vocabulary]
    return "one of " + ", ".join(names[:10]) + (f" or {len(names) - 10} others" if len(names) > 10 else "")


# --- checks -----------------------------------------------------------------------------------------------------------


def _check_ids(vocabulary: dict, added: dict[int, AddedToken], nested: bool) -> None:
    """Ids are whole numbers from 0 up. One that stands for two tokens is the later one, with a warning.

    Added tokens of a nested vocabulary belong to the language they were saved with; under another language
    their ids may be taken, and the vocabulary's own token then has the id.
    """
    owner: dict[int, str] = {}
    for token, number in vocabulary.items():
        if not _is_id(number):
            raise VocabularyError(
                f"vocab.json gives {short(token)} the id {short(number)}; ids are whole numbers from 0 up"
            )
        if number in owner:
            two = f"the id {short(number)} to two tokens, {short(owner[number])} and {short(token)}"
            warnings.warn(f"vocab.json gives {two}: it is read as {short(token)}, the later one", stacklevel=4)
        owner[number] = token
    for number, token in added.items():
        if not nested and owner.get(number, token.content) != token.content:
            raise VocabularyError(
                f"the id {short(number)} stands for two tokens: {short(owner[number])} in vocab.json, "
                f"{short(token.content)} among the added tokens"
            )


def _check_lengths(tokens: list[str]) -> None:
    longest = max(tokens, key=len, default="")
    if len(longest) > LONGEST:
        raise VocabularyError(f"{short(longest)} has {len(longest)} characters: no token is longer than {LONGEST}")


def _added_by_id(table: Any) -> dict[int, AddedToken]:
    """`added_tokens_decoder`: id (as a string) -> the token and how it is looked for."""
    added: dict[int, AddedToken] = {}
    contents: set[str] = set()
    for key, value in _object("added_tokens_decoder", table).items():
        if not (key.isascii() and key.isdigit() and len(key) < 20):
            raise VocabularyError(f"added_tokens_decoder has the id {short(key)}; ids are whole numbers from 0 up")
        fields = _object(f"added_tokens_decoder, id {short(key)},", value)
        flags = {name: _flag(fields, name) for name in ("lstrip", "rstrip", "single_word")}
        token = AddedToken(_string(fields, "content", None), **flags)
        if int(key) in added or token.content in contents:
            raise VocabularyError(
                f"added_tokens_decoder has the id {short(key)} or its token {short(token.content)} twice"
            )
        added[int(key)] = token
        contents.add(token.content)
    return added


def _added_by_token(table: dict) -> dict[int, AddedToken]:
    """`added_tokens.json`: token -> id."""
    added: dict[int, AddedToken] = {}
    for token, number in table.items():
        if not _is_id(number) or number in added:
            raise VocabularyError(
                f"added_tokens.json gives {short(token)} the id {short(number)}, which is taken or not an id"
            )
        added[number] = AddedToken(token)
    return added


def _extra_special(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | None):
        raise VocabularyError(f"extra_special_tokens must be a list of tokens, not {_kind(value)}")
    tokens = [_token("extra_special_tokens", token) for token in value or []]
    return tuple(token for token in tokens if token is not None)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_token(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("content"), str))


def _token(name: str, value: Any) -> str | None:
    """A token is written as a string, or as an object whose `content` is the string; null switches it off."""
    if value is None:
        return None
    if not _is_token(value):
        raise VocabularyError(f"{name!r} must be a token (a string, or an object with a content), not {_kind(value)}")
    return value if isinstance(value, str) else value["content"]


def _string(options: dict, name: str, default: str | None) -> str:
    value = options.get(name, default)
    if not isinstance(value, str):
        raise VocabularyError(f"{name!r} must be a string, not {_kind(value)}")
    return value


def _flag(options: dict, name: str) -> bool:
    value = options.get(name)
    if not isinstance(value, bool | None):
        raise VocabularyError(f"{name!r} must be true or false, not {_kind(value)}")
    return bool(value)


def _object(name: str, value: Any) -> dict:
    if not isinstance(value, dict):
        raise VocabularyError(f"{name} must be a JSON object, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    return "null" if value is None else f"a value of type {type(value).__name__}"


def _read_object(path: Path, needed: bool) -> dict:
    """The JSON object in ``path``; {} when the file is absent and not ``needed``."""
    if not os.path.lexists(path):
        if needed:
            raise VocabularyError(f"{shown(path.parent)} has no {path.name}: without it there is no text to write")
        return {}
    return read_json(path, VocabularyError)
