"""A run that is killed again and again, and resumed, ends with the bits of one that never was."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each life of the run is a fork")
def test_killed_at_any_moment_it_ends_the_same():
    """`python tests/training/killing.py --kills 50 --inside 20` is the long form."""
    script = Path(__file__).with_name("killing.py")
    command = [sys.executable, str(script), "--kills", "14", "--inside", "8"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    assert (counted["inside"], counted["outside"]) == (8, 6)
    assert counted["runs"] >= 1
