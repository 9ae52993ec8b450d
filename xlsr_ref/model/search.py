"""A beam search over a model's labels, with its language model and hotwords: for ``transcribe(…, beam=…)``."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from xlsr_ref.errors import DecodingError
from xlsr_ref.model.parts import Parts
from xlsr_ref.model.source import Source
from xlsr_ref.text.search.beam import BEAM_PRUNE, TOKEN_MIN, WIDTH
from xlsr_ref.text.search.beam import search as beam_settings
from xlsr_ref.text.search.fusion import HOTWORD, fuse
from xlsr_ref.text.search.kenlm_file import KenLM
from xlsr_ref.text.search.labels import labels_of
from xlsr_ref.text.search.lm import LanguageModel
from xlsr_ref.text.search.lm_files import Opened, open_lm
from xlsr_ref.text.search.state import Search


def search(
    model: Parts,
    beam: int = WIDTH,
    lm: Source | LanguageModel | KenLM | Opened | None = None,
    hotwords: Mapping[str, float] | Collection[str] = (),
    *,
    alpha: float | None = None,
    beta: float | None = None,
    unknown: float | None = None,
    hotword_weight: float = HOTWORD,
    boundary: bool | None = None,
    closed: bool = False,
    level: str | None = None,
    beam_prune: float = BEAM_PRUNE,
    token_min: float = TOKEN_MIN,
) -> Search:
    """A beam search over this model's labels, for ``transcribe(…, beam=…)``.

    ``lm`` is a language model or where it lies; ``alpha``, ``beta`` and ``unknown`` are its weights, by default
    those that came with it; so it is with ``boundary``, whether it knows where the text begins and ends.
    text/search/fusion.py explains these, ``hotwords``, ``closed`` and ``level``; text/search/beam.py the last two.
    Raises DecodingError and LanguageModelError.
    """
    labels = labels_of(model.require_tokenizer(), len(model.params["lm_head"]["weight"]))
    model_or_opened = open_lm(lm) if isinstance(lm, str | os.PathLike) else lm
    opened = model_or_opened if isinstance(model_or_opened, Opened) else Opened(model_or_opened)
    opened.check(labels)
    fusion = fuse(
        labels,
        opened.lm,
        alpha=opened.alpha if alpha is None else alpha,
        beta=opened.beta if beta is None else beta,
        unknown=opened.unknown if unknown is None else unknown,
        boundary=opened.boundary if boundary is None else boundary,
        hotwords=hotwords,
        hotword_weight=hotword_weight,
        words=opened.words,
        closed=closed,
        level=level,
    )
    return beam_settings(labels, fusion, width=beam, beam_prune=beam_prune, token_min=token_min)


def wanted_search(
    model: Parts,
    beam: int | Search | None,
    lm: Source | LanguageModel | KenLM | Opened | None,
    hotwords: Mapping[str, float] | Collection[str],
) -> Search | None:
    """The search that the arguments of `transcribe` ask for; None for the best path. Raises DecodingError."""
    if isinstance(beam, Search):
        if lm is not None or hotwords:
            raise DecodingError("the search has its language model and hotwords already: give them to model.search(…)")
        return beam
    if beam is None and lm is None and not hotwords:
        return None
    return search(model, WIDTH if beam is None else beam, lm, hotwords)
