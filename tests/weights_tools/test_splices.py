"""Spliced clips: every word of the text is in the sound, in its order, and nothing is said of dev and test."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from weights_tools.build_corpus import main
from weights_tools.corpus.splices import (
    FADE,
    MARGIN,
    WINDOW,
    Voice,
    Word,
    cut,
    first_part,
    join,
    last_part,
    quietest,
    splice,
    splices,
    voices_of,
)  # fmt: skip
from weights_tools.corpus.write import RATE, split_of
from xlsr_ref.audio.clips import DATA
from xlsr_ref.audio.manifest import read_manifest
from xlsr_ref.errors import AlignmentError
from xlsr_ref.text.transcript import Span, Transcript

ALPHABET = "abcdefghijklmnop"


def spoken(text):
    """The sound of a letter is its number of the alphabet, a tenth of a second long, silent at both ends."""
    silence = np.zeros(RATE // 80)
    letters = [(silence, np.full(RATE // 10 - 2 * len(silence), 1.0 + ALPHABET.index(x)), silence) for x in text]
    return np.concatenate([part for letter in letters for part in letter]).astype(np.float32)


def heard(sound):
    """The letters of a sound: the levels that stay for longer than a cross-fade."""
    edges = np.flatnonzero(np.diff(sound, prepend=0, append=0))
    stays = [begin for begin, end in pairwise(edges) if end - begin > FADE * RATE and sound[begin]]
    return "".join(ALPHABET[int(sound[begin]) - 1] for begin in stays)


def word(text):
    return Word(text, spoken(text), tuple(RATE // 10 * at + RATE // 20 for at in range(len(text))))


def voice(*clips):
    words = [[word(text) for text in clip.split()] for clip in clips]
    return Voice(words, [word for clip in words for word in clip if word.is_long])


class Aligner:
    """A model that hears a letter each tenth of a second."""

    def align(self, sound, text, rate):
        if "x" in text:
            raise AlignmentError("no x")
        chars, words, at = [], [], 0.0
        for word in text.split():
            words.append(Span(word, at, at + 0.1 * len(word), 1.0))
            chars += [Span(letter, at + 0.1 * i, at + 0.1 * (i + 1), 1.0) for i, letter in enumerate(word)]
            at = words[-1].end
            chars.append(Span(" ", at, at, 1.0))
        return Transcript(text, tuple(words), tuple(chars[:-1]))


def corpus_of(folder, rows):
    lines = ["path\tlang\tspeaker\tseconds\tsplit\ttext"]
    for number, (lang, split, text) in enumerate(rows):
        sound = spoken(text.replace("x", "a").replace(" ", "")) / 20
        soundfile.write(folder / f"{number}.flac", sound, RATE)
        lines.append(f"{number}.flac\t{lang}\t{lang}-voice\t{len(sound) / RATE}\t{split}\t{text}")
    (folder / "few.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_cut_lies_halfway_between_two_words():
    sound = np.arange(2 * RATE, dtype=np.float32)
    spans = Span("ab", 0.5, 0.8, 1.0), Span("c", 1.0, 1.4, 1.0)
    chars = Span("a", 0.5, 0.6, 1.0), Span("b", 0.7, 0.8, 1.0), Span(" ", 0.8, 0.9, 1.0), Span("c", 1.0, 1.2, 1.0)
    words = cut(sound, Transcript("ab c", spans, chars))
    assert [word.text for word in words] == ["ab", "c"]
    edges = [(word.sound[0] / RATE, (word.sound[-1] + 1) / RATE) for word in words]
    np.testing.assert_allclose(edges, [(0.5 - MARGIN, 0.9), (0.9, 1.4 + MARGIN)], atol=1e-6)
    letters = [(word.sound[0] + np.array(word.letters)) / RATE for word in words]
    np.testing.assert_allclose(letters[0], [0.55, 0.75], atol=1e-4)
    np.testing.assert_allclose(letters[1], [1.1], atol=1e-4)
    early = Transcript("a", (Span("a", 0.01, 0.3, 1.0),), (Span("a", 0.01, 0.3, 1.0),))
    assert cut(sound, early)[0].sound[0] == 0


def test_a_join_fades_from_one_to_the_other():
    one, other = np.full(RATE, 1.0, np.float32), np.full(RATE, 3.0, np.float32)
    joined, fade = join(one, other), round(FADE * RATE)
    assert len(joined) == 2 * RATE - fade
    np.testing.assert_allclose(joined[RATE - fade : RATE], np.linspace(1, 3, fade), atol=1e-6)
    np.testing.assert_array_equal(join(np.zeros(0, np.float32), other), other)


def test_the_text_is_what_the_sound_says():
    said = voice("abc d", "efgh")
    for seed in range(20):
        text, sound = splice(said, random.Random(seed))
        assert heard(sound) == text.replace(" ", "")
        assert 1.5 * RATE <= len(sound) < 9 * RATE
    assert len({splice(said, random.Random(seed))[0] for seed in range(20)}) > 15


def test_words_of_two_parts_sound_as_they_are_spelt():
    said, made = voice("abcdef o", "ghijklmn"), set()
    for seed in range(20):
        text, sound = splice(said, random.Random(seed), parts=0.5)
        assert heard(sound) == text.replace(" ", "")
        made.update(text.split())
    assert {"abcdef", "ghijklmn"} < made  # the other half of the words
    new = made - {"abcdef", "ghijklmn", "o"}
    assert any(word[0] == "a" and word[-1] == "n" for word in new)
    assert not any(word.is_long for word in voice("abcde")[0][0])
    begins, ends = first_part(word("abcdef"), random.Random(0)), last_part(word("abcdef"), random.Random(0))
    assert begins.text == "abc"
    assert ends.text == "def"
    assert len(begins.sound) + len(ends.sound) == len(spoken("abcdef"))
    assert [letter + len(begins.sound) for letter in ends.letters] == list(word("abcdef").letters[3:])


def test_a_word_is_cut_where_the_sound_is_least():
    sound = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    sound[2000 : 2000 + 2 * WINDOW] *= 0.01
    assert 2000 <= quietest(sound, 1000, 3000) <= 2000 + 2 * WINDOW
    assert quietest(sound, 100, 140) == 120


def test_train_clips_alone_are_cut_and_what_cannot_be_aligned_is_left_out(tmp_path):
    rows = [("en", "train", "a b"), ("en", "dev", "c d"), ("es", "train", "e x"), ("es", "train", "abcdef")]
    voices = voices_of(Aligner(), corpus_of(tmp_path, rows), "few.tsv")
    texts = {of: [[word.text for word in clip] for clip in voice.clips] for of, voice in voices.items()}
    assert texts == {("en", "en-voice"): [["a", "b"]], ("es", "es-voice"): [["abcdef"]]}
    assert [word.text for word in voices["es", "es-voice"].long] == ["abcdef"]
    with pytest.raises(ValueError, match="no train clip that the model can align"):
        voices_of(Aligner(), corpus_of(tmp_path, [("en", "train", "x")]), "few.tsv")


def test_the_seed_decides_and_no_text_is_of_dev_or_test(tmp_path):
    corpus = corpus_of(tmp_path, [("en", "train", "a b c d"), ("es", "train", "e f g h")])

    def made(seed):
        return [(row.path, row.lang, row.text) for row in splices(Aligner(), corpus, "few.tsv", "new", 2, seed)]

    assert made(1) == made(1)
    assert [text for _, _, text in made(1)] != [text for _, _, text in made(2)]
    assert made(1)[0][0] == "new/en-1-00001.ogg"
    assert {split_of(lang, text) for _, lang, text in made(1) + made(2)} == {"train"}


def test_the_command_makes_a_list_of_what_the_bundled_model_can_align(tmp_path, capsys):
    clips = read_manifest(DATA / "clips.tsv")[:2]
    lines = ["path\tlang\tspeaker\tseconds\tsplit\ttext"]
    lines += [f"{clip.path}\t{clip.lang}\tvoice\t{clip.seconds}\ttrain\t{clip.text}" for clip in clips]
    (tmp_path / "few.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    main([str(tmp_path), "--splice", "new.tsv", "--texts", "few.tsv", "--minutes", "0.2"])
    assert "new.tsv" in capsys.readouterr().out
    made = read_manifest(tmp_path / "new.tsv")
    words = {word for clip in clips for word in clip.text.split()}
    assert {word for clip in made for word in clip.text.split()} <= words
    assert sum(clip.seconds for clip in made) >= 12
    main([str(tmp_path), "--splice", "parts.tsv", "--texts", "few.tsv", "--minutes", "0.2", "--parts", "1"])
    assert not {word for clip in read_manifest(tmp_path / "parts.tsv") for word in clip.text.split()} <= words
    with pytest.raises(SystemExit, match=r"gone\.tsv"):
        main([str(tmp_path), "--splice", "new.tsv", "--texts", "gone.tsv"])


@pytest.mark.parametrize("parts", ["-0.1", "1.5", "nan", "half"])
def test_a_share_lies_between_0_and_1(tmp_path, parts, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--splice", "new.tsv", f"--parts={parts}"])
    assert "give a number from 0 to 1" in capsys.readouterr().err.splitlines()[-1]
