"""``xlsr-ref evaluate``: error rates of a model on the recordings of a manifest, by language or any other column."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlsr_ref.cli.apart import require_apart
from xlsr_ref.cli.item import Item, keyed
from xlsr_ref.cli.many import Results, add_many, check_many, progress, to_do, transcribed, work
from xlsr_ref.cli.options import add_model, load_model
from xlsr_ref.cli.say import STYLE, WrongUsage, complain, note, say, sentence
from xlsr_ref.cli.sources import add_source_options, failed_of, name_of, open_source, preparation
from xlsr_ref.errors import AudioError, XlsrError

if TYPE_CHECKING:
    from xlsr_ref.audio.manifest import Clip
    from xlsr_ref.measure.evaluation import Judged

LIST = "list"  # as a column: the manifest that a clip stands in


def add(commands: Any) -> None:
    p = commands.add_parser(
        "evaluate",
        usage="xlsr-ref evaluate [options] SOURCE [SOURCE ...]",
        description="Transcribe a corpus and compare with its texts: word and character error rates in percent\n"
        "with 95 % intervals (bootstrap over recordings), match error rate, word information lost.",
        epilog="example:\n  xlsr-ref evaluate corpus.tsv --split dev --output hypotheses.tsv\n"
        "--jobs, --skip-existing, --results, --dask-workers: see transcribe --help.",
        **STYLE,
    )
    p.add_argument("manifests", metavar="SOURCE", nargs="+", help="lists or folders, as in xlsr-ref data")
    p.add_argument("--split", metavar="NAME", default="test", help="split to evaluate (default: test)")
    p.add_argument(
        "--by", metavar="COLUMNS", default="lang", help="columns to group by, such as lang,speaker (default: lang)"
    )
    add_model(p)
    p.add_argument("--beam", metavar="N", type=int, help="beam width, as in transcribe")
    p.add_argument("--lm", metavar="FILE", help="language model, as in transcribe")
    p.add_argument("--phonemes", action="store_true", help="the texts of the corpus are phonemes")
    p.add_argument(
        "--confusions", metavar="N", type=int, default=0, help="list the N most frequent confusions (default: none)"
    )
    p.add_argument("--output", metavar="FILE", help="write the hypothesis for each clip into this table")
    add_many(p, shown_in_help=False)
    add_source_options(p)
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Judge every clip, print the table, write the hypotheses. A clip that cannot be read does not stop the others."""
    from xlsr_ref.files import write_whole
    from xlsr_ref.untrusted import plain, shown

    if arguments.confusions < 0:
        raise WrongUsage(f"--confusions is {arguments.confusions}: give 0 or more")
    check_many(arguments, has_files=False)
    by = [name.strip() for name in arguments.by.split(",") if name.strip()] or ["lang"]
    corpora = [open_source(name, arguments, arguments.split, measure=False) for name in arguments.manifests]
    clips, failed = [clip for corpus in corpora for clip in corpus.clips], sum(map(failed_of, corpora))
    asked = len(clips) + failed
    tell_repeated(clips)
    pairs = zip(arguments.manifests, corpora)
    groups = [group for name, corpus in pairs for group in groups_of(name, corpus.clips, by, arguments.split)]
    require_apart([arguments.output, arguments.results], [clip.path for clip in clips])
    if arguments.output is not None and os.path.isdir(arguments.output):
        raise XlsrError(f"{shown(arguments.output)}: is a folder; give --output a file")

    import numpy as np

    from xlsr_ref.measure.evaluation import hypotheses, mistakes, table, writes_phonemes

    items = keyed((name_of(clip), (clip,), clip) for clip in clips)
    with Results(arguments) as results:
        model, how = ready_model(arguments)
        done = judge_each(arguments, items, results, (model, how))
    judged = [done[item.key] for item in items if item.key in done]
    groups_of_judged = [group for item, group in zip(items, groups) if item.key in done]
    failed += len(clips) - len(judged)
    if not judged:
        raise XlsrError(f"none of the {len(clips)} recordings could be judged")
    say(table(judged, np.random.default_rng(0), writes_phonemes(model), by, groups_of_judged))
    listed = mistakes(judged, arguments.confusions)
    if listed:
        say(f"\nhow often, said, read (* is nothing):\n{listed}")
    if arguments.output is not None:
        folder = Path(arguments.manifests[0]).parent
        names = [Path(os.path.relpath(one.clip.path, folder)).as_posix() for one in judged]
        write_whole(Path(arguments.output), plain(hypotheses(judged, names)))
    if failed:
        complain(f"{failed} of {asked} recordings could not be judged and are not in the table")
    return int(failed > 0)


