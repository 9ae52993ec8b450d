"""Commands that are killed leave whole files, and nobody else's file changes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each command is a fork")
def test_killed_at_any_moment_a_command_leaves_whole_files():
    """`python tests/cli/killing.py --kills 50` is the long form."""
    script = Path(__file__).with_name("killing.py")
    done = subprocess.run([sys.executable, str(script), "--kills", "9"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    assert counted["kills"] == 9
    assert (counted["moment"], counted["write"], counted["asked"]) == (3, 3, 3)
