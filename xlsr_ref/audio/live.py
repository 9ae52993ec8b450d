"""Sound that comes as time passes: from a microphone, or from a file that is played as if it came from one.

    with Microphone(16000) as sound:
        for samples in sound: …            (n,) float32, a tenth of a second each; it ends with the file, or never

Both sources have the same members: `sampling_rate` in Hz, `waiting` (seconds of sound that came and were not taken yet)
and `lost` (how often the microphone's own memory ran over). The microphone needs the package sounddevice.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from xlsr_ref.audio.read import pieces
from xlsr_ref.audio.resample import check_rate
from xlsr_ref.errors import AudioError
from xlsr_ref.untrusted import one_line

PIECE = 0.1  # seconds
SILENT = 5.0  # seconds after which a microphone that gives nothing is taken for unplugged


class LiveSound(Protocol):
    """A source of sound; see the top of the file."""

    sampling_rate: int
    lost: int

    @property
    def waiting(self) -> float:
        """Seconds of sound that came and were not taken yet."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...


class Microphone:
    """``device`` is a number or a part of a name (None: the usual one); ``sampling_rate`` is asked for, and what the
    device has instead is taken where it refuses that. Raises AudioError where there is no such microphone, or no
    package sounddevice."""

    def __init__(self, sampling_rate: int, device: int | str | None = None) -> None:
        library = _sounddevice()
        self.lost = 0
        self._queue: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()
        try:
            own = library.query_devices(device, "input")["default_samplerate"]
            try:
                self._stream, rate = self._opened(library, device, sampling_rate), sampling_rate
            except library.PortAudioError:  # a device that has its own rate only
                self._stream, rate = self._opened(library, device, own), own
        except (library.PortAudioError, ValueError) as error:
            which = "no microphone was found" if device is None else f"there is no microphone {device!r}"
            raise AudioError(
                f"{which} ({one_line(' '.join(str(error).split()))}): `python -m sounddevice` lists what there is"
            ) from None
        self.sampling_rate = check_rate(rate, "the sampling rate of the microphone")

    @property
    def waiting(self) -> float:
        """Seconds of sound that came and were not taken yet."""
        return self._queue.qsize() * PIECE

    def __enter__(self) -> Self:
        self._stream.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            try:
                yield self._queue.get(timeout=SILENT)
            except queue.Empty:
                raise AudioError(f"the microphone has given nothing for {SILENT:g} s: is it still there?") from None

    def _opened(self, library: Any, device: int | str | None, rate: float) -> Any:
        return library.InputStream(
            samplerate=rate, blocksize=round(rate * PIECE), device=device, channels=1, dtype="float32",
            callback=self._take,
        )  # fmt: skip

    def _take(self, samples: np.ndarray, count: int, times: Any, status: Any) -> None:
        """Called by the library, in a thread of its own, with (n, 1) samples whose memory it uses again."""
        self.lost += bool(status)
        self._queue.put(samples[:, 0].copy())


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ModuleNotFoundError:
        raise AudioError(
            'a microphone needs the package sounddevice: pip install "xlsr_ref[listen]", or play a file with --file'
        ) from None
    except OSError as error:  # the package is there, and the library that it stands on is not
        raise AudioError(f"sounddevice does not work ({error}): install PortAudio, on Linux libportaudio2") from None
    return sounddevice


class Player:
    """The recording in ``path`` at ``sampling_rate``, ``speed`` times as fast as it was spoken; what is due comes at
    once if it is taken late. Raises AudioError for what cannot be read, and for a speed that is none."""

    lost = 0

    def __init__(self, path: str | os.PathLike[str], sampling_rate: int, speed: float = 1.0) -> None:
        if not 0 < speed <= 1e9:
            raise AudioError(f"the speed is {speed!r}: give a number above 0, such as 1 for the speed of speech")
        self.sampling_rate, self.speed = sampling_rate, speed
        self._pieces = pieces(path, sampling_rate)
        self._first = next(self._pieces)  # what cannot be read is told before anything is loaded
        self._begin, self._given = 0.0, 0.0

    @property
    def waiting(self) -> float:
        """Seconds of sound that are due and were not taken yet."""
        return max(0.0, (time.monotonic() - self._begin) * self.speed - self._given)

    def __enter__(self) -> Self:
        self._begin = time.monotonic()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pieces.close()  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[np.ndarray]:
        size, held = round(self.sampling_rate * PIECE), self._first
        while True:
            while len(held) < size and (piece := next(self._pieces, None)) is not None:
                held = np.concatenate([held, piece])
            if not len(held):
                return
            samples, held = held[:size], held[size:]
            self._given += len(samples) / self.sampling_rate
            time.sleep(max(0.0, self._begin + self._given / self.speed - time.monotonic()))
            yield samples
