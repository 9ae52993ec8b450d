"""Record what the CTC tokenizers of transformers do with many vocabularies, for tests on machines without it.

    python -m weights_tools.record_tokenizer_goldens         -> tests/golden/tokenizer.json

Wav2Vec2CTCTokenizer and, where a case's config asks for it, Wav2Vec2PhonemeCTCTokenizer.
Needs transformers 5.23.0 (--any-version goes on with another). Each case holds the files of a folder and what the
tokenizer read from that folder makes of some texts and ids. Where it returns None for an unknown character, or fails,
the case says null.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from xlsr_ref.files import write_whole

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "tokenizer.json"
NEEDED = "5.23.0"

TEXTS = ("", "ab c", "abc cab", "a  b", " a ", "A|B", "aé b", "a<s>b", "a <unk> b</s>c", "<pad>a b<pad> c")
PATHS_PER_CASE = 6

LETTERS = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "a": 5, "b": 6, "c": 7}
PLAIN = {"a": 0, "b": 1, "c": 2, "|": 3, "[UNK]": 4, "[PAD]": 5}
UPPER = {"<pad>": 0, "<unk>": 1, "|": 2, "A": 3, "B": 4, "C": 5, "Σ": 6, "SS": 7, "'": 8}
PUNCTUATED = {token: i for i, token in enumerate(("<pad>", "<unk>", "|", *".'ntsamver?!,"))}
PHONEMES = {"<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "aː": 4, "t": 5, "tʃ": 6, "tʃʰ": 7, "ʃ": 8, "bc": 9, "abcd": 10}
SOUNDS = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "h": 4, "ə": 5, "l": 6, "oʊ": 7, "tʃ": 8, "ɜː": 9, "t": 10}
PHONEMIC = {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer", "do_phonemize": False}  # no espeak is needed to record
RENAMED = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
NO_EDGES = {"bos_token": None, "eos_token": None}


def added(content: str, **flags: bool) -> dict[str, Any]:
    """An entry of `added_tokens_decoder`."""
    return {"content": content, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False} | flags


class Case(NamedTuple):
    vocab: dict[str, Any]
    tokenizer_config: dict[str, Any] | None = None
    special_tokens_map: dict[str, Any] | None = None
    added_tokens: dict[str, int] | None = None
    target_lang: str | None = None
    texts: tuple[str, ...] = ()  # besides TEXTS
    paths: tuple[str, ...] = ()  # besides the drawn ones: the characters whose ids are decoded


CASES = {
    "vocab.json alone": Case(LETTERS),
    "renamed pad and unk": Case(PLAIN, RENAMED),
    "renamed in special_tokens_map.json": Case(PLAIN, None, RENAMED),
    "special_tokens_map.json wins": Case(PLAIN, {"pad_token": "a", "unk_token": "b"}, RENAMED),
    "added_tokens_decoder switches special_tokens_map.json off": Case(
        PLAIN,
        RENAMED | {"added_tokens_decoder": {"9": added("<x>")}},
        {"pad_token": "a"},
        {"<y>": 7},
        texts=("a<x><y>",),
    ),
    "no special token in vocab.json": Case({"a": 0, "b": 1, "c": 2}),
    "no start and end": Case(PLAIN, RENAMED | NO_EDGES),
    "no pad token": Case(LETTERS, {"pad_token": None}),
    "no unknown token": Case(LETTERS, {"unk_token": None}),
    "gaps: appended ids are taken": Case({"a": 0, "b": 4, "|": 5, "c": 6, "<pad>": 8}),
    "tokens as objects": Case(
        PLAIN, {"pad_token": {"__type": "AddedToken", "content": "[PAD]", "lstrip": True, "rstrip": False}}, RENAMED
    ),
    "added_tokens.json": Case(PLAIN, RENAMED, None, {"<s>": 6, "</s>": 7}),
    "added token that is in vocab.json under another id": Case(LETTERS, None, None, {"<s>": 9, "a": 10}),
    "additional special tokens": Case(
        PLAIN,
        RENAMED | {"extra_special_tokens": [], "additional_special_tokens": ["<en>", "<de>"]},
        texts=("<de>a<en> b",),
    ),
    "additional special tokens of special_tokens_map.json": Case(
        PLAIN, RENAMED, {"additional_special_tokens": ["<en>"]}, texts=("a<en> b",)
    ),
    "extra special tokens of both files": Case(
        PLAIN, RENAMED | {"extra_special_tokens": ["<en>"]}, {"extra_special_tokens": ["<de>", "<en>"]}
    ),
    "a role of its own": Case(PLAIN, RENAMED | {"noise_token": "<noise>"}, texts=("a <noise> b",)),
    "written by version 5": Case(
        PLAIN,
        RENAMED
        | {
            "word_delimiter_token": "|",
            "model_specific_special_tokens": {"word_delimiter_token": "|"},
            "added_tokens_decoder": {
                "3": added("|"),
                "4": added("[UNK]", lstrip=True, rstrip=True),
                "5": added("[PAD]"),
            },
        },
    ),
    "delimiter _": Case({"<pad>": 0, "<unk>": 1, "_": 2, "a": 3, "b": 4, "c": 5}, {"word_delimiter_token": "_"}),
    "delimiter is a space": Case({"<pad>": 0, "<unk>": 1, " ": 2, "a": 3, "b": 4}, {"word_delimiter_token": " "}),
    "delimiter of several characters": Case(
        {"<pad>": 0, "<unk>": 1, "<w>": 2, "a": 3, "b": 4}, {"word_delimiter_token": "<w>"}, texts=("a<w>b",)
    ),
    "no delimiter": Case({"<pad>": 0, "<unk>": 1, "a": 2, "b": 3, "N": 4, " ": 5}, {"word_delimiter_token": None}),
    "delimiter written as -": Case(LETTERS, {"replace_word_delimiter_char": "-"}),
    "delimiter written as nothing": Case(LETTERS, {"replace_word_delimiter_char": ""}),
    "lower case": Case(UPPER, {"do_lower_case": True}, texts=("aß b", "caΣ ab'", "σας ss", "<UNK>")),
    "spaces cleaned up": Case(
        PUNCTUATED,
        {"clean_up_tokenization_spaces": True},
        paths=("a|.", "a|?|!|,", "a|'|s", "a|n't|a", "a|'m|'s", "a|'ve|'re", "|.a|'t"),
    ),
    "special tokens split": Case(LETTERS, {"split_special_tokens": True}),
    "phonemes": Case(PHONEMES, texts=("tʃʰaː tʃa", "t ʃ", "tʃ ʰ", "abcbc", "abXcd", "abcXd")),
    "added tokens strip": Case(
        LETTERS,
        {"added_tokens_decoder": {"8": added("<l>", lstrip=True), "9": added("<r>", rstrip=True)}},
        texts=("a <l> b <r> c", "<l> <l>", "<r> <r> <r>", "<r> <l> "),
    ),
    "a special token that is listed keeps its marks": Case(
        PLAIN, RENAMED | {"added_tokens_decoder": {"6": added("<s>", lstrip=True)}}, texts=("a <s> b",)
    ),
    "added token as a single word": Case(
        LETTERS,
        {"added_tokens_decoder": {"8": added("ab", single_word=True), "9": added("ca", single_word=True, lstrip=True)}},
        texts=("ab c", "cab", "a ab ca", "abca", "ab ab", "abab c", "bab", "bab c"),
    ),
    "one language of two": Case({"eng": LETTERS, "fra": PLAIN}, None, target_lang="eng"),
    "the other language, named by the config": Case({"eng": LETTERS, "fra": PLAIN}, RENAMED | {"target_lang": "fra"}),
    "added tokens of another language": Case(
        {
            "eng": {"<pad>": 0, "<unk>": 1, "ch": 2, "a": 3, "sh": 4, "|": 5},
            "fra": {"<pad>": 0, "sh": 2, "ch": 3, "a": 4},
        },
        {"added_tokens_decoder": {"2": added("sh"), "3": added("ch")}},
        target_lang="eng",
        texts=("chash a",),
    ),
    "added token of another language whose id is taken": Case(
        {"eng": {"<pad>": 0, "<unk>": 1, "th": 2, "a": 3, "sh": 4, "|": 5}, "fra": {"<pad>": 0, "sh": 2, "a": 3}},
        {"added_tokens_decoder": {"2": added("sh")}},
        target_lang="eng",
        texts=("thash a",),
    ),
    "sounds": Case(SOUNDS, PHONEMIC, texts=("h ə l oʊ", "tʃ  tʃ\tt", "hə", "<pad>h <unk>l </s>", " ɜː ʒ ")),
    "sounds with a delimiter": Case(
        SOUNDS | {"|": 11}, PHONEMIC | {"word_delimiter_token": "|"}, texts=("h ə | l oʊ", "|h|")
    ),
    "sounds with a delimiter of special_tokens_map.json": Case(
        SOUNDS | {"#": 11}, PHONEMIC, {"word_delimiter_token": "#"}, texts=("h ə # l oʊ",)
    ),
    "sounds with a delimiter as an object, and another between phonemes": Case(
        SOUNDS | {"#": 11},
        PHONEMIC | {"word_delimiter_token": {"__type": "AddedToken", "content": "#"}, "phone_delimiter_token": "_"},
        texts=("h ə # l oʊ", "h_ə"),
    ),
    "sounds, a delimiter of another kind of file": Case(
        SOUNDS | {"#": 11}, PHONEMIC | {"model_specific_special_tokens": {"word_delimiter_token": "#"}}
    ),
    "sounds, renamed and appended": Case(
        {"a": 0, "[UNK]": 1, "aː": 3, "b": 5, "[PAD]": 7}, PHONEMIC | RENAMED, texts=("a aː b", "<s> a")
    ),
    "sounds, written by version 5": Case(
        SOUNDS,
        PHONEMIC
        | {
            "phonemizer_lang": "fr-fr",
            "word_delimiter_token": None,
            "phone_delimiter_token": " ",
            "clean_up_tokenization_spaces": True,
            "added_tokens_decoder": {"0": added("<pad>"), "3": added("<unk>"), "11": added("<x>", lstrip=True)},
        },
        texts=("h <x> ə", "h<x>"),
    ),
    "sounds, special tokens split": Case(
        SOUNDS, PHONEMIC | {"split_special_tokens": True, "noise_token": "<noise>"}, texts=("h <noise> <pad>",)
    ),
}


def write_folder(folder: Path, case: Case) -> Path:
    """The files of ``case`` in ``folder``."""
    for name in ("vocab", "tokenizer_config", "special_tokens_map", "added_tokens"):
        content = getattr(case, name)
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


def phonemic(case: Case) -> bool:
    """Are the tokens of this case phonemes?"""
    return "Phoneme" in (case.tokenizer_config or {}).get("tokenizer_class", "")


def load_reference(folder: Path, case: Case) -> Any:
    """The tokenizer of transformers for ``case``, whose files are written to ``folder``.

    Of characters: the loader of 5.23.0 takes a word delimiter that tokenizer_config.json gives as a string away before
    it reaches the tokenizer, which is left with its default `|`; version 4 passed it on. It is put back here.
    """
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2PhonemeCTCTokenizer
    from transformers.utils import logging

    logging.set_verbosity(logging.CRITICAL)
    if phonemic(case):
        return Wav2Vec2PhonemeCTCTokenizer.from_pretrained(str(write_folder(folder, case)))
    language: dict[str, Any] = {} if case.target_lang is None else {"target_lang": case.target_lang}
    reference = Wav2Vec2CTCTokenizer.from_pretrained(str(write_folder(folder, case)), **language)
    config = case.tokenizer_config or {}
    other_files = {} if "added_tokens_decoder" in config else case.special_tokens_map or {}
    if isinstance(config.get("word_delimiter_token"), str) and "word_delimiter_token" not in other_files:
        reference._word_delimiter_token = config["word_delimiter_token"]
    return reference


def encode(reference: Any, text: str) -> list[int] | None:
    """What the reference makes of ``text``; None where one of the ids is None, or where it fails because of that."""
    try:
        ids = reference.encode(text)
    except ValueError:
        return None
    return None if None in ids else ids


def record(case: Case, rng: random.Random) -> dict[str, Any]:
    """Everything the tests compare, for one case."""
    with TemporaryDirectory() as folder:
        reference = load_reference(Path(folder), case)
    vocabulary = reference.get_vocab()
    entries = sorted(set(vocabulary.values()))
    paths = []
    drawn = [rng.choices(entries, k=rng.randint(0, 9)) for _ in range(PATHS_PER_CASE)]
    repeated = [[entry for entry in path for _ in range(rng.choice((1, 1, 2, 3)))] for path in drawn]
    for path in (*repeated, *([vocabulary[letter] for letter in path] for path in case.paths)):
        if phonemic(case) and not path:
            continue  # theirs fails
        offsets = {"output_char_offsets": True} | ({} if phonemic(case) else {"output_word_offsets": True})
        heard = reference.decode(path, **offsets)
        decoded = {
            f"group_tokens={group} skip_special_tokens={skip}": reference.decode(
                path, group_tokens=group, skip_special_tokens=skip
            )
            for group in (True, False)
            for skip in (True, False)
            if not (phonemic(case) and skip and set(path) <= set(reference.all_special_ids))  # nothing left: fails
        }
        found = [] if phonemic(case) else heard.word_offsets
        words = [[word["word"], int(word["start_offset"]), int(word["end_offset"])] for word in found]
        chars = [[char["char"], int(char["start_offset"]), int(char["end_offset"])] for char in heard.char_offsets]
        paths.append({"ids": path, "decoded": decoded, "words": words, "chars": chars})
    files = {"vocab.json": case.vocab, "tokenizer_config.json": case.tokenizer_config}
    files |= {"special_tokens_map.json": case.special_tokens_map, "added_tokens.json": case.added_tokens}
    return {
        "files": {name: content for name, content in files.items() if content is not None},
        "target_lang": case.target_lang,
        "vocabulary": vocabulary,
        "pad_id": reference.pad_token_id,
        "encoded": {text: encode(reference, text) for text in (*TEXTS, *case.texts)},
        "paths": paths,
    }


def record_all(cases: dict[str, Case]) -> dict[str, Any]:
    """The recording of every case; the drawn ids are the same each time."""
    rng = random.Random(2006)
    return {name: record(case, rng) for name, case in cases.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--any-version", action="store_true", help="record with another transformers")
    parser.add_argument("--target", type=Path, default=GOLDEN)
    arguments = parser.parse_args()
    found = version("transformers")
    if found != NEEDED and not arguments.any_version:
        sys.exit(f"transformers is {found}, the goldens come from {NEEDED}: install it, or say --any-version")
    lines = [f"{json.dumps(name)}: {json.dumps(case, ensure_ascii=False)}" for name, case in record_all(CASES).items()]
    cases = ",\n".join(lines)
    write_whole(arguments.target, f'{{"transformers": "{found}", "cases": {{\n{cases}\n}}}}\n')
    print(f"{len(CASES)} cases -> {arguments.target}")


if __name__ == "__main__":
    main()
