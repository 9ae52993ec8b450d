"""The files of a model with many languages."""

from __future__ import annotations

import pytest

from xlsr_ref.checkpoint.languages import adapter_files, adapters_of, nearest


def test_safetensors_are_better_than_pickles(tmp_path):
    for name in ("adapter.fra.bin", "adapter.fra.safetensors", "adapter.eng.bin", "adapter.x.y.bin", "adapter.txt"):
        (tmp_path / name).touch()
    assert {language: path.name for language, path in adapters_of(tmp_path).items()} == {
        "eng": "adapter.eng.bin", "fra": "adapter.fra.safetensors",
    }  # fmt: skip
    assert list(adapters_of(tmp_path)) == ["eng", "fra"]
    assert adapter_files("fra") == ("adapter.fra.safetensors", "adapter.fra.bin")


@pytest.mark.parametrize("language", ["../fra", "a/b", "", "fra.bin", "f\0", "-x", "f" * 65, 3, None])
def test_what_is_no_code(language, refused):
    assert "is no code of a language; one looks like 'fra'" in refused(adapter_files, language)


def test_the_nearest_are_named():
    known = ["abc", "eng", "fra", "frc", "xyz", "zzz"]
    assert nearest("fre", known).startswith("of its 6 languages the nearest to 'fre' are fr")
    assert nearest("fre", known).count(",") == 4
    assert nearest("fre", []) == "nor any other language"
