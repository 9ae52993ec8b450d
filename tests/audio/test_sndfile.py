"""WAVs whose header is wrong or was never filled in, and what C libraries print."""

import ctypes
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
from itertools import islice

import numpy as np
import pytest

from xlsr_ref import audio
from xlsr_ref.audio import sndfile
from xlsr_ref.audio.read import BLOCK, blocks
from xlsr_ref.errors import AudioError

SAMPLES = (np.sin(np.arange(8000) * 0.1) * 9000).astype("<i2")
DATA = SAMPLES.tobytes()
N, UNKNOWN = len(DATA), 0xFFFFFFFF


def wav(riff_size, data_size, data=DATA, head=b"RIFF", before=b""):
    form = struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)
    start = struct.pack("<4sI4s", head, riff_size, b"WAVE") + before + struct.pack("<4sI16s", b"fmt ", 16, form)
    return start + struct.pack("<4sI", b"data", data_size) + data


def ds64(riff_size, data_size, frames):
    return struct.pack("<4sIQQQI", b"ds64", 28, riff_size, data_size, frames, 0)


def junk(size):
    return struct.pack("<4sI", b"JUNK", size) + bytes(size)


@pytest.mark.parametrize(
    "content",
    [
        wav(36 + N, N + 44),  # the header counted in
        wav(36 + N, N + 8),
        wav(36 + N + 36, N + 80, before=junk(28)),  # a longer header counted in
        wav(36 + N, 0),  # only one of two sizes was filled in
        wav(0, 0, before=junk(28)),
        wav(UNKNOWN, UNKNOWN, head=b"RF64", before=ds64(0, 0, 0)),
        wav(UNKNOWN, 0, head=b"RF64", before=ds64(0, 0, 0)),
        wav(UNKNOWN, UNKNOWN, head=b"RF64", before=ds64(72 + N, N + 44, N // 2 + 22)),
    ],
)
def test_all_samples_are_read(tmp_path, content):
    (tmp_path / "x.wav").write_bytes(content)
    assert np.array_equal(audio.read(tmp_path / "x.wav", 16000, "float64"), SAMPLES / 2.0**15)


@pytest.mark.parametrize(
    ("content", "promised"),
    [
        (wav(36 + N, N + 46), N + 46),  # more than a header too large
        (wav(36 + N, N, DATA[:-44]), N),  # the whole file's size says that something is missing
        (wav(36 + N + 44, N + 44), N + 44),
    ],
)
def test_what_is_missing_is_told(tmp_path, content, promised):
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(AudioError, match=f"its header promises {promised} bytes of data"):
        audio.read(tmp_path / "x.wav", 16000)


def test_a_long_recording_of_a_recorder_that_died_is_read_in_pieces(tmp_path):
    with open(tmp_path / "x.wav", "wb") as file:
        file.write(wav(0, 0))
        file.truncate(1 << 28)
    tracemalloc.start()
    pieces = [piece for piece, _ in islice(blocks(tmp_path / "x.wav"), 3)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(pieces[0][: len(SAMPLES)], (SAMPLES / 2.0**15).astype("float32"))
    assert peak < 16 * BLOCK * 8


def test_too_little_memory_names_the_recording(tmp_path, monkeypatch):
    (tmp_path / "x.wav").write_bytes(wav(36 + N, N))

    def full(_):
        raise MemoryError

    monkeypatch.setattr(np, "concatenate", full)
    with pytest.raises(MemoryError, match=r"x\.wav, a recording of at least 0 s"):
        audio.read(tmp_path / "x.wav", 16000)


NOISY = """
import ctypes, os, sys, threading
from xlsr_ref.audio import sndfile
libc = ctypes.CDLL(None)
stderr = lambda: ctypes.c_void_p.in_dll(libc, "stderr")
inside, done = threading.Event(), threading.Event()
def decode():
    with sndfile.silence():
        libc.puts(b"noise of a decoder")
        libc.fputs(b"noise of a decoder", stderr())
        inside.set()
        done.wait()
        with sndfile.silence():
            pass
        libc.puts(b"noise after a nested call")
thread = threading.Thread(target=decode)
thread.start()
inside.wait()
print("ours", flush=True)
os.write(1, b"ours, too" + bytes([10]))
print("ours on stderr", file=sys.stderr, flush=True)
done.set()
thread.join()
libc.puts(b"somebody else's, later")
libc.fflush(None)
"""


@pytest.mark.skipif(not hasattr(ctypes, "CDLL") or os.name == "nt", reason="needs glibc")
def test_only_what_c_code_prints_during_a_call_goes_nowhere():
    if not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        pytest.skip("needs glibc")
    done = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, text=True, timeout=60)
    assert done.stdout == "ours\nours, too\nsomebody else's, later\n"
    assert done.stderr == "ours on stderr\n"


def test_many_threads_leave_the_streams_as_they_were():
    if not sndfile._find_streams():
        pytest.skip("needs glibc")
    libc = ctypes.CDLL(None)
    before = ctypes.c_void_p.in_dll(libc, "stdout").value

    def often():
        for _ in range(200):
            with sndfile.silence():
                pass

    threads = [threading.Thread(target=often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ctypes.c_void_p.in_dll(libc, "stdout").value == before
