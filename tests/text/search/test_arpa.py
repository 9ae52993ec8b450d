"""ARPA files: read, written, packed, and broken in every way."""

import gzip

import numpy as np
import pytest

from xlsr_ref.errors import LanguageModelError
from xlsr_ref.text.search.arpa import read_arpa, write_arpa

SMALL = """\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.25
-0.7\t</s>
-0.5\tché\t-0.125

\\2-grams:
-0.2\t<s> ché
-0.3 ché </s>

\\end\\
"""


def written(folder, text):
    path = folder / "lm.arpa"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_it_says(tmp_path):
    arpa = read_arpa(written(tmp_path, SMALL))
    assert arpa.vocabulary == ("<unk>", "<s>", "</s>", "ché")
    one, two = arpa.orders
    assert one.words.tolist() == [[0], [1], [2], [3]]
    assert one.log10_p.tolist() == [-1.5, -99, -0.7, -0.5]
    assert one.backoff.tolist() == [0, -0.25, 0, -0.125]
    assert two.words.tolist() == [[1, 3], [3, 2]]
    assert two.log10_p.tolist() == [-0.2, -0.3]


def test_written_and_read_again(tmp_path):
    arpa = read_arpa(written(tmp_path, SMALL))
    again = read_arpa(written(tmp_path, "".join(write_arpa(arpa))))
    assert again.vocabulary == arpa.vocabulary
    for ours, theirs in zip(again.orders, arpa.orders):
        for one, other in zip(ours, theirs):
            np.testing.assert_array_equal(one, other)


def test_packed(tmp_path):
    path = written(tmp_path, gzip.compress(SMALL.encode()))
    assert read_arpa(path).vocabulary[3] == "ché"


def test_line_ends_and_text_before_the_sections(tmp_path):
    assert len(read_arpa(written(tmp_path, SMALL.replace("\n", "\r\n"))).orders) == 2


def test_a_word_may_hold_other_white_space(tmp_path):
    """Only blanks and tabs separate fields: a no-break space is part of a word."""
    assert read_arpa(written(tmp_path, SMALL.replace("ché", "a\u00a0b"))).vocabulary[3] == "a\u00a0b"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (SMALL, "", "ends after line 0"),
        (SMALL, "# notes\n", "line 1: '# notes' is not .data"),
        ("ngram 1=4", "ngram 1=5", "line 11: the head promises 5 1-grams, but there are only 4"),
        ("ngram 1=4", "ngram 1=3", "line 9: the head promises 3 1-grams, but there are more"),
        ("ngram 2=2", "ngram 2=3", "the head promises 3 2-grams, but there are only 2"),
        ("ngram 2=2", "ngram 2=1", "the head promises 1 2-grams, but there are more"),
        ("ngram 2=2", "ngram 3=2", "line 3: 'ngram 3=2' stands where the count of the 2-grams should"),
        ("ngram 2=2", "ngram 2=many", "should be like"),
        ("ngram 1=4", "ngram 1=0", "no 1-grams"),
        ("ngram 1=4\nngram 2=2\n", "", "no 1-grams"),
        ("\n\\end\\\n", "", "is cut off"),
        ("-0.3 ché </s>\n\n\\end\\\n", "", "ends after line 12, without .end"),
        ("\\end\\", "\\3-grams:", "stands where .end. should"),
        ("\\2-grams:", "\\3-grams:", "stands where .2-grams: should"),
        ("-0.2\t<s> ché", "-0.2\t<s>", "line 12: .* is no 2-gram"),
        ("-0.2\t<s> ché", "-0.2\t<s> non", "'non' is not among the 1-grams"),
        ("-0.2\t<s> ché", "x\t<s> ché", "something else where a number should be"),
        ("-0.2\t<s> ché", "nan\t<s> ché", "at most 0"),
        ("-0.2\t<s> ché", "0.2\t<s> ché", "at most 0"),
        ("-0.125", "inf", "a back-off weight is finite"),
        ("-0.7\t</s>", "-0.7\t<s>", "line 8: the word '<s>' is there twice"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, old, new, message):
    assert old in SMALL
    with pytest.raises(LanguageModelError, match=message) as error:
        read_arpa(written(tmp_path, SMALL.replace(old, new)))
    assert "\n" not in str(error.value)
    assert "lm.arpa" in str(error.value)


def test_cut_off_anywhere_it_is_refused(tmp_path):
    whole = SMALL.rstrip().encode()
    for length in range(len(whole)):
        with pytest.raises(LanguageModelError):
            read_arpa(written(tmp_path, whole[:length]))


def test_not_utf_8(tmp_path):
    with pytest.raises(LanguageModelError, match="is not UTF-8"):
        read_arpa(written(tmp_path, SMALL.encode().replace("é".encode(), b"\xe9")))


@pytest.mark.parametrize("damage", [lambda packed: packed[:-20], lambda packed: packed[:30] + b"???" + packed[33:]])
def test_damaged_packing(tmp_path, damage):
    with pytest.raises(LanguageModelError, match="ends early or is damaged"):
        read_arpa(written(tmp_path, damage(gzip.compress(SMALL.encode()))))


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(LanguageModelError, match="is missing"):
        read_arpa(tmp_path / "lm.arpa")
    with pytest.raises(LanguageModelError, match="is a folder, not a regular file"):
        read_arpa(tmp_path)
