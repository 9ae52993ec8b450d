"""Shared by all tests: a seeded generator, and where things lie."""

import os
from pathlib import Path

# Kernels compiled by one run of the tests serve the next; tests compare threads, so two are wanted on any machine.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
from hub_server import machine, served  # noqa: F401  # fixtures

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def rng():
    return np.random.default_rng(20061113)
