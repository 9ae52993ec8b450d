"""``xlsr-ref doctor``: does this machine have what is needed?"""

from __future__ import annotations

import argparse
from typing import Any

from xlsr_ref.cli.say import STYLE, say


def add(commands: Any) -> None:
    p = commands.add_parser(
        "doctor",
        description="Check the libraries and programs that the package uses: their versions, and whether they\n"
        "work on this machine.",
        epilog="example:\n  xlsr-ref doctor",
        **STYLE,
    )
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what each check found; 1 if a part that is needed does not work."""
    from xlsr_ref.measure.doctor import examine

    failures = 0
    for check in examine():
        failures += check.state == "FAIL"
        say(f"{check.state:<4}  {check.part:<9}  {check.found}\n")
    say(f"{failures} of these must be put right: see FAIL\n" if failures else "all that is needed works\n")
    return int(failures > 0)
