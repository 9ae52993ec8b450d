"""Error rates of a model on a corpus: counts by clip, the table, and the table of hypotheses, by hand."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from xlsr_ref.audio.manifest import Clip
from xlsr_ref.measure.evaluation import COLUMNS, Judged, hypotheses, judge, mistakes, table
from xlsr_ref.text.metrics import Errors
from xlsr_ref.text.tokenizer import Word
from xlsr_ref.text.transcript import Transcript


def clip(text, lang="en", path="a.wav"):
    return Clip(Path(path), lang, "anna", 1.5, "test", text)


class FakeModel:
    """Hears what it is told; its phonemes are letters."""

    def __init__(self, heard, phonemes=None):
        self.heard, self.asked = heard, []
        files = SimpleNamespace(phonemes=phonemes)

        def words_of(text, given):
            return [Word(word, tuple(word if given else word.upper())) for word in text.split()]

        self.tokenizer = SimpleNamespace(files=files, words_of=words_of)

    def transcribe(self, path, **how):
        self.asked.append((path, how))
        return Transcript(self.heard, (), (), 0.5)


def test_a_clip_is_judged():
    model = FakeModel("press for to")
    one = judge(model, clip("press four"), beam=10)
    assert (one.said, one.transcript.text) == ("press four", "press for to")
    assert one.words == Errors(1, 1, 0, 1)
    assert one.characters == Errors(9, 0, 1, 3)
    assert model.asked == [(Path("a.wav"), {"beam": 10})]


def test_of_a_model_of_phonemes_the_phonemes_are_compared():
    model = FakeModel("H ə L O", phonemes=object())
    assert judge(model, clip("hello")).said == "H E L L O"
    assert judge(model, clip("hello")).words == Errors(3, 1, 1, 0)
    assert judge(model, clip("HELO"), phonemes=True).words == Errors(3, 1, 0, 0)


ONE_HIT = Errors(1)


def judged(lang, words, characters=ONE_HIT):
    return Judged(clip("x", lang), "x", Transcript("y", (), (), 0.25), words, characters)


def test_the_table_adds_up_before_it_divides(rng):
    found = [judged("ru", Errors(9, 1)), judged("en", Errors(0, 0, 2, 1), Errors(0, 1)), judged("ru", Errors(2, 0, 1))]
    lines = [line.split() for line in table(found, rng).splitlines()]
    assert lines[0] == ["lang", "clips", "words", "WER", "95", "%", "sub", "del", "ins", "CER", "95", "%",
                        "MER", "WIL", "WIP"]  # fmt: skip
    assert lines[1] == ["en", "1", "2", "150.0", "150.0–150.0", "0", "2", "1", "100.0", "100.0–100.0",
                        "100.0", "100.0", "0.0"]  # fmt: skip
    assert lines[2][:4] == ["ru", "2", "13", "15.4"]
    assert lines[2][5:9] == ["1", "1", "0", "0.0"]
    assert lines[3][:4] == ["all", "3", "15", "33.3"]
    assert len({len(line) for line in table(found, rng).splitlines()}) == 1


def test_one_language_needs_no_sum_and_phonemes_no_characters(rng):
    lines = table([judged("en", Errors(9, 1))], rng, phonemes=True).splitlines()
    assert [line.split() for line in lines] == [
        ["lang", "clips", "phones", "PER", "95", "%", "sub", "del", "ins", "MER", "WIL", "WIP"],
        ["en", "1", "10", "10.0", "10.0–10.0", "1", "0", "0", "10.0", "19.0", "81.0"],
    ]
    assert "∞" in table([judged("en", Errors(insertions=1))], rng)


def test_the_confusions_are_listed_by_how_often(rng):
    found = [
        Judged(clip(said), said, Transcript(read, (), (), None), Errors(1), Errors(1))
        for said, read in (("a b", "a c"), ("b", "c"), ("long b x", "b"), ("", "y"))
    ]
    assert mistakes(found, 9) == "2  b     c\n1  *     y\n1  long  *\n1  x     *\n"
    assert mistakes(found, 1) == "2  b  c\n"
    assert mistakes(found, 0) == mistakes([], 9) == ""


def test_the_same_numbers_give_the_same_table():
    found = [judged("en", Errors(i, 1)) for i in range(9)]
    assert table(found, np.random.default_rng(0)) == table(found, np.random.default_rng(0))


def test_every_hypothesis_is_written():
    one = Judged(clip("a\tb", path="far/a.wav"), "a\tb", Transcript("a c", (), (), None), Errors(1, 1), Errors(2, 1))
    rows = list(csv.DictReader(io.StringIO(hypotheses([one], ["far/a.wav"])), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert tuple(rows[0]) == COLUMNS
    assert list(rows[0].values()) == [
        "far/a.wav", "en", "anna", "1.5", "test", "a b", "a c", "", "2", "1", "3", "1"
    ]  # fmt: skip
    assert "\t0.2500\t" in hypotheses([judged("en", Errors(1))], ["x"])


@pytest.mark.parametrize("rate", [0.0, 0.123, 2.0])
def test_rates_are_percent(rng, rate):
    each = Errors(1000 - round(1000 * rate), round(1000 * rate)) if rate <= 1 else Errors(hits=1000, insertions=2000)
    assert table([judged("en", each)], rng).splitlines()[1].split()[3] == f"{100 * rate:.1f}"
