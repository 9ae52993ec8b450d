"""The inner loop of the packed product: a block of y that stays in registers while one k follows the other.

    y[i, j] = start[i, j] + Σ_k x[i, k] w[k, j]          a block of a few rows i and some vectors of columns j

For each k it loads the vectors of w once, spreads one x[i, k] after the other over a vector, and multiplies and adds:
rows × vectors fused multiply-adds for rows + vectors loads. A loop in Python would be compiled into the same
operations with the sums in memory, so it is written here in LLVM's own terms, as Numba builds its functions.
How large a block is follows from the registers: all sums, one k of w and one spread x fit into them.

    AVX2, NEON      16, 32 registers of 8, 4 numbers       4 × 3 and 6 × 2, 6 × 4 vectors
    AVX-512         32 registers of 16 numbers             6 × 4 vectors

4 × 3 vectors load less for each multiply-add than 6 × 2, whose 16 columns divide more numbers of channels.
The name is BLIS's: Van Zee & van de Geijn 2015, "BLIS: a framework for rapidly instantiating BLAS functionality".
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection
from itertools import chain
from typing import Any, NamedTuple

from xlsr_ref.ops.backend import BACKEND

BYTES = 4  # of a float32


class Block(NamedTuple):
    rows: int
    vectors: int
    lanes: int  # float32 numbers in a vector

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes


def blocks_for(features: Collection[str], machine: str) -> tuple[Block, ...]:
    """The blocks for a processor with these ``features``, as LLVM names them, the fastest first.

    Two at most, of as many lanes; none where the processor lacks fused vectors.
    """
    if machine.lower() in ("aarch64", "arm64"):
        return (Block(6, 4, 4),)  # every such processor has NEON; it has not been tried on one
    if "avx512f" in features:
        return (Block(6, 4, 16),)
    return (Block(4, 3, 8), Block(6, 2, 8)) if {"avx2", "fma"} <= set(features) else ()


def cpu_features() -> frozenset[str]:
    """What Numba compiles for, as LLVM names it ("avx2", "fma", …); none where there is nothing to compile with."""
    if BACKEND == "numpy":
        return frozenset()
    import numba
    from numba.core import codegen

    config: Any = numba.config

    if config.DISABLE_JIT or config.CPU_NAME == "generic":
        return frozenset()
    features = config.CPU_FEATURES if config.CPU_FEATURES is not None else codegen.get_host_cpu_features()
    return frozenset(name[1:] for name in features.split(",") if name.startswith("+"))


BLOCKS = blocks_for(cpu_features(), platform.machine()) if BACKEND == "numba" else ()


def described() -> str:
    """How float32 matrices are multiplied here, and if by BLAS, why."""
    if BLOCKS:
        sizes = " or ".join(f"{block.rows} × {block.columns}" for block in BLOCKS)
        return f"packed, blocks of {sizes} in vectors of {BLOCKS[0].lanes}"
    reason = (
        "the processor lacks AVX2 and FMA, or Numba may not use them" if BACKEND == "numba" else "there is no Numba"
    )
    return f"by BLAS: {reason}"


def multiply_add_for(block: Block) -> Callable[..., None]:
    """An intrinsic for Numba's loops: multiply_add(x, x_row, x_k, w, start, start_row, y, y_row, K) is y = start + x w.

    All are whole numbers: the addresses of x, w, start and y, the bytes from one row to the next of x, start and y, the
    bytes from one k of x to the next, and K, at least 1. w lies as (K, columns), without gaps. start may be y itself,
    or a bias, whose rows are 0 bytes apart.
    """
    from numba import types
    from numba.extending import intrinsic

    signature = types.void(*[types.int64] * 9)

    def build(context: Any, builder: Any, _: Any, args: Any) -> Any:
        write_multiply_add(builder, block, *args)
        return context.get_dummy_value()

    def multiply_add(typing_context: Any, x: Any, x_row: Any, x_k: Any, w: Any, start: Any, start_row: Any,
                     y: Any, y_row: Any, K: Any) -> Any:  # fmt: skip
        return signature, build

    return intrinsic(multiply_add)


def write_multiply_add(
    builder: Any,
    block: Block,
    x: Any,
    x_row: Any,
    x_k: Any,
    w: Any,
    start: Any,
    start_row: Any,
    y: Any,
    y_row: Any,
    K: Any,
) -> None:
    """The loop in LLVM's terms, at the end of what ``builder`` has written."""
    code = VectorCode(builder, block.lanes)
    rows, vectors = range(block.rows), range(block.vectors)
    rows_of_x = [code.offset(0, x_row, i) for i in rows]
    before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("after")
    builder.branch(loop)

    builder.position_at_end(loop)
    k, x_here, w_here = (builder.phi(code.word) for _ in range(3))
    sums = [[builder.phi(code.vector) for _ in vectors] for _ in rows]
    of_w = [code.load(code.offset(w_here, j * code.size)) for j in vectors]
    spread_x = (code.spread(builder.add(x_here, row)) for row in rows_of_x)
    new_sums = [[code.fma(one, of_w[j], sums[i][j]) for j in vectors] for i, one in enumerate(spread_x)]
    next_k = builder.add(k, code.constant(1))
    next_x, next_w = builder.add(x_here, x_k), builder.add(w_here, code.constant(block.vectors * code.size))
    for phi, first, following in [(k, code.constant(0), next_k), (x_here, x, next_x), (w_here, w, next_w)]:
        phi.add_incoming(first, before)
        phi.add_incoming(following, loop)
    for phi, new in zip(chain(*sums), chain(*new_sums)):
        phi.add_incoming(code.zeros, before)
        phi.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", next_k, K), loop, after)

    builder.position_at_end(after)
    for i in rows:
        for j in vectors:
            from_start = code.load(code.offset(start, start_row, i, j * code.size))
            code.store(builder.fadd(from_start, new_sums[i][j]), code.offset(y, y_row, i, j * code.size))


