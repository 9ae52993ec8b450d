"""The tokenizer against Wav2Vec2CTCTokenizer, both reading the same drawn folders."""

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weights_tools.record_tokenizer_goldens import (
    CASES,
    GOLDEN,
    PHONEMIC,
    Case,
    encode,
    load_reference,
    record_all,
    write_folder,
)
from xlsr_ref.errors import VocabularyError
from xlsr_ref.text.greedy import greedy
from xlsr_ref.text.phonemes import PhonemeTokenizer
from xlsr_ref.text.read_tokenizer import read_tokenizer

LETTERS = list("abcABßΣN'._|-\t ")
LONGER = [
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    "[PAD]",
    "[UNK]",
    "ab",
    "abc",
    "bca",
    "a b",
    " b",
    "aːb",
    "<w>",
    "abca",
    "cab",
]
ROLES = ["pad_token", "unk_token", "bos_token", "eos_token", "cls_token", "mask_token", "sep_token", "noise_token"]

tokens = st.sampled_from([*LONGER, *LETTERS[:8]])
flags = st.fixed_dictionaries({name: st.booleans() for name in ("lstrip", "rstrip", "single_word", "normalized")})
objects = st.builds(lambda content, marks: {"__type": "AddedToken", "content": content} | marks, tokens, flags)
delimiters = st.sampled_from(["|", " ", "_", "<w>", "ab", None, {"__type": "AddedToken", "content": "-"}])
options = st.fixed_dictionaries(
    {},
    optional={role: tokens | objects | st.none() for role in ROLES}
    | {
        "word_delimiter_token": delimiters,
        "replace_word_delimiter_char": st.sampled_from([" ", "-", "", "ab", "."]),
        "do_lower_case": st.booleans(),
        "clean_up_tokenization_spaces": st.booleans() | st.none(),
        "split_special_tokens": st.booleans(),
        "extra_special_tokens": st.lists(tokens | objects, max_size=2) | st.fixed_dictionaries({"x_token": tokens}),
        "additional_special_tokens": st.lists(tokens | objects, max_size=2),
        "model_specific_special_tokens": st.fixed_dictionaries({"own_token": tokens}),
    },
)
maps = st.fixed_dictionaries(
    {},
    optional={role: tokens | st.builds(lambda token: {"content": token, "lstrip": True}, tokens) for role in ROLES}
    | {
        "word_delimiter_token": st.sampled_from(["|", "-"]),
        "do_lower_case": st.booleans(),
        "extra_special_tokens": st.lists(tokens, max_size=2),
        "additional_special_tokens": st.lists(tokens, max_size=2),
    },
)


@st.composite
def vocabularies(draw):
    """Token -> id, in any order, sometimes with gaps."""
    entries = draw(st.lists(st.sampled_from(LETTERS + LONGER), min_size=2, max_size=20, unique=True))
    ids = draw(st.permutations(range(len(entries) + draw(st.sampled_from([0, 0, 3])))))
    return dict(zip(entries, ids))


@st.composite
def added_ids(draw, vocabulary, nested):
    """Token -> id of added tokens; in a nested vocabulary an id may belong to another language's token."""
    free = st.integers(0 if nested else max(vocabulary.values()) + 1, max(vocabulary.values()) + 9)
    added = {}
    for token in draw(st.lists(tokens, max_size=4, unique=True)):
        number = vocabulary[token] if token in vocabulary and draw(st.booleans()) else draw(free)
        if number not in added.values():
            added[token] = number
    return added


@st.composite
def cases(draw):
    """The files of a folder."""
    vocabulary = draw(vocabularies())
    nested = draw(st.booleans())
    config = draw(st.none() | options)
    if config is not None and draw(st.booleans()):
        numbers = draw(added_ids(vocabulary, nested))
        config["added_tokens_decoder"] = {str(i): {"content": t} | draw(flags) for t, i in numbers.items()}
    return Case(
        vocab={"eng": vocabulary, "fra": draw(vocabularies())} if nested else vocabulary,
        tokenizer_config=config,
        special_tokens_map=draw(st.none() | maps),
        added_tokens=draw(st.none() | added_ids(vocabulary, nested)),
        target_lang="eng" if nested else None,
    )


