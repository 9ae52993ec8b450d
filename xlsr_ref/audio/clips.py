"""The recordings that come with the package: short sentences and digits in several languages, see data/LICENSES.md."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parents[1] / "data"


class BundledClip(NamedTuple):
    """A recording in the package."""

    path: Path
    name: str  # its path below the package's data folder: "clips/en/tt-monkeysintro.flac"


def bundled_clips() -> list[BundledClip]:
    """The recordings in the package, in the order of their list, data/clips.tsv."""
    with open(DATA / "clips.tsv", encoding="utf-8", newline="") as file:
        names = [row["path"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return [BundledClip(DATA / name, name) for name in names]
