"""``xlsr-ref evaluate``: error rates of a model on the recordings of a manifest, by language or any other column."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xlsr_ref.cli.apart import require_apart
from xlsr_ref.cli.options import add_model, load_model
from xlsr_ref.cli.say import STYLE, WrongUsage, complain, say, sentence
from xlsr_ref.errors import AudioError, XlsrError

LIST = "list"  # as a column: the manifest that a clip stands in


def add(commands: Any) -> None:
    p = commands.add_parser(
        "evaluate",
        usage="xlsr-ref evaluate [options] MANIFEST [MANIFEST ...]",
        description="Transcribe the recordings of a manifest and compare with their texts: word and character\n"
        "error rates by language, in percent, with intervals of 95 % (bootstrap over recordings),\n"
        "match errors, words' information lost and preserved, and the most frequent confusions.\n"
        "A manifest is a table with tabs: path, lang, speaker, seconds, split, text.",
        epilog="example:\n  xlsr-ref evaluate corpus.tsv --split dev --output hypotheses.tsv",
        **STYLE,
    )
    p.add_argument("manifests", metavar="MANIFEST", nargs="+", help="manifests; paths in them are relative to them")
    p.add_argument("--split", metavar="NAME", default="test", help="the split to read (default: test)")
    p.add_argument("--by", metavar="COLUMNS", default="lang", help="group by these: speaker; lang,speaker; list,lang …")
    add_model(p)
    p.add_argument("--beam", metavar="N", type=int, help="as in transcribe")
    p.add_argument("--lm", metavar="FILE", help="as in transcribe")
    p.add_argument("--phonemes", action="store_true", help="the manifest's texts are phonemes")
    p.add_argument("--confusions", metavar="N", type=int, default=0, help="list the N most frequent (default: none)")
    p.add_argument("--output", metavar="FILE", help="write every hypothesis into this table")
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Judge every clip, print the table, write the hypotheses. A clip that cannot be read does not stop the others."""
    from xlsr_ref.audio.manifest import read_manifest
    from xlsr_ref.files import write_whole
    from xlsr_ref.untrusted import plain, shown

    if arguments.confusions < 0:
        raise WrongUsage(f"--confusions is {arguments.confusions}: give 0 or more")
    clips = [clip for name in arguments.manifests for clip in read_manifest(name, split=arguments.split)]
    by = [name.strip() for name in arguments.by.split(",") if name.strip()] or ["lang"]
    groups = [group for name in arguments.manifests for group in groups_of(name, by, arguments.split)]
    if arguments.output is not None:
        require_apart([arguments.output], [clip.path for clip in clips])
        if os.path.isdir(arguments.output):
            raise XlsrError(f"{shown(arguments.output)}: is a folder; give --output a file")

    import numpy as np

    from xlsr_ref.cli.transcribe import progress
    from xlsr_ref.measure.evaluation import hypotheses, judge, mistakes, table, writes_phonemes
    from xlsr_ref.text.search.beam import WIDTH

    model = load_model(arguments)
    how: dict[str, Any] = {}
    if arguments.beam is not None or arguments.lm is not None:  # made once for all: a language model may be large
        how["beam"] = model.search(WIDTH if arguments.beam is None else arguments.beam, arguments.lm)
    judged, groups_of_judged, failed = [], [], 0
    with progress(list(zip(clips, groups))) as (counted, aside):
        for clip, group in counted:
            try:
                judged.append(judge(model, clip, arguments.phonemes, **how))
                groups_of_judged.append(group)
            except AudioError as error:  # any other says the same of every clip
                failed += 1
                with aside():
                    complain(f"{shown(clip.path)}: {sentence(error).removeprefix(f'{shown(clip.path)}: ')}")
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
        complain(f"{failed} of {len(clips)} recordings could not be judged and are not in the table")
    return int(failed > 0)


def groups_of(manifest: str, by: Sequence[str], split: str) -> list[list[str]]:
    """What each clip of the ``split`` has in the columns ``by``; "list" is the manifest's own name.

    Raises ManifestError for a column that is not there.
    """
    from xlsr_ref.audio.manifest import read_columns

    groups = []
    for row in read_columns(manifest, [name for name in by if name != LIST], split=split):
        fields = iter(row)
        groups.append([Path(manifest).stem if name == LIST else next(fields) for name in by])
    return groups
