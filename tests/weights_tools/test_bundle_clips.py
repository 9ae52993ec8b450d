"""The shipped recordings: only what may be shipped, small, readable, and described as they are."""

import csv
import json
import re
from pathlib import Path

import pytest
import soundfile

from weights_tools.bundle_clips import COLUMNS, DATA, DIGITS, LIMIT, TEST_CLIPS, bundle, choose

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"  # beside a developer's clone; absent elsewhere


@pytest.fixture(scope="module")
def clips():
    with open(DATA / "clips.tsv", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = list(reader)
    assert tuple(reader.fieldnames) == COLUMNS
    return rows


def test_the_table_lists_exactly_the_files(clips):
    listed = [row["path"] for row in clips]
    assert len(set(listed)) == len(listed)
    assert set(listed) == {path.relative_to(DATA).as_posix() for path in DATA.glob("clips/*/*")}
    assert sum((DATA / path).stat().st_size for path in listed) <= LIMIT


def test_every_clip_is_read_at_its_length(clips):
    for row in clips:
        samples, rate = soundfile.read(DATA / row["path"], dtype="float32")
        assert rate == 16000
        assert samples.ndim == 1
        assert abs(len(samples) / rate - float(row["seconds"])) < 0.001, row  # the table has three decimals
        assert abs(samples).max() > 0.05, row  # not silence


def test_two_unheard_sentences_a_language(clips):
    for lang in DIGITS:
        sentences = [row for row in clips if row["lang"] == lang and row["split"] == "test"]
        assert len(sentences) == 2
        assert all(2 <= float(row["seconds"]) <= 5 and len(row["text"].split()) >= 4 for row in sentences)


def test_the_digits_are_digits_of_the_train_split(clips):
    others = [row for row in clips if row["split"] != "test"]
    assert {row["split"] for row in others} == {"train"}
    for row in others:
        digit = int(re.fullmatch(r"clips/../digits__(\d)\.ogg", row["path"]).group(1))
        assert row["text"] == DIGITS[row["lang"]].split()[digit]
    assert {row["lang"] for row in others} == set(DIGITS)


def test_the_texts_can_be_written_with_the_bundled_vocabulary(clips):
    vocabulary = json.loads((DATA / "small-ctc/vocab.json").read_text(encoding="utf-8"))
    assert set("".join(row["text"] for row in clips)) - {" "} <= set(vocabulary)


def test_every_voice_is_credited(clips):
    licences = (DATA / "LICENSES.md").read_text(encoding="utf-8")
    for lang in {row["lang"] for row in clips}:
        row = next(line for line in licences.splitlines() if f"`clips/{lang}`" in line)
        assert re.search(r"CC BY(-SA)? 3\.0 .*Copyright", row)
    for licence in ("by-sa/3.0", "by/3.0", "by-sa/4.0"):
        assert f"https://creativecommons.org/licenses/{licence}/" in licences


def test_a_clip_outside_the_test_split_is_refused():
    rows = [
        {"path": f"asterisk/{lang}/{stem}.flac", "lang": lang, "split": "test", "text": "x"}
        for lang, stems in TEST_CLIPS.items()
        for stem in stems
    ]
    assert len(choose(rows)) == 2 * len(TEST_CLIPS)
    rows[3]["split"] = "train"
    with pytest.raises(ValueError, match=rows[3]["path"].removesuffix(".flac")):
        choose(rows)


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not beside this clone")
def test_the_corpus_gives_what_is_shipped(tmp_path):
    bundle(CORPUS, tmp_path)
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert len(written) > 50
    for path in written:
        assert (tmp_path / path).read_bytes() == (DATA / path).read_bytes(), path
