"""SIGTERM and SIGHUP end a command as Ctrl-C does: what is unfinished, and what is temporary, goes first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Ended(BaseException):
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number  # what a shell reports for a program that the signal ended


@contextmanager
def unwinding() -> Iterator[None]:
    """Turn the first of these signals into Ended, inside; a second one ends the process at once.

    Only in the main thread, and only a signal that would end the process: `nohup` keeps what it asks for.
    """
    names = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP, and no program there can catch its end
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    mine = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]

    def leave(number: int, frame: Any) -> None:
        for each in mine:
            signal.signal(each, signal.SIG_DFL)
        raise Ended(number)

    for number in mine:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)
