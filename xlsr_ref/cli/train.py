"""``xlsr-ref pretrain`` and ``xlsr-ref finetune``: learn by a recipe."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import Any

from xlsr_ref.cli.options import add_quiet, check_threads, tell_of_compiling
from xlsr_ref.cli.say import STYLE, WrongUsage, is_quiet, note, say

ABOUT = {
    "pretrain": "Pre-train on sound alone: masks, a quantizer and a contrastive loss (wav2vec 2.0, §3.2).",
    "finetune": "Fine-tune on recordings and their texts, with CTC (wav2vec 2.0, §3.3).",
}
FEWEST = 10  # steps of a test of learning rates
EXAMPLE = {"pretrain": "small-pretrained", "finetune": "digits"}


def add(task: str, commands: Any) -> None:
    p = commands.add_parser(
        task,
        usage=f"xlsr-ref {task} [options] RECIPE",
        description=ABOUT[task],
        epilog="examples:\n"
        f"  xlsr-ref {task} recipe.toml --data corpus --out run\n"
        f"  xlsr-ref {task} recipe.toml --data corpus --out run --resume   # after a stop\n"
        f"  xlsr-ref {task} {EXAMPLE[task]} --data corpus --out run   # a recipe of the package\n"
        "The folder then holds the model in model/, and the run's metrics.jsonl and curves.svg.",
        **STYLE,
    )
    p.add_argument("recipe", metavar="RECIPE",
                   help="TOML file with the model, data, optimizer and steps; or the name of a recipe of the "
                   "package (its relative paths start in the current folder)")  # fmt: skip
    p.add_argument("--data", metavar="DIR", help="folder of the corpus (default: $XLSR_REF_CORPUS)")
    p.add_argument("--out", metavar="DIR", help="folder of the run (default: ./ with the recipe's name)")
    p.add_argument("--resume", action="store_true", help="continue from the last checkpoint, to the same bits")
    p.add_argument("--seed", metavar="N", type=int, help="seed to use in place of the recipe's")
    p.add_argument("--find-rate", metavar="N", type=int, help="only try N growing learning rates and suggest a peak")
    p.add_argument("--threads", metavar="N", type=int, help="number of threads (default: one for each core)")
    add_quiet(p)
    p.set_defaults(call=partial(run, task))


def run(task: Any, arguments: argparse.Namespace) -> int:
    """Train to the end of the recipe."""
    corpus = arguments.data or os.environ.get("XLSR_REF_CORPUS")
    if not corpus:
        raise WrongUsage("no corpus: give its folder with --data or in XLSR_REF_CORPUS")
    check_threads(arguments.threads)

    from xlsr_ref.ops import threads
    from xlsr_ref.training.loop import train
    from xlsr_ref.training.prepare import prepare_run
    from xlsr_ref.training.report import LEGEND
    from xlsr_ref.training.shipped import find

    if arguments.seed is not None and arguments.seed < 0:
        raise WrongUsage(f"--seed is {arguments.seed}: give 0 or more")
    if arguments.find_rate is not None and arguments.resume:
        raise WrongUsage("give --find-rate or --resume, and not both: a test of rates always begins anew")
    if arguments.find_rate is not None and arguments.find_rate < FEWEST:
        raise WrongUsage(f"--find-rate is {arguments.find_rate}: give at least {FEWEST} steps")
    tell_of_compiling()
    recipe = find(arguments.recipe)
    own = recipe.stem if arguments.find_rate is None else f"{recipe.stem}-rate"
    folder = Path(arguments.out) if arguments.out else Path(own)
    begun = None
    try:
        with threads.use(arguments.threads):
            begun = prepare_run(task, recipe, folder, Path(corpus), arguments.resume, line, arguments.seed)
            if arguments.find_rate is not None:
                return try_rates(begun, arguments.find_rate)
            line(LEGEND[task])
            model = train(begun, line)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("" if begun is None else f": {how_to_resume(folder)}") from None
    draw(task, folder)
    line(f"the model is in {model}, its curves are in {folder / 'curves.svg'}")
    return 0


def try_rates(begun: Any, steps: int) -> int:
    """The range test, its curve, and what it suggests."""
    from xlsr_ref.teach.show.rates import rate_curve
    from xlsr_ref.training.find_rate import RESULT, find_rate

    found = find_rate(begun, steps, line)
    if found.rates:
        picture = rate_curve(found.rates, found.losses, found.smoothed, found.suggestion)
        picture.save(begun.folder / "learning_rate.svg")
    say(f"{found.why}\n")
    line(f"its curve is in {begun.folder / 'learning_rate.svg'}, its numbers in {begun.folder / RESULT}")
    return 0


def line(text: str) -> None:
    """Progress to the standard output, warnings to the standard error; neither where quiet was asked for."""
    if text.startswith("warning: "):
        note(text)
    elif not is_quiet():
        say(f"{text}\n")


def how_to_resume(folder: Path) -> str:
    from xlsr_ref.training.checkpoint import latest

    last = latest(folder)
    return f"--resume goes on after {last.name}" if last else "--resume begins again, there is no checkpoint yet"


def draw(task: Any, folder: Path) -> None:
    """The curves of the run, as curves.svg and curves.png."""
    from xlsr_ref.teach.show.training import training_curves
    from xlsr_ref.training.folder import read_metrics

    metrics = read_metrics(folder)
    if not any("loss" in report for report in metrics):
        return
    picture = training_curves(task, metrics)
    picture.save(folder / "curves.svg")
    picture.save(folder / "curves.png")
