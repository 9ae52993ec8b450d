"""Corpora as folders: what is read of Common Voice, LibriSpeech, an audiofolder, Kaldi and recordings beside texts."""

from __future__ import annotations

import json

import pytest

from xlsr_ref.audio.corpus import open_corpus
from xlsr_ref.errors import ManifestError

CV = "client_id\tpath\tsentence\tup_votes\tlocale\n"


def rows(corpus):
    return [(c.path.name, c.text, c.speaker, c.lang, c.split) for c in corpus.clips]


def test_common_voice(tmp_path, sound, text):
    for name in ("a", "b", "c"):
        sound(f"fy-NL/clips/{name}.mp3", 1.0)
    text("fy-NL/train.tsv", CV + 'anna\ta.mp3\t"""Hea,"" sei er"\t2\tfy-NL\n')
    text("fy-NL/dev.tsv", 'client_id\tpath\tsentence\nboris\tb.mp3\tIt is "goed"\ncarla\tlost.mp3\tWei\n')
    text("fy-NL/test.tsv", CV + "carla\tc.mp3\tJa\t2\t\n")
    text("fy-NL/validated.tsv", CV)
    corpus = open_corpus(tmp_path / "fy-NL")
    assert rows(corpus) == [
        ("a.mp3", '"Hea," sei er', "anna", "fy-NL", "train"),
        ("b.mp3", 'It is "goed"', "boris", "fy-NL", "dev"),
        ("c.mp3", "Ja", "carla", "fy-NL", "test"),
    ]
    assert corpus.clips[0].seconds == pytest.approx(1.0)
    (gone,) = corpus.left_out
    assert gone.name == "dev.tsv, line 3: lost.mp3"
    assert "there is no file" in gone.why
    assert "not read: validated.tsv" in corpus.notes
    assert "1 line has" in corpus.notes[0] or "quotation marks" in corpus.notes[0]
    (one,) = open_corpus(tmp_path / "fy-NL" / "test.tsv").clips
    assert (one.path.name, one.split) == ("c.mp3", "test")


def test_librispeech(tmp_path, sound, text):
    for split, key in (("dev-clean", "84-121-0000"), ("test-other", "7-9-0001")):
        speaker, chapter, _ = key.split("-")
        sound(f"LibriSpeech/{split}/{speaker}/{chapter}/{key}.flac")
        text(f"LibriSpeech/{split}/{speaker}/{chapter}/{speaker}-{chapter}.trans.txt", f"{key} GO NOW\n{key}9 LOST\n")
    corpus = open_corpus(tmp_path / "LibriSpeech")
    assert rows(corpus) == [
        ("84-121-0000.flac", "GO NOW", "84", "en", "dev-clean"),
        ("7-9-0001.flac", "GO NOW", "7", "en", "test-other"),
    ]
    assert corpus.left_out[0].why.startswith("there is no recording 84-121-00009")
    assert {c.split for c in open_corpus(tmp_path / "LibriSpeech" / "dev-clean").clips} == {"dev-clean"}


def test_an_audiofolder_of_csv_and_of_json(tmp_path, sound, text):
    for name in ("train/a.wav", "validation/b.wav"):
        sound(f"hf/{name}")
    text(
        "hf/metadata.csv",
        'file_name,transcription,speaker_id\r\ntrain/a.wav,"one, two",anna\r\nvalidation/b.wav,b,\r\n',
    )
    assert rows(open_corpus(tmp_path / "hf")) == [
        ("a.wav", "one, two", "anna", "und", "train"),
        ("b.wav", "b", "", "und", "dev"),
    ]
    (tmp_path / "hf" / "metadata.csv").unlink()
    text("hf/train/metadata.jsonl", json.dumps({"file_name": "a.wav", "text": "é", "language": "fr"}) + "\n")
    assert rows(open_corpus(tmp_path / "hf")) == [("a.wav", "é", "", "fr", "train")]


def test_kaldi_with_segments(tmp_path, sound, text):
    sound("data/train/long.wav", 4.0)
    text("data/train/wav.scp", "rec1 long.wav\n")
    text("data/train/segments", "u1 rec1 0.5 1.5\nu2 rec1 2.0 -1\nu3 rec1 3.0 9.0\n")
    text("data/train/text", "u1 one  two\nu2 three\nu3 four\nu9 nine\n")
    text("data/train/utt2spk", "u1 anna\nu2 boris\n")
    corpus = open_corpus(tmp_path / "data")
    assert [(c.text, c.speaker, c.start, c.end, c.seconds, c.split) for c in corpus.clips] == [
        ("one  two", "anna", 0.5, 1.5, 1.0, "train"),
        ("three", "boris", 2.0, None, 2.0, "train"),
    ]
    whys = [one.why for one in corpus.left_out]
    assert whys == ["it has a text but no recording", "it reaches from 3 to 9 s, and its recording has 4.00 s"]


def test_kaldi_runs_no_command(tmp_path, text):
    text("data/wav.scp", "rec1 touch /tmp/owned |\n")
    with pytest.raises(ManifestError, match=r"rec1 is a command, .* which is not run here"):
        open_corpus(tmp_path / "data")


def test_kaldis_paths_begin_where_its_scripts_ran(tmp_path, sound, text):
    sound("recipe/wav/a.wav")
    text("recipe/data/train/wav.scp", "a wav/a.wav\n")
    text("recipe/data/train/text", "a yes\n")
    assert [c.path.name for c in open_corpus(tmp_path / "recipe" / "data" / "train").clips] == ["a.wav"]


def test_recordings_beside_texts(tmp_path, sound, text):
    sound("talks/a.wav"), sound("talks/deep/b.flac")
    text("talks/a.txt", "one\ntwo\n"), text("talks/deep/b.txt", "three"), text("talks/readme.txt", "…")
    corpus = open_corpus(tmp_path / "talks")
    assert [(c.path.name, c.text) for c in corpus.clips] == [("a.wav", "one\ntwo"), ("b.flac", "three")]
    assert corpus.left_out == [("readme.txt", "there is no recording of this name beside it")]


def test_what_is_no_corpus(tmp_path, sound, text):
    sound("empty/a.wav")
    with pytest.raises(ManifestError, match="is none of the layouts that are known: Common Voice"):
        open_corpus(tmp_path / "empty")
    text("two/wav.scp", "a a.wav\n"), text("two/metadata.csv", "file_name,text\n")
    with pytest.raises(ManifestError, match=r"two: could be Kaldi or an audiofolder: name its list itself"):
        open_corpus(tmp_path / "two")
    with pytest.raises(ManifestError, match=r"nowhere is missing"):
        open_corpus(tmp_path / "nowhere")
