"""What a beam search works with: its settings, and its state between two frames."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.text.search.fusion import Fusion
from xlsr_ref.text.search.labels import Labels
from xlsr_ref.text.search.prefix_tree import chain


class Search(NamedTuple):
    """The settings of a search; made by beam.py's :func:`search`."""

    labels: Labels
    fusion: Fusion
    width: int  # sums kept at each frame: of a prefix that ends in the blank, or of one that ends in its last label
    beam_prune: float  # ln: what is this much worse than the best is dropped
    token_min: float  # ln: a label that is less probable is not tried, unless it is the frame's likeliest


class State(NamedTuple):
    """A search under way. Feeding never changes a state: it makes a new one."""

    frames: int  # fed so far
    prefixes: np.recarray  # (N,) prefix_tree.PREFIX  those in the beam and the beginnings of those
    beams: np.recarray  # (≤ width,) beam_loop.BEAM
    marks: np.recarray  # (M,) prefix_tree.MARK
    outside: tuple  # states of a language model that only Python can ask


def text_of(labels: Labels, prefixes: np.recarray, x: int) -> str:
    """The text of prefix ``x`` of ``prefixes`` (N,)."""
    path = chain(x, prefixes.parent)[1:]  # without prefix 0
    return "".join([labels.written[label] for label in prefixes.label[path].tolist()])