def pointer_type() -> Any:
    """An intrinsic that makes of an address, a whole number, a pointer to float32 numbers, as numba.carray takes it."""
    from numba import types
    from numba.extending import intrinsic

    pointer = types.CPointer(types.float32)

    def build(context: Any, builder: Any, _: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    def float32_at(typing_context: Any, address: Any) -> Any:
        return pointer(types.int64), build

    return intrinsic(float32_at)


class VectorCode:
    """Vectors of ``lanes`` float32 numbers in LLVM's terms; addresses are whole numbers."""

    def __init__(self, builder: Any, lanes: int) -> None:
        from llvmlite import ir
        from numba.core import cgutils

        self.builder, self.size = builder, lanes * BYTES
        self.word, self.index, self.number = ir.IntType(64), ir.IntType(32), ir.FloatType()
        self.vector = ir.VectorType(self.number, lanes)
        self.zeros = ir.Constant(self.vector, [0.0] * lanes)
        self._undefined = ir.Constant(self.vector, ir.Undefined)
        self._first, self._all_first = (
            ir.Constant(self.index, 0),
            ir.Constant(ir.VectorType(self.index, lanes), [0] * lanes),
        )
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        self._fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{lanes}f32")

    def constant(self, value: int) -> Any:
        return self.word(value)

    def offset(self, address: Any, step: Any, times: int = 1, plus: int = 0) -> Any:
        """address + step · times + plus"""
        step = step if not isinstance(step, int) else self.constant(step)
        moved = self.builder.mul(step, self.constant(times))
        moved = self.builder.add(moved, self.constant(plus))
        return moved if isinstance(address, int) else self.builder.add(address, moved)

    def load(self, address: Any) -> Any:
        return self._aligned(self.builder.load(self._pointer(address, self.vector)))

    def store(self, value: Any, address: Any) -> None:
        self._aligned(self.builder.store(value, self._pointer(address, self.vector)))

    def spread(self, address: Any) -> Any:
        """The one number there in every lane."""
        one = self.builder.load(self._pointer(address, self.number))
        first = self.builder.insert_element(self._undefined, one, self._first)
        return self.builder.shuffle_vector(first, self._undefined, self._all_first)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c, rounded once."""
        return self.builder.call(self._fma, [a, b, c])

    def _pointer(self, address: Any, kind: Any) -> Any:
        return self.builder.inttoptr(address, kind.as_pointer())

    def _aligned(self, instruction: Any) -> Any:
        instruction.align = BYTES  # no more than a single number's
        return instruction
