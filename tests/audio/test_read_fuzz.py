"""Damaged recordings: each either reads to finite audio or raises AudioError with one line; nothing else may happen.

Runs in a process of its own, because a crash of the decoder would take the test runner with it.
A longer campaign: ``python tests/audio/test_read_fuzz.py 10000 [first case]``; it prints each case that went wrong.
"""

from __future__ import annotations

import faulthandler
import io
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "ULAW"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "MS_ADPCM"),
    ("WAV", "GSM610"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"),
    ("AU", "PCM_16"),
    ("AU", "ALAW"),
    ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("W64", "PCM_16"),
    ("RF64", "PCM_16"),
]
ENDINGS = ["wav", "flac", "ogg", "mp3", "aiff", "au", "bin"]  # libsndfile looks at the name when the content is unclear
HEADER = 200  # bytes; half of the mutations fall here
SIZES = [
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\0\0\0\1",
    b"\1\0\0\0",
]
SECONDS = 60  # no case takes a second; one that takes this long hangs


def recordings() -> list[bytes]:
    """The same 0.75 s in each format that this libsndfile writes."""
    import soundfile

    rng = np.random.default_rng(1)
    mono = 0.5 * np.sin(np.cumsum(rng.standard_normal(12000)) * 0.2)
    found = []
    for container, subtype in FORMATS:
        if soundfile.check_format(container, subtype):
            file = io.BytesIO()
            samples = mono if subtype == "GSM610" else np.stack([mono, mono[::-1]], axis=1)
            soundfile.write(file, samples, 16000, format=container, subtype=subtype)
            found.append(file.getvalue())
    return found


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: a byte, a bit, a size field, bytes lost, bytes gained, or the rest cut off."""
    raw = bytearray(whole)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(min(HEADER, len(raw)) if rng.random() < 0.5 else len(raw)))
        match rng.integers(7):
            case 0:
                raw[at] = rng.integers(256)
            case 1:
                raw[at] ^= 1 << int(rng.integers(8))
            case 2:
                raw[at : at + 4] = SIZES[rng.integers(len(SIZES))]
            case 3:
                raw[at : at + 8] = rng.bytes(8)
            case 4:
                del raw[at : at + int(rng.integers(1, 40))]
            case 5:
                raw[at:at] = rng.bytes(int(rng.integers(1, 40)))
            case 6 if at > 0 and rng.random() < 0.3:
                del raw[at:]
    return bytes(raw)


def campaign(first: int, cases: int, folder: Path) -> Counter[str]:
    """Read ``cases`` damaged files, numbered from ``first``; counts of 'read', 'refused' and of anything else."""
    from xlsr_ref import audio
    from xlsr_ref.errors import AudioError

    whole = recordings()
    counts: Counter[str] = Counter()
    for case in range(first, first + cases):
        rng = np.random.default_rng([7, case])
        path = folder / f"case.{ENDINGS[rng.integers(len(ENDINGS))]}"
        path.write_bytes(damaged(whole[case % len(whole)], rng))
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            y = audio.read(path, 16000)
            verdict = "read" if y.dtype == np.float32 and y.ndim == 1 and np.isfinite(y).all() else "not finite"
        except AudioError as error:
            verdict = "refused" if "\n" not in str(error) else "refused in two lines"
        except Exception as error:
            verdict = repr(error)
        faulthandler.cancel_dump_traceback_later()
        if verdict not in ("read", "refused"):
            print(f"case {case}: {verdict}")
        counts[verdict] += 1
        path.unlink()
    return counts


def test_damaged_recordings_are_read_or_refused():
    pytest.importorskip("soundfile")
    command = [sys.executable, __file__, "400"]
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # its threads reserve memory, and that is limited below
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=400, env=one_thread)
    assert run.returncode == 0, f"exit status {run.returncode}\n{run.stdout[-2000:]}\n{run.stderr[-4000:]}"
    assert "Traceback" not in run.stderr  # also none that was printed and swallowed in a callback


if __name__ == "__main__":
    cases, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    warnings.simplefilter("error")
    try:
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    except (ImportError, ValueError, OSError):
        pass
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as folder:
        counts = campaign(first, cases, Path(folder))
    print(dict(counts))
    sys.exit(0 if set(counts) == {"read", "refused"} else 1)
