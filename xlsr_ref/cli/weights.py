"""``xlsr-ref weights``: look into checkpoints of any toolkit, convert and compare them, fetch them from the Hub.

``python -m weights_tools`` has the same commands. Each has a function that adds its options and one that runs it and
returns the exit status. What they print goes through ``say``, so that either program speaks in its own way. Nothing
heavy is imported before a command runs.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xlsr_ref.cli import say as console
from xlsr_ref.cli.say import STYLE, WrongUsage
from xlsr_ref.errors import XlsrError
from xlsr_ref.untrusted import parse_json

if TYPE_CHECKING:
    from xlsr_ref.checkpoint.convert import Conversion

PROG = "xlsr-ref weights"
Say = Callable[[str], None]


class WrongSetting(XlsrError):
    """An option that argparse cannot check by itself."""


def add(commands: Any) -> None:
    p = commands.add_parser(
        "weights",
        usage=f"{PROG} [-h] COMMAND ...",
        description="Inspect, convert, compare and download checkpoints of torch, fairseq, torchaudio and\n"
        "flax. No code in a checkpoint is run.",
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
        return arguments.weights(arguments, console.say)
    except WrongSetting as error:
        raise SystemExit(arguments.own[arguments.weights_command].error(str(error))) from None


def add_inspect(commands: Any, prog: str, style: dict[str, Any]) -> None:
    p = commands.add_parser(
        "inspect",
        prog=f"{prog} inspect",
        description="Show every tensor of a checkpoint, the architecture that follows from the shapes,\n"
        "and the kind of model.",
        epilog=f"example:\n  {prog} inspect xlsr_53_56k.pt --no-statistics",
        **style,
    )
    p.add_argument("checkpoint", metavar="CHECKPOINT", help="file or folder: torch, fairseq, flax, safetensors")
    p.add_argument("--no-statistics", action="store_true", help="read only the headers: quick at any file size")
    p.set_defaults(weights=inspect)


def inspect(arguments: argparse.Namespace, say: Say) -> int:
    from xlsr_ref.checkpoint.inspect import report
    from xlsr_ref.checkpoint.open import open_weights

    for line in report(open_weights(arguments.checkpoint), not arguments.no_statistics):
        say(line + "\n")
    return 0


def add_convert(commands: Any, prog: str, style: dict[str, Any]) -> None:
    p = commands.add_parser(
        "convert",
        prog=f"{prog} convert",
        usage=f"{prog} convert [options] CHECKPOINT TARGET",
        description="Write any checkpoint as a safetensors folder. No code in the checkpoint is run.",
        epilog="examples:\n"
        f"  {prog} convert wav2vec_small_960h.pt folder --dictionary dict.ltr.txt\n"
        f"  {prog} convert folder half --dtype float16",
        **style,
    )
    p.add_argument("checkpoint", metavar="CHECKPOINT", help="file or folder: torch, fairseq, flax, safetensors")
    p.add_argument("target", metavar="TARGET", help="new folder to write")
    p.add_argument("--dictionary", metavar="FILE", help="fairseq's dict.ltr.txt (default: beside CHECKPOINT)")
    _add_form(p)
    p.set_defaults(weights=convert)


def _add_form(p: argparse.ArgumentParser) -> None:
    """The options of how weights are written."""
    p.add_argument("--to", metavar="NAMES", choices=("hf", "fairseq", "torchaudio"), default="hf",
                   help="tensor names: hf (default), fairseq, torchaudio")  # fmt: skip
    p.add_argument("--dtype", metavar="DTYPE", choices=("float32", "float16", "bfloat16", "int8"),
                   help="store in float32, float16, bfloat16 or int8")  # fmt: skip
    p.add_argument("--merge-weight-norm", action="store_true", help="merge g and v of weight norm; not with --to hf")
    p.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[], dest="settings",
                   help="set a field of config.json, e.g. num_attention_heads=16")  # fmt: skip


def convert(arguments: argparse.Namespace, say: Say) -> int:
    from xlsr_ref.checkpoint.convert import convert as run

    form = _form(arguments)
    _say_done(run(arguments.checkpoint, arguments.target, dictionary=arguments.dictionary, **form), arguments.to, say)
    return 0


def _form(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of `_add_form`, as `convert` takes them. Raises WrongSetting."""
    return {
        "to": arguments.to,
        "dtype": arguments.dtype,
        "merge_weight_norm": arguments.merge_weight_norm,
        "settings": parse_settings(arguments.settings),
    }


def _say_done(done: Conversion, to: str, say: Say) -> None:
    say(f"wrote {done.target}: a {done.kind}, {done.tensors} tensors, {done.nbytes / 2**20:,.1f} MiB\n")
    if done.dropped:
        say(f"left out, which {to} has no place for: {', '.join(done.dropped)}\n")


