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


# --- where compiled kernels are kept ---------------------------------------------------------------------------------

KERNEL = """
import pathlib, sys, xlsr_ref
from xlsr_ref.ops import backend
backend.on_compilation(lambda: print("compiling"))
import numpy
from xlsr_ref.ops.softmax import softmax
softmax(numpy.zeros((2, 3), "f4"))
import numba
print(backend.cache_folder(), bool(numba.config.CACHE_DIR))
"""
COMPILED = pytest.mark.skipif(backend.BACKEND != "numba", reason="there are no kernels")


def run_a_kernel(**environment):
    usual = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run([sys.executable, "-c", KERNEL], check=True, capture_output=True, text=True,
                          env=usual | environment)  # fmt: skip
    return done.stdout.split(), done.stderr


def kernels_in(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.nb?")}


@COMPILED
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the variable is Linux's")
def test_kernels_are_kept_with_the_user_and_not_in_the_package(tmp_path):
    package = Path(xlsr_ref.__file__).parent
    before = kernels_in(package)
    assert run_a_kernel(XDG_CACHE_HOME=str(tmp_path))[0][0] == "compiling"
    folder = tmp_path / "xlsr_ref" / f"{xlsr_ref.__version__}-numba-{backend.sys.modules['numba'].__version__}"
    assert kernels_in(folder)
    assert run_a_kernel(XDG_CACHE_HOME=str(tmp_path))[0] == [str(folder), "False"]  # other code keeps Numba's own place
    assert kernels_in(package) == before


@COMPILED
def test_the_folder_that_was_asked_for_is_used(tmp_path):
    assert run_a_kernel(NUMBA_CACHE_DIR=str(tmp_path / "mine"))[0] == ["compiling", str(tmp_path / "mine"), "True"]
    assert kernels_in(tmp_path / "mine")


@COMPILED
@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the variables are Linux's")
def test_where_nothing_can_be_kept_one_line_says_so(tmp_path, variable):
    (tmp_path / "file").touch()
    found, said = run_a_kernel(**{variable: str(tmp_path / "file")})
    assert found[0] == "None"
    assert said.count("compiled kernels cannot be kept") == 1


@COMPILED
def test_a_full_disk_is_found_before_numba_finds_it(monkeypatch, tmp_path):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backend.tempfile, "TemporaryFile", full)
    backend.cache_folder.cache_clear()
    try:
        with pytest.warns(UserWarning, match="cannot be kept .No space left on device."):
            assert backend.cache_folder() is None
    finally:
        backend.cache_folder.cache_clear()


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/there"}, "/there"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache"),
        ("linux", {}, "/home/me/.cache"),
        ("darwin", {"XDG_CACHE_HOME": "/there"}, "/home/me/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
        ("win32", {}, "/home/me/AppData/Local"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="names with slashes")
def test_the_users_folder_is_the_systems(monkeypatch, platform, variables, expected):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (variables | {"HOME": "/home/me"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(backend.sys, "platform", platform)
    assert backend._user_cache() == Path(expected)


FIRST = """
from xlsr_ref.ops.backend import njit
from second import TWO, double

@njit()
def three(x):
    return x + 1

@njit()
def fast(x):
    return three(double(x)) + TWO
"""
SECOND = """
from xlsr_ref.ops.backend import njit
TWO = {two}

@njit()
def double(x):
    return {two} * x
"""


@COMPILED
def test_a_change_in_another_file_reaches_the_kernels_that_use_it(tmp_path):
    """Numba itself looks at the kernel's own file alone."""
    (tmp_path / "first.py").write_text(FIRST)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kept"), "PYTHONDONTWRITEBYTECODE": "1"}
    for two, expected in ((2, 2 * 5 + 1 + 2), (30, 30 * 5 + 1 + 30)):
        (tmp_path / "second.py").write_text(SECOND.format(two=two))
        done = subprocess.run([sys.executable, "-c", "import first; print(first.fast(5))"], cwd=tmp_path, check=True,
                              capture_output=True, text=True, env=environment)  # fmt: skip
        assert int(done.stdout) == expected
    assert "first.three" in {path.name.split("-")[0] for path in (tmp_path / "kept").glob("*/*.nbi")}
