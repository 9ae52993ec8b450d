"""One network, many languages (MMS): beside its weights lie adapter.fra.safetensors and others, one for each language.

Each holds the attention adapters of every block and the lm_head, under the names that transformers gives them.
vocab.json then holds one vocabulary for each language.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from xlsr_ref.errors import VocabularyError, WeightsError
from xlsr_ref.untrusted import brief, read_json

CODE = re.compile(r"\w[\w-]{0,63}")  # no dot and no slash: it becomes part of a file's name
ADAPTER = re.compile(r"adapter\.(?P<language>[^.]+)\.(safetensors|bin)")
NEAREST = 5  # languages that a message names


def adapter_files(language: str) -> tuple[str, str]:
    """The names that a language's file can have, the better one first. Raises WeightsError for what is no code."""
    if not isinstance(language, str) or not CODE.fullmatch(language):
        raise WeightsError(f"{brief(language)} is no code of a language; one looks like 'fra'")
    return f"adapter.{language}.safetensors", f"adapter.{language}.bin"


def adapters_of(folder: Path) -> dict[str, Path]:
    """Language → its file in ``folder``, the better one where there are two."""
    names = sorted((path.name for path in folder.iterdir()), key=lambda name: (name.endswith(".safetensors"), name))
    found = {match["language"]: folder / match[0] for match in map(ADAPTER.fullmatch, names) if match}
    return dict(sorted(found.items()))


def vocabularies(folder: Path) -> dict[str, Any]:
    """Language → its vocabulary; {} where vocab.json is absent, or holds one for all. Raises VocabularyError."""
    path = folder / "vocab.json"
    found = read_json(path, VocabularyError) if path.exists() else {}
    return found if any(isinstance(value, dict) for value in found.values()) else {}


def languages(folder: Path) -> list[str]:
    """The codes that a model folder has an adapter or a vocabulary for, in their order. Raises VocabularyError."""
    return sorted(adapters_of(folder).keys() | vocabularies(folder).keys())


def nearest(language: str, known: list[str]) -> str:
    """The end of a sentence that misses a language: which ones there are that are spelt alike."""
    alike = difflib.get_close_matches(language, known, NEAREST, cutoff=0)
    if not alike:
        return "nor any other language"
    return f"of its {len(known)} languages the nearest to {language!r} are {', '.join(alike)}"
