"""The numbers of a benchmark as plain text, in columns. Where a number stands for several rounds it is their median."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xlsr_ref.measure.bench import stages
from xlsr_ref.measure.bench.programs import OURS
from xlsr_ref.measure.bench.result import ONE_THREAD, Result

RULE = "-"  # where there is nothing to say


def head(about: Mapping[str, Any]) -> str:
    """What a reader of the numbers must know."""
    opened = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in about["opened"].items())
    lines = [
        *machine(about["machine"], about["threads"]),
        f"model     {about['model']}: {about['kind']}, {about['parameters']:,} parameters, float32",
        f"method    {_count(about['rounds'], 'round')} after a first run that is not counted; "
        "each program in a process of its own, in turns",
        f"opened    in {opened}: imports, and the model",
        "memory    the most that a process held: Python, libraries, weights as far as they were read, and the run; "
        f"for {OURS} {about['prepared'] / 2**20:,.1f} MiB of prepared kernels, too",
    ]
    return "\n".join(lines) + "\n"


def machine(about: Mapping[str, Any], threads: int) -> list[str]:
    """Three lines about the machine."""
    load = f", load {about['load']:.1f} at the start" if about["load"] is not None else ""
    versions = [f"{name} {number}" for name, number in about["versions"].items() if number is not None]
    cores = f"{about['cpu']}, {about['usable_cores']} of {about['cores']} cores, {_count(threads, 'thread')}"
    return [
        f"machine   {cores}; {about['system']}{load}",
        f"product   {about['product']}; {' '.join(about['features']) or 'no vector features'}",
        f"versions  {', '.join([*versions, *dict.fromkeys(about['blas'])])}",
    ]


def one(result: Result) -> str:
    """The tables of one workload: by stages, where there are any, and by programs."""
    audio = "" if result.workload.kind == "noise" else f", {result.audio:.1f} s of audio"
    peak = statistics.median(result.peak)
    lines = [
        "",
        f"{result.workload.name}{audio}; multiply-adds alone run at {_spread(result.peak, 1e-9, 1)} GFLOP/s",
        "",
        *(_stages(result, peak) if result.stage_seconds else [_efficiency(result, peak)]),
        "",
        *programs(result.seconds, result.audio, result.memory, result.furthest),
    ]
    if ONE_THREAD in result.seconds:
        ratio = statistics.median(result.seconds[ONE_THREAD]) / statistics.median(result.seconds[OURS])
        lines += ["", f"time on 1 thread ÷ time on all: {ratio:.2f}"]
    return "\n".join(lines) + "\n"


def _stages(result: Result, peak: float) -> list[str]:
    total = statistics.median(result.seconds[OURS])
    rows = [("stage", "ms", "share", "GFLOP", "GFLOP/s", "of peak")]
    for stage, each in result.stage_seconds.items():
        flops, seconds = result.stage_work.get(stage, stages.Work(0, 0)).flops, statistics.median(each)
        rows.append((stage, f"{1000 * seconds:,.1f}", f"{seconds / total:.1%}", *_speed(flops, seconds, peak)))
    rows.append(("total", f"{1000 * total:,.1f}", "", *_speed(result.flops, total, peak)))
    return columns(rows)


def _efficiency(result: Result, peak: float) -> str:
    gflop, speed, share = _speed(result.flops, statistics.median(result.seconds[OURS]), peak)
    return f"{OURS}: {gflop} GFLOP at {speed} GFLOP/s, {share} of peak"


def _speed(flops: int, seconds: float, peak: float) -> tuple[str, str, str]:
    if not flops or not seconds > 0:
        return RULE, RULE, RULE
    gflop = flops / 1e9
    return (
        f"{gflop:,.1f}" if gflop >= 10 else f"{gflop:.3f}",
        f"{flops / seconds / 1e9:.1f}",
        f"{flops / seconds / peak:.0%}",
    )


def programs(
    seconds: Mapping[str, Sequence[float]],
    audio: float,
    memory: Mapping[str, int | None] | None = None,
    furthest: Mapping[str, float] | None = None,
) -> list[str]:
    """A line for each program: its ``seconds`` for ``audio`` seconds, and how the first program's compare with them."""
    ours = next(iter(seconds))
    rows: list[tuple[str, ...]] = [
        ("program", "ms", "from", "to", "× real time", "memory", "differs by", f"{ours} ÷ it", "single rounds")
    ]
    for name, each in seconds.items():
        median = statistics.median(each)
        ratios = [a / b for a, b in zip(seconds[ours], each)]
        held, far = (memory or {}).get(name), (furthest or {}).get(name)
        rows.append(
            (
                name,
                *(f"{1000 * value:,.1f}" for value in (median, min(each), max(each))),
                f"{audio / median:.2f}",
                f"{held / 2**20:,.0f} MiB" if held else RULE,
                RULE if far is None or name == ours else f"{far:.0e}" if far else "0",
                f"{statistics.median(seconds[ours]) / median:.2f}" if name != ours else RULE,
                f"{min(ratios):.2f} to {max(ratios):.2f}" if name != ours else RULE,
            )
        )
    return columns(rows)


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """The rows with their columns aligned, the first to the left, numbers to the right; empty columns are left out."""
    told = [column for column in zip(*rows) if any(cell != RULE for cell in column[1:])]
    rows = list(zip(*told))
    widths = [max(map(len, column)) for column in told]
    return [
        "  ".join(f"{cell:>{width}}" if i else f"{cell:<{width}}" for i, (cell, width) in enumerate(zip(row, widths)))
        for row in rows
    ]


def _spread(values: Sequence[float], scale: float, digits: int) -> str:
    low, middle, high = (
        f"{scale * value:.{digits}f}" for value in (min(values), statistics.median(values), max(values))
    )
    return f"{middle} ({low} to {high})"


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"
