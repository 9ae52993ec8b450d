"""``xlsr-ref weights``: look into checkpoints of any toolkit, convert and compare them. The work is weights_tools'."""

from __future__ import annotations

import argparse
from typing import Any

from weights_tools.commands import WrongSetting, add_all, overview
from weights_tools.errors import CheckpointError
from xlsr_ref.cli.say import STYLE, WrongUsage, say
from xlsr_ref.errors import WeightsError

PROG = "xlsr-ref weights"


def add(commands: Any) -> None:
    p = commands.add_parser(
        "weights",
        usage=f"{PROG} [-h] COMMAND ...",
        description="Look into checkpoints of torch, fairseq, torchaudio and flax, and convert them.\n"
        "Nothing in them is run.",
        epilog=overview(PROG),
        **STYLE,
    )
    own = add_all(p, PROG, STYLE)
    p.set_defaults(call=run, weights=None, parser=p, own=own)


def run(arguments: argparse.Namespace) -> int:
    """Run the command that was named."""
    if arguments.weights is None:
        raise WrongUsage("a command is missing: inspect, convert, verify or download")
    try:
        return arguments.weights(arguments, say)
    except WrongSetting as error:
        raise SystemExit(arguments.own[arguments.weights_command].error(str(error))) from None
    except CheckpointError as error:
        raise WeightsError(str(error)) from None
