"""``xlsr-ref bench``: how fast is it, and where does the time go?"""

from __future__ import annotations

import argparse
from typing import Any

from xlsr_ref.cli.options import add_quiet
from xlsr_ref.cli.say import STYLE, WrongUsage, note, say, status_line


def add(commands: Any) -> None:
    p = commands.add_parser(
        "bench",
        usage="xlsr-ref bench [options]",
        description="Measure the forward pass: time of each stage, share of the machine's peak, memory.",
        epilog="examples:\n"
        "  xlsr-ref bench --seconds 10                                 # the model in the package\n"
        "  xlsr-ref bench --size xlsr-53 --against torch,onnxruntime   # at full size, with others",
        **STYLE,
    )
    p.add_argument("--model", metavar="DIR", help="model folder (default: the model in the package)")
    p.add_argument("--size", metavar="SIZE", help="use random weights of this size: xlsr-53 or base")
    p.add_argument("--seconds", metavar="LIST", help="lengths of noise to measure (default: 5,10,30)")
    p.add_argument("--short", action="store_true", help="measure a bundled clip of 3 s")
    p.add_argument("--clips", action="store_true", help="measure a list of 64 bundled clips of 2 to 4 s")
    p.add_argument("--threads", metavar="N", type=int, help="threads of each program (default: one per core)")
    p.add_argument("--rounds", metavar="R", type=int, default=5, help="measured runs of each program (default: 5)")
    p.add_argument(
        "--against",
        metavar="LIST",
        default="",
        help="compare with torch, torch-eager, onnxruntime, onnxruntime-int8, openvino",
    )
    p.add_argument(
        "--weights",
        metavar="DTYPE",
        choices=("float32", "int8"),
        help="int8: measure this package with int8 weights, too",
    )
    p.add_argument("--scaling", action="store_true", help="measure on one thread, too")
    p.add_argument("--json", metavar="FILE", dest="json_file", help="write all numbers as JSON")
    p.add_argument("--plot", metavar="FILE", dest="plot_file", help="draw the roofline, as .svg or .png")
    p.add_argument("--keep", metavar="DIR", help="keep exported models here for the next run")
    add_quiet(p)
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a table for each workload as soon as it is measured, and write what was asked for."""
    from xlsr_ref.measure.bench import table
    from xlsr_ref.measure.bench.run import Benchmark, write_files
    from xlsr_ref.measure.bench.settings import WrongSetting
    from xlsr_ref.measure.bench.settings import settings as settings_of

    options = {name: value for name, value in vars(arguments).items() if name not in ("command", "call", "quiet")}
    try:
        settings = settings_of(**options)
    except WrongSetting as error:
        raise WrongUsage(str(error)) from None
    with Benchmark(settings, note, status_line) as benchmark:
        say(table.head(benchmark.about))
        for workload in settings.workloads:
            say(table.one(benchmark.measure(workload)))
    write_files(benchmark)
    return 0
