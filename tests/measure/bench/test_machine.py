"""What is said about the machine, and its memory."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest

from xlsr_ref.measure.bench import fma, machine
from xlsr_ref.ops.micro_kernel import BLOCKS


def test_a_description():
    found = machine.describe(["numpy", "no-such-package"])
    assert found["cpu"]
    assert found["cores"] >= found["usable_cores"] >= 1
    assert found["versions"] == {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "no-such-package": None,
    }


def test_the_blas_is_named_and_other_pools_are_not(monkeypatch):
    blas = {"user_api": "blas", "internal_api": "openblas", "version": "0.3", "architecture": "Haswell"}
    others = [{"user_api": "openmp", "internal_api": "libgomp", "version": None}]
    others.append({"user_api": "blas", "internal_api": "flexiblas", "version": None})
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [blas, *others])
    assert machine.describe([])["blas"] == ["openblas 0.3 Haswell", "flexiblas"]


def test_memory_is_read_in_kibibytes(monkeypatch):
    monkeypatch.setattr(machine.Path, "read_text", lambda path: "VmPeak:\t 9 kB\nVmHWM:\t  7 kB\n")
    assert machine.peak_memory() == 7 * 1024


BLOCK_COMES_AND_GOES = """
import numpy as np
from xlsr_ref.measure.bench import machine
size = 1 << 28
block = np.ones(size, np.uint8)
machine.forget_peak_memory()
with_block = machine.peak_memory()
del block
assert machine.peak_memory() > with_block - size / 2  # it is the most, not what is held now
machine.forget_peak_memory()
assert machine.peak_memory() < with_block - size / 2
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget")
def test_peak_memory_is_forgotten_and_found_again():
    """In a process of its own: what other tests hold and give back would count."""
    ended = subprocess.run([sys.executable, "-c", BLOCK_COMES_AND_GOES], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="nobody knows")
def test_without_proc_the_system_is_asked(monkeypatch):
    monkeypatch.setattr(machine.Path, "read_text", lambda path: (_ for _ in ()).throw(FileNotFoundError))
    assert 10 * 2**20 < machine.peak_memory() < 2**40


def test_the_peak_is_what_registers_can_do():
    if BLOCKS:
        assert 1e9 < fma.fma_peak(1) < 1e13
        assert fma.STEPS > 1


def test_the_peak_without_a_kernel_is_a_product_and_counts_its_work(monkeypatch):
    monkeypatch.setattr(fma, "BLOCKS", ())
    monkeypatch.setattr(machine, "SIDE", 8)
    monkeypatch.setattr(machine, "COPIED", 1001)  # three threads copy uneven parts
    monkeypatch.setattr(machine, "timed", lambda run: ([0.5], 0, run()))
    import threadpoolctl

    with threadpoolctl.threadpool_limits(None):
        found = machine.peak(3)("")
    assert found == {"flops": 2 * 8**3 / 0.5, "bytes": 2 * 1001 / 0.5}
