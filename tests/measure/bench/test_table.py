"""The tables, letter by letter."""

from __future__ import annotations

from xlsr_ref.measure.bench import table
from xlsr_ref.measure.bench.programs import Workload
from xlsr_ref.measure.bench.result import ONE_THREAD

ABOUT = {
    "model": "tiny",
    "kind": "Wav2Vec2ForCTC",
    "parameters": 1234567,
    "prepared": 3 << 19,
    "threads": 2,
    "rounds": 3,
    "opened": {"xlsr_ref": 0.31, "torch": 2.0},
    "machine": {
        "cpu": "Abacus",
        "cores": 4,
        "usable_cores": 3,
        "system": "Linux",
        "product": "packed",
        "features": ["avx2", "fma"],
        "blas": ["openblas 0.3", "openblas 0.3"],
        "load": 0.25,
        "versions": {"python": "3.11", "numba": None, "numpy": "2.4"},
    },
}


def test_the_head():
    assert table.head(ABOUT).splitlines() == [
        "machine   Abacus, 3 of 4 cores, 2 threads; Linux, load 0.2 at the start",
        "product   packed; avx2 fma",
        "versions  python 3.11, numpy 2.4, openblas 0.3",
        "model     tiny: Wav2Vec2ForCTC, 1,234,567 parameters, float32",
        "method    3 rounds after a first run that is not counted; each program in a process of its own, in turns",
        "opened    in xlsr_ref 0.3 s, torch 2.0 s: imports, and the model",
        "memory    the most that a process held: Python, libraries, weights as far as they were read, and the run; "
        "for xlsr_ref 1.5 MiB of prepared kernels, too",
    ]


def test_one_thread_and_no_load():
    about = ABOUT | {"threads": 1, "machine": ABOUT["machine"] | {"load": None}}
    assert table.head(about).startswith("machine   Abacus, 3 of 4 cores, 1 thread; Linux\n")


def test_a_workload(result):
    assert table.one(result).splitlines() == [
        "",
        "2 s of audio; multiply-adds alone run at 20.0 (18.0 to 22.0) GFLOP/s",
        "",
        "stage                          ms  share  GFLOP  GFLOP/s  of peak",
        "feature encoder              60.0  12.0%  1.000     16.7      83%",
        "projection                   60.0  12.0%  1.000     16.7      83%",
        "positional convolution       60.0  12.0%  1.000     16.7      83%",
        "attention: q, k, v, out      60.0  12.0%  1.000     16.7      83%",
        "attention: softmax(q kᵀ) v   60.0  12.0%  1.000     16.7      83%",
        "feed-forward                 60.0  12.0%  1.000     16.7      83%",
        "norms                        60.0  12.0%      -        -        -",
        "head                         60.0  12.0%  1.000     16.7      83%",
        "the rest                     20.0   4.0%      -        -        -",
        "total                       500.0         7.000     14.0      70%",
        "",
        "program        ms   from       to  × real time     memory  differs by  xlsr_ref ÷ it  single rounds",
        "xlsr_ref    500.0  400.0    600.0         4.00  1,536 MiB           -              -              -",
        "torch     1,000.0  900.0  1,200.0         2.00          -       3e-06           0.50   0.33 to 0.67",
    ]


def test_one_thread_beside_all(result):
    seconds = {"xlsr_ref": [0.5], ONE_THREAD: [0.9]}
    text = table.one(result._replace(seconds=seconds, memory={}, furthest={"xlsr_ref": 0.0, ONE_THREAD: 0.0}))
    assert text.splitlines()[-1] == "time on 1 thread ÷ time on all: 1.80"
    cells = "900.0 900.0 900.0 2.22 0 0.56 0.56 to 0.56"
    assert text.splitlines()[-3].split() == f"{ONE_THREAD} {cells}".split()


def test_a_list_of_clips_has_no_stages(result):
    clips = result._replace(workload=Workload("clips"), stage_seconds={}, stage_work={}, furthest={}, audio=186.7)
    lines = table.one(clips).splitlines()
    assert lines[1].startswith("64 clips of 2 to 4 s, 186.7 s of audio; ")
    assert lines[3] == "xlsr_ref: 7.000 GFLOP at 14.0 GFLOP/s, 70% of peak"
    assert "stage" not in table.one(clips)
    assert "differs by" not in table.one(clips)


def test_a_program_alone_has_nothing_to_be_compared_with():
    assert table.programs({"xlsr_ref": [2.0]}, 1.0) == [
        "program        ms     from       to  × real time",
        "xlsr_ref  2,000.0  2,000.0  2,000.0         0.50",
    ]


def test_large_numbers(result):
    lines = table.one(result._replace(flops=12_345 * 10**9)).splitlines()
    assert "12,345.0" in next(line for line in lines if line.startswith("total"))
