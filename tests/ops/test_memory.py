import ctypes
import platform
import subprocess
import sys

import pytest

from xlsr_ref.ops import memory

FAULTS = """
import resource, numpy as np
from xlsr_ref.ops.memory import keep_freed_memory
{call}
def work():
    arrays = [np.empty(2_000_000) for _ in range(4)]  # 16 MB each
    for array in arrays:
        array[::512] = 0
for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call):
    script = FAULTS.format(call=call)
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's setting")
def test_the_next_array_finds_the_memory_of_the_last():
    assert memory.keep_freed_memory()
    assert faults("keep_freed_memory()") < 100


KEPT = """
import os, numpy as np
from xlsr_ref.ops.memory import keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
keep_freed_memory()
before = resident()
arrays = [np.ones(2_000_000) for _ in range(14)]  # 16 MB each
del arrays
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's setting")
def test_what_nobody_uses_is_not_hoarded():
    kept = int(subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True).stdout)
    assert kept < (64 + 16) << 20  # of 224 MB: the limit, and one array


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not memory.keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.keep_freed_memory()
