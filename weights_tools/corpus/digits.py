"""fsdd.tsv: the Free Spoken Digit Dataset, from a .zip or .tar.gz of its repository; all of it lies in names.

    recordings/7_george_12.wav      the digit, the speaker, the number of the recording; 8 kHz

The speaker lucas is for tests alone; recordings 0 to 4 of the others are dev, as the data set's own README says.
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import soundfile

from weights_tools.corpus.write import Row, at_16_khz

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
RECORDING = re.compile(r"(?:.*/)?recordings/([0-9])_([a-z]+)_([0-9]+)\.wav")
UNHEARD = "lucas"


def digits(archive: Path) -> Iterator[Row]:
    """The clips of the data set, in the order of their names. Raises ValueError for a file that is no archive."""
    found = sorted((match[0], match, content) for match, content in _recordings(archive))
    for _, match, content in found:
        digit, speaker, number = match.groups()
        split = "test" if speaker == UNHEARD else "dev" if int(number) < 5 else "train"
        sound = at_16_khz(*soundfile.read(io.BytesIO(content)))
        path = f"fsdd/{digit}_{speaker}_{number}.flac"
        yield Row(path, "en", f"fsdd-{speaker}", split, WORDS[int(digit)], sound)


def _recordings(archive: Path) -> Iterator[tuple[re.Match[str], bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as files:
            for name in files.namelist():
                if match := RECORDING.fullmatch(name):
                    yield match, files.read(name)
        return
    try:
        with tarfile.open(archive) as files:
            for member in files:
                match, content = RECORDING.fullmatch(member.name), files.extractfile(member)
                if match and content:
                    yield match, content.read()
    except tarfile.TarError:
        raise ValueError(f"{archive} is no .zip and no .tar.gz: give an archive of the data set") from None
