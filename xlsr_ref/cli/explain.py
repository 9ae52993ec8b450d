"""``xlsr-ref explain``: one page that shows how a recording becomes text, step by step."""

from __future__ import annotations

import argparse
import math
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from xlsr_ref.cli.options import add_model, load_model
from xlsr_ref.cli.say import STYLE, WrongUsage, about, note
from xlsr_ref.errors import CannotTranscribeError, XlsrError

LONGEST = 30.0  # seconds on a page, as in teach/explain/trace.py


def add(commands: Any) -> None:
    p = commands.add_parser(
        "explain",
        usage="xlsr-ref explain [options] AUDIO -o PAGE.html",
        description="Write a page for any browser that shows how a recording becomes text: a picture of every\n"
        "stage, one cursor through all of them, and the sound.",
        epilog="examples:\n"
        "  xlsr-ref explain talk.wav -o talk.html\n"
        "  xlsr-ref explain lecture.mp3 -o part.html --start 90 --seconds 5   # a part\n"
        '  xlsr-ref explain one.wav -o one.html --text "press one"   # marks the errors',
        **STYLE,
    )
    p.add_argument("audio", metavar="AUDIO", help="a recording, or - for the standard input")
    p.add_argument("-o", "--output", metavar="FILE", required=True, help="page to write; an existing one is replaced")
    add_model(p)
    p.add_argument("--start", metavar="SEC", type=float, default=0.0, help="where to begin (default: 0)")
    p.add_argument("--seconds", metavar="SEC", type=float, help=f"length to show (default: {LONGEST:g}, the most)")
    p.add_argument("--text", metavar="TEXT", help="what was said; the page then marks the wrong words")
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Take the recording through the model and write the page."""
    from xlsr_ref.cli.recordings import find, missing
    from xlsr_ref.files import write_whole
    from xlsr_ref.untrusted import shown

    start, seconds = arguments.start, LONGEST if arguments.seconds is None else arguments.seconds
    if not (math.isfinite(start) and start >= 0):
        raise WrongUsage(f"--start {start:g}: give the second to begin at, from 0")
    if not 0 < seconds <= LONGEST:
        raise WrongUsage(f"--seconds {seconds:g}: give more than 0 and at most {LONGEST:g}")
    if not arguments.audio:
        raise XlsrError("AUDIO is an empty name: give a recording")
    if arguments.text is not None and not arguments.text.split():
        raise WrongUsage("--text is empty: give what was said, or leave it out")
    if os.path.isdir(arguments.audio):
        raise XlsrError(f"{shown(arguments.audio)}: is a folder; give one recording")
    if arguments.output in ("", "-") or os.path.isdir(arguments.output):
        raise XlsrError(f"{shown(arguments.output)}: is no name for a page; give a file such as talk.html")
    with ExitStack() as cleanup:
        (recording,), _, _ = find([arguments.audio], cleanup)

        for line in missing([recording]):
            raise XlsrError(line)
        from xlsr_ref.teach.explain import explain
        from xlsr_ref.teach.explain.part import part_of
        from xlsr_ref.teach.explain.trace import require_text

        model = load_model(arguments)
        require_text(model)  # else it is so for every recording
        rate, title = model.preprocessor.sampling_rate, os.path.basename(shown(recording.name))
        try:
            waveform, more = part_of(recording.path, rate, start, seconds)
            if more and arguments.seconds is None:
                note(
                    f"{shown(recording.name)}: is longer than a page can show: it shows {start:g} to "
                    f"{start + seconds:g} s; --start SEC shows another part"
                )
            whole = "the bundled model" if arguments.model is None else os.path.basename(arguments.model.rstrip("/"))
            page = explain(model, waveform, rate, title, whole, arguments.text)
        except CannotTranscribeError:
            raise
        except XlsrError as error:
            raise XlsrError(about(recording, error)) from None
    write_whole(Path(arguments.output), page)
    return 0
