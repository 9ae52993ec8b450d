"""What the tests of the commands share."""

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.teach.explain import explain
from xlsr_ref.text.metrics import word_errors


@pytest.fixture(scope="session", autouse=True)
def compiled():
    """The kernels are in the cache on disk: a command that finds none there says so on the standard error."""
    noise = np.random.default_rng(0).standard_normal(16000)
    model = xlsr_ref.load()
    model.align(noise, "a", 16000, check=True)
    model.transcribe(noise, 16000, lm="bundled")
    explain(model, noise, 16000, "noise")
    word_errors("a", "b")