@st.composite
def cases_of_phonemes(draw):
    """The same files, for the other tokenizer, which has one vocabulary only."""
    case = draw(cases().filter(lambda case: case.target_lang is None))
    delimiter = draw(st.sampled_from([{}, {"word_delimiter_token": None}, {"phone_delimiter_token": "_"}]))
    return case._replace(tokenizer_config=(case.tokenizer_config or {}) | delimiter | PHONEMIC)


def load_both(case):
    with TemporaryDirectory() as ours, TemporaryDirectory() as theirs:
        return read_tokenizer(write_folder(Path(ours), case), case.target_lang), load_reference(Path(theirs), case)


def none_if_refused(call):
    try:
        return call()
    except VocabularyError:
        return None


draws = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@draws
@given(cases(), st.data())
def test_texts_and_ids(case, data):
    ours, theirs = load_both(case)
    assert ours.vocabulary == theirs.get_vocab()
    assert ours.special_tokens == set(theirs.all_special_tokens)
    if ours.pad_token:
        assert ours.pad_id == theirs.pad_token_id
    pieces = st.sampled_from([*LETTERS, *LETTERS, *LONGER, *ours.vocabulary])
    for text in data.draw(st.lists(st.lists(pieces, max_size=9).map("".join), min_size=4, max_size=4)):
        assert none_if_refused(lambda text=text: ours.encode(text)) == encode(theirs, text)
    entries = [*ours.tokens, 999] if ours.unk_token is not None else list(ours.tokens)
    for ids in data.draw(st.lists(st.lists(st.sampled_from(entries), max_size=12), min_size=4, max_size=4)):
        for group in (True, False):
            for skip in (True, False):
                expected = theirs.decode(ids, group_tokens=group, skip_special_tokens=skip)
                assert ours.decode(ids, group_tokens=group, skip_special_tokens=skip) == expected


@draws
@given(cases(), st.data())
def test_words_and_their_frames(case, data):
    ours, theirs = load_both(case)
    path = data.draw(st.lists(st.sampled_from(list(ours.tokens)), max_size=15))
    logits = np.zeros((len(path), max(ours.tokens) + 1))
    logits[np.arange(len(path)), path] = 1
    transcript = greedy(logits, ours, 1.0, duration=math.inf)
    heard = theirs.decode(path, output_word_offsets=True, output_char_offsets=True)
    assert transcript.text == heard.text
    for spans, offsets, name in (
        (transcript.words, heard.word_offsets, "word"),
        (transcript.chars, heard.char_offsets, "char"),
    ):
        expected = [(ours.lower(o[name]), o["start_offset"], o["end_offset"]) for o in offsets]
        assert [(span.text, span.start, span.end) for span in spans] == expected


@draws
@given(cases_of_phonemes(), st.data())
def test_phonemes_and_ids(case, data):
    ours, theirs = load_both(case)
    assert isinstance(ours, PhonemeTokenizer)
    assert ours.vocabulary == theirs.get_vocab()
    assert ours.special_tokens == set(theirs.all_special_tokens)
    pieces = st.sampled_from([" ", " ", *LETTERS, *LONGER, *ours.vocabulary])
    for text in data.draw(st.lists(st.lists(pieces, max_size=9).map("".join), min_size=4, max_size=4)):
        assert none_if_refused(lambda text=text: ours.encode(text)) == encode(theirs, text)
    entries = [*ours.tokens, 999] if ours.unk_token is not None else list(ours.tokens)
    for ids in data.draw(st.lists(st.lists(st.sampled_from(entries), min_size=1, max_size=12), min_size=4, max_size=4)):
        for group in (True, False):
            for skip in (True, False):
                if skip and set(ids) <= set(theirs.all_special_ids):
                    continue  # theirs cannot decode nothing
                for drop in (True, False):
                    how = {"group_tokens": group, "skip_special_tokens": skip, "filter_word_delimiter_token": drop}
                    assert ours.decode(ids, **how) == theirs.decode(ids, **how)


def test_the_recording_is_what_this_version_does():
    assert json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"] == record_all(CASES)
