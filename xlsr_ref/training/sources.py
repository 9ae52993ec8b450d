"""A corpus to learn from, or to measure by: its clips, with their texts prepared as the user asks.

audio/corpus ─ clips ─ text/preparation.py ─ clips whose texts are prepared; what was changed is counted
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from xlsr_ref.audio.corpus import Corpus, LeftOut, Measure, notes_on_texts, open_corpus
from xlsr_ref.errors import ManifestError
from xlsr_ref.text.preparation import Preparation, prepare_texts
from xlsr_ref.untrusted import listed, shown

NUMERALS = "its text has numerals"


def prepared_corpus(
    path: str | os.PathLike[str],
    text: Preparation | None = None,
    tiers: Sequence[str] = (),
    measure: Measure = True,
    split: str | None = None,
) -> Corpus:
    """The corpus ``path`` of any layout, its texts prepared; at least one clip. Without ``text`` no text is wanted.

    ``tiers``, ``measure`` and ``split`` are those of `open_corpus`. Raises ManifestError.
    """
    corpus = open_corpus(path, tiers=tiers, measure=measure, split=split)
    if text is None:
        return corpus
    done = prepare_texts(((clip.text, clip.lang) for clip in corpus.clips), text)
    pairs = list(zip(corpus.clips, done.texts))
    clips = [clip._replace(text=said) for clip, said in pairs if said is not None]
    refused = [LeftOut(shown(clip.path.name), NUMERALS) for clip, said in pairs if said is None]
    if not clips:
        raise ManifestError(f"{shown(path)}: no clip can be used: the texts of all {len(refused)} have numerals")
    notes = [*corpus.notes, *done.report(), *notes_on_texts(clips)]
    return Corpus(corpus.layout, clips, [*corpus.left_out, *refused], notes)


def summary(left_out: Sequence[LeftOut], most: int = 3) -> str:
    """The clips that were left out, in a line: how many, and the first ones with their reasons."""
    are = "clip is" if len(left_out) == 1 else "clips are"
    return f"{len(left_out)} {are} left out: {listed((f'{one.name}, since {one.why}' for one in left_out), most)}"
