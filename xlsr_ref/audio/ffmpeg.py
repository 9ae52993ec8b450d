"""Recordings that libsndfile cannot read, through the program `ffmpeg`: what phones, browsers and cameras make.

    m4a, mp4, mov, 3gp   webm, mkv, mka   wma   aac   amr   ac3   wv, tta, ape   avi, flv, mpg

They are told by how they begin, not by their names. ffmpeg runs without a shell, may open files only, and only those
formats; it decodes the first sound track into floats at the file's own rate, which come through a pipe, piece by piece.
Whatever it complains of makes the recording damaged, and it ends when whoever reads leaves.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from xlsr_ref.errors import AudioError

SUFFIXES = {
    ".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".webm", ".mkv", ".mka", ".wma", ".aac", ".amr", ".ac3", ".wv", ".tta",
    ".ape",
}  # fmt: skip

BEGINNINGS = (  # where, and what stands there
    *((4, box) for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")),  # MP4 and QuickTime
    (0, b"\x1aE\xdf\xa3"),  # Matroska and WebM
    (0, b"0&\xb2u\x8ef\xcf\x11"),  # ASF: WMA
    *((0, bytes([0xFF, second])) for second in (0xF0, 0xF1, 0xF8, 0xF9)),  # AAC in ADTS frames
    (0, b"#!AMR"), (0, b"\x0bw"), (0, b"wvpk"), (0, b"TTA1"), (0, b"MAC "), (0, b"FLV\x01"), (0, b"\0\0\1\xba"),
    (8, b"AVI "),
)  # fmt: skip
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,aac,amr,ac3,eac3,wv,tta,ape,flv,avi,mpeg"
HEADER = np.dtype([("magic", "S4"), ("data", ">u4"), ("bytes", ">u4"), ("code", ">u4"), ("rate", ">u4"),
                   ("channels", ">u4")])  # of Sun's AU format  # fmt: skip


def is_for_ffmpeg(path: str | os.PathLike[str]) -> bool:
    """Does a file begin like one that libsndfile cannot read and ffmpeg can?"""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError:  # whoever reads it will say so
        return False
    if head.startswith(b"ID3"):
        return Path(path).suffix.lower() == ".aac"  # an MP3 begins so, too
    return any(head.startswith(text, at) for at, text in BEGINNINGS)


def decoded(path: str | os.PathLike[str], name: str, values: int) -> Iterator[tuple[np.ndarray, int]]:
    """The sound in ``path``, piece by piece: (n, channels) float32 of at most ``values`` numbers, and the rate in Hz.

    ``name`` begins the messages. Raises AudioError, at the latest after the last piece, if the file is not whole, and
    where there is no ffmpeg.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise AudioError(
            f"{name}: is in a format that libsndfile cannot read: install ffmpeg, or convert it to WAV or FLAC"
        )
    channels = 0
    with tempfile.TemporaryFile() as said:
        decoder = _started(_line(program, path), said, name)
        try:
            assert decoder.stdout is not None  # it is a pipe
            rate, channels = _head(decoder.stdout)
            while channels and (piece := _piece(decoder.stdout, channels, values)) is not None:
                yield piece, rate
            status = decoder.wait()
        finally:
            decoder.kill()
            decoder.wait()
            if decoder.stdout is not None:
                decoder.stdout.close()
        complaint = _complaint(said)
    if status or complaint or not channels:
        trouble = "is cut short or damaged" if channels else "is not audio that ffmpeg can read"
        raise AudioError(f"{name}: {trouble} ({complaint or f'ffmpeg ended with status {status}'})")


def _line(program: str, path: str | os.PathLike[str]) -> list[str | bytes]:
    source = b"file:" + os.fsencode(os.path.abspath(path))
    return [
        program, "-nostdin", "-hide_banner", "-v", "error", "-xerror", "-protocol_whitelist", "file",
        "-format_whitelist", DEMUXERS, "-i", source if os.name == "posix" else os.fsdecode(source),
        "-map", "0:a:0", "-f", "au", "-c:a", "pcm_f32be", "pipe:1",
    ]  # fmt: skip


def _started(line: list[str | bytes], said: IO[bytes], name: str) -> subprocess.Popen[bytes]:
    """The program, in a session of its own: Ctrl-C is ours to answer."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": said}
    try:
        return subprocess.Popen(line, start_new_session=True, **pipes)  # type: ignore[call-overload]
    except OSError as error:
        raise AudioError(f"{name}: ffmpeg cannot be started: {error.strerror or error}") from None


def _head(stream: IO[bytes]) -> tuple[int, int]:
    """The rate and the channels that an AU stream begins with; 0 and 0 where it does not."""
    head = stream.read(HEADER.itemsize)
    if len(head) < HEADER.itemsize:
        return 0, 0
    (header,) = np.frombuffer(head, HEADER)
    stream.read(max(0, int(header["data"]) - HEADER.itemsize))
    return int(header["rate"]), int(header["channels"])


def _piece(stream: IO[bytes], channels: int, values: int) -> np.ndarray | None:
    """The next frames, (n, channels); None at the end. Half a frame there is dropped: ffmpeg says what is wrong."""
    frame = 4 * channels
    data = stream.read(max(1, values // channels) * frame)
    whole = len(data) // frame * frame
    return np.frombuffer(data[:whole], ">f4").astype(np.float32).reshape(-1, channels) if whole else None


def _complaint(said: IO[bytes]) -> str:
    """The first line that ffmpeg wrote, without the name and the address of the part that wrote it."""
    said.seek(0)
    lines = said.read(4096).decode("utf-8", "replace").splitlines()
    line = next((line for line in lines if line.strip()), "")
    return " ".join(re.sub(r"^\[[^\]]* @ [^\]]*\] *", "", line).split())[:200]
