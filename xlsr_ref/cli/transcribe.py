"""``xlsr-ref transcribe``: what is said in recordings, as text, subtitles or a table."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xlsr_ref.cli.apart import require_apart
from xlsr_ref.cli.item import Item, keyed
from xlsr_ref.cli.many import (
    HELP,
    Results,
    add_many,
    check_many,
    has_result,
    progress,
    to_do,
    transcribed,
    uses_dask,
    work,
)
from xlsr_ref.cli.options import add_model, following, load_model
from xlsr_ref.cli.say import STYLE, WrongUsage, about, complain, note, say
from xlsr_ref.cli.sources import add_tier, listed_recordings, open_source
from xlsr_ref.errors import CannotTranscribeError

if TYPE_CHECKING:
    from xlsr_ref.cli.recordings import Recording

SUFFIXES = {
    "text": ".txt",
    "json": ".json",
    "srt": ".srt",
    "vtt": ".vtt",
    "tsv": ".tsv",
    "textgrid": ".TextGrid",
    "ctm": ".ctm",
}
FORMATS = "text (default), " + ", ".join([*SUFFIXES][1:])
ONE_RECORDING = ("srt", "vtt", "textgrid")  # their times belong to one recording: several cannot share a file


def add(commands: Any) -> None:
    p = commands.add_parser(
        "transcribe",
        usage="xlsr-ref transcribe [options] [FILE ...]",
        description="Write down what is said in recordings of any format and length. No FILE: a demonstration.",
        epilog="example:\n"
        "  xlsr-ref transcribe talks --format srt --output out   # subtitles for all of a folder\n" + HELP,
        **STYLE,
    )
    p.add_argument("files", metavar="FILE", nargs="*", help="recordings, folders or lists; - for the standard input")
    add_model(p)
    p.add_argument("--format", metavar="FORMAT", choices=SUFFIXES, default="text", help=FORMATS)
    p.add_argument("--output", metavar="DIR", help="write one file per recording into this folder")
    p.add_argument(
        "--chunk", metavar="SEC", type=float, help="chunk length (default: 30, only above 60 s; 0: no chunks)"
    )
    p.add_argument(
        "--stride", metavar="SEC", type=float, help="context on each side of a chunk (default: a sixth of it)"
    )
    add_search(p)
    add_many(p, shown_in_help=False)
    add_tier(p, shown_in_help=False)
    p.set_defaults(call=run)


def add_search(p: argparse.ArgumentParser) -> None:
    """The options of a beam search."""
    p.add_argument("--beam", metavar="N", type=int, help="beam width (default: 100 with --lm or --hotwords)")
    p.add_argument("--lm", metavar="FILE", help="language model: ARPA or KenLM file, folder, bundled")
    p.add_argument("--hotwords", metavar="LIST", help="favoured words: anna,zagreb:5 (default weight: 10)")
    p.add_argument("--alpha", metavar="X", type=float, help="language model's weight (default: its own, or 0.5)")
    p.add_argument("--beta", metavar="X", type=float, help="bonus for each word (default: its own, or 1.5)")


class Own(NamedTuple):
    """What the result of an item needs."""

    recording: Recording
    target: Path | None


def run(arguments: argparse.Namespace) -> int:
    """Write down what is said in each recording. A bad one does not stop the others."""
    from xlsr_ref.cli.recordings import find, is_there, missing, passed_over, renamed, targets

    form = arguments.format
    searches(arguments), hotwords_of(arguments.hotwords or "")  # what is wrong there is so before anything is read
    check_many(arguments, arguments.output is not None)
    with ExitStack() as cleanup:
        recordings, several, problems = find(arguments.files, cleanup, partial(clips_of, arguments))
        if several and form in ONE_RECORDING and arguments.output is None and arguments.results is None:
            raise WrongUsage(f"{form} holds one recording: name one file, or give --output DIR")
        problems += missing(recordings)
        recordings = [recording for recording in recordings if is_there(recording)]
        for line in problems:
            complain(line)
        places = targets(recordings, arguments.output, SUFFIXES[form])
        require_apart([*places, arguments.results], [*(one.path for one in recordings), arguments.lm, arguments.model])
        for line in (*passed_over(arguments.files), *renamed(recordings, places)):
            note(line)
        if not recordings:
            return 1
        if not arguments.files and form == "text" and arguments.output is None and arguments.results is None:
            from xlsr_ref.cli.demonstration import demonstrate

            model, how = ready_model(arguments)
            demonstrate(model, how, decoding(arguments), arguments.model is None)
            return 0
        results = cleanup.enter_context(Results(arguments))
        items = keyed((one.name, (one.clip(),), Own(one, place)) for one, place in zip(recordings, places))
        items = to_do(items, partial(is_done, results), arguments.skip_existing)
        failed = bool(items) and transcribe_each(arguments, items, results, several)
    return int(failed or bool(problems))


def clips_of(arguments: argparse.Namespace, source: str) -> list[Recording]:
    """The recordings that a list names. Raises ManifestError."""
    return list(listed_recordings(open_source(source, arguments, measure="parts", texts=False), source))


def is_done(results: Results, item: Item) -> bool:
    """Does an item have all its results already?"""
    return not results.lacks(item) and (item.own.target is None or has_result(item.own.target))


def ready_model(arguments: argparse.Namespace) -> tuple[Any, dict]:
    """The model, with its first kernel loaded, and the settings of `Model.transcribe` for all recordings."""
    import numpy as np

    from xlsr_ref.ops.activation import gelu
    from xlsr_ref.ops.backend import lean_start
    from xlsr_ref.text.search.beam import WIDTH
    from xlsr_ref.text.search.lm_files import BUNDLED

    model = load_model(arguments)
    model.chunking(arguments.chunk, arguments.stride)  # what is wrong here is so for all
    with lean_start():
        gelu(np.zeros(1, arguments.dtype))  # the first kernel, whichever it is
    how: dict[str, Any] = {"chunk_seconds": arguments.chunk, "stride_seconds": arguments.stride}
    if searches(arguments):  # made once for all
        width, weights = arguments.beam or WIDTH, {"alpha": arguments.alpha, "beta": arguments.beta}
        how["beam"] = model.search(width, arguments.lm, hotwords_of(arguments.hotwords or ""), **weights)
    elif by_default_with_lm(arguments):
        how["beam"] = model.search(lm=BUNDLED)
    return model, how


def by_default_with_lm(arguments: argparse.Namespace) -> bool:
    """Does the bundled language model help although no option names it? With the bundled model and clips alone."""
    return not (arguments.files or arguments.model or searches(arguments))


def decoding(arguments: argparse.Namespace) -> str:
    """How the options decode, in words."""
    from xlsr_ref.text.search.beam import WIDTH

    if by_default_with_lm(arguments):
        return f"a beam search of {WIDTH} and the bundled language model (--beam 1 leaves both out)"
    if not searches(arguments):
        return "greedy decoding"
    more = [words for words in (arguments.lm and f"the language model {arguments.lm}",
                                arguments.hotwords and f"the hotwords {arguments.hotwords}") if words]  # fmt: skip
    return " and ".join([f"a beam search of {arguments.beam or WIDTH}", *more])


def transcribe_each(arguments: argparse.Namespace, items: Sequence[Item], results: Results, several: bool) -> bool:
    """Write or print the transcript of each recording; whether one failed."""
    from xlsr_ref.files import write_whole
    from xlsr_ref.text.formats import format_transcript, format_transcripts
    from xlsr_ref.untrusted import plain

    form, failed = arguments.format, False
    together: list[tuple[str, Any]] = []  # transcripts that are printed as one: a whole array, or one header for all
    prints = arguments.output is None and arguments.results is None
    model, how = ready_model(arguments)

    def deliver(item: Item, result: Any) -> None:
        nonlocal failed
        recording, target = item.own
        try:
            if isinstance(result, Exception):
                raise result
            if target is not None:
                write_whole(target, plain(format_transcript(result, form, recording.place.name)))
        except Exception as error:
            if _stops_all(error, model):
                raise
            failed = True
            with aside():
                complain(about(recording, error))
        else:
            results.add(item, result)
            if prints and several and form != "text":
                together.append((recording.name, result))
            elif prints:
                named = [(recording.name, result)]
                with aside():
                    one = format_transcript(result, form, recording.place.name)
                    say(format_transcripts(named, form) if several else one)
        tick(item)

    with progress(items) as (tick, aside), following(len(items) == 1 and not uses_dask(arguments)) as shown_to:
        work(arguments, items, transcribed, ready_model, (model, how | shown_to), deliver, in_order=prints)
    if prints and several and form != "text":
        say(format_transcripts(together, form))
    return failed


def searches(arguments: argparse.Namespace) -> bool:
    """Is a beam search asked for? Raises WrongUsage for what only makes sense with one."""
    if arguments.beam is not None and arguments.beam < 1:
        raise WrongUsage(f"--beam is {arguments.beam}: give at least 1")
    weights = {"--alpha": arguments.alpha, "--beta": arguments.beta}
    given = [name for name, value in weights.items() if value is not None]
    if given and arguments.lm is None:
        raise WrongUsage(f"{given[0]} weighs a language model: give --lm, too")
    return arguments.beam is not None or arguments.lm is not None or arguments.hotwords is not None


def hotwords_of(line: str) -> dict[str, float]:
    """The words in `anna,zagreb:5` and their weights."""
    if not line:
        return {}
    from xlsr_ref.text.search.fusion import HOTWORD

    weights = {}
    for item in filter(None, map(str.strip, line.split(","))):
        word, colon, weight = item.rpartition(":")
        try:
            weights[word if colon else item] = float(weight) if colon else HOTWORD
        except ValueError:
            raise WrongUsage(f"--hotwords has {item!r}: a weight is a number") from None
    return weights


def _stops_all(error: Exception, model: Any) -> bool:
    """A model that cannot write fails alike on every recording; any other error is that of one recording."""
    if os.environ.get("XLSR_REF_TRACEBACK"):
        return True
    speechless = model.tokenizer is None or "lm_head" not in model.params
    return speechless and isinstance(error, CannotTranscribeError)
