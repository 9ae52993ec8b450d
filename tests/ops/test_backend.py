"""Compiled, without Numba, by request without it, and uncompiled for a debugger: the same numbers."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.ops import backend

FOLDER = Path(__file__).parents[1] / "golden" / "xlsr"
CODE = """
import sys, numpy, xlsr_ref
if "hide" in sys.argv: sys.modules["numba"] = None  # importing it raises ImportError
x = numpy.sin(numpy.arange(4000) / 7)
logits = xlsr_ref.load(sys.argv[1], sys.argv[3]).forward(x, 16000)[0]
numpy.save(sys.argv[2], logits)
"""


def logits_in_another_process(tmp_path, dtype, *arguments, **environment):
    out = tmp_path / "logits.npy"
    run = [sys.executable, "-c", CODE, str(FOLDER), str(out), dtype, *arguments]
    done = subprocess.run(run, check=True, capture_output=True, text=True, env=os.environ | environment)
    return np.load(out), done.stderr


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how", ["numpy", "hidden", "uncompiled"])
def test_every_way_to_run_gives_the_same_numbers(tmp_path, how, dtype):
    if how == "numpy":
        theirs, said = logits_in_another_process(tmp_path, dtype, XLSR_REF_BACKEND="numpy")
    elif how == "hidden":
        theirs, said = logits_in_another_process(tmp_path, dtype, "hide")
    else:
        theirs, said = logits_in_another_process(tmp_path, dtype, NUMBA_DISABLE_JIT="1")
    ours = xlsr_ref.load(FOLDER, dtype).forward(np.sin(np.arange(4000) / 7), 16000)[0]
    tolerance = 1e-5 if dtype == "float32" else 1e-12  # float32: the twins add in another order, over some 20 layers
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=tolerance * np.abs(ours).max())
    assert said.count("UserWarning") == (1 if how == "hidden" else 0)


def test_sums_are_float64_without_the_compiler_too(tmp_path):
    code = (
        "import numpy; from xlsr_ref.ops import norm; "
        "x = (numpy.random.default_rng(0).standard_normal((3, 900)) + 1000).astype('f4'); "
        "one, zero = numpy.ones(900, 'f4'), numpy.zeros(900, 'f4'); "
        "kernel, twin = (f(x, one, zero, 1e-5)[0] for f in (norm._layer_norm_numba, norm._layer_norm_numpy)); "
        "assert abs(kernel - twin).max() < 1e-6"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"NUMBA_DISABLE_JIT": "1"})


def test_an_unknown_backend_is_refused(monkeypatch):
    monkeypatch.setenv("XLSR_REF_BACKEND", "cuda")
    with pytest.raises(ValueError, match="numba or numpy"):
        backend._backend()


def test_choose(monkeypatch):
    assert backend.choose(max, min) is (max if backend.BACKEND == "numba" else min)


def test_a_first_run_says_once_that_it_compiles(tmp_path):
    code = (
        "from xlsr_ref.ops import backend; backend.on_compilation(lambda: print('compiling')); import numpy; "
        "from xlsr_ref.ops.softmax import softmax; from xlsr_ref.ops.activation import gelu; "
        "x = numpy.zeros((2, 3), 'f4'); softmax(x), gelu(x)"  # two kernels
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "XLSR_REF_BACKEND": "numba"}
    first, second = (
        subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True).stdout
        for _ in range(2)
    )
    assert (first, second) == ("compiling\n", "")


@pytest.mark.skipif(backend.BACKEND == "numpy", reason="about Numba")
def test_a_lean_start_leaves_out_what_no_kernel_uses():
    """And nothing else: afterwards both can be imported, and kernels of either dtype still run."""
    code = (
        "import sys, numpy; from xlsr_ref.ops.backend import lean_start; from xlsr_ref.ops.activation import gelu\n"
        "with lean_start(): gelu(numpy.zeros(1, 'f4'))\n"
        "gelu(numpy.zeros(1)); print({'scipy.linalg', 'cffi'} & set(sys.modules) or 'left out')\n"
        "import cffi, scipy.linalg, scipy.signal"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "left out\n"


def test_a_lean_start_keeps_what_is_there_already():
    import scipy.linalg

    with backend.lean_start():
        assert sys.modules["scipy.linalg"] is scipy.linalg
    assert sys.modules["scipy.linalg"] is scipy.linalg
    with pytest.raises(ZeroDivisionError), backend.lean_start():
        raise ZeroDivisionError
    assert sys.modules.get("cffi", True) is not None


AVX2 = "+avx,+avx2,+fma,+bmi,+bmi2,+popcnt,+sse4.2"
AVX512 = f"{AVX2},+avx512f,+avx512vl,+avx512dq,+avx512bw,+avx512cd,-prefer-256-bit"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="about the registers of x86-64")
@pytest.mark.skipif(backend.BACKEND == "numpy", reason="about Numba")
@pytest.mark.parametrize(
    ("processor", "features", "registers"), [("haswell", AVX2, {"y"}), ("skylake-avx512", AVX512, {"y", "z"})]
)
def test_kernels_are_vectorised_with_and_without_avx512(tmp_path, processor, features, registers):
    """Compiled for either processor, not run: 32 bytes at a time are ymm, 64 are zmm, which AVX2 does not have."""
    code = (
        "import numba, re; from xlsr_ref.ops.activation import _gelu_float32_loop as kernel\n"
        "kernel.compile((numba.float32[::1],) * 2); (assembly,) = kernel.inspect_asm().values()\n"
        "print(*sorted(set(re.findall(r'%([yz])mm', assembly))))"
    )
    target = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    environment = os.environ | target
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert set(done.stdout.split()) == registers
