"""Eight bits: the kernel is exact, the rounding is what it says, and nothing beside the arrays is touched."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops import int8, threads
from xlsr_ref.ops.backend import BACKEND
from xlsr_ref.ops.int8_kernel import (
    AVX2,
    AVX512_VNNI,
    AVX_VNNI,
    CHANNELS,
    INSTRUCTION,
    NEON_DOT,
    instruction_for,
    write_dot_products,
)
from xlsr_ref.ops.linear import linear, linear_backward, linears
from xlsr_ref.ops.micro_kernel import Block, write_multiply_add

compiled = pytest.mark.skipif(INSTRUCTION is None, reason="this processor, or the backend, multiplies by BLAS")


def layer(N, K, seed=0):
    rng = np.random.default_rng(seed)
    weight, scale = int8.quantize_per_channel(rng.standard_normal((N, K)).astype(np.float32))
    return {"weight": weight, "weight_scale": scale, "bias": rng.standard_normal(N).astype(np.float32)}


@given(T=st.integers(1, 110), K=st.integers(1, 140), N=st.integers(1, 40))
@example(T=1, K=1, N=1)
@example(T=int8.STRIP + 1, K=3, N=5)
@example(T=2, K=65, N=int8.TILE_COLUMNS + 1)
@settings(max_examples=40, deadline=None)
def test_it_is_the_exact_sum_scaled(T, K, N):
    x, p = np.random.default_rng(T).standard_normal((T, K)).astype(np.float32), layer(N, K)
    (y,) = int8.int8_linears(x, [p])
    q, scale = int8.quantize_per_frame(x)
    exact = np.array([[sum(int(a) * int(b) for a, b in zip(row, w)) for w in p["weight"]] for row in q])
    expected = exact.astype(np.float32) * (scale[:, None] * p["weight_scale"]) + p["bias"]
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(y, int8._int8_linears_numpy(x, [p])[0])


def test_the_largest_sums_do_not_saturate():
    K = 4096
    p = {
        "weight": np.full((4, K), 63, np.int8),
        "weight_scale": np.ones(4, np.float32),
        "bias": np.zeros(4, np.float32),
    }
    x = np.ones((3, K), np.float32)
    for sign in (1, -1):
        (y,) = int8.int8_linears(sign * x, [p])
        np.testing.assert_array_equal(y, np.float32(sign * 127 * 63 * K) * np.float32(1 / 127))


def test_weights_are_rounded_to_63_steps_of_each_channel_and_inputs_to_127_of_each_frame(rng):
    weight = rng.standard_normal((5, 300)).astype(np.float32) * np.logspace(-3, 3, 5, dtype=np.float32)[:, None]
    q, scale = int8.quantize_per_channel(weight)
    assert np.abs(q).max(axis=1).tolist() == [63] * 5
    assert (np.abs(weight - q * scale[:, None]) <= scale[:, None] * 0.5001).all()
    q, scale = int8.quantize_per_frame(weight)
    assert np.abs(q).max(axis=1).tolist() == [127] * 5
    assert (np.abs(weight - q * scale[:, None]) <= scale[:, None] * 0.5001).all()


def test_a_channel_and_a_frame_of_zeros_stay_zeros():
    q, scale = int8.quantize_per_channel(np.zeros((2, 3), np.float32))
    assert not q.any()
    assert scale.tolist() == [1, 1]
    (y,) = int8.int8_linears(np.zeros((2, 5), np.float32), [layer(6, 5)])
    np.testing.assert_array_equal(y, np.tile(layer(6, 5)["bias"], (2, 1)))


def test_the_bits_depend_neither_on_the_threads_nor_on_the_other_frames(rng):
    x, p = rng.standard_normal((150, 200)).astype(np.float32), layer(600, 200)
    with threads.use(1):
        (one,) = int8.int8_linears(x, [p])
    with threads.use(3):
        np.testing.assert_array_equal(int8.int8_linears(x, [p])[0], one)
    np.testing.assert_array_equal(int8.int8_linears(x[70:71], [p])[0], one[70:71])


def test_a_linear_layer_with_scales_is_int8_and_has_no_gradient(rng):
    x, p = rng.standard_normal((7, 9)).astype(np.float32), layer(5, 9)
    y, cache = linear(x, p)
    np.testing.assert_array_equal(y, int8.int8_linears(x, [p])[0])
    np.testing.assert_array_equal(linears(x, [p, p])[0][1], y)
    with pytest.raises(ObjectiveError, match="int8 weights have no gradient"):
        linear_backward(y, cache)


TOUCHES = """
import sys
sys.path.insert(0, {here!r})
from test_int8 import check_edges
check_edges()
"""


def check_edges():
    from test_product import Guarded

    guarded = Guarded()
    for T in range(INSTRUCTION.rows, 2 * INSTRUCTION.rows + 2):
        for N in range(CHANNELS, 2 * CHANNELS + 2):
            for at_the_end in (True, False):
                rng = np.random.default_rng(T)
                q = guarded.copy(rng.integers(1, 256, (T, 2 * INSTRUCTION.bytes)).astype(np.uint8), at_the_end)
                weight = guarded.copy(layer(N, 2 * INSTRUCTION.bytes)["weight"], at_the_end)
                y = guarded.copy(np.zeros((T, N), np.float32), at_the_end)
                scale, zero = np.ones(max(T, N), np.float32), np.zeros(N, np.int32)
                place = q, q.ctypes.data, weight.ctypes.data, N
                int8._int8_tile(*place, scale[:T], zero, scale[:N], np.zeros(N, np.float32), y, 0, N)
                np.testing.assert_array_equal(y, q.astype(float) @ weight.T.astype(float))
                guarded.maps[:] = guarded.maps[-6:]
    print("touched nothing else")


@compiled
@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is POSIX")
def test_no_byte_beside_the_arrays_is_touched():
    script = TOUCHES.format(here=str(Path(__file__).parent))
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "touched nothing else", run.stderr[-2000:] or run.returncode


def test_the_instruction_follows_from_the_processor():
    assert instruction_for({"avx2"}) is AVX2
    assert instruction_for({"avx2", "avxvnni"}) is AVX_VNNI
    assert instruction_for({"avx2", "avx512f", "avx512vnni", "avxvnni"}) is AVX512_VNNI
    assert instruction_for({"neon", "dotprod"}) is NEON_DOT
    assert instruction_for({"sse2"}) is None
    assert instruction_for({"neon"}) is None


@pytest.mark.skipif(BACKEND == "numpy", reason="there is no LLVM without Numba")
@pytest.mark.parametrize(
    ("instruction", "processor", "assembly"),
    [
        (AVX2, "haswell", "vpmaddubsw"),
        (AVX_VNNI, "alderlake", "vpdpbusd"),
        (AVX512_VNNI, "icelake-server", "vpdpbusd"),
        (NEON_DOT, "neoverse-n1", "sdot"),
        (Block(4, 3, 8), "haswell", "ymm"),
        (Block(6, 2, 8), "haswell", "ymm"),
        (Block(6, 4, 4), "neoverse-n1", "fmla"),
        (Block(6, 4, 16), "icelake-server", "zmm"),
    ],
)
def test_llvm_makes_of_both_loops_what_they_are_written_for(instruction, processor, assembly):
    """For a processor that need not be this one: one instruction for each step of each sum, and no sum in memory."""
    block = isinstance(instruction, Block)
    text = assembled(write_multiply_add if block else write_dot_products, instruction, 9 if block else 7, processor)
    loop = inner_loop(text)
    steps = instruction.rows * (instruction.vectors if block else CHANNELS)
    used = [line for line in loop if ("vfmadd" if block and assembly != "fmla" else assembly) in line]
    assert len(used) == steps
    assert all(assembly in line or "ymm" in line or "zmm" in line for line in used)
    spilled = [line for line in loop if ("(%rsp)" in line and "vmov" in line) or "[sp" in line]
    assert not spilled  # no vector goes to memory and back


def assembled(write, instruction, arguments, processor):
    import llvmlite.binding as llvm
    from llvmlite import ir

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module, word = ir.Module(), ir.IntType(64)
    module.triple = f"{'aarch64' if 'neoverse' in processor else 'x86_64'}-unknown-linux-gnu"
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [word] * arguments), "loop")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    write(builder, instruction, *function.args)
    builder.ret_void()
    code = llvm.parse_assembly(str(module))
    code.verify()
    return llvm.Target.from_triple(module.triple).create_target_machine(cpu=processor, opt=3).emit_assembly(code)


def inner_loop(text):
    """The lines between the label that a jump goes back to, and the jump."""
    lines = [line.strip() for line in text.splitlines()]
    for end, line in enumerate(lines):
        if line.startswith(("jl", "jne", "jb", "b.")) and f"{line.split()[-1]}:" in [
            one.split()[0] for one in lines[:end] if one
        ]:
            label = f"{line.split()[-1]}:"
            return lines[[one.split()[0] if one else "" for one in lines].index(label) : end]
    raise AssertionError("there is no loop")
