"""A Hub that runs on this machine: it speaks the two endpoints that the huggingface_hub library calls.

    HEAD /OWNER/NAME/resolve/REVISION/FILE    X-Repo-Commit, ETag, Content-Length; or 404 with an X-Error-Code
    GET  the same                             the bytes, from where a Range header says

The library reads its environment once, when it is imported, so that every test of it has a process of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"
COMMIT, OLDER = "c" * 40, "0" * 40


@dataclass
class Hub:
    """What the server has, how it misbehaves, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)  # of owner/name, at COMMIT
    token: str | None = None  # needed, where it is not None
    gated: bool = False
    broken: int = 0  # the status of every answer, where it is not 0
    cut: dict[str, list[int]] = field(default_factory=dict)  # file: after how many bytes each GET breaks off
    asked: list[str] = field(default_factory=list)  # "GET model.safetensors", with " from 100" for a Range
    url: str = ""

    def of(self, method: str) -> list[str]:
        return [line.split()[1] for line in self.asked if line.startswith(method)]


@pytest.fixture
def served() -> Iterator[Hub]:
    """A Hub with the model `xlsr` of the goldens under the name owner/name, on a port of this machine."""
    state = Hub({path.name: path.read_bytes() for path in (GOLDEN / "xlsr").iterdir() if path.suffix != ".npz"})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def refuse(self, status: int, code: str, commit: bool = False) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            if commit:
                self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def answer(self, body: bool) -> None:
            if state.broken:
                return self.refuse(state.broken, "")
            match = re.fullmatch(r"/owner/name/resolve/([^/]+)/(.+)", self.path)
            given = self.headers.get("Authorization")
            if match is None or (state.token is not None and given != f"Bearer {state.token}"):
                return self.refuse(401, "GatedRepo" if state.gated else "RepoNotFound")
            revision, name = match[1], match[2]
            first = int(self.headers["Range"][len("bytes=") : -1]) if "Range" in self.headers else 0
            state.asked.append(f"{self.command} {name} {f'from {first}' if first else ''}".strip())
            if revision not in ("main", "v1", COMMIT):
                return self.refuse(404, "RevisionNotFound")
            if name not in state.files:
                return self.refuse(404, "EntryNotFound", commit=True)
            content = state.files[name]
            self.send_response(206 if first else 200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{name}-of-{COMMIT}"')
            self.send_header("Content-Length", str(len(content) - first))
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if body:
                breaks = state.cut.get(name)
                self.wfile.write(content[first : first + breaks.pop(0)] if breaks else content[first:])
                self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()


FETCH = """
import sys
from xlsr_ref.errors import XlsrError
from xlsr_ref.checkpoint.hub import local_folder
try:
    print(local_folder(*sys.argv[1:]))
except XlsrError as error:
    print(type(error).__name__, error)
"""


class Machine:
    """A machine with an empty cache and nothing in its environment that is not said."""

    def __init__(self, home: Path, hub: Hub) -> None:
        self.home, self.hub = home, hub

    def python(self, script: str, *arguments: str, **environment: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "TRANSF"))}
        ours = {"HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.url, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*"}
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            text=True,
            cwd=self.home,
            env=kept | ours | environment,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def fetch(self, *arguments: str, **environment: str) -> str:
        return self.python(FETCH, *arguments, **environment)


@pytest.fixture
def machine(tmp_path, served) -> Machine:
    pytest.importorskip("huggingface_hub")
    (tmp_path / "home").mkdir()
    return Machine(tmp_path / "home", served)
