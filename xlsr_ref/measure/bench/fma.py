"""The peak of a processor: fused multiply-adds between registers, with nothing to load or store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from xlsr_ref.measure.bench.turns import timed
from xlsr_ref.ops.micro_kernel import BLOCKS, VectorCode

SUMS = 12  # that do not depend on each other: two a cycle, each ready after four or five
STEPS = 4_000_000  # of each measured loop: some 10 ms


def fma_peak(threads: int) -> float | None:
    """FLOP/s of ``threads`` threads that multiply and add in registers; None where there is no kernel to do it with."""
    if not BLOCKS:
        return None
    from numba import njit

    multiply_add = _loop(BLOCKS[0].lanes)

    @njit(nogil=True)
    def spin(steps):  # type: ignore[no-untyped-def]
        multiply_add(steps)

    spin(1)
    with ThreadPoolExecutor(threads) as pool:

        def all_of_them() -> None:
            list(pool.map(spin, [STEPS] * threads))

        best = min(timed(all_of_them)[0][0] for _ in range(4))
    return 2 * SUMS * BLOCKS[0].lanes * STEPS * threads / best


def _loop(lanes: int) -> Any:
    """An intrinsic that takes so many steps of SUMS multiply-adds."""
    from numba import types
    from numba.extending import intrinsic

    def build(context: Any, builder: Any, _: Any, args: Any) -> Any:
        write_fma_loop(builder, lanes, args[0])
        return context.get_dummy_value()

    def multiply_add(typing_context: Any, steps: Any) -> Any:
        return types.void(types.int64), build

    return intrinsic(multiply_add)


def write_fma_loop(builder: Any, lanes: int, steps: Any) -> None:
    """The loop in LLVM's terms; its sums go into memory at the end, so that nobody leaves them out."""
    code = VectorCode(builder, lanes)
    place = builder.ptrtoint(builder.alloca(code.vector, size=SUMS), code.word)
    builder.store(code.number(0.5), builder.inttoptr(place, code.number.as_pointer()))
    factor = code.spread(place)  # LLVM does not know it: x ← x / 2 + 1/2 stays finite
    before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    step, sums = builder.phi(code.word), [builder.phi(code.vector) for _ in range(SUMS)]
    following = builder.add(step, code.constant(1))
    step.add_incoming(code.constant(0), before)
    step.add_incoming(following, loop)
    for number, one in enumerate(sums):
        one.add_incoming(code.vector([float(number)] * lanes), before)
        one.add_incoming(code.fma(one, factor, factor), loop)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
    builder.position_at_end(after)
    for number, one in enumerate(sums):
        code.store(one, code.offset(place, code.size, number))
