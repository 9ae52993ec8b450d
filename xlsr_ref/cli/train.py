"""``xlsr-ref pretrain`` and ``xlsr-ref finetune``: learn by a recipe."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import Any

from xlsr_ref.cli.say import STYLE, WrongUsage, complain, say

ABOUT = {
    "pretrain": "Pre-train on sound alone: masks, a quantizer and a contrastive loss (wav2vec 2.0, section 3.2).",
    "finetune": "Fine-tune on recordings and their texts, with CTC (wav2vec 2.0, section 3.3).",
}


def add(task: str, commands: Any) -> None:
    p = commands.add_parser(
        task,
        description=ABOUT[task],
        epilog="examples:\n"
        f"  xlsr-ref {task} recipe.toml --data corpus --out run\n"
        f"  xlsr-ref {task} recipe.toml --data corpus --out run --resume   after it was stopped\n"
        "\n"
        "The model ends up in OUT/model, its numbers in OUT/metrics.jsonl, its curves in OUT/curves.svg.",
        **STYLE,
    )
    p.add_argument("recipe", metavar="RECIPE", help="a TOML file: the model, the data, the optimizer, the steps")
    p.add_argument("--data", metavar="DIR", help="folder of the corpus (default: XLSR_REF_CORPUS)")
    p.add_argument("--out", metavar="DIR", help="folder of the run (default: the recipe's name, here)")
    p.add_argument("--resume", action="store_true", help="go on after the last checkpoint, to the bit")
    p.add_argument("--threads", metavar="N", type=int, help="how many to compute on (default: all cores)")
    p.set_defaults(call=partial(run, task))


def run(task: Any, arguments: argparse.Namespace) -> int:
    """Train to the end of the recipe."""
    corpus = arguments.data or os.environ.get("XLSR_REF_CORPUS")
    if not corpus:
        raise WrongUsage("no corpus: give its folder with --data or in XLSR_REF_CORPUS")
    if arguments.threads is not None and arguments.threads < 1:
        raise WrongUsage(f"--threads is {arguments.threads}: it must be at least 1")

    from xlsr_ref.ops import threads
    from xlsr_ref.ops.backend import on_compilation
    from xlsr_ref.training.loop import prepare_run, train

    on_compilation(lambda: complain("compiling for this machine: this is done once and takes some seconds"))
    recipe = Path(arguments.recipe)
    folder = Path(arguments.out) if arguments.out else Path(recipe.stem)

    def line(text: str) -> None:
        say(f"{text}\n")

    with threads.use(arguments.threads):
        begun = prepare_run(task, recipe, folder, Path(corpus), arguments.resume, line)
        model = train(begun, line)
    line(f"the model is in {model}")
    return 0
