"""The inner loop of the int8 product: sums of products of unsigned and signed bytes, exact in int32.

    y[i, j] = Σ_k u[i, k] w[j, k]          u from 0 to 255, w from −63 to 63; a few rows i, four channels j

Both operands are read along k, where they lie: weights need no second copy. One instruction takes 16 to 64 k of each:

    AVX2       vpmaddubsw adds two neighbouring products into 16 bits, which 2 · 255 · 63 = 32130 fit; vpmaddwd adds two
               of those into 32 bits
    VNNI       vpdpbusd adds four products into 32 bits at once (with AVX-512, or AVX-VNNI)
    NEON       sdot does so, too, but takes signed u, from −128 to 127: it has not been tried on such a processor

Written in LLVM's own terms, as micro_kernel.py is, which says why. The sums over the lanes of a vector are taken at the
end, for four channels at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import chain
from typing import Any, NamedTuple

from xlsr_ref.ops.micro_kernel import cpu_features

CHANNELS = 4  # of w, in a block


class Instruction(NamedTuple):
    name: str  # as LLVM calls it
    bytes: int  # of u, and of w, that it takes
    rows: int  # of u, in a block: as many sums as fit into the registers
    zero_point: int = 128  # what stands for 0 in u; bytes are unsigned, except where this is 0


AVX2 = Instruction("llvm.x86.avx2.pmadd.ub.sw", 32, 2)
AVX_VNNI = Instruction("llvm.x86.avx512.vpdpbusd.256", 32, 2)
AVX512_VNNI = Instruction("llvm.x86.avx512.vpdpbusd.512", 64, 4)
NEON_DOT = Instruction("llvm.aarch64.neon.sdot.v4i32.v16i8", 16, 4, zero_point=0)


def instruction_for(features: Collection[str]) -> Instruction | None:
    """The instruction for a processor with these ``features``, as LLVM names them; None where it has none of them."""
    if {"avx512f", "avx512vnni"} <= set(features):
        return AVX512_VNNI
    if "avxvnni" in features:
        return AVX_VNNI
    if "dotprod" in features:
        return NEON_DOT
    return AVX2 if "avx2" in features else None


INSTRUCTION = instruction_for(cpu_features())


def described() -> str:
    """How int8 matrices are multiplied here."""
    if INSTRUCTION is None:
        return "by BLAS in float64"
    return {AVX2: "by vpmaddubsw", NEON_DOT: "by sdot"}.get(INSTRUCTION, "by vpdpbusd")


def dot_products_for(instruction: Instruction) -> Callable[..., None]:
    """An intrinsic for Numba's loops: dot_products(u, u_row, w, w_row, y, y_row, K) writes a block of y.

    All are whole numbers: the addresses of u, w and y (int32), the bytes from one row to the next, and K, a multiple of
    the instruction's bytes.
    """
    from numba import types
    from numba.extending import intrinsic

    signature = types.void(*[types.int64] * 7)

    def build(context: Any, builder: Any, _: Any, args: Any) -> Any:
        write_dot_products(builder, instruction, *args)
        return context.get_dummy_value()

    def dot_products(
        typing_context: Any, u: Any, u_row: Any, w: Any, w_row: Any, y: Any, y_row: Any, K: Any
    ) -> tuple[Any, Any]:
        return signature, build

    return intrinsic(dot_products)


def write_dot_products(
    builder: Any, instruction: Instruction, u: Any, u_row: Any, w: Any, w_row: Any, y: Any, y_row: Any, K: Any
) -> None:
    """The loop in LLVM's terms, at the end of what ``builder`` has written."""
    code = _Code(builder, instruction)
    rows, channels = range(instruction.rows), range(CHANNELS)
    u_rows = [builder.add(u, builder.mul(u_row, code.word(i))) for i in rows]
    w_rows = [builder.add(w, builder.mul(w_row, code.word(j))) for j in channels]
    before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("after")
    builder.branch(loop)

    builder.position_at_end(loop)
    k = builder.phi(code.word)
    sums = [[builder.phi(code.sums) for _ in channels] for _ in rows]
    of_u = [code.load(builder.add(row, k)) for row in u_rows]
    new_sums: list[list[Any]] = [[None] * CHANNELS for _ in rows]
    for j in channels:
        of_w = code.load(builder.add(w_rows[j], k))
        for i in rows:
            new_sums[i][j] = code.add_products(sums[i][j], of_u[i], of_w)
    next_k = builder.add(k, code.word(instruction.bytes))
    k.add_incoming(code.word(0), before)
    k.add_incoming(next_k, loop)
    for phi, new in zip(chain(*sums), chain(*new_sums)):
        phi.add_incoming(code.zeros, before)
        phi.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", next_k, K), loop, after)

    builder.position_at_end(after)
    for i in rows:
        code.store(code.totals(new_sums[i]), builder.add(y, builder.mul(y_row, code.word(i))))


