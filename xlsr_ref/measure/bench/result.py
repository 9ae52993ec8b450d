"""The numbers of one workload, and how they are written into a JSON file."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from xlsr_ref.measure.bench.programs import OURS, Workload
from xlsr_ref.measure.bench.stages import Work

ONE_THREAD = f"{OURS} on 1 thread"


class Result(NamedTuple):
    """The numbers of one workload. Programs are ours, the peers that were there, and ours on one thread."""

    workload: Workload
    audio: float  # seconds of it
    flops: int
    seconds: dict[str, list[float]]  # of each program, one for each round
    first: dict[str, float]  # of each program's first run, which is not counted
    memory: dict[str, int | None]  # of each program's process at most, in bytes
    furthest: dict[str, float]  # how far each program's scores are from ours, at most
    peak: list[float]  # FLOP/s of multiply-adds in registers, one for each round
    bandwidth: list[float]  # bytes/s of a copy
    stage_seconds: dict[str, list[float]]  # of each stage of ours; {} for a list of recordings
    stage_work: dict[str, Work]


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and math.isfinite(value) else None


def as_json(result: Result) -> dict[str, Any]:
    """All single numbers of ``result`` as JSON has them: seconds, bytes, FLOPs."""
    programs = {
        name: {
            "seconds": seconds,
            "first_run": result.first[name],
            "peak_memory": result.memory[name],
            "furthest_from_ours": _finite(result.furthest.get(name)),
        }
        for name, seconds in result.seconds.items()
    }
    by_stage = {
        stage: {**result.stage_work[stage]._asdict(), "seconds": seconds}
        if stage in result.stage_work
        else {"flops": 0, "bytes": 0, "seconds": seconds}
        for stage, seconds in result.stage_seconds.items()
    }
    return {
        "name": result.workload.name,
        "kind": result.workload.kind,
        "audio_seconds": result.audio,
        "flops": result.flops,
        "peak_flops_per_second": result.peak,
        "copy_bytes_per_second": result.bandwidth,
        "programs": programs,
        "stages": by_stage,
    }
