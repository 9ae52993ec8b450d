"""What the tests of corpora share: recordings of noise under any name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def sound(tmp_path) -> Callable[..., Path]:
    """Write noise of so many seconds under this name."""

    def write(name: str, seconds: float = 0.5) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, round(8000 * seconds)), 8000)
        return path

    return write


@pytest.fixture
def text(tmp_path) -> Callable[[str, str | bytes], Path]:
    """Write this under this name."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write