class _Code:
    """Vectors of bytes and their int32 sums in LLVM's terms; addresses are whole numbers."""

    def __init__(self, builder: Any, instruction: Instruction) -> None:
        from llvmlite import ir
        from numba.core import cgutils

        lanes = instruction.bytes // 4
        self.ir, self.builder, self.lanes = ir, builder, lanes
        self.word, self.number = ir.IntType(64), ir.IntType(32)
        self.bytes, self.sums = ir.VectorType(ir.IntType(8), instruction.bytes), ir.VectorType(self.number, lanes)
        self.zeros = self.sums([0] * lanes)
        self._shorts = ir.VectorType(ir.IntType(16), 2 * lanes)
        self._ones = self._shorts([1] * 2 * lanes)

        def declared(name: str, result: Any, *arguments: Any) -> Any:
            return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)

        self._dot = self._pairs = None
        if instruction is not AVX2:
            self._operand = self.sums if "vpdpbusd" in instruction.name else self.bytes  # as LLVM declares it
            self._dot = declared(instruction.name, self.sums, self.sums, self._operand, self._operand)
        else:
            self._pairs = declared(instruction.name, self._shorts, self.bytes, self.bytes)
            self._fours = declared("llvm.x86.avx2.pmadd.wd", self.sums, self._shorts, self._shorts)

    def add_products(self, sums: Any, u: Any, w: Any) -> Any:
        """To each of the sums four neighbouring products."""
        if self._dot is not None:
            return self.builder.call(self._dot, [sums, *(self.builder.bitcast(one, self._operand) for one in (u, w))])
        fours = self.builder.call(self._fours, [self.builder.call(self._pairs, [u, w]), self._ones])
        return self.builder.add(sums, fours)

    def totals(self, four: list[Any]) -> Any:
        """The totals of four vectors of sums, as one vector of four."""
        while self.lanes_of(four[0]) > 4:
            four = [self._halved(one) for one in four]
        ab, cd = (self._paired(a, b) for a, b in (four[:2], four[2:]))  # (a, a, b, b) and (c, c, d, d)
        return self._paired(ab, cd)

    def lanes_of(self, vector: Any) -> int:
        return vector.type.count

    def load(self, address: Any) -> Any:
        value = self.builder.load(self.builder.inttoptr(address, self.bytes.as_pointer()))
        value.align = 1
        return value

    def store(self, four: Any, address: Any) -> None:
        self.builder.store(four, self.builder.inttoptr(address, four.type.as_pointer())).align = 4

    def _halved(self, vector: Any) -> Any:
        """The sum of the two halves of a vector."""
        half = self.lanes_of(vector) // 2
        return self.builder.add(
            self._lanes(vector, vector, range(half)), self._lanes(vector, vector, range(half, 2 * half))
        )

    def _paired(self, a: Any, b: Any) -> Any:
        """The sums of neighbours of ``a``, then those of ``b``."""
        return self.builder.add(self._lanes(a, b, (0, 2, 4, 6)), self._lanes(a, b, (1, 3, 5, 7)))

    def _lanes(self, a: Any, b: Any, which: Any) -> Any:
        which = list(which)
        return self.builder.shuffle_vector(a, b, self.ir.VectorType(self.number, len(which))(which))
