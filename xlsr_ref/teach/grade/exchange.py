"""How the grader and the process that checks one function exchange one request and its answer: a file without a name.

    1 byte    the state: R a request, B the function is being checked, A an answer
    8 bytes   the length of what follows
    JSON      the request, which the answer replaces

The process maps the file into its memory at the start. The function that it then runs can close every descriptor and
delete every temporary file, by accident, and the answer still arrives.
"""

from __future__ import annotations

import mmap
from typing import IO, Any

from xlsr_ref.errors import ExerciseError
from xlsr_ref.untrusted import parse_json

ANSWER_BYTES = 4 << 20  # kept free in the file for an answer, at least
REQUEST, BEGUN, ANSWER = b"R", b"B", b"A"
OUT_OF_MEMORY, PYTHON_BROKEN = 77, 78  # exit statuses: no memory even to answer, and: Python itself no longer works

inside_child = False  # True in the child: a file that grades itself when it is imported grades nothing there


class RequestFile:
    """The grader's side."""

    def __init__(self, file: IO[bytes], request: str) -> None:
        """Write a request into an open, empty file without a buffer."""
        self.file, text = file, request.encode()
        file.write(REQUEST + len(text).to_bytes(8, "little") + text)
        file.truncate(max(ANSWER_BYTES, 9 + len(text)))
        file.flush()
        file.seek(0)

    def begun(self) -> bool:
        """Whether the function is being checked."""
        self.file.seek(0)
        return self.file.read(1) in (BEGUN, ANSWER)

    def answer(self) -> dict[str, Any] | None:
        """What the process has answered; None where it did not come to that."""
        self.file.seek(0)
        kind, length = self.file.read(1), int.from_bytes(self.file.read(8), "little")
        try:
            text = self.file.read(min(length, ANSWER_BYTES))
            return parse_json(text, "the answer", ExerciseError, finite=False) if kind == ANSWER else None
        except ExerciseError:
            return None


class MappedRequest:
    """The side of the process that checks: a file, open as ``descriptor``, in its memory."""

    def __init__(self, descriptor: int) -> None:
        self.memory = mmap.mmap(descriptor, 0)

    def request(self) -> bytes:
        """The JSON of the request."""
        return self.memory[9 : 9 + int.from_bytes(self.memory[1:9], "little")]

    def begin(self) -> None:
        """Say that the function is checked from here on."""
        self.memory[:1] = BEGUN

    def answer(self, text: str) -> None:
        """Write the answer; it counts once its first byte is there."""
        content = text.encode()
        self.memory[1 : 9 + len(content)] = len(content).to_bytes(8, "little") + content
        self.memory[:1] = ANSWER
