"""A file that was handed in: which exercises it has, and what is said of one that cannot be graded."""

import pytest

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade import submission


def test_the_names_of_a_file_in_whichever_way_they_are_bound():
    text = """
import os
try:
    from mine import softmax
except ImportError:
    def softmax(x): ...
if True:
    gelu = lambda x: x
group_norm: object = None
def helper():
    def layer_norm_backward(): ...
def layer_norm(x, p, eps): ...
"""
    assert set(submission.names(text, "s.py")) == {"softmax", "gelu", "group_norm", "layer_norm"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def layernorm(x): ...\nx = 1", r"s.py: .*it has layernorm \(did you mean layer_norm\?\)"),
        ("x = 1", "s.py: no function in it has the name of an exercise; xlsr-ref grade --list shows"),
        ("", "s.py: no function in it"),
        ("a = 1\ndef f(:\n", r"s.py: line 2: Python cannot read this \(invalid syntax\)"),
    ],
)
def test_a_file_without_exercises(text, words):
    with pytest.raises(ExerciseError, match=words):
        submission.names(text, "s.py")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x7fELF\x02\xff", "is not text in UTF-8"),
        (b"a = 1\0", "it has null bytes"),
        (b"# coding: nonsense\n", "is not text in UTF-8"),
    ],
)
def test_what_is_no_text(data, words, tmp_path):
    path = tmp_path / "s.py"
    path.write_bytes(data)
    with pytest.raises(ExerciseError, match=words):
        submission.read(str(path))


def test_what_is_no_file(tmp_path):
    for name, words in (
        ("none.py", "is missing; give a Python file"),
        ("", "is a folder"),
        ("a.ipynb", "is a notebook"),
    ):
        with pytest.raises(ExerciseError, match=words):
            submission.read(str(tmp_path / name))


def test_encodings_and_line_ends_are_pythons(tmp_path):
    path = tmp_path / "s.py"
    path.write_bytes("# coding: latin-1\r\na = 'é'\r\n".encode("latin-1"))
    assert submission.read(str(path)) == "# coding: latin-1\na = 'é'\n"
    path.write_bytes(b"\xef\xbb\xbfa = 1\n")
    assert submission.read(str(path)) == "a = 1\n"
