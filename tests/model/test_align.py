"""A model lays a text over a recording: the bundled one over its clips, whole and in chunks."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.audio.manifest import read_manifest
from xlsr_ref.errors import AlignmentError, AudioError, CannotTranscribeError, VocabularyError
from xlsr_ref.losses.ctc import ctc_loss
from xlsr_ref.model.load import BUNDLED
from xlsr_ref.text.align import align
from xlsr_ref.text.read_tokenizer import read_tokenizer

sf = pytest.importorskip("soundfile")

CLIPS = {clip.path.stem: clip for clip in read_manifest(BUNDLED.parent / "clips.tsv")}
TALK = CLIPS["tt-monkeysintro"]


@pytest.fixture(scope="module")
def model():
    return xlsr_ref.load()


def test_it_is_the_alignment_of_its_own_logits(model):
    waveform, rate = sf.read(TALK.path, dtype="float32")
    assert rate == 16000
    found = model.align(TALK.path, TALK.text)
    assert [word.text for word in found.words] == TALK.text.split()
    assert found.duration == len(waveform) / rate
    logits = model.logits(waveform, rate).astype(np.float64)
    log_y = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    path = align(log_y, model.tokenizer.encode(TALK.text), model.tokenizer.pad_id)
    assert [char.start for char in found.chars] == [one.first * 0.02 for one in path.spans]
    assert [char.score for char in found.chars] == pytest.approx([one.score for one in path.spans], rel=1e-5)  # float32
    assert path.log_p <= -ctc_loss(logits, model.tokenizer.encode(TALK.text), model.tokenizer.pad_id)[0]


def test_an_array_and_a_file_give_the_same(model):
    waveform, rate = sf.read(TALK.path, dtype="float32")
    assert model.align(waveform, TALK.text, rate) == model.align(TALK.path, TALK.text)
    with pytest.raises(AudioError, match="sampling_rate"):
        model.align(waveform, TALK.text)


def test_a_long_recording_in_chunks(model):
    """Three clips one after the other, cut into chunks of 3 s: the words stand where each clip's own words stand."""
    order = [CLIPS[name] for name in ("tt-monkeysintro", "vm-review-urgent", "tt-monkeysintro")]
    sounds = [sf.read(clip.path, dtype="float32")[0] for clip in order]
    whole = model.align(np.concatenate(sounds), " ".join(clip.text for clip in order), 16000, chunk_seconds=3)
    assert len(whole.words) == sum(len(clip.text.split()) for clip in order)
    begin, words = 0.0, iter(whole.words)
    for clip, sound in zip(order, sounds):
        own = [next(words) for _ in clip.text.split()]
        assert begin - 0.1 < own[0].start < own[-1].end < begin + len(sound) / 16000 + 0.1
        begin += len(sound) / 16000


def test_the_right_text_has_more_confidence_than_a_wrong_one(model):
    right = model.align(TALK.path, TALK.text)
    wrong = model.align(TALK.path, "press four to mark this")
    assert 0 < wrong.score < right.score < 1


def test_a_wildcard_stands_for_the_rest(model):
    first, *_, last = TALK.text.split()
    exact, loose = model.align(TALK.path, TALK.text), model.align(TALK.path, f"{first} * {last}")
    until = min(exact.words[0].end, loose.words[1].start)  # the wildcard takes the silence beside it
    assert loose.words[0] == replace(exact.words[0], end=until)
    assert loose.words[2].start == exact.words[-1].start
    assert loose.words[1].text == "*"


def test_refusals(model):
    with pytest.raises(AlignmentError, match="the text is empty"):
        model.align(TALK.path, "  ")
    with pytest.raises(AlignmentError, match="no 'T': write the text in lower case"):
        model.align("no file, for the text comes first", "They")
    with pytest.raises(AlignmentError, match=r"needs 1\d\d frames .* has 133, 2.66 s"):
        model.align(TALK.path, TALK.text * 4)
    with pytest.raises(VocabularyError, match="not phonemes"):
        model.align(TALK.path, TALK.text, phonemes=True)
    with pytest.raises(CannotTranscribeError):
        xlsr_ref.load(BUNDLED.parents[2] / "tests" / "golden" / "bare").align(TALK.path, TALK.text)


@pytest.mark.parametrize("text", [None, ["one", "two"], b"one"])
def test_a_text_that_is_none(model, text):
    with pytest.raises(AlignmentError, match=r"the text is (NoneType|list|bytes): give a str, of one recording"):
        model.align(np.zeros(16000, np.float32), text, 16000)


def test_a_model_of_phonemes(model, tmp_path):
    """The bundled network with its letters called phonemes."""
    vocabulary = json.loads((BUNDLED / "vocab.json").read_text(encoding="utf-8"))
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    config = {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer", "word_delimiter_token": "|"}
    config |= {"pad_token": model.tokenizer.pad_token, "unk_token": model.tokenizer.unk_token}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    phonetic = xlsr_ref.load()
    phonetic.tokenizer = read_tokenizer(tmp_path)
    spoken = " | ".join(" ".join(word) for word in TALK.text.split())
    ours, letters = phonetic.align(TALK.path, spoken, phonemes=True), model.align(TALK.path, TALK.text)
    assert ours.words[0].text == " ".join(TALK.text.split()[0])
    assert [(w.start, w.end, w.score) for w in ours.words] == [(w.start, w.end, w.score) for w in letters.words]
    heard = phonetic.transcribe(TALK.path)
    assert heard.text == " ".join(model.transcribe(TALK.path).text.replace(" ", ""))
