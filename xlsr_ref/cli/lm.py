"""``xlsr-ref lm``: make a language model from a text, and measure the perplexity of another under a model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xlsr_ref.cli.options import add_quiet
from xlsr_ref.cli.say import STYLE, WrongUsage, note, say
from xlsr_ref.errors import XlsrError

LEVELS = ("word", "character")


def add(commands: Any) -> None:
    p = commands.add_parser(
        "lm",
        description="Train an n-gram language model on a text, or measure how well one predicts a text.",
        epilog="examples:\n"
        "  xlsr-ref lm train corpus.txt -o lm.arpa         # 3-grams of words\n"
        "  xlsr-ref lm perplexity lm.arpa other.txt        # how well it predicts a text\n"
        "  xlsr-ref transcribe talk.wav --lm lm.arpa       # transcribe with it",
        **STYLE,
    )
    p.set_defaults(call=run)
    jobs = p.add_subparsers(dest="job", metavar="train|perplexity")
    train = jobs.add_parser(
        "train",
        description="Train a language model on a text, one sentence per line (modified Kneser-Ney).",
        epilog="examples:\n"
        "  xlsr-ref lm train corpus.txt -o lm.arpa --order 3\n"
        "  xlsr-ref lm train corpus.txt -o lm.arpa --prune 0 0 1   # no 3-grams that occur once",
        **STYLE,
    )
    train.add_argument("corpus", metavar="TEXT", help="a text in UTF-8, or - for the standard input")
    train.add_argument("-o", "--output", metavar="FILE", help="ARPA file to write (default: the standard output)")
    train.add_argument(
        "--order", metavar="N", type=int, default=3, help="length of the longest n-grams, 1 to 8 (default: 3)"
    )
    train.add_argument(
        "--prune",
        metavar="N",
        type=int,
        nargs="+",
        default=(),
        help="drop n-grams seen N times or less (an N per order)",
    )
    train.add_argument("--level", metavar="LEVEL", choices=LEVELS, default="word", help="word (default) or character")
    add_quiet(train)
    train.set_defaults(work=_train)
    measure = jobs.add_parser(
        "perplexity",
        description="Measure how well a model predicts a text: its perplexity, the effective number of words\n"
        "that it chooses from at each place.",
        epilog="example:\n  xlsr-ref lm perplexity lm.arpa other.txt",
        **STYLE,
    )
    measure.add_argument("lm", metavar="FILE", help="an ARPA file (.gz too), or a KenLM binary")
    measure.add_argument("corpus", metavar="TEXT", help="a text in UTF-8, or - for the standard input")
    measure.add_argument("--level", metavar="LEVEL", choices=LEVELS, default="word", help="word (default) or character")
    measure.set_defaults(work=_perplexity)


def run(arguments: argparse.Namespace) -> int:
    """Do the job that the line names."""
    if arguments.job is None:
        raise WrongUsage("say what to do: train or perplexity")
    return arguments.work(arguments)


def _train(arguments: argparse.Namespace) -> int:
    from xlsr_ref.files import write_whole
    from xlsr_ref.text.search.arpa import write_arpa
    from xlsr_ref.text.search.kneser_ney import ORDERS, train

    if arguments.order not in ORDERS:
        raise WrongUsage(f"--order is {arguments.order}: give 1 to 8")
    if arguments.output is not None and Path(arguments.output).is_dir():
        raise XlsrError(f"{arguments.output} cannot be written: it is a folder, name a file")
    model = "".join(write_arpa(train(_sentences(arguments.corpus, arguments.level), arguments.order, arguments.prune)))
    if arguments.output is None:
        say(model)
        return 0
    write_whole(Path(arguments.output), model)
    head = [line.removeprefix("ngram ") for line in model.splitlines()[1 : arguments.order + 1]]
    note(f"wrote {arguments.output}: " + ", ".join(f"{n} {order}-grams" for order, n in (h.split("=") for h in head)))
    return 0


def _perplexity(arguments: argparse.Namespace) -> int:
    from xlsr_ref.text.search.lm import perplexity
    from xlsr_ref.text.search.lm_files import open_lm

    lm = open_lm(arguments.lm).lm
    assert lm is not None
    result = perplexity(lm, _sentences(arguments.corpus, arguments.level))
    say(f"perplexity {result.value:.2f}: {result.words} words, {result.unknown} of them unknown\n")
    return 0


def _sentences(path: str, level: str) -> Iterator[list[str]]:
    """The words of each line, or its characters with | for the space; empty lines are left out."""
    from xlsr_ref.text.search.lm_files import read_lines

    for line in read_lines(path):
        words = line.split()
        if words:
            yield words if level == "word" else list("|".join(words))
