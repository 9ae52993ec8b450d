"""What a Dask worker of this machine does first: Ctrl-C is for the command, which then ends its workers."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Called by `distributed` when a worker process begins, and when one takes the place of another that died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
