"""``xlsr-ref recipe``: the recipes that come with the package."""

from __future__ import annotations

import argparse
from typing import Any

from xlsr_ref.cli.say import STYLE, say


def add(commands: Any) -> None:
    p = commands.add_parser(
        "recipe",
        description="List the recipes that come with the package, or print one of them.",
        epilog="examples:\n"
        "  xlsr-ref recipe                                       # all names, a line each\n"
        "  xlsr-ref recipe digits > mine.toml                    # a copy to change\n"
        "  xlsr-ref finetune digits --data CORPUS --out digits   # train by one",
        **STYLE,
    )
    p.add_argument("name", metavar="NAME", nargs="?", help="recipe to print (default: list them all)")
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the one that is asked for, or a line for each."""
    from xlsr_ref.training.shipped import about, names, text_of

    if arguments.name is not None:
        say(text_of(arguments.name))
        return 0
    width = max(map(len, names()))
    say("".join(f"{name:{width}}  {about(name)}\n" for name in names()))
    return 0
