"""asterisk.tsv: the telephone prompts of Asterisk, from Debian's packages asterisk-core-sounds-LANG-g722.

The packages hold the recordings and no texts. The texts, normalised by hand where they needed it, and the splits stand
in lists/asterisk.tsv; a clip `asterisk/en/digits__0.ogg` there is `…/en_US_f_Allison/digits/0.g722` in the package.
G.722 has 16,000 samples a second; ffmpeg decodes it.
"""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from weights_tools.corpus.debian import files_of
from weights_tools.corpus.write import Row

LIST = Path(__file__).parent / "lists" / "asterisk.tsv"
RECORDING = re.compile(r"usr/share/asterisk/sounds/([a-z]{2})_[^/]+/(.+)\.g722")


def prompts(packages: Sequence[Path]) -> Iterator[Row]:
    """The clips of the list whose language is among the ``packages``.

    Raises ValueError for a clip that the package of its language lacks, and where ffmpeg is missing or fails.
    """
    recordings: dict[tuple[str, str], bytes] = {}
    for package in packages:
        for path, content in files_of(package):
            found = RECORDING.fullmatch(path)
            if found:
                recordings[found[1], found[2].replace("/", "__")] = content
    languages = {lang for lang, _ in recordings}
    with open(LIST, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["lang"] not in languages:
                continue
            stem = PurePosixPath(row["path"]).stem
            if (row["lang"], stem) not in recordings:
                raise ValueError(f"the package of {row['lang']} has no {stem}: give version 1.6.1")
            sound = decoded(recordings[row["lang"], stem])
            yield Row(row["path"], row["lang"], row["speaker"], row["split"], row["text"], sound)


def decoded(g722: bytes) -> np.ndarray:
    """(L,) int16 at 16 kHz."""
    line = ["ffmpeg", "-v", "error", "-f", "g722", "-i", "pipe:0", "-f", "s16le", "-ac", "1", "pipe:1"]
    try:
        done = subprocess.run(line, input=g722, capture_output=True, check=True)
    except FileNotFoundError:
        raise ValueError("ffmpeg is not installed: it decodes the prompts, so install it") from None
    except subprocess.CalledProcessError as error:
        raise ValueError(f"ffmpeg could not decode a prompt: {error.stderr.decode(errors='replace')[:200]}") from None
    return np.frombuffer(done.stdout, "<i2")