def tell_repeated(clips: Sequence[Clip]) -> None:
    """Warn of recordings that stand in more than one source: the bootstrap takes them for independent ones."""
    repeated = len(clips) - len({clip.stretch for clip in clips})
    if repeated:
        note(
            f"{repeated} of {len(clips)} recordings stand in another list, too, and count once for each: "
            "the intervals of all together are too narrow"
        )


def ready_model(arguments: argparse.Namespace) -> tuple[Any, dict]:
    """The model, and the settings of `Model.transcribe` for all recordings."""
    from xlsr_ref.text.search.beam import WIDTH

    model = load_model(arguments)
    how: dict[str, Any] = {}
    if arguments.beam is not None or arguments.lm is not None:  # made once for all: a language model may be large
        how["beam"] = model.search(WIDTH if arguments.beam is None else arguments.beam, arguments.lm)
    return model, how


def judge_each(
    arguments: argparse.Namespace, items: Sequence[Item], results: Results, opened: tuple[Any, dict]
) -> dict[str, Judged]:
    """The clips that could be judged, by their items' keys; those that have their results are not read again."""
    from xlsr_ref.measure.evaluation import compare
    from xlsr_ref.text.transcript import Transcript
    from xlsr_ref.untrusted import shown

    text, done = preparation(arguments), {}

    def compared(item: Item, transcript: Transcript) -> None:
        done[item.key] = compare(opened[0], item.own, transcript, arguments.phonemes, text)

    def deliver(item: Item, result: Any) -> None:
        if isinstance(result, AudioError):  # any other says the same of every clip
            path = shown(item.own.path)
            with aside():
                complain(f"{path}: {sentence(result).removeprefix(f'{path}: ')}")
        elif isinstance(result, Exception):
            raise result
        else:
            compared(item, result)
            results.add(item, result)
        tick(item)

    for item in items:
        if (found := results.found.get(item.key)) is not None:
            compared(item, Transcript(found["text"], (), (), found["score"]))
    left = to_do(items, lambda item: item.key in done, arguments.skip_existing)
    with progress(left) as (tick, aside):
        work(arguments, left, transcribed, ready_model, opened, deliver)
    return done


def groups_of(source: str, clips: Sequence[Clip], by: Sequence[str], split: str) -> list[list[str]]:
    """What each of the ``clips`` of a ``source`` has in the columns ``by``; "list" is the source's own name.

    A list in the package's own layout may have any column; of other sources there are lang, speaker and split. Raises
    ManifestError for a column that is not there.
    """
    from xlsr_ref.audio.manifest import read_columns
    from xlsr_ref.untrusted import shown

    known = {LIST: lambda clip: Path(source).stem, "lang": lambda clip: clip.lang, "speaker": lambda clip: clip.speaker,
             "split": lambda clip: clip.split}  # fmt: skip
    more = [name for name in by if name not in known]
    if not more:
        return [[known[name](clip) for name in by] for clip in clips]
    rows = read_columns(source, more, split=split)
    if len(rows) != len(clips):
        raise XlsrError(f"--by {more[0]}: {shown(source)} has clips that were left out: group by {', '.join(known)}")
    return [[known[name](clip) if name in known else row[more.index(name)] for name in by]
            for clip, row in zip(clips, rows)]  # fmt: skip
