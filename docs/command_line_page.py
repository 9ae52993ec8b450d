"""The page of the command line: what each command's --help says, and the JSON schemas of what commands write.

It is made whenever the site is built, from the program itself, so that it cannot say anything else.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from xlsr_ref.cli import COMMANDS, _parsers

WIDTH = "96"  # of the help, in characters
SCHEMAS = Path(__file__).parent / "schemas"


def write_command_line(out: Path) -> None:
    """Write the page as Markdown to ``out``."""
    os.environ["COLUMNS"], before = WIDTH, os.environ.get("COLUMNS")
    try:
        parser, commands = _parsers()
        parts = ["# The command line\n", "What `xlsr-ref --help` and each command's `--help` say.\n", block(parser)]
        for name, (does, _) in COMMANDS.items():
            parts.append(f"## xlsr-ref {name}\n\n{does[0].upper()}{does[1:]}.\n\n{block(commands[name])}")
            parts += [f"### {each.prog}\n\n{block(each)}" for each in below(commands[name])]
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    parts.append("## What is written as JSON\n\nThe schemas (JSON Schema, 2020-12) of all JSON that commands write.\n")
    for path in sorted(SCHEMAS.glob("*.json")):
        parts.append(f"### {path.name}\n\n```json\n{path.read_text(encoding='utf-8').rstrip()}\n```\n")
    out.write_text("\n".join(parts), encoding="utf-8")


def block(parser: argparse.ArgumentParser) -> str:
    return f"```text\n{parser.format_help().rstrip()}\n```\n"


def below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The commands of a command, such as `weights inspect`."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()
