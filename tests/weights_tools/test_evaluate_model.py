"""Error rates against values worked out by hand."""

import pytest

from weights_tools.evaluate_model import (
    MARKS,
    Counts,
    counts_of,
    evaluate,
    put_into_card,
    table,
)
from xlsr_ref.text.metrics import Errors


def counts(clips, character_edits, characters, word_edits, words):
    """Counts whose edits are substitutions."""
    return Counts(clips, Errors(characters - character_edits, character_edits), Errors(words - word_edits, word_edits))


def sums(of):
    return of.clips, of.characters.edits, of.characters.length, of.words.edits, of.words.length


def test_a_clip_counts_its_characters_and_words():
    assert sums(counts_of("the cat sits", "a cat sat")) == (1, 5, 9, 2, 3)


@pytest.fixture
def corpus(tmp_path):
    lines = ["path\tlang\tspeaker\tseconds\tsplit\ttext", "a/1\ten\tx\t1\ttest\tab", "a/2\ten\tx\t1\ttest\tabcdef gh"]
    lines += ["a/3\tru\tx\t1\tdev\tда", "a/4\tru\tx\t1\ttrain\tнет"]
    (tmp_path / "asterisk.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_long_clips_count_for_more(corpus):
    read = {"1": "", "2": "abcdef gh", "3": "да нет"}
    totals = evaluate(lambda path: read[path.name], corpus)
    assert {key: sums(of) for key, of in totals.items()} == {
        ("asterisk", "en", "test"): (2, 2, 11, 1, 3),  # the mean of the two clips' rates would be 0.5
        ("asterisk", "ru", "dev"): (1, 4, 2, 1, 1),
    }
    assert table(totals).splitlines()[2:] == [
        "| asterisk | known | en | test | 2 | 0.182 | 0.333 |",
        "| asterisk | known | ru | dev | 1 | 2.000 | 1.000 |",
    ]


def test_unheard_voices_come_last_and_a_language_model_adds_two_columns():
    totals = {("fsdd", "en", "test"): counts(1, 1, 4, 1, 1), ("fsdd", "en", "dev"): counts(2, 0, 8, 0, 2)}
    assert table(totals, {key: counts(1, 0, 4, 0, 1) for key in totals}).splitlines() == [
        "| part | voices | language | split | clips | CER | WER | CER with LM | WER with LM |",
        "|---|---|---|---|---:|---:|---:|---:|---:|",
        "| fsdd | known | en | dev | 2 | 0.000 | 0.000 | 0.000 | 0.000 |",
        "| fsdd | unheard | en | test | 1 | 0.250 | 1.000 | 0.000 | 0.000 |",
    ]


def test_languages_that_the_model_does_not_write_are_left_out(corpus):
    with open(corpus / "asterisk.tsv", "a", encoding="utf-8") as file:
        file.write("a/5\tro\tx\t1\ttest\tda\n")
    assert {lang for _, lang, _ in evaluate(lambda path: "", corpus)} == {"en", "ru"}


def test_a_folder_without_a_corpus_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no clips.*asterisk\.tsv"):
        evaluate(str, tmp_path)


def test_the_table_replaces_what_stood_between_the_marks():
    card = f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n"
    once = put_into_card(card, "| new |")
    assert once == f"before\n{MARKS[0]}\n\n| new |\n\n{MARKS[1]}\nafter\n"
    assert put_into_card(once, "| new |") == once
    with pytest.raises(ValueError, match="no place for the table"):
        put_into_card("before\nafter\n", "| new |")
