"""The front of the folder: what `from xlsr_ref import audio` gives, and the recordings in the package."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from xlsr_ref import audio


@pytest.mark.parametrize("name", audio.__all__)
def test_every_name_of_the_front_is_a_function_or_class_that_its_docstring_lists(name):
    home = getattr(audio, name).__module__
    assert home.startswith("xlsr_ref.audio.")
    assert re.search(rf"\b{name}\b", audio.__doc__)


def test_a_function_is_not_hidden_by_the_file_of_its_name():
    for name in ("read", "resample"):
        module = import_module(f"xlsr_ref.audio.{name}")
        assert getattr(audio, name) is getattr(module, name)


def test_the_bundled_clips_are_those_of_their_list():
    clips = audio.bundled_clips()
    listed = (clips[0].path.parents[2] / "clips.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert [clip.name for clip in clips] == [line.split("\t")[0] for line in listed]
    assert all(clip.path.is_file() for clip in clips)
