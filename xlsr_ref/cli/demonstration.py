"""What ``xlsr-ref transcribe`` prints without files: for each bundled sentence what was said and what was read.

    en  said: press four to mark this message as urgent
        read: press four to  m    this message as urgent
                             S                                  S substituted, D deleted, I inserted, word by word

The clips are chosen by a rule: all bundled clips of the test split, which training never heard, in the order of their
list; then the digits, which training did hear, counted. On a terminal the wrong words are red unless NO_COLOR is set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from xlsr_ref.audio.clips import DATA
from xlsr_ref.audio.manifest import Clip, read_manifest
from xlsr_ref.cli.say import say
from xlsr_ref.text.metrics import Errors, added, character_errors, compare_words, word_errors, written
from xlsr_ref.untrusted import plain

HOURS = 4.6  # of speech that the bundled model was trained on; its card says the same
REAL = "facebook/mms-1b-all --language fra"
WIDTH = 96  # characters in a row of words


def demonstrate(model: Any, how: dict[str, Any], decoding: str, is_bundled: bool) -> None:
    """Transcribe the bundled clips, with ``how`` of `Model.transcribe`, and print them beside what was said.

    ``decoding`` says in words what ``how`` is. Raises what transcribe raises.
    """
    clips = read_manifest(DATA / "clips.tsv")
    unheard = [clip for clip in clips if clip.split == "test"]
    say(f"{len(unheard)} sentences that training did not hear, read with {decoding}:\n\n")
    pairs = []
    for clip in unheard:
        pairs.append((clip.text, plain(model.transcribe(clip.path, **how).text)))
        say(compared(clip.lang, *pairs[-1], paint_on(sys.stdout)), painted=True)
    say(f"\nwrong: {rates(pairs)}\n")
    if how.get("beam") is not None:
        say(f"without the search: {rates([(clip.text, model.transcribe(clip.path).text) for clip in unheard])}\n")
    say(digits(model, how, [clip for clip in clips if clip.split != "test"]))
    if is_bundled:
        say(f"\n{about_the_model(model)}\n")


def compared(lang: str, said: str, read: str, paint: bool) -> str:
    """What was said and read, word below word, with the errors marked: S, D or I, and in red if ``paint``."""
    if said.split() == read.split():
        return f"{lang}  both: {said}\n"
    rows = written(compare_words(said, read), WIDTH, red if paint else str).splitlines()
    return "".join(f"{lang if i == 0 else '':{len(lang)}}  {row}".rstrip() + "\n" for i, row in enumerate(rows))


def rates(pairs: Sequence[tuple[str, str]]) -> str:
    """How many words and characters of the (said, read) pairs are wrong."""
    words, characters = added(word_errors(*pair) for pair in pairs), added(character_errors(*pair) for pair in pairs)
    return f"{_share(words, 'words')}, {_share(characters, 'characters')}"


def _share(errors: Errors, what: str) -> str:
    return f"{errors.edits} of {errors.length} {what} ({100 * errors.rate:.1f} %)"


def digits(model: Any, how: dict[str, Any], clips: Sequence[Clip]) -> str:
    """How many of the single words that were in training are read rightly, and each one that is not."""
    read = [plain(model.transcribe(clip.path, **how).text) for clip in clips]
    wrong = [f"{clip.text} as {text or 'nothing'}" for clip, text in zip(clips, read) if clip.text != text]
    line = f"{len(clips)} digits that training did hear: {len(clips) - len(wrong)} right"
    return line + (f"; read wrongly: {', '.join(wrong)}\n" if wrong else "\n")


def about_the_model(model: Any) -> str:
    """One line: what this model is, and how to name a real one."""
    return (
        f"This model is a toy: {model.report.parameters / 1e6:.1f} million parameters, trained on {HOURS} hours of "
        f"speech. For your recordings name a large one: xlsr-ref transcribe FILE --model {REAL}"
    )


def paint_on(stream: Any) -> bool:
    """May colours be written to ``stream``? To a terminal, unless NO_COLOR (https://no-color.org) forbids it."""
    return bool(stream and stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def red(text: str) -> str:
    """``text`` in red on a terminal."""
    return f"\x1b[31m{text}\x1b[0m"
