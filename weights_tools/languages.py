"""One network, many languages (MMS): beside its weights lie adapter.fra.safetensors and others, one for each language.

Each holds the attention adapters of every block and the lm_head, under the names that transformers gives them.
vocab.json then holds one vocabulary for each language.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from weights_tools.errors import CheckpointError, shown

CODE = re.compile(r"\w[\w-]{0,63}")  # no dot and no slash: it becomes part of a file's name
ADAPTER = re.compile(r"adapter\.(?P<language>[^.]+)\.(safetensors|bin)")
NEAREST = 5  # languages that a message names


def adapter_files(language: str) -> tuple[str, str]:
    """The names that a language's file can have, the better one first. Raises CheckpointError for what is no code."""
    if not isinstance(language, str) or not CODE.fullmatch(language):
        raise CheckpointError(f"{shown(language)} is no code of a language; one looks like 'fra'")
    return f"adapter.{language}.safetensors", f"adapter.{language}.bin"


def adapters_of(folder: Path) -> dict[str, Path]:
    """Language → its file in ``folder``, the better one where there are two."""
    names = sorted((path.name for path in folder.iterdir()), key=lambda name: (name.endswith(".safetensors"), name))
    found = {match["language"]: folder / match[0] for match in map(ADAPTER.fullmatch, names) if match}
    return dict(sorted(found.items()))


def nearest(language: str, known: list[str]) -> str:
    """The end of a sentence that misses a language: which ones there are that are spelt alike."""
    alike = difflib.get_close_matches(language, known, NEAREST, cutoff=0)
    if not alike:
        return "nor any other language"
    return f"of its {len(known)} languages the nearest to {language!r} are {', '.join(alike)}"
