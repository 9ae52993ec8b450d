"""The bundled language model: made from train texts alone, the same bytes each time, and what the package has."""

import numpy as np
import pytest

import xlsr_ref
from weights_tools.bundle_lm import ALPHA, BETA, BUNDLED, LIMIT, bundle, main, model_of
from xlsr_ref import audio
from xlsr_ref.text.search.lm import build
from xlsr_ref.text.search.lm_files import open_lm

HEAD = "path\tlang\tspeaker\tseconds\tsplit\ttext\n"
BOOK = "lang\tsplit\ttext\nen\ttrain\tsnow\nen\ttrain\tquit\nen\ttest\tw\n"
ROWS = (
    "a\ten\tx\t1\ttrain\tpress one\n"
    "b\ten\tx\t1\ttrain\tpress  two\n"
    "c\tru\tx\t1\ttrain\tодин\n"
    "d\ten\tx\t1\ttest\tzebra\n"
)


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "asterisk.tsv").write_text(HEAD + ROWS, "utf-8")
    (tmp_path / "handbook-texts.tsv").write_text(BOOK, "utf-8")
    return tmp_path


def test_it_knows_the_letters_of_train_and_no_others(corpus):
    bundle(corpus, corpus / "lm")
    opened = open_lm(corpus / "lm")
    assert set(opened.lm.words) == {"<s>", "</s>", "<unk>", "|", *"pressonetwoодин"}  # no q
    assert (opened.lm.order, opened.alpha, opened.beta) == (8, ALPHA, BETA)


def test_a_prompt_counts_more_than_a_sentence_of_the_book(corpus):
    lm = build(model_of(corpus))
    _, state, _ = lm.score(lm.begin, "p")  # twice as a prompt
    assert lm.score(lm.begin, "p")[0] > lm.score(lm.begin, "s")[0] + 0.5
    assert lm.score(state, "r")[0] > np.log10(0.5)


def test_the_order_of_the_list_does_not_matter_and_the_bytes_are_the_same(corpus):
    bundle(corpus, corpus / "one")
    (corpus / "asterisk.tsv").write_text(HEAD + "".join(reversed(ROWS.splitlines(keepends=True))), "utf-8")
    bundle(corpus, corpus / "other")
    files = ("language_model/8gram.arpa.gz", "language_model/attrs.json")
    assert [(corpus / "one" / file).read_bytes() for file in files] == [
        (corpus / "other" / file).read_bytes() for file in files
    ]


@pytest.mark.parametrize(
    ("rows", "says"), [("", "has no text of the split train"), ("a\ten\tx\t1\tdev\tone\n", "the split train")]
)
def test_a_corpus_without_train_texts_is_one_line(corpus, rows, says):
    (corpus / "asterisk.tsv").write_text(HEAD + rows, "utf-8")
    with pytest.raises(SystemExit, match=says):
        main([str(corpus), "--target", str(corpus / "lm")])
    assert not (corpus / "lm").exists()


def test_tuning_prints_a_line_for_each_setting_and_writes_nothing(corpus, capsys, monkeypatch):
    clips = audio.bundled_clips()
    (corpus / "asterisk.tsv").write_text(HEAD + ROWS + f"{clips[0].path}\ten\tx\t1\tdev\tthey have\n", "utf-8")
    monkeypatch.setattr("weights_tools.bundle_lm.ALPHAS", (0.5,))
    monkeypatch.setattr("weights_tools.bundle_lm.BETAS", (1.0, 2.0))
    main([str(corpus), "--tune", "--target", str(corpus / "lm")])
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "greedy", "beam", "α 0.5, β 1", "α 0.5, β 2",
    ]  # fmt: skip
    assert not (corpus / "lm").exists()


def test_the_bundled_one_is_small_and_fits_the_bundled_model():
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*")) < LIMIT
    opened = open_lm("bundled")
    assert opened.lm.order == 8
    xlsr_ref.load().search(lm="bundled")
