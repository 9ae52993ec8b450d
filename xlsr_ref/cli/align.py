"""``xlsr-ref align``: when each word of a known text is spoken, for Praat, as subtitles or as a table."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from xlsr_ref.cli.align_corpus import check_options, run_corpus
from xlsr_ref.cli.many import add_many
from xlsr_ref.cli.options import add_model, following, load_model
from xlsr_ref.cli.say import STYLE, WrongUsage, about, complain, say
from xlsr_ref.cli.sources import add_source_options
from xlsr_ref.errors import AlignmentError, XlsrError

FORMATS = ("textgrid", "eaf", "json", "srt", "vtt", "ctm")


def add(commands: Any) -> None:
    p = commands.add_parser(
        "align",
        usage="xlsr-ref align [options] AUDIO [TEXT]",
        description="Say when each word of a known text is spoken. The word * stands for any words or sounds.",
        epilog="examples:\n"
        '  xlsr-ref align talk.wav "good morning" -o talk.TextGrid\n'
        "  xlsr-ref align field --output grids --text lower   # each NAME.wav with NAME.txt\n"
        "Corpora, --text, --tier: see data --help; --jobs, --dask-workers …: see transcribe --help.",
        **STYLE,
    )
    p.add_argument("audio", metavar="AUDIO", help="a recording, a corpus, or - for the standard input")
    p.add_argument("text", metavar="TEXT", nargs="?", help="what is said in it")
    p.add_argument("--text-file", metavar="FILE", help="file with what is said in it, in UTF-8")
    p.add_argument("--phonemes", action="store_true", help="the text is phonemes, with spaces between them")
    add_model(p)
    p.add_argument(
        "--format",
        metavar="FORMAT",
        choices=FORMATS,
        default="textgrid",
        help=f"{FORMATS[0]} (default), {', '.join(FORMATS[1:])}",
    )
    p.add_argument("-o", "--output", metavar="FILE", help="write this file; for a corpus, into this folder")
    p.add_argument("--chunk", metavar="SEC", type=float, help="as in transcribe")
    p.add_argument("--stride", metavar="SEC", type=float, help="as in transcribe")
    p.add_argument("--check", action="store_true", help="report where text and recording differ")
    p.add_argument("--label-prior", metavar="X", type=float, default=0.0, help=argparse.SUPPRESS)
    add_many(p, shown_in_help=False)
    add_source_options(p, shown_in_help=False)
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Lay the text over the recording and write where its words are."""
    from xlsr_ref.cli.recordings import find, is_list, missing
    from xlsr_ref.files import write_whole
    from xlsr_ref.text.check import line_of
    from xlsr_ref.text.formats import format_alignment
    from xlsr_ref.untrusted import LONGEST_LINE, plain, read_text, shown

    if arguments.text is arguments.text_file is None and (os.path.isdir(arguments.audio) or is_list(arguments.audio)):
        return run_corpus(arguments)
    if (arguments.text is None) == (arguments.text_file is None):
        raise WrongUsage("give the text that is spoken: TEXT, or --text-file FILE, and not both")
    if not arguments.audio:
        raise XlsrError("AUDIO is an empty name: give a recording")
    if os.path.isdir(arguments.audio):
        raise XlsrError(f"{shown(arguments.audio)}: is a folder; give one recording")
    text, file = arguments.text, arguments.text_file
    if file is not None:
        text = read_text(file, XlsrError, LONGEST_LINE, pipes=True)
    if not text.strip():
        where = "TEXT" if arguments.text_file is None else shown(arguments.text_file)
        raise AlignmentError(f"{where} is empty: give what is said in the recording")
    with ExitStack() as cleanup:
        (recording,), _, _ = find([arguments.audio], cleanup)

        for line in missing([recording]):
            raise XlsrError(line)
        model = load_model(arguments)
        model.chunking(arguments.chunk, arguments.stride)  # wrong lengths are not the recording's
        how = {"chunk_seconds": arguments.chunk, "stride_seconds": arguments.stride, "phonemes": arguments.phonemes}
        how |= check_options(arguments)
        try:
            with following() as shown_to:
                aligned = model.align(recording.path, text, **how, **shown_to)
        except XlsrError as error:
            raise XlsrError(about(recording, error)) from None
    if aligned.check is not None:
        for doubt in aligned.check.doubts:
            complain(f"{shown(recording.name)}: {line_of(doubt)}")
    parts = "phones" if model.tokenizer is not None and model.tokenizer.files.phonemes is not None else "characters"
    content = format_alignment(aligned, arguments.format, recording.path.name, aligned.duration or 0.0, parts)
    if arguments.output is None:
        say(content)
    else:
        write_whole(Path(arguments.output), plain(content))
    return 0