def add_download(commands: Any, prog: str, style: dict[str, Any]) -> None:
    p = commands.add_parser(
        "download",
        prog=f"{prog} download",
        usage=f"{prog} download [options] OWNER/NAME[@REVISION]",
        description="Fetch a model from the Hugging Face Hub into a folder: only the files that are\n"
        "needed, as safetensors. They also stay in the cache of the Hub. No code in them is run.",
        epilog=f"example:\n  {prog} download facebook/wav2vec2-large-xlsr-53 -o xlsr53",
        **style,
    )
    p.add_argument("name", metavar="OWNER/NAME[@REVISION]", help="a branch, tag or commit may follow")
    p.add_argument("--language", metavar="CODE", help="fetch the adapter of this language, too (MMS)")
    p.add_argument("-o", "--output", metavar="FOLDER", help="new folder to write (default: ./NAME)")
    _add_form(p)
    p.set_defaults(weights=download)


def download(arguments: argparse.Namespace, say: Say) -> int:
    from xlsr_ref.checkpoint.download import download as run
    from xlsr_ref.checkpoint.hub import named

    model, form = named(arguments.name), _form(arguments)
    if model is None:
        raise WrongSetting(f"{arguments.name[:80]!r} is no name on the Hub: expected OWNER/NAME or OWNER/NAME@REVISION")
    asked = {name: value for name, value in form.items() if value and (name, value) != ("to", "hf")}
    target = arguments.output or model.repository.partition("/")[2]
    _say_done(run(model, target, arguments.language, **asked), arguments.to, say)
    return 0


def add_verify(commands: Any, prog: str, style: dict[str, Any]) -> None:
    p = commands.add_parser(
        "verify",
        prog=f"{prog} verify",
        description="Compare two checkpoints, or two recordings of stages (.npz), and name the first\n"
        "tensor or stage that differs. Exit status 0: they are the same; 1: they differ.",
        epilog=f"example:\n  {prog} verify xlsr_53_56k.pt converted/",
        **style,
    )
    p.add_argument("first", metavar="A", help="checkpoint (file or folder), or an .npz file")
    p.add_argument("second", metavar="B", help="the same kind: the reference")
    p.add_argument(
        "--tolerance",
        metavar="X",
        type=float,
        default=0.0,
        help="allowed error, relative to B's largest value (default: 0)",
    )
    p.set_defaults(weights=verify)


def verify(arguments: argparse.Namespace, say: Say) -> int:
    from xlsr_ref.checkpoint.verify import verify as run

    found = run(arguments.first, arguments.second, arguments.tolerance)
    if found.departures:
        say(f"first departs at {found.departures[0]}\n")
        for line in found.departures[1:20]:
            say(f"           then {line}\n")
        if len(found.departures) > 20:
            say(f"           and {len(found.departures) - 20} more\n")
    say(f"{found.what}: {found.compared} compared, {found.identical} identical, {len(found.departures)} depart\n")
    return 1 if found.departures else 0


COMMANDS: dict[str, tuple[str, Callable[[Any, str, dict[str, Any]], None]]] = {
    "inspect": ("show the tensors, the architecture and the kind of model", add_inspect),
    "convert": ("write a safetensors folder, with any toolkit's tensor names", add_convert),
    "verify": ("compare two checkpoints, or two recordings of stages", add_verify),
    "download": ("fetch a model from the Hugging Face Hub into a folder", add_download),
}


def overview(prog: str) -> str:
    """The end of the help: each command with what it does."""
    width = max(map(len, COMMANDS))
    lines = "".join(f"  {name:{width}}  {does}\n" for name, (does, _) in COMMANDS.items())
    return f"commands:\n{lines}\nexample:\n  {prog} inspect wav2vec2-large-xlsr-53\n\n{prog} COMMAND --help says more."


def add_all(parser: argparse.ArgumentParser, prog: str, style: dict[str, Any]) -> dict[str, argparse.ArgumentParser]:
    """Give ``parser`` all commands; ``style`` is handed to each one's parser."""
    commands = parser.add_subparsers(dest="weights_command", prog=prog, help=argparse.SUPPRESS)
    for _, add in COMMANDS.values():
        add(commands, prog, style)
    return commands.choices


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """["num_attention_heads=16", "conv_stride=5,2,2"] → {…: 16, …: [5, 2, 2]}. Raises WrongSetting."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not re.fullmatch(r"[a-z][a-z0-9_]{0,60}", name) or not text:
            raise WrongSetting(f"--set {pair[:80]!r}: expected FIELD=VALUE, such as num_attention_heads=16")
        numbers = re.fullmatch(r"\d{1,9}(,\d{1,9})+", text, re.ASCII)
        try:
            value = f"[{text}]" if numbers else text
            found = parse_json(f'{{"value": {value}}}'.encode("utf-8", "replace"), name, WrongSetting)
        except WrongSetting:
            found = {}
        settings[name] = found["value"] if len(found) == 1 else text
    return settings
