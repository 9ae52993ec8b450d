"""Spliced clips: every word of the text is in the sound, in its order, and nothing is said of dev and test."""

from __future__ import annotations

import random
from itertools import groupby, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from weights_tools.build_corpus import main
from weights_tools.corpus.splices import FADE, MARGIN, Word, cut, join, splice, splices, words_of
from weights_tools.corpus.write import RATE, split_of
from xlsr_ref.audio.manifest import read_manifest
from xlsr_ref.errors import AlignmentError
from xlsr_ref.text.transcript import Span

CLIPS = Path(__file__).parents[2] / "xlsr_ref" / "data" / "clips.tsv"
LETTERS = "abcdefgh"


def level(text):
    """The sound of a word is its number of the alphabet, a quarter of a second long."""
    return np.full(RATE // 4, 1 + LETTERS.index(text), np.float32)


def levels(sound):
    """The levels of a sound that stay for longer than a cross-fade, each once however long it stays."""
    edges = np.flatnonzero(np.diff(sound, prepend=0, append=0))
    stays = [begin for begin, end in pairwise(edges) if end - begin > FADE * RATE]
    return "".join(letter for letter, _ in groupby(LETTERS[int(sound[begin]) - 1] for begin in stays))


class Aligner:
    """A model that hears a word each quarter of a second."""

    def align(self, sound, text, rate):
        if "x" in text:
            raise AlignmentError("no x")
        words = text.split()
        spans = tuple(Span(word, 0.25 * at, 0.25 * (at + 1), 1.0) for at, word in enumerate(words))
        return SimpleNamespace(words=spans)


def corpus_of(folder, rows):
    lines = ["path\tlang\tspeaker\tseconds\tsplit\ttext"]
    for number, (lang, split, text) in enumerate(rows):
        sound = np.concatenate([level(word) for word in text.replace("x", "a").split()]) / 10
        soundfile.write(folder / f"{number}.flac", sound, RATE)
        lines.append(f"{number}.flac\t{lang}\t{lang}-voice\t{len(sound) / RATE}\t{split}\t{text}")
    (folder / "few.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_cut_lies_halfway_between_two_words():
    sound = np.arange(2 * RATE, dtype=np.float32)
    words = cut(sound, [Span("one", 0.5, 0.8, 1.0), Span("two", 1.0, 1.4, 1.0)])
    assert [word.text for word in words] == ["one", "two"]
    edges = [(word.sound[0] / RATE, (word.sound[-1] + 1) / RATE) for word in words]
    np.testing.assert_allclose(edges, [(0.5 - MARGIN, 0.9), (0.9, 1.4 + MARGIN)], atol=1e-6)
    assert cut(sound, [Span("one", 0.01, 0.3, 1.0)])[0].sound[0] == 0


def test_a_join_fades_from_one_to_the_other():
    one, other = np.full(RATE, 1.0, np.float32), np.full(RATE, 3.0, np.float32)
    joined, fade = join(one, other), round(FADE * RATE)
    assert len(joined) == 2 * RATE - fade
    np.testing.assert_allclose(joined[RATE - fade : RATE], np.linspace(1, 3, fade), atol=1e-6)
    assert join(np.zeros(0, np.float32), other) is not other
    np.testing.assert_array_equal(join(np.zeros(0, np.float32), other), other)


def test_the_text_is_what_the_sound_says():
    clips = [[Word(letter, level(letter)) for letter in text] for text in ("abc", "d", "efgh")]
    for seed in range(20):
        text, sound = splice(clips, random.Random(seed))
        assert levels(sound) == "".join(letter for letter, _ in groupby(text.replace(" ", "")))
        assert 1.5 * RATE <= len(sound) < 9 * RATE
    assert len({splice(clips, random.Random(seed))[0] for seed in range(20)}) > 15


def test_train_clips_alone_are_cut_and_what_cannot_be_aligned_is_left_out(tmp_path):
    rows = [("en", "train", "a b"), ("en", "dev", "c d"), ("es", "train", "e x"), ("es", "train", "f")]
    voices = words_of(Aligner(), corpus_of(tmp_path, rows), "few.tsv")
    texts = {voice: [[word.text for word in clip] for clip in clips] for voice, clips in voices.items()}
    assert texts == {("en", "en-voice"): [["a", "b"]], ("es", "es-voice"): [["f"]]}
    with pytest.raises(ValueError, match="no train clip that the model can align"):
        words_of(Aligner(), corpus_of(tmp_path, [("en", "train", "x")]), "few.tsv")


def test_the_seed_decides_and_no_text_is_of_dev_or_test(tmp_path):
    corpus = corpus_of(tmp_path, [("en", "train", "a b c d"), ("es", "train", "e f g h")])

    def made(seed):
        return [(row.path, row.lang, row.text) for row in splices(Aligner(), corpus, "few.tsv", "new", 2, seed)]

    assert made(1) == made(1)
    assert [text for _, _, text in made(1)] != [text for _, _, text in made(2)]
    assert made(1)[0][0] == "new/en-1-00001.ogg"
    assert {split_of(lang, text) for _, lang, text in made(1) + made(2)} == {"train"}


def test_the_command_makes_a_list_of_what_the_bundled_model_can_align(tmp_path, capsys):
    clips = read_manifest(CLIPS)[:2]
    lines = ["path\tlang\tspeaker\tseconds\tsplit\ttext"]
    lines += [f"{clip.path}\t{clip.lang}\tvoice\t{clip.seconds}\ttrain\t{clip.text}" for clip in clips]
    (tmp_path / "few.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    main([str(tmp_path), "--splice", "new.tsv", "--texts", "few.tsv", "--minutes", "0.2"])
    assert "new.tsv" in capsys.readouterr().out
    made = read_manifest(tmp_path / "new.tsv")
    words = {word for clip in clips for word in clip.text.split()}
    assert {word for clip in made for word in clip.text.split()} <= words
    assert sum(clip.seconds for clip in made) >= 12
    with pytest.raises(SystemExit, match=r"gone\.tsv"):
        main([str(tmp_path), "--splice", "new.tsv", "--texts", "gone.tsv"])
