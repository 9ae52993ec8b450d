"""A stand-in for the package sounddevice, with a microphone that gives the samples of a test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np


def fake_sounddevice(
    samples: np.ndarray,
    rates: tuple[float, ...],
    after: Callable[[], None] = lambda: None,
    lost: bool = False,
    slowly: bool = False,
):
    """A stand-in for the package: one microphone at these ``rates``, which gives ``samples`` and then nothing."""

    class PortAudioError(Exception):
        pass

    class InputStream:
        def __init__(self, samplerate, blocksize, device, channels, dtype, callback):
            if samplerate not in rates:
                raise PortAudioError("Error opening InputStream: Invalid sample rate [PaErrorCode -9997]")
            assert (channels, dtype) == (1, "float32")
            self.size, self.callback, self.closed = blocksize, callback, False
            self.thread = threading.Thread(target=self.play)

        def play(self):
            memory = np.empty((self.size, 1), np.float32)  # used again and again, as PortAudio does
            for at in range(0, len(samples), self.size):
                part = samples[at : at + self.size]
                memory[: len(part), 0] = part
                time.sleep(0.003 if slowly else 0)
                self.callback(memory[: len(part)], len(part), None, lost)
            memory[:] = np.nan
            after()

        def start(self):
            self.thread.start()

        def close(self):
            self.thread.join()
            self.closed = True

    def query_devices(device, kind):
        assert kind == "input"
        if device == "none":
            raise ValueError("No input device matching 'none'")
        if not rates:
            raise PortAudioError("Error querying device -1")
        return {"default_samplerate": rates[0]}

    return SimpleNamespace(PortAudioError=PortAudioError, InputStream=InputStream, query_devices=query_devices)
